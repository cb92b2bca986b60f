"""Statistics of samples: the most frequent value, ranks, the error of a mean."""

from __future__ import annotations

from typing import Any, NamedTuple

from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError


class ModeResult(NamedTuple):
    """The most frequent values, and how often they occur."""

    mode: Array
    count: Array  # pyright: ignore[reportIncompatibleMethodOverride]  # SciPy's name


def _only(what: str, nan_policy: str) -> None:
    if nan_policy != "propagate":
        raise ArgumentError(
            f"stats.{what}: nan_policy is 'propagate', not {nan_policy!r}, at {describe(here())}"
        )


def _flat(a: Any, axis: int | None) -> tuple[Array, int]:
    x = as_array(a)
    return (fnp.ravel(x), 0) if axis is None else (fnp.atleast_1d(x), axis)


def mode(a: Any, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False) -> ModeResult:
    """The most frequent value along an axis (of all elements: None), the least if there are several.

    >>> print(mode(fnp.array([3, 1, 3, 2])).mode)
    3
    """
    _only("mode", nan_policy)
    x, at = _flat(a, axis)
    if not x.shape[at]:
        raise ArgumentError(f"stats.mode of {x.aval}, at {describe(here())}: the axis is empty")
    x = fnp.sort(fnp.moveaxis(x, at, -1), axis=-1)
    alike = (x[..., :, None] == x[..., None, :]).sum(-1)
    first = fnp.argmax(alike, axis=-1)[..., None]
    found = (fnp.take_along_axis(v, first, axis=-1) for v in (x, alike))
    if keepdims:
        found = (fnp.moveaxis(v, -1, at) for v in found)
        if axis is None:
            found = (v.reshape((1,) * as_array(a).ndim) for v in found)
        return ModeResult(*found)
    return ModeResult(*[v[..., 0] for v in found])


_METHODS = ("average", "min", "max", "dense", "ordinal")


def rankdata(
    a: Any, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"
) -> Array:
    """Ranks from 1 on along an axis (of all elements, flattened: None). method: which rank equal values get, "average",
    "min", "max", "dense" or "ordinal".

    >>> print(rankdata(fnp.array([0, 2, 3, 2])))
    [1.  2.5 4.  2.5]
    """
    _only("rankdata", nan_policy)
    if method not in _METHODS:
        raise ArgumentError(
            f"stats.rankdata: method is one of {', '.join(_METHODS)}, not {method!r}, at {describe(here())}"
        )
    x, at = _flat(a, axis)
    x = fnp.moveaxis(x, at, -1)
    n = x.shape[-1]
    order = fnp.argsort(x, axis=-1, stable=True)
    place = fnp.argsort(order, axis=-1, stable=True)
    if method == "ordinal":
        out = place + 1
    else:
        ordered = fnp.take_along_axis(x, order, axis=-1)
        new = fnp.concatenate(
            [fnp.ones_like(ordered[..., :1], bool), ordered[..., 1:] != ordered[..., :-1]], axis=-1
        )
        dense = fnp.cumsum(new.astype(int), axis=-1)
        index = fnp.broadcast_to(fnp.arange(n), x.shape)
        first = fnp.maximum.accumulate(fnp.where(new, index, 0), axis=-1) if n else index
        end = fnp.concatenate([new[..., 1:], fnp.ones_like(new[..., :1])], axis=-1)
        last = (
            fnp.flip(fnp.minimum.accumulate(fnp.flip(fnp.where(end, index, n), -1), axis=-1), -1)
            if n
            else index
        )
        ranks = {"dense": dense, "min": first + 1, "max": last + 1, "average": (first + last + 2) / 2}[method]
        out = fnp.take_along_axis(ranks, place, axis=-1)
    return fnp.moveaxis(out, -1, at)


def sem(
    a: Any, axis: int | None = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False
) -> Array:
    """The standard error of the mean along an axis: the standard deviation over the root of the number."""
    _only("sem", nan_policy)
    x, at = _flat(a, axis)
    out = fnp.std(x, axis=at, ddof=ddof, keepdims=keepdims) / x.shape[at] ** 0.5
    return out.reshape((1,) * as_array(a).ndim) if keepdims and axis is None else out
