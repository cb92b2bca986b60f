"""The regularised incomplete gamma functions, their derivatives in `a`, and that of a gamma variate.

P(a, x) is a power series in x up to x = a or 1, and 1 - Q(a, x) beyond, where Q is a continued fraction; for large
a and x near it both come from N. M. Temme's uniform asymptotic expansion (SIAM J. Math. Anal. 10, 1979; DLMF 8.12).
The prefactor x**a e**-x / gamma(a + 1) is written so that nothing large cancels. Derivatives in `a` are those of the
series, of the fraction's recurrences (after R. J. Moore, Appl. Statist. 31, 1982) and of the expansion.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.trace import aval_of
from fnn.primitives.arithmetic import add, mul, neg, sub
from fnn.primitives.comparison import eq, select
from fnn.primitives.rules import elementwise, of_dtype, zeros
from fnn.primitives.scalar_code import (
    Code,
    evaluation,
    excess_of_log1p,
    expression,
    polynomial,
    scipy_function,
    stirling,
)
from fnn.primitives.transcendental import exp, lgamma, log

EPS = 2.0**-53
_FROM = 200.0  # a, from which the expansion holds where |x - a| < 0.4 a
# coefficients in eta of the k-th term of the expansion, which is divided by a**k (DLMF 8.12.10)
_TEMME = (
    (
        -0.3333333333333333, 0.08333333333333333, -0.014814814814814815, 0.0011574074074074073,
        0.0003527336860670194, -0.0001787551440329218, 3.919263178522438e-05,
        -2.185448510679992e-06, -1.85406221071516e-06, 8.296711340953087e-07,
        -1.7665952736826078e-07, 6.707853543401498e-09, 1.0261809784240309e-08,
        -4.382036018453353e-09, 9.14769958223679e-10, -2.5514193994946248e-11,
        -5.830772132550426e-11, 2.4361948020667415e-11, -5.0276692801141755e-12,
        1.1004392031956135e-13,
    ),
    (
        -0.001851851851851852, -0.003472222222222222, 0.0026455026455026454, -0.0009902263374485596,
        0.00020576131687242798, -4.018775720164609e-07, -1.8098550334489977e-05,
        7.64916091608111e-06, -1.6120900894563446e-06, 4.647127802807434e-09, 1.378633446915721e-07,
        -5.752545603517705e-08, 1.1951628599778148e-08, -1.7543241719747647e-11,
        -1.0091543710600413e-09, 4.162792991842583e-10, -8.56390702649298e-11,
    ),
    (
        0.004133597883597883, -0.0026813271604938273, 0.0007716049382716049, 2.0093878600823047e-06,
        -0.0001073665322636516, 5.2923448829120125e-05, -1.2760635188618728e-05,
        3.423578734096138e-08, 1.3721957309062934e-06, -6.298992138380055e-07,
        1.4280614206064242e-07, -2.0477098421990866e-10, -1.409252991086752e-08,
        6.228974084922022e-09, -1.3670488396617114e-09,
    ),
    (
        0.0006494341563786008, 0.00022947209362139917, -0.0004691894943952557,
        0.00026772063206283885, -7.561801671883977e-05, -2.396505113867297e-07,
        1.1082654115347302e-05, -5.6749528269915965e-06, 1.4230900732435883e-06,
        -2.7861080291528143e-11, -1.6958404091930278e-07, 8.099464905388083e-08,
        -1.9111168485973655e-08,
    ),
    (
        -0.0008618882909167117, 0.0007840392217200666, -0.0002990724803031902,
        -1.4638452578843418e-06, 6.641498215465122e-05, -3.968365047179435e-05,
        1.1375726970678419e-05, 2.507497226237533e-10, -1.6954149536558305e-06,
        8.907507532205309e-07, -2.292934834000805e-07,
    ),
    (
        -0.00033679855336635813, -6.972813758365857e-05, 0.0002772753244959392,
        -0.00019932570516188847, 6.797780477937208e-05, 1.419062920643967e-07,
        -1.3594048189768693e-05, 8.018470256334202e-06, -2.291481176508095e-06,
    ),
    (
        0.0005313079364639922, -0.0005921664373536939, 0.0002708782096718045, 7.902353232660328e-07,
        -8.153969367561969e-05, 5.61168275310625e-05, -1.8329116582843375e-05,
    ),
    (
        0.00034436760689237765, 5.171790908260592e-05, -0.00033493161081142234,
        0.0002812695154763237, -0.00010976582244684731,
    ),
)  # fmt: skip
# lgamma(1 + a) in a, up to 1/20
_LGAMMA_ONE = (
    0.0, -0.5772156649015329, 0.8224670334241132, -0.40068563438653143, 0.27058080842778454, -0.20738555102867398,
    0.1695571769974082, -0.1440498967688461, 0.12550966952474304, -0.11133426586956469, 0.1000994575127818,
)  # fmt: skip


def _lgamma_one(c: Code, a: Any) -> Any:
    """lgamma(1 + a), to full relative precision near a = 0."""
    return c.select(a < 0.05, polynomial(a, _LGAMMA_ONE), c.math("lgamma", a + 1.0))


def _log_prefactor(c: Code, a: Any, x: Any) -> Any:
    """log of x**a e**-x / gamma(a + 1)."""
    large = a >= 10.0
    size = c.select(large, a, 10.0)
    mu = (x - size) / size
    excess = c.select(mu < -0.5, c.math("log", x / size) - mu, excess_of_log1p(c, mu))
    moved = size * excess - stirling(size)
    far = moved - 0.5 * c.math("log", size * (2 * math.pi))
    near = a * c.math("log", x) - x - _lgamma_one(c, c.select(large, 1.0, a))
    return c.select(large, far, near)


def _series(c: Code, a: Any, x: Any, valid: Any) -> Any:
    """The sum of x**n / ((a + 1) ... (a + n)) over n >= 0."""

    def step(n: Any, term: Any, total: Any) -> tuple:
        term = term * (x / (a + n))
        return n + 1.0, term, total + term

    start = (1.0, c.select(valid, a * 0.0 + 1.0, 0.0), 1.0)
    return c.loop(start, lambda n, term, total: term > total * EPS, step)[2]


def _fraction(c: Code, a: Any, x: Any, valid: Any) -> Any:
    """Q(a, x) over x**a e**-x / gamma(a), by the modified Lentz method on Legendre's continued fraction."""
    b = x + 1.0 - a
    d = 1.0 / b

    def step(n: Any, b: Any, ratio: Any, d: Any, h: Any, delta: Any) -> tuple:
        top = n * (a - n)
        b = b + 2.0
        d = 1.0 / (top * d + b)
        ratio = b + top / ratio
        delta = ratio * d
        return n + 1.0, b, ratio, d, h * delta, delta

    start = (1.0, b, a * 0.0 + 1e300, d, d, c.select(valid, a * 0.0 + 2.0, 1.0))
    return c.loop(start, lambda n, b, ratio, d, h, delta: c.math("abs", delta - 1.0) > EPS, step)[4]


