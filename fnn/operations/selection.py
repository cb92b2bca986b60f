"""Elements picked, repeated, sorted and searched."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.config import config
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, ConcretizationError, NonConcreteBooleanIndexError, ShapeError
from fnn.operations import operands
from fnn.operations.choice import where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, truth
from fnn.operations.index_plans import wrapped
from fnn.operations.operands import array_of, axis_of, meet, to_dtype, to_shape
from fnn.operations.reading import mode_of, read
from fnn.operations.reductions import cumsum, sum
from fnn.operations.shaping import cut, flip, moveaxis, ravel, repeat_each, to
from fnn.primitives import (
    GatherDimensionNumbers,
    ScatterDimensionNumbers,
    add,
    gather,
    le,
    lt,
    scatter,
    select,
    sub,
)
from fnn.primitives.rules import rest, zeros
from fnn.transforms.checks import check_indices

INT32 = np.dtype("int32")


def _positions(length: int) -> Any:
    return P.iota(dtype=INT32, shape=(length,), dimension=0)


# -- picking ----------------------------------------------------------------------------------------------------------


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """The elements of `a` at integer indices along an axis (of the flattened array for None).

    mode: what indices out of range give: NaN or the like ("fill", the default, or fill_value), the nearest element
    ("clip"), or one counted around the end ("wrap"). Negative indices count from the end, but for "clip"."""
    operands.no_out("take", out)
    a, picks = array_of("take", a), asarray(indices)
    if dtypes.is_bool(aval_of(picks).dtype):
        picks = to_dtype(picks, INT32)
    if axis is None:
        a, axis = ravel(a), 0
    place = axis_of("take", axis, aval_of(a).ndim)
    unmoded = mode is None and fill_value is None
    if mode == "wrap":
        picks, mode = BINARY["remainder"](picks, aval_of(a).shape[place]), "promise_in_bounds"
    exact = mode_of(mode, "fill")
    wrap = exact != "clip"  # as in NumPy
    return read(a, (slice(None),) * place + (picks,), exact, fill_value, unmoded, wrap)


def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: str | None = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool = True,
) -> Any:
    """arr[..., indices[..., i, ...], ...] for every place i along the axis; the other axes go along (or broadcast)."""
    arr, picks = array_of("take_along_axis", arr), array_of("take_along_axis", indices)
    if not dtypes.is_integer(aval_of(picks).dtype):
        raise ArgumentError(
            f"take_along_axis: the indices {aval_of(picks)} are not integers, at {describe(here())}; convert them "
            "with astype(int)"
        )
    if axis is None:
        arr, picks, axis = ravel(arr), ravel(picks), 0
    rank = aval_of(arr).ndim
    if aval_of(picks).ndim != rank:
        raise ShapeError(
            f"take_along_axis: {aval_of(arr)} and the indices {aval_of(picks)} must have equally many axes, at "
            f"{describe(here())}; write indices[..., None]"
        )
    place = axis_of("take_along_axis", axis, rank)
    free = lambda s: (*s[:place], 1, *s[place + 1 :])
    lead = operands.broadcast_shapes("take_along_axis", free(aval_of(arr).shape), free(aval_of(picks).shape))
    arr = to_shape(arr, (*lead[:place], aval_of(arr).shape[place], *lead[place + 1 :]))
    picks = to_shape(picks, (*lead[:place], aval_of(picks).shape[place], *lead[place + 1 :]))
    if mode is None and fill_value is None and config.check_indices:
        check_indices(picks, place, aval_of(arr).shape)
    picks = wrapped(picks, aval_of(arr).shape[place]) if wrap_negative_indices else picks
    others = rest(rank, (place,))
    numbers = GatherDimensionNumbers((), (place,), (place,), others, others)
    sizes = tuple([1 if d == place else min(n, 1) for d, n in enumerate(aval_of(arr).shape)])
    return gather(
        arr,
        to(picks, (*aval_of(picks).shape, 1)),
        dimension_numbers=numbers,
        slice_sizes=sizes,
        mode=mode_of(mode, "fill"),
        fill_value=fill_value,
    )


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The diagonal of the plane of two axes, `offset` places to the right, as the last axis."""
    a = array_of("diagonal", a)
    if aval_of(a).ndim < 2:
        raise ShapeError(
            f"diagonal: {aval_of(a)} has no two axes, at {describe(here())}; diag makes a matrix of a vector"
        )
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    *lead, n, m = aval_of(a).shape
    length = max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    if not length:
        return to(cut(a, len(lead), 0, 0), (*lead, 0)) if m else zeros(aval_of(a).update(shape=(*lead, 0)))
    start = offset if offset >= 0 else -offset * m
    return cut(to(a, (*lead, n * m)), len(lead), start, start + (length - 1) * (m + 1) + 1, m + 1)


def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """The sum of the diagonal of the plane of two axes."""
    operands.no_out("trace", out)
    return sum(diagonal(a, offset, axis1, axis2), -1, dtype)


