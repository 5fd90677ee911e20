"""What a prior means: plain data to and from NumPyro distributions, and elicitation.

The numbers of a prior are arguments of the compiled program, never constants in it, so that
another prior of the same kind costs no compilation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayes_scaling._registry import Registry, did_you_mean
from bayes_scaling.errors import SpecError
from bayes_scaling.param import Prior

STATISTICS = ("min_loss", "mean_loss", "min_upstream", "mean_upstream")


Support = Literal["positive", "unit", "real"]
Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of prior.

    Parameters
    ----------
    args : tuple of str
        Its numbers, in the order of the alphabet.
    positive : tuple of str
        Those that must be positive.
    support : {"positive", "unit", "real"}
        Where it lives before `times` and `plus`.
    build : callable
        ``build(numpyro.distributions, numbers)``, for the compiled program; unvalidated, because
        numbers are checked when a prior is made.
    draw : callable
        ``draw(rng, numbers, size)``, with NumPy: drawing from a prior should compile nothing.
    """

    args: tuple[str, ...]
    positive: tuple[str, ...]
    support: Support
    build: Callable[[Any, Numbers], Any]
    draw: Callable[[np.random.Generator, Numbers, Any], np.ndarray]


KINDS: Registry[Kind] = Registry("prior distribution")


def _lognormal(dist: Any, v: Numbers) -> Any:
    import jax.numpy as jnp

    return dist.LogNormal(jnp.log(v["median"]), v["sigma"], validate_args=False)


for _name, _kind in {
    "LogNormal": Kind(
        ("median", "sigma"),
        ("median", "sigma"),
        "positive",
        _lognormal,
        lambda rng, v, size: rng.lognormal(np.log(v["median"]), v["sigma"], size),
    ),
    "Normal": Kind(
        ("loc", "scale"),
        ("scale",),
        "real",
        lambda dist, v: dist.Normal(v["loc"], v["scale"], validate_args=False),
        lambda rng, v, size: rng.normal(v["loc"], v["scale"], size),
    ),
    "HalfNormal": Kind(
        ("scale",),
        ("scale",),
        "positive",
        lambda dist, v: dist.HalfNormal(v["scale"], validate_args=False),
        lambda rng, v, size: np.abs(rng.normal(0.0, v["scale"], size)),
    ),
    "Exponential": Kind(
        ("mean",),
        ("mean",),
        "positive",
        lambda dist, v: dist.Exponential(1 / v["mean"], validate_args=False),
        lambda rng, v, size: rng.exponential(v["mean"], size),
    ),
    "Beta": Kind(
        ("a", "b"),
        ("a", "b"),
        "unit",
        lambda dist, v: dist.Beta(v["a"], v["b"], validate_args=False),
        lambda rng, v, size: rng.beta(v["a"], v["b"], size),
    ),
    "Gamma": Kind(
        ("rate", "shape"),
        ("rate", "shape"),
        "positive",
        lambda dist, v: dist.Gamma(v["shape"], v["rate"], validate_args=False),
        lambda rng, v, size: rng.gamma(v["shape"], 1 / v["rate"], size),
    ),
    "StudentT": Kind(
        ("df", "loc", "scale"),
        ("df", "scale"),
        "real",
        lambda dist, v: dist.StudentT(v["df"], v["loc"], v["scale"], validate_args=False),
        lambda rng, v, size: v["loc"] + v["scale"] * rng.standard_t(v["df"], size),
    ),
    "Fixed": Kind(
        ("value",),
        (),
        "real",
        lambda dist, v: dist.Delta(v["value"], validate_args=False),
        lambda _rng, v, size: np.full(size, v["value"]),
    ),
}.items():
    KINDS.add(_name, _kind)


def distribution(structure: Prior, values: Mapping[str, Any]) -> Any:
    """Build the NumPyro distribution of a prior.

    Parameters
    ----------
    structure : Prior
        Which distribution it is; its numbers are not read.
    values : mapping of str to scalar
        The numbers by name, with ``scale_by`` (the statistic) and ``shift_by``; may be traced.

    Returns
    -------
    numpyro.distributions.Distribution
    """
    import numpyro.distributions as dist
    from numpyro.distributions.transforms import AffineTransform

    base = KINDS[structure.dist].build(dist, values)
    shift, scale = values.get("shift_by", 0.0), values.get("scale_by", 1.0)
    if structure.dist == "Fixed":
        return dist.Delta(shift + scale * base.v, validate_args=False)
    if not structure.times and "shift_by" not in values:
        return base
    if isinstance(base, dist.LogNormal) and "shift_by" not in values:
        import jax.numpy as jnp

        return dist.LogNormal(base.loc + jnp.log(scale), base.scale, validate_args=False)
    onto = AffineTransform(shift, scale, domain=base.support)
    return dist.TransformedDistribution(base, onto, validate_args=False)


