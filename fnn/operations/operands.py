"""How operands meet: promotion of dtypes, broadcasting of shapes, and what may be an operand at all.

A *key* is what the treatment of an operand depends on: its abstract value, or its type if it is a Python number (which
stays one: a weak literal). Treatments are worked out once per combination of keys and kept, so that a call costs a
look-up.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.config import config
from fnn.core.array import SCALAR_TYPES, Array, ConcreteArray, as_array, scalar_aval
from fnn.core.aval import Aval, Shape
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, AxisError, ConcretizationError, DtypeError, ShapeError, UnsupportedError
from fnn.primitives import broadcast, convert

Key = Aval | type
Fix = Callable[[Any], Any] | None


# The dtype operands are computed in, given the one they meet in.
def _real(dtype: np.dtype) -> np.dtype:
    if dtypes.is_complex(dtype):
        raise DtypeError("it is for real numbers; take x.real, x.imag or abs(x)")
    return dtypes.to_inexact(dtype)


MODES: dict[str, Callable[[np.dtype], np.dtype]] = {
    "same": lambda dtype: dtype,
    "number": lambda dtype: dtypes.int32 if dtypes.is_bool(dtype) else dtype,  # as JAX's, in 64 bits too
    "inexact": dtypes.to_inexact,
    "real": _real,
}


# -- what may be an operand -----------------------------------------------------------------------------------------


def operand(name: str, x: Any) -> Any:
    """An operand of the operation `name`: an Array or a Python number; NumPy arrays become Arrays.

    Raises ArgumentError (a TypeError) for lists, strings and everything else."""
    cls = type(x)
    if cls is ConcreteArray or cls is Tracer or cls in SCALAR_TYPES:
        return x
    if isinstance(x, (np.ndarray, np.generic, Array)):
        return as_array(x)
    for base in (bool, int, float, complex):  # subclasses: numbers of an enum
        if isinstance(x, base):
            return base(x)  # type: ignore[arg-type]  # it is one
    if hasattr(x, "__fnn_array__") or hasattr(x, "__jax_array__"):
        return as_array(x)
    hint = (
        "fnn.numpy.array(...) makes an array of it"
        if isinstance(x, (list, tuple))
        else "None is no number; is a value missing?"
        if x is None
        else "only arrays and numbers are"
    )
    text = repr(x)
    text = text if len(text) <= 60 else text[:57] + "..."
    raise ArgumentError(
        f"{name}: {text} ({cls.__name__}) is not an array or a number, at {describe(here())}; {hint}"
    )


def array_of(name: str, x: Any) -> Any:
    """An operand as an Array; Python numbers become weakly typed scalars."""
    x = operand(name, x)
    return as_array(x) if type(x) in SCALAR_TYPES else x


def key_of(x: Any) -> Key:
    """What the treatment of an operand depends on."""
    cls = type(x)
    return x.aval if cls is ConcreteArray or cls is Tracer else cls


def aval_of_key(key: Key) -> Aval:
    """The abstract value of an operand, by its key."""
    return scalar_aval(key) if isinstance(key, type) else key


# -- how operands meet ----------------------------------------------------------------------------------------------


def broadcast_shapes(name: str, *shapes: Shape) -> Shape:
    """The shape that operands of these shapes broadcast to.

    Raises ShapeError, which names the operation, the shapes, the axis and the user's line."""
    rank = max(map(len, shapes), default=0)
    out = []
    for axis in range(-rank, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(sizes) > 1:
            meeting = " and ".join(str(s) for s in dict.fromkeys(shapes) if s)
            found = ", ".join(map(str, sorted(sizes)))
            raise ShapeError(
                f"{name}: incompatible shapes for broadcasting: {meeting}, at {describe(here())}: counted from the "
                f"right, axis {axis} has sizes {found}, which must be equal or 1. Insert axes of size 1 where an "
                "operand has none (x[:, None]), or reshape or transpose one."
            )
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def common_dtype(name: str, avals: Sequence[Aval], mode: str = "same") -> tuple[np.dtype, bool]:
    """The (dtype, weak) that operands meet in; DtypeError names the operation and the user's line."""
    try:
        dtype, weak = dtypes.result(avals)
        return MODES[mode](dtype), weak
    except DtypeError as error:
        listed = ", ".join(map(str, avals))
        raise DtypeError(
            f"{name}: the operands {listed} do not go together, at {describe(here())}: {error}"
        ) from None


def _as_type(dtype: np.dtype, shape: Shape | None, weak: bool) -> Fix:
    """convert, then broadcast; None for either: as it is."""

    def fix(x: Any) -> Any:
        if dtype is not None:
            x = convert(x, dtype=dtype, weak=True) if weak else convert(x, dtype=dtype)
        return x if shape is None else to_shape(x, shape)

    return fix


def fixes(name: str, keys: Sequence[Key], mode: str = "same", spread: bool = True) -> list[Fix]:
    """What to do with each operand so that all meet: one dtype (of the mode), equal shapes or scalars."""
    avals = [aval_of_key(k) for k in keys]
    dtype, weak = common_dtype(name, avals, mode)
    shape = broadcast_shapes(name, *[a.shape for a in avals]) if spread else None
    bare = not weak and all(isinstance(k, type) for k in keys)  # bools, which are not weak, stand alone
    return [_fix(k, a, dtype, weak, shape, bare) for k, a in zip(keys, avals)]


def _fix(key: Key, aval: Aval, dtype: np.dtype, weak: bool, shape: Shape | None, bare: bool) -> Fix:
    if isinstance(key, type):
        if key is complex:
            return None
        if bare and aval.dtype != dtype:
            return _as_type(dtype, None, False)
        wanted = float if dtypes.is_inexact(dtype) else bool if dtypes.is_bool(dtype) else int
        if key is int and wanted is int:
            return _in_range(dtype, scalar_aval(int).dtype)
        return None if key is wanted else wanted
    same = aval.dtype == dtype
    placed = shape is None or not aval.shape or aval.shape == shape
    if same and placed:
        return None
    return _as_type(None if same else dtype, None if placed else shape, weak)  # type: ignore[arg-type]  # None: as it is


@functools.cache
def _in_range(dtype: np.dtype, default: np.dtype) -> Fix:
    """A Python integer as a number of the dtype: modulo its size, if it has the default dtype's size, as JAX's; others are
    refused (traced, they would wrap around)."""
    info, wide = np.iinfo(dtype), np.iinfo(default)
    low, high, count = int(info.min), int(info.max), 2**info.bits

    def fix(x: int) -> int:
        if low <= x <= high:
            return x
        if wide.min <= x <= wide.max:
            return (x - low) % count + low
        raise OverflowError(f"Python integer {x} out of bounds for {dtype}, at {describe(here())}")

    return fix


def meet(name: str, *xs: Any, mode: str = "same", spread: bool = True) -> list[Any]:
    """Operands (Arrays, NumPy arrays, Python numbers) in one dtype, and in equal shapes or scalars (with `spread`)."""
    operands = [operand(name, x) for x in xs]
    keys = tuple([key_of(x) for x in operands])
    known = (name, keys, mode, spread, config.enable_x64)
    found = _known.get(known)
    if found is None:
        if len(_known) > 8192:
            _known.clear()
        found = _known[known] = fixes(name, keys, mode, spread)
    return [x if f is None else f(x) for x, f in zip(operands, found)]


_known: dict[Any, list[Fix]] = {}


def to_shape(x: Any, shape: Shape) -> Any:
    """x (an Array or a number) repeated to a shape that it broadcasts to; x itself if it has that shape."""
    mine = aval_of(x).shape
    if mine == shape:
        return x
    return broadcast(x, shape=shape, axes=tuple(range(len(shape) - len(mine), len(shape))))


def to_dtype(x: Any, dtype: np.dtype) -> Any:
    """x converted, if it has another dtype; weak types end here."""
    aval = aval_of(x)
    return (
        x if aval.dtype == dtype and not aval.weak_type and isinstance(x, Array) else convert(x, dtype=dtype)
    )


# -- arguments that are not arrays ----------------------------------------------------------------------------------


def axis_of(name: str, axis: Any, rank: int) -> int:
    """An axis counted from 0; negative ones count from the end. Raises AxisError out of range."""
    try:
        number = operator.index(axis)
    except ConcretizationError:
        raise
    except TypeError:
        raise ArgumentError(f"{name}: the axis {axis!r} is not an integer, at {describe(here())}") from None
    if not -rank <= number < rank:
        valid = f"its axes are {-rank} to {rank - 1}" if rank else "an array with no axes has none"
        raise AxisError(
            f"{name}: there is no axis {number} in an array with {rank} axes, at {describe(here())}; {valid}"
        )
    return number % rank


def axes_of(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """Axes counted from 0: all of them for None, one for a number, several for a tuple. Raises ArgumentError."""
    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, (tuple, list, range)):
        axes = tuple([axis_of(name, a, rank) for a in axis])
        if len(set(axes)) != len(axes):
            raise ArgumentError(f"{name}: the axes {tuple(axis)} name one twice, at {describe(here())}")
        return axes
    return (axis_of(name, axis, rank),)


def sizes_of(name: str, shape: Any) -> Shape:
    """A shape given as a number, a tuple, a list or an array of concrete integers. Raises ArgumentError."""
    if isinstance(shape, (np.ndarray, Array)) and shape.ndim:
        shape = tuple(shape)
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        return tuple([operator.index(n) for n in sizes])
    except ConcretizationError:
        raise
    except TypeError:
        raise ArgumentError(
            f"{name}: the shape {shape!r} is not made of integers, at {describe(here())}"
        ) from None


def no_out(name: str, out: Any) -> None:
    """Refuses NumPy's `out=`: arrays never change."""
    if out is not None:
        raise UnsupportedError(
            f"{name}: out= is not supported: arrays are immutable, use the result, at {describe(here())}"
        )
