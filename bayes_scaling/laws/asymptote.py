"""What data that are fixed allow: the loss as size, and members of an ensemble, grow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.laws._protocol import (
    LAWS,
    Checked,
    Inputs,
    Reference,
    Theta,
    namespace,
    relative,
    sizes,
)
from bayes_scaling.laws.joint import FLOOR, SHARE, SLOPE, exponent_param, intercept_param
from bayes_scaling.laws.repetition import UNIQUE
from bayes_scaling.param import Param, Prior

MEMBERS = "members"


@LAWS.register("asymptote")
@dataclass(frozen=True)
class Asymptote(Checked):
    """Tuned models on the same tokens, ``L = E_U (1 - u (1 - K^(-kappa))) + A / N^alpha``.

    With regularisation tuned at every size the loss falls towards an asymptote E_U that the tokens
    set; an ensemble of K members falls below it, by a share u at most.

    Parameters
    ----------
    data : bool, default False
        Whether the table has several numbers of unique tokens, and ``E_U = E + B / U^beta``;
        without, E_U is one number, `E`.
    ensembles : bool, default True
        Whether models are averaged, `members` at a time.
    reference : tuple of (str, float), optional
        The sizes N0 and U0; the geometric means of the training table unless given.

    Notes
    -----
    Parameters are ``E``, ``a0`` and ``alpha`` of the size, ``gain`` (the share u) and ``kappa`` of
    the members, ``b0`` and ``beta`` of the tokens. The asymptotes are latent, and fitted with all
    the rest: three or four sizes do not fix one, and its interval says so. Without tuning at every
    size the loss rises again with size, which this law cannot.

    References
    ----------
    Kim, Kotha, Liang, Hashimoto 2025, Pre-training under infinite compute, arXiv:2509.14786.

    Examples
    --------
    >>> from bayes_scaling.laws import Asymptote
    >>> law = Asymptote(reference=(("params", 1e9), ("members", 2.0)))
    >>> theta = {"E": 3.4, "a0": 0.3, "alpha": 0.5, "gain": 0.06, "kappa": 1.0}
    >>> float(round(law(theta, {"params": 4e9, "members": 1.0}), 3))
    3.55
    """

    data: bool = False
    ensembles: bool = True
    reference: Reference | None = None

    name: ClassVar[str] = "asymptote"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "A in A / N^alpha, N in raw counts"),
        "B": ("nat/token", "B in B / U^beta, U in raw counts"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("params", *(UNIQUE,) * self.data, *(MEMBERS,) * self.ensembles)

    @property
    def decreasing(self) -> tuple[str, ...]:
        """The inputs that may only lower the loss."""
        return self.inputs

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What is no size: members of an ensemble."""
        return {MEMBERS: (1.0, float("inf"))} if self.ensembles else {}

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        out = [
            FLOOR,
            intercept_param("a0", "parameters", SHARE),
            exponent_param("alpha", "parameters", SLOPE),
        ]
        if self.data:
            out += [
                intercept_param("b0", "unique tokens", SHARE),
                exponent_param("beta", "unique tokens", SLOPE),
            ]
        if self.ensembles:
            out += [
                Param("gain", Prior.of("Beta", a=1, b=9), "1",
                      "share of the asymptote that members without end take off", (0.01, 0.2)),
                Param("kappa", Prior.of("LogNormal", median=1.0, sigma=0.3), "1",
                      "exponent of what more members still add", (0.6, 1.5), "slope"),
            ]  # fmt: skip
        return tuple(out)

    def asymptote(self, theta: Theta, x: Inputs) -> Any:
        """Return E_U, what one model of any size comes down to, nat/token."""
        if not self.data:
            return theta["E"]
        xp = namespace(theta, x)
        return theta["E"] + theta["b0"] * xp.exp(-theta["beta"] * relative(self, x, UNIQUE, xp))

    def kept(self, theta: Theta, members: Any) -> Any:
        """Return the share of the asymptote that an ensemble of `members` leaves."""
        if not self.ensembles:
            return 1.0
        xp = namespace(theta, {"members": members})
        return 1 + theta["gain"] * xp.expm1(-theta["kappa"] * xp.log(members))

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at the inputs, raw counts."""
        xp = namespace(theta, x)
        size = theta["a0"] * xp.exp(-theta["alpha"] * relative(self, x, "params", xp))
        return self.asymptote(theta, x) * self.kept(theta, x.get(MEMBERS, 1.0)) + size

    def irreducible(self, theta: Theta) -> Any:
        """Return what is left of members, tokens and parameters without end."""
        return theta["E"] * (1 - theta["gain"]) if self.ensembles else theta["E"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return A, and B of the tokens, beside the rest."""
        ref = sizes(self)
        out = {p.name: theta[p.name] for p in self.params if p.name not in ("a0", "b0")}
        out["A"] = theta["a0"] * ref["params"] ** theta["alpha"]
        return out | ({"B": theta["b0"] * ref[UNIQUE] ** theta["beta"]} if self.data else {})

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        ref = sizes(self)
        out = {k: v for k, v in paper.items() if k not in ("A", "B")}
        out["a0"] = paper["A"] * ref["params"] ** -paper["alpha"]
        return out | ({"b0": paper["B"] * ref[UNIQUE] ** -paper["beta"]} if self.data else {})
