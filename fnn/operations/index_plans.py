"""What an index means, axis by axis.

NumPy's rules hold: integer arrays broadcast together, their axes stand where the first of them stood if all stood side by
side, and in front otherwise. Negative indices count from the end. Integers known to be out of range are errors.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.config import config
from fnn.core.array import Array, ConcreteArray, as_array
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import (
    ConcretizationError,
    IndexingError,
    NonConcreteBooleanIndexError,
    TracerIntegerConversionError,
    TracerSliceError,
)
from fnn.operations import operands
from fnn.operations.creation import asarray
from fnn.operations.operands import to_dtype
from fnn.primitives import add, lt, select
from fnn.records import field, record
from fnn.transforms.checks import check_indices

Shape = tuple[int, ...]


@record()
class Axis:
    """What an index does with one axis of the operand (or, with kind "new", with none).

    kind: "slice" (start, count, step; step may be negative), "int" (start), "array" (indices: traced integers too), "flag"
    (True or False, which take all or nothing: an index array's axis of size 1 or 0, count, of no axis of the operand)."""

    kind: str
    axis: int = -1
    start: int = 0
    count: int = 1
    step: int = 1
    indices: Any = None


@record()
class Plan:
    """An index, axis by axis, in the order written."""

    items: list[Axis] = field(default_factory=list)
    lead: Shape = ()  # the shape that the index arrays broadcast to
    place: int = 0  # the axis of the result at which that shape stands

    @property
    def arrays(self) -> list[Axis]:
        return [i for i in self.items if i.kind == "array"]

    def axes(self) -> list[Axis]:
        """The items that are axes of the result, without the index arrays' own."""
        return [i for i in self.items if i.kind in ("slice", "new")]

    def shape(self) -> Shape:
        """The result's shape."""
        sizes = [i.count for i in self.axes()]
        return (*sizes[: self.place], *self.lead, *sizes[self.place :])


# -- reading the index ------------------------------------------------------------------------------------------------


def is_mask(item: Any) -> bool:
    """Whether a part of an index is boolean."""
    if isinstance(item, (bool, np.bool_)):
        return True
    return isinstance(item, (Array, np.ndarray)) and item.dtype.kind == "b"


def _items(key: Any) -> list[Any]:
    """The parts of an index; lists become NumPy arrays, or arrays where they hold traced numbers."""
    out = []
    for item in key if isinstance(key, tuple) else (key,):
        if isinstance(item, (list, tuple)):
            if any(isinstance(leaf, Array) for leaf in item):
                item = asarray(item)
            else:
                item = np.asarray(item) if len(item) else np.zeros(0, np.int32)
        elif isinstance(item, np.ndarray) and item.dtype.kind in "OUSV" and item.dtype.names is None:
            raise IndexingError(f"an array of dtype {item.dtype} is no index, at {describe(here())}")
        out.append(item)
    return out


def _masks_as_integers(items: list[Any], shape: Shape) -> list[Any]:
    """Boolean arrays replaced by the integer arrays of their true places. Their values must be known."""
    out: list[Any] = []
    consumed = 0
    ellipsis_rank = _ellipsis_rank(items, shape)
    for item in items:
        if item is Ellipsis:
            consumed += ellipsis_rank
            out.append(item)
        elif is_mask(item):
            mask = _known_mask(item)
            check_mask(mask.shape, shape, consumed)
            if not mask.ndim:
                out.append(Axis("flag", count=int(mask)))
            else:
                out += [np.asarray(i, np.int32) for i in np.nonzero(mask)]
            consumed += mask.ndim
        else:
            out.append(item)
            consumed += item is not None
    return out


def _known_mask(item: Any) -> np.ndarray:
    if isinstance(item, Tracer):
        try:
            item = item.concrete("a boolean index")
        except ConcretizationError:
            raise NonConcreteBooleanIndexError(
                f"a boolean index that is traced ({item.aval}) at {describe(here())}: how many elements it takes depends on "
                "values that are not known while tracing. Keep the shape: fnn.numpy.where(mask, x, 0) for reading, "
                "x.at[mask].set(number) or where(mask, value, x) for writing; or fix the number: "
                "x[fnn.numpy.nonzero(mask, size=n)]"
            ) from None
    return np.asarray(item)


def check_mask(mask: Shape, shape: Shape, first: int) -> None:
    """Raises IndexingError unless a mask has the sizes of the axes it stands for (or none: that takes no element)."""
    have = shape[first : first + len(mask)]
    if len(have) < len(mask) or any(m not in (n, 0) for m, n in zip(mask, have)):
        raise IndexingError(
            f"a boolean index of shape {mask} does not fit the axes {have} of an array of shape {shape}, at "
            f"{describe(here())}; they must be equal"
        )


def _ellipsis_rank(items: list[Any], shape: Shape) -> int:
    """How many axes an ellipsis (a missing one stands at the end) is for."""
    used = sum(
        [
            0
            if i is None or i is Ellipsis or isinstance(i, Axis)
            else np.ndim(i)
            if is_mask(i) and not isinstance(i, Array)
            else i.ndim
            if is_mask(i)
            else 1
            for i in items
        ]
    )
    if sum([i is Ellipsis for i in items]) > 1:
        raise IndexingError(f"an index has more than one ellipsis (...), at {describe(here())}")
    if used > len(shape):
        raise IndexingError(
            f"too many indices, at {describe(here())}: an array of shape {shape} has {len(shape)} axes, {used} "
            "are indexed"
        )
    return len(shape) - used


def plan_of(shape: Shape, key: Any, checked: bool = False, wrap: bool = True) -> Plan:
    """What becomes of every axis. Raises IndexingError for what is no index. checked: also for known integers out of range,
    and, if `config.check_indices` says so, for index arrays and traced integers. wrap: negative ones count from the end."""
    items = _items(key)
    if any(is_mask(i) for i in items):
        items = _masks_as_integers(items, shape)
    gap = _ellipsis_rank(items, shape)
    plan, axis = Plan(), 0
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    for item in items:
        if item is None:
            plan.items.append(Axis("new"))
        elif isinstance(item, Axis):
            plan.items.append(item)
        elif item is Ellipsis:
            for _ in range(gap):
                plan.items.append(Axis("slice", axis, 0, shape[axis]))
                axis += 1
        else:
            plan.items.append(_axis_of(item, axis, shape, checked, wrap))
            if checked and config.check_indices and plan.items[-1].kind == "array":
                check_indices(as_array(item), axis, shape)
            axis += 1
    arrays = [i for i in plan.items if i.kind in ("array", "flag")]
    if arrays:
        plan.lead = operands.broadcast_shapes(
            "indexing with arrays",
            *[(i.count,) if i.kind == "flag" else aval_of(i.indices).shape for i in arrays],
        )
        advanced = [k for k, i in enumerate(plan.items) if i.kind in ("array", "int", "flag")]
        together = advanced[-1] - advanced[0] + 1 == len(advanced)
        if plan.lead and together:
            plan.place = sum([i.kind in ("slice", "new") for i in plan.items[: advanced[0]]])
    return plan


def _axis_of(item: Any, axis: int, shape: Shape, checked: bool, wrap: bool) -> Axis:
    size = shape[axis]
    if isinstance(item, slice):
        start, stop, step = _bounds(item, size)
        return Axis("slice", axis, start, len(range(start, stop, step)), step)
    if isinstance(item, (Array, np.ndarray)):
        kind = dtypes.kind(item.dtype) if isinstance(item, Array) else item.dtype.kind
        if kind not in "iu":
            raise IndexingError(
                f"an array of {item.dtype} is no index, at {describe(here())}; indices are integers: convert it "
                "with x.astype(int), or compare it to get a boolean one"
            )
        if isinstance(item, np.ndarray) and not item.ndim:
            return static(int(item), axis, shape, checked, wrap)
        return Axis("array", axis, indices=wrapped(item, size, wrap))
    try:
        return static(operator.index(item), axis, shape, checked, wrap)
    except TypeError:
        pass
    hint = (
        f"write {int(item)}, or int(i)"
        if isinstance(item, (float, np.floating)) and item == item and abs(item) < 2**31
        else "indices are integers, slices, None, ... and arrays of integers or bools"
    )
    raise IndexingError(f"{item!r} ({type(item).__name__}) is no index, at {describe(here())}; {hint}")


def static(number: int, axis: int, shape: Shape, checked: bool, wrap: bool) -> Axis:
    """An integer known while tracing; out of range it raises IndexingError, or is treated as traced ones are."""
    size = shape[axis]
    inside = (-size if wrap else 0) <= number < size
    if not inside and not checked:
        return Axis("array", axis, indices=wrapped(np.asarray(number), size, wrap))
    if not inside:
        valid = f"from {-size} to {size - 1}" if size else "none: the axis is empty"
        raise IndexingError(
            f"the index {number} is out of range for axis {axis} of size {size}, in an array of shape {shape}, at "
            f"{describe(here())}; valid ones are {valid}"
        )
    return Axis("int", axis, number % size)


def _bounds(item: slice, size: int) -> tuple[int, int, int]:
    try:
        return item.indices(size)
    except TracerIntegerConversionError as error:
        raise TracerSliceError(
            f"a slice with a traced bound, at {describe(here())}: the length of the result would depend on its value. "
            "fnn.lax.dynamic_slice_in_dim(x, start, length) takes a traced start with a fixed length. "
        ) from error
    except TypeError:
        raise IndexingError(
            f"the slice {item} has a bound that is no integer, at {describe(here())}"
        ) from None
    except ValueError:
        raise IndexingError(f"the slice {item} has a step of 0, at {describe(here())}") from None


def wrapped(indices: Any, size: int, wrap: bool = True) -> Any:
    """Index arrays, at least 32 bits wide, with negative ones counted from the end unless told otherwise."""
    if isinstance(indices, (np.ndarray, ConcreteArray)):
        value = indices.value if isinstance(indices, ConcreteArray) else indices
        if wrap and value.size and value.dtype.kind == "i" and value.min() < 0:
            value = np.where(value < 0, value.astype(np.int64) + size, value)
        exact = np.int32 if size < 2**31 else np.int64
        info = np.iinfo(exact)
        return as_array_of(
            np.clip(value, info.min, info.max).astype(exact) if value.dtype != exact else value
        )
    dtype = indices.dtype
    if dtype.itemsize < 4 or (dtype.kind == "i" and dtype.itemsize == 4 and size >= 2**31):
        indices = to_dtype(indices, np.dtype(np.int32 if size < 2**31 else np.int64))
    if indices.dtype.kind == "u" or not wrap:
        return indices
    return select(lt(indices, 0), add(indices, size), indices)


def as_array_of(value: np.ndarray) -> ConcreteArray:
    """A NumPy array of index type as an array, unchanged in width."""
    return ConcreteArray(value, Aval(value.shape, value.dtype))
