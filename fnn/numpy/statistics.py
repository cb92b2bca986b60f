"""Averages, quantiles, histograms, covariances, and reductions that leave NaN out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.operations import reductions
from fnn.operations.choice import where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY
from fnn.operations.operands import array_of, axes_of, axis_of, to_dtype, to_shape
from fnn.operations.products import matmul
from fnn.operations.selection import diagonal, searchsorted, sort, take
from fnn.operations.shaping import concatenate, cut, expand_dims, moveaxis, ravel, to
from fnn.primitives import ScatterDimensionNumbers, broadcast, scatter
from fnn.primitives.rules import zeros

add, subtract, multiply, divide = (BINARY[n] for n in ("add", "subtract", "multiply", "divide"))


def average(
    x: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The mean along axes, weighted; with `returned` also the sums of the weights."""
    x = array_of("average", x)
    if weights is None:
        out = reductions.mean(x, axis, keepdims=keepdims)
        count = aval_of(x).size // max(aval_of(out).size, 1)
        return (
            (out, to_shape(to_dtype(array_of("average", count), aval_of(out).dtype), aval_of(out).shape))
            if returned
            else out
        )
    w = asarray(weights)
    if aval_of(w).shape != aval_of(x).shape:
        if aval_of(w).ndim != 1 or axis is None or isinstance(axis, (tuple, list)):
            raise ShapeError(
                f"average: the weights {aval_of(w)} do not fit {aval_of(x)} along axis {axis}, at {describe(here())}"
            )
        place = axis_of("average", axis, aval_of(x).ndim)
        w = to(w, [aval_of(w).size if d == place else 1 for d in range(aval_of(x).ndim)])
        w = to_shape(w, aval_of(x).shape)
    total = reductions.sum(w, axis, keepdims=keepdims)
    out = divide(reductions.sum(multiply(x, w), axis, keepdims=keepdims), total)
    return (out, to_dtype(total, aval_of(out).dtype)) if returned else out


# -- without NaN ----------------------------------------------------------------------------------------------------


def _known(x: Any) -> Any:
    return BINARY["equal"](x, x)


