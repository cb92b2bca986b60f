"""sin, cos, tan, for every finite argument.

x = k pi/2 + r with |r| <= pi/4. Up to 2**20, k is x * 2/pi rounded and r comes from pi/2 in three parts
through fma (Cody and Waite): the first step is exact, the second is rounded once, the third is kept apart.
Beyond, the product of x and 2/pi is formed in integers from those of 2/pi's bits that matter at x's exponent
(Payne and Hanek); that is rare, and done apart.
"""

from __future__ import annotations

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic

_TWO_OVER_PI = 0.6366197723675814
# In three parts of as many bits as the format has; the first two positive, so that -0 stays -0.
_HALF_PI = {
    "f4": (1.57079625129699707031, 7.54978941586159635335e-08, 5.39030285815811905290e-15),
    "f8": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
_LARGE = 2.0**20
# 64 zeros, then the bits of 2/pi
_TWO_OVER_PI_BITS = (
    0, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041, 0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0,
    0x06492EEA09D1921C, 0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4,
    0x9C845F8BBDF9283B, 0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB,
)  # fmt: skip
# (sin r / r - 1) / r**2, in r**2
_SIN = {
    "f4": (-0.166666508, 0.00833191816, -0.000194827066),
    "f8": (
        -0.16666666666666607, 0.008333333333316262, -0.00019841269824908076, 2.755731200841132e-06,
        -2.5050497733651204e-08, 1.5881913923317482e-10,
    ),
}  # fmt: skip
# (cos r - 1 + r**2 / 2) / r**4, in r**2
_COS = {
    "f4": (0.0416666418, -0.00138871116, 2.44085786e-05),
    "f8": (
        0.04166666666666655, -0.0013888888888866024, 2.4801587284396778e-05, -2.7557312884074753e-07,
        2.0875524671935995e-09, -1.1349449019000914e-11,
    ),
}  # fmt: skip
# (tan r / r - 1) / r**2, in r**2
_TAN = {
    "f4": (
        0.333333582, 0.133323789, 0.0540916137, 0.0211208239, 0.0112490924, -0.000428987347, 0.00462972978,
    ),
    "f8": (
        0.33333333333333326, 0.1333333333333471, 0.0539682539673709, 0.021869488564706607,
        0.008863234981043073, 0.0035921349117874497, 0.001455775022817719, 0.0005903936240306761,
        0.00023747950442858004, 0.00010240544414179128, 2.5752082979586794e-05, 4.038888232793228e-05,
        -2.535924020780717e-05, 3.107545912440805e-05, -1.499877346437959e-05, 5.031849167235437e-06,
    ),
}  # fmt: skip


def _reduce(m: Arithmetic, x: Value, precise: bool = False) -> list[Value]:
    """r as a sum of two numbers, and k, of which only the two lowest bits count. Precise: the first of the
    two may be off by its last place, but not their sum."""
    k, bits = m.nearest_integer(x, _TWO_OVER_PI)
    first, second, third = _HALF_PI[m.dtype]
    near, low = m.fma(k, -first, x), k * -third
    if precise:
        product, product_low = m.exact_product(k, second)
        r, lost = m.unordered_sum(near, -product)
        low = low + (lost - product_low)
    else:
        r = m.fma(k, -second, near)
    return m.rarely(m.abs(x) > _LARGE, (r, low, bits), lambda: _reduce_large(m, x))


def _reduce_large(m: Arithmetic, x: Value) -> tuple[Value, Value, Value]:
    """The same for |x| > 2**20, in 64-bit integers and f8. x = s * 2**(e - 52) with an integer s; the bits of
    2/pi above 2**(54 - e) contribute multiples of 4 to the product, and 192 bits from there on are enough."""
    b = m.builder
    wide = Arithmetic(b, "f8")
    a = m.abs(x)
    bits = wide.to_bits(b.cast(a, "f8"))
    words = _window(m, (bits >> 52) - (1023 - 10))
    significand = (bits & (1 << 52) - 1) | 1 << 52
    # the product modulo 2**192, without its lowest 64 bits: two integer bits, then the fraction
    next_high, next_low = _full_product(significand, words[1])
    low = next_low + _full_product(significand, words[2])[0]
    carry = b.select(low < next_low, b.const(1, "u8"), 0)
    high = significand * words[0] + next_high + carry
    fraction, rest = (high << 2) | (low >> 62), low << 2
    negative = fraction > (1 << 63) - 1
    k = (high >> 62) + (fraction >> 63)
    fraction = b.select(negative, ~fraction, fraction)
    rest = b.select(negative, ~rest, rest)
    # to two numbers, the first of which holds as many bits as it can
    first = b.cast(fraction & -(1 << 11) % (1 << 64), "f8") * 2.0**-64
    second = wide.fma(b.cast(rest, "f8"), 2.0**-128, b.cast(fraction & (1 << 11) - 1, "f8") * 2.0**-64)
    half_pi, half_pi_low, _ = _HALF_PI["f8"]
    r, error = wide.exact_product(first, half_pi)
    r, low_part = wide.exact_sum(r, wide.fma(second, half_pi, wide.fma(first, half_pi_low, error)))
    odd = negative.ne(x < 0.0)
    k = b.select(x < 0.0, b.const(0, "u8") - k, k)
    r, low_part = wide.flip_sign(r, odd), wide.flip_sign(low_part, odd)
    if m.single:
        narrow = b.cast(r, "f4")
        r, low_part = narrow, b.cast(r - b.cast(narrow, "f8"), "f4")
    return m.select(a < float("inf"), r, float("nan")), low_part, b.cast(k, m.format.bits)


def _window(m: Arithmetic, offset: Value) -> list[Value]:
    """192 bits of 2/pi from a bit on: the words are shifted by 8, 4, 2, 1 of them as the bits of the offset
    say."""
    b = m.builder
    index, shift = offset >> 6, offset & 63
    last = (m.format.bias + 10) >> 6
    words = [b.const(w, "u8") for w in _TWO_OVER_PI_BITS[: last + 4]]
    for stage in reversed(range(last.bit_length())):
        taken = (index & (1 << stage)).ne(0)
        count = min(len(words), 4 + (1 << stage) - 1)
        ahead = words[1 << stage :] + [b.const(0, "u8")] * count
        words = [b.select(taken, ahead[k], words[k]) for k in range(count)]
    return [(words[k] << shift) | ((words[k + 1] >> 1) >> (b.const(63, "u8") - shift)) for k in range(3)]


def _full_product(x: Value, y: Value) -> tuple[Value, Value]:
    """The 128 bits of a product of two u8: the high and the low half."""
    half = (1 << 32) - 1
    x_high, x_low, y_high, y_low = x >> 32, x & half, y >> 32, y & half
    low, cross = x_low * y_low, x_high * y_low
    middle = x_low * y_high + (low >> 32) + (cross & half)
    return x_high * y_high + (cross >> 32) + (middle >> 32), x * y


def _sin_of(m: Arithmetic, r: Value, low: Value, z: Value) -> Value:
    """sin(r + low); z is r**2."""
    return m.copysign(r + m.fma(r * z, m.polynomial(z, _SIN[m.dtype]), low), r)


def _cos_of(m: Arithmetic, r: Value, low: Value, z: Value) -> Value:
    """cos(r + low); z is r**2. What rounding takes from 1 - z/2 is put back."""
    half = z * 0.5
    near = 1.0 - half
    lost = (1.0 - near) - half
    return near + m.fma(z * z, m.polynomial(z, _COS[m.dtype]), m.fma(-r, low, lost))


def _sin_or_cos(m: Arithmetic, x: Value, turn: int) -> Value:
    """sin(x + turn * pi/2)."""
    r, low, k = _reduce(m, x)
    if turn:
        k = k + turn
    z = r * r
    result = m.select((k & 1).ne(0), _cos_of(m, r, low, z), _sin_of(m, r, low, z))
    sign = (k & 2) << (8 * int(m.dtype[1]) - 2)
    return m.from_bits(m.to_bits(result) ^ sign)


def sin(m: Arithmetic, x: Value) -> Value:
    return _sin_or_cos(m, x, 0)


def cos(m: Arithmetic, x: Value) -> Value:
    return _sin_or_cos(m, x, 1)


def tan(m: Arithmetic, x: Value) -> Value:
    """tan r, or -1 / tan r in odd quadrants."""
    r, low, k = _reduce(m, x, precise=True)
    z = r * r
    t = m.fma(r * z, m.polynomial(z, _TAN[m.dtype]), m.fma(low, z, low))
    t, odd = m.copysign(r + t, r), (k & 1).ne(0)
    return m.select(odd, -1.0, t) / m.select(odd, t, 1.0)


def sin_cos_pi(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """|sin(pi x)| and cos(pi x) * sign(sin(pi x)), of which the quotient is tan(pi x)'s, for |x| <
    2**(fraction - 2)."""
    rest = x - m.rint(x)
    swap = m.abs(rest) > 0.25
    quarter = m.select(swap, m.copysign(0.5, rest) - rest, rest)
    r = quarter * 3.141592653589793
    z, zero = r * r, m.const(0.0)
    s, c = _sin_of(m, r, zero, z), m.copysign(_cos_of(m, r, zero, z), rest)
    # sin(pi (1/2 - q)) is cos(pi q), and the other way round
    return m.abs(m.select(swap, c, s)), m.select(swap, s, c)