def repeat(
    a: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """Every element along an axis (of the flattened array for None) `repeats` times in succession.

    repeats: a number, or an array with one number per element. Traced numbers need total_repeat_length."""
    a = array_of("repeat", a)
    if axis is None or not aval_of(a).ndim:  # a number is a row of one
        a, axis = ravel(a), 0 if axis is None else axis
    place = axis_of("repeat", axis, aval_of(a).ndim)
    size = aval_of(a).shape[place]
    if total_repeat_length is None:
        if isinstance(repeats, Tracer):
            repeats = repeats.concrete(
                "repeat: without total_repeat_length the number of repeats, which sets the length,"
            )
        times = np.asarray(repeats)
        if times.size and times.min() < 0:
            raise ArgumentError(f"repeat: {times.min()} repeats, at {describe(here())}; they are 0 or more")
        if times.size == 1:
            return repeat_each(a, int(times.reshape(())), place)
        if times.shape != (size,):
            raise ShapeError(
                f"repeat: {times.shape} repeats for an axis of size {size}, at {describe(here())}; they must be equal"
            )
        return take(a, np.repeat(np.arange(size, dtype=np.int32), times), place, mode="promise_in_bounds")
    times = to_shape(
        array_of("repeat", repeats) if not isinstance(repeats, (list, tuple)) else np.asarray(repeats),
        (size,),
    )
    ends = cumsum(times)
    picks = searchsorted(ends, _positions(operator.index(total_repeat_length)), side="right")
    return take(a, BINARY["minimum"](picks, max(size - 1, 0)), place, mode="clip")


def nonzero(a: Any, *, size: int | None = None, fill_value: Any = None) -> tuple[Any, ...]:
    """The indices of elements that are not 0, one array per axis. Under jit `size` says how many; missing ones are
    fill_value (0)."""
    a = array_of("nonzero", a)
    mask, shape, dtype = truth(a), aval_of(a).shape, dtypes.default_int()
    if not shape:
        raise ArgumentError(
            f"nonzero: an array with no axes has no indices, at {describe(here())}; make one of it: atleast_1d(x)"
        )
    if size is None:
        if isinstance(mask, Tracer):
            try:
                mask = mask.concrete("nonzero")
            except ConcretizationError:
                raise NonConcreteBooleanIndexError(
                    f"nonzero (or where with one argument) of a traced {aval_of(a)} at {describe(here())}: how many are "
                    "not 0 is not known while tracing; say how many at most: size=n, or use where(mask, x, y)"
                ) from None
        return tuple([ConcreteArray(i.astype(dtype), Aval(i.shape, dtype)) for i in np.nonzero(mask.value)])
    fills = (
        fill_value
        if isinstance(fill_value, tuple)
        else (0 if fill_value is None else fill_value,) * len(shape)
    )
    mask = ravel(mask)
    count = aval_of(mask).size
    if not count:
        return tuple([P.broadcast(to_dtype(asarray(fill), dtype), shape=(size,), axes=()) for fill in fills])
    place = sub(cumsum(to_dtype(mask, INT32)), 1)
    slots = select(mask, place, size)
    numbers = ScatterDimensionNumbers((), (0,), (0,))
    empty = zeros(Aval((size,), INT32))
    flat = scatter(
        empty,
        to(slots, (count, 1)),
        _positions(count),
        dimension_numbers=numbers,
        combine="set",
        mode="drop",
        unique=False,
        sorted=False,
    )
    found = lt(_positions(size), sum(mask, dtype=INT32))
    out, rest_of = [], flat
    for n, fill in zip(reversed(shape), reversed(fills)):
        out.append(where(found, to_dtype(BINARY["remainder"](rest_of, max(n, 1)), dtype), fill))
        rest_of = BINARY["floor_divide"](rest_of, max(n, 1))
    return tuple(out[::-1])


# -- order ------------------------------------------------------------------------------------------------------------


def _plain(name: str, kind: Any, order: Any) -> None:
    """Refuses what NumPy's sorting functions know beyond order by value; every kind of sort is a stable one here."""
    if order is not None or kind not in (None, "quicksort", "mergesort", "heapsort", "stable"):
        raise ArgumentError(
            f"{name}: kind={kind!r}, order={order!r}, at {describe(here())}; arrays have no fields to order by, and kinds "
            "are NumPy's: quicksort, mergesort, heapsort, stable"
        )


def sort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: str | None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Any:
    """`a` in ascending order along an axis (flattened for None); NaN last."""
    _plain("sort", kind, order)
    a = array_of("sort", a)
    if axis is None:
        a, axis = ravel(a), 0
    place = axis_of("sort", axis, aval_of(a).ndim)
    out = P.sort(a, axis=place, keys=1, stable=stable)[0]
    return flip(out, place) if descending else out


def sort_complex(a: Any) -> Any:
    """`a` as complex numbers in ascending order along its last axis, by the real part and then the imaginary one."""
    x = array_of("sort_complex", a)
    dtype = aval_of(x).dtype
    inexact = dtypes.to_inexact(dtype)
    target = inexact if dtypes.is_complex(inexact) else dtypes.promote_types(inexact, dtypes.complex64)
    return sort(to_dtype(x, target), -1)


def argsort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: str | None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
    dtype: Any = None,
) -> Any:
    """The indices that sort `a` along an axis (flattened for None); equal elements keep their order.

    dtype: of the indices, int32 unless told. Raises ArgumentError for one that holds no integers."""
    _plain("argsort", kind, order)
    a = array_of("argsort", a)
    target = dtypes.default_int() if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    if not dtypes.is_integer(target):
        raise ArgumentError(f"argsort: the dtype {target} is not one of integers, at {describe(here())}")
    if axis is None:
        a, axis = ravel(a), 0
    place = axis_of("argsort", axis, aval_of(a).ndim)
    shape = aval_of(a).shape
    places = P.iota(dtype=INT32, shape=shape, dimension=place)
    if descending:
        a, places = flip(a, place), flip(places, place)
    out = P.sort(a, places, axis=place, keys=1, stable=True)[1]
    return to_dtype(flip(out, place) if descending else out, target)


