"""From a model and a table to the NumPyro program they stand for.

Everything that changes between tables and priors of one structure is in `data`, a pytree of
arrays: the program itself depends on the structure alone, so that it compiles once.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling import priors
from bayes_scaling.data.flags import only_diverged
from bayes_scaling.data.numbers import usable, values_of, without_attrs
from bayes_scaling.errors import FitError, Problem, SpecError, TableError
from bayes_scaling.laws import Average, HasSweeps, Held, bind, misfits, ranges_of
from bayes_scaling.model import ScalingModel, model_to_json
from bayes_scaling.observations import CLUSTER, MEASURED, NO_CLUSTER, ReadsClusters, Refuses
from bayes_scaling.param import Param, Prior

GROUP_SD = {"intercept": 0.15}  # of ln a0 between recipes, 0.03 to 0.7; exponents move less
GROUP_SD_ELSE = 0.05
GROUP_SD_SIGMA = 0.8
WEIGHTLESS = 1e-30  # of padding: nothing beside a row, and NumPyro refuses a weight of zero
UPSTREAM = "loss"  # of a table of other outcomes, which priors of the way there may refer to
SWEEP = "sweep"  # the column that names a run's sweep
OUTLYING = 1e-3  # of the runs may lie below the floor
SPREAD = Prior.of("LogNormal", median=1.0, sigma=1.0)


@dataclass(frozen=True)
class Prepared:
    """A model bound to the usable rows of a table.

    Parameters
    ----------
    model : ScalingModel
        With the law's reference sizes set.
    data : dict
        The arrays the program reads; rows are padded, and weigh 1e-30 where they are.
    runs : pandas.DataFrame
        The rows used, in order, with their index of the table.
    groups : tuple of str
        The groups of the pooling column, in the order of the group index.
    """

    model: ScalingModel
    data: dict[str, Any]
    runs: pd.DataFrame
    groups: tuple[str, ...]

    @property
    def program(self) -> "Program":
        """The NumPyro program, equal for equal structures."""
        return Program(self.model.structure)

    @property
    def fingerprint(self) -> str:
        """A hash of the model and of the numbers it was given."""
        digest = hashlib.sha256(model_to_json(self.model).encode())
        columns = [c for c in (*self.model.columns, self.model.law.outcome) if c in self.runs]
        for c in columns:
            digest.update(f"{c}:{self.runs[c].tolist()}".encode())
        return digest.hexdigest()[:16]


def prepare(model: ScalingModel, runs: pd.DataFrame) -> Prepared:
    """Bind a model to a validated run table.

    Parameters
    ----------
    model : ScalingModel
        The model.
    runs : pandas.DataFrame
        A table from `read_runs`; rows with ``use`` False are left out.

    Raises
    ------
    TableError
        A column that the model needs is missing or incomplete.
    FitError
        No usable row.
    SpecError
        The law is an average.
    """
    refuse_made(model)
    outcome = model.law.outcome
    used = rows_for(model, runs)
    failed = np.zeros(len(used), bool)
    if "diverged" in model.inputs and "diverged" in used:
        failed = values_of(used, "diverged") > 0
    problems = []
    for name in (*model.columns, outcome):
        if name not in used:
            do = "add it, or choose a model that does not need it"
            problems.append(Problem(name, (), "missing, and the model needs it", do))
        elif (gaps := np.asarray(pd.isna(used[name])) & ~(failed & (name == outcome))).any():
            rows = tuple(f"row {i}" for i in used.index[gaps])
            do = "fill the values in or drop these runs"
            problems.append(Problem(name, rows, f"{len(rows)} missing values", do))
        elif name in model.law.inputs and (words := _words(used[name])).any():
            rows = tuple(f"row {i}" for i in used.index[words])
            shown = ", ".join(dict.fromkeys(repr(v) for v in used[name][words]))[:80]
            found = f"{len(rows)} values are no numbers: {shown}"
            problems.append(Problem(name, rows, found, "write plain numbers"))
    seen = model.observation
    along = seen.along if isinstance(seen, ReadsClusters) else ""
    if along in used:  # what is missing is said above
        given = pd.Series(used[along])
        positive = np.asarray(pd.to_numeric(given, errors="coerce"), float) > 0
        wrong = ~positive & np.asarray(given.notna())
        if wrong.any():
            rows = tuple(f"row {i}" for i in used.index[wrong])
            do = "give positive numbers, or along='' where nothing is forgotten"
            found = f"{len(rows)} values are no positive numbers"
            problems.append(Problem(along, rows, found, do))
    problems += _misfits(model, used)
    beside = [p.name for p in model.params if model.prior(p.name).times.endswith("_upstream")]
    if beside and UPSTREAM not in model.columns:
        do = f"state these priors in other units, or choose a model that reads {UPSTREAM}"
        found = f"priors of {', '.join(beside)} are in units of it, and the model does not read it"
        problems.append(Problem(UPSTREAM, (), found, do))
    stopped = values_of(used, "censored") > 0 if "censored" in used else np.zeros(0, bool)
    if "censored" not in model.inputs and stopped.any():
        rows = tuple(f"row {i}" for i in used.index[stopped])
        do = "choose observation=Censored(); as measured outcomes they would mislead"
        problems.append(Problem("censored", rows, f"{len(rows)} outcomes are lower bounds", do))
    if problems:
        source = "model and table"
        raise TableError(source, problems)
    if len(stopped) and stopped.all():
        msg = "every outcome is a lower bound: no run arrived, so nothing says how far off it was"
        raise FitError(msg)
    if failed.any():
        lost = _all_failed(used, failed, model.pooling.column if model.pooling else "")
        if lost:
            msg = f"every run diverged {lost}; leave them out, or sweep lower values"
            raise FitError(msg)
    if used.empty:
        msg = "no usable run in the table: every row is flagged as unusable; see its column `flag`"
        raise FitError(msg)
    x = _clusters(model, used)
    read = dict.fromkeys((*model.law.inputs, *model.observation.inputs, "flops", along))
    x |= {name: values_of(used, name) for name in read if name in used}
    y = values_of(used, outcome)
    if failed.any():  # with a number where a run failed, whose value nothing looks at
        y = np.where(failed, y[~failed].mean(), y)
    if "diverged" in x:
        x["diverged"] = failed.astype(float)
    law = bind(model.law, x)
    groups, index = (), np.zeros(len(y), int)
    if model.pooling:
        codes, labels = pd.factorize(used[model.pooling.column], sort=True)
        groups, index = tuple(map(str, labels)), np.asarray(codes)
    bound = replace(model, law=law)
    data = _data(bound, x, y, index, groups, ~failed)
    return Prepared(bound, data, used, groups)


def _words(column: Any) -> np.ndarray:
    """Say which values of a column are no numbers; those with a role were read as numbers."""
    return np.isnan(np.asarray(pd.to_numeric(pd.Series(column), errors="coerce"), float))


def _misfits(model: ScalingModel, used: pd.DataFrame) -> list[Problem]:
    """Return what the table holds that the law does not know, or the observation model."""
    law, seen = model.law, model.observation
    read = (*law.inputs, *seen.inputs, law.outcome)
    there = [c for c in read if c in used]
    values = {c: values_of(used, c) for c in there if pd.api.types.is_numeric_dtype(used[c])}
    full = {c: v for c, v in values.items() if not np.isnan(v).any()}  # gaps are said already
    found = misfits(law, {c: v for c, v in full.items() if c in ranges_of(law)})
    complete = set(read) <= set(full) and law.outcome in full
    if isinstance(seen, Refuses) and complete:
        found += seen.misfits(full, full[law.outcome])
    labels = [f"row {i}" for i in used.index]
    rows = [tuple(labels[i] for i in np.flatnonzero(m.rows)) for m in found]
    return [Problem(m.column, r, m.found, m.do) for m, r in zip(found, rows, strict=True)]


def refuse_made(model: ScalingModel) -> None:
    """Refuse to make a program of what is put together from fits: an average, a law held."""
    if isinstance(model.law, Average):
        names = ", ".join(repr(law.name) for law in model.law.laws)
        msg = f"an average is made, not fitted: fit {names} each, and give the fits to `average`"
        raise SpecError(msg)
    if isinstance(model.law, Held):
        msg = f"inputs are held of a fit: fit {model.law.law.name!r}, and give the fit to `hold`"
        raise SpecError(msg)


def rows_for(model: ScalingModel, runs: pd.DataFrame) -> pd.DataFrame:
    """Pick the runs that a model is fitted to: the usable ones, and where it reads them failures.

    A law of sweeps gets the column `sweep`, which names what a run does not share with others.

    Raises
    ------
    FitError
        Several sweeps, and a model that gives them one level.
    """
    kept = runs
    if "use" in runs:
        kept = usable(runs)
        if "diverged" in model.observation.inputs:
            kept = without_attrs(runs).loc[runs["use"].to_numpy(bool) | only_diverged(runs)]
    law = model.law
    if not isinstance(law, HasSweeps):
        return kept
    fixed = [c for c in law.inputs if c not in law.swept]
    if not set(fixed) <= set(kept):
        return kept  # what is missing is said with all other problems
    if SWEEP not in kept:
        kept = kept.assign(**{SWEEP: sweeps(kept, fixed)})
    count = len(set(kept[SWEEP]))
    if count > 1 and model.pooling is None:
        msg = (
            f"the table holds {count} sweeps (by {', '.join(fixed) or SWEEP}), and the model gives "
            f"all of them one loss: pooling=Pooling('sweep', (('l0', 'free'),)), or one sweep alone"
        )
        raise FitError(msg)
    return kept


def _clusters(model: ScalingModel, runs: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the number of every run's cluster, where runs scatter by clusters."""
    seen = model.observation
    if not isinstance(seen, ReadsClusters):
        return {}
    if seen.by is None:
        names = ["all"] * len(runs)
    else:
        names = runs[seen.by].astype(str) if seen.by else sweeps(runs, list(model.law.inputs))
    pairs = pd.Series(list(names))
    if model.pooling and not seen.across:  # runs of two groups are two, whatever they are called
        pairs = pairs.str.cat(runs[model.pooling.column].astype(str).to_numpy(), sep="\0")
    return {CLUSTER: pd.factorize(pairs)[0].astype(float)}


