"""log and its kin: log2, log1p, asinh, acosh, atanh.

x = 2**n (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and log(1 + f) = f + g: f is exact and g small beside it.
For f4, g is a minimax polynomial; for f8 it goes through s = f / (2 + f) as in Sun's fdlibm (e_log.c), with a
minimax polynomial too.
"""

from __future__ import annotations

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic

_INFINITY, _NAN = float("inf"), float("nan")
_SQRT_HALF_BITS = {"f4": 0x3F3504F3, "f8": 0x3FE6A09E667F3BCD}
# (log(1 + f) - f + f**2 / 2) / f**3
_LOG = (
    0.333333164, -0.250008106, 0.200023115, -0.166245535, 0.141805843, -0.131281793, 0.128859058,
    -0.0786660239,
)  # fmt: skip
# (log((1 + s) / (1 - s)) - 2 s) / s**3, in s**2
_ATANH = (
    0.666666666666667, 0.39999999999899066, 0.28571428626328316, 0.22222211069618142, 0.1818289405280416,
    0.153315565516787, 0.1461848076452649,
)  # fmt: skip
_LOG2_E = {
    "f4": (1.44269502162933349609, 1.92596299112661746887e-8),
    "f8": (1.4426950408889634, 2.0355273740931033e-17),
}


def split_exponent(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """1 + f and the biased exponent (an integer) of a positive normal number."""
    fraction, root = m.format.fraction, _SQRT_HALF_BITS[m.dtype]
    shifted = m.to_bits(x) + (m.format.one_bits - root)
    return m.from_bits((shifted & (1 << fraction) - 1) + root), shifted >> fraction


def unbiased(m: Arithmetic, exponent: Value, bias: int | None = None) -> Value:
    """A biased exponent as a number."""
    return m.from_bits(exponent | m.format.magic_bits) - (
        m.format.magic + (m.format.bias if bias is None else bias)
    )


def scaled_split(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """1 + f and n of any positive number: denormal ones are multiplied first."""
    denormal, up = x < m.format.tiny, m.format.fraction + 1
    one_f, exponent = split_exponent(m, m.select(denormal, x * 2.0**up, x))
    n = unbiased(m, exponent)
    return one_f, m.select(denormal, n - float(up), n)


def small_part(m: Arithmetic, f: Value) -> Value:
    """g, with log(1 + f) = f + g."""
    if m.single:
        z = f * f
        return m.fma(-0.5, z, f * z * m.polynomial(f, _LOG))
    s = f / (f + 2.0)
    z, half = s * s, f * (f * 0.5)
    return m.fma(s, m.fma(z, m.polynomial(z, _ATANH), half), -half)


def combined(m: Arithmetic, f: Value, n: Value) -> Value:
    """log(1 + f) + n log 2."""
    high, low = m.format.ln2
    return m.fma(n, high, f + m.fma(n, low, small_part(m, f)))


def positive_log_pair(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """log of a positive number as a sum of two, of which the second holds what is small beside the first."""
    one_f, n = scaled_split(m, x)
    f, (high, low) = one_f - 1.0, m.format.ln2
    near = m.fma(n, high, f)
    rest = m.fma(n, low, small_part(m, f))
    return near, (m.fma(n, high, -near) + f) + rest


def at_the_ends(m: Arithmetic, x: Value, result: Value) -> Value:
    """What every logarithm is at 0, below, at infinity and NaN."""
    result = m.select(x < _INFINITY, result, x)
    result = m.select(x.eq(0.0), -_INFINITY, result)
    return m.select(x < 0.0, _NAN, result)


def positive_log(m: Arithmetic, x: Value) -> Value:
    """log of a positive normal number."""
    one_f, exponent = split_exponent(m, x)
    return combined(m, one_f - 1.0, unbiased(m, exponent))


def log(m: Arithmetic, x: Value) -> Value:
    """As `positive_log`; only vectors with a lane that is not a positive normal number take the longer way."""

    def anything() -> list[Value]:
        one_f, n = scaled_split(m, x)
        return [at_the_ends(m, x, combined(m, one_f - 1.0, n))]

    (result,) = m.where_needed(~m.is_positive_normal(x), [positive_log(m, x)], anything)
    return result


def log2(m: Arithmetic, x: Value) -> Value:
    """The change of base keeps log2(e) in two parts, so that results near 0 have all their digits; powers of
    2 are exact."""
    one_f, n = scaled_split(m, x)
    f, (high, low) = one_f - 1.0, _LOG2_E[m.dtype]
    return at_the_ends(m, x, n + m.fma(f, high, m.fma(f, low, small_part(m, f) * high)))


def inner_log1p(m: Arithmetic, x: Value) -> Value:
    """log(1 + x) for x > -1 and finite.

    1 + x loses digits of x, but its exponent n is good: f = x 2**-n + (2**-n - 1) is rounded once. Where x is
    so large that the 1 does not count (and 2**-n might not be a normal number), f comes from x itself.
    """
    one_f, exponent = split_exponent(m, 1.0 + x)
    power = m.from_bits((m.builder.const(2 * m.format.bias, m.format.bits) - exponent) << m.format.fraction)
    f = m.select(x > 2.0 ** (m.format.fraction + 3), one_f - 1.0, m.fma(x, power, power - 1.0))
    return combined(m, f, unbiased(m, exponent))


def log1p(m: Arithmetic, x: Value) -> Value:
    result = m.select(x < _INFINITY, inner_log1p(m, x), x)
    result = m.select(x.eq(-1.0), -_INFINITY, result)
    return m.copysign(m.select(x < -1.0, _NAN, result), x)


def asinh(m: Arithmetic, x: Value) -> Value:
    """log1p(x + x**2 / (1 + sqrt(1 + x**2))), and log(2 x) for large x."""
    a = m.abs(x)
    large = a > 2.0 ** (m.format.fraction // 2 + 2)
    square = a * a
    u = a + square / (1.0 + m.sqrt(m.fma(a, a, 1.0)))
    return m.copysign(_log1p_or_log2x(m, a, u, large), x)


def acosh(m: Arithmetic, x: Value) -> Value:
    """log1p(t + sqrt(2 t + t**2)) with t = x - 1, and log(2 x) for large x."""
    t = x - 1.0
    u = t + m.sqrt(m.fma(t, t, 2.0 * t))
    result = _log1p_or_log2x(m, x, u, x > 2.0 ** (m.format.fraction // 2 + 2))
    return m.select(x < 1.0, _NAN, result)


def _log1p_or_log2x(m: Arithmetic, x: Value, u: Value, large: Value) -> Value:
    """log1p(u), or log(2 x) where x is large: log(x) and one more log 2."""
    one_f, exponent = split_exponent(m, m.select(large, x, 1.0 + u))
    power = m.from_bits((m.builder.const(2 * m.format.bias, m.format.bits) - exponent) << m.format.fraction)
    f = m.select(large, one_f - 1.0, m.fma(u, power, power - 1.0))
    n = unbiased(m, exponent)
    result = combined(m, f, m.select(large, n + 1.0, n))
    return m.select(x < _INFINITY, result, x)


def atanh(m: Arithmetic, x: Value) -> Value:
    """log1p(2 x + 2 x * x / (1 - x)) / 2; infinite at 1, NaN beyond."""
    a = m.abs(x)
    twice = 2.0 * a
    result = 0.5 * inner_log1p(m, m.fma(twice, a / (1.0 - a), twice))
    result = m.select(a.eq(1.0), _INFINITY, result)
    return m.copysign(m.select(a > 1.0, _NAN, result), x)
