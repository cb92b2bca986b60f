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


def uniform(key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0) -> Array:
    """Uniform floating-point numbers in [minval, maxval).

    >>> import fnn
    >>> print(fnn.random.uniform(fnn.random.key(0), (2,)))
    [0.947667  0.9785799]
    """
    words, _ = one_key("uniform", key)
    return draw(words, shape_tuple("uniform", shape), float_dtype("uniform", dtype), minval, maxval)


def _clipped(x: Array, dtype: np.dtype) -> Array:
    """x as another integer type, clipped into its range."""
    if x.dtype == dtype:
        return x
    have, want = np.iinfo(x.dtype), np.iinfo(dtype)
    lo, hi = max(have.min, want.min), min(have.max, want.max)
    return P.convert(P.clamp(np.asarray(lo, x.dtype), x, np.asarray(hi, x.dtype)), dtype=dtype)


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Array:
    """Uniform integers in [minval, maxval); minval where the range is empty. int32 by default.

    Twice the bits of the type are drawn and reduced modulo the range, so the bias is below 2**-(bits of
    the type)."""
    words, _ = one_key("randint", key)
    target = dtypes.default_int() if dtype is None else dtypes.canonicalize(dtype, explicit=dtype is not int)
    if target.kind not in "iu":
        raise DtypeError(f"random.randint: the dtype is an integer, not {target}, at {describe(here())}")
    size = shape_tuple("randint", shape)
    low, high = as_array(minval), as_array(maxval)
    for name, bound in (("minval", low), ("maxval", high)):
        if bound.dtype.kind not in "iu":
            raise DtypeError(f"random.randint: {name} is an integer, not {bound.aval}, at {describe(here())}")
    holder = UINTS[8 * target.itemsize]
    most = np.iinfo(target).max
    beyond = high > np.asarray(most, high.dtype) if most < np.iinfo(high.dtype).max else as_array(False)
    low, high = (fnp.broadcast_to(_clipped(b, target), size) for b in (low, high))
    upper, lower = (random_bits(k, 8 * target.itemsize, size) for k in _halves(words))
    span = P.convert(P.sub(high, low), dtype=holder)
    one = np.ones((), holder)
    span = fnp.where(high <= low, one, span)
    span = fnp.where(fnp.logical_and(beyond, high > low), P.add(span, one), span)
    half = P.rem(fnp.broadcast_to(np.asarray(2 ** (4 * target.itemsize), holder), size), span)
    multiplier = P.rem(P.mul(half, half), span)
    offset = P.rem(P.add(P.mul(P.rem(upper, span), multiplier), P.rem(lower, span)), span)
    return P.add(low, P.convert(offset, dtype=target))


def _halves(words: Words) -> tuple[Words, ...]:
    """The words of the two keys that split(key) gives."""
    first, second = threefry(words, *counters((2,)))
    return tuple([tuple([lax.index_in_dim(w, i, keepdims=False) for w in (first, second)]) for i in (0, 1)])
