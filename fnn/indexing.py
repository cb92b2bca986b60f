"""Indexing: `x[...]` reads, `x.at[...]` makes changed copies.

An index is first brought into a plan: what becomes of every axis. Integers and slices known while tracing are slices;
traced integers alone are a dynamic slice; anything with integer arrays is one gather (reading) or one scatter (writing).
NumPy's rules hold: integer arrays broadcast together, their axes stand where the first of them stood if all stood side by
side, and in front otherwise. Negative indices count from the end. Integers known to be out of range are errors; in
arrays and traced integers, where no error can be raised, reads are clamped and writes dropped.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array, ConcreteArray, as_array
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import (
    ArgumentError,
    ConcretizationError,
    IndexingError,
    NonConcreteBooleanIndexError,
    ShapeError,
    TracerIntegerConversionError,
)
from fnn.operations import operands
from fnn.operations.elementwise import BINARY, UNARY, power
from fnn.operations.operands import array_of, to_dtype, to_shape
from fnn.operations.shaping import to
from fnn.primitives.rules import rest
from fnn import primitives as P
from fnn.primitives import GatherDimensionNumbers, ScatterDimensionNumbers, add, dynamic_slice, dynamic_update_slice, gather, lt, scatter, select

Shape = tuple[int, ...]


@dataclass(slots=True)
class Axis:
    """What an index does with one axis of the operand (or, with kind "new", with none).

    kind: "slice" (start, count, step; step may be negative), "int" (start), "array" (indices: traced integers too)."""

    kind: str
    axis: int = -1
    start: int = 0
    count: int = 1
    step: int = 1
    indices: Any = None


@dataclass(slots=True)
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


def _is_mask(item: Any) -> bool:
    if isinstance(item, (bool, np.bool_)):
        return True
    return isinstance(item, (Array, np.ndarray)) and item.dtype.kind == "b"


def _items(key: Any) -> list[Any]:
    """The parts of an index; lists become NumPy arrays, or arrays where they hold traced numbers."""
    out = []
    for item in key if isinstance(key, tuple) else (key,):
        if isinstance(item, list):
            if any(isinstance(leaf, Array) for leaf in item):
                from fnn.operations.creation import asarray

                item = asarray(item)
            else:
                item = np.asarray(item) if item else np.zeros(0, np.int32)
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
        elif _is_mask(item):
            mask = _known_mask(item)
            _check_mask(mask.shape, shape, consumed)
            if not mask.ndim:
                raise IndexingError(f"{item!r} is no index, at {describe(here())}; x[None] adds an axis, an integer takes an element")
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


def _check_mask(mask: Shape, shape: Shape, first: int) -> None:
    have = shape[first : first + len(mask)]
    if len(have) < len(mask) or any(m != n for m, n in zip(mask, have)):
        raise IndexingError(f"a boolean index of shape {mask} does not fit the axes {have} of an array of shape {shape}, at "
                            f"{describe(here())}; they must be equal")


def _ellipsis_rank(items: list[Any], shape: Shape) -> int:
    """How many axes an ellipsis (a missing one stands at the end) is for."""
    used = sum([0 if i is None or i is Ellipsis else np.ndim(i) if _is_mask(i) and not isinstance(i, Array) else
                i.ndim if _is_mask(i) else 1 for i in items])
    if sum([i is Ellipsis for i in items]) > 1:
        raise IndexingError(f"an index has more than one ellipsis (...), at {describe(here())}")
    if used > len(shape):
        raise IndexingError(f"too many indices, at {describe(here())}: an array of shape {shape} has {len(shape)} axes, {used} "
                            "are indexed")
    return len(shape) - used


def plan_of(shape: Shape, key: Any) -> Plan:
    """What becomes of every axis. Raises IndexingError for what is no index, or is out of range."""
    items = _items(key)
    if any(_is_mask(i) for i in items):
        items = _masks_as_integers(items, shape)
    gap = _ellipsis_rank(items, shape)
    plan, axis = Plan(), 0
    if not any(i is Ellipsis for i in items):
        items.append(Ellipsis)
    for item in items:
        if item is None:
            plan.items.append(Axis("new"))
        elif item is Ellipsis:
            for _ in range(gap):
                plan.items.append(Axis("slice", axis, 0, shape[axis]))
                axis += 1
        else:
            plan.items.append(_axis_of(item, axis, shape))
            axis += 1
    arrays = plan.arrays
    if arrays:
        plan.lead = operands.broadcast_shapes("indexing with arrays", *[aval_of(i.indices).shape for i in arrays])
        advanced = [k for k, i in enumerate(plan.items) if i.kind in ("array", "int")]
        together = advanced[-1] - advanced[0] + 1 == len(advanced)
        if plan.lead and together:
            plan.place = sum([i.kind in ("slice", "new") for i in plan.items[: advanced[0]]])
    return plan


def _axis_of(item: Any, axis: int, shape: Shape) -> Axis:
    size = shape[axis]
    if isinstance(item, slice):
        start, stop, step = _bounds(item, size)
        return Axis("slice", axis, start, len(range(start, stop, step)), step)
    if isinstance(item, (Array, np.ndarray)):
        kind = dtypes.kind(item.dtype) if isinstance(item, Array) else item.dtype.kind
        if kind not in "iu":
            raise IndexingError(f"an array of {item.dtype} is no index, at {describe(here())}; indices are integers: convert it "
                                "with x.astype(int), or compare it to get a boolean one")
        if isinstance(item, np.ndarray) and not item.ndim:
            return _static(int(item), axis, shape)
        return Axis("array", axis, indices=_wrapped(item, size))
    try:
        return _static(operator.index(item), axis, shape)
    except TypeError:
        pass
    hint = f"write {int(item)}, or int(i)" if isinstance(item, (float, np.floating)) and item == item and abs(item) < 2**31 else \
        "indices are integers, slices, None, ... and arrays of integers or bools"
    raise IndexingError(f"{item!r} ({type(item).__name__}) is no index, at {describe(here())}; {hint}")


def _static(number: int, axis: int, shape: Shape) -> Axis:
    size = shape[axis]
    if not -size <= number < size:
        valid = f"from {-size} to {size - 1}" if size else "none: the axis is empty"
        raise IndexingError(f"the index {number} is out of range for axis {axis} of size {size}, in an array of shape {shape}, at "
                            f"{describe(here())}; valid ones are {valid}")
    return Axis("int", axis, number % size)


def _bounds(item: slice, size: int) -> tuple[int, int, int]:
    try:
        return item.indices(size)
    except TracerIntegerConversionError as error:
        raise TracerIntegerConversionError(
            f"a slice with a traced bound, at {describe(here())}: the length of the result would depend on its value. "
            "fnn.lax.dynamic_slice_in_dim(x, start, length) takes a traced start with a fixed length. "
        ) from error
    except TypeError:
        raise IndexingError(f"the slice {item} has a bound that is no integer, at {describe(here())}") from None
    except ValueError:
        raise IndexingError(f"the slice {item} has a step of 0, at {describe(here())}") from None


def _wrapped(indices: Any, size: int) -> Any:
    """Index arrays, at least 32 bits wide, with negative ones counted from the end."""
    if isinstance(indices, (np.ndarray, ConcreteArray)):
        value = indices.value if isinstance(indices, ConcreteArray) else indices
        if value.size and value.dtype.kind == "i" and value.min() < 0:
            value = np.where(value < 0, value.astype(np.int64) + size, value)
        exact = np.int32 if size < 2**31 else np.int64
        info = np.iinfo(exact)
        return as_array_of(np.clip(value, info.min, info.max).astype(exact) if value.dtype != exact else value)
    dtype = indices.dtype
    if dtype.itemsize < 4 or (dtype.kind == "i" and dtype.itemsize == 4 and size >= 2**31):
        indices = to_dtype(indices, np.dtype(np.int32 if size < 2**31 else np.int64))
    if indices.dtype.kind == "u":
        return indices
    return select(lt(indices, 0), add(indices, size), indices)


def as_array_of(value: np.ndarray) -> ConcreteArray:
    """A NumPy array of index type as an array, unchanged in width."""
    from fnn.core.aval import Aval

    return ConcreteArray(value, Aval(value.shape, value.dtype))


# -- reading ----------------------------------------------------------------------------------------------------------


def index(x: Any, key: Any) -> Any:
    """x[key]."""
    return read(x, key, "clip", None)


def read(x: Any, key: Any, mode: str, fill_value: Any) -> Any:
    """x[key]; mode says what places out of range read ("clip", "fill", "promise_in_bounds")."""
    if type(key) is int and x.aval.shape:  # the common case, without a plan
        shape = x.aval.shape
        start = _static(key, 0, shape).start
        part = P.slice(x, start=(start, *[0] * (len(shape) - 1)), limit=(start + 1, *shape[1:]), step=(1,) * len(shape))
        return P.reshape(part, shape=shape[1:])
    plan = plan_of(x.aval.shape, key)
    arrays = plan.arrays
    x = _sliced(x, plan)
    if not arrays:
        return to(x, plan.shape())
    if not plan.lead and mode != "fill":
        return to(_windows(x, plan), plan.shape())
    # the operand without the integers' axes and with the new ones: slices and index arrays are left
    left = [i for i in plan.items if i.kind != "int"]
    x = to(x, [i.count if i.kind != "array" else aval_of(x).shape[i.axis] for i in left])
    return _gathered(x, plan, [k for k, i in enumerate(left) if i.kind == "array"], mode, fill_value)


def _sliced(x: Any, plan: Plan) -> Any:
    """The slices and integers of an index applied; integers leave an axis of size 1."""
    shape = aval_of(x).shape
    start, limit, step, backwards = [0] * len(shape), list(shape), [1] * len(shape), []
    for i in plan.items:
        if i.kind == "int":
            start[i.axis], limit[i.axis] = i.start, i.start + 1
        elif i.kind == "slice":
            a, n, s = i.start, i.count, i.step
            if s < 0:
                a, s = a + (n - 1) * s, -s
                if n > 1:
                    backwards.append(i.axis)
            start[i.axis], limit[i.axis], step[i.axis] = (a, a + (n - 1) * s + 1, s) if n else (0, 0, 1)
    if any(start) or limit != list(shape) or any(s != 1 for s in step):
        x = P.slice(x, start=tuple(start), limit=tuple(limit), step=tuple(step))
    return P.rev(x, axes=tuple(backwards)) if backwards else x


def _windows(x: Any, plan: Plan) -> Any:
    """Traced integers alone: a dynamic slice."""
    starts: list[Any] = [0] * len(aval_of(x).shape)
    sizes = list(aval_of(x).shape)
    for i in plan.arrays:
        starts[i.axis], sizes[i.axis] = i.indices, 1
        if not aval_of(x).shape[i.axis]:
            raise IndexingError(f"an index into axis {i.axis} of size 0, at {describe(here())}")
    return dynamic_slice(x, *starts, sizes=tuple(sizes))


def _gathered(x: Any, plan: Plan, axes: list[int], mode: str, fill_value: Any) -> Any:
    shape = aval_of(x).shape
    vectors = _vectors([i.indices for i in plan.arrays], plan.lead)
    rank = len(plan.lead) + len(shape) - len(axes)
    offsets = rest(rank, range(plan.place, plan.place + len(plan.lead)))
    numbers = GatherDimensionNumbers(offsets, tuple(axes), tuple(axes))
    empty = next((d for d in axes if not shape[d]), None)
    if empty is not None:
        if 0 not in plan.lead:
            raise IndexingError(f"an index into axis {empty} of size 0, at {describe(here())}")
        from fnn.primitives.rules import zeros

        return zeros(aval_of(x).update(shape=plan.shape()))
    sizes = tuple([1 if d in axes else n for d, n in enumerate(shape)])
    if fill_value is not None:
        fill_value = np.asarray(fill_value).item()
    return gather(x, vectors, dimension_numbers=numbers, slice_sizes=sizes, mode=mode, fill_value=fill_value)


def _vectors(indices: list[Any], lead: Shape) -> Any:
    """Index arrays as one array of index vectors, on the last axis."""
    wide = any(aval_of(i).dtype.itemsize == 8 or aval_of(i).dtype.kind == "u" for i in indices)
    if all(isinstance(i, ConcreteArray) for i in indices):
        columns = [np.broadcast_to(i.value, lead).astype(np.int64 if wide else np.int32) for i in indices]
        return as_array_of(np.stack(columns, -1))
    dtype = np.dtype(np.int64 if wide else np.int32)
    parts = [to(to_shape(to_dtype(i, dtype), lead), (*lead, 1)) for i in indices]
    return parts[0] if len(parts) == 1 else P.concatenate(*parts, axis=len(lead))


# -- writing ----------------------------------------------------------------------------------------------------------


class IndexUpdateHelper:
    """`x.at`: index it, then say what becomes of those elements: `x.at[2:4].set(0)`."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, key: Any) -> IndexUpdateRef:
        return IndexUpdateRef(self.array, key)

    def __repr__(self) -> str:
        return f"x.at of {self.array.aval}; index it: x.at[i].set(v)"


