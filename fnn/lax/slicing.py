"""Parts of arrays: static and dynamic slices, gather and scatter."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.config import config
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, IndexingError, ShapeError
from fnn.primitives.gathering import GatherDimensionNumbers
from fnn.primitives.scattering import ScatterDimensionNumbers
from fnn.transforms.checks import check_starts


class GatherScatterMode(enum.Enum):
    """What happens to indices out of range."""

    CLIP = "clip"
    FILL_OR_DROP = "fill"
    PROMISE_IN_BOUNDS = "promise_in_bounds"

    @staticmethod
    def of(mode: Any, default: str) -> str:
        """The primitives' name of a mode: "clip", "fill", "drop" or "promise_in_bounds"."""
        name = (
            mode.value
            if isinstance(mode, GatherScatterMode)
            else default
            if mode is None
            else str(mode).lower()
        )
        if name not in ("clip", "fill", "drop", "promise_in_bounds"):
            raise ArgumentError(
                f"the mode is 'clip', 'fill', 'drop' or 'promise_in_bounds', not {mode!r}, at {describe(here())}"
            )
        return name


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Array:
    """operand[start:limit:stride] along every axis; all static and within bounds."""
    x = as_array(operand)
    step = (1,) * x.ndim if strides is None else tuple(strides)
    return P.slice(x, start=tuple(start_indices), limit=tuple(limit_indices), step=step)


