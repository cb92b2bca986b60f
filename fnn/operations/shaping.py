"""Shapes: reshape, transpose, split, join, repeat, pad. Nothing here computes; all of it is differentiable."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.operations import operands
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, axes_of, axis_of, meet, sizes_of, to_shape


def _shape(x: Any) -> tuple[int, ...]:
    return aval_of(x).shape


def to(x: Any, shape: Sequence[int]) -> Any:
    """x in another shape of as many elements, x itself if it has it."""
    shape = tuple(shape)
    return x if _shape(x) == shape else P.reshape(x, shape=shape)


# -- reshape and transpose ------------------------------------------------------------------------------------------


def reshape(
    a: Any,
    shape: Any = None,
    order: str = "C",
    *,
    newshape: Any = None,
    copy: bool | None = None,
    out_sharding: Any = None,
) -> Any:
    """The same elements, row by row, in another shape; one size may be -1 and follows from the others.

    order="F" reads and writes column by column. Raises ShapeError where the number of elements differs.

    >>> import fnn.numpy as fnp
    >>> fnp.reshape(fnp.arange(6), (2, -1)).shape
    (2, 3)
    """
    a = array_of("reshape", a)
    wanted = sizes_of("reshape", newshape if shape is None else shape)
    size = aval_of(a).size
    if wanted.count(-1) == 1:
        others = math.prod([n for n in wanted if n != -1])
        if others == 0 or size % others:
            raise ShapeError(
                f"reshape: {aval_of(a)} has {size} elements, which do not divide into the shape {wanted}, at "
                f"{describe(here())}"
            )
        wanted = tuple([size // others if n == -1 else n for n in wanted])
    if any(n < 0 for n in wanted) or math.prod(wanted) != size:
        raise ShapeError(
            f"reshape: {aval_of(a)} has {size} elements, the shape {wanted} asks for {math.prod(wanted)}, at "
            f"{describe(here())}; one size may be -1 and follows from the others"
        )
    if order == "F":
        return transpose(to(transpose(a), wanted[::-1]))
    if order not in ("C", "A"):
        raise ArgumentError(f'reshape: order is "C" or "F", not {order!r}, at {describe(here())}')
    return to(a, wanted)


def ravel(a: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    """All elements of `a`, row by row, along one axis."""
    return reshape(a, (-1,) if aval_of(array_of("ravel", a)).size else (0,), order)


def transpose(a: Any, axes: Any = None) -> Any:
    """`a` with its axes permuted; reversed if none are given.

    axes: for each axis of the result, the axis of `a` it is."""
    a = array_of("transpose", a)
    rank = len(_shape(a))
    if axes is None:
        return permuted(a, tuple(reversed(range(rank))))
    axes = sizes_of("transpose", axes)
    perm = axes_of("transpose", axes, rank)
    if len(perm) != rank:
        raise ShapeError(
            f"transpose: {aval_of(a)} has {rank} axes, the permutation {axes} names {len(perm)}, at "
            f"{describe(here())}"
        )
    return permuted(a, perm)


def permuted(x: Any, perm: Sequence[int]) -> Any:
    """x with its axes in another order, x itself if they are in order."""
    perm = tuple(perm)
    return x if perm == tuple(range(len(perm))) else P.transpose(x, perm=perm)


def matrix_transpose(x: Any) -> Any:
    """x with its last two axes exchanged."""
    if len(_shape(array_of("matrix_transpose", x))) < 2:
        raise ShapeError(f"matrix_transpose: {aval_of(x)} has no last two axes, at {describe(here())}")
    return swapaxes(x, -1, -2)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """`a` with two axes exchanged."""
    a = array_of("swapaxes", a)
    perm = list(range(len(_shape(a))))
    first, b = (axis_of("swapaxes", axis, len(perm)) for axis in (axis1, axis2))
    perm[first], perm[b] = b, first
    return permuted(a, perm)


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """`a` with some axes moved to other places, the others in their order."""
    a = array_of("moveaxis", a)
    rank = len(_shape(a))
    sources, targets = axes_of("moveaxis", source, rank), axes_of("moveaxis", destination, rank)
    if len(sources) != len(targets):
        raise ArgumentError(
            f"moveaxis: {source} and {destination} are not equally many axes, at {describe(here())}"
        )
    perm = [d for d in range(rank) if d not in sources]
    for target, axis in sorted(zip(targets, sources)):
        perm.insert(target, axis)
    return permuted(a, perm)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """`a` with one axis moved before the axis `start`."""
    a = array_of("rollaxis", a)
    rank = len(_shape(a))
    source = axis_of("rollaxis", axis, rank)
    target = start + rank if start < 0 else start
    return moveaxis(a, source, target - (source < target))


def squeeze(a: Any, axis: Any = None) -> Any:
    """`a` without axes of size 1: all of them, or the given ones. Raises ShapeError if a given one has another size."""
    a = array_of("squeeze", a)
    shape = _shape(a)
    gone = (
        tuple(d for d, n in enumerate(shape) if n == 1)
        if axis is None
        else axes_of("squeeze", axis, len(shape))
    )
    wrong = [d for d in gone if shape[d] != 1]
    if wrong:
        raise ShapeError(
            f"squeeze: axis {wrong[0]} of {aval_of(a)} has size {shape[wrong[0]]}, not 1, at {describe(here())}"
        )
    return to(a, [n for d, n in enumerate(shape) if d not in gone])


def expand_dims(a: Any, axis: Any = 0) -> Any:
    """`a` with axes of size 1 inserted, so that they are the axes `axis` of the result."""
    a = array_of("expand_dims", a)
    count = len(axis) if isinstance(axis, (tuple, list, range)) else 1
    rank = len(_shape(a)) + count
    new = axes_of("expand_dims", axis, rank)
    sizes = iter(_shape(a))
    return to(a, [1 if d in new else next(sizes) for d in range(rank)])


def _at_least(rank: int, x: Any) -> Any:
    x = array_of(f"atleast_{rank}d", x)
    shape = _shape(x)
    if len(shape) >= rank:
        return x
    if rank == 3 and len(shape) == 2:
        return to(x, (*shape, 1))
    return to(x, (1,) * (rank - len(shape)) + shape if rank < 3 or not shape else (1, *shape, 1))


def atleast_1d(*xs: Any) -> Any:
    """Each x with at least one axis."""
    return _at_least(1, xs[0]) if len(xs) == 1 else [_at_least(1, x) for x in xs]


def atleast_2d(*xs: Any) -> Any:
    """Each x with at least two axes; new ones in front."""
    return _at_least(2, xs[0]) if len(xs) == 1 else [_at_least(2, x) for x in xs]


def atleast_3d(*xs: Any) -> Any:
    """Each x with at least three axes, as NumPy places them."""
    return _at_least(3, xs[0]) if len(xs) == 1 else [_at_least(3, x) for x in xs]


def flip(m: Any, axis: Any = None) -> Any:
    """`m` backwards along axes; along all of them for None."""
    m = array_of("flip", m)
    return P.rev(m, axes=axes_of("flip", axis, len(_shape(m))))


def fliplr(m: Any) -> Any:
    """`m` backwards along axis 1."""
    return flip(m, 1)


def flipud(m: Any) -> Any:
    """`m` backwards along axis 0."""
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """`m` turned by k quarters in the plane of two axes, from the first towards the second."""
    m = array_of("rot90", m)
    a, b = axes_of("rot90", axes, len(_shape(m)))
    k %= 4
    if k == 0:
        return m
    if k == 2:
        return flip(m, (a, b))
    return flip(swapaxes(m, a, b), a) if k == 1 else swapaxes(flip(m, a), a, b)


# -- broadcasting ---------------------------------------------------------------------------------------------------


def broadcast_to(array: Any, shape: Any, *, out_sharding: Any = None) -> Any:
    """array repeated to a shape that it broadcasts to. Raises ShapeError where it does not."""
    array = array_of("broadcast_to", array)
    wanted = sizes_of("broadcast_to", shape)
    if operands.broadcast_shapes("broadcast_to", _shape(array), wanted) != wanted:
        raise ShapeError(
            f"broadcast_to: {aval_of(array)} does not broadcast to the shape {wanted}, at {describe(here())}"
        )
    return to_shape(array, wanted)


def broadcast_arrays(*xs: Any) -> list[Any]:
    """All of xs repeated to the shape they broadcast to."""
    arrays = [array_of("broadcast_arrays", x) for x in xs]
    shape = operands.broadcast_shapes("broadcast_arrays", *[_shape(x) for x in arrays])
    return [to_shape(x, shape) for x in arrays]


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to. Raises ShapeError where they do not."""
    return operands.broadcast_shapes("broadcast_shapes", *[sizes_of("broadcast_shapes", s) for s in shapes])


