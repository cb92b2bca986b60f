"""pow, cbrt, rsqrt, nextafter.

pow(x, y) = e**(y log|x|) needs log|x| to 11 more bits than f8 has (7 more than f4 has): for f8 it is a sum of
two numbers, as in Sun's fdlibm (e_pow.c), for f4 an f8.
"""

from __future__ import annotations

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_exponential import EXP_RANGE, split_exp
from fnn.kernels.math_logarithm import scaled_split
from fnn.kernels.math_short import narrow_of, short_exp, short_log, wide_of

_INFINITY, _NAN = float("inf"), float("nan")
# log 2, of which the first part times any exponent is exact
_LN2 = (0.6931471805582987, 1.6465949582897082e-12)
# 2/3 in two parts; then ((log((1 + s) / (1 - s)) - 2 s) / s**3 - 2/3) / s**2, in s**2
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
_ATANH_TAIL = (
    0.4, 0.28571428571421564, 0.22222222225818017, 0.181818174992975, 0.15384675167140466, 0.1333084724947681,
    0.11803207144600837, 0.10788650251215662,
)  # fmt: skip


def pow_(m: Arithmetic, x: Value, y: Value) -> Value:
    """x**y with the special cases of C's pow."""
    result = (_pow_short if m.single else _pow_long)(m, m.abs(x), y)
    size = m.abs(y)
    # Beyond 2**fraction all are integers; beyond twice that, even.
    nearest = m.rint(y)
    integer = nearest.eq(y)
    half = 0.5 * y
    odd = integer & m.rint(half).ne(half)
    negative = m.is_negative(x)
    result = m.flip_sign(result, negative & odd)
    # A negative finite base has no power that is not an integer.
    bad = (x < 0.0) & (x > -_INFINITY) & (size < _INFINITY) & ~integer
    result = m.select(bad, _NAN, result)
    result = m.select(m.is_nan(x), x, m.select(m.is_nan(y), y, result))
    one = y.eq(0.0) | x.eq(1.0) | (x.eq(-1.0) & size.eq(_INFINITY))
    return m.select(one, 1.0, result)


def _pow_short(m: Arithmetic, a: Value, y: Value) -> Value:
    """a**y of f4 through f8; a >= 0."""
    wide, a = wide_of(m, a)
    log = _logarithm_or_infinite(wide, a, short_log(wide, a))
    return narrow_of(m, short_exp(wide, log * m.builder.cast(y, "f8")))


def _pow_long(m: Arithmetic, a: Value, y: Value) -> Value:
    """a**y of f8; a >= 0."""
    one_f, n = scaled_split(m, a)
    # s = f / (2 + f) in two parts
    f = one_f - 1.0
    below = one_f + 1.0
    below_low = (2.0 - below) + f
    inverse = 1.0 / below
    s = f * inverse
    s_low = inverse * m.fma(-s, below_low, m.fma(-s, below, f))
    # log((1 + s) / (1 - s)) = 2 s + s**3 (2/3 + s**2 ...)
    z, z_low = m.exact_product(s, s)
    z_low = m.fma(2.0 * s, s_low, z_low)
    factor, factor_low = m.exact_sum(m.const(_TWO_THIRDS[0]), z * m.polynomial(z, _ATANH_TAIL))
    factor_low = factor_low + _TWO_THIRDS[1]
    cube, cube_low = m.exact_product(z, factor)
    cube_low = m.fma(z_low, factor, m.fma(z, factor_low, cube_low))
    more, more_low = m.exact_product(s, cube)
    more_low = m.fma(s_low, cube, m.fma(s, cube_low, more_low))
    part, part_low = m.exact_sum(2.0 * s, more)
    log, low = m.exact_sum(n * _LN2[0], part)
    log, low = m.exact_sum(log, low + (part_low + m.fma(n, _LN2[1], m.fma(2.0, s_low, more_low))))
    # times y
    log = _logarithm_or_infinite(m, a, log)
    product, product_low = m.exact_product(log, y)
    product_low = m.fma(low, y, product_low)
    least, greatest = EXP_RANGE[m.dtype]
    product = m.at_least(m.at_most(product, greatest), least)
    product_low = m.select(
        m.abs(product_low) < 1e-9, product_low, 0.0
    )  # where not, the result is 0 or infinite
    p, k = split_exp(m, product, product_low)
    return m.scale(1.0 + p, k)


def _logarithm_or_infinite(m: Arithmetic, a: Value, log: Value) -> Value:
    """log a, at 0 and infinity too."""
    return m.select(a.eq(0.0), -_INFINITY, m.select(a < _INFINITY, log, a))


def cbrt(m: Arithmetic, x: Value) -> Value:
    """a z**2 with z the inverse cube root, from its bits (a third of the exponent, negated) by iterations
    that use (1 - e)**(-1/3) = 1 + e/3 + 2 e**2/9 + ..., where e = 1 - a z**3; the last correction is
    Newton's, on the result."""
    f, a = m.format, m.abs(x)
    denormal, up = a < f.tiny, 3 * ((f.fraction + 3) // 3)
    a = m.select(denormal, a * 2.0**up, a)
    if m.single:
        z = m.from_bits(m.builder.const(0x54A1F52A, "u4") - m.to_bits(a) / 3)
    else:  # the high words suffice
        high = ((m.to_bits(a) >> 32) * 0x55555556) >> 32
        z = m.from_bits((m.builder.const(0x553EE8FF, "u8") - high) << 32)
    third, second = 1.0 / 3.0, 2.0 / 9.0
    for _ in range(2 if m.single else 3):
        e = m.fma(-(a * z), z * z, 1.0)
        z = m.fma(z * e, m.fma(e, second, third), z)
    root = a * (z * z)
    square, square_low = m.exact_product(root, root)
    residual = m.fma(-root, square_low, m.fma(-root, square, a))
    root = m.fma(residual * (z * z), third, root)
    root = m.select(denormal, root * 2.0 ** (-up // 3), root)
    ends = a.eq(0.0) | ~(a < _INFINITY)
    return m.copysign(m.select(ends, m.abs(x), root), x)


def rsqrt(m: Arithmetic, x: Value) -> Value:
    return 1.0 / m.sqrt(x)


def nextafter(m: Arithmetic, x: Value, y: Value) -> Value:
    """The neighbour of x in the direction of y: its bits are the next integer, up or down."""
    bits = m.to_bits(x)
    away = (y > x).ne(m.is_negative(x))
    one = m.builder.const(1, m.format.bits)
    stepped = m.from_bits(m.builder.select(away, bits + one, bits - one))
    least = m.copysign(m.from_bits(one), y)
    result = m.select(x.eq(0.0), least, stepped)
    result = m.select(x.eq(y), y, result)
    return m.select(m.is_nan(x), x, m.select(m.is_nan(y), y, result))
