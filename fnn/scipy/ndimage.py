"""Reading an array between its elements.

>>> import fnn.numpy as fnp
>>> from fnn.scipy import ndimage
>>> x = fnp.arange(12.0).reshape(3, 4)
>>> print(ndimage.map_coordinates(x, [fnp.array([0.5, 1.5]), fnp.array([1.5, 2.5])], order=1))
[3.5 8.5]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, UnsupportedError
from fnn.operations.operands import meet
from fnn.scipy.corners import Node, weighted

__all__ = ["map_coordinates"]


def _mirrored(i: Any, n: int) -> Any:
    """... 2 1 | 0 1 2 ... n-1 | n-2 ...: a triangular wave with the period 2 (n - 1)."""
    return fnp.abs((i + (n - 1)) % (2 * (n - 1)) - (n - 1)) if n > 1 else fnp.zeros_like(i)


def _reflected(i: Any, n: int) -> Any:
    """... 1 0 | 0 1 ... n-1 | n-1 n-2 ...: the end elements occur twice."""
    i = i % (2 * n)
    return fnp.minimum(i, 2 * n - 1 - i)


_CLIPPED: Callable[[Any, int], Any] = lambda i, n: fnp.clip(i, 0, n - 1)
_CONTINUED: dict[str, Callable[[Any, int], Any]] = {
    "constant": _CLIPPED,
    "nearest": _CLIPPED,
    "wrap": lambda i, n: i % n,
    "mirror": _mirrored,
    "reflect": _reflected,
}  # the element that an index past the ends means
_SAME = {
    "grid-constant": "constant",
    "grid-wrap": "wrap",
    "grid-mirror": "reflect",
}  # SciPy's names for these


def map_coordinates(
    input: Any, coordinates: Sequence[Any], order: int, mode: str = "constant", cval: Any = 0.0
) -> Any:
    """The values of an array at places between its elements.

    input: an array with k axes. coordinates: k arrays of one shape (or one array of them), a place along each axis in
    elements. order: 0 takes the nearest element, 1 interpolates linearly. mode: how the array goes on past its ends:
    "constant" (with cval), "nearest", "wrap", "mirror" (about the end elements), "reflect" (about their edges).
    "wrap" and "constant" are what SciPy calls "grid-wrap" and "grid-constant", which are accepted too, as in JAX.
    The result has the coordinates' shape and the array's dtype, rounded where that is an integer.
    Raises ArgumentError for another number of coordinates or mode, UnsupportedError for splines (order > 1)."""
    x = fnp.asarray(input)
    places = [fnp.asarray(c) for c in coordinates]
    if len(places) != x.ndim or not places:
        raise ArgumentError(
            f"map_coordinates: {len(places)} coordinates for {x.aval}, at {describe(here())}; an array with one or more "
            "axes takes one for each"
        )
    known = _SAME.get(mode, mode)
    if known not in _CONTINUED:
        raise ArgumentError(
            f"map_coordinates: mode {mode!r}, at {describe(here())}; there are {', '.join((*_CONTINUED, *_SAME))}"
        )
    if order not in (0, 1):
        raise UnsupportedError(
            f"map_coordinates: order {order!r}, at {describe(here())}; 0 (nearest) and 1 (linear) are there, splines "
            "are not"
        )
    if 0 in x.shape:
        raise ArgumentError(f"map_coordinates: {x.aval} has no elements to read, at {describe(here())}")
    places = fnp.broadcast_arrays(*meet("map_coordinates", *places, mode="inexact", spread=False))
    inside = (lambda i, n: (i >= 0) & (i < n)) if known == "constant" else lambda i, n: None
    follow = _CONTINUED[known]

    def nodes(at: Any, n: int) -> list[Node]:
        # at an infinite or undefined place the index means nothing, and the weight is NaN
        low = (_rounded if order == 0 else fnp.floor)(at)
        i = fnp.where(fnp.isfinite(low), low, 0).astype("int32")
        first = Node(follow(i, n), None, inside(i, n))
        if order == 0:
            return [first]
        part = at - low
        return [first._replace(weight=1 - part), Node(follow(i + 1, n), part, inside(i + 1, n))]

    out = weighted(x, [nodes(at, n) for at, n in zip(places, x.shape)], fnp.asarray(cval, x.dtype))
    if fnp.issubdtype(x.dtype, fnp.integer):
        out = _rounded(out)
    return out.astype(x.dtype)


def _rounded(x: Any) -> Any:
    """To the nearest integer, halves away from 0."""
    if not fnp.issubdtype(x.dtype, fnp.floating):
        return x
    whole = fnp.trunc(x)
    return whole + fnp.where(fnp.abs(x - whole) >= 0.5, fnp.sign(x), 0.0)
