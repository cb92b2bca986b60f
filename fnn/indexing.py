"""Indexing: `x[...]` reads, `x.at[...]` makes changed copies.

An index is first brought into a plan: what becomes of every axis. Integers and slices known while tracing are slices;
traced integers alone are a dynamic slice; anything with integer arrays is one gather (reading) or one scatter (writing).
NumPy's rules hold: integer arrays broadcast together, their axes stand where the first of them stood if all stood side by
side, and in front otherwise. Negative indices count from the end. Integers known to be out of range are errors; in
arrays and traced integers, where no error can be raised, reads are clamped and writes dropped.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ShapeError
from fnn.operations import operands
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY, power, truth
from fnn.operations.index_plans import Plan, as_array_of, check_mask, is_mask, plan_of
from fnn.operations.operands import array_of, to_dtype, to_shape
from fnn.operations.reading import mode_of, read, vectors_of
from fnn.operations.shaping import to
from fnn.primitives.rules import rest, zeros
from fnn.records import record
from fnn.transforms.while_loop import while_loop


class IndexUpdateHelper:
    """`x.at`: index it, then say what becomes of those elements: `x.at[2:4].set(0)`."""

    __slots__ = ("array",)

    def __init__(self, array: Any):
        self.array = array

    def __getitem__(self, key: Any) -> IndexUpdateRef:
        return IndexUpdateRef(self.array, key)

    def __repr__(self) -> str:
        return f"x.at of {self.array.aval}; index it: x.at[i].set(v)"


def _changing(name: str, text: str, change: Callable[..., Any]) -> Callable[..., Any]:
    """A method that gives x changed at i by change(self, values, mode, sorted, unique, wrap)."""

    def method(
        self: IndexUpdateRef,
        values: Any,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        return change(self, values, mode, indices_are_sorted, unique_indices, wrap_negative_indices)

    method.__name__, method.__qualname__ = name, f"IndexUpdateRef.{name}"
    method.__doc__ = f"x {text}"
    return method


@record(frozen=True)
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

    def _write(
        self, how: str, values: Any, mode: Any, sorted: bool, unique: bool, wrap: bool, x: Any = None
    ) -> Any:
        x = self.array if x is None else x
        return write(x, self.key, values, how, mode_of(mode, "drop"), sorted, unique, mode is None, wrap)

    def _of_ones(self, *how: Any) -> Any:
        """Ones of x's shape and dtype, multiplied by the values at i."""
        ones = P.broadcast(array_of("at", 1), shape=self.array.shape, axes=())
        return self._write("mul", *how, x=to_dtype(ones, self.array.dtype))

    set = _changing("set", "with the values at i.", lambda at, *how: at._write("set", *how))
    add = _changing("add", "with the values added at i.", lambda at, *how: at._write("add", *how))
    subtract = _changing(
        "subtract",
        "with the values subtracted at i.",
        lambda at, values, *how: at._write("add", UNARY["negative"](asarray(values)), *how),
    )
    multiply = _changing(
        "multiply", "multiplied by the values at i.", lambda at, *how: at._write("mul", *how)
    )
    mul = multiply
    divide = _changing(
        "divide",
        "divided by the values at i.",
        lambda at, *how: BINARY["divide"](at.array, at._of_ones(*how)),
    )
    power = _changing(
        "power", "to the power of the values at i.", lambda at, *how: power(at.array, at._of_ones(*how))
    )
    min = _changing(
        "min", "with the smaller of x and the values at i.", lambda at, *how: at._write("min", *how)
    )
    max = _changing(
        "max", "with the larger of x and the values at i.", lambda at, *how: at._write("max", *how)
    )

    def apply(
        self,
        func: Callable[[Any], Any],
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x with func applied to the elements at i, as many times as i names them (once, with unique_indices)."""
        if _single_mask(self.key) is not None:
            return _where_mask(self.array, _single_mask(self.key), func(self.array))
        how = (mode, indices_are_sorted, unique_indices, wrap_negative_indices)
        old = self.get(mode="clip", wrap_negative_indices=wrap_negative_indices)
        x = self._write("set", func(old), *how)
        if unique_indices or not plan_of(self.array.shape, self.key).lead:
            return x
        times = zeros(Aval(self.array.shape, dtypes.int32))
        times = self._write("add", 1, *how, x=times)
        again = lambda state: (state[0] + 1, P.select(times > state[0], func(state[1]), state[1]))
        return while_loop(lambda state: (times > state[0]).any(), again, (asarray(1, dtypes.int32), x))[1]

    def get(
        self,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
        fill_value: Any = None,
        out_sharding: Any = None,
        wrap_negative_indices: bool = True,
    ) -> Any:
        """x[i]; places out of range read the nearest one ("clip": the default) or fill_value (mode="fill": NaN, or the
        least or largest integer, unless told)."""
        exact = mode_of(mode, "clip")
        fill = fill_value if exact == "fill" else None
        return read(self.array, self.key, exact, fill, mode is None, wrap_negative_indices)


_COMBINED = {
    "add": BINARY["add"],
    "mul": BINARY["multiply"],
    "min": BINARY["minimum"],
    "max": BINARY["maximum"],
}


def _single_mask(key: Any) -> Any:
    """The mask, if an index is one boolean array (with `...` behind at most)."""
    items = [i for i in (key if isinstance(key, tuple) else (key,)) if i is not Ellipsis]
    first = key[0] if isinstance(key, tuple) and key else key
    return (
        items[0]
        if len(items) == 1
        and first is items[0]
        and isinstance(items[0], (Array, np.ndarray))
        and is_mask(items[0])
        and items[0].ndim
        else None
    )


def _where_mask(x: Any, mask: Any, changed: Any) -> Any:
    check_mask(mask.shape, x.shape, 0)
    if not mask.size:  # it may be empty where x is not
        return x
    mask = as_array(mask)
    mask = to_shape(to(mask, (*mask.shape, *[1] * (x.ndim - mask.ndim))), x.shape)
    changed = (
        changed if aval_of(changed).dtype == x.dtype or dtypes.is_key(x.dtype) else to_dtype(changed, x.dtype)
    )
    return P.select(mask, to_shape(changed, x.shape) if aval_of(changed).shape else changed, x)


def write(
    x: Any,
    key: Any,
    values: Any,
    how: str,
    mode: str = "drop",
    sorted: bool = False,
    unique: bool = False,
    checked: bool = False,
    wrap: bool = True,
) -> Any:
    """x with values written ("set") or combined ("add", "mul", "min", "max") at key, computed in the dtype they meet in
    where x holds integers and the values do not, and in x's else; bools are combined with or, and."""
    values = array_of(f"x.at[...].{how}", asarray(values))
    if how != "set" and not dtypes.is_inexact(x.dtype):
        same = (mode, sorted, unique, checked, wrap)
        if dtypes.is_bool(x.dtype):
            bits = to_dtype(truth(values), dtypes.uint8)
            how = {"add": "max", "mul": "min"}.get(how, how)
            return truth(write(to_dtype(x, dtypes.uint8), key, bits, how, *same))
        if aval_of(values).is_inexact:
            wide = dtypes.result([x.aval, aval_of(values)])[0]
            return to_dtype(write(to_dtype(x, wide), key, values, how, *same), x.dtype)
    if aval_of(values).dtype != x.dtype or aval_of(values).weak_type:
        values = to_dtype(values, x.dtype)
    mask = _single_mask(key)
    if mask is not None and aval_of(values).ndim <= x.ndim - mask.ndim:
        return _where_mask(x, mask, values if how == "set" else _COMBINED[how](x, values))
    plan = plan_of(x.aval.shape, key, checked, wrap)
    shape = plan.shape()
    try:
        fits = operands.broadcast_shapes("at", aval_of(values).shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"x.at[...].{how}: values of shape {aval_of(values).shape} do not broadcast to the indexed part, "
            f"of shape {shape}, at {describe(here())}"
        )
    values = to_shape(values, shape)
    if not aval_of(values).size:
        return x
    if not plan.arrays and all(abs(i.step) == 1 or i.count < 2 for i in plan.items):
        return _write_box(x, plan, values, how)
    return _scattered(x, plan, values, how, mode, sorted, unique)


def _write_box(x: Any, plan: Plan, values: Any, how: str) -> Any:
    """Integers and whole stretches: one window at a known place."""
    starts, sizes, backwards = [0] * x.ndim, list(x.shape), []
    for i in plan.items:
        if i.kind not in ("new", "flag"):
            low = i.start if i.step > 0 or i.count < 2 else i.start - i.count + 1
            starts[i.axis], sizes[i.axis] = low, i.count
            if i.step < 0 and i.count > 1:
                backwards.append(i.axis)
    values = to(values, sizes)
    if backwards:
        values = P.rev(values, axes=tuple(backwards))
    whole = tuple(sizes) == x.shape
    if how != "set":
        here_now = (
            x
            if whole
            else P.slice(
                x,
                start=tuple(starts),
                limit=tuple([a + n for a, n in zip(starts, sizes)]),
                step=(1,) * x.ndim,
            )
        )
        values = _COMBINED[how](here_now, values)
    return values if whole else P.dynamic_update_slice(x, values, *starts)


def _scattered(x: Any, plan: Plan, values: Any, how: str, mode: str, sorted: bool, unique: bool) -> Any:
    """One scatter. Whole stretches are windows; slices with steps run through an axis of index vectors of their own."""
    axes = plan.axes()
    order: list[Any] = [
        *axes[: plan.place],
        *[None] * len(plan.lead),
        *axes[plan.place :],
    ]  # None: an index array's axis
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
                parts[i.axis] = as_array_of(
                    places.reshape([-1 if k == row else 1 for k in range(len(rows))]).astype(np.int32)
                )
            elif i.count != x.shape[i.axis]:
                parts[i.axis] = as_array_of(np.asarray(low, np.int32))
    counted = tuple(builtins.sorted(parts))
    vectors = vectors_of([parts[d] for d in counted], shape)
    windows = {i.axis for d, i in enumerate(kept) if i is not None and d in stretched}
    unique = unique or not plan.lead  # slices and single places name no element twice
    numbers = P.ScatterDimensionNumbers(tuple(stretched), rest(x.ndim, tuple(windows)), counted)
    return P.scatter(
        x, vectors, values, dimension_numbers=numbers, combine=how, mode=mode, unique=unique, sorted=sorted
    )
