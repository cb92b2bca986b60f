"""Objects that are indexed to make arrays or indices (`r_`, `c_`, `s_`), and indices of grids and masks."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, ConcretizationError, ShapeError
from fnn.indexing import IndexUpdateHelper
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray, linspace, ones, zeros
from fnn.operations.elementwise import truth
from fnn.operations.operands import array_of, axis_of, broadcast_shapes, no_out, sizes_of, to_dtype, to_shape
from fnn.operations.reductions import cumsum
from fnn.operations.selection import nonzero, take
from fnn.operations.shaping import concatenate, cut, ravel, to


class _Index:
    """s_[1:3, ...] is the index itself, to be used later; index_exp[i] is always a tuple."""

    def __init__(self, as_tuple: bool):
        self._tuple = as_tuple

    def __getitem__(self, key: Any) -> Any:
        return (key,) if self._tuple and not isinstance(key, tuple) else key


s_, index_exp = _Index(False), _Index(True)


class _Joined:
    """Slices, numbers and arrays joined to one array: r_[0:3, 7, x].

    A slice with an imaginary step j*n is n numbers from its start to its end, both included. A string in front says along
    which axis to join, how many axes the parts must have, and where theirs go: r_["0,2,0", ...]; "r" and "c" make a row
    or a column of the result."""

    def __init__(self, axis: int, rank: int, place: int):
        self._axis, self._rank, self._place = axis, rank, place

    def __getitem__(self, key: Any) -> Any:
        parts = list(key) if isinstance(key, tuple) else [key]
        axis, rank, place, matrix = self._axis, self._rank, self._place, ""
        if parts and isinstance(parts[0], str):
            directive = parts.pop(0)
            if directive in ("r", "c"):
                matrix = directive
            else:
                axis, rank, place = _directive(directive, (axis, rank, place))
        if any(isinstance(p, str) for p in parts) or not parts:
            raise ArgumentError(
                f"r_ and c_ join slices, numbers and arrays (after one string at most), not {key!r}, at {describe(here())}"
            )
        out = concatenate([self._part(p, rank, place) for p in parts], axis)
        if matrix and aval_of(out).ndim == 1:  # one row, or one column
            return to(out, (1, aval_of(out).size) if matrix == "r" else (aval_of(out).size, 1))
        return out

    @staticmethod
    def _part(part: Any, rank: int, place: int) -> Any:
        x = _interval(part) if isinstance(part, slice) else array_of("r_", asarray(part))
        own = aval_of(x).ndim
        if not own:
            return to(x, (1,) * max(rank, 1))
        if own < rank:
            before = place if place >= 0 else rank - own + place + 1
            before = min(max(before, 0), rank - own)
            x = to(x, (*[1] * before, *aval_of(x).shape, *[1] * (rank - own - before)))
        return x


def _directive(text: str, default: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not 0 < len(numbers) <= 3:
        raise ArgumentError(
            f"{text!r} is none of 'r', 'c' and one to three numbers 'axis,rank,place', at {describe(here())}"
        )
    first, second, third = *numbers, *default[len(numbers) :]
    return first, second, third


def _interval(part: slice) -> Any:
    start = 0 if part.start is None else part.start
    if isinstance(part.step, complex):
        return linspace(start, part.stop, int(abs(part.step)))
    return arange(start, part.stop, 1 if part.step is None else part.step)


r_ = _Joined(0, 1, -1)
c_ = _Joined(-1, 2, 0)


def ix_(*args: Any) -> tuple[Any, ...]:
    """Index arrays that select the rows, columns, ... named by vectors (or bool vectors): x[ix_([0, 2], [1, 3])].

    Raises ShapeError for arguments that are not vectors."""
    out = []
    for d, given in enumerate(args):
        x = array_of("ix_", asarray(given))
        if aval_of(x).ndim != 1:
            raise ShapeError(f"ix_: {aval_of(x)} is no vector, at {describe(here())}")
        if dtypes.is_bool(aval_of(x).dtype):
            (x,) = nonzero(x)
        elif not aval_of(x).size:
            x = to_dtype(x, dtypes.default_int())
        out.append(to(x, tuple(aval_of(x).size if k == d else 1 for k in range(len(args)))))
    return tuple(out)


def mask_indices(
    n: int, mask_func: Callable[[Any, int], Any], k: int = 0, *, size: int | None = None
) -> tuple[Any, ...]:
    """The indices of the n x n elements that mask_func (triu, tril, ...) with argument k leaves. Under jit: `size`."""
    return nonzero(mask_func(ones((n, n)), k), size=size)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = False) -> Any:
    """A copy of arr with the first elements of vals written, one after the other, where mask holds; vals is repeated if it
    is shorter. JAX asks for inplace=False, which is all there is."""
    if inplace:
        raise ArgumentError(f"place: arrays never change, at {describe(here())}; use the copy it returns")
    x, keep, values = array_of("place", arr), truth(asarray(mask)), ravel(asarray(vals))
    if aval_of(keep).size != aval_of(x).size:
        raise ShapeError(
            f"place: {aval_of(x)} and the mask {aval_of(keep)} differ in size, at {describe(here())}"
        )
    if not aval_of(x).size:
        return x
    if not aval_of(values).size:
        raise ShapeError(f"place: there are no values to write, at {describe(here())}")
    flat = ravel(keep)
    number = cumsum(to_dtype(flat, np.dtype("int32"))) - 1
    new = take(to_dtype(values, aval_of(x).dtype), number % aval_of(values).size, 0, mode="clip")
    return to(where(flat, new, ravel(x)), aval_of(x).shape)


def resize(a: Any, new_shape: Any) -> Any:
    """The elements of a, repeated or cut off, in another shape. Raises ShapeError for a negative size."""
    x = ravel(array_of("resize", asarray(a)))
    shape = sizes_of("resize", new_shape)
    if any(n < 0 for n in shape):
        raise ShapeError(f"resize: the shape {shape} has a negative size, at {describe(here())}")
    count = int(np.prod(shape))
    if not aval_of(x).size or not count:
        return zeros(shape, aval_of(x).dtype)
    times = -(-count // aval_of(x).size)
    return to(cut(concatenate([x] * times), 0, 0, count), shape)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """The array without the zeros at its front ("f" in trim) and back ("b") along axes (None: all); values must be known."""
    wanted = set(trim.lower())
    if not wanted or wanted - set("fb"):
        raise ArgumentError(f'trim_zeros: trim is "f", "b" or "fb", not {trim!r}, at {describe(here())}')
    x = array_of("trim_zeros", asarray(filt))
    known = np.asarray(
        x.concrete("trim_zeros: the length of its result depends on values, so the array")
        if isinstance(x, Tracer)
        else x
    )
    rank = known.ndim
    axes = range(rank) if axis is None else [axis_of("trim_zeros", d, rank) for d in np.atleast_1d(axis)]
    key: list[Any] = [slice(None)] * rank
    for d in axes:
        some = np.flatnonzero(known.any(axis=tuple(k for k in range(rank) if k != d)))
        low, high = (int(some[0]), int(some[-1]) + 1) if some.size else (known.shape[d], known.shape[d])
        low = low if "f" in wanted else 0
        key[d] = slice(
            low, (high if some.size else low if "f" in wanted else 0) if "b" in wanted else known.shape[d]
        )
    return x[tuple(key)]


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = False) -> Any:
    """A copy of a with val on its diagonal, again after every n rows of a matrix if `wrap`.

    val: a number, or an array whose elements are written one after the other. JAX asks for inplace=False, which is all
    there is. Raises ShapeError for vectors, and for more than two axes of unequal size."""
    if inplace:
        raise ArgumentError(
            f"fill_diagonal: arrays never change, at {describe(here())}; use the copy it returns"
        )
    x, values = array_of("fill_diagonal", a), ravel(asarray(val))
    shape = aval_of(x).shape
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(f"fill_diagonal: {aval_of(x)} has no diagonal, at {describe(here())}")
    if len(shape) == 2 and wrap:
        places = np.arange(0, shape[0] * shape[1], shape[1] + 1)
    else:
        step = int(sum(np.prod(shape[d + 1 :]) for d in range(len(shape))))
        places = np.arange(min(shape)) * step
    count = aval_of(values).size
    new = values if count == 1 else take(values, np.arange(len(places)) % count, 0, mode="clip")
    return to(IndexUpdateHelper(ravel(x))[places.astype(np.int32)].set(new), shape)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The index along each axis of a shape of positions in the flattened array; those out of range are moved inside."""
    flat = asarray(indices)
    sizes = tuple(map(operator.index, shape if isinstance(shape, (tuple, list)) else (shape,)))
    total = int(np.prod(sizes))
    flat = where(flat < 0, flat + total, flat)
    flat = where(flat < 0, 0, where(flat > max(total - 1, 0), max(total - 1, 0), flat))
    out = []
    for n in reversed(sizes):
        out.append(flat % max(n, 1))
        flat = flat // max(n, 1)
    return tuple(out[::-1])


