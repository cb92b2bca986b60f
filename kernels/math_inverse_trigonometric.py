"""asin, acos, atan, atan2, by minimax polynomials in x**2 on intervals that identities lead to."""

from __future__ import annotations

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic

_NAN = float("nan")
_HALF_PI = {
    "f4": (1.5707963705062866, -4.371138828673793e-08),
    "f8": (1.5707963267948966, 6.123233995736766e-17),
}
# (asin r / r - 1) / r**2, in r**2, for r <= 0.5625
_ASIN = {
    "f4": (0.166666299, 0.0750216022, 0.0442233831, 0.0340657718, 0.00658525014, 0.0476522595),
    "f8": (
        0.16666666666666308, 0.07500000000100814, 0.044642857043756846, 0.03038194936134294,
        0.02237201475614212, 0.017355498467036778, 0.013929662632634482, 0.011868684991305244,
        0.007734717861834354, 0.01760127280176566, -0.02197312085738293, 0.06912370380441127,
        -0.07727180217123303, 0.060055833086649406,
    ),
}  # fmt: skip
# (atan r / r - 1) / r**2, in r**2
_ATAN = {
    "f4": (
        -0.333333015, 0.199986264, -0.142651096, 0.109569192, -0.0841790959, 0.0582168587, -0.0314482339,
        0.0110661583, -0.00182887085,
    ),
    "f8": (
        -0.33333333333333093, 0.19999999999955445, -0.14285714282801054, 0.11111111013559109,
        -0.09090907116522746, 0.07692281141035665, -0.06666414506729963, 0.05880588929285565,
        -0.05253786302019744, 0.04723217742620255, -0.04221493967932336, 0.03668847673899498,
        -0.02997684450228453, 0.022073624681741334, -0.013983447800699284, 0.00725475730707767,
        -0.0029147194220515795, 0.0008417918470625383, -0.0001544190753815034, 1.3450451817669937e-05,
    ),
}  # fmt: skip


def _inner_asin(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """asin |x| for |x| <= 0.5625, beyond asin sqrt((1 - |x|) / 2); and which of the two. (At 1/2 the two
    meet, but a little further on the second is below 1/2 and so has one more bit.)"""
    a = m.abs(x)
    inside = a <= 0.5625
    z = m.select(inside, a * a, m.fma(a, -0.5, 0.5))
    r = m.select(inside, a, m.sqrt(z))
    return m.fma(r * z, m.polynomial(z, _ASIN[m.dtype]), r), inside


def asin(m: Arithmetic, x: Value) -> Value:
    p, inside = _inner_asin(m, x)
    high, low = _HALF_PI[m.dtype]
    return m.copysign(m.select(inside, p, high - (2.0 * p - low)), x)


def acos(m: Arithmetic, x: Value) -> Value:
    p, inside = _inner_asin(m, x)
    high, low = _HALF_PI[m.dtype]
    right = 2.0 * p
    outside = m.select(x < 0.0, 2.0 * high - (right - 2.0 * low), right)
    return m.select(inside, high - (m.copysign(p, x) - low), outside)


def _inner_atan(m: Arithmetic, t: Value) -> Value:
    """atan t for 0 <= t <= 1. (Two interleaved halves of the polynomial would cancel: half a digit would be
    lost.)"""
    z = t * t
    return m.fma(t * z, m.horner(z, _ATAN[m.dtype]), t)


def _complement(m: Arithmetic, angle: Value, low_also: float = 1.0) -> Value:
    """low_also * pi/2 - angle."""
    high, low = _HALF_PI[m.dtype]
    return high * low_also - (angle - low * low_also)


def atan(m: Arithmetic, x: Value) -> Value:
    a = m.abs(x)
    steep = a > 1.0
    angle = _inner_atan(m, m.select(steep, 1.0 / a, a))
    return m.copysign(m.select(steep, _complement(m, angle), angle), x)


def atan2(m: Arithmetic, y: Value, x: Value) -> Value:
    """The angle of the point (x, y), in [-pi, pi]; zeros and infinities as C has them."""
    a, c = m.abs(x), m.abs(y)
    steep = c > a
    least, greatest = m.select(steep, a, c), m.select(steep, c, a)
    t = least / m.select(greatest.eq(0.0), 1.0, greatest)
    t = m.select(least.eq(float("inf")), 1.0, t)
    angle = _inner_atan(m, t)
    angle = m.select(steep, _complement(m, angle), angle)
    angle = m.select(m.is_negative(x), _complement(m, angle, 2.0), angle)
    angle = m.select(m.is_nan(x), x, m.select(m.is_nan(y), y, angle))
    return m.copysign(angle, y)
