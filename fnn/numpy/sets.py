"""Sets of elements, and elements by position: unique, isin, delete, insert, unravel_index and their kin."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import from_numpy
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, UnsupportedError
from fnn.indexing import IndexUpdateHelper
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray
from fnn.operations.elementwise import BINARY, logical_not, truth
from fnn.operations.operands import array_of, axis_of, to_dtype
from fnn.operations.reductions import any, cumsum
from fnn.operations.selection import argsort, nonzero, take
from fnn.operations.shaping import concatenate, cut, expand_dims, ravel, stack, to


def _known(name: str, x: Any) -> np.ndarray:
    """The numbers of an array, if they are known; the length of the result depends on them."""
    x = asarray(x)
    if isinstance(x, Tracer):
        x = x.concrete(f"{name}: the length of its result depends on values, so without size= it")
    return x.value


def unique(
    x: Any,
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
    """The different elements in ascending order, and if asked where each is first, which of them each element is, and how
    often each occurs. Under jit `size` says how many: missing ones are fill_value (the smallest element)."""
    x = array_of("unique", x)
    if size is None:
        value = _known("unique", x)
        found: Any = np.unique(value, return_index, return_inverse, return_counts, axis, equal_nan=equal_nan)
        parts = found if isinstance(found, tuple) else (found,)
        arrays = [from_numpy(parts[0], value.dtype), *[from_numpy(p, dtypes.int32) for p in parts[1:]]]
        return tuple(arrays) if isinstance(found, tuple) else arrays[0]
    if axis is not None:
        raise UnsupportedError(f"unique: axis= with size=, at {describe(here())}; flatten the array")
    shape, flat = aval_of(x).shape, ravel(x)
    order = argsort(flat)
    ranked = take(flat, order, 0, mode="promise_in_bounds")
    n = aval_of(flat).size
    fresh = (
        concatenate(
            [
                asarray(np.ones(min(n, 1), bool)),
                BINARY["not_equal"](cut(ranked, 0, 1, n), cut(ranked, 0, 0, n - 1)),
            ]
        )
        if n
        else truth(flat)
    )
    (starts,) = nonzero(fresh, size=size, fill_value=n)
    there = BINARY["less"](starts, n)
    fill = ranked[0] if fill_value is None else fill_value
    out: list[Any] = [
        where(there, take(ranked, starts, 0, mode="clip"), to_dtype(asarray(fill), aval_of(flat).dtype))
    ]
    group = BINARY["subtract"](cumsum(to_dtype(fresh, dtypes.int32)), 1)
    if return_index:
        out.append(where(there, take(order, starts, 0, mode="clip"), take(order, 0, 0, mode="clip")))
    if return_inverse:
        back = IndexUpdateHelper(BINARY["multiply"](group, 0))[order].set(group)
        out.append(to(back, shape))
    if return_counts:
        ends = concatenate([cut(starts, 0, min(1, size), size), asarray(np.full(min(size, 1), n, np.int32))])
        out.append(where(there, BINARY["subtract"](ends, starts), 0))
    return tuple(out) if len(out) > 1 else out[0]


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The different elements in ascending order."""
    return unique(x, size=size, fill_value=fill_value)


def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Where an element of the first is in the second."""
    x, tests = array_of("isin", element), ravel(asarray(test_elements))
    found = any(BINARY["equal"](expand_dims(x, -1), tests), -1)
    return logical_not(found) if invert else found


def _of_sets(name: str, combine: Any, text: str) -> Any:
    def call(
        x: Any, y: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
    ) -> Any:
        if size is not None:
            raise UnsupportedError(
                f"{name}: size= is not supported, at {describe(here())}; use isin with where"
            )
        x, y = array_of(name, asarray(x)), array_of(name, asarray(y))
        dtype = dtypes.result([aval_of(x), aval_of(y)])[0]
        return from_numpy(combine(_known(name, x), _known(name, y)), dtype)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = text
    return call


union1d = _of_sets(
    "union1d", np.union1d, "The elements of either, each once, in ascending order. Values must be known."
)
intersect1d = _of_sets(
    "intersect1d", np.intersect1d, "The elements of both, each once, ascending. Values must be known."
)
setdiff1d = _of_sets(
    "setdiff1d",
    np.setdiff1d,
    "The elements of the first that the second lacks, ascending. Values must be known.",
)
setxor1d = _of_sets(
    "setxor1d", np.setxor1d, "The elements of one but not both, ascending. Values must be known."
)


def argwhere(x: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of elements that are not 0, one row each. Under jit `size` says how many."""
    return stack(nonzero(x, size=size, fill_value=fill_value), -1)