def _without_nan(name: str, reduce: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def call(x: Any, axis: Any = None, out: None = None, keepdims: bool = False, **options: Any) -> Any:
        x = array_of(name, x)
        if not aval_of(x).is_inexact:
            return reduce(x, axis, keepdims=keepdims, **options)
        known = _known(x)
        result = reduce(where(known, x, neutral), axis, keepdims=keepdims, **options)
        if name not in ("nanmax", "nanmin"):
            return result
        return where(reductions.any(known, axis, keepdims=keepdims), result, np.nan)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = f"`{name[3:]}` of the elements that are not NaN."
    return call


nansum = _without_nan("nansum", reductions.sum, 0.0)
nanprod = _without_nan("nanprod", reductions.prod, 1.0)
nanmax = _without_nan("nanmax", reductions.max_of, -np.inf)
nanmin = _without_nan("nanmin", reductions.min_of, np.inf)
nanargmax = _without_nan("nanargmax", reductions.argmax, -np.inf)
nanargmin = _without_nan("nanargmin", reductions.argmin, np.inf)


def nanmean(x: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """`mean` of the elements that are not NaN."""
    x = array_of("nanmean", x)
    return reductions.mean(x, axis, dtype, keepdims=keepdims, where=_known(x))


def nanvar(
    x: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False
) -> Any:
    """`var` of the elements that are not NaN."""
    x = array_of("nanvar", x)
    known = _known(x)
    return reductions.var(
        where(known, x, 0) if aval_of(x).is_inexact else x, axis, dtype, None, ddof, keepdims, where=known
    )


def nanstd(
    x: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False
) -> Any:
    """`std` of the elements that are not NaN."""
    return UNARY["sqrt"](nanvar(x, axis, dtype, out, ddof, keepdims))


def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumsum` with NaN as 0."""
    return reductions.cumsum(nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf), axis, dtype)


def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """`cumprod` with NaN as 1."""
    return reductions.cumprod(nan_to_num(x, nan=1.0, posinf=np.inf, neginf=-np.inf), axis, dtype)


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """x with NaN and infinities replaced: by 0 and the largest and smallest finite numbers unless told."""
    x = array_of("nan_to_num", x)
    if dtypes.is_complex(aval_of(x).dtype):
        return P.complex(*[nan_to_num(part, copy, nan, posinf, neginf) for part in (P.real(x), P.imag(x))])
    if not aval_of(x).is_float:
        return x
    info = dtypes.finfo(aval_of(x).dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    x = where(_known(x), x, nan)
    return where(UNARY["isposinf"](x), high, where(UNARY["isneginf"](x), low, x))


# -- quantiles ------------------------------------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "nearest", "midpoint")


def quantile(
    x: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """The value that a share q (0 to 1) of the elements along axes lie below; an array of q adds axes in front.

    method: between two elements "linear", "lower", "higher", "nearest" or "midpoint". NaN anywhere gives NaN."""
    return _quantile("quantile", x, q, axis, method, keepdims)


def _quantile(
    name: str, x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool = False
) -> Any:
    if method not in _METHODS:
        raise ArgumentError(
            f"{name}: the method {method!r} is not one of {', '.join(_METHODS)}, at {describe(here())}"
        )
    x, q = array_of(name, x), asarray(q)
    x = x if aval_of(x).is_float else to_dtype(x, dtypes.float32)
    dtype, axes = aval_of(x).dtype, axes_of(name, axis, aval_of(x).ndim)
    kept = [d for d in range(aval_of(x).ndim) if d not in axes]
    inner = [1 if d in axes else n for d, n in enumerate(aval_of(x).shape)]
    lead = [aval_of(x).shape[d] for d in kept]
    rows = (
        to(moveaxis(x, axes, tuple(range(-len(axes), 0))), (*lead, _length(x, axes)))
        if axes
        else expand_dims(x, -1)
    )
    rows = sort(rows, -1)
    length = aval_of(rows).shape[-1]
    q = to_dtype(q, dtype)
    known = reductions.sum(to_dtype(_known(rows), dtype), -1)  # NaN is sorted last
    shape = aval_of(q).shape
    q = to(q, (*shape, *[1] * len(lead)))
    place = multiply(q, subtract(known, 1.0) if skip_nan else float(length - 1))
    place = to_shape(place, (*shape, *lead))
    low, high = UNARY["floor"](place), UNARY["ceil"](place)
    share = subtract(place, low)
    a, b = (
        _pick(rows, to_dtype(BINARY["maximum"](p, 0.0), np.dtype("int32")), len(shape)) for p in (low, high)
    )
    if method == "linear":
        out = add(multiply(a, subtract(1.0, share)), multiply(b, share))
    elif method == "midpoint":
        out = where(BINARY["equal"](share, 0.0), a, multiply(add(a, b), 0.5))
    elif method == "nearest":
        near = BINARY["equal"](UNARY["rint"](place), low)
        out = where(near, a, b)
    else:
        out = a if method == "lower" else b
    out = where(
        BINARY["greater"](known, 0.0) if skip_nan else BINARY["equal"](known, float(length)), out, np.nan
    )
    return to(out, (*shape, *inner)) if keepdims else out


def _length(x: Any, axes: tuple[int, ...]) -> int:
    n = 1
    for d in axes:
        n *= aval_of(x).shape[d]
    return n


def _pick(rows: Any, places: Any, extra: int) -> Any:
    """rows[..., places] where the first `extra` axes of places are new ones."""
    from fnn.operations.selection import take_along_axis

    lead = aval_of(rows).shape[:-1]
    shape = aval_of(places).shape
    many = to(places, (-(-aval_of(places).size // max(_size(lead), 1)), *lead)) if _size(lead) else places
    last = moveaxis(many, 0, -1)
    picked = take_along_axis(rows, last, -1, mode="clip")
    return to(moveaxis(picked, -1, 0), shape)


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for k in shape:
        n *= k
    return n


def percentile(
    x: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """`quantile` with q in percent (0 to 100)."""
    return quantile(x, divide(q, 100.0), axis, method=method, keepdims=keepdims)


def nanquantile(
    x: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """`quantile` of the elements that are not NaN."""
    return _quantile("nanquantile", x, q, axis, method, keepdims, skip_nan=True)


def nanpercentile(
    x: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """`percentile` of the elements that are not NaN."""
    return nanquantile(x, divide(q, 100.0), axis, method=method, keepdims=keepdims)


def median(
    x: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The middle element along axes, or the mean of the middle two."""
    return quantile(x, 0.5, axis, method="midpoint", keepdims=keepdims)


def nanmedian(
    x: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """`median` of the elements that are not NaN."""
    return nanquantile(x, 0.5, axis, method="midpoint", keepdims=keepdims)


# -- counts and covariances -----------------------------------------------------------------------------------------


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """How often each of 0, 1, ... occurs in x (or the sum of its weights). Under jit `length` says how many to count."""
    x = ravel(array_of("bincount", x))
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


def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """In which interval between `bins`, which ascend (or descend, if known), each element lies."""
    bins = asarray(bins)
    side = "left" if right else "right"
    if hasattr(bins, "concrete") or aval_of(bins).size < 2 or np.asarray(bins)[0] <= np.asarray(bins)[-1]:
        return searchsorted(bins, x, side)
    other = "right" if right else "left"
    return subtract(aval_of(bins).size, searchsorted(bins[::-1], x, other))


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along an axis, n times over."""
    x = array_of("diff", x)
    if n < 0 or not aval_of(x).ndim:
        raise ArgumentError(
            f"diff: n={n} of {aval_of(x)}, at {describe(here())}; n must be 0 or more, and the array have an axis"
        )
    place = axis_of("diff", axis, aval_of(x).ndim)
    one = tuple(1 if d == place else k for d, k in enumerate(aval_of(x).shape))
    parts = [
        to_shape(p, one) if aval_of(p).ndim == 0 else p
        for p in (None if v is None else asarray(v) for v in (prepend,))
        if p is not None
    ]
    parts.append(x)
    if append is not None:
        last = asarray(append)
        parts.append(to_shape(last, one) if aval_of(last).ndim == 0 else last)
    x = concatenate(parts, place) if len(parts) > 1 else x
    operation = BINARY["not_equal"] if dtypes.is_bool(aval_of(x).dtype) else subtract
    for _ in range(n):
        size = aval_of(x).shape[place]
        x = operation(cut(x, place, min(1, size), size), cut(x, place, 0, max(size - 1, 0)))
    return x


def ediff1d(x: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbours in the flattened array, with elements put before and behind."""
    parts = [ravel(asarray(p)) for p in (to_begin,) if p is not None] + [diff(ravel(array_of("ediff1d", x)))]
    parts += [ravel(asarray(p)) for p in (to_end,) if p is not None]
    return concatenate(parts)


def gradient(f: Any, *spacing: Any, axis: Any = None) -> Any:
    """The slope along axes by central differences, one-sided at the ends; spacing: a number, or one per axis."""
    f = array_of("gradient", f)
    f = f if aval_of(f).is_float else to_dtype(f, dtypes.float32)
    axes = axes_of("gradient", axis, aval_of(f).ndim)
    steps = list(spacing) * (len(axes) if len(spacing) == 1 else 1) or [1.0] * len(axes)
    if len(steps) != len(axes) or any(np.ndim(s) for s in steps):
        raise UnsupportedError(
            f"gradient: spacing {spacing} along {len(axes)} axes, at {describe(here())}; one number per axis"
        )
    out = []
    for d, h in zip(axes, steps):
        n = aval_of(f).shape[d]
        if n < 2:
            raise ShapeError(
                f"gradient: axis {d} of {aval_of(f)} has fewer than 2 elements, at {describe(here())}"
            )
        first = subtract(cut(f, d, 1, 2), cut(f, d, 0, 1))
        last = subtract(cut(f, d, n - 1, n), cut(f, d, n - 2, n - 1))
        middle = multiply(subtract(cut(f, d, 2, n), cut(f, d, 0, n - 2)), 0.5)
        out.append(divide(concatenate([first, middle, last], d), h))
    return out[0] if len(out) == 1 else out


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Any:
    """The covariance matrix of variables (rows, or columns if not rowvar) over observations."""
    x = array_of("cov", m)
    if fweights is not None or aweights is not None:
        raise UnsupportedError(
            f"cov: weights are not supported, at {describe(here())}; weigh the observations first"
        )
    x = x if aval_of(x).is_float else to_dtype(x, dtypes.float32)
    x = expand_dims(x, 0) if aval_of(x).ndim < 2 else x
    x = x if rowvar or aval_of(x).shape[0] == 1 else moveaxis(x, 0, 1)
    if y is not None:
        other = asarray(y)
        other = (
            expand_dims(other, 0) if aval_of(other).ndim < 2 else other if rowvar else moveaxis(other, 0, 1)
        )
        x = concatenate([x, other], 0)
    count = aval_of(x).shape[1]
    less = (0 if bias else 1) if ddof is None else ddof
    x = subtract(x, reductions.mean(x, 1, keepdims=True))
    out = divide(matmul(x, moveaxis(x, 0, 1)), float(max(count - less, 0)))
    return to(out, ()) if aval_of(out).size == 1 else out


def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """The correlation matrix: covariances divided by standard deviations."""
    c = cov(x, y, rowvar)
    if not aval_of(c).ndim:
        return divide(c, c)
    scale = UNARY["sqrt"](diagonal(c))
    return divide(divide(c, expand_dims(scale, 1)), scale)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """The values at x of the lines that join the points (xp, fp); xp ascends. Outside: left and right, or the end values."""
    x, xp, fp = asarray(x), asarray(xp), asarray(fp)
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
    out = where(BINARY["less"](x, xp[0]), fp[0] if left is None else left, out)
    return where(BINARY["greater"](x, xp[-1]), fp[-1] if right is None else right, out)
