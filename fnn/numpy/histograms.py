"""Counts in bins: of numbers, of points in the plane, and of points in space."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.numpy.statistics import bincount, diff
from fnn.operations import reductions
from fnn.operations.choice import where
from fnn.operations.creation import asarray, linspace, ones
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, to_dtype
from fnn.operations.selection import searchsorted
from fnn.operations.shaping import cut, ravel, stack, to

add, subtract, divide = (BINARY[n] for n in ("add", "subtract", "divide"))


def _floats(x: Any) -> Any:
    return x if aval_of(x).is_float else to_dtype(x, dtypes.default_float())


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of `bins` equal intervals from the smallest to the largest element, or over `range`.

    bins: a number, or the edges themselves."""
    if isinstance(bins, str):
        raise UnsupportedError(
            f"histogram: bins={bins!r} chooses a number of bins by values, at {describe(here())}; give a number"
        )
    if np.ndim(bins):
        return asarray(bins)
    x = _floats(ravel(array_of("histogram", asarray(a))))
    count = int(bins)
    if range is not None:
        low, high = (to_dtype(asarray(v), aval_of(x).dtype) for v in range)
    elif aval_of(x).size:
        low, high = reductions.min_of(x), reductions.max_of(x)
    else:
        low, high = asarray(0.0), asarray(1.0)
    same = BINARY["equal"](low, high)
    low, high = where(same, subtract(low, 0.5), low), where(same, add(high, 0.5), high)
    return linspace(low, high, count + 1, dtype=aval_of(x).dtype)


def _bin(values: Any, edges: Any) -> Any:
    """Which interval each value lies in, counted from 1: 0 below, one more than there are above. The last is closed."""
    place = searchsorted(edges, values, side="right")
    count = aval_of(edges).size
    return where(BINARY["equal"](values, edges[-1]), count - 1, place)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, Any]:
    """(counts, edges): how many elements lie in each interval; the last one includes its right end.

    Counts are floats, as JAX's. weights: what an element counts. density: divided by their sum and the widths."""
    x = array_of("histogram", asarray(a))
    edges = histogram_bin_edges(x, bins, range)
    w = None if weights is None else asarray(weights)
    if w is not None and aval_of(w).shape != aval_of(x).shape:
        raise ShapeError(
            f"histogram: {aval_of(x)} and the weights {aval_of(w)} differ in shape, at {describe(here())}"
        )
    x = _floats(ravel(x))
    amounts = ones(aval_of(x).shape, aval_of(x).dtype) if w is None else _floats(ravel(w))
    counts = bincount(_bin(x, edges), amounts, length=aval_of(edges).size)[1:]
    if density:
        counts = divide(divide(counts, diff(edges)), reductions.sum(counts))
    return counts, edges


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, list[Any]]:
    """(counts, edges of every axis): how many points, the rows of `sample`, lie in each box.

    Counts are integers, unless there are weights.

    bins: a number for all axes, or for each axis a number or edges. range: (low, high) per axis, or None. Raises ShapeError
    for points that are not rows of a matrix."""
    if isinstance(sample, (list, tuple)):
        sample = stack([ravel(asarray(s)) for s in sample], -1)
    points = _floats(array_of("histogramdd", asarray(sample)))
    if aval_of(points).ndim != 2:
        raise ShapeError(
            f"histogramdd: the points {aval_of(points)} are not rows of a matrix, at {describe(here())}"
        )
    n, axes = aval_of(points).shape
    several = isinstance(bins, (list, tuple)) or np.ndim(bins)
    each = list(bins) if several else [bins] * axes
    ranges = [None] * axes if range is None else list(range)
    if len(each) != axes or len(ranges) != axes:
        raise ArgumentError(
            f"histogramdd: bins and range for {axes} axes, at {describe(here())}; one for each"
        )
    edges, index, sizes = [], asarray(np.zeros(n, np.int32)), []
    for d, (b, r) in enumerate(zip(each, ranges, strict=True)):
        column = to(cut(points, 1, d, d + 1), (n,))
        edge = histogram_bin_edges(column, b, r)
        size = aval_of(edge).size + 1  # with what lies below and above
        index = add(BINARY["multiply"](index, size), _bin(column, edge))
        edges.append(edge)
        sizes.append(size)
    amounts = None if weights is None else ravel(asarray(weights))
    counts: Any = to(bincount(index, amounts, length=math.prod(sizes)), sizes)
    counts = counts[(slice(1, -1),) * axes]
    if density:
        counts = divide(counts, reductions.sum(counts))
        for d, edge in enumerate(edges):
            widths = diff(edge)
            counts = divide(
                counts, to(widths, [aval_of(widths).size if k == d else 1 for k in np.arange(axes)])
            )
    return counts, edges


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, Any, Any]:
    """(counts, edges of x, edges of y): how many points (x, y) lie in each rectangle.

    bins: a number or edges for both axes, or one of these for each."""
    a, b = asarray(x), asarray(y)
    if aval_of(a).shape != aval_of(b).shape or aval_of(a).ndim != 1:
        raise ShapeError(
            f"histogram2d: {aval_of(a)} and {aval_of(b)} are not two vectors of one length, at {describe(here())}"
        )
    both = isinstance(bins, (Array, np.ndarray)) or (
        isinstance(bins, (list, tuple)) and len(bins) not in (1, 2) and all(np.ndim(v) == 0 for v in bins)
    )
    counts, (first, second) = histogramdd(
        stack([a, b], -1), [bins, bins] if both else bins, range, weights, density
    )
    return counts, first, second