def flatnonzero(x: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of elements of the flattened array that are not 0. Under jit `size` says how many."""
    return nonzero(ravel(x), size=size, fill_value=fill_value)[0]


def extract(condition: Any, x: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements where a condition holds, as one row. Under jit `size` says how many."""
    return compress(ravel(condition), ravel(x), size=size, fill_value=fill_value)


def compress(
    condition: Any, x: Any, axis: int | None = None, *, size: int | None = None, fill_value: Any = 0
) -> Any:
    """The slices along an axis (of the flattened array for None) where a condition holds."""
    x = array_of("compress", x)
    if axis is None:
        x, axis = ravel(x), 0
    mask = truth(asarray(condition))
    place = axis_of("compress", axis, aval_of(x).ndim)
    if size is None:
        return take(x, nonzero(mask)[0], place, mode="clip")
    return take(
        x,
        nonzero(mask, size=size, fill_value=aval_of(x).shape[place])[0],
        place,
        mode="fill",
        fill_value=fill_value,
    )


def delete(x: Any, obj: Any, axis: int | None = None) -> Any:
    """x without the elements (or slices along an axis) at indices, which must be known."""
    x = array_of("delete", x)
    if axis is None:
        x, axis = ravel(x), 0
    place = axis_of("delete", axis, aval_of(x).ndim)
    picks = np.delete(
        np.arange(aval_of(x).shape[place], dtype=np.int32),
        _known("delete", obj) if not isinstance(obj, slice) else obj,
    )
    return take(x, picks, place, mode="promise_in_bounds")


def insert(x: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """x with values inserted before indices, which must be known."""
    x, values = array_of("insert", x), asarray(values)
    if axis is None:
        x, axis = ravel(x), 0
    place = axis_of("insert", axis, aval_of(x).ndim)
    n = aval_of(x).shape[place]
    spots = np.asarray(
        _known("insert", obj)
        if not isinstance(obj, (int, slice, list))
        else np.arange(n)[obj]
        if isinstance(obj, slice)
        else obj
    )
    flat = np.atleast_1d(spots)
    flat = np.where(flat < 0, flat + n, flat)
    if flat.size == 1 and aval_of(values).ndim and aval_of(values).ndim == aval_of(x).ndim:
        flat = np.repeat(flat, aval_of(values).shape[place])
    order = np.argsort(flat, kind="stable")
    where_new = flat[order] + np.arange(flat.size)
    old = np.delete(np.arange(n + flat.size), where_new)
    from fnn.operations.creation import zeros

    shape = tuple(n + flat.size if d == place else k for d, k in enumerate(aval_of(x).shape))
    key = lambda picks: (slice(None),) * place + (picks,)
    out = IndexUpdateHelper(zeros(shape, aval_of(x).dtype))[key(old)].set(x)
    if spots.ndim == 0 and aval_of(values).ndim and aval_of(values).ndim == aval_of(x).ndim - 1:
        values = expand_dims(values, place)
    new = np.empty_like(where_new)
    new[order] = where_new
    return IndexUpdateHelper(out)[key(new)].set(values)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The index along each axis of a shape of positions in the flattened array; those out of range are moved inside."""
    flat = asarray(indices)
    sizes = tuple(map(operator.index, shape if isinstance(shape, (tuple, list)) else (shape,)))
    total = math.prod(sizes)
    flat = where(BINARY["less"](flat, 0), BINARY["add"](flat, total), flat)
    flat = BINARY["minimum"](BINARY["maximum"](flat, 0), max(total - 1, 0))
    out = []
    for n in reversed(sizes):
        out.append(BINARY["remainder"](flat, n))
        flat = BINARY["floor_divide"](flat, n)
    return tuple(out[::-1])


def ravel_multi_index(multi_index: Any, dims: Any, mode: str = "clip", order: str = "C") -> Any:
    """Positions in the flattened array of a shape, from an index array per axis; mode: "clip" or "wrap" out of range."""
    if mode not in ("clip", "wrap", "raise") or order != "C":
        raise ArgumentError(
            f"ravel_multi_index: mode {mode!r}, order {order!r}, at {describe(here())}; modes are clip and wrap"
        )
    total: Any = 0
    for i, n in zip(multi_index, dims, strict=True):
        i = asarray(i)
        i = BINARY["remainder"](i, n) if mode == "wrap" else BINARY["minimum"](BINARY["maximum"](i, 0), n - 1)
        total = BINARY["add"](BINARY["multiply"](total, n), i)
    return total


def fill_diagonal(x: Any, val: Any, wrap: bool = False, *, inplace: bool = False) -> Any:
    """A copy of x with val on its diagonal. inplace=False must be written, as arrays never change."""
    x = array_of("fill_diagonal", x)
    n = min(aval_of(x).shape)
    line = arange(n)
    return IndexUpdateHelper(x)[(line,) * aval_of(x).ndim].set(val)


def put_along_axis(
    x: Any, indices: Any, values: Any, axis: int | None, *, inplace: bool = False, mode: str | None = None
) -> Any:
    """A copy of x with values written at indices along an axis: the counterpart of take_along_axis."""
    x, picks = array_of("put_along_axis", x), asarray(indices)
    if axis is None:
        return to(put_along_axis(ravel(x), ravel(picks), values, 0, mode=mode), aval_of(x).shape)
    place = axis_of("put_along_axis", axis, aval_of(x).ndim)
    rank = aval_of(x).ndim
    lines = [to(arange(n), [n if k == d else 1 for k in range(rank)]) for d, n in enumerate(aval_of(x).shape)]
    lines[place] = picks
    return IndexUpdateHelper(x)[tuple(lines)].set(values, mode=mode)


def put(x: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = False) -> Any:
    """A copy of x with values written at positions of the flattened array."""
    x = array_of("put", x)
    values = ravel(asarray(v))
    count = aval_of(ravel(asarray(ind))).size
    if aval_of(values).size < count:
        from fnn.operations.shaping import tile

        values = cut(tile(values, -(-count // aval_of(values).size)), 0, 0, count)
    return to(
        IndexUpdateHelper(ravel(x))[ravel(asarray(ind))].set(cut(values, 0, 0, count), mode=mode),
        aval_of(x).shape,
    )
