"""Activations as formulas of ONNX operators: what the writer writes, and what the reader recognizes.

A formula is an `Op`, whose arguments are formulas, numbers and the two leaves: `Z`, the pre-activations, and
`PAR`, the parameter of the activation. Equal formulas are equal values, so that a part that occurs twice in a
formula is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import pi
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Leaf:
    """A value that a formula is given."""

    name: str


@dataclass(frozen=True)
class Op:
    """An operator of ONNX, its arguments, and its attributes as pairs."""

    type: str
    args: tuple[Formula, ...]
    attrs: tuple[tuple[str, Any], ...] = ()


Formula: TypeAlias = Op | Leaf | float

Z, PAR = Leaf("z"), Leaf("par")


def op(kind: str, *args: Formula, **attrs: Any) -> Op:
    """Return an operator with these arguments and attributes.

    Examples
    --------
    >>> op("Mul", Z, op("Sigmoid", Z)) == op("Mul", Z, op("Sigmoid", Z))
    True
    """
    return Op(kind, args, tuple(attrs.items()))


def _log1p_exp(minus: Formula) -> Op:
    """Return log(1 + e), e = exp(minus) at most 1; the second term gives back what 1 + e has lost."""
    e = op("Exp", minus)
    u = op("Add", 1.0, e)
    return op("Add", op("Log", u), op("Div", op("Sub", e, op("Sub", u, 1.0)), u))


# -expm1(-m) for m = max(-z, 0): no digits are lost near 0, as they are in 1 - exp(-m)
_M = op("Relu", op("Neg", Z))
_MINUS_EXPM1 = op("Mul", op("Tanh", op("Mul", _M, 0.5)), op("Add", 1.0, op("Exp", op("Neg", _M))))

# With w = exp(z) and n = w (w + 2), tanh(log(1 + w)) is n / (n + 2); beyond z = 20 it is 1 in both
# precisions, and w must not overflow.
_W = op("Exp", op("Min", Z, 20.0))
_N = op("Mul", _W, op("Add", _W, 2.0))

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

_GELU_TANH = op("Mul", Z, op("Add", (8 / pi) ** 0.5, op("Mul", 0.044715 * (8 / pi) ** 0.5, op("Mul", Z, Z))))


def _times_sigmoid(u: Formula) -> Op:
    """Return z sigmoid(u). exp may overflow: z / inf is the 0 that is wanted."""
    return op("Div", Z, op("Add", 1.0, op("Exp", op("Neg", u))))


def _gelu_erf(inner: Formula) -> tuple[Op, Op, Op]:
    """Return z (1 + erf(z / sqrt(2))) / 2 in the orders in which exporters write it."""
    p = op("Add", op("Erf", inner), 1.0)
    return (
        op("Mul", op("Mul", Z, 0.5), p),
        op("Mul", op("Mul", Z, p), 0.5),
        op("Mul", Z, op("Mul", p, 0.5)),
    )


def _gelu_of_doubles() -> Op:
    """Return gelu without Erf, which ONNX Runtime has for float32 only: max(z, 0) - |z| Phi(-|z|).

    With x = |z| / sqrt(2), Phi(-|z|) = exp(-x^2) erfcx(x) / 2, and erfcx(x) / t is smooth in t = 2 / (2 + x):
    a polynomial in 2 t - 1, in [-1, 1], whose coefficients beyond degree 27 are below 1e-16.
    """
    a = op("Abs", Z)
    t = op("Div", 2.0, op("Add", 2.0, op("Mul", a, 0.5**0.5)))
    u = op("Sub", op("Add", t, t), 1.0)
    first, *rest = _erfcx_coefficients()
    q: Formula = first
    for c in rest:
        q = op("Add", op("Mul", q, u), c)
    phi = op("Mul", op("Exp", op("Mul", op("Mul", a, a), -0.5)), op("Mul", op("Mul", t, 0.5), q))
    return op("Sub", op("Relu", Z), op("Mul", a, phi))


def _erfcx_coefficients() -> list[float]:
    """Return the coefficients in 2 t - 1 of erfcx(2 / t - 2) / t, highest first."""
    from numpy.polynomial import chebyshev
    from scipy.special import erfcx

    def ratio(u: Any) -> Any:
        t = (u + 1) / 2
        return erfcx(2 / t - 2) / t

    found: list[float] = chebyshev.cheb2poly(chebyshev.chebinterpolate(ratio, 27))[::-1].tolist()
    return found


_BOTH: dict[str, Formula] = {
    "identity": Z,
    "sigmoid": op("Sigmoid", Z),
    "tanh": op("Tanh", Z),
    "relu": op("Relu", Z),
    "softmax": op("Softmax", Z, axis=1),
    "exp": op("Exp", Z),
    "softplus": op("Add", op("Relu", Z), _log1p_exp(op("Neg", op("Abs", Z)))),
    "silu": _times_sigmoid(Z),
    "gelu_tanh": _times_sigmoid(_GELU_TANH),
    "mish": op("Mul", Z, op("Div", _N, op("Add", _N, 2.0))),
}


@cache
def written(dtype: str) -> dict[str, Formula]:
    """Return the formula of each activation that is written for "float32" or "float64".

    ONNX Runtime computes LeakyRelu, Elu, Selu and Erf in float32 only, and attributes are float32.

    Examples
    --------
    >>> written("float32")["elu"]
    Op(type='Elu', args=(Leaf(name='z'),), attrs=(('alpha', Leaf(name='par')),))
    """
    if dtype == "float32":
        return {
            **_BOTH,
            "leaky_relu": op("LeakyRelu", Z, alpha=PAR),
            "elu": op("Elu", Z, alpha=PAR),
            "selu": op("Selu", Z, alpha=_SELU_ALPHA, gamma=_SELU_SCALE),
            "gelu": _gelu_erf(op("Mul", Z, 0.5**0.5))[0],
        }
    bottom = op("Mul", _SELU_SCALE * _SELU_ALPHA, _MINUS_EXPM1)
    return {
        **_BOTH,
        "leaky_relu": op("Sub", op("Relu", Z), op("Mul", PAR, _M)),
        "elu": op("Sub", op("Relu", Z), op("Mul", PAR, _MINUS_EXPM1)),
        "selu": op("Sub", op("Mul", _SELU_SCALE, op("Relu", Z)), bottom),
        "gelu": _gelu_of_doubles(),
    }


@cache
def recognized() -> list[tuple[str, Formula]]:
    """Return activations and their formulas, as dnn and other exporters write them; identity is not in it.

    Examples
    --------
    >>> ("silu", op("Mul", Z, op("Sigmoid", Z))) in recognized()
    True
    """
    own = [pair for dtype in ("float32", "float64") for pair in written(dtype).items()]
    cubic = [op("Pow", Z, 3.0), op("Mul", Z, op("Mul", Z, Z))]
    inner = [op("Mul", op("Add", Z, op("Mul", cube, 0.044715)), (2 / pi) ** 0.5) for cube in cubic]
    tanh = [op("Add", op("Tanh", u), 1.0) for u in inner]
    others: list[tuple[str, Formula]] = [
        ("relu", op("Max", Z, 0.0)),
        ("softplus", op("Softplus", Z)),
        ("softplus", op("Where", op("Greater", Z, 20.0), Z, op("Softplus", Z))),
        ("silu", op("Mul", Z, op("Sigmoid", Z))),
        ("silu", op("Swish", Z, alpha=1.0)),
        ("mish", op("Mish", Z)),
        ("mish", op("Mul", Z, op("Tanh", op("Softplus", Z)))),
        ("gelu", op("Gelu", Z, approximate="none")),
        ("gelu_tanh", op("Gelu", Z, approximate="tanh")),
        *(("gelu", form) for form in _gelu_erf(op("Mul", Z, 0.5**0.5))),
        *(("gelu", form) for form in _gelu_erf(op("Div", Z, 2**0.5))),
        *(("gelu_tanh", op("Mul", op("Mul", Z, 0.5), p)) for p in tanh),
        *(("gelu_tanh", op("Mul", op("Mul", Z, p), 0.5)) for p in tanh),
        *(("gelu_tanh", op("Mul", Z, op("Mul", p, 0.5))) for p in tanh),
    ]
    return [pair for pair in dict.fromkeys(own + others) if pair[0] != "identity"]
