"""Elementary functions of complex numbers in real arithmetic, for compiled programs. NumPy evaluates the others.

The inverse functions and tanh are W. Kahan's ("Branch cuts for complex elementary functions", 1987): they keep signs of
zero along the cuts and do not cancel near their ends. Infinite parts, and NaN beside them or beside zeros, give what C99's
Annex G says.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn.core.trace import aval_of
from fnn.primitives import transcendental as T
from fnn.primitives.arithmetic import abs, add, copysign, div, max, min, mul, neg, sub
from fnn.primitives.bitwise import and_, or_
from fnn.primitives.comparison import eq, ge, gt, lt, ne, select
from fnn.primitives.conversion import bitcast, convert
from fnn.primitives.pairs import Pair, chosen, modulus, negative, over, times
from fnn.primitives.rules import of_dtype


def exp(z: Pair) -> Pair:
    size = T.exp(z.re)
    out = _turned(size, z.imag)
    if z.im is None:
        return out
    lost = _lost(out.re, z)
    return Pair(select(lost, size, out.re), select(and_(lost, lt(z.re, 0.0)), size, out.imag))


def _lost(re: Any, z: Pair) -> Any:
    """Where a real part became NaN that an infinite one should have decided, whatever the angle is."""
    return and_(ne(re, re), eq(abs(z.re), np.inf))


def _endless(z: Pair) -> Any:
    return or_(eq(abs(z.re), np.inf), eq(abs(z.imag), np.inf))


def exp2(z: Pair) -> Pair:
    return _turned(T.exp2(z.re), mul(z.imag, math.log(2)))


def _turned(size: Any, angle: Any) -> Pair:
    """size e^(i angle); real where the angle is 0, however large."""
    flat = eq(angle, 0.0)
    return Pair(select(flat, size, mul(size, T.cos(angle))), select(flat, angle, mul(size, T.sin(angle))))


def expm1(z: Pair) -> Pair:
    half = T.sin(mul(z.imag, 0.5))
    grown = T.expm1(z.re)
    re = sub(mul(grown, T.cos(z.imag)), mul(mul(half, half), 2.0))
    return Pair(re, mul(T.exp(z.re), T.sin(z.imag)))


def log(z: Pair) -> Pair:
    a, b = abs(z.re), abs(z.imag)
    high, low = max(a, b), min(a, b)
    near = and_(
        gt(high, 0.5), lt(high, 2.0)
    )  # where |z| is near 1 its logarithm must not come of a rounded |z|
    ratio = div(low, select(eq(high, 0.0), 1.0, high))
    ratio = select(eq(low, np.inf), 1.0, ratio)
    inner = select(near, _beyond_one(high, low), mul(ratio, ratio))
    size = add(select(near, 0.0, T.log(high)), mul(T.log1p(inner), 0.5))
    size = select(_endless(z), np.inf, size)  # beside NaN too
    return Pair(size, T.atan2(z.imag, z.re))


def _beyond_one(a: Any, b: Any) -> Any:
    """a^2 + b^2 - 1 where the sum is near 1: of float32 in float64; of float64 with each number cut in two, so that
    the terms which cancel are exact."""
    dtype = aval_of(a).dtype
    if dtype != np.float64:
        a, b = (convert(x, dtype=np.dtype(np.float64)) for x in (a, b))
        return convert(add(mul(sub(a, 1.0), add(a, 1.0)), mul(b, b)), dtype=dtype)
    word = np.dtype(np.uint64)
    top, rest = [], []
    for x in (a, b):
        bits = and_(bitcast(x, word), np.array(0xFFFFFFFFF0000000, word))
        top.append(bitcast(bits, dtype))
        rest.append(sub(x, top[-1]))
    exact = add(mul(sub(top[0], 1.0), add(top[0], 1.0)), mul(top[1], top[1]))
    first, second = (mul(r, add(t, x)) for r, t, x in zip(rest, top, (a, b), strict=True))
    return add(exact, add(first, second))


def log1p(z: Pair) -> Pair:
    small = lt(max(abs(z.re), abs(z.imag)), 0.5)
    inner = add(mul(z.re, add(z.re, 2.0)), mul(z.imag, z.imag))
    far = log(Pair(add(z.re, 1.0), z.imag))
    near = mul(T.log1p(select(small, inner, 0.0)), 0.5)
    return Pair(select(small, near, far.re), far.im)


def sqrt(z: Pair) -> Pair:
    large = gt(max(abs(z.re), abs(z.imag)), 1e37 if aval_of(z.re).dtype.itemsize == 4 else 1e307)
    scale = select(
        large, of_dtype(0.0625, aval_of(z.re).dtype), 1.0
    )  # |z| may be more than the largest number
    a, b = mul(z.re, scale), mul(z.imag, scale)
    root = T.sqrt(add(mul(abs(a), 0.5), mul(modulus(Pair(a, b)), 0.5)))
    nothing = eq(root, 0.0)
    other = div(mul(b, 0.5), select(nothing, 1.0, root))
    right = ge(a, 0.0)
    re, im = select(right, root, abs(other)), select(right, other, copysign(root, b))
    back = select(large, of_dtype(4.0, aval_of(root).dtype), 1.0)
    endless = eq(abs(b), np.inf)
    re = select(endless, np.inf, mul(re, back))
    return Pair(re, select(or_(nothing, endless), b, mul(im, back)))


def rsqrt(z: Pair) -> Pair:
    return over(Pair(1.0), sqrt(z))


def sin(z: Pair) -> Pair:
    return _by_i(sinh(_times_i(z)))


def cos(z: Pair) -> Pair:
    return cosh(_times_i(z))


def sinh(z: Pair) -> Pair:
    a, b = z.re, z.imag
    re = mul(T.sinh(a), T.cos(b))
    return Pair(select(_lost(re, z), a, re), select(eq(b, 0.0), b, mul(T.cosh(a), T.sin(b))))


def cosh(z: Pair) -> Pair:
    a, b = z.re, z.imag
    re = mul(T.cosh(a), T.cos(b))
    im = select(eq(b, 0.0), mul(copysign(1.0, a), b), mul(T.sinh(a), T.sin(b)))
    return Pair(select(_lost(re, z), np.inf, re), im)


def _times_i(z: Pair) -> Pair:
    return Pair(neg(z.imag), z.re)


def _by_i(z: Pair) -> Pair:
    return Pair(z.imag, neg(z.re))


def tanh(z: Pair) -> Pair:
    a, b = z.re, z.imag
    far = gt(abs(a), 11.0 if aval_of(a).dtype.itemsize == 4 else 22.0)
    t, s = T.tan(b), T.sinh(select(far, 0.0, a))
    beta, square = add(mul(t, t), 1.0), mul(s, s)
    below = add(mul(beta, square), 1.0)
    near_re = div(mul(mul(beta, s), T.sqrt(add(square, 1.0))), below)
    fading = mul(mul(mul(T.sin(b), T.cos(b)), 4.0), T.exp(mul(abs(a), -2.0)))
    fading = select(eq(abs(a), np.inf), 0.0, fading)
    re = select(far, add(copysign(1.0, a), mul(fading, 0.0)), near_re)  # NaN where fading is
    return Pair(re, select(eq(b, 0.0), b, select(far, fading, div(t, below))))


def tan(z: Pair) -> Pair:
    return _by_i(tanh(_times_i(z)))


def logistic(z: Pair) -> Pair:
    right = ge(z.re, 0.0)
    small = exp(chosen(Pair(right), negative(z), z))
    return over(chosen(Pair(right), Pair(1.0), small), Pair(add(small.re, 1.0), small.im))


def _roots(z: Pair) -> tuple[Pair, Pair]:
    """sqrt(1 - z), sqrt(1 + z)"""
    return sqrt(Pair(sub(1.0, z.re), neg(z.imag))), sqrt(Pair(add(z.re, 1.0), z.imag))


def _crossed(x: Pair, y: Pair) -> Any:
    """The imaginary part of conj(x) y."""
    return sub(mul(x.re, y.im), mul(x.im, y.re))


def asin(z: Pair) -> Pair:
    low, high = _roots(z)
    both, endless = times(low, high), _endless(z)
    re = select(endless, T.atan2(z.re, abs(z.imag)), T.atan2(z.re, both.re))
    im = select(endless, copysign(np.inf, z.imag), T.asinh(_crossed(low, high)))
    return Pair(select(eq(z.re, 0.0), z.re, re), im)


def acos(z: Pair) -> Pair:
    low, high = _roots(z)
    endless = _endless(z)
    re = select(endless, T.atan2(abs(z.imag), z.re), mul(T.atan2(low.re, high.re), 2.0))
    im = select(endless, neg(copysign(np.inf, z.imag)), T.asinh(_crossed(high, low)))
    return Pair(select(eq(z.re, 0.0), math.pi / 2, re), im)


def asinh(z: Pair) -> Pair:
    return _by_i(asin(_times_i(z)))


def acosh(z: Pair) -> Pair:
    low, high = sqrt(Pair(sub(z.re, 1.0), z.imag)), sqrt(Pair(add(z.re, 1.0), z.imag))
    along = add(mul(low.re, high.re), mul(low.im, high.im))
    endless = _endless(z)
    im = select(endless, T.atan2(z.imag, z.re), mul(T.atan2(low.im, high.re), 2.0))
    im = select(eq(z.re, 0.0), copysign(math.pi / 2, z.imag), im)
    return Pair(select(endless, np.inf, T.asinh(along)), im)


def atanh(z: Pair) -> Pair:
    x, y = z.re, z.imag
    left, square = sub(1.0, x), mul(y, y)
    re = mul(T.log1p(div(mul(x, 4.0), add(mul(left, left), square))), 0.25)
    mirrored = mul(T.log1p(div(mul(abs(x), 4.0), add(mul(sub(1.0, abs(x)), sub(1.0, abs(x))), square))), 0.25)
    re = select(lt(x, 0.0), neg(mirrored), re)  # 4 |x| / ... is never near -1
    im = mul(T.atan2(mul(y, 2.0), sub(mul(left, add(x, 1.0)), square)), 0.5)
    endless = _endless(z)
    re = select(eq(x, 0.0), x, select(endless, copysign(0.0, x), re))
    return Pair(re, select(and_(endless, eq(y, y)), copysign(math.pi / 2, y), im))


def atan(z: Pair) -> Pair:
    return _by_i(atanh(_times_i(z)))


def pow(x: Pair, y: Pair) -> Pair:
    """exp(y log x); of 0 it is 1 for y = 0, and 0 for other y with a positive real part."""
    nothing = and_(eq(x.re, 0.0), eq(x.imag, 0.0))
    safe = Pair(select(nothing, 1.0, x.re), x.imag)
    out = exp(times(log(safe), y))
    none = eq(y.re, 0.0) if y.im is None else and_(eq(y.re, 0.0), eq(y.im, 0.0))
    dtype, rising = aval_of(out.re).dtype, gt(y.re, 0.0)
    re = of_dtype(select(none, 1.0, select(rising, 0.0, np.nan)), dtype)
    im = of_dtype(select(or_(none, rising), 0.0, np.nan), dtype)
    return Pair(select(nothing, re, out.re), select(nothing, im, out.im))
