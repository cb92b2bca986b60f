"""lgamma and digamma, for f8 (f4 goes through it).

Positive arguments below 7 are moved by the recurrence to an interval where a polynomial holds (digamma's two
polynomials need that below 1 only), and above it is Stirling's series, economised. Sums carry what their
rounding left out. Negative arguments are reflected: x becomes 1 - x; their zeros keep absolute accuracy only.
"""

from __future__ import annotations

import itertools

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_logarithm import log, positive_log_pair
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
# lgamma(1 + e) / e in e - 1/4, for 0 <= e <= 1/2
_LGAMMA_ONE = (
    -0.3930873456872526, 0.6625352492439489, -0.25548268796157425, 0.13677079348841728, -0.0833925057553864,
    0.054390401741934206, -0.03692956434234753, 0.025743859158389282, -0.01828207726700018,
    0.013163014280622108, -0.00957906899470719, 0.007033274832225246, -0.005198820590205353,
    0.003823745566692152, -0.002857141869231672, 0.0025275110343535643, -0.0019063835610750456,
)  # fmt: skip
# x (lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2) for x >= 7, in x**-2
_STIRLING = (
    0.08333333333333333, -0.002777777777756287, 0.0007936507772816472, -0.0005952334013407241,
    0.0008411048863049015, -0.0018711264010419252, 0.004685433619148304,
)  # fmt: skip
# what f8 leaves out of the first coefficients
_LGAMMA_LOW = (4.942915e-18, -2.52591e-17)
_DIGAMMA_LOW = (3.360557e-17, -8.047765e-17)
_ABOVE, _CENTRES = 2.625, (1.8125, 4.8125)  # where digamma's polynomials meet, and their origins
_HALF_LOG_TWO_PI = 0.9189385332046727
# digamma's zero, in two parts; digamma(x) / (x - zero) in x - 29/16, for 1 <= x <= 21/8
_ZERO = (1.4616321449683622, 9.549995429965697e-17)
_DIGAMMA = (
    0.8383866247294792, -0.3075369703561354, 0.14268384092809333, -0.07199364722718288,
    0.037777907448828855, -0.020237459632849734, 0.010968144260819395, -0.005985253617399503,
    0.003279639621339348, -0.0018016613067563837, 0.000991304380767511, -0.0005459647563274739,
    0.00030088720540013007, -0.00016594964442654198, 9.151666593091247e-05, -5.023070235663816e-05,
    2.7708248993665834e-05, -1.597723100885946e-05, 8.814363667062346e-06, -3.5146809433497526e-06,
    1.9390512965813227e-06, -2.8591622285634974e-06, 1.5774579435924984e-06, 6.724319081444126e-07,
    -3.7099795330967473e-07, -5.742931856818338e-07, 3.1685111231144956e-07,
)  # fmt: skip
# digamma(x) in x - 77/16, for 21/8 <= x <= 7
_DIGAMMA_ABOVE = (
    1.4637376921598502, 0.23086380011134394, -0.026534423142325052, 0.004049297437961933,
    -0.0006923641144864373, 0.00012577939718155193, -2.3711924170158926e-05, 4.581170927733385e-06,
    -9.003777182461438e-07, 1.7916894473238478e-07, -3.59841881197405e-08, 7.2777597257660385e-09,
    -1.4799382811145344e-09, 3.023528263238004e-10, -6.195071574481599e-11, 1.2653902270580535e-11,
    -2.604991170634885e-12, 5.65538929524293e-13, -1.1681936515122086e-13, 1.6536080017466687e-14,
    -3.4169333130786424e-15, 2.1020947081013492e-15, -4.3609062888285955e-16, -7.547287113308068e-17,
    1.5685037596760787e-17, 8.30169187374854e-18, -1.7236836129430767e-18,
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

    (result,) = m.where_needed(negative, [result], reflected)
    return m.select(x.eq(-_INFINITY), x, result)


def _positive_lgamma(m: Arithmetic, t: Value) -> Value:
    """lgamma(2 + e) and a logarithm: of the product of t - 1, t - 2, ... down to 2 + e, or, subtracted, of t;
    for large t, of t. Up to 1/2, lgamma(1 + t) less the logarithm of t; from 1 to 3/2, lgamma(1 + e) alone."""
    large, least = t >= _STIRLING_FROM, t < 0.5
    steps = m.at_most(m.rint(t - 2.0), float(_STEPS))
    alone = (t >= 1.0) & (t < 1.5)
    e = m.select(least, t, m.select(t < 1.5, t - 1.0, t - (steps + 2.0)))
    product = m.select(alone, 1.0, m.select(t < 1.5, t, 1.0))
    for j in range(1, _STEPS + 1):
        product = m.select(steps >= float(j), product * (t - float(j)), product)
    log, log_low = positive_log_pair(m, m.select(large, t, product))
    below = t < 1.5
    log_low_of_sum = m.select(below, -log_low, log_low)
    one = alone | least
    pairs = itertools.zip_longest(_LGAMMA_ONE, _LGAMMA, fillvalue=0.0)
    high, low = m.polynomial_pair(
        m.select(one, e - 0.25, e),
        [m.select(one, m.const(at_one), at_two) for at_one, at_two in pairs],
        m.select(one, m.const(_LGAMMA_LOW[1]), _LGAMMA_LOW[0]),
    )
    small = m.fma(e, high, m.fma(e, low, log_low_of_sum)) + m.select(below, -log, log)
    inverse = 1.0 / t
    series = m.fma(inverse, m.polynomial(inverse * inverse, _STIRLING), _HALF_LOG_TWO_PI - 0.5)
    factor = t - 0.5
    result = m.select(large, m.fma(factor, log - 1.0, m.fma(factor, log_low, series)), small)
    result = m.select(t.eq(0.0), _INFINITY, result)
    return m.select(t < _INFINITY, result, t)


def digamma(m: Arithmetic, x: Value) -> Value:
    """The derivative of lgamma. At negative integers it is NaN, at 0 infinite against the sign of 0."""
    negative = x < 0.0
    result = _positive_digamma(m, m.select(negative, 1.0 - x, x))

    def reflected() -> list[Value]:
        sine, cosine = sin_cos_pi(m, x)
        return [m.select(sine > 0.0, result - _PI * cosine / sine, _NAN)]

    (result,) = m.where_needed(negative, [result], reflected)
    return m.select(x.eq(0.0), m.copysign(_INFINITY, -x), result)


def _positive_digamma(m: Arithmetic, t: Value) -> Value:
    """Polynomials up to 7, through digamma(t + 1) - 1 / t below 1; the asymptotic series beyond."""
    low, above = t < 1.0, t >= _ABOVE
    v = m.select(low, t + 1.0, t)
    inverse = 1.0 / t
    u = v - m.select(above, m.const(_CENTRES[1]), _CENTRES[0])
    pairs = zip(_DIGAMMA, _DIGAMMA_ABOVE, strict=True)
    p, p_low = m.polynomial_pair(
        u,
        [m.select(above, m.const(b), a) for a, b in pairs],
        m.select(above, m.const(_DIGAMMA_LOW[1]), _DIGAMMA_LOW[0]),
    )
    distance = v - _ZERO[0]
    near, near_low = m.exact_product(distance, p)
    near_low = m.fma(distance, p_low, m.fma(-_ZERO[1], p, near_low))
    # what the rounding of 1 / t left out
    lost = m.select(low & (inverse < _INFINITY), inverse * m.fma(-inverse, t, 1.0), 0.0)
    near, near_low = m.select(above, p, near), m.select(above, p_low, near_low)
    near = (near + (near_low - lost)) - m.select(low, inverse, 0.0)
    square = inverse * inverse
    log, log_low = positive_log_pair(m, m.select(t >= _STIRLING_FROM, t, 1.0))
    far = log + (log_low - m.fma(square, m.polynomial(square, _DIGAMMA_SERIES), 0.5 * inverse))
    result = m.select(t >= _STIRLING_FROM, far, near)
    return m.select(t < _INFINITY, result, t)