def _check_kth(name: str, a: Any, kth: Any, axis: int | None) -> None:
    aval = aval_of(array_of(name, a))
    n = aval.size if axis is None else aval.shape[axis_of(name, axis, aval.ndim)]
    for k in operands.sizes_of(name, kth):
        if not -n <= k < n:
            raise ArgumentError(f"{name}: there is no place {k} among {n} elements, at {describe(here())}")


def argpartition(a: Any, kth: Any, axis: int | None = -1) -> Any:
    """Indices such that the element in place kth is where it would be sorted, smaller ones before it.

    kth: a number or several. axis: None for the flattened array. Raises ArgumentError for a place out of range."""
    _check_kth("argpartition", a, kth, axis)
    return argsort(a, axis)


def partition(a: Any, kth: Any, axis: int | None = -1) -> Any:
    """`a` rearranged so that the element in place kth is where it would be sorted, smaller ones before it.

    kth, axis and errors: as in `argpartition`."""
    _check_kth("partition", a, kth, axis)
    return sort(a, axis)


def lexsort(keys: Any, axis: int = -1) -> Any:
    """The indices that sort by several keys; the last one counts most."""
    arrays = [array_of("lexsort", k) for k in keys]
    if not arrays:
        raise ArgumentError(f"lexsort: there are no keys, at {describe(here())}")
    shape = aval_of(arrays[0]).shape
    if not shape:
        return zeros(Aval((), dtypes.default_int()))
    place = axis_of("lexsort", axis, len(shape))
    places = P.iota(dtype=INT32, shape=shape, dimension=place)
    return to_dtype(
        P.sort(*arrays[::-1], places, axis=place, keys=len(arrays), stable=True)[-1], dtypes.default_int()
    )


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str | None = None) -> Any:
    """Where the elements of v would have to be inserted into the sorted `a` to keep it sorted, by binary search.

    side: before ("left") or behind ("right") equal elements. method: JAX's, accepted; it is binary search always."""
    if side not in ("left", "right"):
        raise ArgumentError(f'searchsorted: side is "left" or "right", not {side!r}, at {describe(here())}')
    if method not in (None, "default", "scan", "scan_unrolled", "sort", "compare_all"):
        raise ArgumentError(
            f"searchsorted: there is no method {method!r}, at {describe(here())}; leave it out"
        )
    a = array_of("searchsorted", a)
    if aval_of(a).ndim != 1:
        raise ShapeError(f"searchsorted: {aval_of(a)} has not one axis, at {describe(here())}")
    if sorter is not None:
        a = take(a, sorter, 0)
    if type(v) is int and dtypes.is_integer(aval_of(a).dtype):
        v = asarray(v, aval_of(a).dtype)  # which may hold more than the default integers
    a, v = meet("searchsorted", a, array_of("searchsorted", v), spread=False)
    v = to_dtype(v, aval_of(a).dtype)
    size, shape = aval_of(a).size, aval_of(v).shape
    low = zeros(Aval(shape, INT32))
    if not size:
        return to_dtype(low, dtypes.default_int())  # as the array API has it; JAX stays with int32
    if aval_of(a).is_inexact:  # NaN is sorted last
        v = where(BINARY["not_equal"](v, v), np.inf, v) if side == "left" else v
    numbers = GatherDimensionNumbers((), (0,), (0,))
    for width in [1 << k for k in reversed(range(size.bit_length()))]:
        middle = add(low, width)
        at = gather(
            a,
            to(sub(middle, 1), (*shape, 1)),
            dimension_numbers=numbers,
            slice_sizes=(1,),
            mode="clip",
            fill_value=None,
        )
        before = BINARY["less" if side == "left" else "less_equal"](at, v)
        if side == "right" and aval_of(a).is_inexact:
            before = BINARY["bitwise_or"](before, BINARY["not_equal"](v, v))
        inside = le(middle, size)
        low = select(BINARY["bitwise_and"](before, inside), middle, low)
    return to_dtype(low, dtypes.default_int())  # as the array API has it; JAX stays with int32
