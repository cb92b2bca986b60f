"""lgamma and digamma, for f8 (f4 goes through it).

Positive arguments below 7 are moved by the recurrence to an interval where a minimax polynomial holds, and
above it is Stirling's series, economised. Negative ones are reflected: x becomes 1 - x; their zeros keep
absolute accuracy only.
"""

from __future__ import annotations

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_logarithm import log, positive_log
from fnn.kernels.math_trigonometric import sin_cos_pi

_INFINITY, _NAN = float("inf"), float("nan")
_PI = 3.141592653589793
_STIRLING_FROM = 7.0
_STEPS = 5
# lgamma(2 + e) / e for |e| <= 1/2
_LGAMMA = (
    0.42278433509846713, 0.32246703342411337, -0.06735230105319497, 0.020580808427755153,
    -0.007385551028999931, 0.0028905103324198315, -0.0011927538987128424, 0.0005096694812462406,
    -0.00022315501676569606, 9.94581202709427e-05, -4.492336448703713e-05, 2.0502277703001966e-05,
    -9.458130275799759e-06, 4.398697426187853e-06, -1.969481467206093e-06, 8.886950580559213e-07,
    -5.86240191701115e-07, 3.0767444239924355e-07,
)  # fmt: skip
# x (lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2) for x >= 7, in x**-2
_STIRLING = (
    0.08333333333333333, -0.002777777777756287, 0.0007936507772816472, -0.0005952334013407241,
    0.0008411048863049015, -0.0018711264010419252, 0.004685433619148304,
)  # fmt: skip
_HALF_LOG_TWO_PI = 0.9189385332046727
# digamma's zero, in two parts, and digamma(3/2 + u) / (3/2 + u - zero) for |u| <= 1/2
_ZERO = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA = (
    0.951055876031833, -0.4236274212814607, 0.2405424842407739, -0.14840492305384975, 0.0949887244549836,
    -0.06192213327818035, 0.04076083381023953, -0.026975796553140034, 0.0179072524963802,
    -0.011908222428478731, 0.007926943793656901, -0.005279906850813251, 0.003519014173434803,
    -0.0023457442245027223, 0.0015565879253892363, -0.0010351658557005564, 0.0007234759003839729,
    -0.0004900565613331441, 0.00022695172476259963, -0.00013750627134620277, 0.00025991029862471363,
    -0.00018378110204038327,
)  # fmt: skip
# (log x - 1/(2 x) - digamma(x)) x**2 for x >= 7, in x**-2
_DIGAMMA_SERIES = (
    0.08333333333333333, -0.008333333333307904, 0.00396825394524107, -0.00416665871578857,
    0.007574403081459621, -0.0209663287616852, 0.0766390348490435, -0.24599546323193805,
)  # fmt: skip


def lgamma(m: Arithmetic, x: Value) -> Value:
    """log |gamma(x)|, infinite at 0, -1, -2, ...; at -inf it is -inf, as in SciPy."""
    negative = x < 0.0
    result = _positive_lgamma(m, m.select(negative, 1.0 - x, x))

    def reflected() -> list[Value]:
        sine, _ = sin_cos_pi(m, x)
        return [m.select(sine > 0.0, -log(m, sine * (1.0 / _PI)) - result, _INFINITY)]

    (result,) = m.rarely(negative, [result], reflected)
    return m.select(x.eq(-_INFINITY), x, result)


def _positive_lgamma(m: Arithmetic, t: Value) -> Value:
    """lgamma(2 + e) and a logarithm: of the product of t - 1, t - 2, ... down to 2 + e, or, subtracted, of t
    or t (t + 1); for large t, of t."""
    large = t >= _STIRLING_FROM
    steps = m.at_most(m.rint(t - 2.0), float(_STEPS))
    e = t - (steps + 2.0)
    product = m.select(steps < -1.0, t * (t + 1.0), m.select(steps < 0.0, t, 1.0))
    for j in range(1, _STEPS + 1):
        product = m.select(steps >= float(j), product * (t - float(j)), product)
    logarithm = log(m, m.select(large, t, product))
    small = m.fma(e, m.polynomial(e, _LGAMMA), m.select(steps < 0.0, -logarithm, logarithm))
    inverse = 1.0 / t
    series = m.fma(inverse, m.polynomial(inverse * inverse, _STIRLING), _HALF_LOG_TWO_PI - 0.5)
    return m.select(large, m.fma(t - 0.5, logarithm - 1.0, series), small)


def digamma(m: Arithmetic, x: Value) -> Value:
    """The derivative of lgamma. At negative integers it is NaN, at 0 infinite against the sign of 0."""
    negative = x < 0.0
    result = _positive_digamma(m, m.select(negative, 1.0 - x, x))

    def reflected() -> list[Value]:
        sine, cosine = sin_cos_pi(m, x)
        return [m.select(sine > 0.0, result - _PI * cosine / sine, _NAN)]

    (result,) = m.rarely(negative, [result], reflected)
    return m.select(x.eq(0.0), m.copysign(_INFINITY, -x), result)


def _positive_digamma(m: Arithmetic, t: Value) -> Value:
    """digamma(v) with 1 <= v < 2, and the sum of 1 / (t - 1), 1 / (t - 2), ... as one fraction, or -1 / t."""
    large, low = t >= _STIRLING_FROM, t < 1.0
    above, below = m.select(low, m.const(-1.0), 0.0), m.select(low, t, 1.0)
    v = m.select(low, t + 1.0, t)
    for j in range(1, _STEPS + 1):
        more, factor = t >= float(j + 1), t - float(j)
        above = m.select(more, m.fma(above, factor, below), above)
        below = m.select(more, below * factor, below)
        v = m.select(more, factor, v)
    quotient = m.select(large, 1.0, above) / m.select(large, t, below)
    near = ((v - _ZERO[0]) - _ZERO[1]) * m.polynomial(v - 1.5, _DIGAMMA)
    square = quotient * quotient
    far = positive_log(m, m.select(large, t, 1.0)) - m.fma(
        square, m.polynomial(square, _DIGAMMA_SERIES), 0.5 * quotient
    )
    far = m.select(t < _INFINITY, far, t)
    return m.select(large, far, near + quotient)
