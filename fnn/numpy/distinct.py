"""Sets of elements: unique and its kin, and unions, intersections and differences of arrays as sets.

Their length depends on values, so values must be known, or `size` say how many elements the result has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fnn import dtypes
from fnn.core.array import from_numpy
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError
from fnn.indexing import IndexUpdateHelper
from fnn.operations import reductions
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray, full, ones, zeros
from fnn.operations.elementwise import BINARY, logical_not
from fnn.operations.operands import array_of, axis_of, to_dtype
from fnn.operations.selection import lexsort, nonzero, take
from fnn.operations.shaping import concatenate, cut, expand_dims, moveaxis, ravel, to


class _unique_all_result(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class _unique_counts_result(NamedTuple):
    values: Any
    counts: Any


class _unique_inverse_result(NamedTuple):
    values: Any
    inverse_indices: Any


def known_value(name: str, x: Any) -> np.ndarray:
    """The numbers of an array, if they are known; the length of the result depends on them."""
    x = asarray(x)
    if isinstance(x, Tracer):
        x = x.concrete(f"{name}: the length of its result depends on values, so without size= it")
    return np.asarray(x)


def _ordered(name: str, x: Any) -> np.ndarray:
    """`known_value` in a dtype that NumPy sorts with NaN last."""
    value = known_value(name, x)
    return value.astype(np.float32) if value.dtype == dtypes.bfloat16 else value


def _taken(x: Any, values: np.ndarray, places: np.ndarray, axis: int | None = None) -> Any:
    """Known elements of x; taken from x itself where that is differentiated."""
    if not isinstance(x, Tracer):
        return from_numpy(values, aval_of(x).dtype)
    return take(x, places.astype(np.int32), axis, mode="clip")


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The different elements (or slices along an axis) in ascending order, and if asked where each is first, which of them
    each element is, and how often each occurs.

    equal_nan: NaN equals NaN. Under jit `size` says how many: missing ones are fill_value (the smallest element)."""
    x = array_of("unique", asarray(ar))
    if axis is not None:
        axis = axis_of("unique", axis, aval_of(x).ndim)
    if size is None:
        value = _ordered("unique", x)
        found = np.unique(value, True, return_inverse, return_counts, axis, equal_nan=equal_nan)
        index = dtypes.default_int()
        numbers = [from_numpy(p, index) for p in found[1 if return_index else 2 :]]
        values = _taken(x, found[0], found[1], axis)
        return (values, *numbers) if numbers else values
    shape = aval_of(x).shape
    if axis is None:
        rows, place = expand_dims(ravel(x), 1), 0
    else:
        place = axis
        x = moveaxis(x, place, 0)
        rest = aval_of(x).shape[1:]
        rows = to(x, (shape[place], int(np.prod(rest))))
    order, fresh = _groups(rows, equal_nan)
    n = aval_of(rows).shape[0]
    if not n and size and fill_value is None:
        raise ArgumentError(
            f"unique: {aval_of(x)} has no elements to fill {size} places with, at {describe(here())}; give fill_value="
        )
    (starts,) = nonzero(fresh, size=size + 1, fill_value=n)
    starts, ends = cut(starts, 0, 0, size), cut(starts, 0, 1, size + 1)
    there = BINARY["less"](starts, n)
    first = take(order, starts, 0, mode="clip") if n else zeros((size,), dtypes.int32)
    values = (
        take(rows, first, 0, mode="clip") if n else zeros((size, aval_of(rows).shape[1]), aval_of(x).dtype)
    )
    if fill_value is None:
        fill = values[:1] if n and size else zeros((1, aval_of(rows).shape[1]), aval_of(x).dtype)
    else:
        fill = to_dtype(asarray(fill_value), aval_of(x).dtype)
    values = where(expand_dims(there, 1), values, fill)
    values = ravel(values) if axis is None else moveaxis(to(values, (size, *aval_of(x).shape[1:])), 0, place)
    out = [values]
    index = dtypes.default_int()
    if return_index:
        out.append(to_dtype(where(there, first, order[0] if n else 0), index))
    if return_inverse:
        group = BINARY["subtract"](reductions.cumsum(to_dtype(fresh, dtypes.int32)), 1)
        back = IndexUpdateHelper(zeros((n,), dtypes.int32))[order].set(group)
        out.append(to_dtype(to(back, shape) if axis is None else back, index))
    if return_counts:
        out.append(to_dtype(where(there, BINARY["subtract"](ends, starts), 0), index))
    return tuple(out) if len(out) > 1 else out[0]