@dataclass(frozen=True, slots=True)
class IndexUpdateRef:
    """`x.at[i]`: each method gives a copy of x in which the elements at i are changed; x itself never is.

    Values broadcast to the shape of x[i] and are converted to x's dtype. Where i names an element several times, all
    updates count, in order. mode: places out of range are dropped ("drop", "fill": the default) or moved to the nearest
    one ("clip"); "promise_in_bounds" says there are none. unique_indices and indices_are_sorted are promises.

    >>> import fnn.numpy as fnp
    >>> x = fnp.zeros(4)
    >>> print(x.at[1].set(5.0).at[fnp.array([0, 0])].add(1.0))
    [2. 5. 0. 0.]
    """

    array: Any
    key: Any

    def _write(self, how: str, values: Any, mode: Any, sorted: bool, unique: bool, wrap: bool = True) -> Any:
        return write(self.array, self.key, values, how, _mode(mode, "drop"), sorted, unique)

    def set(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
            out_sharding: Any = None, wrap_negative_indices: bool = True) -> Any:
        """x with the values at i."""
        return self._write("set", values, mode, indices_are_sorted, unique_indices)

    def add(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
            out_sharding: Any = None, wrap_negative_indices: bool = True) -> Any:
        """x with the values added at i."""
        return self._write("add", values, mode, indices_are_sorted, unique_indices)

    def subtract(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None) -> Any:
        """x with the values subtracted at i."""
        return self._write("add", UNARY["negative"](values), mode, indices_are_sorted, unique_indices)

    def multiply(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None) -> Any:
        """x multiplied by the values at i."""
        return self._write("mul", values, mode, indices_are_sorted, unique_indices)

    mul = multiply

    def divide(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None) -> Any:
        """x divided by the values at i."""
        return BINARY["divide"](self.array, self._on_ones(values, mode, indices_are_sorted, unique_indices))

    def power(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None) -> Any:
        """x to the power of the values at i."""
        return power(self.array, self._on_ones(values, mode, indices_are_sorted, unique_indices))

    def _on_ones(self, values: Any, mode: Any, sorted: bool, unique: bool) -> Any:
        ones = P.broadcast(array_of("at", 1), shape=self.array.shape, axes=())
        return write(to_dtype(ones, self.array.dtype), self.key, values, "mul", _mode(mode, "drop"), sorted, unique)

    def min(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None) -> Any:
        """x with the smaller of x and the values at i."""
        return self._write("min", values, mode, indices_are_sorted, unique_indices)

    def max(self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None) -> Any:
        """x with the larger of x and the values at i."""
        return self._write("max", values, mode, indices_are_sorted, unique_indices)

    def apply(self, func: Callable[[Any], Any], *, indices_are_sorted: bool = False, unique_indices: bool = False,
              mode: Any = None) -> Any:
        """x with func applied, once, to the elements at i."""
        if _single_mask(self.key) is not None:
            return _where_mask(self.array, _single_mask(self.key), func(self.array))
        return self.set(func(self.get(mode="clip")), indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode)

    def get(self, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None, fill_value: Any = None,
            out_sharding: Any = None, wrap_negative_indices: bool = True) -> Any:
        """x[i]; places out of range read the nearest one ("clip": the default) or fill_value (mode="fill"; NaN unless told)."""
        return read(self.array, self.key, _mode(mode, "clip" if fill_value is None else "fill"), fill_value)


