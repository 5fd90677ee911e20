"""Ye et al. 2024: losses of models trained on data mixtures.

Sources: per suite and size one text file of lines ``.../<run>/<step> <tab> ....<domain>.bin <tab>
loss``, where a run is named ``<label>-<p1>-<p2>-...``; one JSON of predictions.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_scaling.data.convert import Raw

SIZES = {
    "70M": 18_915_328,
    "160M": 85_056_000,
    "305M": 201_541_632,
    "410M": 302_311_424,
    "1B": 805_736_448,
}
"""Size label -> non-embedding parameters, as the authors count them."""

TOKENS_PER_STEP = 4096 * 256

DOMAINS = (
    "arxiv", "bookcorpus2", "books3", "dm_mathematics", "enron_emails", "europarl", "freelaw",
    "github", "hackernews", "nih_exporter", "opensubtitles", "openwebtext2", "pg19", "philpapers",
    "pile_cc", "pubmed_abstracts", "pubmed_central", "stackexchange", "uspto_backgrounds",
    "ubuntu_irc", "wikipedia_en", "youtubesubtitles",
)  # fmt: skip


def redpajama(raw: Raw) -> pd.DataFrame:
    """Tabulate the RedPajama mixtures of seven domains."""
    return _suites(raw, ("RedPajama",), 7, DOMAINS)


def pile5(raw: Raw) -> pd.DataFrame:
    """Tabulate the Pile mixtures of five groups of domains."""
    return _suites(raw, ("5Mix",), 5, DOMAINS)


def pile2_3(raw: Raw) -> pd.DataFrame:
    """Tabulate the Pile mixtures of two and of three domains."""
    return _suites(raw, ("2Mix", "3Mix"), 3, ("books3", "github", "pile_cc"))


def predictions(raw: Raw) -> pd.DataFrame:
    """Tabulate predicted against observed losses per group of domains."""
    told = json.loads(raw["data/RPJ.predictions.json"].read_text("utf-8"))
    rows = [
        {
            "domain": domain,
            "ratio": ratio,
            "step": int(step),
            "loss_predicted": predicted,
            "loss_observed": observed,
            **_proportions(ratio, 7),
            "split": "fit_or_validation_30k" if int(step) == 30_000 else "target_1B_100k",
        }
        for domain, ratios in told.items()
        for ratio, steps in ratios.items()
        for step, (predicted, observed) in steps.items()
    ]
    return pd.DataFrame(rows)


def _suites(
    raw: Raw, suites: tuple[str, ...], parts: int, domains: tuple[str, ...]
) -> pd.DataFrame:
    rows: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for path, file in raw.items():
        suite, size = Path(path).parent.name, Path(path).stem
        if suite in suites and size in SIZES:
            _read(file, suite, size, parts, rows)
    keys = ["mix_set", "params_non_embedding", "run", "step"]
    head = ["mix_set", "model_size", "params_non_embedding", "run", "ratio", "step", "tokens"]
    shares, losses = [f"p{i + 1}" for i in range(parts)], [f"loss_{d}" for d in domains]
    table = pd.DataFrame(list(rows.values())).sort_values(keys, ignore_index=True)
    return table.reindex(columns=head + shares + losses)


def _read(file: Path, suite: str, size: str, parts: int, rows: dict) -> None:
    for line in file.read_text("utf-8").splitlines():
        checkpoint, data, loss = line.split()
        run, step = checkpoint.rstrip("/").split("/")[-2:]
        if not step.isdigit():  # a few lines evaluate something that is not a checkpoint
            continue
        ratio = run.partition("-")[2]
        row = rows.setdefault(
            (suite, size, run, int(step)),
            {
                "mix_set": suite,
                "model_size": size,
                "params_non_embedding": SIZES[size],
                "run": run,
                "ratio": ratio,
                "step": int(step),
                "tokens": int(step) * TOKENS_PER_STEP,
                **_proportions(ratio, parts),
            },
        )
        domain = data.split("/")[-1].split(".")[-2].lower().replace("-", "_")
        row[f"loss_{domain}"] = float(loss)  # a later line replaces an earlier one


def _proportions(ratio: str, parts: int) -> dict[str, float]:
    values = [float(p) for p in ratio.split("-")]
    return {f"p{i + 1}": values[i] for i in range(min(parts, len(values)))}
