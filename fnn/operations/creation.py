"""Arrays from numbers, lists and NumPy arrays, and arrays of a shape."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import SCALAR_TYPES, Array, ConcreteArray, as_array, from_numpy
from fnn.core.aval import Aval, Shape
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of, state
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.choice import astype
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, axis_of, meet, sizes_of, to_dtype, to_shape
from fnn.operations.shaping import stack
from fnn.primitives import broadcast, iota
from fnn.primitives import copy as copy_p

# -- from what there is -----------------------------------------------------------------------------------------------


def array(
    object: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str | None = None,
    ndmin: int = 0,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """An array from a number, a NumPy array, an array, or nested lists of them (also traced ones).

    dtype: honoured as given, 64 bits too; without it 64-bit numbers become 32-bit ones, unless `enable_x64`.
    Raises ArgumentError for rows of unequal length and for what is no number.

    >>> import fnn.numpy as fnp
    >>> fnp.array([[1, 2], [3, 4]])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    out = asarray(object, dtype)
    aval = aval_of(out)
    if copy and out is object and not isinstance(out, Tracer):
        out = copy_p(out)
    if ndmin > aval.ndim:
        from fnn.operations.shaping import to

        out = to(out, (1,) * (ndmin - aval.ndim) + aval.shape)
    return out


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """As `array`, but an array that needs no conversion is returned as it is."""
    target = None if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    cls = type(a)
    if cls is ConcreteArray or cls is Tracer:
        return a if target is None else astype(a, target)
    if isinstance(a, (np.ndarray, np.generic)):
        return from_numpy(a, target)
    if cls in SCALAR_TYPES:
        return as_array(a) if target is None else _number(a, target)
    if isinstance(a, (list, tuple)):
        return _from_nested(a, target)
    convert_self = getattr(a, "__fnn_array__", None) or getattr(a, "__jax_array__", None)
    if convert_self is not None:
        return asarray(convert_self(), target)
    if hasattr(a, "__array__") or hasattr(a, "__array_interface__"):
        return from_numpy(np.asarray(a), target)
    if hasattr(a, "__dlpack__"):
        return from_numpy(np.from_dlpack(a), target)
    try:
        view = memoryview(a)
    except TypeError:
        return from_numpy(np.asarray(a), target)  # numbers of other kinds; or it says what is wrong
    return from_numpy(np.asarray(view), target)


def _number(x: Any, dtype: np.dtype) -> ConcreteArray:
    value = np.asarray(x)
    return ConcreteArray(value.astype(dtype) if value.dtype != dtype else value, Aval((), dtype))


def _leaves(x: Any, found: list[Any]) -> None:
    """All that is not a list, in order."""
    for each in x:
        if isinstance(each, (list, tuple)):
            _leaves(each, found)
        else:
            found.append(each)


def _from_nested(x: Any, target: np.dtype | None) -> Any:
    leaves: list[Any] = []
    _leaves(x, leaves)
    if not any(
        isinstance(leaf, Array) or hasattr(leaf, "__fnn_array__") or hasattr(leaf, "__jax_array__")
        for leaf in leaves
    ):
        return _from_numbers(x, leaves, target)
    if target is None:
        avals = [aval_of(array_of("array", leaf)) for leaf in leaves]
        target, _ = dtypes.result(avals)
    return _stacked(x, target)


def _stacked(x: Any, dtype: np.dtype) -> Any:
    if isinstance(x, (list, tuple)):
        rows = [_stacked(each, dtype) for each in x]
        shapes = {aval_of(row).shape for row in rows}
        if len(shapes) > 1:
            raise ArgumentError(
                f"array: the rows have different shapes, {', '.join(map(str, sorted(shapes)))}, at "
                f"{describe(here())}; pad them, or keep a list of arrays"
            )
        if not rows:
            return full((0,), 0, dtype)
        if state.stage is None and all(type(row) is ConcreteArray for row in rows):
            value = np.stack([row.value for row in rows])
            return ConcreteArray(value, Aval(value.shape, dtype))
        return stack(rows)
    return to_dtype(asarray(x), dtype)


