"""Several laws as one: every draw of the posterior follows one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import (
    HasFloor,
    HasIsoquant,
    HasLatents,
    HasOptimum,
    HasSweeps,
    Inputs,
    Monotone,
    Reference,
    Theta,
    from_zero,
    namespace,
)
from bayes_scaling.param import Param, Prior

# A law is drawn by its weight when an average is made, so that its number has no prior.
WHICH = Param(
    "which",
    Prior.of("Fixed", value=0.0),
    "1",
    "number of the law that a draw follows, from 0",
    (0.0, 1.0),
)
ABILITIES = {
    HasOptimum: ("optimum", "exponent"),
    HasIsoquant: ("tokens_to",),
    HasFloor: ("irreducible",),
}


@dataclass(frozen=True)
class Average:
    """Several laws of the same inputs and outcome; `which` says whose value a draw has.

    Parameters
    ----------
    laws : tuple of Law
        Each with its reference sizes: those of fits to one table.

    Raises
    ------
    SpecError
        With every problem at once: no law, one without reference sizes, other inputs or another
        outcome than the first has, one of sweeps, an average.

    Notes
    -----
    It has a closed-form optimum, tokens to a loss or a floor where every law in it has. The
    parameters of law k are called ``m<k>_<name>``; a draw reads those of law `which` alone. No
    equation of its own, hence none of `LAWS`: `average` makes it from fits, and nothing fits it.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.laws import Average, PowerLaw
    >>> law = PowerLaw("flops", floor=False, reference=(("flops", 1e20),))
    >>> both = Average((law, law))
    >>> [p.name for p in both.params]
    ['m0_a0', 'm0_alpha', 'm1_a0', 'm1_alpha', 'which']
    >>> theta = {"m0_a0": 3.0, "m0_alpha": 0.1, "m1_a0": 2.0, "m1_alpha": 0.0}
    >>> both({**theta, "which": np.array([0, 1])}, {"flops": 1e20})
    array([3., 2.])
    """

    laws: tuple[Any, ...]

    name: ClassVar[str] = "average"

    def __post_init__(self) -> None:
        if wrong := _problems(self.laws):
            msg = "these laws have no average: " + "; ".join(wrong)
            raise SpecError(msg)
        # Abilities are found by looking whether a method is there, so that of an average it must
        # be there for some laws and not for others: an attribute of the value, not of its class.
        for ability, methods in ABILITIES.items():
            if all(isinstance(law, ability) for law in self.laws):
                for method in methods:
                    object.__setattr__(self, method, getattr(self, f"_{method}"))
        if all(isinstance(law, Monotone) for law in self.laws):
            falls = tuple(x for x in self.inputs if all(x in law.decreasing for law in self.laws))
            object.__setattr__(self, "decreasing", falls)
        if zero := tuple(x for x in self.inputs if all(x in from_zero(law) for law in self.laws)):
            object.__setattr__(self, "from_zero", zero)

    @property
    def outcome(self) -> str:
        """What the laws predict."""
        return self.laws[0].outcome

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the laws read."""
        return self.laws[0].inputs

    @property
    def reference(self) -> Reference:
        """The sizes about which a search starts: those of the first law."""
        return self.laws[0].reference

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters of every law, under names of their own, and `which`."""
        return (*members([law.params for law in self.laws]), WHICH)

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate every law, and give each draw the value of its own."""
        return self._each(theta, lambda law, own: law(own, x))

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the parameters of every paper, under names of their own."""
        own = [law.to_paper(of_member(theta, k, law.params)) for k, law in enumerate(self.laws)]
        return {called(k, name): v for k, paper in enumerate(own) for name, v in paper.items()}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the references from those."""
        out = {"which": paper["which"]} if "which" in paper else {}
        for k, law in enumerate(self.laws):
            prefix = called(k, "")
            own = {n.removeprefix(prefix): v for n, v in paper.items() if n.startswith(prefix)}
            out |= {called(k, name): v for name, v in law.from_paper(own).items()}
        return out

    def _optimum(self, theta: Theta, product: Any) -> tuple[Any, Any]:
        """Return the `params` and `tokens` of least loss with ``params * tokens = product``."""
        splits = [
            law.optimum(of_member(theta, k, law.params), product) for k, law in enumerate(self.laws)
        ]
        params, tokens = (choose(theta["which"], [s[i] for s in splits]) for i in (0, 1))
        return params, tokens

    def _exponent(self, theta: Theta) -> Any:
        """Return ``a = d ln N* / d ln C``."""
        return self._each(theta, lambda law, own: law.exponent(own))

    def _tokens_to(self, theta: Theta, loss: Any, params: Any) -> Any:
        """Return the tokens with which models of `params` reach `loss`; inf where none do."""
        return self._each(theta, lambda law, own: law.tokens_to(own, loss, params))

    def _irreducible(self, theta: Theta) -> Any:
        """Return the loss as every input goes to infinity."""
        return self._each(theta, lambda law, own: law.irreducible(own))

    def _each(self, theta: Theta, of: Any) -> Any:
        values = [of(law, of_member(theta, k, law.params)) for k, law in enumerate(self.laws)]
        return choose(theta["which"], values)


def called(k: int, name: str) -> str:
    """Return what a parameter of member k is called in an average."""
    return f"m{k}_{name}"


def members(each: Sequence[Sequence[Param]]) -> list[Param]:
    """Return the parameters of several members under names of their own."""
    return [
        Param(called(k, p.name), p.prior, p.unit, f"{p.meaning}, law {k}", p.typical, p.role)
        for k, params in enumerate(each)
        for p in params
    ]


def of_member(theta: Theta, k: int, params: Sequence[Param]) -> dict[str, Any]:
    """Pick the parameters of member k, under the names that it knows them by."""
    return {p.name: theta[called(k, p.name)] for p in params}


def choose(which: Any, values: Sequence[Any]) -> Any:
    """Give every draw the value of its member: arrays broadcast, those of xarray by name.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.laws.average import choose
    >>> choose(np.array([[1], [0]]), [np.array([1.0, 2.0]), np.inf])
    array([[inf, inf],
           [ 1.,  2.]])
    """
    out = values[0] + 0.0 * which  # of one member too, as many values as draws
    for k, value in enumerate(values[1:], 1):
        here = which == k
        if hasattr(which, "dims"):  # NumPy's `where` would drop the names
            out = (value + 0.0 * which).where(here, out)
        else:
            out = namespace({"which": which, "value": value}).where(here, value, out)
    return out


def _problems(laws: Sequence[Any]) -> list[str]:
    wrong = [] if laws else ["there is none"]
    plain = [law for law in laws if not isinstance(law, Average)]
    if len(plain) < len(laws):
        wrong.append("an average is among them: give the laws that it is made of")
    for law, swept in zip(plain, map(_is_swept, plain), strict=True):
        first = plain[0]
        if swept:
            wrong.append(f"{law.name!r} is of sweeps, with a loss of their own each")
        if law.reference is None:
            wrong.append(f"{law.name!r} has no reference sizes; take those of its fit")
        if set(law.inputs) != set(first.inputs):
            read = [", ".join(one.inputs) for one in (law, first)]
            wrong.append(f"{law.name!r} reads {read[0]}, and {first.name!r} {read[1]}")
        if law.outcome != first.outcome:
            wrong.append(f"{law.name!r} is of {law.outcome}, {first.name!r} of {first.outcome}")
    return wrong


def _is_swept(law: Any) -> bool:
    return isinstance(law, HasSweeps | HasLatents)
