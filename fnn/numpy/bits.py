"""Whole numbers and the bits of numbers: gcd, lcm, packbits, unpackbits; frexp, ldexp, spacing."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError
from fnn.operations.choice import where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY, truth
from fnn.operations.operands import array_of, axis_of, meet, to_dtype
from fnn.operations.reductions import any as any_of
from fnn.operations.reductions import sum as sum_of
from fnn.operations.shaping import broadcast_arrays, concatenate, cut, moveaxis, ravel, to
from fnn.transforms.while_loop import while_loop


def _integers(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    x, y = meet(name, array_of(name, x), array_of(name, y))
    x, y = broadcast_arrays(x, y)
    if not dtypes.is_integer(aval_of(x).dtype):
        raise DtypeError(
            f"{name}: {aval_of(x)} does not hold integers, at {describe(here())}; convert it with astype(int)"
        )
    return x, y


def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor of integers, by Euclid's algorithm; gcd(0, x) is |x|.

    Raises DtypeError for anything but integers."""
    x, y = _integers("gcd", x1, x2)
    dtype = aval_of(x).dtype
    step = lambda pair: (pair[1], where(pair[1] == 0, 0, pair[0] % where(pair[1] == 0, 1, pair[1])))

    def left(pair: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = step(pair)
        # once b is 0 the pair stays
        return where(pair[1] == 0, pair[0], a).astype(dtype), b.astype(dtype)

    out, _ = while_loop(lambda pair: any_of(pair[1] != 0), left, (UNARY["absolute"](x), UNARY["absolute"](y)))
    return out


def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple of integers; 0 where one of them is 0. Raises DtypeError for anything but integers."""
    x, y = (UNARY["absolute"](v) for v in _integers("lcm", x1, x2))
    divisor = gcd(x, y)
    none = divisor == 0
    return where(none, 0, x * (y // where(none, 1, divisor))).astype(aval_of(x).dtype)


def _bit_order(name: str, bitorder: str) -> bool:
    if bitorder not in ("big", "little"):
        raise ArgumentError(f'{name}: bitorder is "big" or "little", not {bitorder!r}, at {describe(here())}')
    return bitorder == "big"


def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Any:
    """Truth values as the bits of uint8 numbers, eight along an axis (of the flattened array for None) to each.

    bitorder: whether the first of eight is the highest bit ("big") or the lowest ("little"). Missing ones are 0."""
    big = _bit_order("packbits", bitorder)
    x = array_of("packbits", a)
    if not (dtypes.is_integer(aval_of(x).dtype) or dtypes.is_bool(aval_of(x).dtype)):
        raise DtypeError(f"packbits: {aval_of(x)} holds no integers or bools, at {describe(here())}")
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    place = axis_of("packbits", axis, aval_of(x).ndim)
    x = moveaxis(truth(x), place, -1)
    *lead, n = aval_of(x).shape
    missing = -n % 8
    if missing:
        x = concatenate([x, asarray(np.zeros((*lead, missing), bool))], -1)
    weights = np.asarray([1 << (7 - k if big else k) for k in range(8)], np.uint8)
    rows = to_dtype(to(x, (*lead, (n + missing) // 8, 8)), dtypes.uint8) * weights
    return moveaxis(sum_of(rows, -1, promote_integers=False), -1, place)


def unpackbits(a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Any:
    """The bits of uint8 numbers as zeros and ones along an axis (of the flattened array for None).

    count: how many to keep; a negative number leaves so many off at the end, more than there are adds zeros."""
    big = _bit_order("unpackbits", bitorder)
    x = array_of("unpackbits", a)
    if aval_of(x).dtype != dtypes.uint8:
        raise DtypeError(f"unpackbits: {aval_of(x)} is not uint8, at {describe(here())}")
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    place = axis_of("unpackbits", axis, aval_of(x).ndim)
    x = moveaxis(x, place, -1)
    shifts = np.asarray([7 - k if big else k for k in range(8)], np.uint8)
    bits = BINARY["bitwise_and"](BINARY["right_shift"](x[..., None], shifts), 1)
    *lead, n = aval_of(x).shape
    bits = to(bits, (*lead, 8 * n))
    if count is not None:
        kept = count if count >= 0 else max(8 * n + count, 0)
        if kept > 8 * n:
            bits = concatenate([bits, asarray(np.zeros((*lead, kept - 8 * n), np.uint8))], -1)
        bits = cut(bits, len(lead), 0, kept)
    return moveaxis(bits, -1, place)


# -- the parts of floats ----------------------------------------------------------------------------------------------


def _layout(dtype: np.dtype) -> tuple[np.dtype, int, int]:
    """(the integer of the same width, bits of the fraction, exponent bias) of float32 or float64."""
    return (dtypes.int64, 52, 1023) if dtype == dtypes.float64 else (dtypes.int32, 23, 127)


def _power_of_two(exponent: Any, dtype: np.dtype) -> Any:
    """2 to an int32 power that is normal, exactly: the bits of the exponent."""
    word, fraction, bias = _layout(dtype)
    return P.bitcast(BINARY["left_shift"](to_dtype(exponent, word) + bias, fraction), dtype=dtype)


def _computed(x: Any) -> Any:
    """Halves are computed in float32."""
    return to_dtype(x, dtypes.float32) if dtypes.bits(aval_of(x).dtype) == 16 else x


def frexp(x: Any, /) -> tuple[Any, Any]:
    """(m, n) with x = m * 2**n and 0.5 <= |m| < 1; n is int32. 0, NaN and infinities are their own m, with n = 0.

    >>> import fnn.numpy as fnp
    >>> fnp.frexp(fnp.float32(6.0))
    (Array(0.75, dtype=float32), Array(3, dtype=int32))
    """
    x = array_of("frexp", x)
    dtype = dtypes.to_inexact(aval_of(x).dtype)
    if not dtypes.is_float(dtype):
        raise DtypeError(f"frexp: {aval_of(x)} are no real numbers, at {describe(here())}")
    x = _computed(to_dtype(x, dtype))
    wide = aval_of(x).dtype
    word, fraction, bias = _layout(wide)
    small = UNARY["absolute"](x) < float(np.finfo(wide).tiny)
    normal = where(small, x * 2.0 ** (fraction + 1), x)
    bits = BINARY["right_shift"](P.bitcast(P.stop_gradient(normal), dtype=word), fraction)
    exponent = BINARY["bitwise_and"](bits, 2 * bias + 1) - (bias - 1) - where(small, fraction + 1, 0)
    exponent = to_dtype(exponent, dtypes.int32)
    special = BINARY["bitwise_or"](x == 0, UNARY["invert"](UNARY["isfinite"](x)))
    exponent = where(special, 0, exponent)
    return to_dtype(ldexp(x, UNARY["negative"](exponent)), dtype), exponent


def ldexp(x1: Any, x2: Any, /) -> Any:
    """x1 * 2**x2 for integers x2, exact while the result can be.

    Raises DtypeError where x2 holds no integers."""
    x, n = array_of("ldexp", x1), array_of("ldexp", x2)
    dtype = dtypes.to_inexact(aval_of(x).dtype)
    if not dtypes.is_integer(aval_of(n).dtype) and not dtypes.is_bool(aval_of(n).dtype):
        raise DtypeError(f"ldexp: the powers {aval_of(n)} are no integers, at {describe(here())}")
    x, n = broadcast_arrays(to_dtype(x, dtype), to_dtype(n, dtypes.int32))
    x = _computed(x)
    wide = aval_of(x).dtype
    _, _, bias = _layout(wide)
    low, high = 1 - bias, bias
    inside = lambda k: BINARY["minimum"](BINARY["maximum"](k, low), high)
    # three powers, since one reaches only from the smallest normal number to the largest; the rest comes first,
    # so that a result below the normal numbers is rounded once
    first = inside(n)
    second = inside(n - first)
    third = inside(n - first - second)
    for k in (third, second, first):
        x = x * _power_of_two(k, wide)
    return to_dtype(x, dtype)


def spacing(x: Any, /) -> Any:
    """The distance to the next number away from 0, with the sign of x; NaN for infinities and NaN."""
    x = array_of("spacing", x)
    x = to_dtype(x, dtypes.to_inexact(aval_of(x).dtype))
    away = BINARY["copysign"](to_dtype(asarray(np.inf), aval_of(x).dtype), x)
    return BINARY["nextafter"](x, away) - x
