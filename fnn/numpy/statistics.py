"""Averages, quantiles, histograms, covariances, and reductions that leave NaN out."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import SCALAR_TYPES
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.operations import reductions
from fnn.operations.choice import conjugate, real, where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY
from fnn.operations.operands import array_of, axes_of, axis_of, meet, to_dtype, to_shape
from fnn.operations.products import matmul
from fnn.operations.selection import diagonal, searchsorted, take
from fnn.operations.shaping import concatenate, cut, expand_dims, moveaxis, ravel, to
from fnn.primitives import ScatterDimensionNumbers, broadcast, scatter
from fnn.primitives.rules import zeros

add, subtract, multiply, divide = (BINARY[n] for n in ("add", "subtract", "multiply", "divide"))


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The mean along axes, weighted; with `returned` also the sums of the weights."""
    a = array_of("average", a)
    if weights is None:
        out = reductions.mean(a, axis, keepdims=keepdims)
        count = aval_of(a).size // max(aval_of(out).size, 1)
        return (
            (out, to_shape(to_dtype(array_of("average", count), aval_of(out).dtype), aval_of(out).shape))
            if returned
            else out
        )
    w = asarray(weights)
    if aval_of(w).shape != aval_of(a).shape:
        if aval_of(w).ndim != 1 or axis is None or isinstance(axis, (tuple, list)):
            raise ShapeError(
                f"average: the weights {aval_of(w)} do not fit {aval_of(a)} along axis {axis}, at {describe(here())}"
            )
        place = axis_of("average", axis, aval_of(a).ndim)
        w = to(w, [aval_of(w).size if d == place else 1 for d in range(aval_of(a).ndim)])
        w = to_shape(w, aval_of(a).shape)
    total = reductions.sum(w, axis, keepdims=keepdims)
    out = divide(reductions.sum(multiply(a, w), axis, keepdims=keepdims), total)
    return (out, to_dtype(total, aval_of(out).dtype)) if returned else out


# -- counts and covariances -----------------------------------------------------------------------------------------


def bincount(
    x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None, out_sharding: Any = None
) -> Any:
    """How often each of 0, 1, ... occurs in x (or the sum of its weights). Under jit `length` says how many to count."""
    x = ravel(array_of("bincount", x))
    if dtypes.is_bool(aval_of(x).dtype):
        x = to_dtype(x, dtypes.int32)
    if not dtypes.is_integer(aval_of(x).dtype):
        raise ArgumentError(
            f"bincount: {aval_of(x)} does not hold integers, at {describe(here())}; convert it with astype(int)"
        )
    if length is None:
        known = (
            x.concrete("bincount: without length=, the largest element, which sets the length,")
            if hasattr(x, "concrete")
            else x
        )
        length = max(int(np.asarray(known).max(initial=-1)) + 1, minlength)
    dtype = dtypes.default_int() if weights is None else aval_of(asarray(weights)).dtype
    if not length or not aval_of(x).size:
        return zeros(Aval((length,), dtype))
    ones = to_dtype(array_of("bincount", 1), dtype)
    updates = broadcast(ones, shape=aval_of(x).shape, axes=()) if weights is None else ravel(asarray(weights))
    picks = BINARY["maximum"](x, 0)
    return scatter(
        zeros(Aval((length,), dtype)),
        to(picks, (*aval_of(x).shape, 1)),
        updates,
        combine="add",
        mode="drop",
        dimension_numbers=ScatterDimensionNumbers((), (0,), (0,)),
        unique=False,
        sorted=False,
    )


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """In which interval between `bins`, which ascend or descend, each element lies; right: they hold their right ends."""
    bins, side = asarray(bins), "left" if right else "right"
    if aval_of(bins).ndim != 1:
        raise ShapeError(f"digitize: the bins {aval_of(bins)} are no vector, at {describe(here())}")
    rising = searchsorted(bins, x, side, method=method)
    if aval_of(bins).size < 2:
        return rising
    falling = subtract(aval_of(bins).size, searchsorted(bins[::-1], x, side, method=method))
    return where(BINARY["less_equal"](bins[0], bins[-1]), rising, falling)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along an axis, n times over."""
    a = array_of("diff", a)
    if n < 0 or not aval_of(a).ndim:
        raise ArgumentError(
            f"diff: n={n} of {aval_of(a)}, at {describe(here())}; n must be 0 or more, and the array have an axis"
        )
    place = axis_of("diff", axis, aval_of(a).ndim)
    one = tuple(1 if d == place else k for d, k in enumerate(aval_of(a).shape))
    parts = [
        to_shape(p, one) if aval_of(p).ndim == 0 else p
        for p in (None if v is None else asarray(v) for v in (prepend,))
        if p is not None
    ]
    parts.append(a)
    if append is not None:
        last = asarray(append)
        parts.append(to_shape(last, one) if aval_of(last).ndim == 0 else last)
    a = concatenate(parts, place) if len(parts) > 1 else a
    operation = BINARY["not_equal"] if dtypes.is_bool(aval_of(a).dtype) else subtract
    for _ in range(n):
        size = aval_of(a).shape[place]
        a = operation(cut(a, place, min(1, size), size), cut(a, place, 0, max(size - 1, 0)))
    return a


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbours in the flattened array, with elements put before and behind."""
    x = ravel(array_of("ediff1d", ary))
    ends = [None if p is None else to_dtype(ravel(asarray(p)), aval_of(x).dtype) for p in (to_begin, to_end)]
    return concatenate([p for p in (ends[0], diff(x), ends[1]) if p is not None])


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """The slope along axes by central differences, one-sided at the ends, second order inside.

    varargs: the distance of samples, one for all axes or one per axis; or the places of the samples along an axis. Raises
    ShapeError for axes with fewer than 2 elements."""
    if edge_order not in (None, 1):
        raise UnsupportedError(
            f"gradient: edge_order {edge_order}, at {describe(here())}; the ends are of first order"
        )
    f = array_of("gradient", f)
    f = to_dtype(f, dtypes.to_inexact(aval_of(f).dtype))
    axes = axes_of("gradient", axis, aval_of(f).ndim)
    steps = list(varargs) * (len(axes) if len(varargs) == 1 else 1) or [1.0] * len(axes)
    if len(steps) != len(axes):
        raise ArgumentError(
            f"gradient: {len(steps)} distances along {len(axes)} axes, at {describe(here())}; one for each"
        )
    out = [
        _slope(f, d, h if type(h) in SCALAR_TYPES else asarray(h)) for d, h in zip(axes, steps, strict=True)
    ]
    return out[0] if len(out) == 1 else out