# -- joining and splitting --------------------------------------------------------------------------------------------


def _several(name: str, xs: Any) -> list[Any]:
    if isinstance(xs, (tuple, list)):
        arrays = [array_of(name, x) for x in xs]
    else:
        whole = array_of(name, xs)
        if not _shape(whole):
            raise ArgumentError(
                f"{name} takes a list or a tuple of arrays, not one array {aval_of(whole)}, at {describe(here())}"
            )
        arrays = list(whole)
    if not arrays:
        raise ArgumentError(
            f"{name}: there is nothing to join, at {describe(here())}; it needs at least one array"
        )
    return arrays


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """Arrays one behind the other along an axis; they are promoted. axis=None: all elements along one axis.

    >>> import fnn.numpy as fnp
    >>> print(fnp.concatenate([fnp.ones(2), fnp.zeros(1)]))
    [1. 1. 0.]
    """
    xs = _several("concatenate", arrays)
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    ranks = {len(_shape(x)) for x in xs}
    if ranks == {0} or len(ranks) > 1:
        listed = ", ".join(str(aval_of(x)) for x in xs)
        raise ShapeError(
            f"concatenate: {listed} must have equally many axes, at least one, at {describe(here())}; "
            "stack joins along a new axis, expand_dims adds one"
        )
    place = axis_of("concatenate", axis, ranks.pop())
    if dtype is not None:
        from fnn.operations.choice import astype

        xs = [astype(x, dtype) for x in xs]
    elif len(xs) > 1:
        xs = meet("concatenate", *xs, spread=False)
    return xs[0] if len(xs) == 1 else P.concatenate(*xs, axis=place)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """Arrays of one shape along a new axis; they are promoted. Raises ShapeError where shapes differ."""
    xs = _several("stack", arrays)
    shapes = {_shape(x) for x in xs}
    if len(shapes) > 1:
        raise ShapeError(
            f"stack: the arrays have different shapes, {', '.join(map(str, sorted(shapes)))}, at "
            f"{describe(here())}; broadcast or pad them first"
        )
    place = axis_of("stack", axis, len(shapes.pop()) + 1)
    return concatenate([expand_dims(x, place) for x in xs], place, dtype)