def draw(
    prior: Prior, numbers: Numbers, rng: np.random.Generator, size: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from a prior with NumPy.

    Parameters
    ----------
    prior : Prior
        The prior.
    numbers : mapping
        Its numbers for one table, from `values`.
    rng : numpy.random.Generator
    size : int or tuple of int

    Returns
    -------
    value, loose : arrays of shape `size`
        On the parameter's own scale, and unconstrained (logarithm, logit or as it is).
    """
    shift, scale = numbers.get("shift_by", 0.0), numbers.get("scale_by", 1.0)
    base = KINDS[prior.dist].draw(rng, numbers, size)
    value = shift + scale * base
    support = KINDS[prior.dist].support
    if support == "unit":
        return value, loosen(prior, base)
    return value, loosen(prior, value - shift if support == "positive" else value)


def loosen(prior: Prior, value: np.ndarray) -> np.ndarray:
    """Return the unconstrained value: logarithm, logit or as it is, by the prior's support."""
    support = KINDS[prior.dist].support
    if support == "positive":
        return np.log(np.maximum(value, np.finfo(float).tiny))
    if support == "unit":
        inside = np.clip(value, 1e-12, 1 - 1e-12)
        return np.log(inside) - np.log1p(-inside)
    return value


def tighten(prior: Prior, loose: np.ndarray) -> np.ndarray:
    """Return the value of an unconstrained one: what `loosen` undoes.

    Examples
    --------
    >>> from bayes_scaling.param import Prior
    >>> from bayes_scaling.priors import loosen, tighten
    >>> prior = Prior.of("Beta", a=4, b=2)
    >>> round(float(tighten(prior, loosen(prior, 0.7))), 12)
    0.7
    """
    support = KINDS[prior.dist].support
    if support == "positive":
        return np.exp(loose)
    return 1 / (1 + np.exp(-loose)) if support == "unit" else loose


def values(prior: Prior, statistics: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of a prior for one table: what `distribution` reads.

    Examples
    --------
    >>> from bayes_scaling.param import Prior
    >>> from bayes_scaling.priors import values
    >>> values(Prior.of("Beta", a=4, b=2, times="min_loss"), {"min_loss": 2.0})
    {'a': 4.0, 'b': 2.0, 'scale_by': 2.0}
    """
    out = dict(prior.args)
    if prior.times:
        out["scale_by"] = float(statistics[prior.times])
    if prior.plus:
        out["shift_by"] = prior.plus
    return out


def prior_from_dict(name: str, spec: Mapping[str, Any]) -> Prior:
    """Read a prior from plain data, such as ``{"dist": "LogNormal", "median": 0.3, "sigma": 0.5}``.

    Parameters
    ----------
    name : str
        The parameter, for the error.
    spec : mapping
        `dist`, its numbers, and optionally `times` and `plus`. Instead of its numbers a
        two-number distribution may give ``quantiles = {0.05: low, 0.95: high}``.

    Raises
    ------
    UnknownNameError
        No such distribution.
    SpecError
        A number is missing, unknown, not a number or not positive.

    Examples
    --------
    >>> from bayes_scaling.priors import prior_from_dict
    >>> prior_from_dict("alpha", {"dist": "LogNormal", "median": 0.3, "sigma": 0.5})
    Prior('LogNormal', median=0.3, sigma=0.5)
    """
    spec = dict(spec)
    dist, times, plus = spec.pop("dist", ""), spec.pop("times", ""), spec.pop("plus", 0.0)
    kind = KINDS[dist]
    if times and times not in STATISTICS:
        hint = did_you_mean(times, STATISTICS)
        msg = f"prior of {name!r}: times = {times!r} is no statistic of a table.{hint} Known: "
        raise SpecError(msg + ", ".join(STATISTICS) + ".")
    wrong = []
    if not _is_number(plus):
        wrong.append(f"plus = {plus!r} is not a number")
    if "quantiles" in spec:
        quantiles = dict(spec.pop("quantiles"))
        extra = [*spec, *(["plus"] if plus else [])]
        if extra:
            wrong.append(f"{', '.join(extra)} given beside quantiles, which fix the distribution")
        if not wrong:
            return elicit(dist, {float(p): float(q) for p, q in quantiles.items()}, times=times)
        spec = dict.fromkeys(kind.args, 1.0)
    for key in spec:
        if key not in kind.args:
            wrong.append(f"unknown number {key!r}{did_you_mean(key, kind.args)}")
    for key in kind.args:
        value = spec.get(key)
        if value is None:
            wrong.append(f"missing {key!r}")
        elif not _is_number(value, finite=False):
            wrong.append(f"{key} = {value!r} is not a number")
        elif not np.isfinite(value):
            wrong.append(f"{key} = {value!r} must be finite")
        elif key in kind.positive and value <= 0:
            wrong.append(f"{key} = {value!r} must be positive")
    if wrong:
        takes = ", ".join(kind.args)
        msg = f"prior of {name!r} ({dist}): {'; '.join(wrong)}. {dist} takes: {takes}."
        raise SpecError(msg)
    return Prior.of(dist, times=times, plus=plus, **spec)


def _is_number(value: Any, *, finite: bool = True) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and (not finite or bool(np.isfinite(value)))


def prior_to_dict(prior: Prior) -> dict[str, Any]:
    """Write a prior as plain data."""
    out: dict[str, Any] = {"dist": prior.dist, **dict(prior.args)}
    if prior.times:
        out["times"] = prior.times
    if prior.plus:
        out["plus"] = prior.plus
    return out


def elicit(dist: str, quantiles: Mapping[float, float], *, times: str = "") -> Prior:
    """Find the prior with two given quantiles.

    Parameters
    ----------
    dist : {"LogNormal", "Normal"}
        The distribution; both have a closed form. A "HalfNormal" or "Exponential" takes one.
    quantiles : mapping of float to float
        Probability to value, such as ``{0.05: 0.1, 0.95: 0.8}``.
    times : str, optional
        As in `Prior`: the values are then multiples of that statistic.

    Returns
    -------
    Prior

    Raises
    ------
    SpecError
        The quantiles cannot be met: wrong count, not increasing, not positive.

    Notes
    -----
    With z the standard normal quantile, ``sigma = (ln q2 - ln q1) / (z2 - z1)`` and
    ``ln median = ln q1 - z1 sigma``.

    Examples
    --------
    >>> from bayes_scaling.priors import elicit
    >>> elicit("Normal", {0.025: -1.96, 0.975: 1.96}).args[0]
    ('loc', 0.0)
    """
    from scipy.special import erfinv, ndtri

    need = {"LogNormal": 2, "Normal": 2, "HalfNormal": 1, "Exponential": 1}
    if dist not in need:
        msg = f"no quantile elicitation for {dist!r}; it is there for {', '.join(need)}."
        raise SpecError(msg)
    pairs = sorted((float(p), float(q)) for p, q in quantiles.items())
    p, q = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    ok = len(pairs) == need[dist] and np.all((p > 0) & (p < 1)) and np.all(np.diff(q) > 0)
    if not ok or (dist != "Normal" and np.any(q <= 0)):
        msg = (
            f"{dist} is given by {need[dist]} quantile(s) with probabilities in (0, 1) and "
            f"increasing{'' if dist == 'Normal' else ' positive'} values; found {dict(pairs)}."
        )
        raise SpecError(msg)
    if dist == "HalfNormal":
        return Prior.of(dist, scale=q[0] / (np.sqrt(2) * erfinv(p[0])), times=times)
    if dist == "Exponential":
        return Prior.of(dist, mean=-q[0] / np.log1p(-p[0]), times=times)
    z, y = ndtri(p), np.log(q) if dist == "LogNormal" else q
    scale = (y[1] - y[0]) / (z[1] - z[0])
    loc = y[0] - z[0] * scale
    if dist == "Normal":
        return Prior.of(dist, loc=loc, scale=scale, times=times)
    return Prior.of(dist, median=np.exp(loc), sigma=scale, times=times)