def _eta(c: Code, a: Any, x: Any) -> tuple[Any, Any]:
    """(x/a - 1, eta) with eta**2 / 2 = x/a - 1 - log(x/a), of the sign of x - a."""
    mu = (x - a) / a
    eta = c.math("sqrt", -2.0 * excess_of_log1p(c, mu))
    return mu, c.select(mu < 0.0, -eta, eta)


def _expansion(c: Code, a: Any, x: Any) -> tuple[Any, Any]:
    """(P, Q) for large a."""
    _, eta = _eta(c, a, x)
    total: Any = 0.0
    for row in reversed(_TEMME):
        total = total / a + polynomial(eta, row)
    rest = c.math("exp", -0.5 * a * (eta * eta)) / c.math("sqrt", a * (2 * math.pi)) * total
    scaled = eta * c.math("sqrt", 0.5 * a)
    return 0.5 * c.math("erfc", -scaled) - rest, 0.5 * c.math("erfc", scaled) + rest


def _small(c: Code, a: Any, x: Any, valid: Any) -> Any:
    """Q(a, x) for x and a about 1 and below, where 1 - P would cancel."""

    def step(n: Any, power: Any, total: Any, term: Any) -> tuple:
        power = power * (-x / n)
        term = power / (a + n)
        return n + 1.0, power, total + term, term

    start = (1.0, a * 0.0 + 1.0, a * 0.0, c.select(valid, a * 0.0 + 2.0, 0.0))
    total = c.loop(
        start, lambda n, power, total, term: c.math("abs", term) > c.math("abs", total) * EPS, step
    )[2]
    exponent = a * c.math("log", x) - _lgamma_one(c, a)
    return -c.math("expm1", exponent) - c.math("exp", exponent) * a * total


class _Regions:
    """Where each method computes, and the operands moved to where nothing can go wrong elsewhere."""

    def __init__(self, c: Code, a: Any, x: Any, least: float):
        """least: of x, from which the fraction is used."""
        self.inside = (a > 0.0) & (x > 0.0) & (a < 1e300) & (x < 1e300)
        self.a, self.x = c.select(self.inside, a, 1.0), c.select(self.inside, x, 1.0)
        self.uniform = (self.a >= _FROM) & (c.math("abs", self.x - self.a) < 0.4 * self.a)
        self.fraction = (self.x > least) & (self.x > self.a) & ~self.uniform
        self.by_expansion = c.select(self.uniform, self.a, _FROM), c.select(self.uniform, self.x, _FROM)
        self.by_fraction = c.select(self.fraction, self.a, 1.0), c.select(self.fraction, self.x, 2.0)


