"""Quantiles: the elements, or what lies between two of them, below which a share of the others lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from fnn.numpy.nans import known
from fnn.operations import reductions
from fnn.operations.choice import where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY, logical_and
from fnn.operations.operands import array_of, axes_of, meet, no_out, to_dtype, to_shape
from fnn.operations.selection import sort, take_along_axis
from fnn.operations.shaping import expand_dims, moveaxis, to

add, subtract, multiply, divide = (BINARY[n] for n in ("add", "subtract", "multiply", "divide"))
floor = UNARY["floor"]


class Method(NamedTuple):
    """Where among n sorted elements a share q ends, counted from 0: n q + a + (1 - a - b) q - 1 + shift; and how much, by
    that place and its fraction, the element above it counts beside the one below."""

    a: float
    b: float
    share: Callable[[Any, Any], Any] = lambda place, fraction: fraction
    shift: float = 0.0


def _steps(whole: float, between: float, limit: float = 0.0) -> Callable[[Any, Any], Any]:
    """The share `between` where the fraction is above a limit, `whole` elsewhere."""
    return lambda place, fraction: where(BINARY["greater"](fraction, limit), between, whole)


def _to_even(place: Any, fraction: Any) -> Any:
    odd = BINARY["equal"](
        BINARY["remainder"](place, 2.0), 1.0
    )  # counted from 1, and without a fraction, it is even
    return where(odd, 0.0, 1.0)


# Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), and NumPy's variants of their seventh method
_METHODS = {
    "linear": Method(1, 1),
    "lower": Method(1, 1, _steps(0.0, 0.0)),
    "higher": Method(1, 1, _steps(0.0, 1.0)),
    "midpoint": Method(1, 1, _steps(0.0, 0.5)),
    "nearest": Method(1, 1, _steps(0.0, 1.0, 0.5)),
    "inverted_cdf": Method(0, 1, _steps(0.0, 1.0)),
    "averaged_inverted_cdf": Method(0, 1, _steps(0.5, 1.0)),
    "closest_observation": Method(0, 1, _to_even, -0.5),
    "interpolated_inverted_cdf": Method(0, 1),
    "hazen": Method(0.5, 0.5),
    "weibull": Method(0, 0),
    "median_unbiased": Method(1 / 3, 1 / 3),
    "normal_unbiased": Method(3 / 8, 3 / 8),
}


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Any,
    out: Any,
    method: str,
    keepdims: bool,
    weights: Any,
    skip_nan: bool = False,
) -> Any:
    no_out(name, out)
    if method not in _METHODS:
        raise ArgumentError(
            f"{name}: the method {method!r} is not one of {', '.join(_METHODS)}, at {describe(here())}"
        )
    x, q = array_of(name, a), asarray(q)
    if dtypes.is_complex(aval_of(x).dtype):
        raise DtypeError(f"{name}: complex numbers ({aval_of(x)}) have no order, at {describe(here())}")
    axes = axes_of(name, axis, aval_of(x).ndim)
    if weights is not None:
        x, weights = _weighed(name, x, weights, axis, axes, method)
    target = dtypes.to_inexact(aval_of(x).dtype)
    wide = dtypes.promote_types(target, dtypes.float32)  # places are counted in no less
    shape, many = aval_of(x).shape, aval_of(q).shape
    kept = [n for d, n in enumerate(shape) if d not in axes]
    length = math.prod([shape[d] for d in axes])
    sizes = (*many, *([1 if d in axes else n for d, n in enumerate(shape)] if keepdims else kept))
    if not length:
        return P.broadcast(to_dtype(array_of(name, np.nan), target), shape=sizes, axes=())
    last = tuple(range(-len(axes), 0))
    rows = to(moveaxis(to_dtype(x, target), axes, last), (*kept, length))
    q = to(to_dtype(q, wide), (*many, *[1] * len(kept)))
    rows = where(known(rows), rows, np.nan)  # of one sign: sorted last
    if weights is None:
        rows = sort(rows, -1)
        count = reductions.sum(to_dtype(known(rows), wide), -1)
        out = _between(rows, q, count, _METHODS[method], wide, len(many))
        good: Any = True
    else:
        rows, heavy = P.sort(
            rows,
            to(moveaxis(to_dtype(weights, target), axes, last), (*kept, length)),
            axis=len(kept),
            keys=1,
            stable=True,
        )
        count = reductions.sum(to_dtype(known(rows), wide), -1)
        bad = BINARY["bitwise_or"](BINARY["less"](heavy, 0), BINARY["not_equal"](heavy, heavy))
        below = reductions.cumsum(
            where(BINARY["bitwise_and"](known(rows), UNARY["invert"](bad)), heavy, 0), -1
        )
        reached = multiply(expand_dims(q, -1), to_dtype(below[..., -1:], wide))
        place = reductions.sum(to_dtype(BINARY["less"](to_dtype(below, wide), reached), wide), -1)
        out = _pick(rows, place, count, len(many))
        good = UNARY["invert"](reductions.any(bad, -1))
    enough = BINARY["greater"](count, 0.0) if skip_nan else BINARY["equal"](count, float(length))
    out = to_dtype(where(logical_and(enough, good), out, np.nan), target)
    return to(out, sizes)


def _weighed(
    name: str, x: Any, weights: Any, axis: Any, axes: tuple[int, ...], method: str
) -> tuple[Any, Any]:
    """(elements, their weights), of one dtype and shape."""
    w = array_of(name, weights)
    if method != "inverted_cdf":
        raise UnsupportedError(
            f'{name}: the method {method!r} knows no weights, at {describe(here())}; only "inverted_cdf" does'
        )
    if dtypes.is_complex(aval_of(w).dtype):
        raise DtypeError(f"{name}: the weights {aval_of(w)} are complex, at {describe(here())}")
    shape = aval_of(x).shape
    if aval_of(w).shape != shape:
        if axis is None or aval_of(w).shape != tuple([shape[d] for d in axes]):
            raise ShapeError(
                f"{name}: the weights {aval_of(w)} have neither the shape of {aval_of(x)} nor that of its axes {axes}, "
                f"at {describe(here())}"
            )
        w = P.broadcast(w, shape=shape, axes=axes)
    x, w = meet(name, x, w, mode="inexact")
    return x, w


def _between(rows: Any, q: Any, count: Any, method: Method, dtype: Any, extra: int) -> Any:
    """What lies at a share q of the first `count` elements of sorted rows, where the method puts it."""
    a, b, share, shift = method
    place = subtract(multiply(q, add(count, 1 - a - b)), 1 - a - shift)
    low = UNARY["floor"](place)
    share = share(place, subtract(place, low))
    below = to_dtype(_pick(rows, low, count, extra), dtype)
    above = to_dtype(_pick(rows, add(low, 1.0), count, extra), dtype)
    alone = BINARY["equal"](share, 0.0)  # an infinity above must not meet 0
    return where(alone, below, add(multiply(below, subtract(1.0, share)), multiply(above, share)))


def _pick(rows: Any, places: Any, count: Any, extra: int) -> Any:
    """rows[..., places], at most the last that counts, where the first `extra` axes of places are new ones."""
    lead = aval_of(rows).shape[:-1]
    new = aval_of(places).shape[:extra]
    places = BINARY["maximum"](BINARY["minimum"](places, subtract(count, 1.0)), 0.0)
    places = to_shape(to_dtype(places, dtypes.int32), (*new, *lead))
    last = moveaxis(to(places, (math.prod(new), *lead)), 0, -1)
    return to(moveaxis(take_along_axis(rows, last, -1, mode="clip"), -1, 0), (*new, *lead))


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """The value that a share q (0 to 1) of the elements along axes lie below; an array of q adds axes in front.

    method: what it is where no element is there, by NumPy's names: "linear", "lower", "higher", "nearest", "midpoint",
    "inverted_cdf", "hazen", "weibull", "median_unbiased", ... weights: how much each element counts, of the shape of `a` or
    of its axes; only the method "inverted_cdf" knows them. NaN anywhere gives NaN. Raises ArgumentError for other methods,
    DtypeError for complex numbers, ShapeError for weights of another shape.

    >>> import fnn.numpy as fnp
    >>> print(fnp.quantile(fnp.array([1.0, 2.0, 4.0]), fnp.array([0.5, 0.75])))
    [2. 3.]
    """
    return _quantile("quantile", a, q, axis, out, method, keepdims, weights)


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`quantile` with q in percent (0 to 100)."""
    return _quantile("percentile", a, divide(asarray(q), 100.0), axis, out, method, keepdims, weights)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`quantile` of the elements that are not NaN."""
    return _quantile("nanquantile", a, q, axis, out, method, keepdims, weights, skip_nan=True)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`percentile` of the elements that are not NaN."""
    return _quantile(
        "nanpercentile", a, divide(asarray(q), 100.0), axis, out, method, keepdims, weights, skip_nan=True
    )


def median(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The middle element along axes, or the mean of the middle two."""
    return _quantile("median", a, 0.5, axis, out, "midpoint", keepdims, None)


def nanmedian(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """`median` of the elements that are not NaN."""
    return _quantile("nanmedian", a, 0.5, axis, out, "midpoint", keepdims, None, skip_nan=True)