def ravel_multi_index(
    multi_index: Any, dims: Any, mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Any:
    """Positions in the flattened array of a shape, from an index array per axis.

    mode: what happens out of range: "raise" (indices must be known), "clip", or "wrap" around; one for all or one per axis.
    order: rows ("C") or columns ("F") stand together. Raises ArgumentError out of range and for other modes."""
    sizes = tuple(map(operator.index, dims))
    parts = [asarray(i) for i in multi_index]
    modes = (mode,) * len(sizes) if isinstance(mode, str) else tuple(mode)
    if len(parts) != len(sizes) or len(modes) != len(sizes):
        raise ShapeError(
            f"ravel_multi_index: {len(parts)} indices for the shape {sizes}, at {describe(here())}"
        )
    if order not in ("C", "F") or not set(modes) <= {"raise", "clip", "wrap"}:
        raise ArgumentError(
            f'ravel_multi_index: mode {mode!r}, order {order!r}, at {describe(here())}; modes are "raise", "clip" and '
            '"wrap", orders "C" and "F"'
        )
    steps = [int(np.prod(sizes[d + 1 :] if order == "C" else sizes[:d])) for d in range(len(sizes))]
    total: Any = zeros((), dtypes.default_int())
    for i, n, step, what in zip(parts, sizes, steps, modes, strict=True):
        total = total + _inside("ravel_multi_index", i, n, what) * step
    return to_dtype(total, dtypes.canonicalize(dtype, explicit=True)) if dtype is not None else total


def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """For each element of `a`, which of the choices to take: the elements of several arrays by number.

    choices: a sequence of arrays, or an array whose first axis counts them; they and `a` broadcast, and are promoted. mode:
    what happens to numbers out of range, as in `ravel_multi_index`. Raises ArgumentError for numbers that are no integers."""
    no_out("choose", out)
    picks, options = array_of("choose", asarray(a)), [asarray(c) for c in choices]
    if dtypes.is_bool(aval_of(picks).dtype):
        picks = to_dtype(picks, dtypes.default_int())
    if not dtypes.is_integer(aval_of(picks).dtype) or mode not in ("raise", "clip", "wrap") or not options:
        raise ArgumentError(
            f"choose: mode {mode!r}, numbers {aval_of(picks)} and {len(options)} choices, at {describe(here())}; modes are "
            '"raise", "clip" and "wrap", numbers are integers, and there is a choice'
        )
    picks = _inside("choose", picks, len(options), mode)
    result = options[-1]
    for k in reversed(range(len(options) - 1)):
        result = where(picks == k, options[k], result)
    return to_shape(result, broadcast_shapes("choose", aval_of(picks).shape, aval_of(result).shape))


def _inside(name: str, i: Any, n: int, mode: str) -> Any:
    if mode == "wrap":
        return i % n
    if mode == "clip":
        return where(i < 0, 0, where(i > n - 1, n - 1, i))
    if isinstance(i, Tracer):
        try:
            i = i.concrete(name)
        except ConcretizationError:
            raise ConcretizationError(
                f"{name}: mode 'raise' needs known indices, at {describe(here())}; use mode='clip' or 'wrap'"
            ) from None
    value = np.asarray(i)
    if value.size and not (value.min() >= 0 and value.max() < n):
        raise ArgumentError(f"{name}: an index is outside of 0 to {n - 1}, at {describe(here())}")
    return i
