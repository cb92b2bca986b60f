"""Kernel density estimation with normal kernels."""

from __future__ import annotations

import math
from typing import Any

from fnn import numpy as fnp
from fnn import random, tree
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.exponentials import logsumexp
from fnn.scipy.stats.multivariate import _floats


@tree.register_pytree_node_class
class gaussian_kde:  # SciPy's name
    """A density from points, the columns of dataset (d, n), or a vector: a normal kernel around each.

    bw_method: "scott" (the default), "silverman", a number by which the points' covariance is scaled, or a function of the
    estimate. weights: of the points.

    >>> kde = gaussian_kde(fnp.array([0.0, 1.0]))
    >>> kde(fnp.array([0.5])).shape
    (1,)
    """

    def __init__(self, dataset: Any, bw_method: Any = None, weights: Any = None):
        self.dataset = fnp.atleast_2d(_floats(dataset)[0])
        d, n = self.dataset.shape
        if n < 2:
            raise ArgumentError(f"stats.gaussian_kde: {n} points have no covariance, at {describe(here())}")
        if weights is None:
            self.weights = fnp.full(n, 1.0 / n, self.dataset.dtype)
        else:
            (given,) = _floats(weights)
            if given.shape != (n,):
                raise ShapeError(
                    f"stats.gaussian_kde: weights {given.aval} for {n} points, at {describe(here())}"
                )
            self.weights = given / fnp.sum(given)
        self.neff = 1 / fnp.sum(self.weights**2)
        factor = self._factor(bw_method, d)
        centred = self.dataset - fnp.sum(self.dataset * self.weights, axis=1, keepdims=True)
        scatter = (centred * self.weights) @ centred.T / (1 - fnp.sum(self.weights**2))
        self.covariance = scatter * factor**2
        self._root = fnp.linalg.cholesky(self.covariance)

    def _factor(self, method: Any, d: int) -> Any:
        if method is None or method == "scott":
            return fnp.power(self.neff, -1.0 / (d + 4))
        if method == "silverman":
            return fnp.power(self.neff * (d + 2) / 4.0, -1.0 / (d + 4))
        if callable(method):
            return method(self)
        if isinstance(method, str):
            raise ArgumentError(
                f"stats.gaussian_kde: bw_method is scott or silverman, not {method!r}, at {describe(here())}"
            )
        return method

    def tree_flatten(self) -> tuple[tuple, None]:
        """Its arrays."""
        return (self.dataset, self.weights, self.neff, self.covariance, self._root), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> gaussian_kde:
        """From its arrays."""
        out = object.__new__(cls)
        out.dataset, out.weights, out.neff, out.covariance, out._root = children
        return out

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.dataset.shape[0]

    @property
    def n(self) -> int:
        """The number of points."""
        return self.dataset.shape[1]

    @property
    def inv_cov(self) -> Array:
        """The inverse of the kernels' covariance."""
        half = self._solve(fnp.eye(self.d, dtype=self.dataset.dtype))
        return half.T @ half

    def _solve(self, columns: Array) -> Array:
        from fnn import lax

        return lax.linalg.triangular_solve(self._root, columns, left_side=True, lower=True)

    def logpdf(self, x: Any) -> Array:
        """The logarithm of the density at the columns of x (d, m), or at the numbers of a vector."""
        x = fnp.atleast_2d(fnp.asarray(x, self.dataset.dtype))
        if x.shape[0] != self.d:
            if x.shape != (1, self.d):
                raise ShapeError(
                    f"stats.gaussian_kde: points {x.aval} of {self.d} dimensions, at {describe(here())}"
                )
            x = x.T
        points, at = self._solve(self.dataset), self._solve(x)
        energy = 0.5 * fnp.sum((points[:, :, None] - at[:, None, :]) ** 2, axis=0)
        norm = 0.5 * self.d * math.log(2 * math.pi) + fnp.sum(fnp.log(fnp.diagonal(self._root)))
        return logsumexp(-energy, axis=0, b=self.weights[:, None]) - norm

    def evaluate(self, points: Any) -> Array:
        """The density at points; see logpdf."""
        return fnp.exp(self.logpdf(points))

    __call__ = pdf = evaluate

    def resample(self, key: Any, shape: Any = ()) -> Array:
        """Points drawn from the estimate: an array (d, *shape)."""
        which, around = random.split(key)
        index = random.choice(which, self.n, shape, p=self.weights)
        noise = random.normal(around, (*index.shape, self.d), self.dataset.dtype) @ self._root.T
        return self.dataset[:, index] + fnp.moveaxis(noise, -1, 0)
