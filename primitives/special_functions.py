"""Special functions of one number: the scaled complementary error function, the quantiles of the normal distribution,
Dawson's function and the dilogarithm.

The Chebyshev series were made for this; `ndtri` is M. J. Wichura's algorithm AS 241 (Applied Statistics 37, 1988).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of
from fnn.primitives.arithmetic import add, div, mul, neg, square, sub
from fnn.primitives.comparison import eq, select
from fnn.primitives.rules import Partial, elementwise, zeros
from fnn.primitives.sampling import unary
from fnn.primitives.scalar_code import Code, chebyshev, expression, polynomial, scipy_function
from fnn.primitives.transcendental import exp, log

_ERFCX = (
    1.1775789345674017, -0.004590054580646478, -0.08424913336651792, 0.05920993999819189,
    -0.026658668435305753, 0.009074997670705265, -0.002413163540417608, 0.0004907758365258086,
    -6.916973302501207e-05, 4.13902798607301e-06, 7.74038306619849e-07, -2.1886401049234397e-07,
    1.076499946567091e-08, 4.521959811218287e-09, -7.754400208831351e-10, -6.318088340886684e-11,
    2.86879501093067e-11, 1.9455868545777347e-13, -9.65469674843344e-13, 3.25254814814874e-14,
    3.3478119482868056e-14, -1.864562880419313e-15, -1.2507950530688648e-15, 7.418235256624043e-17,
    5.068148904796111e-17,
)  # fmt: skip
_DAWSON = (
    0.1772453850902791, -0.27449077018166923, 0.2008907701804693, -0.13855477018186832,
    0.0898891701801088, -0.05480590618249315, 0.03140025625901689, -0.016913964194060348,
    0.008574058018138897, -0.004095653364288093, 0.0018463775176037363, -0.0007868721507131541,
    0.0003175653204049755, -0.00012158452128144187, 4.4239289220330554e-05, -1.5324191348797377e-05,
    5.061986349643029e-06, -1.597156876012634e-06, 4.821016872425284e-07, -1.3942674216842947e-07,
    3.868939081765656e-08, -1.0314981957969098e-08, 2.6456916669710896e-09, -6.536414083167736e-10,
    1.5573204847430266e-10, -3.582098282767749e-11, 7.963000319977222e-12, -1.712503304769159e-12,
    3.5662814155107424e-13, -7.19818445025842e-14, 1.4093795825613889e-14, -2.679088532423727e-15,
    4.948114462214065e-16, -8.886066749094144e-17, 1.552763068703898e-17,
)  # fmt: skip
_DAWSON_FAR = (
    1.0104930398155554, 0.010665188854844071, 0.0001771067342841464, 5.169683968011006e-06,
    2.2447507782493716e-07, 1.3464937144333474e-08, 1.0800215667819404e-09, 1.1489298262821258e-10,
    1.599986562592124e-11, 2.703005580094485e-12, 4.591872803691233e-13, 4.8027993211255076e-14,
    -1.1195315281290138e-14, -8.851173977001467e-15, -2.7656923316040005e-15, -2.9028411520661707e-16,
    1.5545769481586733e-16, 8.194209358526931e-17,
)  # fmt: skip
_CENTRAL = (
    (3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_MIDDLE = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
     1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
     1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip
# Bernoulli numbers over factorials: of w**(2n + 1) in the dilogarithm of 1 - e**-w
_DILOGARITHM = (
    1 / 36, -1 / 3600, 1 / 211680, -1 / 10886400, 1 / 526901760, -691 / 16999766784000, 1 / 1120863744000,
    -3617 / 181400588328960000,
)  # fmt: skip


def _erfcx(c: Code, x: Any) -> Any:
    """Below 0 by erfcx(x) = 2 e**(x**2) - erfcx(-x), with what the rounding of the square left out."""
    size = c.math("abs", x)
    huge = size > 1e150
    near = c.select(huge, 1.0, size)
    value = chebyshev((near - 3.75) / (near + 3.75), _ERFCX) / (2.0 * near + 1.0)
    value = c.select(huge, 1.0 / (math.sqrt(math.pi) * size), value)
    below = x < 0.0
    bounded = c.select(below & (x > -30.0), x, 0.0)
    high = c.math("floor", bounded * 1024.0) * (1.0 / 1024.0)
    power = 2.0 * c.math("exp", high * high) * c.math("exp", (bounded - high) * (bounded + high))
    out = c.select(below, c.select(x > -30.0, power - value, math.inf), value)
    return c.select(c.equal(x, x), out, math.nan)


def _ratio(x: Any, pair: tuple[tuple[float, ...], tuple[float, ...]]) -> Any:
    return polynomial(x, pair[0]) / polynomial(x, pair[1])


def _ndtri(c: Code, p: Any) -> Any:
    q = p - 0.5
    central = c.math("abs", q) <= 0.425
    least = c.select(q < 0.0, p, 1.0 - p)
    inside = (least > 0.0) & ~central
    root = c.math("sqrt", -c.math("log", c.select(inside, least, 0.1)))
    tail = c.select(root <= 5.0, _ratio(root - 1.6, _MIDDLE), _ratio(root - 5.0, _FAR))
    out = c.select(central, q * _ratio(0.180625 - q * q, _CENTRAL), c.select(q < 0.0, -tail, tail))
    out = c.select(c.equal(p, 0.0), -math.inf, c.select(c.equal(p, 1.0), math.inf, out))
    return c.select((p >= 0.0) & (p <= 1.0), out, math.nan)


def _dawsn(c: Code, x: Any) -> Any:
    square = x * x
    beyond = square > 25.0
    near = x * chebyshev(c.select(beyond, 0.0, square) * (2.0 / 25.0) - 1.0, _DAWSON)
    far = chebyshev(50.0 / c.select(beyond, square, 25.0) - 1.0, _DAWSON_FAR) / c.select(beyond, 2.0 * x, 1.0)
    return c.select(c.equal(x, x), c.select(beyond, far, near), math.nan)


def _spence(c: Code, x: Any) -> Any:
    """The dilogarithm of 1 - x: above 1 from 1 / x, below 1/2 from 1 - x."""
    inside = x > 0.0
    safe = c.select(inside, x, 1.0)
    above = safe > 1.0
    y = c.select(above, 1.0 / safe, safe)
    small = y < 0.5
    log_y, log_rest = c.math("log", y), c.math("log1p", -c.select(small, y, 0.0))
    w = c.select(small, -log_rest, -log_y)
    series = w - 0.25 * (w * w) + w * (w * w) * polynomial(w * w, _DILOGARITHM)
    value = c.select(small, math.pi**2 / 6 - log_y * log_rest - series, series)
    value = c.select(above, -0.5 * (log_y * log_y) - value, value)
    value = c.select(c.equal(x, 0.0), math.pi**2 / 6, c.select(inside, value, math.nan))
    return c.select(x > 1.7976931348623157e308, math.nan, value)


def _one(
    name: str,
    function: Any,
    partial: Partial,
    low: float,
    high: float,
    edges: tuple[float, ...],
    known: str = "",
) -> Primitive:
    """A function of one number; known: its name in scipy.special."""
    return elementwise(
        name,
        scipy_function(known or name),
        expression(function),
        partial,
        samples=lambda: [*unary(low, high), Sample((np.array(edges, np.float32),), differentiate=False)],
    )


erfcx = _one(
    "erfcx",
    _erfcx,
    lambda t, out, x: mul(t, sub(mul(mul(x, out), 2.0), 2 / math.sqrt(math.pi))),
    -1.5,
    3.0,
    (0, -0.0, np.inf, -np.inf, np.nan, 50, -9, 1e30),
)
ndtri = _one(
    "ndtri",
    _ndtri,
    lambda t, out, _x: mul(t, mul(exp(mul(square(out), 0.5)), math.sqrt(2 * math.pi))),
    0.125,
    0.875,
    (0, 1, 0.5, 1e-30, 0.01, 0.99999, -0.5, 2, np.nan),
)
dawsn = _one(
    "dawsn",
    _dawsn,
    lambda t, out, x: mul(t, sub(1.0, mul(mul(x, out), 2.0))),
    -3.0,
    8.0,
    (0, -0.0, 5, -5, 30, 1e30, np.inf, -np.inf, np.nan),
)


def _spence_slope(t: Any, _out: Any, x: Any) -> Any:
    """log(x) / (1 - x), which is -1 at 1."""
    none = eq(x, 1.0)
    two = add(zeros(Aval((), aval_of(t).dtype)), 2.0)
    away = select(none, two, x)
    return mul(t, select(none, neg(sub(two, 1.0)), div(log(away), sub(1.0, away))))


spence = _one("spence", _spence, _spence_slope, 0.125, 4.0, (0, 1, 0.5, 2, 1e30, np.inf, -1, np.nan))
