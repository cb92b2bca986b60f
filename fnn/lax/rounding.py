"""Numbers rounded to fewer bits, the high halves of products, and products of grouped rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.lax.elementwise import operands
from fnn.lax.structure import dot_general
from fnn.transforms.custom import custom_jvp

_LAYOUT = {16: (5, 10), 32: (8, 23), 64: (11, 52)}  # bits of (exponent, fraction)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Array:
    """x rounded to the nearest float with so many bits of exponent and fraction, halves to even, in the same dtype.

    Beyond the largest one lies infinity, below the smallest normal one 0. The derivative is rounded likewise."""
    x = as_array(operand)
    if not x.aval.is_float or exponent_bits < 1 or mantissa_bits < 0:
        raise ArgumentError(
            f"lax.reduce_precision of {x.aval} to {exponent_bits} and {mantissa_bits} bits, at {describe(here())}: a float, "
            "and at least 1 and 0 bits"
        )
    return _reduced(x, int(exponent_bits), int(mantissa_bits))


def _reduce(x: Array, exponent_bits: int, mantissa_bits: int) -> Array:
    width = dtypes.bits(x.dtype)
    exponent, fraction = (8, 7) if x.dtype == dtypes.bfloat16 else _LAYOUT[width]
    word = np.dtype(f"u{width // 8}")
    number = lambda n: P.broadcast(as_array(np.asarray(n, word)), shape=x.shape, axes=())
    bits = P.bitcast(x, dtype=word)
    sign = P.and_(bits, number(1 << (width - 1)))
    size = P.and_(bits, number((1 << (width - 1)) - 1))
    infinity = ((1 << exponent) - 1) << fraction
    drop = fraction - mantissa_bits
    out = size
    if drop > 0:  # add just less than half of the last kept bit, more where that bit is odd; then cut off
        odd = P.and_(P.shift_right_logical(size, number(drop)), number(1))
        out = P.add(size, P.add(odd, number((1 << (drop - 1)) - 1)))
        out = P.and_(out, number(~((1 << drop) - 1) & ((1 << (width - 1)) - 1)))
    if exponent_bits < exponent:
        bias, new = (1 << (exponent - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        above = number(((bias + new + 1) << fraction) - 1)
        out = P.select(P.gt(out, above), number(infinity), out)
        below = number((bias - new + 1) << fraction)
        out = P.select(P.lt(out, below), number(0), out)
    unknown = P.gt(size, number(infinity))
    rounded = P.bitcast(P.or_(sign, out), dtype=x.dtype)
    return P.select(unknown, x, rounded)


_reduced: Any = custom_jvp(_reduce, nondiff_argnums=(1, 2))


@_reduced.defjvp
def _reduced_jvp(exponent_bits: int, mantissa_bits: int, primals: Any, tangents: Any) -> Any:
    return (
        _reduced(primals[0], exponent_bits, mantissa_bits),
        _reduced(tangents[0], exponent_bits, mantissa_bits),
    )


def mulhi(x: Any, y: Any, /) -> Array:
    """The high half of the exact product of two integers. Raises DtypeError for anything else."""
    a, b = operands("mulhi", x, y)
    if a.dtype.kind not in "iu":
        raise DtypeError(f"lax.mulhi of {a.aval}, at {describe(here())}: integers are needed")
    width = dtypes.bits(a.dtype)
    kind = a.dtype.kind
    shift = P.shift_right_arithmetic if kind == "i" else P.shift_right_logical
    if width < 64:
        wide = np.dtype(f"{kind}{width // 4}")
        product = P.mul(P.convert(a, dtype=wide), P.convert(b, dtype=wide))
        return P.convert(shift(product, np.asarray(width, wide)), dtype=a.dtype)
    # by halves of 32 bits: the low ones are unsigned, the high ones carry the sign
    full, half = a.dtype, np.asarray(32, a.dtype)
    mask = np.asarray(0xFFFFFFFF, full)
    low = lambda v: P.and_(v, mask)
    a0, a1, b0, b1 = low(a), shift(a, half), low(b), shift(b, half)
    first = P.shift_right_logical(P.mul(a0, b0), half)
    middle = P.add(P.mul(a1, b0), first)
    other = P.add(P.mul(a0, b1), low(middle))
    return P.add(P.add(P.mul(a1, b1), shift(middle, half)), shift(other, half))


def ragged_dot(
    lhs: Any,
    rhs: Any,
    group_sizes: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    group_offset: Any = None,
    out_sharding: Any = None,
) -> Array:
    """Rows of lhs (m, k), in groups one after the other, each group times its own matrix of rhs (groups, k, n).

    group_sizes: how many rows each group has, integers; rows beyond the last give 0. Raises ShapeError where the
    shapes do not fit, ArgumentError for a group_offset."""
    x, w, sizes = as_array(lhs), as_array(rhs), as_array(group_sizes)
    if group_offset is not None:
        raise ArgumentError(f"lax.ragged_dot: group_offset is not supported, at {describe(here())}")
    if x.ndim != 2 or w.ndim != 3 or x.shape[1] != w.shape[1] or sizes.shape != w.shape[:1]:
        raise ShapeError(
            f"lax.ragged_dot of {x.aval}, {w.aval}, groups {sizes.aval}, at {describe(here())}: (m, k), (groups, k, n) and "
            "(groups,) are needed"
        )
    (m, k), (groups, _, n) = x.shape, w.shape
    ends = P.cumsum(P.convert(sizes, dtype=np.dtype("int32")), axis=0, reverse=False)
    starts = P.sub(ends, P.convert(sizes, dtype=np.dtype("int32")))
    row = P.iota(dtype=np.dtype("int32"), shape=(m, groups), dimension=0)
    wide = lambda v: P.broadcast(v, shape=(m, groups), axes=(1,))
    mine = P.and_(P.le(wide(starts), row), P.lt(row, wide(ends)))
    # each row once for every group, zero but for its own: one product with all matrices below each other
    spread = P.select(
        P.broadcast(mine, shape=(m, groups, k), axes=(0, 1)),
        P.broadcast(x, shape=(m, groups, k), axes=(0, 2)),
        P.broadcast(as_array(np.zeros((), x.dtype)), shape=(m, groups, k), axes=()),
    )
    flat = P.reshape(spread, shape=(m, groups * k))
    return dot_general(
        flat, P.reshape(w, shape=(groups * k, n)), (((1,), (0,)), ((), ())), precision, preferred_element_type
    )


__all__ = ["mulhi", "ragged_dot", "reduce_precision"]