def _groups(rows: Any, equal_nan: bool) -> tuple[Any, Any]:
    """(the order that sorts the rows, where in that order another row begins)."""
    n, width = aval_of(rows).shape
    if not n or not width:
        return arange(n, dtype=dtypes.int32), BINARY["less"](arange(n), min(n, 1))
    order = lexsort([rows[:, d] for d in reversed(range(width))])
    ranked = take(rows, order, 0, mode="promise_in_bounds")
    low, high = cut(ranked, 0, 0, n - 1), cut(ranked, 0, 1, n)
    differ = BINARY["not_equal"](low, high)
    if equal_nan and aval_of(rows).dtype.kind not in "biu":
        number = BINARY["bitwise_or"](BINARY["equal"](low, low), BINARY["equal"](high, high))
        differ = BINARY["bitwise_and"](differ, number)
    return order, concatenate([ones((1,), bool), reductions.any(differ, 1)])


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The different elements in ascending order; every NaN is different."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """(values, counts): the different elements in ascending order, and how often each occurs; every NaN is different."""
    return _unique_counts_result(
        *unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """(values, inverse_indices): the different elements in ascending order, and which of them each element of x is."""
    return _unique_inverse_result(
        *unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    )


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """(values, indices, inverse_indices, counts): the different elements in ascending order, where each is first, which of
    them each element of x is, and how often each occurs; every NaN is different."""
    return _unique_all_result(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


# -- of two -----------------------------------------------------------------------------------------------------------


def _met(name: str, ar1: Any, ar2: Any) -> tuple[Any, Any]:
    x, y = array_of(name, asarray(ar1)), array_of(name, asarray(ar2))
    dtype = dtypes.result([aval_of(x), aval_of(y)])[0]
    return to_dtype(ravel(x), dtype), to_dtype(ravel(y), dtype)


def _of_known(name: str, combine: Callable[..., Any], x: Any, y: Any, *options: Any) -> Any:
    return from_numpy(combine(_ordered(name, x), _ordered(name, y), *options), aval_of(x).dtype)


def _kept(x: Any, keep: Any, size: int, fill_value: Any) -> tuple[Any, Any, Any]:
    """(the elements to keep in the first places, where they are in x, which places there are)."""
    n = aval_of(x).size
    (places,) = nonzero(keep, size=size, fill_value=n)
    there = BINARY["less"](places, n)
    if not n:
        return full((size,), 0 if fill_value is None else fill_value, aval_of(x).dtype), places, there
    found = take(x, places, 0, mode="clip")
    fill = where(there[:1], found[:1], 0) if fill_value is None else asarray(fill_value)
    return where(there, found, to_dtype(fill, aval_of(x).dtype)), places, there


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The elements of either, each once, in ascending order. Under jit `size` says how many: missing ones are fill_value
    (the smallest one)."""
    x, y = _met("union1d", ar1, ar2)
    return unique(concatenate([x, y]), size=size, fill_value=fill_value)


def setdiff1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """The elements of the first that the second lacks, each once, ascending (in their order if assume_unique). Under jit
    `size` says how many: missing ones are fill_value (0)."""
    x, y = _met("setdiff1d", ar1, ar2)
    own = aval_of(asarray(ar1)).dtype
    if size is None:
        values, places = _ordered("setdiff1d", x), _ordered("setdiff1d", y)
        first = np.arange(values.size) if assume_unique else np.unique(values, return_index=True)[1]
        first = first[~np.isin(values[first], places, assume_unique=True)]
        return to_dtype(_taken(x, values[first], first), own)
    fresh = ones(aval_of(x).shape, bool)
    if not assume_unique:
        order, fresh = _groups(expand_dims(x, 1), True)
        x = take(x, order, 0, mode="promise_in_bounds")
    absent = logical_not(reductions.any(BINARY["equal"](expand_dims(x, -1), y), -1))
    fill = 0 if fill_value is None else fill_value
    return _kept(to_dtype(x, own), BINARY["bitwise_and"](fresh, absent), size, fill)[0]


def setxor1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """The elements of one but not both, each once, ascending. Under jit `size` says how many: missing ones are fill_value
    (the smallest one)."""
    x, y = _met("setxor1d", ar1, ar2)
    if size is None:
        return _of_known("setxor1d", np.setxor1d, x, y, assume_unique)
    both = concatenate([x, y])
    order, fresh = _groups(expand_dims(both, 1), True)
    ranked = take(both, order, 0, mode="promise_in_bounds")
    inside = lambda of: reductions.any(BINARY["equal"](expand_dims(ranked, -1), of), -1)
    one = BINARY["not_equal"](inside(x), inside(y))
    return _kept(ranked, BINARY["bitwise_and"](fresh, one), size, fill_value)[0]


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The elements of both, each once, ascending; with return_indices also where each is first in one and in the other.

    Under jit `size` says how many: missing ones are fill_value (the smallest one), their indices the arrays' sizes."""
    x, y = _met("intersect1d", ar1, ar2)
    index = dtypes.default_int()
    if size is None:
        found = np.intersect1d(_ordered("intersect1d", x), _ordered("intersect1d", y), assume_unique, True)
        values = _taken(x, found[0], found[1])
        return (values, *[from_numpy(i, index) for i in found[1:]]) if return_indices else values
    order, fresh = _groups(expand_dims(x, 1), True)
    ranked = take(x, order, 0, mode="promise_in_bounds")
    equal = BINARY["equal"](expand_dims(ranked, -1), y)
    values, places, there = _kept(
        ranked, BINARY["bitwise_and"](fresh, reductions.any(equal, -1)), size, fill_value
    )
    if not return_indices:
        return values
    n, m = aval_of(x).size, aval_of(y).size
    first = where(there, take(order, places, 0, mode="clip"), n) if n else full((size,), n, index)
    second = full((size,), m, index)
    if n and m:
        second = where(there, take(reductions.argmax(equal, 1), places, 0, mode="clip"), m)
    return values, to_dtype(first, index), to_dtype(second, index)
