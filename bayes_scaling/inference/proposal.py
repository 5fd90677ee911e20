"""Mixtures of multivariate t: proposals that learn the shape of a posterior from weighted draws."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import gammaln, logsumexp

DF = 7.0  # tails heavier than a posterior's, light enough to keep most draws useful
JITTER = 1e-9
LEAST_SHARE = 0.05  # of a mode, whatever Laplace's estimate of its mass


@dataclass(frozen=True)
class Mixture:
    """A mixture of multivariate t distributions with 7 degrees of freedom.

    Parameters
    ----------
    share : (m,) array
        Weights of the components, adding to one.
    centre : (m, d) array
        Their centres.
    basis : (m, d, d) array
        Square roots of their scale matrices.
    """

    share: np.ndarray
    centre: np.ndarray
    basis: np.ndarray

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw points, (count, d); components in turn by their shares, then shuffled."""
        m, d = self.centre.shape
        unit = rng.normal(size=(count, d)) / np.sqrt(rng.chisquare(DF, size=(count, 1)) / DF)
        ladder = (np.arange(count) + rng.uniform()) / count
        which = np.minimum(np.searchsorted(np.cumsum(self.share), ladder), m - 1)
        ends = np.searchsorted(which, np.arange(m + 1))
        z = np.empty((count, d))
        for j, (start, end) in enumerate(pairwise(ends)):
            z[start:end] = self.centre[j] + unit[start:end] @ self.basis[j].T
        return rng.permutation(z) if m > 1 else z

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Return the log density at points, (count, d) to (count,)."""
        log = self._each(z)[0]
        if len(self.share) == 1:
            return log[:, 0]
        return np.asarray(logsumexp(np.log(self.share) + log, axis=1))

    def _each(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return every component's log density and squared distance, both (count, m)."""
        d = z.shape[1]
        norm = gammaln((DF + d) / 2) - gammaln(DF / 2) - 0.5 * d * np.log(DF * np.pi)
        log, distance = [], []
        for centre, basis in zip(self.centre, self.basis, strict=True):
            unit = (z - centre) @ np.linalg.inv(basis).T
            square = np.einsum("ni,ni->n", unit, unit)
            scale = np.linalg.slogdet(basis)[1]
            log.append(norm - scale - 0.5 * (DF + d) * np.log1p(square / DF))
            distance.append(square)
        return np.stack(log, axis=1), np.stack(distance, axis=1)

    def refit(self, z: np.ndarray, weight: np.ndarray) -> "Mixture":
        """Return the mixture one EM step nearer to weighted draws.

        Notes
        -----
        The update of Cappe et al. 2008, doi:10.1007/s11222-008-9059-x, section 4 (t components):
        each draw counts by its weight, by the component it is likely from, and less the further
        out it is.
        """
        log, distance = self._each(z)
        total = np.log(self.share) + log
        part = weight[:, None] * np.exp(total - logsumexp(total, axis=1, keepdims=True))
        share = part.sum(axis=0)
        alive = share > 1e-4  # a component that explains nothing is dropped
        if not alive.any():  # no draw has any density: there is nothing to learn from
            return self
        near = part * (DF + z.shape[1]) / (DF + distance)
        centre, basis = [], []
        for j in np.flatnonzero(alive):
            mean = near[:, j] @ z / near[:, j].sum()
            gap = z - mean
            centre.append(mean)
            basis.append(root(gap.T @ (gap * near[:, j, None]) / share[j]))
        return Mixture(share[alive] / share[alive].sum(), np.array(centre), np.array(basis))


@dataclass(frozen=True)
class Whitened:
    """A mixture over some coordinates, and over each of the rest a t that is nearly normal.

    Its tails are the lighter the more of them there are, for what each wastes multiplies: with
    ``sqrt(10 m)`` degrees of freedom three quarters of the draws stay effective where m are normal.

    Parameters
    ----------
    inner : Mixture
    at : (p,) array of int
        The mixture's coordinates.
    size : int
        Of all coordinates.
    """

    inner: Mixture
    at: np.ndarray
    size: int

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw points, (count, d)."""
        z = rng.standard_t(self.df, size=(count, self.size))
        z[:, self.at] = self.inner.draw(rng, count)
        return z

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Return the log density at points, (count, d) to (count,)."""
        df, white = self.df, np.delete(z, self.at, axis=1)
        norm = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(df * np.pi)
        each = norm - 0.5 * (df + 1) * np.log1p(white**2 / df)
        return self.inner.log_density(z[:, self.at]) + each.sum(axis=1)

    @property
    def df(self) -> float:
        """Degrees of freedom of the coordinates that are nearly normal."""
        return max(DF, float(np.sqrt(10 * (self.size - len(self.at)))))

    def refit(self, z: np.ndarray, weight: np.ndarray) -> "Whitened":
        """Return it with the mixture one EM step nearer to weighted draws."""
        return Whitened(self.inner.refit(z[:, self.at], weight), self.at, self.size)


def about(
    modes: np.ndarray, hessians: np.ndarray, log_mass: np.ndarray, least: float = LEAST_SHARE
) -> Mixture:
    """Return a t about each mode, (m, d), scaled by its curvature, shared by its Laplace mass."""
    share = np.maximum(np.exp(log_mass - log_mass.max()), least)
    return Mixture(share / share.sum(), modes, np.array([scale_of(h) for h in hessians]))


def scale_of(hessian: np.ndarray) -> np.ndarray:
    """Return a square root of the inverse of a Hessian, indefinite directions cut off."""
    w, v = np.linalg.eigh(hessian)
    return v / np.sqrt(np.maximum(np.abs(w), 1e-6 * np.abs(w).max()))


def spread_over(
    rng: np.random.Generator, z: np.ndarray, weight: np.ndarray, components: int
) -> Mixture:
    """Start a mixture: centres at draws far from one another, each with the draws' covariance."""
    mean = weight @ z
    gap = z - mean
    chol = root(gap.T @ (gap * weight[:, None]))
    round_ = gap @ np.linalg.inv(chol).T
    chosen = [rng.choice(len(z), p=weight)]
    for _ in range(components - 1):  # k-means++ seeding in coordinates where the draws are round
        far = np.min([np.sum((round_ - round_[c]) ** 2, axis=1) for c in chosen], axis=0) * weight
        chosen.append(rng.choice(len(z), p=far / far.sum()))
    basis = np.repeat(0.6 * chol[None], components, axis=0)
    return Mixture(np.full(components, 1 / components), z[chosen], basis)


def root(matrix: np.ndarray) -> np.ndarray:
    """Return the lower Cholesky factor, with as much on the diagonal as it takes."""
    size = max(float(np.trace(matrix)) / len(matrix), 1e-300)
    for jitter in (0.0, *(JITTER * 10.0**k for k in range(9))):
        try:
            return np.linalg.cholesky(matrix + jitter * size * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            continue
    return np.sqrt(size) * np.eye(len(matrix))
