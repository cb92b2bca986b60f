"""Trends in signals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, UnsupportedError
from fnn.operations.operands import axis_of, meet


def detrend(data: Any, axis: int = -1, type: str = "linear", bp: Any = 0, overwrite_data: None = None) -> Any:
    """The data without the least-squares line ("linear") or mean ("constant") along an axis.

    bp: one or more breakpoints, at which a new line begins. Raises ArgumentError for another type or breakpoints outside
    of the axis, UnsupportedError for overwrite_data.

    >>> from fnn.scipy.signal import detrend
    >>> import fnn.numpy as fnp
    >>> print(detrend(fnp.array([1.0, 4.0, 9.0, 7.0, 9.0])).round(5))
    [-1.2 -0.1  3.  -0.9 -0.8]
    """
    if overwrite_data:
        raise UnsupportedError(f"detrend: overwrite_data: arrays are immutable, at {describe(here())}")
    if type not in ("linear", "constant"):
        raise ArgumentError(f"detrend: type {type!r}, at {describe(here())}; it is linear or constant")
    (x,) = meet("detrend", fnp.asarray(data), mode="inexact", spread=False)
    place = axis_of("detrend", axis, x.ndim)
    if type == "constant":
        return x - fnp.mean(x, place, keepdims=True)
    n = x.shape[place]
    edges = np.unique(np.concatenate([[0, n], np.atleast_1d(bp)]).astype(int))
    if edges[0] < 0 or edges[-1] > n:
        raise ArgumentError(
            f"detrend: the breakpoints {bp} for an axis of {n}, at {describe(here())}; they are 0 to {n}"
        )
    x = fnp.moveaxis(x, place, -1)
    pieces = [_straightened(x[..., low:high]) for low, high in itertools.pairwise(edges)]
    return fnp.moveaxis(fnp.concatenate(pieces, -1) if pieces else x, -1, place)


def _straightened(x: Any) -> Any:
    """x less its mean and its slope along the last axis. Around its middle the two are orthogonal."""
    n = x.shape[-1]
    x = x - fnp.mean(x, -1, keepdims=True)
    if n < 2:
        return x
    t = np.linspace(-1.0, 1.0, n)
    t = fnp.asarray(t, fnp.finfo(x.dtype).dtype)
    return x - fnp.sum(x * t, -1, keepdims=True) / fnp.sum(t * t) * t