def _all_failed(runs: pd.DataFrame, failed: np.ndarray, column: str) -> str:
    """Say in which groups no run finished."""
    if not column:
        return "of the table" if failed.all() else ""
    names = runs[column].to_numpy().astype(str)
    lost = [str(k) for k in np.unique(names) if failed[names == k].all()]
    return ", ".join(f"of {column} {k!r}" for k in lost)


def sweeps(runs: pd.DataFrame, fixed: list[str]) -> list[str]:
    """Name the sweep of every run by what its runs share.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayes_scaling.program import sweeps
    >>> sweeps(pd.DataFrame({"params": [1e9, 1e9], "lr": [1e-3, 2e-3]}), ["params"])
    ['params=1e+09', 'params=1e+09']
    """
    columns = [[f"{c}={v:.6g}" for v in values_of(runs, c)] for c in fixed]
    return [" ".join(names) for names in zip(*columns, strict=True)] or [SWEEP] * len(runs)


def _data(
    model: ScalingModel, x: dict[str, Any], y: Any, group: Any, groups: tuple, ran: np.ndarray
) -> dict[str, Any]:
    rows = padded(len(y))
    fill = [(0, rows - len(y))]
    wanted = {*model.columns, CLUSTER}
    n_groups = len(groups)
    stats = _statistics(x, y, ran)
    data: dict[str, Any] = {
        "x": alone({k: np.pad(v, fill, mode="edge") for k, v in x.items() if k in wanted}, len(y)),
        "y": np.pad(y, fill, mode="edge"),
        "weight": np.where(np.arange(rows) < len(y), 1.0, WEIGHTLESS),
        "reference": {k: float(v) for k, v in model.law.reference},
        "prior": {p.name: priors.values(model.prior(p.name), stats) for p in model.params},
    }
    if "flops" in wanted:
        data["x"]["flops_ref"] = float(np.exp(np.mean(np.log(x["flops"]))))
    if n_groups:
        data["group"] = np.pad(group, fill, mode="edge")
        each = [_statistics(x, y, ran & (group == g)) for g in range(n_groups)]
        by_group = {k: np.array([one[k] for one in each]) for k in stats}
        scale = {p.name: by_group[t] for p in model.params if (t := model.prior(p.name).times)}
        data["group_scale"] = {
            p.name: scale.get(p.name, np.ones(n_groups))
            for p in model.params
            if model.mode(p) != "shared"
        }
        data["group_sd"] = {
            p.name: {
                "median": p.apart or GROUP_SD.get(p.role, GROUP_SD_ELSE),
                "sigma": GROUP_SD_SIGMA,
            }
            for p in model.params
            if model.mode(p) == "partial"
        }
    return data