def _slope(f: Any, d: int, h: Any) -> Any:
    n = aval_of(f).shape[d]
    if n < 2:
        raise ShapeError(
            f"gradient: axis {d} of {aval_of(f)} has fewer than 2 elements, at {describe(here())}"
        )
    first = subtract(cut(f, d, 1, 2), cut(f, d, 0, 1))
    last = subtract(cut(f, d, n - 1, n), cut(f, d, n - 2, n - 1))
    if not aval_of(h).ndim:
        middle = multiply(subtract(cut(f, d, 2, n), cut(f, d, 0, n - 2)), 0.5)
        return divide(concatenate([first, middle, last], d), h)
    if aval_of(h).shape != (n,):
        raise ShapeError(
            f"gradient: the places {aval_of(h)} along axis {d} of {aval_of(f)}, at {describe(here())}; one for "
            "each sample"
        )
    along = lambda v: to(v, [aval_of(v).size if k == d else 1 for k in range(aval_of(f).ndim)])
    gaps = diff(h)
    before, behind = along(gaps[:-1]), along(gaps[1:])
    low, high = (
        divide(subtract(cut(f, d, 1, n - 1), cut(f, d, 0, n - 2)), before),
        divide(subtract(cut(f, d, 2, n), cut(f, d, 1, n - 1)), behind),
    )
    middle = divide(add(multiply(low, behind), multiply(high, before)), add(before, behind))
    return concatenate([divide(first, along(gaps[:1])), middle, divide(last, along(gaps[-1:]))], d)


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Any:
    """The covariance matrix of variables (rows, or columns if not rowvar) over observations.

    y: more variables. bias: divide by the number of observations, not by one less; ddof says by how much less. fweights:
    how often each observation counts, integers; aweights: how much it weighs. Raises ShapeError for more than two axes."""
    parts = [array_of("cov", asarray(v)) for v in (m, y) if v is not None]
    if any(aval_of(v).ndim > 2 for v in parts):
        raise ShapeError(
            f"cov: {', '.join(str(aval_of(v)) for v in parts)} have more than two axes, at {describe(here())}"
        )
    target = dtypes.to_inexact(dtypes.result([aval_of(v) for v in parts])[0])
    target = target if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    rows = []
    for v in parts:
        v = to_dtype(v, target)
        v = expand_dims(v, 0) if aval_of(v).ndim < 2 else v
        rows.append(
            v if rowvar or (v is not None and aval_of(v).shape[0] == 1 and not rows) else moveaxis(v, 0, 1)
        )
    x = concatenate(rows, 0) if len(rows) > 1 else rows[0]
    count = aval_of(x).shape[1]
    less = (0 if bias else 1) if ddof is None else ddof
    weights, total, squares = None, float(count), float(count)
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = asarray(given)
        if aval_of(w).shape != (count,):
            raise ShapeError(
                f"cov: {name} {aval_of(w)} for {count} observations, at {describe(here())}; one for each"
            )
        if name == "fweights" and not dtypes.is_integer(aval_of(w).dtype):
            raise ArgumentError(f"cov: fweights are integers, not {aval_of(w)}, at {describe(here())}")
        w = to_dtype(w, dtypes.real_of(target))
        weights = w if weights is None else multiply(weights, w)
    if weights is not None:
        total = reductions.sum(weights)
        squares = (
            total
            if aweights is None
            else reductions.sum(multiply(weights, to_dtype(asarray(aweights), dtypes.real_of(target))))
        )
    centre = (
        reductions.mean(x, 1, keepdims=True)
        if weights is None
        else divide(reductions.sum(multiply(x, weights), 1, keepdims=True), total)
    )
    x = subtract(x, centre)
    other = x if weights is None else multiply(x, weights)
    # frequencies count as observations; other weights by how evenly they are spread
    if isinstance(total, float):
        factor: Any = max(total - less, 0.0)
    elif less == 0:
        factor = total
    else:
        factor = subtract(total, less if aweights is None else divide(multiply(squares, float(less)), total))
    out = divide(matmul(other, conjugate(moveaxis(x, 0, 1))), factor)
    return to(out, ()) if aval_of(out).size == 1 else out


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """The correlation matrix: covariances divided by standard deviations."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not aval_of(c).ndim:
        return divide(c, c)
    scale = UNARY["sqrt"](real(diagonal(c)))
    return divide(divide(c, expand_dims(scale, 1)), scale)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """The values at x of the lines that join the points (xp, fp); xp ascends. Outside: left and right,
    "extrapolate" or the end values. period: after which everything repeats, whatever left and right say."""
    x, xp = meet("interp", asarray(x), asarray(xp), mode="inexact", spread=False)
    (fp,) = meet("interp", asarray(fp), mode="inexact")
    if aval_of(xp).ndim != 1 or aval_of(fp).shape != aval_of(xp).shape or not aval_of(xp).size:
        raise ShapeError(
            f"interp: the places {aval_of(xp)} and the values {aval_of(fp)} are not two vectors of one length, at "
            f"{describe(here())}"
        )
    if period is not None:
        from fnn.operations.selection import argsort

        x, xp = BINARY["remainder"](x, period), BINARY["remainder"](xp, period)
        order = argsort(xp)
        xp, fp = take(xp, order, 0), take(fp, order, 0)
        xp = concatenate([subtract(xp[-1:], period), xp, add(xp[:1], period)])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    n = aval_of(xp).size
    i = BINARY["minimum"](BINARY["maximum"](searchsorted(xp, x, side="right"), 1), max(n - 1, 1))
    pick = lambda v, k: take(v, k, 0, mode="clip")
    x0, x1, y0, y1 = pick(xp, subtract(i, 1)), pick(xp, i), pick(fp, subtract(i, 1)), pick(fp, i)
    gap = subtract(x1, x0)
    flat = BINARY["equal"](gap, 0)
    out = add(y0, multiply(divide(subtract(x, x0), where(flat, 1, gap)), subtract(y1, y0)))
    out = where(flat, y0, out)
    for beyond, end, outside in ((BINARY["less"], 0, left), (BINARY["greater"], -1, right)):
        if isinstance(outside, str):
            if outside != "extrapolate":
                raise ArgumentError(
                    f'interp: outside is a number or "extrapolate", not {outside!r}, at {describe(here())}'
                )
        elif period is None:
            out = where(beyond(x, xp[end]), fp[end] if outside is None else outside, out)
    return out