def _from_numbers(x: Any, leaves: list[Any], target: np.dtype | None) -> Any:
    """Lists of Python and NumPy numbers and arrays; ragged ones are refused with the sizes."""
    whole = target is not None and target.kind in "iu" and all(type(leaf) is int for leaf in leaves)
    try:
        value = np.asarray(
            x, target if whole else None
        )  # large integers, read alone, would be floats beside small ones
    except ValueError:
        raise ArgumentError(
            f"array: the rows of this list have different lengths, at {describe(here())}: {_rows(x)}; pad them, "
            "or keep a list of arrays"
        ) from None
    except OverflowError:
        raise ArgumentError(
            f"array: a number in this list does not fit {target or 'an integer'}, at {describe(here())}; write it as a "
            "float, or choose a wider dtype"
        ) from None
    if target is None:
        if not leaves:
            return from_numpy(value.astype(dtypes.default_float()), dtypes.default_float())
        halves = {leaf.dtype for leaf in leaves if isinstance(leaf, (np.ndarray, np.generic))}
        if (
            halves and value.dtype.kind not in "OUSMm"
        ):  # promoted as fnn does it: NumPy has no weak numbers in lists
            target = dtypes.result_type(
                *[leaf if type(leaf) in SCALAR_TYPES else np.asarray(leaf) for leaf in leaves]
            )
    return from_numpy(value, target, copy=False)


def _rows(x: Any) -> str:
    return ", ".join(
        str(np.shape(row) if not isinstance(row, (list, tuple)) else f"{len(row)} elements") for row in x[:4]
    )


def copy(a: Any, order: str | None = None) -> Any:
    """`a` in memory of its own (which no one can tell: arrays never change)."""
    return copy_p(array_of("copy", a))


# -- of a shape -----------------------------------------------------------------------------------------------------


def _filled(shape: Shape, value: Any, dtype: np.dtype, weak: bool = False) -> Any:
    """An array full of a Python number: by NumPy now, or as a repeated scalar inside a staged function."""
    if state.stage is None:
        return ConcreteArray(np.full(shape, value, dtype), Aval(shape, dtype, weak))
    scalar = ConcreteArray(np.asarray(value, dtype), Aval((), dtype, weak))
    return broadcast(scalar, shape=shape, axes=()) if shape else scalar


def checked_sizes(name: str, shape: Any) -> Shape:
    """The shape of a new array. Raises ShapeError for negative sizes."""
    sizes = sizes_of(name, shape)
    if any(n < 0 for n in sizes):
        raise ShapeError(f"{name}: the shape {sizes} has a negative size, at {describe(here())}")
    return sizes


