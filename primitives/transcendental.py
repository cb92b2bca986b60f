"""Elementwise functions of floats: powers and logarithms, trigonometry, and the special functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of
from fnn.primitives.arithmetic import add, div, mul, neg, square, sub
from fnn.primitives.comparison import lt, select
from fnn.primitives.pairs import of_pairs
from fnn.primitives.rules import Partial, elementwise, zeros
from fnn.primitives.sampling import unary


def _unary(
    name: str, evaluate: Any, partial: Partial, low: float = -2.0, high: float = 2.0, edges: Any = (),
    real_only: bool = False,
) -> Primitive:  # fmt: skip
    """A function of one float, or complex number unless real_only, that loops know by the same name."""

    def samples() -> list[Sample]:
        # values at the ends of the domain, where finite differences see nothing
        ends = [Sample((np.array(edges, np.float32),), differentiate=False)] if len(edges) else []
        return unary(low, high, complexes=not real_only) + ends

    kinds = "f" if real_only else "fc"
    pairs = None if real_only else of_pairs(name)
    return elementwise(
        name, evaluate, lambda b, x: b.math(name, x), partial, kinds=kinds, samples=samples, pairs=pairs
    )


ALL = (0.0, -0.0, np.inf, -np.inf, np.nan)

# -- powers and logarithms -----------------------------------------------------------------------------------

exp = _unary("exp", np.exp, lambda t, out, _x: mul(t, out), edges=(*ALL, 100, -100))
exp2 = _unary("exp2", np.exp2, lambda t, out, _x: mul(t, mul(out, math.log(2))), edges=ALL)
expm1 = _unary("expm1", np.expm1, lambda t, out, _x: mul(t, add(out, 1.0)), edges=(*ALL, 1e-6))
log = _unary("log", np.log, lambda t, _out, x: div(t, x), 0.25, edges=(*ALL, -1))
log1p = _unary("log1p", np.log1p, lambda t, _out, x: div(t, add(x, 1.0)), -0.75, edges=(*ALL, -1, 1e-6, -2))
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    lambda b, x: b.op("sqrt", x),
    lambda t, out, _x: div(mul(t, 0.5), out),
    kinds="fc",
    pairs=of_pairs("sqrt"),
    samples=lambda: [
        *unary(0.25, 2.0, complexes=True),
        Sample((np.array([*ALL, -1], np.float32),), differentiate=False),
    ],  # the slope at 0 is infinite
)
rsqrt = _unary(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    lambda t, out, x: mul(t, mul(div(out, x), -0.5)),
    0.25,
    edges=(0, np.inf, np.nan, -1),
)
cbrt = _unary(
    "cbrt", np.cbrt, lambda t, out, _x: div(t, mul(square(out), 3.0)), 0.25, edges=(*ALL, -8), real_only=True
)

# -- trigonometric and hyperbolic functions ------------------------------------------------------------------

sin = _unary("sin", np.sin, lambda t, _out, x: mul(t, cos(x)), edges=(*ALL, 100))
cos = _unary("cos", np.cos, lambda t, _out, x: neg(mul(t, sin(x))), edges=(*ALL, 100))
tan = _unary("tan", np.tan, lambda t, out, _x: mul(t, add(square(out), 1.0)), -1.25, 1.25, edges=ALL)
_complement = lambda x: mul(sub(1.0, x), add(x, 1.0))  # 1 - x^2, exact near 1
asin = _unary(
    "asin", np.arcsin, lambda t, _out, x: mul(t, rsqrt(_complement(x))), -0.75, 0.75, edges=(*ALL, 1, 2)
)
acos = _unary(
    "acos", np.arccos, lambda t, _out, x: neg(mul(t, rsqrt(_complement(x)))), -0.75, 0.75, edges=(*ALL, 1, 2)
)
atan = _unary("atan", np.arctan, lambda t, _out, x: div(t, add(square(x), 1.0)), edges=ALL)
sinh = _unary("sinh", np.sinh, lambda t, _out, x: mul(t, cosh(x)), edges=ALL)
cosh = _unary("cosh", np.cosh, lambda t, _out, x: mul(t, sinh(x)), edges=ALL)
tanh = _unary("tanh", np.tanh, lambda t, out, _x: mul(t, _complement(out)), edges=(*ALL, 20))
asinh = _unary("asinh", np.arcsinh, lambda t, _out, x: mul(t, rsqrt(add(square(x), 1.0))), edges=(*ALL, 1e10))
acosh = _unary(
    "acosh",
    np.arccosh,
    lambda t, _out, x: mul(t, mul(rsqrt(sub(x, 1.0)), rsqrt(add(x, 1.0)))),
    1.25,
    3.0,
    edges=(1, np.inf, 0),
)
atanh = _unary(
    "atanh", np.arctanh, lambda t, _out, x: div(t, _complement(x)), -0.75, 0.75, edges=(*ALL, 1, -1, 2)
)
atan2 = elementwise(
    "atan2",
    np.arctan2,
    lambda b, x, y: b.math("atan2", x, y),
    lambda t, _out, x, y: mul(t, div(y, add(square(x), square(y)))),
    lambda t, _out, x, y: neg(mul(t, div(x, add(square(x), square(y))))),
    samples=lambda: [
        Sample(("f4[2,3]", "f4[2,3]"), low=0.25),
        Sample(("f4[]", "f4[3]"), low=0.25),
        Sample(("f4[2]", -1.5), low=0.25),
        Sample(
            (
                np.array([0, -0.0, 0, 1, -1, np.inf, np.nan], np.float32),
                np.array([1, -1, -1, 0, 0, np.inf, 1], np.float32),
            ),
            differentiate=False,
        ),  # on the axes and beyond
        Sample(("f4[0]", "f4[0]")),
        Sample((1.5, 0.5)),
    ],
)


def _logistic(x: Any) -> Any:
    x = np.asarray(x)
    positive = x.real >= 0
    small = np.exp(np.where(positive, -x, x))
    return np.where(positive, 1 / (1 + small), small / (1 + small))


# 1 / (1 + exp(-x))
logistic = _unary(
    "logistic", _logistic, lambda t, out, _x: mul(t, mul(out, sub(1.0, out))), edges=(*ALL, 100, -100)
)

# -- special functions ---------------------------------------------------------------------------------------


def _scipy(name: str) -> Any:
    """A function of scipy.special, imported when it is first evaluated."""

    def evaluate(x: Any) -> Any:
        from scipy import special

        return getattr(special, name)(x)

    return evaluate


erf = _unary(
    "erf",
    _scipy("erf"),
    lambda t, _out, x: mul(t, mul(exp(neg(square(x))), 2 / math.sqrt(math.pi))),
    edges=ALL,
    real_only=True,
)
erfc = _unary(
    "erfc",
    _scipy("erfc"),
    lambda t, _out, x: mul(t, mul(exp(neg(square(x))), -2 / math.sqrt(math.pi))),
    edges=(*ALL, 5),
    real_only=True,
)


def _erf_inv(x: Any) -> Any:
    return np.copysign(_scipy("erfinv")(x), x)  # which loses the sign of -0.0


erf_inv = _unary(
    "erf_inv",
    _erf_inv,
    lambda t, out, _x: mul(t, mul(exp(square(out)), math.sqrt(math.pi) / 2)),
    -0.75,
    0.75,
    edges=(0, 1, -1, 2, np.nan),
    real_only=True,
)


def _shifted_trigamma(x: Any, terms: int = 12) -> Any:
    """The derivative of digamma for x > 0: 1/x^2 + 1/(x+1)^2 + ..., the tail by its asymptotic series in
    Bernoulli numbers (Abramowitz and Stegun, 6.4.6 and 6.4.12)."""
    total = None
    for k in range(terms):
        term = div(1.0, square(add(x, float(k))))
        total = term if total is None else add(total, term)
    y = div(1.0, add(x, float(terms)))
    y2 = square(y)
    series: Any = 7 / 6
    for bernoulli in (-691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6):
        series = add(mul(y2, series), bernoulli)
    tail = mul(y, add(mul(y, add(mul(y, series), 0.5)), 1.0))
    return add(total, tail)


def trigamma(x: Any) -> Any:
    """The derivative of digamma, with derivatives of its own to any order: below 1/2 by reflection,
    trigamma(1 - x) + trigamma(x) = (pi / sin(pi x))^2."""
    below = lt(x, 0.5)
    positive = select(below, sub(1.0, x), x)
    right = _shifted_trigamma(positive)
    half = add(zeros(Aval((), aval_of(x).dtype)), 0.5)
    reflected = square(div(math.pi, sin(mul(select(below, x, half), math.pi))))
    return select(below, sub(reflected, right), right)


lgamma = _unary(
    "lgamma",
    _scipy("gammaln"),
    lambda t, _out, x: mul(t, digamma(x)),
    0.25,
    4.0,
    edges=(0, 1, 2, -1, -0.5, np.inf, np.nan),
    real_only=True,
)
digamma = _unary(
    "digamma",
    _scipy("psi"),
    lambda t, _out, x: mul(t, trigamma(x)),
    0.25,
    4.0,
    edges=(0, 1, 2, -1, -0.5, np.inf),
    real_only=True,
)
