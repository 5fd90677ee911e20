"""The schema of a run table as data: roles, units, spellings.

A *role* is a canonical column name. Spellings are compared without case, spaces and punctuation,
except that one-letter names keep their case: ``D`` is tokens and ``d`` usually is a width.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bayes_scaling._registry import Registry, did_you_mean
from bayes_scaling.errors import Problem

Kind = Literal["positive", "amount", "real", "fraction", "count", "date", "label", "flag"]

_SIZE = {"1": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_PREFIXED = {"PFLOP": 1e15, "EFLOP": 1e18, "ZFLOP": 1e21, "YFLOP": 1e24}

UNITS: Mapping[str, Mapping[str, float]] = {
    "size": _SIZE,
    "compute": {**_SIZE, **_PREFIXED, "PF-days": 1e15 * 86_400},
    "entropy": {"nats": 1.0, "bits": math.log(2.0), "1": 1.0},
    "share": {"1": 1.0, "%": 0.01},
    "plain": {"1": 1.0},
}
"""What a number must be multiplied by to be in the unit of its role, per scale."""


@dataclass(frozen=True)
class Column:
    """One role a column can play.

    Parameters
    ----------
    name : str
        Canonical name.
    unit : str
        Unit of the canonical column ("tokens", "nats per token").
    kind : {"positive", "amount", "real", "fraction", "count", "date", "label", "flag"}
        Which values are allowed: an amount may be zero too, a count is a positive whole number, a
        fraction is in [0, 1], a date is a year such as 2024.5 or text such as 2024-07-01.
    scale : str
        Key of `UNITS`: the units a source column may be in.
    aliases : tuple of str
        Spellings that are recognised besides the name.
    meaning : str
        One line for people.
    plausible : (lo, hi), optional
        Range that the largest value (for loss: the median) must fall in. Outside it the column is
        taken to be in another unit, unless the caller says that it is not.

    Examples
    --------
    >>> from bayes_scaling.data.columns import COLUMNS
    >>> COLUMNS["tokens"].unit
    'tokens'
    >>> "seq_len" in COLUMNS["context_length"].aliases
    True
    """

    name: str
    unit: str
    kind: Kind
    scale: str = "plain"
    aliases: tuple[str, ...] = ()
    meaning: str = ""
    plausible: tuple[float, float] | None = None

    @property
    def numeric(self) -> bool:
        """Whether the column is read as float64."""
        return self.kind not in ("label", "flag")

    @property
    def units(self) -> Mapping[str, float]:
        """Unit -> factor."""
        return UNITS[self.scale]


COLUMNS: Registry[Column] = Registry("column role")


def _add(name: str, unit: str, kind: Kind, scale: str, aliases: str, meaning: str, **more) -> None:
    spellings = tuple(a.strip() for a in aliases.split(",") if a.strip())
    COLUMNS.add(name, Column(name, unit, kind, scale, spellings, meaning, **more))


# The lower ends are about the LARGEST run: studies go down to 768 non-embedding parameters, but
# none stops at 1e5. The upper ends catch a unit applied to numbers that were raw already.
# fmt: off
_add("params", "parameters", "positive", "size",
     "N, n_params, num_params, nparams, parameters, n_parameters, num_parameters, param_count,"
     " params_count, parameter_count, model_size",
     "model size N; what it counts is the table's `count`", plausible=(1e5, 1e16))
_add("tokens", "tokens", "positive", "size",
     "D, n_tokens, num_tokens, training_tokens, train_tokens, tokens_seen, total_tokens,"
     " token_count, dataset_size",
     "training tokens D seen, repeats included", plausible=(1e6, 1e17))
_add("loss", "nats per token", "positive", "entropy",
     "L, final_loss, val_loss, valid_loss, validation_loss, final_val_loss, eval_loss, test_loss,"
     " train_loss, training_loss, cross_entropy, cross_entropy_loss, ce_loss, nll",
     "cross-entropy of the finished run", plausible=(0.0, 15.0))
_add("flops", "FLOP", "positive", "compute",
     "C, flop, compute, total_flops, training_flop, training_flops, train_flop, train_flops,"
     " training_compute, train_compute, compute_budget",
     "training compute C, under the table's FLOP convention", plausible=(1e11, 1e32))
_add("unique_tokens", "tokens", "positive", "size",
     "U, n_unique_tokens, num_unique_tokens", "distinct training tokens U", plausible=(1e5, 1e17))
_add("epochs", "passes", "positive", "plain",
     "n_epochs, num_epochs", "passes over the unique tokens")
_add("batch_size_tokens", "tokens", "positive", "size",
     "batch_tokens, tokens_per_batch, tokens_per_step, batch_size_in_tokens",
     "tokens per optimizer step (a batch in sequences is not this)")
_add("lr", "1", "positive", "plain",
     "learning_rate, peak_lr, max_lr, peak_learning_rate", "peak learning rate")
_add("width", "units", "count", "size",
     "d_model, hidden_size, hidden_dim, model_dim, embed_dim, n_embd", "residual-stream width")
_add("depth", "layers", "count", "size",
     "n_layers, n_layer, num_layers, layers, num_hidden_layers", "transformer blocks")
_add("heads", "heads", "count", "size",
     "n_heads, n_head, num_heads, num_attention_heads, attention_heads", "attention heads")
_add("ffn_width", "units", "count", "size",
     "d_ff, ffn_dim, ffn_hidden_size, intermediate_size", "feed-forward width")
_add("aspect_ratio", "units per layer", "positive", "plain", "", "width over depth; see `shapes`")
_add("head_dim", "units", "positive", "plain", "d_head, d_k, head_size",
     "width of an attention head; see `shapes`")
_add("ffn_ratio", "1", "positive", "plain", "", "feed-forward width over width; see `shapes`")
_add("experts", "experts", "count", "size",
     "n_experts, num_experts", "experts per routed layer, 1 for a dense model")
_add("total_params", "parameters", "positive", "size",
     "n_total_params, all_params, total_parameters",
     "all parameters of a routed model, where `params` are active", plausible=(1e5, 1e16))
_add("granularity", "1", "positive", "plain", "",
     "how finely experts are cut: width of a dense feed-forward layer over an expert's")
_add("sparsity", "1", "fraction", "share", "",
     "share of a routed model's experts that a token does not pass through")
_add("vocab_size", "tokens", "count", "size", "vocab, n_vocab, vocabulary_size", "vocabulary")
_add("context_length", "tokens", "count", "size",
     "seq_len, seq_length, sequence_length, n_ctx, ctx_len, max_seq_len, context, context_size",
     "training context")
_add("steps", "optimizer steps", "count", "size",
     "n_steps, num_steps, train_steps, training_steps",
     "optimizer steps taken, or needed to reach `target_loss`")
_add("lr_sum", "steps at the peak rate", "positive", "size", "lr_area",
     "area under the learning rate over its peak; see `annealing_sums`")
_add("lr_drop", "steps at the peak rate", "amount", "size", "annealing_area",
     "annealing area: how far the learning rate fell, and how long ago; see `annealing_sums`")
_add("loss_sd", "nats per token", "positive", "entropy",
     "loss_std, loss_se, loss_stderr, loss_sigma", "known standard deviation of the loss's noise")
_add("accuracy", "1", "fraction", "share", "acc, task_accuracy",
     "task accuracy, the share of right answers")
_add("error", "1", "fraction", "share", "err, error_rate, task_error",
     "task error, the share of wrong answers")
_add("questions", "questions", "count", "size",
     "n_questions, num_questions, n_items, num_items, items",
     "questions that an accuracy or an error is the share of")
_add("score", "1", "real", "plain", "task_score", "task score on its own scale")
_add("attempts", "attempts", "count", "plain", "n_attempts, num_attempts, trials, n_trials",
     "attempts at a problem")
_add("solved", "attempts", "amount", "plain", "n_solved, num_solved, successes, n_successes",
     "how many of the attempts at a problem, or of the questions, succeeded")
_add("samples", "samples", "count", "plain", "samples_per_attempt, n_candidates, num_candidates",
     "samples of one attempt, which succeeds if one of them does")
_add("coverage", "1", "fraction", "share", "solve_rate, share_solved, pass_rate",
     "share of the attempts at a problem that succeeded: solved / attempts")
_add("date", "year", "date", "plain", "release_date, publication_date, released, published",
     "when it was released: a year such as 2024.5, or text such as 2024-07-01")
_add("horizon", "minutes", "positive", "plain", "time_horizon, p50_horizon, task_horizon, p50",
     "length of tasks, by how long people take, that are done half of the time")
_add("target_loss", "nats per token", "positive", "entropy", "loss_target",
     "loss that the steps were counted to")
_add("run", "", "label", "plain", "run_id, run_name", "name of the run")
_add("arch", "", "label", "plain", "architecture", "architecture, a group")
_add("dataset", "", "label", "plain", "corpus", "training corpus, a group")
_add("sweep", "", "label", "plain", "sweep_id, sweep_name",
     "runs that differ in the settings swept and in nothing else, a group")
_add("grad_norm_sq", "1", "positive", "plain", "squared_grad_norm, grad_norm_squared, grad_sq_norm",
     "squared norm of the gradient of one batch")
_add("censored", "", "flag", "plain", "is_censored, right_censored",
     "the outcome is a lower bound: the run was stopped before it got there")
_add("diverged", "", "flag", "plain", "is_diverged, has_diverged", "the run diverged")
# fmt: on


def normalise(name: str) -> str:
    """Reduce a column name to what is compared.

    Examples
    --------
    >>> from bayes_scaling.data.columns import normalise
    >>> normalise("Training Tokens"), normalise("D"), normalise("d")
    ('trainingtokens', 'D', 'd')
    """
    bare = "".join(c for c in str(name) if c.isalnum())
    return bare if len(bare) == 1 else bare.lower()


_SPELLINGS = {
    normalise(spelling): role for role in COLUMNS for spelling in (role, *COLUMNS[role].aliases)
}


def recognise(
    names: Sequence[str],
    given: Mapping[str, str | None] | None = None,
    *,
    exact: bool = False,
    require: Sequence[str] = (),
) -> tuple[dict[str, str], list[Problem]]:
    """Say which column plays which role.

    Parameters
    ----------
    names : sequence of str
        The columns of the table.
    given : mapping of role to column name or None, optional
        What the caller says; it goes before recognition. None: no column plays the role.
    exact : bool
        Recognise canonical names only, as in a table that was read before.
    require : sequence of str
        Roles that some column must play.

    Returns
    -------
    roles : dict of role to column name
    problems : list of Problem
        Unknown roles, columns that are not there, roles that two columns match, roles that none
        plays.

    Examples
    --------
    >>> from bayes_scaling.data.columns import recognise
    >>> recognise(["Model Size", "D", "val_loss", "notes"])[0]
    {'params': 'Model Size', 'tokens': 'D', 'loss': 'val_loss'}
    >>> _, (problem,) = recognise(["N", "n_params"])
    >>> print(problem)
    table: 2 columns could be params: 'N', 'n_params'; say which: columns={'params': 'N'}
    """
    given = dict(given or {})
    problems = _misnamed(names, given)
    roles = {r: n for r, n in given.items() if n in names and r in COLUMNS and n is not None}
    taken = set(roles.values())
    candidates: dict[str, list[str]] = {}
    for name in names:
        role = name if exact else _SPELLINGS.get(normalise(name))
        if role in COLUMNS and role not in given and name not in taken:
            candidates.setdefault(str(role), []).append(name)
    for role, found in candidates.items():
        if len(found) == 1:
            roles[role] = found[0]
        else:
            what = f"{len(found)} columns could be {role}: {', '.join(map(repr, found))}"
            do = f"say which: columns={{{role!r}: {found[0]!r}}}"
            problems.append(Problem(None, (), what, do))
    for role in require:
        if role not in roles and role not in candidates and given.get(role) is None:
            problems.append(_lacking(role, names, roles))
    return roles, problems


def _misnamed(names: Sequence[str], given: Mapping[str, str | None]) -> list[Problem]:
    problems = []
    for role, name in given.items():
        if role not in COLUMNS:
            found = f"columns= names the role {role!r}, which does not exist."
            hint = did_you_mean(role, COLUMNS)
            problems.append(Problem(None, (), found + hint, f"roles are {', '.join(COLUMNS)}"))
        elif name is not None and name not in names:
            hint = did_you_mean(name, names)
            do = f"the table has {', '.join(map(repr, names))}"
            problems.append(Problem(str(name), (), f"there is no such column.{hint}", do))
    return problems


def _lacking(role: str, names: Sequence[str], roles: Mapping[str, str]) -> Problem:
    keys = [k for k in map(normalise, (role, *COLUMNS[role].aliases)) if len(k) > 3]
    free = [n for n in names if n not in roles.values()]
    near = [n for n in free if any(k in normalise(n) for k in keys)]
    near += [n for n in free if n not in near and did_you_mean(normalise(n), keys)]
    hint = f" (did you mean {' or '.join(map(repr, near[:3]))}?)" if near else ""
    found = f"no column is recognised as {role}; columns are {', '.join(map(repr, names))}"
    do = f"name it: columns={{{role!r}: {(near or ['...'])[0]!r}}}{hint}"
    if role == "tokens" and {"flops", "params"} <= set(roles):
        do += ", or pass tokens='C/6N' to compute flops/(6 params)"
    return Problem(None, (), found, do)