def zeros(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array full of 0. float32 unless told.

    >>> import fnn.numpy as fnp
    >>> print(fnp.zeros((2, 3)))
    [[0. 0. 0.]
     [0. 0. 0.]]
    """
    return _filled(
        checked_sizes("zeros", shape),
        0,
        dtypes.canonicalize(float if dtype is None else dtype, explicit=True),
    )


def ones(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array full of 1. float32 unless told."""
    return _filled(
        checked_sizes("ones", shape), 1, dtypes.canonicalize(float if dtype is None else dtype, explicit=True)
    )


def empty(shape: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None) -> Any:
    """An array of zeros: there is no memory to leave uninitialised."""
    return zeros(shape, dtype)


def full(
    shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """An array full of a value, which broadcasts to the shape; of the value's dtype unless told."""
    sizes = checked_sizes("full", shape)
    if type(fill_value) in SCALAR_TYPES:
        target = dtypes.canonicalize(type(fill_value) if dtype is None else dtype, explicit=True)
        return _filled(sizes, fill_value, target, dtype is None and type(fill_value) is not bool)
    value = asarray(fill_value, dtype)
    from fnn.operations.shaping import broadcast_to

    return broadcast_to(to_dtype(value, aval_of(value).dtype), sizes)


def _like(x: Any, dtype: Any, shape: Any) -> tuple[Shape, np.dtype, bool]:
    """(shape, dtype, weak) of an array like x: an array, a number, or a type (ShapeDtypeStruct)."""
    described = isinstance(getattr(x, "aval", None), Aval)
    aval = x.aval if described else aval_of(asarray(x))
    target = aval.dtype if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    weak = dtype is None and aval.weak_type
    return (aval.shape if shape is None else checked_sizes("full_like", shape)), target, weak


def zeros_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Zeros of x's shape and dtype, unless told otherwise."""
    sizes, target, weak = _like(a, dtype, shape)
    return _filled(sizes, 0, target, weak)


def ones_like(
    a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Ones of x's shape and dtype, unless told otherwise."""
    sizes, target, weak = _like(a, dtype, shape)
    return _filled(sizes, 1, target, weak)


def empty_like(
    prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None, out_sharding: Any = None
) -> Any:
    """Zeros of x's shape and dtype, unless told otherwise."""
    return zeros_like(prototype, dtype, shape)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    shape: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """An array full of a value, of x's shape and dtype unless told otherwise."""
    sizes, target, _ = _like(a, dtype, shape)
    return full(sizes, fill_value, target)


# -- of numbers in order ----------------------------------------------------------------------------------------------


def _static(name: str, x: Any) -> Any:
    """A Python number from a number or a concrete array of one; traced ones are refused."""
    if isinstance(x, Tracer):
        return x.concrete(f"{name}: its arguments set the length of the result, so this").value.item()
    if isinstance(x, (Array, np.ndarray, np.generic)):
        return np.asarray(x).item()
    return x


def arange(
    start: Any,
    stop: Any = None,
    step: Any = None,
    dtype: Any = None,
    *,
    device: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The numbers start, start + step, ... below stop; from 0 if there is one argument. Integers for integers.

    Raises ConcretizationError for traced arguments: they would set the length.

    >>> import fnn.numpy as fnp
    >>> print(fnp.arange(2, 10, 3))
    [2 5 8]
    """
    given = [x for x in (start, stop, step) if x is not None]
    if dtype is None:
        target = dtypes.result([aval_of(array_of("arange", x)) for x in given])[0]
    else:
        target = dtypes.canonicalize(dtype, explicit=True)
    first, last = (0, start) if stop is None else (start, stop)
    low, high, by = (_static("arange", x) for x in (first, last, 1 if step is None else step))
    if by == 0:
        raise ArgumentError(f"arange: the step is 0, at {describe(here())}")
    count = max(0, math.ceil((high - low) / by))
    if state.stage is None or count == 0:
        value = (np.arange(count) * by + low).astype(target) if count else np.zeros(0, target)
        return ConcreteArray(value, Aval((count,), target))
    wide = (
        target
        if dtypes.kind(target) != "b" and target.itemsize >= 4
        else np.dtype("float32" if dtypes.is_float(target) else "int32")
    )
    out = iota(dtype=wide, shape=(count,), dimension=0)
    number = float if dtypes.is_float(wide) else int
    if by != 1:
        out = BINARY["multiply"](out, number(by))
    if low != 0:
        out = BINARY["add"](out, number(low))
    return to_dtype(out, target)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """num numbers at equal distances from start to stop (which is left out if not endpoint); arrays broadcast.

    retstep: return (numbers, distance)."""
    count = operator.index(num)
    if count < 0:
        raise ArgumentError(
            f"linspace: the number of samples is {count}, at {describe(here())}; it must be 0 or more"
        )
    target = None if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    computed = dtypes.to_inexact(dtypes.result([aval_of(array_of("linspace", x)) for x in (start, stop)])[0])
    if target is not None and dtypes.is_float(target):
        computed = dtypes.promote_types(computed, target)
    parts = count - 1 if endpoint else count
    if all(type(x) in SCALAR_TYPES for x in (start, stop)) and state.stage is None:
        value = np.linspace(start, stop, count, endpoint)
        value = np.floor(value) if target is not None and dtypes.is_integer(target) else value
        step = ConcreteArray(
            np.asarray((stop - start) / parts if parts > 0 else np.nan, computed), Aval((), computed)
        )
        out = from_numpy(value, target or computed)
        return (out, step) if retstep else out
    low, high = meet("linspace", array_of("linspace", start), array_of("linspace", stop))
    shape = aval_of(low).shape if len(aval_of(low).shape) >= len(aval_of(high).shape) else aval_of(high).shape
    low, high = (to_shape(to_dtype(x, computed), shape) for x in (low, high))
    column = (count, *[1] * len(shape))
    t = iota(dtype=computed, shape=column, dimension=0)
    t = BINARY["divide"](t, float(parts)) if parts > 0 else t
    lows = BINARY["multiply"](low, BINARY["subtract"](1.0, t))
    out = BINARY["add"](lows, BINARY["multiply"](high, t))
    if endpoint and count > 1:  # the last is stop itself, whatever rounding says
        from fnn.operations.choice import where

        out = where(
            BINARY["equal"](iota(dtype=np.dtype("int32"), shape=column, dimension=0), count - 1), high, out
        )
    if target is not None and dtypes.is_integer(target):
        from fnn.operations.elementwise import UNARY

        out = UNARY["floor"](out)
    out = to_dtype(out, target or computed)
    if axis != 0:
        from fnn.operations.shaping import moveaxis

        out = moveaxis(out, 0, axis_of("linspace", axis, len(shape) + 1))
    if not retstep:
        return out
    gap = BINARY["subtract"](high, low)
    return out, BINARY["divide"](gap, float(parts)) if parts > 0 else BINARY["multiply"](gap, math.nan)