def _finish(c: Code, a: Any, x: Any, out: Any, at_zero: float, at_infinity: float) -> Any:
    """The limits at the ends of the domain, and NaN outside of it."""
    end = 1e300
    out = c.select(c.equal(x, 0.0) | (a >= end), at_zero, out)
    out = c.select((x >= end) | c.equal(a, 0.0), at_infinity, out)
    none = c.equal(x, 0.0) & c.equal(a, 0.0) | (a >= end) & (x >= end)
    known = c.equal(a, a) & c.equal(x, x) & (a >= 0.0) & (x >= 0.0)
    return c.select(known & ~none, out, math.nan)


def _lower(c: Code, a: Any, x: Any) -> Any:
    r = _Regions(c, a, x, 1.0)
    prefactor = c.math("exp", _log_prefactor(c, r.a, r.x))
    near = prefactor * _series(c, r.a, r.x, r.inside & ~r.fraction & ~r.uniform)
    far = 1.0 - prefactor * r.a * _fraction(c, *r.by_fraction, r.fraction)
    out = c.select(r.uniform, _expansion(c, *r.by_expansion)[0], c.select(r.fraction, far, near))
    return _finish(c, a, x, out, 0.0, 1.0)


def _upper(c: Code, a: Any, x: Any) -> Any:
    r = _Regions(c, a, x, 1.1)
    below = c.select(r.x < 0.5, r.x, 0.5)
    small = (r.x < 0.5) & (r.a * c.math("log", below) >= -0.4) | (r.x >= 0.5) & (r.a <= 1.1 * r.x)
    small = small & (r.x <= 1.1)
    prefactor = c.math("exp", _log_prefactor(c, r.a, r.x))
    near = 1.0 - prefactor * _series(c, r.a, r.x, r.inside & ~r.fraction & ~r.uniform & ~small)
    least = _small(c, c.select(small, r.a, 1.0), c.select(small, r.x, 1.0), small)
    far = prefactor * r.a * _fraction(c, *r.by_fraction, r.fraction)
    out = c.select(r.fraction, far, c.select(small, least, near))
    out = c.select(r.uniform, _expansion(c, *r.by_expansion)[1], out)
    return _finish(c, a, x, out, 1.0, 0.0)


# -- derivatives in a ----------------------------------------------------------------------------------------


def _series_slope(c: Code, a: Any, x: Any, valid: Any) -> Any:
    """-(dP/da) / (dP/dx) where P is the series."""

    def step(n: Any, term: Any, slope: Any, total: Any, slopes: Any) -> tuple:
        ratio = x / (a + n)
        slope = slope * ratio - term * ratio / (a + n)
        term = term * ratio
        return n + 1.0, term, slope, total + term, slopes + slope

    def test(n: Any, term: Any, slope: Any, total: Any, slopes: Any) -> Any:
        return (term > total * EPS) | (c.math("abs", slope) > c.math("abs", slopes) * EPS)

    zero = a * 0.0
    _, _, _, total, slopes = c.loop((1.0, c.select(valid, zero + 1.0, 0.0), zero, 1.0, zero), test, step)
    return -(x / a) * (total * (c.math("log", x) - c.math("digamma", a + 1.0)) + slopes)


def _fraction_slope(c: Code, a: Any, x: Any, valid: Any) -> Any:
    """The same where Q is the fraction: Lentz's method on numbers and their derivatives together."""
    zero = a * 0.0
    b = x + 1.0 - a
    start_d = 1.0 / b

    def step(
        n: Any, b: Any, ratio: Any, ratio_a: Any, d: Any, d_a: Any, h: Any, h_a: Any, change: Any
    ) -> tuple:
        top = n * (a - n)
        b = b + 2.0
        new = 1.0 / (top * d + b)
        d_a = -(new * new) * (n * d + top * d_a - 1.0)
        d = new
        inverse = 1.0 / ratio
        ratio_a = n * inverse - top * ratio_a * (inverse * inverse) - 1.0
        ratio = b + top * inverse
        delta = ratio * d
        delta_a = ratio_a * d + ratio * d_a
        change = c.math("abs", delta - 1.0) + c.math("abs", delta_a)
        return n + 1.0, b, ratio, ratio_a, d, d_a, h * delta, h_a * delta + h * delta_a, change

    start = (
        1.0, b, zero + 1e300, zero, start_d, start_d * start_d, start_d, start_d * start_d,
        c.select(valid, zero + 2.0, 0.0),
    )  # fmt: skip
    state = c.loop(start, lambda n, *rest: (rest[-1] > 8 * EPS) & (n < 5000.0), step)
    return x * (state[6] * (c.math("log", x) - c.math("digamma", a)) + state[7])