_MODES = {"clip": "clip", "clamp": "clip", "fill": "fill", "drop": "fill", "fill_or_drop": "fill",
          "promise_in_bounds": "promise_in_bounds"}


def _mode(mode: Any, default: str) -> str:
    if mode is None:
        return default
    name = str(getattr(mode, "name", mode)).lower()
    if name not in _MODES:
        raise ArgumentError(f"the mode {mode!r} is not one of {', '.join(_MODES)}, at {describe(here())}")
    return _MODES[name]


_COMBINED = {"add": BINARY["add"], "mul": BINARY["multiply"], "min": BINARY["minimum"], "max": BINARY["maximum"]}


def _single_mask(key: Any) -> Any:
    """The mask, if an index is one boolean array (with `...` behind at most)."""
    items = [i for i in (key if isinstance(key, tuple) else (key,)) if i is not Ellipsis]
    first = key[0] if isinstance(key, tuple) and key else key
    return items[0] if len(items) == 1 and first is items[0] and isinstance(items[0], (Array, np.ndarray)) and \
        _is_mask(items[0]) and items[0].ndim else None


def _where_mask(x: Any, mask: Any, changed: Any) -> Any:
    _check_mask(mask.shape, x.shape, 0)
    mask = as_array(mask)
    mask = to_shape(to(mask, (*mask.shape, *[1] * (x.ndim - mask.ndim))), x.shape)
    changed = changed if aval_of(changed).dtype == x.dtype or dtypes.is_key(x.dtype) else to_dtype(changed, x.dtype)
    return select(mask, to_shape(changed, x.shape) if aval_of(changed).shape else changed, x)