def slice_in_dim(
    operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Array:
    """operand[start:limit:stride] along one axis; negative numbers count from its end, None means the end
    itself."""
    x = as_array(operand)
    axis %= x.ndim
    size = x.shape[axis]
    lo, hi = (
        default if i is None else i + size if i < 0 else i
        for i, default in ((start_index, 0), (limit_index, size))
    )
    start, limit, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
    start[axis], limit[axis], step[axis] = lo, hi, stride
    return slice(x, start, limit, step)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Array:
    """One static place along an axis."""
    x = as_array(operand)
    axis %= x.ndim
    size = x.shape[axis]
    if not -size <= index < size:
        raise IndexingError(f"index {index} is outside of axis {axis} of {x.aval}, at {describe(here())}")
    out = slice_in_dim(x, index % size, index % size + 1, 1, axis)
    return out if keepdims else _without(out, axis)


def _without(x: Array, axis: int) -> Array:
    return P.reshape(x, shape=tuple(n for d, n in enumerate(x.shape) if d != axis))


def _scalars(vector: Any) -> list[Array]:
    """The elements of an array with one axis."""
    x = as_array(vector)
    if x.ndim != 1:
        raise ShapeError(
            f"start indices are integers or one array with one axis, not {x.aval}, at {describe(here())}"
        )
    return [_without(P.slice(x, start=(i,), limit=(i + 1,), step=(1,)), 0) for i in range(x.shape[0])]


def _starts(x: Array, start_indices: Any) -> list[Array]:
    """The start along every axis as integer scalars; negative ones count from the end, as JAX has it."""
    given = _scalars(start_indices) if isinstance(start_indices, (Array, np.ndarray)) else list(start_indices)
    if len(given) != x.ndim:
        raise ShapeError(f"{len(given)} start indices for {x.aval}, at {describe(here())}")
    out = []
    for i, size in zip(given, x.shape, strict=True):
        index = as_array(i)
        if index.shape or index.dtype.kind not in "iu":
            raise IndexingError(f"a start index is one integer, not {index.aval}, at {describe(here())}")
        if index.dtype.kind == "i":
            if isinstance(i, (int, np.integer)):
                index = as_array(np.asarray(int(i) + size if i < 0 else int(i), index.dtype))
            else:
                below = P.lt(index, np.zeros((), index.dtype))
                index = P.select(below, P.add(index, np.asarray(size, index.dtype)), index)
        out.append(P.convert(index, dtype=index.dtype) if index.weak_type else index)
    dtypes = {i.dtype for i in out}
    return out if len(dtypes) < 2 else [P.convert(i, dtype=np.dtype("int32")) for i in out]


def dynamic_slice(operand: Any, start_indices: Any, slice_sizes: Sequence[int]) -> Array:
    """A box of static size that starts where integer arrays say, moved inside if it sticks out."""
    x = as_array(operand)
    starts, sizes = _starts(x, start_indices), tuple(int(n) for n in slice_sizes)
    if config.check_indices:
        check_starts(starts, sizes, x.shape)
    return P.dynamic_slice(x, *starts, sizes=sizes)


def dynamic_slice_in_dim(operand: Any, start_index: Any, slice_size: int, axis: int = 0) -> Array:
    """As dynamic_slice, along one axis."""
    x = as_array(operand)
    axis %= x.ndim
    starts: list[Any] = [0] * x.ndim
    sizes = list(x.shape)
    starts[axis], sizes[axis] = start_index, slice_size
    return dynamic_slice(x, starts, sizes)


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Array:
    """One place along an axis, given by an integer array."""
    x = as_array(operand)
    out = dynamic_slice_in_dim(x, index, 1, axis)
    return out if keepdims else _without(out, axis % x.ndim)


def dynamic_update_slice(operand: Any, update: Any, start_indices: Any) -> Array:
    """operand with a box replaced, moved inside if it sticks out."""
    x, new = operands_of_one_dtype(operand, update)
    starts = _starts(x, start_indices)
    if config.check_indices:
        check_starts(starts, new.shape, x.shape)
    return P.dynamic_update_slice(x, new, *starts)


def operands_of_one_dtype(operand: Any, update: Any) -> tuple[Array, Array]:
    x, new = as_array(operand), as_array(update)
    if new.weak_type and new.dtype != x.dtype:
        new = P.convert(new, dtype=x.dtype)
    return x, new


def dynamic_update_slice_in_dim(operand: Any, update: Any, start_index: Any, axis: int) -> Array:
    """As dynamic_update_slice, along one axis."""
    x = as_array(operand)
    starts: list[Any] = [0] * x.ndim
    starts[axis % x.ndim] = start_index
    return dynamic_update_slice(x, update, starts)


def dynamic_update_index_in_dim(operand: Any, update: Any, index: Any, axis: int) -> Array:
    """operand with one place along an axis replaced."""
    x, new = operands_of_one_dtype(operand, update)
    axis %= x.ndim
    if new.ndim != x.ndim:
        new = P.reshape(new, shape=(*new.shape[:axis], 1, *new.shape[axis:]))
    return dynamic_update_slice_in_dim(x, new, index, axis)


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Array:
    """Windows of an array, one for each index vector on the last axis of start_indices."""
    name = GatherScatterMode.of(mode, "clip")
    return P.gather(
        as_array(operand),
        as_array(start_indices),
        dimension_numbers=dimension_numbers,
        slice_sizes=tuple(int(n) for n in slice_sizes),
        mode="fill" if name == "drop" else name,
        fill_value=fill_value,
    )


def _scatter(combine: str) -> Any:
    def scatter(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Array:
        x, new = operands_of_one_dtype(operand, updates)
        name = GatherScatterMode.of(mode, "drop")
        return P.scatter(
            x,
            as_array(scatter_indices),
            new,
            dimension_numbers=dimension_numbers,
            combine=combine,
            mode="drop" if name == "fill" else name,
            unique=bool(unique_indices),
            sorted=bool(indices_are_sorted),
        )

    scatter.__name__ = scatter.__qualname__ = "scatter" if combine == "set" else f"scatter_{combine}"
    scatter.__doc__ = (
        f"operand with updates written into windows, one for each index vector; combination: {combine}."
    )
    return scatter


scatter, scatter_add, scatter_mul = _scatter("set"), _scatter("add"), _scatter("mul")
scatter_min, scatter_max = _scatter("min"), _scatter("max")


def scatter_sub(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Any = None,
) -> Array:
    """operand less updates in windows, one for each index vector."""
    return scatter_add(
        operand,
        scatter_indices,
        P.neg(as_array(updates)),
        dimension_numbers,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
        mode=mode,
    )


__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "gather",
    "index_in_dim",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
    "slice",
    "slice_in_dim",
]
