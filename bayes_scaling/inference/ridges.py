"""Proposals along the ridges of a density: where a Gaussian about its peak would miss the most.

Posteriors of scaling laws bend: as the floor falls, exponents fall and intercepts rise. Draws about
the peak never see the far end of such a ridge, and the tail of their weights cannot tell of what
they have not seen. So the ridge is climbed, held back by springs at distances along it, and a t is
put wherever a climb ends, scaled by the curvature there.
"""

from collections.abc import Generator
from typing import Any

import numpy as np

from bayes_scaling.inference.optimum import Climb, Look, Optimum
from bayes_scaling.inference.proposal import Mixture, scale_of

PROBES = np.array([1.0, 2.0, 3.0])  # sd from the peak at which each direction is looked at
RIDGES = 2  # directions that are followed, the least Gaussian ones
REACH = (1.0, 8.0)  # sd along a ridge at which springs hold: half of that if it is Gaussian
LEAST_SHARE = 0.01  # of a node: some of the proposals go where the mass is thought not to be


def along_ridges(
    optimum: Optimum, proposal: Mixture, nodes: int
) -> Generator[Look | Climb, Any, Mixture]:
    """Put t's along the ridges of a density, beside those of a proposal about its modes.

    Parameters
    ----------
    optimum : Optimum
        The peak and the curvature there.
    proposal : Mixture
        What has been tried.
    nodes : int
        How many, a multiple of four.
    """
    directions = scale_of(optimum.hessian).T  # rows: one sd along each axis of the curvature
    sides = np.array([-1.0, 1.0])
    steps = sides[:, None] * PROBES
    points = optimum.z + steps[None, :, :, None] * directions[:, None, None, :]
    heights = -(yield Look(points.reshape(-1, len(optimum.z)))) - optimum.potential
    rise = np.nan_to_num(heights.reshape(len(directions), 2, -1), nan=np.inf)
    shape = np.sqrt(2 * np.clip(rise, 0, 1e6))  # PROBES themselves, if the density is Gaussian
    odd = np.argsort(-np.abs(shape - PROBES).max(axis=(1, 2)))[:RIDGES]
    reach = np.geomspace(*REACH, nodes // (2 * RIDGES))
    hold = (sides[:, None] * reach).ravel()
    axis = np.repeat(directions[odd], len(hold), axis=0)
    hold = np.tile(hold, RIDGES)
    length = np.linalg.norm(axis, axis=1)
    along = axis / length[:, None]
    starts = optimum.z + 0.5 * np.clip(hold, -3, 3)[:, None] * axis
    at, stiff = along @ optimum.z + hold * length, 1 / length**2
    z, f, hessian, _ = yield Climb(starts, along, at, stiff)
    f = f - 0.5 * stiff * (np.sum(along * z, axis=1) - at) ** 2
    fine = np.isfinite(f) & np.all(np.isfinite(hessian), axis=(1, 2))
    basis = np.array([scale_of(h) for h in hessian[fine]])
    # The mass about a node by Laplace, relative to that about the peak.
    size = np.linalg.slogdet(basis)[1] - np.linalg.slogdet(proposal.basis[0])[1]
    mass = np.exp(np.minimum(optimum.potential - f[fine] + size, 0.0))
    share = np.concatenate([proposal.share, np.maximum(mass, LEAST_SHARE)])
    centre = np.concatenate([proposal.centre, z[fine]])
    return Mixture(share / share.sum(), centre, np.concatenate([proposal.basis, basis]))
