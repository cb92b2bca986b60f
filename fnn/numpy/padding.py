"""pad."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError
from fnn.numpy.quantiles import median
from fnn.operations.choice import round as round_of
from fnn.operations.choice import where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, sizes_of, to_dtype, to_shape
from fnn.operations.reductions import max_of, mean, min_of
from fnn.operations.selection import take
from fnn.operations.shaping import cut, flip
from fnn.primitives import concatenate
from fnn.primitives import pad as pad_p
from fnn.primitives.rules import zeros

RUNS = 8  # pieces that a padded axis is put together of


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """array with elements added before and behind along every axis.

    pad_width: a number, (before, behind), one such pair per axis, or a dict from axes to them. mode: "constant"
    (constant_values=0), "edge", "reflect" and "symmetric" (reflect_type="even" or "odd": mirrored about the ends' values),
    "wrap", "empty", "linear_ramp" (end_values=0), "maximum", "minimum", "mean" or "median" (stat_length: of how many
    elements); or a function of (line, widths, axis, options) that returns the line changed. Raises ArgumentError for other
    modes and widths below 0.

    >>> import fnn.numpy as fnp
    >>> print(fnp.pad(fnp.array([1, 2]), (1, 2), constant_values=9))
    [9 1 2 9 9]
    """
    array = array_of("pad", array)
    rank = aval_of(array).ndim
    widths = _pairs("pad_width", pad_width, rank)
    if any(n < 0 for pair in widths for n in pair):
        raise ArgumentError(
            f"pad: the widths {pad_width} are not all 0 or more, at {describe(here())}; slice to take away"
        )
    if callable(mode):
        return _by_function(array, widths, mode, kwargs)
    if mode not in _OPTIONS or set(kwargs) - _OPTIONS[mode]:
        raise ArgumentError(
            f"pad: the mode {mode!r} (with {kwargs}) is not there, at {describe(here())}; modes and their options are "
            + ", ".join(
                f"{name} ({', '.join(sorted(known))})" if known else name for name, known in _OPTIONS.items()
            )
        )
    if mode in ("constant", "empty"):
        return _constant(array, widths, kwargs.get("constant_values", 0))
    if mode == "linear_ramp":
        return _ramp(array, widths, _pairs("end_values", kwargs.get("end_values", 0), rank))
    lengths = _pairs("stat_length", kwargs.get("stat_length"), rank)
    for axis, pair in enumerate(widths):
        n = aval_of(array).shape[axis]
        if not n and any(pair):
            raise ArgumentError(
                f"pad: axis {axis} is empty, so {mode!r} has nothing to repeat, at {describe(here())}"
            )
        if mode in _STATISTICS:
            array = _beside(array, axis, *_statistics(array, axis, mode, pair, lengths[axis]))
        elif any(pair):
            picks = np.pad(np.arange(n, dtype=np.int32), pair, mode)
            new = _picked(array, axis, picks)
            odd = kwargs.get("reflect_type", "even") == "odd"
            array = _turned(array, new, axis, pair, mode == "symmetric") if odd and n > 1 else new
    return array


def _picked(x: Any, axis: int, picks: np.ndarray) -> Any:
    """The elements of these numbers along an axis: in runs, forwards, backwards or of one element, that are copied
    whole; one by one where there are many."""
    runs: list[list[int]] = []  # first, step, count
    for i in picks.tolist():
        if runs and (runs[-1][2] == 1 or i == runs[-1][0] + runs[-1][1] * runs[-1][2]):
            first, step, count = runs[-1]
            if count > 1 or abs(i - first) <= 1:
                runs[-1] = [first, step if count > 1 else i - first, count + 1]
                continue
        runs.append([i, 0, 1])
    if len(runs) > RUNS:
        return take(x, picks, axis, mode="promise_in_bounds")
    parts = []
    for first, step, count in runs:
        if step == 0:
            parts.append(_repeated(cut(x, axis, first, first + 1), axis, count))
        elif step > 0:
            parts.append(cut(x, axis, first, first + count))
        else:
            parts.append(flip(cut(x, axis, first - count + 1, first + 1), axis))
    return concatenate(*parts, axis=axis) if len(parts) > 1 else parts[0]


_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": max_of,
    "minimum": min_of,
    "mean": mean,
    "median": median,
}
_OPTIONS: dict[str, set[str]] = {
    "constant": {"constant_values"},
    "linear_ramp": {"end_values"},
    **{name: {"stat_length"} for name in _STATISTICS},
    **{name: {"reflect_type"} for name in ("reflect", "symmetric")},
    **{name: set() for name in ("edge", "wrap", "empty")},
}


def _by_function(x: Any, widths: list[tuple[int, int]], function: Any, options: dict[str, Any]) -> Any:
    """Zeros, then function(line, widths, axis, options) of every line along one axis after the other."""
    from fnn.numpy.functional import apply_along_axis

    x = _constant(x, widths, 0)
    for axis, pair in enumerate(widths):
        x = apply_along_axis(function, axis, x, pair, axis, options)
    return x


def _statistics(
    x: Any, axis: int, mode: str, widths: tuple[int, int], lengths: tuple[int | None, int | None]
) -> list[Any]:
    """What stands before and behind: statistics of the first and of the last elements."""
    n, dtype, out = aval_of(x).shape[axis], aval_of(x).dtype, []
    for side, (width, length) in enumerate(zip(widths, lengths, strict=True)):
        m = n if length is None else min(operator.index(length), n)
        if m < 1:
            raise ArgumentError(
                f"pad: a statistic of {length} elements, at {describe(here())}; give at least 1"
            )
        value = _STATISTICS[mode](
            cut(x, axis, n - m if side else 0, n if side else m), axis=axis, keepdims=True
        )
        out.append(
            _repeated(to_dtype(round_of(value) if dtypes.is_integer(dtype) else value, dtype), axis, width)
        )
    return out


def _turned(x: Any, even: Any, axis: int, widths: tuple[int, int], symmetric: bool) -> Any:
    """What is mirrored oddly, about the ends' values: every other stretch upside down, and each higher than the last."""
    n = aval_of(x).shape[axis]
    places = np.arange(-widths[0], n + widths[1])
    period = 2 * n if symmetric else 2 * (n - 1)
    turned = places % period >= n
    along = [-1 if d == axis else 1 for d in range(aval_of(x).ndim)]
    first, last = cut(x, axis, 0, 1), cut(x, axis, n - 1, n)
    rise = BINARY["multiply"](
        BINARY["subtract"](last, first), asarray((2 * (places // period)).reshape(along), np.int32)
    )
    mirrored = BINARY["subtract"](BINARY["multiply"](last, 2), even)
    out = BINARY["add"](where(turned.reshape(along), mirrored, even), rise)
    return to_dtype(out, aval_of(x).dtype)


def _pairs(name: str, given: Any, rank: int) -> list[tuple[Any, Any]]:
    """One (before, behind) per axis."""
    if isinstance(given, dict):
        return [_pairs(name, given.get(d, given.get(d - rank, 0)), 1)[0] for d in range(rank)]
    if isinstance(given, Array) and name != "pad_width":
        return [(given, given)] * rank
    if name == "pad_width" and isinstance(given, (np.ndarray, Array)):
        given = np.asarray(given).tolist()
    if name == "pad_width":
        flat = np.asarray(
            [
                [sizes_of("pad", n) for n in row] if isinstance(row, (tuple, list)) else sizes_of("pad", row)
                for row in (given if isinstance(given, (tuple, list)) else [given])
            ],
            dtype=np.int64,
        )
        flat = flat.reshape(flat.shape[:-1])
        try:
            return [(int(a), int(b)) for a, b in np.broadcast_to(flat, (rank, 2))]
        except ValueError:
            raise ArgumentError(
                f"pad: the widths {given} are not one pair per axis of {rank}, at {describe(here())}"
            ) from None
    if not isinstance(given, (tuple, list)):
        return [(given, given)] * rank
    if all(isinstance(row, (tuple, list)) for row in given):
        rows = [tuple(row) if len(row) == 2 else (row[0], row[0]) for row in given]
        return rows * rank if len(rows) == 1 else rows
    return [(given[0], given[-1])] * rank


def _constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    dtype, rank = aval_of(x).dtype, aval_of(x).ndim
    pairs = _pairs("constant_values", values, rank)
    known = pairs[0][0] if pairs else 0
    if all(a is known and b is known for a, b in pairs) or not isinstance(values, (tuple, list)):
        fill = (
            zeros(Aval((), dtype))
            if type(known) is int and known == 0
            else to_dtype(array_of("pad", known), dtype)
        )
        return pad_p(
            x,
            fill,
            low=tuple([a for a, _ in widths]),
            high=tuple([b for _, b in widths]),
            interior=(0,) * rank,
        )
    for d, (pair, fills) in enumerate(zip(widths, pairs)):
        for side, (n, fill) in enumerate(zip(pair, fills)):
            low, high = [0] * rank, [0] * rank
            (high if side else low)[d] = n
            x = pad_p(
                x,
                to_dtype(array_of("pad", fill), dtype),
                low=tuple(low),
                high=tuple(high),
                interior=(0,) * rank,
            )
    return x


def _repeated(x: Any, axis: int, n: int) -> Any:
    shape = aval_of(x).shape
    return to_shape(x, (*shape[:axis], n, *shape[axis + 1 :]))


def _beside(x: Any, axis: int, before: Any, behind: Any) -> Any:
    parts = [p for p in (before, x, behind) if aval_of(p).shape[axis]]
    return concatenate(*parts, axis=axis) if len(parts) > 1 else x


def _ramp(x: Any, widths: list[tuple[int, int]], ends: list[tuple[Any, Any]]) -> Any:
    from fnn.operations.creation import linspace
    from fnn.operations.shaping import cut, flip, moveaxis, squeeze

    for d, ((before, behind), (low, high)) in enumerate(zip(widths, ends)):
        n, dtype = aval_of(x).shape[d], aval_of(x).dtype
        first, last = squeeze(cut(x, d, 0, 1), d), squeeze(cut(x, d, n - 1, n), d)
        left = moveaxis(
            linspace(BINARY["add"](low, first * 0), first, before, endpoint=False, dtype=dtype), 0, d
        )
        right = flip(
            moveaxis(
                linspace(BINARY["add"](high, last * 0), last, behind, endpoint=False, dtype=dtype), 0, d
            ),
            d,
        )
        x = _beside(x, d, left, right)
    return x
