"""Comparisons of whole arrays, and questions about what something is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array
from fnn.core.trace import aval_of
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY, logical_and, logical_or
from fnn.operations.operands import axes_of
from fnn.operations.reductions import all
from fnn.operations.shaping import broadcast_shapes


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Where |`a` - `b`| <= atol + rtol |`b`|; equal infinities are close, NaN only with equal_nan."""
    a, b = asarray(a), asarray(b)
    same = BINARY["equal"](a, b)
    if not (aval_of(a).is_inexact or aval_of(b).is_inexact):
        if rtol == 0 and atol == 0:
            return same
        a, b = (v if not dtypes.is_bool(aval_of(v).dtype) else v.astype(int) for v in (a, b))
    size = BINARY["add"](atol, BINARY["multiply"](rtol, UNARY["absolute"](b)))
    near = BINARY["less_equal"](UNARY["absolute"](BINARY["subtract"](a, b)), size)
    finite = logical_and(UNARY["isfinite"](a), UNARY["isfinite"](b))
    out = logical_or(same, logical_and(near, finite))
    if equal_nan:
        out = logical_or(out, logical_and(UNARY["isnan"](a), UNARY["isnan"](b)))
    return out


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are close, as `isclose` says."""
    return all(isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all elements are equal."""
    a1, a2 = asarray(a1), asarray(a2)
    if aval_of(a1).shape != aval_of(a2).shape:
        return asarray(False)
    same = BINARY["equal"](a1, a2)
    if equal_nan:
        same = logical_or(same, logical_and(UNARY["isnan"](a1), UNARY["isnan"](a2)))
    return all(same)


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether shapes broadcast to each other and all elements are equal."""
    a1, a2 = asarray(a1), asarray(a2)
    try:
        broadcast_shapes(aval_of(a1).shape, aval_of(a2).shape)
    except ValueError:
        return asarray(False)
    return all(BINARY["equal"](a1, a2))


def isscalar(element: Any) -> bool:
    """Whether element is a number, or an array with no axes."""
    return np.isscalar(element) or (isinstance(element, (Array, np.ndarray)) and element.ndim == 0)


def iscomplexobj(x: Any) -> bool:
    """Whether x is complex, whatever its values."""
    return dtypes.is_complex(x.dtype) if isinstance(x, Array) else np.iscomplexobj(x)


def isrealobj(x: Any) -> bool:
    """Whether x is not complex."""
    return not iscomplexobj(x)


def iscomplex(x: Any) -> Any:
    """Where elements have an imaginary part that is not 0."""
    return BINARY["not_equal"](asarray(x).imag, 0)


def isreal(x: Any) -> Any:
    """Where elements have no imaginary part, or one that is 0."""
    return BINARY["equal"](asarray(x).imag, 0)


def iterable(y: Any) -> bool:
    """Whether `y` can be iterated over."""
    try:
        iter(y)
    except TypeError:
        return False
    return True


def shape(a: Any) -> tuple[int, ...]:
    """The shape of an array, a number, or nested lists."""
    return a.shape if hasattr(a, "shape") else aval_of(asarray(a)).shape


def ndim(a: Any) -> int:
    """How many axes something has."""
    return len(shape(a))


def size(a: Any, axis: Any = None) -> int:
    """How many elements something has, or along an axis, or along several."""
    sizes = shape(a)
    return math.prod([sizes[d] for d in axes_of("size", axis, len(sizes))])
