"""Groups seen from above: coordinates in which a hierarchy is nearly round.

The parameters of a group are few and its runs many, so given what all groups share they are nearly
Gaussian, and independent of every other group's. Two things follow. What is shared has a marginal
density that Laplace's method gives almost exactly, while the joint density may have its peak where
a spread is zero and nothing else is. And a point can be named by what is shared and, for every
group, by standard normal numbers that say where it lies within what is left to it: in these
coordinates no width depends on any other.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.inference._kept import Kept
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.optimum import Optimum
from bayes_scaling.inference.rows import Blocks, parted
from bayes_scaling.inference.target import Target

ROUNDS = 5  # parabolas of the likelihood
STEPS = 40
STILL = 0.1  # of the logarithm of a spread
DECREMENT = 1e-4  # nats: how far below a peak its search may stop
SHRINK = (1.0, 0.3, 0.1, 0.03, 0.01)
NUDGE = 0.05  # of a coordinate: step of differences
DEEP = 5.0  # nats below its peak to which a marginal density is followed, in steps of one sd
FARTHEST = 6  # of those steps
NARROW = 0.7  # sd of a component along the way, in steps
FLAT = 0.3  # least curvature a spread's marginal density is taken to have: its prior's alone is 1.6
STEADY = 0.3  # of the parabola's roots of curvature, below which a group keeps them
LEAST = 1e-6  # of the largest curvature is kept in every direction


@dataclass(frozen=True)
class Held(Target):
    """A target whose spreads of groups are held at their prior's middle: its peak is a peak.

    The peak of the joint density over groups and spreads together is at a spread of zero.
    """

    def potential(self, z: Any, data: Any) -> Any:
        """Return minus the log density, every spread in the middle and pulled there by a spring."""
        spreads = _spreads(self)
        names = [name[:-3] for name, _ in self.sites if name.endswith("_sd")]
        middle = jnp.log(jnp.asarray([data["group_sd"][n]["median"] for n in names]))
        gap = z[spreads] - middle
        return super().potential(z.at[spreads].set(middle), data) + 0.5 * jnp.sum(gap**2)

    def bend(self, slope: Any, z: Any) -> tuple[Any, Any]:
        """Return the Hessian, an arrow: one tangent serves all groups at once."""
        return _arrow(self, slope, z)


@dataclass(frozen=True)
class Nested(Target):
    """A pooled target in coordinates of what is shared and of standard normals for every group.

    Its `data` are the program's, and `base`: the point about which the likelihood of the groups'
    parameters is first taken to be a parabola. Their prior is not taken for one: how narrow a
    spread makes it counts. From the peak that this gives, one Newton step on the density itself:
    where what is shared draws groups far from their own data, no one parabola is right.
    """

    takes_derivatives: ClassVar[bool] = True

    def look(self, z: Any, data: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
        """Return the log density, Jacobian included, and what a draw stands for."""
        point, volume = self.opened(z, data)
        log_density, found = self.plain.look(point, data["table"])
        return log_density - volume, {**found, "point": point}

    def potential(self, z: Any, data: Any) -> Any:
        """Return minus the log density, Jacobian included."""
        point, volume = self.opened(z, data)
        return self.plain.potential(point, data["table"]) + volume

    def evaluate(self, z: Any, data: Any) -> dict[str, dict[str, Any]]:
        """Return what a draw stands for, as `Target.evaluate`, and the plain target's `point`."""
        point = self.opened(z, data)[0]
        return {**self.plain.evaluate(point, data["table"]), "point": point}

    @property
    def plain(self) -> Target:
        """The target whose points these coordinates name."""
        return Target(self.program, self.sites)

    def opened(self, z: Any, data: Any) -> tuple[Any, Any]:
        """Return the point of the plain target that z names, and minus the log of the Jacobian."""
        shared, white = cut(self, z)
        base = data["base"]

        def given(table: Any) -> Any:
            return lambda local: self.plain.potential(joined(self, shared, local), table)

        slope, curvature = _bent(given(data["bare"]), base["local"])
        slope = slope + base["slope"] + base["cross"] @ (shared - base["shared"])
        rough = jnp.linalg.cholesky(curvature + base["curvature"])
        near = base["local"] - _solved(rough, slope)
        slope, curvature = _bent(given(data["table"]), near)
        root = jnp.linalg.cholesky(curvature)  # not a number where it is no peak
        size, least = (jnp.diagonal(r, axis1=1, axis2=2) for r in (root, STEADY * rough))
        root = jnp.where(jnp.all(size > least, axis=1)[:, None, None], root, rough)
        spread = jax.scipy.linalg.solve_triangular(root, white[..., None], trans=1, lower=True)
        local = near - _solved(root, slope) + spread[..., 0]
        volume = jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)))
        return joined(self, shared, local), volume


