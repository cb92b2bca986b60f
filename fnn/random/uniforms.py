"""Uniform numbers: floating point and integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import DtypeError
from fnn.random.keys import UINTS, Words, counters, one_key, random_bits, shape_tuple, threefry
from fnn.transforms.key_reuse import uses_key


def float_dtype(what: str, dtype: Any) -> np.dtype:
    """The dtype a draw is of, checked; float32 (float64 with enable_x64) by default."""
    target = (
        dtypes.default_float() if dtype is None else dtypes.canonicalize(dtype, explicit=dtype is not float)
    )
    if not dtypes.is_float(target):
        raise DtypeError(f"random.{what}: the dtype is floating point, not {target}, at {describe(here())}")
    return target


def unit(words: Words, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Uniform in [0, 1): random mantissa bits below the exponent of 1, less 1."""
    info = dtypes.finfo(dtype)
    width, mantissa = int(info.bits), int(info.nmant)
    drawn = 8 if mantissa < 8 else width
    holder = UINTS[width]
    raw = random_bits(words, drawn, shape)
    if drawn != width:
        raw = P.convert(raw, dtype=holder)
    one = np.ones((), dtype).view(holder)
    shift = P.broadcast(np.asarray(drawn - mantissa, holder), shape=shape, axes=())
    kept = P.or_(
        P.shift_right_logical(raw, shift), P.broadcast(np.asarray(one, holder), shape=shape, axes=())
    )
    return P.sub(P.bitcast(kept, dtype=dtype), np.ones((), dtype))


def draw(words: Words, shape: tuple[int, ...], dtype: np.dtype, minval: Any, maxval: Any) -> Array:
    """Uniform in [minval, maxval), bounds of this dtype, scalars or arrays that broadcast to shape."""
    lo, hi = (_bound(b, shape, dtype) for b in (minval, maxval))
    scaled = P.add(P.mul(unit(words, shape, dtype), P.sub(hi, lo)), lo)
    return P.max(lo, scaled)


def _bound(bound: Any, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    value = as_array(bound)
    value = value if value.dtype == dtype and not value.weak_type else P.convert(value, dtype=dtype)
    return value if not value.shape else fnp.broadcast_to(value, shape)


@uses_key
def uniform(key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0) -> Array:
    """Uniform floating-point numbers in [minval, maxval).

    >>> import fnn
    >>> print(fnn.random.uniform(fnn.random.key(0), (2,)))
    [0.947667  0.9785799]
    """
    words, _ = one_key("uniform", key)
    return draw(words, shape_tuple("uniform", shape), float_dtype("uniform", dtype), minval, maxval)


def _bound_of(name: str, bound: Any, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[Array, Any]:
    """(an integer bound clipped into a dtype and spread over a shape, whether it was greater than the dtype's most)."""
    least, most = (int(n) for n in (np.iinfo(dtype).min, np.iinfo(dtype).max))
    if type(bound) is int:  # exact, whatever its size
        return _all(shape, min(max(bound, least), most), dtype), bound > most
    value = as_array(bound)
    if value.dtype.kind not in "iu":
        raise DtypeError(f"random.randint: {name} is an integer, not {value.aval}, at {describe(here())}")
    beyond: Any = False
    if value.dtype != dtype:
        have = np.iinfo(value.dtype)
        if most < have.max:
            beyond = fnp.broadcast_to(P.gt(value, _all(value.shape, most, value.dtype)), shape)
        limits = (max(int(have.min), least), min(int(have.max), most))
        inside = P.clamp(
            *(np.asarray(n, value.dtype) for n in limits[:1]), value, np.asarray(limits[1], value.dtype)
        )
        value = P.convert(inside, dtype=dtype)
    return fnp.broadcast_to(value, shape), beyond


def _all(shape: tuple[int, ...], value: int, dtype: np.dtype) -> Array:
    return P.broadcast(np.asarray(value, dtype), shape=shape, axes=())


@uses_key
def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Array:
    """Uniform integers in [minval, maxval); minval where the range is empty. int32 by default.

    minval, maxval: integers, or arrays of them that broadcast to shape; maxval may be one more than the greatest number
    of the type. Two words of at least 32 bits are drawn and reduced modulo the range, so the bias is below 2**-32.

    >>> import fnn
    >>> print(fnn.random.randint(fnn.random.key(0), (4,), 0, 10))
    [9 0 2 3]
    """
    words, _ = one_key("randint", key)
    target = dtypes.default_int() if dtype is None else dtypes.canonicalize(dtype, explicit=dtype is not int)
    if target.kind not in "iu":
        raise DtypeError(f"random.randint: the dtype is an integer, not {target}, at {describe(here())}")
    size = shape_tuple("randint", shape)
    low, _ = _bound_of("minval", minval, target, size)
    high, beyond = _bound_of("maxval", maxval, target, size)
    width = max(8 * target.itemsize, 32)
    holder = UINTS[width]
    upper, lower = (random_bits(k, width, size) for k in _halves(words))
    span = P.sub(P.convert(high, dtype=holder), P.convert(low, dtype=holder))
    one = _all(size, 1, holder)
    empty = P.le(high, low)
    if (
        beyond is not False
    ):  # the range ends one above `high`; where it is all of holder's, span wraps to 0: taken whole
        more = P.add(span, one)
        span = P.select(beyond, more, span) if isinstance(beyond, Array) else more
    span = P.select(empty, one, span)
    half = P.rem(_all(size, 2 ** (width // 2), holder), span)
    multiplier = P.rem(P.mul(half, half), span)
    offset = P.rem(P.add(P.mul(P.rem(upper, span), multiplier), P.rem(lower, span)), span)
    return P.add(low, P.convert(offset, dtype=target))


def _halves(words: Words) -> tuple[Words, Words]:
    """The words of the two keys that split(key) gives."""
    first, second = threefry(words, *counters((2,)))
    part = lambda i: (lax.index_in_dim(first, i, keepdims=False), lax.index_in_dim(second, i, keepdims=False))
    return part(0), part(1)
