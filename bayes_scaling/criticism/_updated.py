"""A posterior that knows runs it was not fitted to: fitted again, or its draws weighted."""

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.numbers import values_of
from bayes_scaling.data.record import RECORD
from bayes_scaling.inference import psis
from bayes_scaling.inference.fit import fit as fit_model
from bayes_scaling.model import ScalingModel
from bayes_scaling.observations import CLUSTER, ReadsClusters
from bayes_scaling.results import SAMPLES, tree
from bayes_scaling.trust import K_HAT, diagnose, verdicts_of


def extended(
    fit: xr.DataTree, model: ScalingModel, table: pd.DataFrame, there: xr.Dataset, group: Any
) -> pd.DataFrame:
    """Return the fit's own runs and the new ones as one table, ready to be fitted."""
    data = fit["constant_data"].to_dataset()
    old = pd.DataFrame({str(k): v.values for k, v in data.data_vars.items()}, data.run.values)
    old["loss"] = fit["observed_data"]["loss"].values
    new = table.assign(**{c: there[c].values for c in ("flops",) if c in there.coords})
    if model.pooling:
        new = new.assign(**{model.pooling.column: str(group)})
    seen = model.observation
    if isinstance(seen, ReadsClusters) and seen.by:  # the fit's own are known by number
        old[seen.by] = [f"cluster {c:g}" for c in old[CLUSTER]]
        own = new[seen.by].astype(str) if seen.by in new else map(str, new.index)
        new = new.assign(**{seen.by: [f"gate {name}" for name in own]})
    labels: Any = [f"gate {i}" for i in new.index]
    if pd.api.types.is_integer_dtype(old.index):
        labels = int(old.index.to_numpy().max()) + 1 + np.arange(len(new))
    new.index = pd.Index(labels)
    both = [c for c in old if c in new]  # a size that the new runs lack is one the law never read
    out = pd.concat([old[both], new[both]]).assign(use=True, flag="")
    out.attrs[RECORD] = json.loads(fit.attrs.get("table", "{}"))
    return out


def fit_again(fit: xr.DataTree, model: ScalingModel, runs: pd.DataFrame, seed: int) -> xr.DataTree:
    """Fit as the first time: by the same engine, with as many draws."""
    attrs, sizes = fit.attrs, fit["posterior"].sizes
    how: dict[str, Any] = {"seed": seed, "force": bool(json.loads(attrs.get("refusals", "[]")))}
    how |= {"method": attrs["method"], "draws": sizes["chain"] * sizes["draw"]}
    if attrs["method"] == "nuts":
        how |= {"warmup": int(attrs.get("warmup", 500))}
        how |= {"chains": sizes["chain"], "draws": sizes["draw"]}
    return fit_model(model, runs, **how)


def reweighted(
    fit: xr.DataTree, model: ScalingModel, log_like: np.ndarray, there: Any, shown: Any, seed: int
) -> xr.DataTree:
    """Return the posterior with the runs included, of the draws that there are."""
    posterior = fit["posterior"].to_dataset()
    log_weight, k_hat = psis.smooth(log_like)
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    pick = psis.resample(log_weight, len(log_weight), np.random.default_rng([seed, 5]))
    which = {
        d: xr.DataArray(i.reshape(chains, draws), dims=SAMPLES)
        for d, i in zip(SAMPLES, np.divmod(pick, draws), strict=True)
    }
    index = {d: posterior[d].values for d in SAMPLES}
    picked = posterior.isel(which).drop_vars(SAMPLES, errors="ignore").assign_coords(index)
    picked = picked.map(lambda v: v.transpose(*SAMPLES, ...))
    drop = ("model", "recorded", "seconds", "average")  # an average has other shares now
    kept = {str(k): np.asarray(v).item() for k, v in fit.attrs.items() if k not in drop}
    effective = psis.effective(log_weight)
    made = {"method": "laplace", "k_hat": k_hat, "effective": effective}
    do = "fit these runs together with those of the fit: its draws do not reach where they point"
    judged = [v for v in verdicts_of(fit) if v.status == "FAIL"]
    judged += [
        v if v.status == "PASS" else v._replace(do=do)
        for v in diagnose(picked, xr.Dataset(), made)
        if v.name != "modes"  # of the first fit's search, which this is none
    ]
    good = "k-hat is good" if k_hat < K_HAT else f"k-hat {k_hat:.2f} is not below {K_HAT}"
    kept |= {
        "method": "reweighted",
        "method_reason": f"draws weighted by the validation runs ({len(shown)}): {good}",
        "k_hat": k_hat,
        "effective": effective,
        "sampling": json.dumps([list(v) for v in judged]),
        "seed": seed,
        "rows": int(kept.get("rows", 0)) + len(shown),
        "best_loss": min(
            float(kept.get("best_loss", np.inf)), float(values_of(shown, "loss").min())
        ),
    }
    largest = json.loads(str(kept.get("largest", "{}")))
    reached = {k: max(v, float(there[k].max())) for k, v in largest.items() if k in there.coords}
    mark = f"{kept.get('fingerprint')}{shown[['loss', 'pit']].to_json()}"
    kept |= {
        "largest": json.dumps(largest | reached),
        "fingerprint": hashlib.sha256(mark.encode()).hexdigest()[:16],
    }
    return tree({"posterior": picked}, model, **kept)