def is_nested(target: Target, data: Any) -> bool:
    """Return whether a target has groups whose parameters could be seen from above."""
    return not isinstance(data, Blocks) and bool(_local(target)) and "group_sd" in data


@in_float64
def nest(target: Target, data: Any, start: Optimum) -> tuple[Nested, Any, Optimum, Optimum]:
    """Find the peak of the marginal density of what is shared, and put the coordinates about it.

    Parameters
    ----------
    target, data
        A pooled target and what its program reads, placed.
    start : Optimum
        The peak of the `Held` target.

    Returns
    -------
    nested, data, optimum, plain
        The target in new coordinates, what it reads, and its peak there, with points along the
        spreads for further modes; the same peak in the coordinates of `target`, with a curvature
        for samplers that stay in those.

    Notes
    -----
    Given the spreads, all else is nearly Gaussian and integrated by Laplace's method, about a
    parabola of the likelihood that is renewed until the spreads of most density stay where they
    are. The priors are never approximated.
    """
    at, own = _indices(target)
    bare = jax.device_put(_bare(data))
    z, settled = np.array(start.z), False
    for _ in range(ROUNDS):
        z = _settled(target, z, data)
        around = Around(target, z, _derivatives(target, z, data), bare)
        spreads, peak, bend, joint = around.peak()
        settled = bool(np.all(np.abs(spreads - z[around.at]) < STILL))
        z = peak
        if settled:
            break
    _, g, h = around.likelihood
    w, v = np.linalg.eigh(h[own[:, :, None], own[:, None, :]])
    kept = np.maximum(w, LEAST * np.abs(w).max(axis=1, keepdims=True))
    curvature = np.einsum("gij,gj,gkj->gik", v, kept, v)
    cross = h[own[:, :, None], at]
    reads = {
        "table": data,
        "bare": bare,
        "base": {
            "shared": around.z[at],
            "local": around.z[own],
            "slope": g[own],
            "cross": cross,
            "curvature": curvature,
        },
    }
    converged = settled and start.converged
    points, curvatures, below = around.along(spreads, z, bend)
    points[:, own.ravel()] = 0.0
    hessians = np.tile(np.eye(target.size), (len(points), 1, 1))
    hessians[:, at[:, None], at[None]] = curvatures
    there = Optimum(points[0], 0.0, hessians[0], converged, points, hessians, -below)
    plain = Optimum(z, 0.0, joint, converged, z[None], joint[None], np.zeros(1))
    return Nested(target.program, target.sites), jax.device_put(reads), there, plain


def shared_at(target: Target) -> np.ndarray:
    """Return where in a point the parameters are that all groups share."""
    return _indices(target)[0]


def cut(target: Target, z: Any) -> tuple[Any, Any]:
    """Cut a point into what is shared, (p,), and what every group has of its own, (group, l)."""
    at, own = _indices(target)
    return z[at], z[own]


def joined(target: Target, shared: Any, local: Any) -> Any:
    """Undo `cut`."""
    at, own = _indices(target)
    z = jnp.zeros(target.size, jnp.result_type(shared))
    return z.at[at].set(shared).at[own].set(local)


def _local(target: Target) -> list[str]:
    names = getattr(target.program, "local", ())
    return [name for name, _ in target.sites if name in names]


def _spreads(target: Target) -> np.ndarray:
    """Return where in a point the spreads of groups are."""
    return np.array(_at(target.sites, lambda name, _: name.endswith("_sd")), int)


def _at(sites: Any, wanted: Any) -> list[int]:
    out, start = [], 0
    for name, shape in sites:
        size = int(np.prod(shape, dtype=int))
        out += range(start, start + size) if wanted(name, shape) else []
        start += size
    return out


