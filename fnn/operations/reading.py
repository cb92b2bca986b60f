"""Reading by index: slices for what is known while tracing, a dynamic slice for traced integers, one gather for arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.array import ConcreteArray
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, state
from fnn.errors import ArgumentError, IndexingError
from fnn.operations.index_plans import Plan, Shape, as_array_of, plan_of
from fnn.operations.operands import to_dtype, to_shape
from fnn.operations.shaping import to
from fnn.primitives.rules import rest, zeros

_BASIC = {int, slice, type(None), type(Ellipsis)}  # what NumPy reads as a view, and means the same by
_KNOWN = {*_BASIC, bool, ConcreteArray, np.ndarray}  # what NumPy means the same by, within the bounds


def index(x: Any, key: Any) -> Any:
    """x[key]."""
    return read(x, key, "clip", None, True)


def read(x: Any, key: Any, mode: str, fill_value: Any, checked: bool = False, wrap: bool = True) -> Any:
    """x[key]; mode says what places out of range read ("clip", "fill", "promise_in_bounds"); checked and wrap as in
    `plan_of`."""
    if wrap and type(x) is ConcreteArray and state.stage is None:
        kinds = {type(key)} if type(key) is not tuple else set(map(type, key))
        if kinds <= _KNOWN:
            if ConcreteArray in kinds:
                key = _values(key)
            try:
                value = x.value[key]
            except (IndexError, TypeError, ValueError):
                pass  # the plan says what is wrong, or what lies beyond the bounds
            else:
                return ConcreteArray(np.asarray(value), x.aval.update(shape=value.shape))
    plan = plan_of(x.aval.shape, key, checked, wrap)
    arrays = plan.arrays
    x = _sliced(x, plan)
    if 0 in plan.lead and not arrays:  # False takes nothing
        return zeros(aval_of(x).update(shape=plan.shape()))
    if not arrays:
        return to(x, plan.shape())
    if not plan.lead and mode != "fill":
        return to(_windows(x, plan), plan.shape())
    # the operand without the integers' axes and with the new ones: slices and index arrays are left
    left = [i for i in plan.items if i.kind not in ("int", "flag")]
    x = to(x, [i.count if i.kind != "array" else aval_of(x).shape[i.axis] for i in left])
    return _gathered(x, plan, [k for k, i in enumerate(left) if i.kind == "array"], mode, fill_value)


def _values(key: Any) -> Any:
    """An index with NumPy's arrays for concrete ones."""
    if type(key) is tuple:
        return tuple([i.value if type(i) is ConcreteArray else i for i in key])
    return key.value


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
    return P.dynamic_slice(x, *starts, sizes=tuple(sizes))


def _gathered(x: Any, plan: Plan, axes: list[int], mode: str, fill_value: Any) -> Any:
    shape = aval_of(x).shape
    vectors = vectors_of([i.indices for i in plan.arrays], plan.lead)
    rank = len(plan.lead) + len(shape) - len(axes)
    offsets = rest(rank, range(plan.place, plan.place + len(plan.lead)))
    numbers = P.GatherDimensionNumbers(offsets, tuple(axes), tuple(axes))
    empty = next((d for d in axes if not shape[d]), None)
    if empty is not None:
        if 0 not in plan.lead:
            raise IndexingError(f"an index into axis {empty} of size 0, at {describe(here())}")
        return zeros(aval_of(x).update(shape=plan.shape()))
    sizes = tuple([1 if d in axes else n for d, n in enumerate(shape)])
    if fill_value is not None:
        fill_value = np.asarray(fill_value).item()
    return P.gather(
        x, vectors, dimension_numbers=numbers, slice_sizes=sizes, mode=mode, fill_value=fill_value
    )


def vectors_of(indices: list[Any], lead: Shape) -> Any:
    """Index arrays as one array of index vectors, on the last axis."""
    wide = any(aval_of(i).dtype.itemsize == 8 or aval_of(i).dtype.kind == "u" for i in indices)
    if all(isinstance(i, ConcreteArray) for i in indices):
        exact = np.int64 if wide else np.int32
        if len(indices) == 1 and indices[0].shape == lead:
            return as_array_of(indices[0].value[..., None].astype(exact, copy=False))
        columns = [np.broadcast_to(i.value, lead).astype(exact) for i in indices]
        return as_array_of(np.stack(columns, -1))
    dtype = np.dtype(np.int64 if wide else np.int32)
    parts = [to(to_shape(to_dtype(i, dtype), lead), (*lead, 1)) for i in indices]
    return parts[0] if len(parts) == 1 else P.concatenate(*parts, axis=len(lead))


_MODES = {
    "clip": "clip",
    "clamp": "clip",
    "fill": "fill",
    "drop": "fill",
    "fill_or_drop": "fill",
    "promise_in_bounds": "promise_in_bounds",
}


def mode_of(mode: Any, default: str) -> str:
    """What to do with places out of range, from the name a person gave; None is the default."""
    if mode is None:
        return default
    name = str(getattr(mode, "name", mode)).lower()
    if name not in _MODES:
        raise ArgumentError(f"the mode {mode!r} is not one of {', '.join(_MODES)}, at {describe(here())}")
    return _MODES[name]
