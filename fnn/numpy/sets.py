"""Elements by membership and position: isin, argwhere, extract, delete, insert, put and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, IndexingError
from fnn.indexing import IndexUpdateHelper
from fnn.numpy.distinct import known_value
from fnn.operations.creation import arange, asarray
from fnn.operations.elementwise import BINARY, logical_not, truth
from fnn.operations.operands import array_of, axis_of
from fnn.operations.reductions import any, count_nonzero
from fnn.operations.selection import nonzero, sort, take
from fnn.operations.shaping import cut, expand_dims, ravel, stack, to


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Any:
    """Where an element of the first is in the second."""
    x, tests = array_of("isin", element), ravel(asarray(test_elements))
    found = any(BINARY["equal"](expand_dims(x, -1), tests), -1)
    return logical_not(found) if invert else found


def argwhere(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of elements that are not 0, one row each. Under jit `size` says how many."""
    x = array_of("argwhere", a)
    if not aval_of(x).ndim:  # no axes: a row of no indices, if it is not 0
        return argwhere(ravel(x), size=size, fill_value=fill_value)[:, :0]
    return stack(nonzero(x, size=size, fill_value=fill_value), -1)


def flatnonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The indices of elements of the flattened array that are not 0. Under jit `size` says how many."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements where a condition holds, as one row. Under jit `size` says how many."""
    return compress(ravel(condition), ravel(arr), size=size, fill_value=fill_value)


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Any:
    """The slices along an axis (of the flattened array for None) where a condition holds."""
    a = array_of("compress", a)
    if axis is None:
        a, axis = ravel(a), 0
    mask = truth(asarray(condition))
    place = axis_of("compress", axis, aval_of(a).ndim)
    if size is None:
        return take(a, nonzero(mask)[0], place, mode="clip")
    return take(
        a,
        nonzero(mask, size=size, fill_value=aval_of(a).shape[place])[0],
        place,
        mode="fill",
        fill_value=fill_value,
    )


def delete(arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """arr without the elements (or slices along an axis) at indices. They must be known, or different from each other and
    counted from the start (assume_unique_indices). Raises IndexingError out of range."""
    arr = array_of("delete", arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    place = axis_of("delete", axis, aval_of(arr).ndim)
    n = aval_of(arr).shape[place]
    if assume_unique_indices and isinstance(obj, Tracer):
        gone = sort(ravel(obj))
        kept = arange(max(n - aval_of(gone).size, 0))
        before = (gone - arange(aval_of(gone).size))[None] <= kept[:, None]  # how many are gone before each
        return take(arr, kept + count_nonzero(before, 1), place, mode="clip")
    given = obj if isinstance(obj, slice) else known_value("delete", obj)
    if isinstance(given, np.ndarray) and not given.size:
        given = given.astype(np.int32)
    try:
        picks = np.delete(np.arange(n, dtype=np.int32), given)
    except IndexError as error:
        raise IndexingError(f"delete: {error}, at {describe(here())}") from None
    return take(arr, picks, place, mode="promise_in_bounds")


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """arr with values inserted before indices, which must be known."""
    arr, values = array_of("insert", arr), asarray(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    place = axis_of("insert", axis, aval_of(arr).ndim)
    n = aval_of(arr).shape[place]
    spots = np.asarray(
        known_value("insert", obj)
        if not isinstance(obj, (int, slice, list))
        else np.arange(n)[obj]
        if isinstance(obj, slice)
        else obj
    )
    flat = np.atleast_1d(spots)
    flat = np.where(flat < 0, flat + n, flat)
    if flat.size and not (flat.min() >= 0 and flat.max() <= n):
        raise IndexingError(
            f"insert: there is no place {spots} among {n}, at {describe(here())}; the last is {n}"
        )
    if flat.size == 1 and aval_of(values).ndim and aval_of(values).ndim == aval_of(arr).ndim:
        flat = np.repeat(flat, aval_of(values).shape[place])
    order = np.argsort(flat, kind="stable")
    where_new = flat[order] + np.arange(flat.size)
    old = np.delete(np.arange(n + flat.size), where_new)
    from fnn.operations.creation import zeros

    shape = tuple(n + flat.size if d == place else k for d, k in enumerate(aval_of(arr).shape))
    key = lambda picks: (slice(None),) * place + (picks,)
    out = IndexUpdateHelper(zeros(shape, aval_of(arr).dtype))[key(old)].set(arr)
    if spots.ndim == 0 and aval_of(values).ndim and aval_of(values).ndim == aval_of(arr).ndim - 1:
        values = expand_dims(values, place)
    new = np.empty_like(where_new)
    new[order] = where_new
    return IndexUpdateHelper(out)[key(new)].set(values)


def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, inplace: bool = False, *, mode: str | None = None
) -> Any:
    """A copy of arr with values written at indices along an axis: the counterpart of take_along_axis. JAX asks for
    inplace=False, which is all there is."""
    if inplace:
        raise ArgumentError(
            f"put_along_axis: arrays never change, at {describe(here())}; use the copy it returns"
        )
    arr, picks = array_of("put_along_axis", arr), asarray(indices)
    if axis is None:
        return to(put_along_axis(ravel(arr), ravel(picks), values, 0, mode=mode), aval_of(arr).shape)
    place = axis_of("put_along_axis", axis, aval_of(arr).ndim)
    rank = aval_of(arr).ndim
    lines = [
        to(arange(n), [n if k == d else 1 for k in range(rank)]) for d, n in enumerate(aval_of(arr).shape)
    ]
    lines[place] = picks
    return IndexUpdateHelper(arr)[tuple(lines)].set(values, mode=mode)


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = False) -> Any:
    """A copy of `a` with values, which are repeated if they are fewer, written at positions of the flattened array.

    mode: positions out of range are moved to the nearest one ("clip", the default), counted around the end ("wrap") or left
    out ("drop"). JAX asks for inplace=False, which is all there is."""
    if inplace:
        raise ArgumentError(f"put: arrays never change, at {describe(here())}; use the copy it returns")
    a, places = array_of("put", a), ravel(asarray(ind))
    values = ravel(asarray(v))
    count = aval_of(places).size
    if mode == "wrap":
        places = places % aval_of(a).size
    if aval_of(values).size < count:
        from fnn.operations.shaping import tile

        values = cut(tile(values, -(-count // aval_of(values).size)), 0, 0, count)
    return to(
        IndexUpdateHelper(ravel(a))[places].set(
            cut(values, 0, 0, count), mode="clip" if mode in (None, "wrap") else mode
        ),
        aval_of(a).shape,
    )