def vstack(tup: Any, dtype: Any = None) -> Any:
    """Arrays below each other: rows, or along axis 0."""
    return concatenate([_at_least(2, x) for x in _several("vstack", tup)], 0, dtype)


def hstack(tup: Any, dtype: Any = None) -> Any:
    """Arrays beside each other: along axis 1, or 0 if they have one axis."""
    xs = [_at_least(1, x) for x in _several("hstack", tup)]
    return concatenate(xs, 0 if len(_shape(xs[0])) == 1 else 1, dtype)


def dstack(tup: Any, dtype: Any = None) -> Any:
    """Arrays behind each other, along axis 2."""
    return concatenate([_at_least(3, x) for x in _several("dstack", tup)], 2, dtype)


def column_stack(tup: Any) -> Any:
    """Columns (one axis) and matrices beside each other."""
    xs = [array_of("column_stack", x) for x in _several("column_stack", tup)]
    return concatenate([to(x, (aval_of(x).size, 1)) if len(_shape(x)) < 2 else x for x in xs], 1)


def block(arrays: Any) -> Any:
    """An array from nested lists of blocks: the innermost lists join along the last axis."""

    def depth(x: Any) -> int:
        return 1 + max(map(depth, x), default=0) if isinstance(x, list) else 0

    def rank(x: Any) -> int:
        return max(map(rank, x), default=0) if isinstance(x, list) else len(_shape(array_of("block", x)))

    levels = depth(arrays)
    ndim = max(levels, rank(arrays))

    def build(x: Any, level: int) -> Any:
        if isinstance(x, list):
            return concatenate([build(each, level + 1) for each in x], level - levels)
        x = array_of("block", x)
        return to(x, (1,) * (ndim - len(_shape(x))) + _shape(x))

    return build(arrays, 0)


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """arr followed by values along an axis; both flattened for None."""
    return concatenate([array_of("append", arr), array_of("append", values)], axis)


def cut(x: Any, axis: int, start: int, limit: int, step: int = 1) -> Any:
    """Elements start, start + step, ... below limit along one axis."""
    shape = _shape(x)
    low, high, steps = [0] * len(shape), list(shape), [1] * len(shape)
    low[axis], high[axis], steps[axis] = start, limit, step
    return P.slice(x, start=tuple(low), limit=tuple(high), step=tuple(steps))


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """ary cut along an axis: into a number of parts (sizes differing by at most 1), or at the given indices."""
    ary = array_of("array_split", ary)
    place = axis_of("array_split", axis, len(_shape(ary)))
    size = _shape(ary)[place]
    if isinstance(indices_or_sections, (tuple, list, np.ndarray)) or len(_shape_of_any(indices_or_sections)):
        bounds = [
            0,
            *[
                min(max(i + size if i < 0 else i, 0), size)
                for i in map(operator.index, list(indices_or_sections))
            ],
            size,
        ]
    else:
        parts = operator.index(indices_or_sections)
        if parts < 1:
            raise ArgumentError(
                f"array_split: {parts} parts, at {describe(here())}; there must be at least one"
            )
        each, more = divmod(size, parts)
        bounds = [0]
        for k in range(parts):
            bounds.append(bounds[-1] + each + (k < more))
    return [cut(ary, place, a, max(a, b)) for a, b in itertools.pairwise(bounds)]


