"""Comparisons of whole arrays, and questions about what something is."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array
from fnn.core.trace import aval_of
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY, logical_and, logical_or
from fnn.operations.reductions import all
from fnn.operations.shaping import broadcast_shapes


def isclose(x: Any, y: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Where |x - y| <= atol + rtol |y|; equal infinities are close, NaN only with equal_nan."""
    x, y = asarray(x), asarray(y)
    same = BINARY["equal"](x, y)
    if not (aval_of(x).is_inexact or aval_of(y).is_inexact):
        if rtol == 0 and atol == 0:
            return same
        x, y = (v if not dtypes.is_bool(aval_of(v).dtype) else v.astype(int) for v in (x, y))
    size = BINARY["add"](atol, BINARY["multiply"](rtol, UNARY["absolute"](y)))
    near = BINARY["less_equal"](UNARY["absolute"](BINARY["subtract"](x, y)), size)
    finite = logical_and(UNARY["isfinite"](x), UNARY["isfinite"](y))
    out = logical_or(same, logical_and(near, finite))
    if equal_nan:
        out = logical_or(out, logical_and(UNARY["isnan"](x), UNARY["isnan"](y)))
    return out


def allclose(x: Any, y: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are close, as `isclose` says."""
    return all(isclose(x, y, rtol, atol, equal_nan))


def array_equal(x: Any, y: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all elements are equal."""
    x, y = asarray(x), asarray(y)
    if aval_of(x).shape != aval_of(y).shape:
        return asarray(False)
    same = BINARY["equal"](x, y)
    if equal_nan:
        same = logical_or(same, logical_and(UNARY["isnan"](x), UNARY["isnan"](y)))
    return all(same)


def array_equiv(x: Any, y: Any) -> Any:
    """Whether shapes broadcast to each other and all elements are equal."""
    x, y = asarray(x), asarray(y)
    try:
        broadcast_shapes(aval_of(x).shape, aval_of(y).shape)
    except ValueError:
        return asarray(False)
    return all(BINARY["equal"](x, y))


def isscalar(x: Any) -> bool:
    """Whether x is a number, or an array with no axes."""
    return np.isscalar(x) or (isinstance(x, (Array, np.ndarray)) and x.ndim == 0)


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


def iterable(x: Any) -> bool:
    """Whether x can be iterated over."""
    try:
        iter(x)
    except TypeError:
        return False
    return True


def shape(x: Any) -> tuple[int, ...]:
    """The shape of an array, a number, or nested lists."""
    return x.shape if hasattr(x, "shape") else aval_of(asarray(x)).shape


def ndim(x: Any) -> int:
    """How many axes something has."""
    return len(shape(x))


def size(x: Any, axis: int | None = None) -> int:
    """How many elements something has, or along an axis."""
    sizes = shape(x)
    if axis is not None:
        return sizes[axis]
    n = 1
    for k in sizes:
        n *= k
    return n
