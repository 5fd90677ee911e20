"""Mixtures of multivariate t: proposals that learn the shape of a posterior from weighted draws."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln, logsumexp

DF = 7.0  # tails heavier than a posterior's, light enough to keep most draws useful
JITTER = 1e-9


@dataclass(frozen=True)
class Mixture:
    """A mixture of multivariate t distributions with 7 degrees of freedom.

    Parameters
    ----------
    share : (m,) array
        Weights of the components, adding to one.
    centre : (m, d) array
        Their centres.
    chol : (m, d, d) array
        Lower square roots of their scale matrices.
    """

    share: np.ndarray
    centre: np.ndarray
    chol: np.ndarray

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw points, (count, d); components in turn by their shares, then shuffled."""
        m, d = self.centre.shape
        ladder = (np.arange(count) + rng.uniform()) / count
        which = np.minimum(np.searchsorted(np.cumsum(self.share), ladder), m - 1)
        rng.shuffle(which)
        unit = rng.normal(size=(count, d)) / np.sqrt(rng.chisquare(DF, size=(count, 1)) / DF)
        return self.centre[which] + np.einsum("nij,nj->ni", self.chol[which], unit)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Return the log density at points, (count, d) to (count,)."""
        return np.asarray(logsumexp(np.log(self.share) + self._each(z)[0], axis=1))

    def _each(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return every component's log density and squared distance, both (count, m)."""
        d = z.shape[1]
        norm = gammaln((DF + d) / 2) - gammaln(DF / 2) - 0.5 * d * np.log(DF * np.pi)
        log, distance = [], []
        for centre, chol in zip(self.centre, self.chol, strict=True):
            square = np.sum(solve_triangular(chol, (z - centre).T, lower=True) ** 2, axis=0)
            scale = np.sum(np.log(np.diag(chol)))
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
        near = part * (DF + z.shape[1]) / (DF + distance)
        centre, chol = [], []
        for j in np.flatnonzero(alive):
            mean = near[:, j] @ z / near[:, j].sum()
            gap = z - mean
            centre.append(mean)
            chol.append(root(gap.T @ (gap * near[:, j, None]) / share[j]))
        return Mixture(share[alive] / share[alive].sum(), np.array(centre), np.array(chol))


def single(centre: np.ndarray, chol: np.ndarray) -> Mixture:
    """Return the one-component mixture with this centre and square root of a scale matrix."""
    lower = root(chol @ chol.T)
    return Mixture(np.ones(1), centre[None], lower[None])


def spread_over(
    rng: np.random.Generator, z: np.ndarray, weight: np.ndarray, components: int
) -> Mixture:
    """Start a mixture: centres at draws far from one another, each with the draws' covariance."""
    mean = weight @ z
    gap = z - mean
    chol = root(gap.T @ (gap * weight[:, None]))
    round_ = solve_triangular(chol, gap.T, lower=True).T
    chosen = [rng.choice(len(z), p=weight)]
    for _ in range(components - 1):  # k-means++ seeding in coordinates where the draws are round
        far = np.min([np.sum((round_ - round_[c]) ** 2, axis=1) for c in chosen], axis=0) * weight
        chosen.append(rng.choice(len(z), p=far / far.sum()))
    shrunk = chol * 0.6
    return Mixture(
        np.full(components, 1 / components), z[chosen], np.repeat(shrunk[None], components, axis=0)
    )


def root(matrix: np.ndarray) -> np.ndarray:
    """Return the lower Cholesky factor, with as much on the diagonal as it takes."""
    size = max(float(np.trace(matrix)) / len(matrix), 1e-300)
    for jitter in (0.0, *(JITTER * 10.0**k for k in range(9))):
        try:
            return np.linalg.cholesky(matrix + jitter * size * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            continue
    return np.sqrt(size) * np.eye(len(matrix))