def _indices(target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in a point: of what is shared, (p,), and of the groups', (group, l)."""
    names = set(_local(target))
    own = np.array(_at(target.sites, lambda name, _: name in names))
    at = np.array(_at(target.sites, lambda name, _: name not in names), int)
    return at, own.reshape(len(names), -1).T


def _bare(data: Any) -> Any:
    """Return the data with one row of no weight: what is left of the program is its prior."""
    per_row, rest = parted(data)
    first = jax.tree.map(lambda v: np.asarray(v)[None, :1], per_row)
    return Blocks(first, rest).bare


def _bent(function: Any, local: Any) -> tuple[Any, Any]:
    """Return the slope, (group, l), and the Hessian's block of every group, (group, l, l).

    Blocks of different groups are zero, so one tangent serves all groups at once.
    """
    slope, along = jax.linearize(jax.grad(function), local)
    columns = jax.vmap(lambda tangent: along(jnp.broadcast_to(tangent, local.shape)))
    return slope, jnp.moveaxis(columns(jnp.eye(local.shape[1])), 0, -1)


def _solved(root: Any, slope: Any) -> Any:
    return jax.scipy.linalg.cho_solve((root, True), slope[..., None])[..., 0]


def _arrow(target: Target, slope: Any, z: Any) -> tuple[Any, Any]:
    """Return the Jacobian of a gradient whose blocks between different groups are zero."""
    at, own = _indices(target)
    groups, each = own.shape
    tangents = np.zeros((len(at) + each, target.size))
    tangents[np.arange(len(at)), at] = 1.0
    for k in range(each):
        tangents[len(at) + k, own[:, k]] = 1.0
    _, along, beside = jax.linearize(slope, z, has_aux=True)
    rows = jax.vmap(along)(jnp.asarray(tangents))
    shared, mine = rows[: len(at)], rows[len(at) :][:, own]  # the latter (each, group, each)
    out = jnp.zeros((target.size, target.size)).at[at].set(shared).at[:, at].set(shared.T)
    shape = (each, groups, each)
    first = np.broadcast_to(own.T[:, :, None], shape)
    second = np.broadcast_to(own[None], shape)
    return out.at[first, second].set(mine), beside


@Kept
def _curved(target: Any, z: Any, data: Any) -> Any:
    """Return minus the log density, its gradient and its Hessian."""

    def slope(point: Any) -> Any:
        f, g = jax.value_and_grad(target.potential)(point, data)
        return g, (f, g)

    hessian, (f, g) = _arrow(target, slope, z)
    return f, g, hessian


def _derivatives(target: Target, z: np.ndarray, data: Any) -> tuple[float, np.ndarray, np.ndarray]:
    f, g, h = jax.device_get(_curved(target, z, data))
    return float(f), np.asarray(g), np.asarray(h)


def _settled(target: Target, z: np.ndarray, data: Any) -> np.ndarray:
    """Climb to the peak given the spreads."""
    free = np.setdiff1d(np.arange(target.size), _spreads(target))
    f, g, h = _derivatives(target, z, data)
    for _ in range(STEPS):
        w, v = np.linalg.eigh(h[np.ix_(free, free)])
        size = np.maximum(np.abs(w), LEAST * np.abs(w).max())
        move = -(v / size) @ (v.T @ g[free])
        if -g[free] @ move < DECREMENT:
            break
        for shrink in SHRINK:
            there = z.copy()
            there[free] += shrink * move
            found = _derivatives(target, there, data)
            if found[0] < f:
                break
        else:
            break
        z, (f, g, h) = there, found
    return z


class Around:
    """A pooled posterior about a point, the likelihood there a parabola, the priors as they are.

    Parameters
    ----------
    target : Target
    z : (d,) array
        The point.
    derivatives : tuple
        Of minus the log density there: value, gradient, Hessian.
    bare
        The program's data without rows.
    """

    def __init__(self, target: Target, z: np.ndarray, derivatives: Any, bare: Any) -> None:
        self.target, self.z, self.bare = target, z, bare
        prior = _derivatives(target, z, bare)
        self.likelihood = tuple(a - b for a, b in zip(derivatives, prior, strict=True))
        self.at = _spreads(target)
        self.free = np.setdiff1d(np.arange(target.size), self.at)

    def given(self, spreads: np.ndarray, z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return Laplace's marginal potential of spreads, and the peak and Hessian given them."""
        f0, g0, h0 = self.likelihood
        z = z.copy()
        z[self.at] = spreads
        for last in (False, False, True):  # two steps: nearly all priors are Gaussian here
            f, g, h = _derivatives(self.target, z, self.bare)
            gap = z - self.z
            f, g, h = f + f0 + g0 @ gap + 0.5 * gap @ h0 @ gap, g + g0 + h0 @ gap, h + h0
            if not (np.isfinite(f) and np.all(np.isfinite(h))):
                return np.inf, z, np.eye(len(z))
            w, v = np.linalg.eigh(h[np.ix_(self.free, self.free)])
            size = np.maximum(np.abs(w), LEAST * np.abs(w).max())
            if not last:
                move = (v / size) @ (v.T @ g[self.free])
                z[self.free] -= move / max(1.0, float(np.abs(move).max()))
        return f + 0.5 * float(np.sum(np.log(size))), z, h

    def peak(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the spreads of most marginal density, the point there, and two curvatures.

        The first is that of their marginal density; the second of everything, the spreads apart
        from the rest.
        """
        k, spreads, z = len(self.at), self.z[self.at], self.z
        value, z, h = self.given(spreads, z)
        bend = np.eye(k)
        for _ in range(STEPS if k else 0):
            slope, now = self._differences(spreads, z, value)
            if not np.all(np.isfinite(now)):
                break
            bend = now
            w, v = np.linalg.eigh(bend)
            move = -(v / np.maximum(np.abs(w), FLAT)) @ (v.T @ slope)
            move = move / max(1.0, float(np.abs(move).max()))
            if -slope @ move < DECREMENT:
                break
            for shrink in SHRINK:
                found = self.given(spreads + shrink * move, z)
                if found[0] < value:
                    break
            else:
                break
            spreads = spreads + shrink * move
            value, z, h = found
        joint = h.copy()
        joint[self.at, :] = joint[:, self.at] = 0.0
        joint[np.ix_(self.at, self.at)] = bend
        return spreads, z, bend, joint

    def along(
        self, spreads: np.ndarray, z: np.ndarray, bend: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points where the spreads are otherwise, the peak first.

        What is shared is the wider the wider the groups are spread, which no one Gaussian is. With
        the points, (point, d), come the curvature of the marginal density of what is shared,
        spreads among it, (point, p, p), and how many nats it is below its peak.
        """
        least, z, h = self.given(spreads, z)
        found = [(z, self._shared(spreads, z, h, bend), 0.0)]
        w, v = np.linalg.eigh(bend)
        w = np.maximum(np.abs(w), FLAT)
        for i in range(len(w)):
            narrow = (v * np.where(np.arange(len(w)) == i, w / NARROW**2, w)) @ v.T
            for way in (1, -1):
                there = z
                for k in range(1, FARTHEST + 1):
                    moved = spreads + way * k * v[:, i] / np.sqrt(w[i])
                    value, there, h = self.given(moved, there)
                    if not value - least < DEEP:
                        break
                    found.append((there, self._shared(moved, there, h, narrow), value - least))
        points, curvatures, below = zip(*found, strict=True)
        return np.array(points), np.array(curvatures), np.array(below)

    def _differences(
        self, spreads: np.ndarray, z: np.ndarray, value: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return slope and curvature of the marginal potential in the spreads."""
        k = len(spreads)
        unit = NUDGE * np.eye(k)
        up = np.array([self.given(spreads + e, z)[0] for e in unit])
        down = np.array([self.given(spreads - e, z)[0] for e in unit])
        if not np.all(np.isfinite([*up, *down])):
            return up, np.full((k, k), np.nan)
        bend = np.diag((up + down - 2 * value) / NUDGE**2)
        for i in range(k):
            for j in range(i):
                both = self.given(spreads + unit[i] + unit[j], z)[0]
                bend[i, j] = bend[j, i] = (both - up[i] - up[j] + value) / NUDGE**2
        return (up - down) / (2 * NUDGE), bend

    def _shared(
        self, spreads: np.ndarray, z: np.ndarray, h: np.ndarray, bend: np.ndarray
    ) -> np.ndarray:
        """Return the curvature of the marginal density of what is shared, spreads among it."""
        at, own = _indices(self.target)
        own, rest = own.ravel(), np.setdiff1d(at, self.at)
        across = h[np.ix_(rest, own)]
        inner = across @ np.linalg.solve(h[np.ix_(own, own)], across.T)
        w, v = np.linalg.eigh(h[np.ix_(rest, rest)] - inner)
        covariance = np.zeros((self.target.size,) * 2)
        covariance[np.ix_(rest, rest)] = (v / np.maximum(np.abs(w), LEAST * np.abs(w).max())) @ v.T
        if len(self.at):
            w, v = np.linalg.eigh(bend)
            wide = (v / np.maximum(np.abs(w), FLAT)) @ v.T
            moved = [
                (self.given(spreads + e, z)[1] - self.given(spreads - e, z)[1])[rest] / (2 * NUDGE)
                for e in NUDGE * np.eye(len(self.at))
            ]
            pull = np.array(moved).T
            covariance[np.ix_(rest, rest)] += pull @ wide @ pull.T
            covariance[np.ix_(rest, self.at)] = pull @ wide
            covariance[np.ix_(self.at, rest)] = (pull @ wide).T
            covariance[np.ix_(self.at, self.at)] = wide
        return np.linalg.inv(covariance[np.ix_(at, at)])
