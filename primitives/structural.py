"""Operations that move elements without computing: broadcast, reshape, transpose, slice, pad, concatenate and
others.

They take every dtype, random keys too. All are linear, and none copies by itself when compiled: each is a map
of indices.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval, Shape
from fnn.core.lowering import IndexMap, Iota
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.pairs import Pair
from fnn.primitives.rules import check_axes, lift, linear, rest, same_batch, shifted, zeros

# -- broadcast -----------------------------------------------------------------------------------------------


def _broadcast_shape(x: Aval, shape: Shape, axes: Sequence[int]) -> Aval:
    fits = len(axes) == x.ndim and all(
        0 <= a < len(shape) and n in (1, shape[a]) for a, n in zip(axes, x.shape)
    )
    if not fits or any(a >= b for a, b in pairwise(axes)):
        raise ShapeError(
            f"broadcast: {x} does not fit the shape {shape} with its axes at {axes}, at {describe(here())}; "
            "each axis must "
            "be of size 1 or of the size it meets, in the same order"
        )
    return x.update(shape=shape)


def _broadcast_evaluate(x: Any, shape: Shape, axes: Sequence[int]) -> np.ndarray:
    x = np.asarray(x)
    sizes = [1] * len(shape)
    for axis, size in zip(axes, x.shape):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), shape)


def _broadcast_transpose(ct: Any, i: int, avals: Sequence[Aval], args: Any, params: dict[str, Any]) -> Any:
    shape, inner = params["shape"], avals[0].shape
    kept = [a for a, n in zip(params["axes"], inner) if n == shape[a]]
    gone = rest(len(shape), kept)
    out = P.reduce_sum(ct, axes=gone) if gone else ct
    return out if shape_of(out) == inner else reshape(out, shape=inner)


# x repeated to `shape`; axes: for each axis of x, the axis of the result it becomes
broadcast = linear(
    "broadcast",
    shape=_broadcast_shape,
    evaluate=_broadcast_evaluate,
    transpose=_broadcast_transpose,
    batch=same_batch("broadcast", shape=lambda v, n: (n, *v), axes=lambda v, n: (0, *shifted(v))),
    lower=IndexMap("broadcast"),
    samples=lambda: [
        Sample(("f4[3]",), {"shape": (2, 3), "axes": (1,)}),
        Sample(("f4[]",), {"shape": (2, 3), "axes": ()}),
        Sample(("f4[2,1,3]",), {"shape": (2, 4, 3), "axes": (0, 1, 2)}),
        Sample(("f4[1]",), {"shape": (1, 1), "axes": (0,)}),
        Sample(("i4[2]",), {"shape": (2, 0), "axes": (0,)}),
        Sample(("f4[1,0]",), {"shape": (2, 3, 0), "axes": (1, 2)}),
        Sample(("key[2]",), {"shape": (2, 2), "axes": (0,)}),
        Sample((2.5,), {"shape": (3,), "axes": ()}),
    ],
)

# -- reshape, transpose, rev, copy ---------------------------------------------------------------------------


def _reshape_shape(x: Aval, shape: Shape) -> Aval:
    if any(n < 0 for n in shape) or math.prod(shape) != x.size:
        raise ShapeError(
            f"reshape: {x} has {x.size} elements, the shape {shape} asks for {math.prod(shape)}, at "
            f"{describe(here())}"
        )
    return x.update(shape=shape)


# the same elements, in row-major order, in another shape
reshape = linear(
    "reshape",
    shape=_reshape_shape,
    evaluate=lambda x, shape: np.reshape(x, shape),
    transpose=lambda ct, i, avals, args, p: reshape(ct, shape=avals[0].shape),
    batch=same_batch("reshape", shape=lambda v, n: (n, *v)),
    lower=IndexMap("reshape"),
    samples=lambda: [
        Sample(("f4[2,6]",), {"shape": (3, 4)}),
        Sample(("f4[]",), {"shape": (1, 1)}),
        Sample(("i2[0,3]",), {"shape": (2, 0, 5)}),
        Sample(("b1[4]",), {"shape": (2, 2)}),
        Sample(("key[4]",), {"shape": (2, 2)}),
    ],
)


def _transpose_shape(x: Aval, perm: Sequence[int]) -> Aval:
    if len(perm) != x.ndim:
        raise ShapeError(
            f"transpose: the permutation {perm} does not have one entry per axis of {x}, at "
            f"{describe(here())}"
        )
    check_axes("transpose", x, perm)
    return x.update(shape=tuple([x.shape[p] for p in perm]))


# result axis d is operand axis perm[d]
transpose = linear(
    "transpose",
    shape=_transpose_shape,
    evaluate=lambda x, perm: np.transpose(x, perm),
    transpose=lambda ct, i, avals, args, p: transpose(
        ct, perm=tuple([p["perm"].index(d) for d in range(len(p["perm"]))])
    ),
    batch=same_batch("transpose", perm=lambda v, n: (0, *shifted(v))),
    lower=IndexMap("transpose"),
    samples=lambda: [
        Sample(("f4[2,3]",), {"perm": (1, 0)}),
        Sample(("f4[2,3,4]",), {"perm": (2, 0, 1)}),
        Sample(("f4[]",), {"perm": ()}),
        Sample(("u1[2,0,4]",), {"perm": (1, 2, 0)}),
        Sample(("key[2,3]",), {"perm": (1, 0)}),
    ],
)


def _rev_shape(x: Aval, axes: Sequence[int]) -> Aval:
    check_axes("rev", x, axes)
    return x


# x backwards along axes
rev = linear(
    "rev",
    shape=_rev_shape,
    evaluate=lambda x, axes: np.flip(x, axes),
    transpose=lambda ct, i, avals, args, p: rev(ct, axes=p["axes"]),
    batch=same_batch("rev", axes=lambda v, n: shifted(v)),
    lower=IndexMap("rev"),
    samples=lambda: [
        Sample(("f4[5]",), {"axes": (0,)}),
        Sample(("f4[2,3]",), {"axes": (0, 1)}),
        Sample(("f4[2,3]",), {"axes": ()}),
        Sample(("i4[0,3]",), {"axes": (1,)}),
        Sample(("key[3]",), {"axes": (0,)}),
    ],
)

# the operand itself, in memory of its own where that matters to the caller
copy = linear(
    "copy",
    shape=lambda x: x,
    evaluate=lambda x: np.array(x),
    transpose=lambda ct, i, avals, args, p: ct,
    batch=same_batch("copy"),
    lower=IndexMap("identity"),
    samples=lambda: [Sample(("f4[2,3]",)), Sample(("f4[]",)), Sample(("b1[0]",)), Sample(("key[2]",))],
)

# -- slice and pad -------------------------------------------------------------------------------------------


def _slice_shape(x: Aval, start: Sequence[int], limit: Sequence[int], step: Sequence[int]) -> Aval:
    if not len(start) == len(limit) == len(step) == x.ndim:
        raise ShapeError(
            f"slice: start {start}, limit {limit} and step {step} must have one entry per axis of {x}, at "
            f"{describe(here())}"
        )
    if any(not 0 <= a <= b <= n or s < 1 for a, b, s, n in zip(start, limit, step, x.shape)):
        raise ShapeError(
            f"slice: start {start}, limit {limit}, step {step} must satisfy 0 <= start <= limit <= size and "
            "step >= 1 for "
            f"{x}, at {describe(here())}; indexing, x[a:b:c], takes negative numbers too"
        )
    return x.update(shape=tuple([-((a - b) // s) for a, b, s in zip(start, limit, step)]))


def _slice_transpose(ct: Any, i: int, avals: Sequence[Aval], args: Any, p: dict[str, Any]) -> Any:
    spans = [0 if n == 0 else 1 + (n - 1) * s for n, s in zip(shape_of(ct), p["step"])]
    high = tuple([n - a - span for n, a, span in zip(avals[0].shape, p["start"], spans)])
    return _pad_zeros(ct, p["start"], high, tuple([s - 1 for s in p["step"]]))


# elements start, start + step, ... below limit, along every axis
slice = linear(
    "slice",
    shape=_slice_shape,
    evaluate=lambda x, start, limit, step: np.asarray(x)[tuple(map(builtins.slice, start, limit, step))],
    transpose=_slice_transpose,
    batch=same_batch(
        "slice", start=lambda v, n: (0, *v), limit=lambda v, n: (n, *v), step=lambda v, n: (1, *v)
    ),
    lower=IndexMap("slice"),
    samples=lambda: [
        Sample(("f4[6]",), {"start": (1,), "limit": (5,), "step": (1,)}),
        Sample(("f4[7,4]",), {"start": (1, 0), "limit": (7, 3), "step": (3, 2)}),
        Sample(("f4[3,4]",), {"start": (2, 1), "limit": (2, 4), "step": (1, 1)}),
        Sample(("i4[0,4]",), {"start": (0, 1), "limit": (0, 4), "step": (2, 1)}),
        Sample(("key[4]",), {"start": (1,), "limit": (3,), "step": (1,)}),
    ],
)


def _pad_shape(
    x: Aval, value: Aval, low: Sequence[int], high: Sequence[int], interior: Sequence[int]
) -> Aval:
    if not len(low) == len(high) == len(interior) == x.ndim or any(k < 0 for k in interior):
        raise ShapeError(
            f"pad: low {low}, high {high} and interior {interior} must have one entry per axis of {x}, the "
            "interior none "
            f"below 0, at {describe(here())}"
        )
    if value.shape:
        raise ShapeError(f"pad: the value to pad with must be a scalar, not {value}, at {describe(here())}")
    if value.dtype != x.dtype and not value.weak_type:
        raise DtypeError(
            f"pad: the value {value} and the operand {x} differ in dtype, at {describe(here())}; convert one "
            "with x.astype(dtype)"
        )
    shape = tuple([a + b + n + max(n - 1, 0) * k for n, a, b, k in zip(x.shape, low, high, interior)])
    if any(n < 0 for n in shape):
        raise ShapeError(
            f"pad: low {low}, high {high} cut more from {x} than there is: {shape}, at {describe(here())}"
        )
    return Aval(shape, x.dtype, x.weak_type and value.weak_type)


def _pad_evaluate(
    x: Any, value: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int]
) -> np.ndarray:
    x = np.asarray(x)
    shape = [a + b + n + max(n - 1, 0) * k for n, a, b, k in zip(x.shape, low, high, interior)]
    out = np.full(shape, np.asarray(value).astype(x.dtype), x.dtype)
    source, target = [], []
    for n, size, a, k in zip(x.shape, shape, low, interior):
        step = k + 1
        first = max(0, -(a // step))  # the first element that lands at 0 or behind it
        last = min(n, (size - 1 - a) // step + 1)
        last = max(first, last)
        source.append(builtins.slice(first, last))
        target.append(
            builtins.slice(a + first * step, a + last * step, step) if last > first else builtins.slice(0, 0)
        )
    if all(s.stop > s.start for s in source):
        out[tuple(target)] = x[tuple(source)]
    return out


def _pad_zeros(x: Any, low: Sequence[int], high: Sequence[int], interior: Sequence[int]) -> Any:
    zero = zeros(Aval((), aval_of(x).dtype))
    return pad(x, zero, low=tuple(low), high=tuple(high), interior=tuple(interior))


def _filled(shape: Shape, p: dict[str, Any]) -> Any:
    """True where the padded array holds padding."""
    inside = zeros(Aval(shape, np.dtype("bool")))
    return pad(inside, _TRUE, low=p["low"], high=p["high"], interior=p["interior"])


_TRUE = ConcreteArray(np.asarray(True), Aval((), np.dtype("bool")))


def _pad_transpose(ct: Any, i: int, avals: Sequence[Aval], args: Any, p: dict[str, Any]) -> Any:
    rank = avals[0].ndim
    if i == 1:
        zero = zeros(Aval((), aval_of(ct).dtype))
        padding = P.reduce_sum(P.select(_filled(avals[0].shape, p), ct, zero), axes=tuple(range(rank)))
        return P.convert(padding, dtype=avals[1].dtype) if avals[1].dtype != avals[0].dtype else padding
    cut = ct
    if any(p["low"]) or any(p["high"]):
        cut = _pad_zeros(ct, [-a for a in p["low"]], [-b for b in p["high"]], (0,) * rank)
    if not any(p["interior"]):
        return cut
    return slice(cut, start=(0,) * rank, limit=shape_of(cut), step=tuple([k + 1 for k in p["interior"]]))


def _pad_batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, bool]:
    x, value = args
    inner = shape_of(x)[flags[0] :]
    wider = {"low": (0, *p["low"]), "high": (0, *p["high"]), "interior": (0, *p["interior"])}
    if not flags[1]:
        return pad(x, value, **wider), True
    x = lift(frame.size, x, flags[0])
    if aval_of(value).dtype != aval_of(x).dtype:
        value = P.convert(value, dtype=aval_of(x).dtype)
    out = _pad_zeros(x, **wider)
    mask = _filled((frame.size, *inner), wider)
    return P.select(mask, broadcast(value, shape=shape_of(out), axes=(0,)), out), True


# x with `value` around it (low, high; negative ones cut) and `interior` times between neighbours, along every
# axis
pad = linear(
    "pad",
    shape=_pad_shape,
    evaluate=_pad_evaluate,
    transpose=_pad_transpose,
    positions=(0, 1),
    batch=_pad_batch,
    lower=IndexMap("pad"),
    samples=lambda: [
        Sample(("f4[3]", "f4[]"), {"low": (1,), "high": (2,), "interior": (0,)}),
        Sample(("f4[3,2]", "f4[]"), {"low": (1, 0), "high": (0, 2), "interior": (2, 1)}),
        Sample(("f4[4,3]", "f4[]"), {"low": (-1, 1), "high": (-1, -2), "interior": (1, 0)}),
        Sample(("f4[3]", "f4[]"), {"low": (-5,), "high": (9,), "interior": (0,)}),
        Sample(("f4[3]", "f4[]"), {"low": (-1,), "high": (-2,), "interior": (3,)}),
        Sample(("f4[0,2]", "f4[]"), {"low": (1, 0), "high": (1, 1), "interior": (2, 0)}),
        Sample(("f4[2]", 0.5), {"low": (1,), "high": (1,), "interior": (0,)}),
        Sample(("i4[2]", "i4[]"), {"low": (1,), "high": (0,), "interior": (1,)}),
        Sample(("b1[2]", "b1[]"), {"low": (0,), "high": (2,), "interior": (0,)}),
        Sample(("key[2]", "key[]"), {"low": (1,), "high": (0,), "interior": (0,)}),
    ],
)

# -- concatenate and iota ------------------------------------------------------------------------------------


def _concatenate_shape(*xs: Aval, axis: int) -> Aval:
    if not xs:
        raise ShapeError(f"concatenate: there is nothing to concatenate, at {describe(here())}")
    first = xs[0]
    check_axes("concatenate", first, (axis,))
    if any(x.ndim != first.ndim or _without(x, axis) != _without(first, axis) for x in xs):
        raise ShapeError(
            f"concatenate: {', '.join(map(str, xs))} differ in another axis than {axis}, at "
            f"{describe(here())}"
        )
    if any(x.dtype != first.dtype for x in xs):
        raise DtypeError(
            f"concatenate: {', '.join(map(str, xs))} differ in dtype, at {describe(here())}; convert them "
            "with "
            "x.astype(dtype), or use fnn.numpy.concatenate, which promotes"
        )
    size = sum([x.shape[axis] for x in xs])
    return Aval(
        (*first.shape[:axis], size, *first.shape[axis + 1 :]), first.dtype, all(x.weak_type for x in xs)
    )


def _without(x: Aval, axis: int) -> Shape:
    return (*x.shape[:axis], *x.shape[axis + 1 :])


def _concatenate_transpose(ct: Any, i: int, avals: Sequence[Aval], args: Any, p: dict[str, Any]) -> Any:
    axis, shape = p["axis"], shape_of(ct)
    before = sum([a.shape[axis] for a in avals[:i]])
    start, limit = [0] * len(shape), list(shape)
    start[axis], limit[axis] = before, before + avals[i].shape[axis]
    return slice(ct, start=tuple(start), limit=tuple(limit), step=(1,) * len(shape))


def _concatenate_batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]
) -> tuple[Any, bool]:
    return concatenate(*[lift(frame.size, a, f) for a, f in zip(args, flags)], axis=p["axis"] + 1), True


# any number of operands, one behind the other along axis
concatenate = linear(
    "concatenate",
    shape=_concatenate_shape,
    evaluate=lambda *xs, axis: np.concatenate(xs, axis),
    transpose=_concatenate_transpose,
    positions=None,
    batch=_concatenate_batch,
    lower=IndexMap("concatenate"),
    samples=lambda: [
        Sample(("f4[2,3]", "f4[1,3]"), {"axis": 0}),
        Sample(("f4[2,1]", "f4[2,0]", "f4[2,4]"), {"axis": 1}),
        Sample(("f4[3]",), {"axis": 0}),
        Sample(("i4[0]", "i4[0]"), {"axis": 0}),
        Sample(("key[2]", "key[1]"), {"axis": 0}),
    ],
)


def _iota_shape(dtype: np.dtype, shape: Shape, dimension: int) -> Aval:
    out = Aval(shape, np.dtype(dtype))
    if dtypes.kind(out.dtype) not in "iufc":
        raise DtypeError(f"iota: positions are numbers, not {out.dtype}, at {describe(here())}")
    check_axes("iota", out, (dimension,))
    return out


def _iota_evaluate(dtype: np.dtype, shape: Shape, dimension: int) -> np.ndarray:
    sizes = [1] * len(shape)
    sizes[dimension] = shape[dimension]
    return np.broadcast_to(np.arange(shape[dimension]).astype(dtype).reshape(sizes), shape)


# each element's own index along `dimension`
iota = Primitive(
    "iota",
    shape=_iota_shape,
    evaluate=_iota_evaluate,
    jvp=lambda primals, tangents, p: (iota(**p), None),
    vjp=lambda needs, args, p: (iota(**p), None),
    batch=lambda frame, flags, args, p: (iota(**p), False),
    lower=Iota(),
    pairs=lambda args, p: Pair(iota(**{**p, "dtype": dtypes.real_of(np.dtype(p["dtype"]))})),
    samples=lambda: [
        Sample((), {"dtype": np.dtype("int32"), "shape": (2, 3), "dimension": 1}),
        Sample((), {"dtype": np.dtype("float32"), "shape": (4,), "dimension": 0}),
        Sample((), {"dtype": np.dtype("complex64"), "shape": (4,), "dimension": 0}),
        Sample((), {"dtype": np.dtype("uint8"), "shape": (0, 2), "dimension": 0}),
        Sample((), {"dtype": np.dtype(dtypes.bfloat16), "shape": (3, 1), "dimension": 0}),
    ],
)
