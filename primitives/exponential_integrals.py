"""The exponential integrals and the Hurwitz zeta function.

E_n is a continued fraction (A&S 5.1.22) above 1 and a series up to 1 (A&S 5.1.12); Ei a series up to 40 and asymptotic
beyond. The zeta function is summed directly until Euler's and Maclaurin's formula takes over (DLMF 25.11.5).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn.core.primitive import Sample
from fnn.core.trace import aval_of
from fnn.primitives.arithmetic import add, div, mul, neg, sub
from fnn.primitives.rules import elementwise, of_dtype
from fnn.primitives.sampling import unary
from fnn.primitives.scalar_code import Code, evaluation, expression, scipy_function
from fnn.primitives.transcendental import exp

EPS = 2.0**-53
_EULER = 0.5772156649015329


def _fraction(c: Code, n: Any, x: Any, valid: Any) -> Any:
    """E_n(x) e**x by the modified Lentz method."""
    b = x + n
    d = 1.0 / b

    def step(k: Any, b: Any, ratio: Any, d: Any, h: Any, delta: Any) -> tuple:
        top = -k * (n - 1.0 + k)
        b = b + 2.0
        d = 1.0 / (top * d + b)
        ratio = b + top / ratio
        delta = ratio * d
        return k + 1.0, b, ratio, d, h * delta, delta

    zero = x * 0.0
    start = (1.0, b, zero + 1e300, d, d, c.select(valid, zero + 2.0, 1.0))
    return c.loop(start, lambda k, *rest: c.math("abs", rest[-1] - 1.0) > 4 * EPS, step)[4]


def _series(c: Code, n: Any, x: Any, valid: Any) -> Any:
    """E_n(x) for small x: sum of (-x)**k / ((n - 1 - k) k!), in place of k = n - 1 a logarithm."""
    whole = n - 1.0

    def step(k: Any, power: Any, total: Any, term: Any, harmonic: Any) -> tuple:
        singular = c.equal(k, whole)
        gap = c.select(singular, 1.0, whole - k)
        log_part = harmonic - _EULER - c.math("log", x)
        term = c.select(singular, power * log_part, power / gap)
        # the harmonic number of n - 1 has been summed when k gets there
        return k + 1.0, power * (-x) / (k + 1.0), total + term, term, harmonic + 1.0 / (k + 1.0)

    zero = x * 0.0
    start = (c.select(valid, zero, 1e9), zero + 1.0, zero, zero, zero)

    def test(k: Any, power: Any, total: Any, term: Any, harmonic: Any) -> Any:
        return (k < 3.0) | (c.math("abs", term) > c.math("abs", total) * (0.5 * EPS))

    return c.loop(start, test, step)[2]


def _expn(c: Code, n: Any, x: Any) -> Any:
    inside = (x > 0.0) & (n >= 1.0) & (x < 1e4)
    order, at = c.select(inside, n, 1.0), c.select(inside, x, 2.0)
    large = at > 1.0
    far = c.math("exp", -at) * _fraction(c, order, c.select(large, at, 2.0), inside & large)
    near = _series(c, order, c.select(large, 0.5, at), inside & ~large)
    out = c.select(large, far, near)
    at_zero = c.select(n > 1.0, 1.0 / c.select(n > 1.0, n - 1.0, 1.0), math.inf)
    out = c.select(c.equal(x, 0.0), at_zero, out)
    positive = c.select(x > 0.0, x, 1.0)
    out = c.select(c.equal(n, 0.0), c.select(x > 0.0, c.math("exp", -positive) / positive, math.inf), out)
    out = c.select((x >= 1e4) & (n >= 0.0), 0.0, out)
    return c.select((x >= 0.0) & (n >= 0.0), out, math.nan)


def _expi(c: Code, x: Any) -> Any:
    """Below 0 it is -E_1(-x)."""
    negative = -_expn(c, c.select(x < 0.0, 1.0, 1.0), c.select(x < 0.0, -x, 1.0))
    small, large = (x > 0.0) & (x <= 40.0), (x > 40.0) & (x < 720.0)
    at = c.select(small, x, 1.0)

    def step(k: Any, power: Any, total: Any, term: Any) -> tuple:
        power = power * at / k
        term = power / k
        return k + 1.0, power, total + term, term

    zero = x * 0.0
    total = c.loop(
        (1.0, zero + 1.0, zero, c.select(small, zero + 1.0, 0.0)),
        lambda k, power, total, term: term > total * (0.25 * EPS),
        step,
    )[2]
    near = _EULER + c.math("log", at) + total
    beyond = c.select(large, x, 50.0)

    def asymptotic(k: Any, term: Any, total: Any) -> tuple:
        term = term * k / beyond
        return k + 1.0, term, total + term

    series = c.loop(
        (1.0, c.select(large, zero + 1.0, 0.0), zero + 1.0),
        lambda k, term, total: (term > total * EPS) & (k < beyond),
        asymptotic,
    )[2]
    far = c.math("exp", beyond) / beyond * series
    out = c.select(x < 0.0, negative, c.select(small, near, c.select(large, far, math.inf)))
    out = c.select(c.equal(x, 0.0), -math.inf, out)
    return c.select(c.equal(x, x), out, math.nan)


# -- the Hurwitz zeta function -------------------------------------------------------------------------------

_FIRST = 10.0  # summed directly until there, and further for large exponents
# of the terms of Euler's and Maclaurin's formula: Bernoulli numbers over factorials
_BERNOULLI = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000,
)  # fmt: skip


def _zeta(c: Code, s: Any, q: Any, slope: bool = False) -> Any:
    """The sum of (q + k)**-s over k >= 0; slope: its derivative in s."""
    whole = c.equal(c.math("floor", s), s)
    inside = (s > 1.0) & (s < 1e300) & (q > -1e6) & (q < 1e300) & ((q > 0.0) | whole)
    inside = inside & ~((q <= 0.0) & c.equal(c.math("floor", q), q))
    s_in, q_in = c.select(inside, s, 2.0), c.select(inside, q, 20.0)

    def power(base: Any) -> Any:
        return c.math("pow", base, -s_in)

    def log_of(base: Any) -> Any:
        return c.math("log", c.math("abs", base))

    def step(base: Any, total: Any, slopes: Any, term: Any) -> tuple:
        term = power(base)
        return base + 1.0, total + term, slopes - term * log_of(base) if slope else slopes, term

    def test(base: Any, total: Any, slopes: Any, term: Any) -> Any:
        matters = (base < 2.0) | (term > total * (0.01 * EPS))
        return (base < _FIRST + 0.5 * s_in) & matters

    zero = s * 0.0
    end, total, slopes, _ = c.loop((q_in, zero, zero, zero + 1.0), test, step)
    last = power(end)
    log_end = log_of(end) if slope else zero
    tail = end / (s_in - 1.0)
    total = total + last * (tail + 0.5)
    slopes = slopes - last * (log_end * (tail + 0.5) + tail / (s_in - 1.0))
    factor, ratio, inverse = last * s_in / end, 1.0 / s_in, 1.0 / (end * end)
    for k, b in enumerate(_BERNOULLI):
        total = total + b * factor
        slopes = slopes + b * factor * (ratio - log_end)
        first, second = s_in + (2.0 * k + 1.0), s_in + (2.0 * k + 2.0)
        factor = factor * (first * second) * inverse
        ratio = ratio + 1.0 / first + 1.0 / second
    if slope:
        return c.select(inside, slopes, math.nan)
    pole = (q <= 0.0) & c.equal(c.math("floor", q), q) & (s > 1.0)
    out = c.select(pole | c.equal(s, 1.0), math.inf, c.select(inside, total, math.nan))
    return c.select((q >= 1e300) & (s > 1.0), 0.0, out)


def _zeta_slope(c: Code, s: Any, q: Any) -> Any:
    return _zeta(c, s, q, True)


def _matching(t: Any, *xs: Any) -> list[Any]:
    """Operands in the dtype of t: a weak scalar may have another."""
    return [of_dtype(x, aval_of(t).dtype) for x in xs]


def _zeta_in_q(t: Any, _out: Any, s: Any, q: Any) -> Any:
    s, q = _matching(t, s, q)
    return neg(mul(t, mul(s, zeta(add(s, 1.0), q))))


# -- the primitives ------------------------------------------------------------------------------------------


def _expn_in_x(t: Any, _out: Any, n: Any, x: Any) -> Any:
    """-E_{n-1}(x); E_0 is e**-x / x."""
    n, x = _matching(t, n, x)
    return neg(mul(t, expn(sub(n, 1.0), x)))


_X = np.array([0, 0, 0.5, 3, 60, 1e5, -1, np.nan, 1, 2], np.float32)
_N = np.array([1, 3, 1, 2, 4, 2, 2, 2, 0, 50], np.float32)

# E_n(x) for n = 0, 1, 2, ...: no derivative in n
expn = elementwise(
    "expn",
    scipy_function("expn"),
    expression(_expn),
    None,
    _expn_in_x,
    samples=lambda: [
        Sample((2.0, "f4[2,3]"), low=0.25, high=4.0, differentiate=False),
        Sample((_N, _X), differentiate=False),
        Sample(("f4[0]", "f4[0]"), differentiate=False),
    ],
)
expi = elementwise(
    "expi",
    scipy_function("expi"),
    expression(_expi),
    lambda t, _out, x: mul(t, div(exp(x), x)),
    samples=lambda: [
        *unary(0.5, 6.0),
        *unary(-4.0, -0.5),
        Sample((np.array([0, 41, 60, np.inf, -np.inf, np.nan, 1e-20], np.float32),), differentiate=False),
    ],
)
_Q = np.array([1, 0.5, 0, -1, 30, 1e10, np.nan, -0.5, 2], np.float32)
_S = np.array([2, 1.5, 2, 3, 20, 2, 2, 2, 1], np.float32)


def _zeta_samples() -> list[Sample]:
    return [
        Sample(("f4[2,3]", "f4[2,3]"), low=1.5, high=5.0, differentiate=False),
        Sample((2.5, "f4[4]"), low=0.5, high=12.0),
        Sample((_S, _Q), differentiate=False),
        Sample(("f4[0]", "f4[0]"), differentiate=False),
    ]


zeta_grad_s = elementwise(
    "zeta_grad_s",
    evaluation(_zeta_slope),
    expression(_zeta_slope),
    refuse="there is only the first derivative of the zeta function in its exponent",
    samples=_zeta_samples,
)
zeta = elementwise(
    "zeta",
    scipy_function("zeta"),
    expression(_zeta),
    lambda t, _out, s, q: mul(t, zeta_grad_s(*_matching(t, s, q))),
    _zeta_in_q,
    samples=_zeta_samples,
)
