"""Published rules of thumb for learning rate, batch size and size, as their authors stated them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling._registry import Registry
from bayes_scaling.laws._protocol import namespace

KAPLAN_LR = (0.003239, 0.0001395)  # at one parameter, and lost per e-fold of them
PF_DAY = 1e15 * 86_400  # FLOP
KAPLAN_REACH = 5e9  # parameters from which the authors' own caution applies


@dataclass(frozen=True)
class Rule:
    """A published rule: settings as power laws of sizes.

    Parameters
    ----------
    name, source : str
        What it is called, and where it is from.
    powers : tuple of (str, float, tuple of (str, float))
        Of every knob it sets: column, constant, and the exponent of every size.
    reach : tuple of (str, float)
        Sizes beyond which its authors themselves do not trust it.

    Notes
    -----
    Sizes are counts: `params` without embeddings, `tokens`, `flops`; `batch_size_tokens` in tokens.

    Examples
    --------
    >>> from bayes_scaling.laws.rules import RULES
    >>> there = RULES["step-law"]({"params": 1e9, "tokens": 1e11})
    >>> f"{there['lr']:.3g}, {there['batch_size_tokens']:.3g}"
    '0.00163, 1.11e+06'
    """

    name: str
    source: str
    powers: tuple[tuple[str, float, tuple[tuple[str, float], ...]], ...]
    reach: tuple[tuple[str, float], ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sizes it reads."""
        return tuple(dict.fromkeys(size for _, _, of in self.powers for size, _ in of))

    @property
    def knobs(self) -> tuple[str, ...]:
        """What it sets."""
        return tuple(knob for knob, _, _ in self.powers)

    def __call__(self, x: Mapping[str, Any]) -> dict[str, Any]:
        """Return every knob's value."""
        xp, out = namespace(x), {}
        for knob, constant, of in self.powers:
            log = np.log(constant)
            for size, power in of:
                log = log + power * xp.log(x[size])
            out[knob] = xp.exp(log)
        return out


@dataclass(frozen=True)
class KaplanRate:
    """Kaplan et al.'s learning rate, ``0.003239 - 0.0001395 ln N``, N without embeddings.

    Notes
    -----
    Fitted to sizes up to about 1e9; it falls to zero at 1.2e10 and is NaN from there on.

    Examples
    --------
    >>> from bayes_scaling.laws.rules import RULES
    >>> round(float(RULES["kaplan-lr"]({"params": 1e8})["lr"]), 7)
    0.0006693
    """

    name: str = "kaplan-lr"
    source: str = "Kaplan et al. 2020, arXiv:2001.08361, appendix D.6"
    inputs: tuple[str, ...] = ("params",)
    knobs: tuple[str, ...] = ("lr",)
    reach: tuple[tuple[str, float], ...] = (("params", KAPLAN_REACH),)

    def __call__(self, x: Mapping[str, Any]) -> dict[str, Any]:
        """Return the learning rate."""
        xp = namespace(x)
        rate = KAPLAN_LR[0] - KAPLAN_LR[1] * xp.log(x["params"])
        with np.errstate(invalid="ignore"):  # 0 / 0 where the rule has no answer
            return {"lr": rate * (rate > 0) / (rate > 0)}


RULES: Registry[Any] = Registry("published rule")
for _rule in (
    Rule("step-law", "Li et al. 2025, arXiv:2503.04715",
         (("lr", 1.79, (("params", -0.713), ("tokens", 0.307))),
          ("batch_size_tokens", 0.58, (("tokens", 0.571),)))),
    Rule("deepseek", "DeepSeek-AI 2024, arXiv:2401.02954; C = D times non-embedding FLOP per token",
         (("lr", 0.3118, (("flops", -0.1250),)),
          ("batch_size_tokens", 0.2920, (("flops", 0.3271),)))),
    Rule("porian", "Porian et al. 2024, arXiv:2406.19146",
         (("lr", 3.7, (("params", -0.36),)),
          ("batch_size_tokens", 0.7576, (("params", 0.703),)))),
    KaplanRate(),
    Rule("kaplan-size", "Kaplan et al. 2020, arXiv:2001.08361, C in PF-days, non-embedding",
         (("params", 1.3e9 * PF_DAY**-0.73, (("flops", 0.73),)),)),
):  # fmt: skip
    RULES.add(_rule.name, _rule)


def timescale(tokens_per_param: Any) -> Any:
    """Return the best AdamW timescale ``B / (lr weight_decay D)``, a share of the training.

    Notes
    -----
    ``1.084 (D / N)^-0.527``, Bergsma et al. 2025, arXiv:2505.13738.

    Examples
    --------
    >>> from bayes_scaling.laws.rules import timescale
    >>> [round(float(timescale(r)), 4) for r in (20, 100, 1000)]
    [0.2236, 0.0957, 0.0284]
    """
    return 1.084 * np.power(tokens_per_param, -0.527)