def write(x: Any, key: Any, values: Any, how: str, mode: str = "drop", sorted: bool = False, unique: bool = False) -> Any:
    """x with values written ("set") or combined ("add", "mul", "min", "max") at key."""
    values = array_of(f"x.at[...].{how}", values)
    if aval_of(values).dtype != x.dtype or aval_of(values).weak_type:
        values = to_dtype(values, x.dtype)
    mask = _single_mask(key)
    if mask is not None and aval_of(values).ndim <= x.ndim - mask.ndim:
        return _where_mask(x, mask, values if how == "set" else _COMBINED[how](x, values))
    plan = plan_of(x.aval.shape, key)
    shape = plan.shape()
    try:
        fits = operands.broadcast_shapes("at", aval_of(values).shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"x.at[...].{how}: values of shape {aval_of(values).shape} do not broadcast to the indexed part, "
                                  f"of shape {shape}, at {describe(here())}")
    values = to_shape(values, shape)
    if not plan.arrays and all(abs(i.step) == 1 or i.count < 2 for i in plan.items):
        return _write_box(x, plan, values, how)
    return _scattered(x, plan, values, how, mode, sorted, unique)


def _write_box(x: Any, plan: Plan, values: Any, how: str) -> Any:
    """Integers and whole stretches: one window at a known place."""
    if not aval_of(values).size:
        return x
    starts, sizes, backwards = [0] * x.ndim, list(x.shape), []
    for i in plan.items:
        if i.kind != "new":
            low = i.start if i.step > 0 or i.count < 2 else i.start - i.count + 1
            starts[i.axis], sizes[i.axis] = low, i.count
            if i.step < 0 and i.count > 1:
                backwards.append(i.axis)
    values = to(values, sizes)
    if backwards:
        values = P.rev(values, axes=tuple(backwards))
    whole = tuple(sizes) == x.shape
    if how != "set":
        here_now = x if whole else P.slice(x, start=tuple(starts), limit=tuple([a + n for a, n in zip(starts, sizes)]),
                                                    step=(1,) * x.ndim)
        values = _COMBINED[how](here_now, values)
    return values if whole else dynamic_update_slice(x, values, *starts)


