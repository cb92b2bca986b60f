"""Interpolation of values on a grid.

>>> import fnn.numpy as fnp
>>> from fnn.scipy.interpolate import RegularGridInterpolator
>>> f = RegularGridInterpolator((fnp.array([1.0, 2.0, 3.0]),), fnp.array([10.0, 20.0, 40.0]))
>>> print(f(fnp.array([1.5, 2.5])))
[15. 30.]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import numpy as fnp
from fnn import tree
from fnn.core.source import describe, here
from fnn.core.trace import Tracer
from fnn.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from fnn.operations.operands import array_of, meet
from fnn.scipy.corners import Node, weighted

__all__ = ["RegularGridInterpolator"]

_METHODS = ("linear", "nearest")


@tree.register_pytree_node_class
class RegularGridInterpolator:
    """A function through values on a rectangular grid, linear between grid points or constant around them; a pytree.

    points: a vector of places for each of the k first axes of values, increasing or decreasing (that is checked where
    their values are known; traced ones must increase). values: (n1, ..., nk, *rest). method: "linear" or "nearest".
    fill_value: of points outside of the grid; None: they are extrapolated.

    Called with points (..., k), or a tuple of k arrays, it gives (..., *rest), differentiable in all of them.
    Raises ShapeError for vectors that do not fit the values, ArgumentError for places that are not ordered,
    UnsupportedError for bounds_error=True, as a compiled program cannot raise.
    """

    def __init__(
        self,
        points: Sequence[Any],
        values: Any,
        method: str = "linear",
        bounds_error: bool = False,
        fill_value: Any = np.nan,
    ):
        self.method = _method(method)
        if bounds_error:
            raise UnsupportedError(
                f"RegularGridInterpolator: bounds_error=True, at {describe(here())}; points outside of the grid get "
                "fill_value"
            )
        self.bounds_error = False
        (self.values,) = meet(
            "RegularGridInterpolator",
            array_of("RegularGridInterpolator", values),
            mode="inexact",
            spread=False,
        )
        self.fill_value: Any = None
        if fill_value is not None:
            fill = self.fill_value = fnp.asarray(fill_value)
            if not fnp.can_cast(fill.dtype, self.values.dtype, casting="same_kind"):
                raise DtypeError(
                    f"RegularGridInterpolator: the fill_value {fill.aval} for {self.values.aval}, at {describe(here())}; "
                    "fill_value is a real number, or None to extrapolate"
                )
        grid = [fnp.asarray(p) for p in points]
        for axis, places in enumerate(grid):
            if axis >= self.values.ndim or places.shape != self.values.shape[axis : axis + 1]:
                raise ShapeError(
                    f"RegularGridInterpolator: points[{axis}] is {places.aval} for values {self.values.aval}, at "
                    f"{describe(here())}; each is a vector as long as that axis of the values"
                )
            if not isinstance(places, Tracer) and _falls(places, axis):
                grid[axis] = places[::-1]
                self.values = fnp.flip(self.values, axis)
        self.grid = tuple(grid)

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.grid, self.values, self.fill_value), self.method

    @classmethod
    def tree_unflatten(cls, method: str, children: Any) -> RegularGridInterpolator:
        self = object.__new__(cls)
        self.grid, self.values, self.fill_value = children
        self.method, self.bounds_error = method, False
        return self

    def __call__(self, xi: Any, method: str | None = None) -> Any:
        """The function's values at the points xi."""
        chosen = self.method if method is None else _method(method)
        places = self._places(xi)
        axes, outside = [], fnp.zeros(places[0].shape, bool)
        for x, g in zip(places, self.grid):
            n = g.shape[0]
            i = fnp.clip(fnp.searchsorted(g, x) - 1, 0, max(n - 2, 0))
            low, high = g[i], g[fnp.minimum(i + 1, n - 1)]
            part = (x - low) / (high - low) if n > 1 else fnp.where(fnp.isnan(x), x, 0.0)
            outside = outside | (x < g[0]) | (x > g[-1])
            if chosen == "nearest":
                axes.append([Node(fnp.where(part <= 0.5, i, fnp.minimum(i + 1, n - 1)), None)])
            else:
                axes.append([Node(i, 1 - part), Node(fnp.minimum(i + 1, n - 1), part)])
        out = weighted(self.values, axes)
        if self.fill_value is not None:
            rest = (1,) * (out.ndim - outside.ndim)
            out = fnp.where(outside.reshape(outside.shape + rest), self.fill_value.astype(out.dtype), out)
        return out

    def _places(self, xi: Any) -> list[Any]:
        """The points' coordinates, an array for each axis."""
        k = len(self.grid)
        if isinstance(xi, tuple) and len(xi) == 1:
            xi = xi[0]
        if isinstance(xi, tuple):
            parts = fnp.broadcast_arrays(*[fnp.asarray(x) for x in xi])
        else:
            x = fnp.asarray(xi)
            if x.ndim == 1:
                x = x.reshape(-1, k)
            parts = [x[..., a] for a in range(x.shape[-1])] if x.ndim else []
        if len(parts) != k:
            raise ShapeError(
                f"RegularGridInterpolator: points with {len(parts)} coordinates for a grid of {k} axes, at "
                f"{describe(here())}; give an array (..., {k}) or a tuple of {k}"
            )
        return list(meet("RegularGridInterpolator", *parts, mode="inexact", spread=False))


def _method(method: str) -> str:
    if method not in _METHODS:
        raise ArgumentError(
            f"RegularGridInterpolator: the method {method!r}, at {describe(here())}; there are linear and nearest"
        )
    return method


def _falls(places: Any, axis: int) -> bool:
    """Whether places decrease; ArgumentError if they neither decrease nor increase."""
    steps: Any = np.diff(np.asarray(places, float))
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ArgumentError(
            f"RegularGridInterpolator: points[{axis}] neither increases nor decreases, at {describe(here())}; sort the "
            "points, and the values with them"
        )
    return bool(len(steps) and steps[0] < 0)