def _shape_of_any(x: Any) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", ()))


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """ary cut along an axis: into equal parts, or at the given indices. Raises ShapeError where parts are not equal."""
    ary = array_of("split", ary)
    place = axis_of("split", axis, len(_shape(ary)))
    if not isinstance(indices_or_sections, (tuple, list)) and not _shape_of_any(indices_or_sections):
        parts = operator.index(indices_or_sections)
        if parts < 1 or _shape(ary)[place] % parts:
            raise ShapeError(
                f"split: axis {place} of {aval_of(ary)} does not divide into {parts} equal parts, at "
                f"{describe(here())}; array_split allows unequal ones"
            )
    return array_split(ary, indices_or_sections, place)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """ary cut along axis 1, or 0 if it has one axis."""
    return split(ary, indices_or_sections, 0 if len(_shape(array_of("hsplit", ary))) == 1 else 1)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """ary cut along axis 0."""
    return split(ary, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """ary cut along axis 2."""
    return split(ary, indices_or_sections, 2)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices of x along an axis."""
    x = array_of("unstack", x)
    place = axis_of("unstack", axis, len(_shape(x)))
    return tuple([squeeze(cut(x, place, k, k + 1), place) for k in range(_shape(x)[place])])


# -- repeating --------------------------------------------------------------------------------------------------------


def tile(A: Any, reps: Any) -> Any:
    """`A` repeated as a whole, reps times along each axis."""
    A = array_of("tile", A)
    times = sizes_of("tile", reps)
    if any(n < 0 for n in times):
        raise ArgumentError(f"tile: {times} has a negative number of repeats, at {describe(here())}")
    rank = max(len(times), len(_shape(A)))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - len(_shape(A))) + _shape(A)
    apart = tuple([size for pair in zip(times, shape) for size in pair])
    A = to(A, [size for n in shape for size in (1, n)])
    return to(to_shape(A, apart), [t * n for t, n in zip(times, shape)])


def repeat_each(x: Any, times: int, axis: int) -> Any:
    """Every element along the axis `times` times in succession."""
    shape = _shape(x)
    x = to(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    x = to_shape(x, (*shape[: axis + 1], times, *shape[axis + 1 :]))
    return to(x, (*shape[:axis], shape[axis] * times, *shape[axis + 1 :]))


def _rolled(x: Any, shift: Any, d: int) -> Any:
    """x rolled along an axis by a known or a traced number of places."""
    size = _shape(x)[d]
    if not size or (not isinstance(shift, Tracer) and shift % size == 0):
        return x
    if not isinstance(shift, Tracer):
        return P.concatenate(cut(x, d, size - shift % size, size), cut(x, d, 0, size - shift % size), axis=d)
    start = BINARY["remainder"](BINARY["subtract"](0, shift), size)  # in the array set twice side by side
    starts = [start if k == d else 0 for k in range(len(_shape(x)))]
    return P.dynamic_slice(P.concatenate(x, x, axis=d), *starts, sizes=_shape(x))


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """`a` with its elements moved by `shift` places along axes, around the end; axis=None: as one row.

    One shift goes along all axes; several need as many axes (one of which may be named again), or one."""
    a = array_of("roll", a)
    if axis is None:
        return to(roll(ravel(a), shift, 0), _shape(a))
    rank = len(_shape(a))
    axes = [axis_of("roll", d, rank) for d in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if isinstance(shift, Tracer):
        shifts = [shift] if not shift.ndim else [shift[k] for k in range(shift.shape[0])]
    else:
        shifts = list(sizes_of("roll", shift))
    count = len(shifts) if len(axes) == 1 else len(axes)
    if len(shifts) not in (1, count):
        raise ShapeError(
            f"roll: {len(shifts)} shifts along {len(axes)} axes, at {describe(here())}; one for each"
        )
    for d, by in zip(
        axes if len(axes) == count else axes * count, shifts if len(shifts) == count else shifts * count
    ):
        a = _rolled(a, by, d)
    return a
