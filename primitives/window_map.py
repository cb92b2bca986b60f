"""Where windows lie in an array: the geometry that gather, scatter and dynamic slices share.

An array of *indices* names one window of the *operand* per row; the *windows* array (gather's result,
scatter's updates) holds them all, its axes being those of the rows and those of the window, interleaved in
any way."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from fnn.core.aval import Aval, Shape
from fnn.core.source import describe, here
from fnn.errors import DtypeError, ShapeError
from fnn.records import record

Axes = tuple[int, ...]


@record(frozen=True)
class WindowMap:
    """operand: its shape. rows: the shape of indices without the last axis. sizes: of a window, along every
    operand axis.

    start_map: which operand axis each component of an index vector counts along. batching: (operand axis,
    rows axis) pairs that advance together. row_axes, window_axes: where the rows' axes and those of the
    window stand in the windows array; window_axes belong to the operand's axes `kept`, in order; the others
    have size 1 in a window."""

    operand: Shape
    rows: Shape
    sizes: Shape
    start_map: Axes
    batching: tuple[tuple[int, int], ...]
    row_axes: Axes
    window_axes: Axes
    kept: Axes

    @property
    def shape(self) -> Shape:
        """Of the windows array."""
        out = [0] * (len(self.row_axes) + len(self.window_axes))
        for axis, size in zip(self.row_axes, self.rows, strict=True):
            out[axis] = size
        for axis, d in zip(self.window_axes, self.kept, strict=True):
            out[axis] = self.sizes[d]
        return tuple(out)

    @property
    def perm(self) -> Axes:
        """The permutation of the windows array that brings the rows to the front."""
        return (*self.row_axes, *self.window_axes)

    @property
    def limits(self) -> Shape:
        """The greatest start in range, per component of an index vector."""
        return tuple([self.operand[d] - self.sizes[d] for d in self.start_map])

    @property
    def inner(self) -> int:
        """How many elements at the end of the operand belong to a window as a whole."""
        count = 1
        for d in reversed(range(len(self.operand))):
            if d not in self.kept or self.sizes[d] != self.operand[d]:
                break
            count *= self.operand[d]
        return count

    def positions(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(positions, in_range): the operand as rows of `inner` elements, the number of each one that the
        windows hold, with starts moved into range, shaped (*rows, axes of the window but the inner ones); and
        per row of indices whether its window lies in the operand as a whole."""
        if indices.dtype == np.uint64:
            indices = np.minimum(indices, np.uint64(2**63 - 1))
        indices = indices.astype(np.int64)
        limits = np.asarray(self.limits, np.int64)
        in_range = np.all((indices >= 0) & (indices <= limits), axis=-1)
        starts = np.clip(indices, 0, limits)
        strides = [math.prod(self.operand[d + 1 :]) for d in range(len(self.operand))]
        inner, depth = self.inner, len(self.rows)
        place: np.ndarray = np.zeros(self.rows, np.int64)
        for k, d in enumerate(self.start_map):
            place = place + starts[..., k] * strides[d]
        for d, axis in self.batching:
            shape = [1] * depth
            shape[axis] = self.rows[axis]
            place = place + np.arange(self.rows[axis]).reshape(shape) * strides[d]
        for d in self.kept:
            if strides[d] < inner:  # from here on the axes are inner ones
                break
            place = place[..., None] + np.arange(self.sizes[d]) * strides[d]
        return place // max(inner, 1), in_range

    def as_rows(self, operand: np.ndarray) -> np.ndarray:
        """The operand, of at least one element, as rows of `inner` elements."""
        return np.ascontiguousarray(operand).reshape(-1, self.inner)


def clipped_starts(starts: tuple[Any, ...], shape: Shape, sizes: Shape) -> tuple[int, ...]:
    """Scalars moved to where a window of these sizes lies within the shape."""
    return tuple([min(max(int(s), 0), n - m) for s, n, m in zip(starts, shape, sizes, strict=True)])


def require_integers(name: str, indices: Aval) -> None:
    """Raises DtypeError unless these are integers."""
    if indices.dtype.kind not in "iu":
        raise DtypeError(
            f"{name}: indices must be integers, not {indices}, at {describe(here())}; "
            "a mask selects elements with fnn.numpy.where"
        )


def require(condition: bool, name: str, what: str) -> None:
    """Raises ShapeError with `what` unless the condition holds."""
    if not condition:
        raise ShapeError(f"{name}: {what}, at {describe(here())}")


def distinct(axes: Axes, rank: int) -> bool:
    """Are these ascending, distinct axes of an array of this rank?"""
    return all(0 <= a < rank for a in axes) and all(a < b for a, b in pairwise(axes))


def check_numbers(
    name: str,
    operand: Aval,
    indices: Aval,
    dropped: Axes,
    start_map: Axes,
    operand_batching: Axes,
    row_batching: Axes,
) -> None:
    """Raises where dimension numbers do not fit the operands. dropped: the operand's axes a window holds no
    axis of."""
    require_integers(name, indices)
    require(indices.ndim >= 1, name, f"indices {indices} need a last axis that holds the index vectors")
    require(
        len(start_map) == indices.shape[-1],
        name,
        f"index vectors have {indices.shape[-1]} components ({indices}), the dimension numbers name "
        f"{len(start_map)} axes {start_map}",
    )
    require(
        len({*start_map, *operand_batching}) == len(start_map) + len(operand_batching)
        and all(0 <= d < operand.ndim for d in start_map),
        name,
        f"{start_map} must be distinct axes of the operand {operand}, none of them among the batching axes "
        f"{operand_batching}",
    )
    require(
        distinct(tuple(sorted(dropped)), operand.ndim),
        name,
        f"{dropped} and the batching axes must be distinct axes of the operand {operand}",
    )
    require(
        len(operand_batching) == len(row_batching)
        and len(set(row_batching)) == len(row_batching)
        and all(0 <= a < indices.ndim - 1 for a in row_batching),
        name,
        f"the batching axes {operand_batching} of the operand {operand} and {row_batching} of the indices "
        f"{indices} do not pair",
    )
    for d, a in zip(operand_batching, row_batching):
        require(
            operand.shape[d] == indices.shape[a],
            name,
            f"axis {d} of {operand} and axis {a} of the indices {indices} are a pair and must have one size",
        )
