"""The loss about its best setting: what a miss costs, and how the best setting moves with scale.

A *knob* is anything that is swept at a fixed scale: learning rate, batch size, aspect ratio. A
*sweep* is the set of runs that agree in everything else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative, sizes
from bayes_scaling.laws.joint import FLOOR, SHARE, SLOPE, exponent_param, intercept_param
from bayes_scaling.laws.rules import RULES
from bayes_scaling.param import Param, Prior

SHORT = {"batch_size_tokens": "batch"}
CLOSE = 0.02  # |t| below which the series of the bowl is exact and its closed form cancels
FAR = 20.0  # ln of a loss ratio, and exponent of a bowl, that no run gets to
SHAPES = ("aspect_ratio", "head_dim", "ffn_ratio", "depth")
BEND, BEND_OF_SHAPE = 0.02, 0.01  # of the loss, in ln of the knob: shapes matter less
MOVES = {  # of the optimum of a knob along an input; of any other pair Normal(0, 0.2)
    ("lr", "width"): (-0.5, 0.5),
    ("lr", "params"): (-0.4, 0.3),
    ("lr", "tokens"): (0.0, 0.3),
    ("lr", "flops"): (-0.15, 0.15),
    ("batch", "tokens"): (0.45, 0.2),
    ("batch", "params"): (0.0, 0.2),
    ("batch", "flops"): (0.3, 0.15),
}


@LAWS.register("tuning")
@dataclass(frozen=True)
class Tuning:
    """Loss about its best setting, ``ln L = ln L* + sum_i kappa_i linex(v_i)``.

    Parameters
    ----------
    knobs : tuple of str, default ("lr",)
        The columns that are swept: one, or several that interact.
    along : tuple of tuple of str, default ((),)
        For every knob, the columns that its optimum is a power law of; one name or one list will
        do for one knob.
    scale : {"log", "linear"}, default "log"
        Whether a miss costs a share of the loss, or nats: ``L = L* + sum_i kappa_i linex(v_i)``,
        for losses that go to nearly nothing.
    reference : tuple of (str, float), optional
        Sizes that inputs are divided by; the geometric means of the training table unless given.
    level : str, default ""
        The size that the best loss falls with, ``L* = E + A / X^alpha``, such as "params" where
        data grow with size. Then the table is one surface and holds no sweeps: no two runs need
        agree in anything, as where width and depth are all that differs. Without it every sweep
        has a best loss of its own.
    rule : str, optional
        A published rule, such as "step-law": the optima of the knobs that it sets are then counted
        from it, ``opt_k`` over what it says and ``rise_k_x`` beyond its own exponents, so that 1
        and 0 are the rule itself.

    Raises
    ------
    SpecError
        No knob, one twice, one that would move along a knob, `along` for another number of them, or
        a rule that sets none of them.
    UnknownNameError
        No such rule.

    Notes
    -----
    With ``u_i = ln(knob_i / knob_i*)`` and ``ln knob_i* = ln opt_i + sum_x rise_i_x ln(x / x0)``,
    the miss of a knob is ``v_i = u_i - sum_{j>i} follow_i_j ln((1 + r) / (1 + r e^(-u_j)))``: the
    best value of one knob given a later one is ``~ 1 / (1 + knee / knob_j)^follow``. Far below the
    knee it grows as the power `follow` of that knob (0.5 is the square-root rule of learning rate
    and batch size, 1 the linear one), far above not at all; for a learning rate the knee is the
    noise scale of the gradient. ``r = knee_i_j prod_x (x / x0)^drift_i_j_x`` is the knee over the
    best value of that knob.
    ``linex(v) = (e^(s v) - 1 - s v) / s^2`` is ``v^2 / 2``
    near 0 for any `skew` s; with s > 0 the loss rises as a power of the knob below the optimum and
    ever faster above it, as with a learning rate; s = 0 is the parabola.
    ``kappa_i = curvature_i prod_x (x / x0)^fade_i_x``.

    Parameters, with k a knob's name (`batch` of `batch_size_tokens`): ``l0`` = L*, or of a `level`
    ``E``, ``a0`` = A X0^-alpha and ``alpha``; ``opt_k`` in
    units of the knob's reference, ``curvature_k`` = kappa (a factor of two costs about
    ``0.24 kappa`` of the loss), ``skew_k``, ``rise_k_x``, ``fade_k_x``, ``follow_k_j``,
    ``knee_k_j`` and ``drift_k_j_x``, x being what the best of j moves along. A table of several
    sweeps has an `l0` for each: ``Pooling("sweep", (("l0", "free"),))``, under which the optima
    scatter about their power laws.

    References
    ----------
    Li et al. 2025, arXiv:2503.04715 (the surface over learning rate and batch size); McCandlish et
    al. 2018, arXiv:1812.06162 (the best learning rate at a batch size); Yang et al. 2022,
    arXiv:2203.03466 (learning rate against width); Varian 1975 and Zellner 1986,
    doi:10.1080/01621459.1986.10478289 (linex).

    Examples
    --------
    >>> from bayes_scaling.laws import Tuning
    >>> law = Tuning("lr", "width", reference=(("lr", 1e-3), ("width", 1024)))
    >>> [p.name for p in law.params]
    ['l0', 'opt_lr', 'curvature_lr', 'skew_lr', 'rise_lr_width', 'fade_lr_width']
    >>> theta = {"l0": 3.0, "opt_lr": 1.0, "curvature_lr": 0.02, "skew_lr": 0.0,
    ...          "rise_lr_width": -1.0, "fade_lr_width": 0.0}
    >>> round(float(law.best(theta, {"width": 4096})["lr"]), 6)
    0.00025
    >>> round(float(law(theta, {"width": 4096, "lr": 0.0005})), 4)
    3.0144
    """

    knobs: tuple[str, ...] = ("lr",)
    along: tuple[tuple[str, ...], ...] = ((),)
    scale: Literal["log", "linear"] = "log"
    reference: Reference | None = None
    rule: str | None = None
    level: str = ""

    name: ClassVar[str] = "tuning"
    outcome: ClassVar[str] = "loss"
    latents: ClassVar[tuple[str, ...]] = ("excess", "overshoot")

    def __post_init__(self) -> None:
        knobs = (self.knobs,) if isinstance(self.knobs, str) else tuple(self.knobs)
        along = _lists(self.along, len(knobs))
        object.__setattr__(self, "knobs", knobs)
        object.__setattr__(self, "along", along)
        if self.scale not in ("log", "linear"):
            msg = f"scale is one of log, linear; found {self.scale!r}"
            raise SpecError(msg)
        if self.rule is not None and not set(RULES[self.rule].knobs) & set(knobs):
            sets = ", ".join(RULES[self.rule].knobs)
            msg = f"rule {self.rule!r} sets {sets}, and none of the knobs {', '.join(knobs)}"
            raise SpecError(msg)
        if self.level in knobs and self.level:
            msg = f"level: {self.level!r} is a knob, and what the best loss falls with is a size"
            raise SpecError(msg)
        every = [*knobs, *(x for xs in along for x in xs)]
        bad = not knobs or len(set(knobs)) < len(knobs) or len(along) != len(knobs)
        bad = bad or any(len(set(xs)) < len(xs) or set(xs) & set(knobs) for xs in along)
        if bad or not all(isinstance(x, str) and x for x in every):
            msg = (
                f"a tuning law has distinct knobs, such as ('lr', 'batch_size_tokens'), and for "
                f"each the columns that its optimum moves along, such as (('params', 'tokens'), "
                f"('tokens',)); found {self.knobs!r} and {self.along!r}"
            )
            raise SpecError(msg)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (*self.knobs, *self.fixed)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The sizes that the level and the optima move along, the same within a sweep."""
        level = (self.level,) if self.level else ()
        return tuple(dict.fromkeys((*level, *(x for k in self.knobs for x in self.moves(k)))))

    def moves(self, knob: str) -> tuple[str, ...]:
        """Return the sizes that the best value of a knob moves along."""
        along = self.along[self.knobs.index(knob)]
        rule = RULES[self.rule].inputs if self.rule and knob in self._ruled else ()
        return tuple(dict.fromkeys((*along, *rule)))

    @property
    def swept(self) -> tuple[str, ...]:
        """The inputs that differ within a sweep: all of them where the table is one surface."""
        return self.inputs if self.level else self.knobs

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        level = Prior.of("LogNormal", median=1.0, sigma=0.3, times="min_loss")
        bend: dict[str, Any] = {"sigma": 1.0}
        unit, of = "1", "ln loss"
        if self.scale == "linear":
            unit, of, bend = "nat/token", "the loss", {**bend, "times": "mean_loss"}
        out = [Param("l0", level, "nat/token", "loss of a sweep's best setting", (1.5, 4.0),
                     "intercept")]  # fmt: skip
        if self.level:
            x = self.level
            out = [FLOOR, intercept_param("a0", x, SHARE), exponent_param("alpha", x, SLOPE)]
        for i, knob in enumerate(self.knobs):
            k, ruled = short(knob), knob in self._ruled
            bend = {**bend, "median": BEND_OF_SHAPE if knob in SHAPES else BEND}
            units = f"what rule {self.rule} says" if ruled else "its reference"
            out += [
                Param(f"opt_{k}", Prior.of("LogNormal", median=1.0, sigma=1.5), "1",
                      f"best {knob} at the reference, in units of {units}", (0.1, 10.0),
                      "intercept"),
                Param(f"curvature_{k}", Prior.of("LogNormal", **bend), unit,
                      f"second derivative of {of} in ln {knob} at the best", (0.005, 0.1)),
                Param(f"skew_{k}", Prior.of("Normal", loc=0.0, scale=0.7), "1",
                      f"how much steeper a {knob} too large is than one too small", (-1.0, 2.0)),
            ]  # fmt: skip
            for x in self.along[i]:
                loc, scale = MOVES.get((k, x), (0.0, 0.2))
                loc, beyond = (0.0, ", beyond the rule's") if ruled else (loc, "")
                out.append(Param(f"rise_{k}_{x}", Prior.of("Normal", loc=loc, scale=scale), "1",
                                 f"exponent of the best {knob} in {x}{beyond}", (-1.0, 1.0),
                                 "slope"))  # fmt: skip
                out.append(Param(f"fade_{k}_{x}", Prior.of("Normal", loc=0.0, scale=0.4), "1",
                                 f"exponent of the curvature in {x}", (-0.6, 0.6),
                                 "slope"))  # fmt: skip
            for j, beside in self._later(i):
                pair = f"{k}_{short(j)}"
                out += [
                    Param(f"follow_{pair}", Prior.of("Normal", loc=0.75, scale=0.5), "1",
                          f"exponent of the best {knob} in {j} far below the knee", (0.0, 1.5),
                          "slope"),
                    Param(f"knee_{pair}", Prior.of("LogNormal", median=1.0, sigma=1.0), "1",
                          f"{j} over its best at which {knob} stops following it", (0.1, 10.0)),
                    *(Param(f"drift_{pair}_{x}", Prior.of("Normal", loc=0.0, scale=0.3), "1",
                            f"exponent of that ratio in {x}", (-0.5, 0.5), "slope")
                      for x in beside),
                ]  # fmt: skip
        return tuple(out)

    def log_best(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return ln of every knob's best value at ``x``, by knob."""
        xp, ref, out = namespace(theta, x), sizes(self), {}
        says = RULES[self.rule](x) if self.rule else {}
        for knob, along in zip(self.knobs, self.along, strict=True):
            k = short(knob)
            log = xp.log(theta[f"opt_{k}"]) + xp.log(says.get(knob, ref.get(knob)))
            for name in along:
                log = log + theta[f"rise_{k}_{name}"] * relative(self, x, name, xp)
            out[knob] = log
        return out

    def best(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return every knob's best value at ``x``, in the knob's own unit, by knob."""
        xp = namespace(theta, x)
        return {knob: xp.exp(log) for knob, log in self.log_best(theta, x).items()}

    def miss(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return v, ln of knob over its best given the later knobs, by knob."""
        xp, best = namespace(theta, x), self.log_best(theta, x)
        gap = {knob: xp.log(x[knob]) - best[knob] for knob in self.knobs}
        out = {}
        for i, knob in enumerate(self.knobs):
            v = gap[knob]
            for j, beside in self._later(i):
                pair = f"{short(knob)}_{short(j)}"
                knee = xp.log(theta[f"knee_{pair}"])
                for name in beside:
                    knee = knee + theta[f"drift_{pair}_{name}"] * relative(self, x, name, xp)
                v = v - theta[f"follow_{pair}"] * followed(gap[j], knee, xp)
            out[knob] = v
        return out

    def curvature(self, theta: Theta, x: Inputs, knob: str) -> Any:
        """Return kappa of a knob at ``x``, the second derivative of ln L in ln knob at the best."""
        xp, k = namespace(theta, x), short(knob)
        log = 0.0
        for name in self.along[self.knobs.index(knob)]:
            log = log + theta[f"fade_{k}_{name}"] * relative(self, x, name, xp)
        return theta[f"curvature_{k}"] * xp.exp(xp.minimum(log, FAR))

    def excess(self, theta: Theta, x: Inputs) -> Any:
        """Return what missing the best setting costs: ``ln(L / L*)``, or nats on a linear scale."""
        xp, total = namespace(theta, x), 0.0
        for knob, v in self.miss(theta, x).items():
            bowl = linex(v, theta[f"skew_{short(knob)}"], xp)
            total = total + self.curvature(theta, x, knob) * bowl
        return xp.minimum(total, FAR)

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return what an observation model may read of a run beside its loss.

        `excess` is what its settings cost, `overshoot` the miss of the first knob.
        """
        return {"excess": self.excess(theta, x), "overshoot": self.miss(theta, x)[self.knobs[0]]}

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token."""
        xp, excess = namespace(theta, x), self.excess(theta, x)
        if self.level:
            fall = xp.exp(-theta["alpha"] * relative(self, x, self.level, xp))
            best = theta["E"] + theta["a0"] * fall
        else:
            best = theta["l0"]
        return best + excess if self.scale == "linear" else best * xp.exp(excess)

    def tolerated(self, theta: Theta, x: Inputs, knob: str, excess: float) -> Any:
        """Return how far, in ln, `knob` may miss its best either way before `excess` is lost.

        The parabola's ``sqrt(2 excess / kappa)``, the later knobs following or at their best.
        """
        return namespace(theta, x).sqrt(2 * excess / self.curvature(theta, x, knob))

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the powers of raw units: ``log_k``, ``log_curvature_k`` and ``log_knee_k_j``.

        Of a level ``log_A``, with ``L* = E + e^(log_A) / X^alpha``.

        ``knob* = e^(log_k) prod x^rise``, times what the rule says if there is one,
        ``kappa = e^(log_curvature_k) prod x^fade``, and the ratio of a knee
        ``e^(log_knee_k_j) prod x^drift``.
        """
        xp, ref = namespace(theta), sizes(self)
        out = {p.name: theta[p.name] for p in self.params}
        for name, raw, slope, along, unit in self._powers():
            log = xp.log(out.pop(name)) + (xp.log(ref[unit]) if unit else 0.0)
            for x in along:
                log = log - theta[f"{slope}_{x}"] * xp.log(ref[x])
            out[raw] = log
        if self.level:
            out["log_A"] = xp.log(out.pop("a0")) + theta["alpha"] * xp.log(ref[self.level])
        return out

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from the paper's."""
        xp, ref = namespace(paper), sizes(self)
        out = dict(paper)
        for name, raw, slope, along, unit in self._powers():
            log = out.pop(raw) - (xp.log(ref[unit]) if unit else 0.0)
            for x in along:
                log = log + paper[f"{slope}_{x}"] * xp.log(ref[x])
            out[name] = xp.exp(log)
        if self.level:
            out["a0"] = xp.exp(out.pop("log_A") - paper["alpha"] * xp.log(ref[self.level]))
        return out

    @property
    def _ruled(self) -> tuple[str, ...]:
        return RULES[self.rule].knobs if self.rule else ()

    def _later(self, i: int) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield the knobs after the i-th, with what their best moves along."""
        yield from zip(self.knobs[i + 1 :], self.along[i + 1 :], strict=True)

    def _powers(self) -> Iterator[tuple[str, str, str, tuple[str, ...], str | None]]:
        """Yield what is a power law of sizes: parameter, paper's name, exponents, sizes, unit."""
        for i, (knob, along) in enumerate(zip(self.knobs, self.along, strict=True)):
            k = short(knob)
            unit = None if knob in self._ruled else knob
            yield f"opt_{k}", f"log_{k}", f"rise_{k}", along, unit
            yield f"curvature_{k}", f"log_curvature_{k}", f"fade_{k}", along, None
            for j, beside in self._later(i):
                pair = f"{k}_{short(j)}"
                yield f"knee_{pair}", f"log_knee_{pair}", f"drift_{pair}", beside, None


def short(knob: str) -> str:
    """Return a knob's name in parameters."""
    return SHORT.get(knob, knob)


def linex(v: Any, skew: Any, xp: Any) -> Any:
    """Return ``(e^(s v) - 1 - s v) / s^2``, which is ``v^2 / 2`` where ``s v`` is small.

    Series and closed form are blended by a factor and not chosen by a branch, so that named arrays
    and traced ones take the same path.
    """
    t = xp.minimum(skew * v, FAR)
    near = 1.0 * (xp.abs(t) < CLOSE)
    away = t + near  # no 0 / 0 where the series counts
    series = 0.5 + t * (1 / 6 + t * (1 / 24 + t * (1 / 120 + t / 720)))
    return v * v * (near * series + (1 - near) * (xp.expm1(away) - away) / (away * away))


def followed(w: Any, log_knee: Any, xp: Any) -> Any:
    """Return ``ln((1 + r) / (1 + r e^-w))``: w where ``r e^-w`` is large, and bounded above."""
    return xp.logaddexp(0.0, log_knee) - xp.logaddexp(0.0, log_knee - w)


def _lists(along: Any, knobs: int) -> tuple[tuple[str, ...], ...]:
    if isinstance(along, str):
        return ((along,),)
    parts = tuple(along)
    if knobs == 1 and parts and all(isinstance(x, str) for x in parts):
        return (parts,)
    if parts == ((),) or not parts:
        return ((),) * knobs
    return tuple((xs,) if isinstance(xs, str) else tuple(xs) for xs in parts)
