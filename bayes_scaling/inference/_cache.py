"""Where compiled programs are kept between processes: on unless the user says otherwise."""

import os
from pathlib import Path

SWITCH = "BAYES_SCALING_COMPILATION_CACHE"
LIMIT = 500 * 2**20  # bytes of JAX's cache, and half as many of whole programs


def cache_folder() -> Path | None:
    """Return the folder for compiled programs, made if need be; None where there is none.

    ``BAYES_SCALING_COMPILATION_CACHE=off`` switches it off, any other value is the folder to use;
    without it the platform's cache folder is. A folder that cannot be written is no error: programs
    are then compiled in every process.
    """
    import platformdirs

    wanted = os.environ.get(SWITCH, "")
    if wanted.lower() in ("off", "0", "false"):
        return None
    folder = Path(wanted) if wanted else Path(platformdirs.user_cache_dir("bayes_scaling")) / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def keep_compiled() -> None:
    """Give JAX's compilation cache that folder, unless the user has given it one of their own."""
    import jax

    folder = cache_folder()
    if folder is None or getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", LIMIT)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