def _statistics(x: dict[str, Any], y: np.ndarray, which: np.ndarray) -> dict[str, float]:
    """Return what priors may be in units of, over some of the runs."""
    out = {"min_loss": lowest(y[which]), "mean_loss": float(y[which].mean())}
    if UPSTREAM in x:
        loss = x[UPSTREAM][which]
        out |= {"min_upstream": lowest(loss), "mean_upstream": float(loss.mean())}
    return out


def alone(x: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """Give what pads rows to a number of them no cluster, of which others would learn."""
    if CLUSTER not in x:
        return x
    cluster = np.where(np.arange(len(x[CLUSTER])) < rows, x[CLUSTER], NO_CLUSTER)
    return {**x, CLUSTER: cluster}


def lowest(loss: np.ndarray) -> float:
    """Return the least loss that is no outlier: of more than a thousand runs, a 0.1 % quantile.

    Priors put the floor below it. Among very many runs of heavy-tailed scatter some are measured
    below any floor, and a floor kept below those would bend the law.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.program import lowest
    >>> lowest(np.arange(999.0)), lowest(np.arange(10_000.0))
    (0.0, 10.0)
    """
    k = int(len(loss) * OUTLYING)
    return float(np.partition(loss, k)[k])


def padded(rows: int) -> int:
    """Return the padded row count: the next power of two, and 32 at least.

    Tables of similar size then share one compiled program, which takes a hundred times as long to
    make as rows without weight take to evaluate.

    Examples
    --------
    >>> from bayes_scaling.program import padded
    >>> padded(9), padded(240), padded(245), padded(257)
    (32, 256, 256, 512)
    """
    return 1 << max(5, (rows - 1).bit_length())


@dataclass(frozen=True)
class Program:
    """The NumPyro program of a model structure: call it with the `data` of a `Prepared`.

    It is an ordinary NumPyro model, so every NumPyro tool takes it, and it hashes by value, so
    that equal structures share what was compiled.
    """

    structure: ScalingModel

    def __call__(self, data: Mapping[str, Any]) -> None:
        """Sample the parameters and observe the loss."""
        import numpyro

        theta = {p.name: self._draw(p, data) for p in self.structure.params}
        # Weights and not a mask: a comparison in the innermost loop makes it four times slower.
        with (
            numpyro.plate("run", data["y"].shape[0]),
            numpyro.handlers.scale(scale=data["weight"]),
        ):
            numpyro.sample(self.structure.law.outcome, self.observed(theta, data), obs=data["y"])

    @property
    def identity(self) -> str:
        """What the program is made from, where this package alone made it; else nothing."""
        parts = (self.structure.law, self.structure.observation)
        ours = all(type(p).__module__.split(".")[0] == "bayes_scaling" for p in parts)
        return repr(self.structure) if ours else ""

    @property
    def local(self) -> tuple[str, ...]:
        """The latent sites of which every group has one."""
        names = {"free": "group", "partial": "z"}
        modes = {p.name: self.structure.mode(p) for p in self.structure.params}
        return tuple(f"{p}_{names[mode]}" for p, mode in modes.items() if mode in names)

    @property
    def scatter(self) -> tuple[str, ...]:
        """The latent sites of how runs scatter, of which all groups have one."""
        params = self.structure.observation.params
        return tuple(p.name for p in params if self.structure.mode(p) == "shared")

    def sites(self, data: Mapping[str, Any]) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Return the latent sites with their unconstrained shapes."""
        found: list[tuple[str, tuple[int, ...]]] = []
        for p in self.structure.params:
            if self.structure.prior(p.name).dist == "Fixed":
                continue
            mode = self.structure.mode(p)
            groups = np.shape(data["group_scale"][p.name]) if mode != "shared" else ()
            if mode == "free":
                found.append((f"{p.name}_group", groups))
                continue
            found.append((p.name, ()))
            if mode == "partial":
                found += [(f"{p.name}_sd", ()), (f"{p.name}_z", groups)]
        return tuple(found)

    def observed(self, theta: Mapping[str, Any], data: Mapping[str, Any]) -> Any:
        """Return the distribution of every row's outcome; `theta` is per row or scalar."""
        reference = tuple(data["reference"].items())
        law = replace(self.structure.law, reference=reference)
        x = data["x"]
        if CLUSTER in x:  # rows are scored given those before them
            x = {**x, MEASURED: data["y"]}
        return replace(self.structure, law=law).distribution(theta, x)

    def prior_draws(
        self, data: Mapping[str, Any], rng: np.random.Generator, count: int
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Draw every latent site from the prior with NumPy.

        Returns
        -------
        values, loose : dict of str to (count, ...) array
            On the parameters' own scales, and unconstrained.
        """
        both: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for p in self.structure.params:
            prior, mode = self.structure.prior(p.name), self.structure.mode(p)
            numbers = data["prior"][p.name]
            if mode == "free":
                scale = data["group_scale"][p.name]
                own = {**numbers, "scale_by": scale} if prior.times else numbers
                both[f"{p.name}_group"] = priors.draw(prior, own, rng, (count, len(scale)))
                continue
            both[p.name] = priors.draw(prior, numbers, rng, count)
            if mode == "partial":
                groups = len(data["group_scale"][p.name])
                spread = priors.draw(SPREAD, data["group_sd"][p.name], rng, count)
                bare = both[p.name][0] / numbers.get("scale_by", 1.0)
                middle = priors.loosen(prior, bare)[:, None]
                z = middle + spread[0][:, None] * rng.normal(size=(count, groups))
                both |= {f"{p.name}_sd": spread, f"{p.name}_z": (z, z)}
        return {k: v for k, (v, _) in both.items()}, {k: v for k, (_, v) in both.items()}

    def _draw(self, param: Param, data: Mapping[str, Any]) -> Any:
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        name, prior = param.name, self.structure.prior(param.name)
        mode, numbers = self.structure.mode(param), data["prior"][name]
        if prior.dist == "Fixed":
            held = priors.distribution(prior, numbers).v
            return numpyro.deterministic(name, jnp.asarray(held))
        if mode == "shared":
            return numpyro.sample(name, priors.distribution(prior, numbers))
        scale, groups = data["group_scale"][name], data["group_scale"][name].shape[0]
        if mode == "free":
            own = {**numbers, "scale_by": scale} if prior.times else numbers
            each = priors.distribution(prior, own).expand([groups])
            with numpyro.plate("group", groups):
                own_values: Any = numpyro.sample(f"{name}_group", each)
            return own_values[data["group"]]
        overall = numbers.get("scale_by", 1.0)
        centre = numpyro.sample(name, priors.distribution(prior, numbers))
        spread = numpyro.sample(f"{name}_sd", priors.distribution(SPREAD, data["group_sd"][name]))
        # Groups differ on the unconstrained scale of the unscaled prior, so a pooled floor stays
        # below each group's own best loss. Their values are sampled as they are (centred): runs
        # pin them down, and what is left of the hierarchy is nearly Gaussian.
        bare = {k: v for k, v in numbers.items() if k != "scale_by"}
        onto = dist.biject_to(priors.distribution(replace(prior, times=""), bare).support)
        with numpyro.plate("group", groups):
            z = numpyro.sample(f"{name}_z", dist.Normal(onto.inv(centre / overall), spread))
        value = onto(z) * scale
        numpyro.deterministic(f"{name}_group", value)
        return value[data["group"]]
