"""Arrays split, stacked, tiled and stretched: structural operations that are others in a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.lax.structure import broadcast_in_dim, concatenate, expand_dims, full, squeeze


def _axis(name: str, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ArgumentError(f"lax.{name}: there is no axis {axis} among {rank}, at {describe(here())}")
    return axis % rank


def broadcast_to_rank(x: Any, rank: int) -> Array:
    """x with new axes of size 1 in front, so many that it has `rank`. Raises ShapeError where it has more."""
    x = as_array(x)
    if x.ndim > rank:
        raise ShapeError(f"lax.broadcast_to_rank: {x.aval} has more than {rank} axes, at {describe(here())}")
    return expand_dims(x, range(rank - x.ndim)) if x.ndim < rank else x


def broadcast_like(arr: Any, like_arr: Any) -> Array:
    """arr repeated to the shape of another array, whose last axes its own are."""
    x, like = as_array(arr), as_array(like_arr)
    rank = like.ndim
    if x.ndim > rank or any(n not in (1, m) for n, m in zip(x.shape[::-1], like.shape[::-1], strict=False)):
        raise ShapeError(
            f"lax.broadcast_like: {x.aval} does not broadcast to {like.shape}, at {describe(here())}"
        )
    kept = [d for d, n in enumerate(x.shape) if n != 1 or like.shape[rank - x.ndim + d] == 1]
    axes = [rank - x.ndim + d for d in kept]
    return broadcast_in_dim(squeeze(x, [d for d in range(x.ndim) if d not in kept]), like.shape, axes)


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Array:
    """The axes from start (included) to stop (excluded; None: to the end) as one."""
    x = as_array(operand)
    lo, hi, _ = slice(start_dimension, stop_dimension).indices(x.ndim)
    if hi < lo:
        raise ArgumentError(
            f"lax.collapse: the axes {lo} to {hi} of {x.aval}, at {describe(here())}; they must ascend"
        )
    return P.reshape(x, shape=(*x.shape[:lo], math.prod(x.shape[lo:hi]), *x.shape[hi:]))


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Array]:
    """An array in pieces of these sizes along an axis. Raises ShapeError unless they add up to its size."""
    x = as_array(operand)
    place = _axis("split", axis, x.ndim)
    if sum(sizes) != x.shape[place]:
        raise ShapeError(
            f"lax.split: the sizes {tuple(sizes)} of axis {place} of {x.aval}, at {describe(here())}; they must "
            "add up to its size"
        )
    out, start = [], 0
    for size in sizes:
        low, high = [0] * x.ndim, list(x.shape)
        low[place], high[place] = start, start + size
        out.append(P.slice(x, start=tuple(low), limit=tuple(high), step=(1,) * x.ndim))
        start += size
    return out


def stack(operands: Sequence[Any], axis: int = 0) -> Array:
    """Arrays of one shape and dtype along a new axis."""
    arrays = [as_array(x) for x in operands]
    if not arrays:
        raise ArgumentError(f"lax.stack needs at least one array, at {describe(here())}")
    place = _axis("stack", axis, arrays[0].ndim + 1)
    return concatenate([expand_dims(x, (place,)) for x in arrays], place)


def unstack(x: Any, axis: int = 0) -> tuple[Array, ...]:
    """The slices of an array along an axis, without it."""
    x = as_array(x)
    place = _axis("unstack", axis, x.ndim)
    return tuple([squeeze(part, (place,)) for part in split(x, (1,) * x.shape[place], place)])


def tile(operand: Any, reps: Sequence[int]) -> Array:
    """An array repeated so often along each axis. Raises ShapeError unless there is a number for every axis."""
    x = as_array(operand)
    if len(reps) != x.ndim:
        raise ShapeError(f"lax.tile: {len(reps)} numbers for {x.aval}, at {describe(here())}; one per axis")
    apart = tuple([n for pair in zip(reps, x.shape, strict=True) for n in pair])
    out = P.broadcast(x, shape=apart, axes=tuple(range(1, 2 * x.ndim, 2)))
    return P.reshape(out, shape=tuple([n * m for n, m in zip(reps, x.shape, strict=True)]))


def empty(shape: Sequence[int], dtype: Any, *, out_sharding: Any = None) -> Array:
    """An array of zeros: there is no memory to leave uninitialised."""
    return full(shape, 0, dtype)


def dtype(x: Any) -> np.dtype:
    """The dtype of an array or a number."""
    return as_array(x).dtype


def shape_as_value(shape: Sequence[int]) -> Array:
    """A shape as an array of integers."""
    return as_array(np.asarray(shape, dtypes.default_int()).reshape(-1))


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Array:
    """src at integer vectors along some axes: the result has their length in front, then the other axes of src."""
    x, vectors = as_array(src), [as_array(i) for i in idxs]
    if (
        len(vectors) != len(axes)
        or not vectors
        or len({v.shape for v in vectors}) != 1
        or vectors[0].ndim != 1
    ):
        raise ShapeError(
            f"lax.index_take: vectors of one length for the axes {tuple(axes)}, at {describe(here())}"
        )
    places = tuple([_axis("index_take", a, x.ndim) for a in axes])
    n = vectors[0].shape[0]
    rows = concatenate([P.reshape(P.convert(v, dtype=np.dtype("int32")), shape=(n, 1)) for v in vectors], 1)
    sizes = tuple([1 if d in places else m for d, m in enumerate(x.shape)])
    order = sorted(range(len(places)), key=places.__getitem__)
    numbers = P.GatherDimensionNumbers(
        tuple(range(1, x.ndim - len(places) + 1)), tuple([places[k] for k in order]), places
    )
    return P.gather(x, rows, dimension_numbers=numbers, slice_sizes=sizes, mode="clip", fill_value=None)


__all__ = [
    "broadcast_like",
    "broadcast_to_rank",
    "collapse",
    "dtype",
    "empty",
    "index_take",
    "shape_as_value",
    "split",
    "stack",
    "tile",
    "unstack",
]