def _scattered(x: Any, plan: Plan, values: Any, how: str, mode: str, sorted: bool, unique: bool) -> Any:
    """One scatter. Whole stretches are windows; slices with steps run through an axis of index vectors of their own."""
    axes = plan.axes()
    order: list[Any] = [*axes[: plan.place], *[None] * len(plan.lead), *axes[plan.place :]]  # None: an index array's axis
    kept = [i for i in order if i is None or i.kind != "new"]
    values = to(values, [n for i, n in zip(order, plan.shape()) if i is None or i.kind != "new"])
    backwards = [d for d, i in enumerate(kept) if i is not None and i.step < 0 and i.count > 1]
    if backwards:
        values = P.rev(values, axes=tuple(backwards))
    stretched = [d for d, i in enumerate(kept) if i is not None and (abs(i.step) == 1 or i.count < 2)]
    rows = [d for d in range(len(kept)) if d not in stretched]
    shape = tuple([aval_of(values).shape[d] for d in rows])
    first = next((k for k, d in enumerate(rows) if kept[d] is None), len(rows))
    parts: dict[int, Any] = {}
    for i in plan.items:
        if i.kind == "array":
            lead = to_shape(i.indices, plan.lead)
            parts[i.axis] = to(lead, (*[1] * first, *plan.lead, *[1] * (len(rows) - first - len(plan.lead))))
        elif i.kind == "int":
            parts[i.axis] = as_array_of(np.asarray(i.start, np.int32))
        elif i.kind == "slice":
            low = i.start if i.step > 0 or i.count < 2 else i.start + (i.count - 1) * i.step
            if abs(i.step) != 1 and i.count > 1:
                row = next(k for k, d in enumerate(rows) if kept[d] is i)
                places = low + np.arange(i.count, dtype=np.int32) * abs(i.step)
                parts[i.axis] = as_array_of(places.reshape([-1 if k == row else 1 for k in range(len(rows))]).astype(np.int32))
            elif i.count != x.shape[i.axis]:
                parts[i.axis] = as_array_of(np.asarray(low, np.int32))
    counted = tuple(builtins.sorted(parts))
    vectors = _vectors([parts[d] for d in counted], shape)
    windows = {kept[d].axis for d in stretched}
    unique = unique or not plan.lead  # slices and single places name no element twice
    numbers = ScatterDimensionNumbers(tuple(stretched), rest(x.ndim, tuple(windows)), counted)
    return scatter(x, vectors, values, dimension_numbers=numbers, combine=how, mode=mode, unique=unique, sorted=sorted)
