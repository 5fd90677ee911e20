"""JAX's persistent compilation cache: on unless the user says otherwise."""

import os
from pathlib import Path

SWITCH = "BAYES_SCALING_COMPILATION_CACHE"
LIMIT = 500 * 2**20  # bytes; a program of ours takes about half a megabyte


def keep_compiled() -> None:
    """Keep compiled programs in the platform's cache folder, so that a second process starts warm.

    ``BAYES_SCALING_COMPILATION_CACHE=off`` switches it off, any other value is the folder to use.
    A cache the user has given JAX is left alone, and a folder that cannot be written is no error:
    programs are then compiled in every process.
    """
    import jax
    import platformdirs

    wanted = os.environ.get(SWITCH, "")
    users = getattr(jax.config, "jax_compilation_cache_dir", None)
    if wanted.lower() in ("off", "0", "false") or users:
        return
    folder = Path(wanted) if wanted else Path(platformdirs.user_cache_dir("bayes_scaling")) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            return
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", LIMIT)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
