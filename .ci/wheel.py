"""Load every card, data set description and embedded table from an installed wheel."""

import pathlib
import sys

import bayes_scaling as bs
from bayes_scaling.results import model_of

SIZES = {
    "params": 1e9,
    "tokens": 1e11,
    "width": 1024.0,
    "flops": 6e20,
    "unique_tokens": 5e10,
    "experts": 32.0,
    "loss": 2.5,
}  # of the runs that are planned

here = pathlib.Path(bs.__file__)
if (here.parent.parent / "models").is_dir():
    sys.exit(f"{here} is a checkout: this must run from an installed wheel")
names = bs.list_models()["name"].tolist()
if not {"chinchilla", "chinchilla-245", "chinchilla-hoffmann"} <= set(names):
    sys.exit(f"the wheel lacks cards: it has {names}")
for name in names:
    fit = bs.load_posterior(name)
    if "opt_lr" in fit["posterior"]:
        at = {k: SIZES[k] for k in model_of(fit).law.fixed}
        plan = bs.recommend(fit, at)
        print(f"{name}: learning rate {float(plan.lr[0]):.2g} at {at}")
    elif "b_crit" in fit["posterior"]:
        found = bs.critical_batch(fit, {"params": 1e9})
        print(f"{name}: critical batch {float(found.b_crit.median()):.3g} tokens at 1e9 params")
    elif set(model_of(fit).law.inputs) != {"params", "tokens"}:
        law = model_of(fit).law
        there = bs.predict(fit, {k: SIZES[k] for k in law.inputs})
        value = float(there[f"{law.outcome}_mean"].median())
        print(f"{name}: {law.outcome} {value:.3g} at {', '.join(law.inputs)}")
    else:
        plan = bs.allocate(fit, 1e22)
        print(f"{name}: {float(plan.params_opt.median()):.3g} params at 1e22 FLOP")
for name in bs.list_datasets()["name"]:
    bs.describe_dataset(name)
print(len(bs.load_dataset("nine-runs")), "runs embedded")