def _expansion_slope(c: Code, a: Any, x: Any) -> Any:
    """The same where P is the expansion, of which the normal part cancels."""
    mu, eta = _eta(c, a, x)
    per = c.select(c.equal(eta, 0.0), 1.0, mu / c.select(c.equal(eta, 0.0), 1.0, eta))
    total: Any = 0.0
    in_eta: Any = 0.0
    in_a: Any = 0.0
    for k in reversed(range(len(_TEMME))):
        row = _TEMME[k]
        value = polynomial(eta, row)
        total = total / a + value
        in_eta = in_eta / a + polynomial(eta, [n * v for n, v in enumerate(row)][1:])
        in_a = in_a / a + k * value
    parts = 0.5 * eta - per - c.math("log1p", mu) * total + (0.5 * total + in_eta * per + in_a) / a
    return -parts * (x / a) * c.math("exp", stirling(a))


def _slope(c: Code, a: Any, x: Any) -> Any:
    r = _Regions(c, a, x, 1.0)
    near = _series_slope(c, r.a, r.x, r.inside & ~r.fraction & ~r.uniform)
    far = _fraction_slope(c, *r.by_fraction, r.fraction)
    return c.select(r.uniform, _expansion_slope(c, *r.by_expansion), c.select(r.fraction, far, near))


def _variate_slope(c: Code, a: Any, x: Any) -> Any:
    known = c.equal(x, x) & (x >= 0.0) & (a > 0.0)
    return c.select(known, c.select(c.equal(x, 0.0), 0.0, _slope(c, a, x)), math.nan)


def _lower_slope(c: Code, a: Any, x: Any) -> Any:
    r = _Regions(c, a, x, 1.0)
    density = c.math("exp", _log_prefactor(c, r.a, r.x)) * r.a / r.x
    known = c.equal(x, x) & (x >= 0.0) & (a > 0.0)
    return c.select(known, c.select(r.inside, -_slope(c, a, x) * density, 0.0), math.nan)


# -- the primitives ------------------------------------------------------------------------------------------


def _matching(t: Any, *xs: Any) -> list[Any]:
    """Operands in the dtype of t: a weak scalar may have another."""
    return [of_dtype(x, aval_of(t).dtype) for x in xs]


def _density(t: Any, a: Any, x: Any) -> Any:
    """t x**(a - 1) e**-x / gamma(a)."""
    a, x = _matching(t, a, x)
    power = sub(a, 1.0)
    none = eq(power, 0.0)  # x to the power of 0 is 1 at 0 as well
    base = select(none, add(zeros(Aval((), aval_of(t).dtype)), 1.0), x)
    return mul(t, exp(sub(sub(mul(power, log(base)), x), lgamma(a))))


_EDGES_A = np.array([0.5, 0, 1, 2, np.inf, 2, -1, np.nan, 0, 300], np.float32)
_EDGES_X = np.array([0, 1, 0, np.inf, 1, -1, 1, 1, 0, 310], np.float32)


def _samples() -> list[Sample]:
    """differentiate: only where `a` is a number, because its second derivatives are refused."""
    return [
        Sample(("f4[2,3]", "f4[2,3]"), low=0.25, high=6.0, differentiate=False),
        Sample((1.5, "f4[4]"), low=0.25, high=6.0),
        Sample(("f4[]", "f4[3]"), low=0.25, high=6.0, differentiate=False),
        Sample((_EDGES_A, _EDGES_X), differentiate=False),
        Sample(("f4[0]", "f4[0]"), differentiate=False),
        Sample((1.5, 0.5)),
    ]


_TWICE = "there are only first derivatives of the incomplete gamma functions and of gamma variates in a"

# -(dP/da) / (dP/dx): how a gamma variate of shape a grows with a (M. Figurnov, S. Mohamed, A. Mnih, "Implicit
# reparameterization gradients", NeurIPS 2018)
random_gamma_grad = elementwise(
    "random_gamma_grad",
    evaluation(_variate_slope),
    expression(_variate_slope),
    refuse=_TWICE,
    samples=_samples,
)
igamma_grad_a = elementwise(
    "igamma_grad_a", evaluation(_lower_slope), expression(_lower_slope), refuse=_TWICE, samples=_samples
)
# P(a, x), the regularised lower incomplete gamma function
igamma = elementwise(
    "igamma",
    scipy_function("gammainc"),
    expression(_lower),
    lambda t, _out, a, x: mul(t, igamma_grad_a(*_matching(t, a, x))),
    lambda t, _out, a, x: _density(t, a, x),
    samples=_samples,
)
# Q(a, x) = 1 - P(a, x)
igammac = elementwise(
    "igammac",
    scipy_function("gammaincc"),
    expression(_upper),
    lambda t, _out, a, x: neg(mul(t, igamma_grad_a(*_matching(t, a, x)))),
    lambda t, _out, a, x: neg(_density(t, a, x)),
    samples=_samples,
)
