"""How tables lie on devices: many rows cut into blocks, many tables stacked."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.observations import CLUSTER
from bayes_scaling.program import WEIGHTLESS, alone

BLOCK = 2048  # rows held at once per point: what one core's cache takes
WIDE = 2**17  # the same on an accelerator
LARGE = 2 * BLOCK  # rows beyond which a table is cut into blocks
POINTS = 2000  # evaluated in one call, unless the rows are many
CELLS = 2**20  # points times rows held at once, on a CPU
DERIVED = 2**14  # the same with derivatives at every point, which hold dozens of numbers per row
SKETCH = 2048  # rows on which the search for the modes of a large table starts


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blocks:
    """A program's data whose rows are cut into blocks of equal length.

    Parameters
    ----------
    rows : pytree of (block, row) arrays
        What is there for every row, `weight` among it.
    rest : pytree
        What all rows share.
    """

    rows: Any
    rest: Any

    @property
    def bare(self) -> dict[str, Any]:
        """The data with one row of no weight: what is left of the program is its prior."""
        first = jax.tree.map(lambda v: v[0, :1], self.rows)
        nothing = jnp.full_like(first["weight"], WEIGHTLESS)
        return joined({**first, "weight": nothing}, self.rest)


def at_once(rows: int, *, derivatives: bool = False) -> int:
    """Return how many points to evaluate in one call over so many rows held at once.

    `derivatives`: where the density itself takes some at every point.
    """
    cells = (DERIVED if derivatives else CELLS) if jax.default_backend() == "cpu" else 2**6 * CELLS
    return max(1, min(POINTS, cells // max(rows, 1)))


def parted(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a program's data into what it holds per row and the rest."""
    per_row = {k: data[k] for k in ("y", "weight", "group") if k in data}
    per_row["x"] = {k: v for k, v in data["x"].items() if np.ndim(v)}
    rest = {k: v for k, v in data.items() if k not in per_row}
    rest["x"] = {k: v for k, v in data["x"].items() if not np.ndim(v)}
    return per_row, rest


def joined(per_row: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """Undo `parted`."""
    return {**rest, **per_row, "x": {**rest["x"], **per_row["x"]}}


def is_table(data: Any) -> bool:
    """Return whether a program's data are those of a scaling model."""
    return isinstance(data, dict) and {"x", "y", "weight"} <= set(data)


def is_large(data: Any) -> bool:
    """Return whether a program's data are a table, and one to cut into blocks."""
    return is_table(data) and len(data["y"]) > LARGE


def placed(data: Any) -> Any:
    """Put data where they are computed on: one device, or rows over all of them.

    A large table comes back as `Blocks`, the rows of each block spread over the devices.
    """
    if not is_large(data):
        return jax.device_put(data)
    devices = jax.devices()
    per_row, rest = parted(data)
    if CLUSTER in per_row["x"]:  # a block holds whole clusters, but for those at its ends
        order = np.argsort(per_row["x"][CLUSTER], kind="stable")
        per_row = jax.tree.map(lambda v: v[order], per_row)
    block = BLOCK
    if jax.default_backend() != "cpu":  # few launches of much work each, and no more than there is
        block = min(WIDE, -(-len(per_row["y"]) // (BLOCK * len(devices))) * BLOCK)
    block *= len(devices)
    cut = Blocks(jax.tree.map(lambda v: _cut(v, block), _filled(per_row, block)), rest)
    if len(devices) == 1:
        return jax.device_put(cut)
    mesh = jax.sharding.Mesh(np.array(devices), ("row",))
    over = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "row"))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return Blocks(jax.device_put(cut.rows, over), jax.device_put(cut.rest, everywhere))


def sketch(data: dict[str, Any], seed: Any) -> dict[str, Any]:
    """Return a random sample of a large table's rows, weighted to stand for all of them."""
    per_row, rest = parted(data)
    rng = np.random.default_rng(seed)
    real = np.flatnonzero(per_row["weight"] > WEIGHTLESS)
    chosen = rng.choice(real, SKETCH, replace=len(real) < SKETCH)
    few = jax.tree.map(lambda v: v[chosen], per_row)
    scale = per_row["weight"].sum() / few["weight"].sum()
    return joined({**few, "weight": few["weight"] * scale}, rest)


def _filled(per_row: dict[str, Any], block: int) -> dict[str, Any]:
    missing = -len(per_row["y"]) % block
    if not missing:
        return per_row
    longer = jax.tree.map(lambda v: np.pad(v, (0, missing), mode="edge"), per_row)
    weight = np.pad(per_row["weight"], (0, missing), constant_values=WEIGHTLESS)
    return {**longer, "weight": weight, "x": alone(longer["x"], len(per_row["y"]))}


def _cut(values: np.ndarray, block: int) -> np.ndarray:
    return values.reshape(-1, block)
