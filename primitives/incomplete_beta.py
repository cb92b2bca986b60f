"""The logarithm of the beta function, the regularised incomplete beta function and its derivatives in a and b.

I_x(a, b) is a continued fraction (DLMF 8.17.22) where x < (a + 1) / (a + b + 2), and 1 - I_{1-x}(b, a) elsewhere. The
prefactor x**a (1-x)**b / B(a, b) is written so that nothing large cancels (after A. R. DiDonato and A. H. Morris,
ACM Trans. Math. Softw. 18, 1992). Derivatives are those of the fraction, computed along with it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.trace import aval_of
from fnn.primitives.arithmetic import add, mul, neg, sub
from fnn.primitives.comparison import eq, select
from fnn.primitives.rules import elementwise, of_dtype, zeros
from fnn.primitives.sampling import binary
from fnn.primitives.scalar_code import Code, evaluation, excess_of_log1p, expression, scipy_function, stirling
from fnn.primitives.transcendental import digamma, exp, log, log1p

EPS = 2.0**-53
_LARGE = 10.0  # from which Stirling's series holds


def _less_by_log(c: Code, b: Any, a: Any) -> Any:
    """lgamma(b) - lgamma(a + b) for b >= 10, a > 0."""
    moved = (a + b - 0.5) * c.math("log1p", a / b) + a * (c.math("log", b) - 1.0)
    return stirling(b) - stirling(a + b) - moved


def _lbeta(c: Code, a: Any, b: Any) -> Any:
    """log |B(a, b)| for positive numbers; by plain lgammas for others."""
    least, most = c.select(a < b, a, b), c.select(a < b, b, a)
    both, one = least >= _LARGE, (most >= _LARGE) & (least > 0.0)
    great = c.select(one, most, _LARGE)
    less = c.select(one, least, 1.0)
    difference = _less_by_log(c, great, less)
    middle = c.math("lgamma", less) + difference
    small = c.select(both, least, _LARGE)
    ratio = small / great
    sum_of_logs = -(small - 0.5) * c.math("log1p", 1.0 / ratio) - great * c.math("log1p", ratio)
    far = sum_of_logs - 0.5 * c.math("log", great) + 0.5 * math.log(2 * math.pi)
    far = far + (stirling(small) + stirling(great) - stirling(small + great))
    plain = c.math("lgamma", a) + c.math("lgamma", b) - c.math("lgamma", a + b)
    out = c.select(both, far, c.select(one, middle, plain))
    return c.select((most > 1e300) & (least > 0.0), -math.inf, out)


def _log_prefactor(c: Code, a: Any, b: Any, x: Any, y: Any) -> Any:
    """log of x**a y**b / B(a, b) where x + y = 1."""
    both = (a >= _LARGE) & (b >= _LARGE)
    p, q = c.select(both, a, _LARGE), c.select(both, b, _LARGE)
    offset = p * y - q * x  # of x from p / (p + q), times p + q
    exponent = p * _excess(c, -offset / p, x * (p + q) / p) + q * _excess(c, offset / q, y * (p + q) / q)
    near = exponent + stirling(p + q) - stirling(p) - stirling(q)
    near = near + 0.5 * c.math("log", p / (p + q) * q / (2 * math.pi))
    log_x = c.select(x < 0.5, c.math("log", x), c.math("log1p", -y))
    log_y = c.select(y < 0.5, c.math("log", y), c.math("log1p", -x))
    return c.select(both, near, a * log_x + b * log_y - _lbeta(c, a, b))


def _excess(c: Code, u: Any, one_more: Any) -> Any:
    """log(1 + u) - u, 1 + u given as well."""
    return c.select(u < -0.5, c.math("log", one_more) - u, excess_of_log1p(c, u))


def _numerator(n: Any, a: Any, b: Any, x: Any) -> tuple[Any, Any]:
    """The (2n - 1)-st and the 2n-th partial numerator, n >= 1."""
    m = n - 1.0
    odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
    even = n * (b - n) * x / ((a + 2.0 * n - 1.0) * (a + 2.0 * n))
    return odd, even


def _away(c: Code, v: Any) -> Any:
    """v, or next to zero instead of zero."""
    return c.select(c.math("abs", v) < 1e-300, 1e-300, v)


def _fraction(c: Code, a: Any, b: Any, x: Any, valid: Any) -> Any:
    """I_x(a, b) a over the prefactor, by the modified Lentz method, two terms a step."""
    one = a * 0.0 + 1.0

    def term(top: Any, ratio: Any, d: Any) -> tuple[Any, Any]:
        return _away(c, 1.0 + top / ratio), 1.0 / _away(c, 1.0 + top * d)

    def step(n: Any, ratio: Any, d: Any, h: Any, change: Any) -> tuple:
        odd, even = _numerator(n, a, b, x)
        ratio, d = term(odd, ratio, d)
        h = h * (ratio * d)
        ratio, d = term(even, ratio, d)
        delta = ratio * d
        return n + 1.0, ratio, d, h * delta, c.math("abs", delta - 1.0)

    start = (1.0, one, one * 0.0, one, c.select(valid, one, 0.0))
    state = c.loop(start, lambda n, ratio, d, h, change: (change > 4 * EPS) & (n < 100000.0), step)
    return 1.0 / state[3]


class _Sides:
    """The operands moved to where nothing can go wrong outside of the domain, and swapped where the fraction of the
    other tail converges faster."""

    def __init__(self, c: Code, a: Any, b: Any, x: Any):
        self.inside = (a > 0.0) & (b > 0.0) & (x > 0.0) & (x < 1.0) & (a < 1e300) & (b < 1e300)
        a, b = (c.select(self.inside, v, 1.0) for v in (a, b))
        x = c.select(self.inside, x, 0.5)
        y = 1.0 - x
        self.swapped = x >= (a + 1.0) / (a + b + 2.0)
        self.a, self.b = c.select(self.swapped, b, a), c.select(self.swapped, a, b)
        self.x, self.y = c.select(self.swapped, y, x), c.select(self.swapped, x, y)
        self.log_prefactor = _log_prefactor(c, self.a, self.b, self.x, self.y)


def _incomplete(c: Code, a: Any, b: Any, x: Any) -> Any:
    s = _Sides(c, a, b, x)
    tail = c.math("exp", s.log_prefactor) / s.a * _fraction(c, s.a, s.b, s.x, s.inside)
    out = c.select(s.swapped, 1.0 - tail, tail)
    at_left = c.equal(a, 0.0) | (b >= 1e300)  # all of the mass is at 0
    at_right = c.equal(b, 0.0) | (a >= 1e300)
    out = c.select(at_right | c.equal(x, 0.0), 0.0, out)
    out = c.select(at_left & (x > 0.0) | c.equal(x, 1.0), 1.0, out)
    known = (a >= 0.0) & (b >= 0.0) & (x >= 0.0) & (x <= 1.0) & ~(at_left & at_right)
    known = known & ~(at_left & c.equal(x, 0.0)) & ~(at_right & c.equal(x, 1.0))
    ends = c.select(c.equal(x, 0.0), 0.0, 1.0)
    either = (at_left ^ at_right) & (a >= 0.0) & (b >= 0.0) & (c.equal(x, 0.0) | c.equal(x, 1.0))
    return c.select(known, out, c.select(either, ends, math.nan))


def _fraction_slope(c: Code, a: Any, b: Any, x: Any, ta: Any, tb: Any, valid: Any) -> tuple[Any, Any]:
    """The fraction, and the derivative of its logarithm along (ta, tb)."""
    zero = a * 0.0
    one = zero + 1.0

    def term(top: Any, slope: Any, ratio: Any, ratio_t: Any, d: Any, d_t: Any) -> tuple:
        inverse = 1.0 / ratio
        ratio_t = (slope - top * ratio_t * inverse) * inverse
        new = 1.0 / _away(c, 1.0 + top * d)
        d_t = -(new * new) * (slope * d + top * d_t)
        ratio = _away(c, 1.0 + top * inverse)
        return ratio, ratio_t, new, d_t, ratio_t / ratio + d_t / new

    def step(n: Any, ratio: Any, ratio_t: Any, d: Any, d_t: Any, h: Any, h_t: Any, change: Any) -> tuple:
        m = n - 1.0
        odd, even = _numerator(n, a, b, x)
        slope = odd * (ta / (a + m) + (ta + tb) / (a + b + m) - ta / (a + 2.0 * m) - ta / (a + 2.0 * m + 1.0))
        ratio, ratio_t, d, d_t, first = term(odd, slope, ratio, ratio_t, d, d_t)
        h = h * (ratio * d)
        per = n * x / ((a + 2.0 * n - 1.0) * (a + 2.0 * n))
        slope = per * tb - even * (ta / (a + 2.0 * n - 1.0) + ta / (a + 2.0 * n))
        ratio, ratio_t, d, d_t, second = term(even, slope, ratio, ratio_t, d, d_t)
        delta = ratio * d
        change = c.math("abs", delta - 1.0) + c.math("abs", second) * 0.25
        return n + 1.0, ratio, ratio_t, d, d_t, h * delta, h_t + (first + second), change

    start = (1.0, one, zero, zero, zero, one, zero, c.select(valid, one, 0.0))
    state = c.loop(start, lambda n, *rest: (rest[-1] > 8 * EPS) & (n < 5000.0), step)
    return 1.0 / state[5], -state[6]


def _slope(c: Code, a: Any, b: Any, x: Any, first: bool) -> Any:
    """The derivative in a (first) or in b."""
    s = _Sides(c, a, b, x)
    ta = c.select(s.swapped, 0.0, 1.0) if first else c.select(s.swapped, 1.0, 0.0)
    tb = 1.0 - ta
    value, slope = _fraction_slope(c, s.a, s.b, s.x, ta, tb, s.inside)
    log_x = c.select(s.x < 0.5, c.math("log", s.x), c.math("log1p", -s.y))
    log_y = c.select(s.y < 0.5, c.math("log", s.y), c.math("log1p", -s.x))
    both = c.math("digamma", s.a + s.b)
    slope = slope + ta * (log_x - 1.0 / s.a - c.math("digamma", s.a) + both)
    slope = slope + tb * (log_y - c.math("digamma", s.b) + both)
    out = c.math("exp", s.log_prefactor) / s.a * value * slope
    known = (a > 0.0) & (b > 0.0) & (x >= 0.0) & (x <= 1.0)
    return c.select(known, c.select(s.inside, c.select(s.swapped, -out, out), 0.0), math.nan)


def _slope_a(c: Code, a: Any, b: Any, x: Any) -> Any:
    return _slope(c, a, b, x, True)


def _slope_b(c: Code, a: Any, b: Any, x: Any) -> Any:
    return _slope(c, a, b, x, False)


# -- the primitives ------------------------------------------------------------------------------------------


def _matching(t: Any, *xs: Any) -> list[Any]:
    """Operands in the dtype of t: a weak scalar may have another."""
    return [of_dtype(x, aval_of(t).dtype) for x in xs]


def _density(t: Any, _out: Any, a: Any, b: Any, x: Any) -> Any:
    """t x**(a - 1) (1 - x)**(b - 1) / B(a, b)."""
    a, b, x = _matching(t, a, b, x)
    exponent = sub(add(_xlogy(sub(a, 1.0), x, log), _xlogy(sub(b, 1.0), neg(x), log1p)), lbeta(a, b))
    return mul(t, exp(exponent))


def _xlogy(x: Any, y: Any, logarithm: Any) -> Any:
    """x times the logarithm, 0 where x is 0."""
    none = eq(x, 0.0)
    zero = zeros(Aval((), aval_of(x).dtype))
    return mul(x, logarithm(select(none, add(zero, 0.5), y)))


_A = np.array([0.5, 0, 1, 2, np.inf, 2, np.nan, 30], np.float32)
_B = np.array([0.5, 1, 0, 2, 1, np.inf, 1, 40], np.float32)
_X = np.array([0, 0.5, 0.5, 1, 0.5, 0.5, 0.5, 0.4], np.float32)


def _samples() -> list[Sample]:
    """differentiate: only where a and b are numbers, because their second derivatives are refused."""
    between = functools.partial(Sample, low=0.25, high=0.75)
    return [
        between(("f4[2,3]", "f4[2,3]", "f4[2,3]"), differentiate=False),
        between((1.5, 2.5, "f4[4]")),
        between((8.5, 20.0, "f4[4]")),
        between(("f4[]", "f4[3]", "f4[]"), differentiate=False),
        Sample((_A, _B, _X), differentiate=False),
        Sample(("f4[0]", "f4[0]", "f4[0]"), differentiate=False),
        Sample((1.5, 2.0, 0.5)),
    ]


_TWICE = "there are only first derivatives of the incomplete beta function in a and b"

lbeta = elementwise(
    "lbeta",
    scipy_function("betaln"),
    expression(_lbeta),
    lambda t, _out, a, b: mul(t, sub(digamma(_matching(t, a)[0]), digamma(add(a, b)))),
    lambda t, _out, a, b: mul(t, sub(digamma(_matching(t, b)[0]), digamma(add(a, b)))),
    samples=lambda: [
        *binary(0.5, 20.0, integers=False),
        Sample((np.array([1e-3, 5, 1e4, 3, np.inf], np.float32), np.array([1e4, 200, 1e4, 1, 2], np.float32)),
               differentiate=False),
    ],
)  # fmt: skip
betainc_grad_a = elementwise(
    "betainc_grad_a", evaluation(_slope_a), expression(_slope_a), refuse=_TWICE, samples=_samples
)
betainc_grad_b = elementwise(
    "betainc_grad_b", evaluation(_slope_b), expression(_slope_b), refuse=_TWICE, samples=_samples
)
# I_x(a, b), the regularised incomplete beta function
betainc = elementwise(
    "betainc",
    scipy_function("betainc"),
    expression(_incomplete),
    lambda t, _out, a, b, x: mul(t, betainc_grad_a(*_matching(t, a, b, x))),
    lambda t, _out, a, b, x: mul(t, betainc_grad_b(*_matching(t, a, b, x))),
    _density,
    samples=_samples,
)
