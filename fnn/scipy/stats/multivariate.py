"""Distributions of vectors: multivariate_normal, dirichlet, multinomial."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import DtypeError, ShapeError
from fnn.scipy import special


def _floats(*xs: Any) -> list[Array]:
    """Floating-point arrays of one dtype, each of its own shape."""
    arrays = [as_array(x) for x in xs]
    dtype = special.promoted(*[fnp.zeros((), a.dtype) for a in arrays])[0].dtype
    return [fnp.asarray(a, dtype) for a in arrays]


class _MultivariateNormal:
    """Normal vectors; the last axis of x and mean counts their components."""

    def logpdf(self, x: Any, mean: Any, cov: Any, allow_singular: None = None) -> Array:
        """The logarithm of the density at x (..., n), of mean (..., n) and covariance (..., n, n), or scalars.

        >>> import fnn.numpy as fnp
        >>> print(multivariate_normal.logpdf(fnp.zeros(2), fnp.zeros(2), fnp.eye(2)))
        -1.837877
        """
        if allow_singular is not None:
            raise DtypeError(
                f"stats.multivariate_normal.logpdf: allow_singular is not supported, at {describe(here())}; the covariance "
                "has a Cholesky factor"
            )
        x, mean, cov = _floats(x, mean, cov)
        if not mean.ndim:
            return -0.5 * (x - mean) ** 2 / cov - 0.5 * (math.log(2 * math.pi) + fnp.log(cov))
        n = mean.shape[-1]
        if not cov.ndim:
            away = fnp.sum((x - mean) ** 2, axis=-1) / cov
            return -0.5 * away - 0.5 * n * (math.log(2 * math.pi) + fnp.log(cov))
        if cov.ndim < 2 or cov.shape[-2:] != (n, n):
            raise ShapeError(
                f"stats.multivariate_normal: a mean {mean.aval} and a covariance {cov.aval}, at {describe(here())}; they "
                "have shapes (..., n) and (..., n, n)"
            )
        factor = fnp.linalg.cholesky(cov)
        away = x - mean
        if cov.ndim == 2:  # one solve for all vectors
            columns = away.reshape(-1, n).T
            solved = P.triangular_solve(
                factor, columns, left_side=True, lower=True, transpose_a=False, unit_diagonal=False
            ).T.reshape(away.shape)
        else:
            batch = fnp.broadcast_shapes(away.shape[:-1], cov.shape[:-2])
            solved = P.triangular_solve(
                fnp.broadcast_to(factor, (*batch, n, n)),
                fnp.broadcast_to(away, (*batch, n))[..., None],
                left_side=True, lower=True, transpose_a=False, unit_diagonal=False,
            )[..., 0]  # fmt: skip
        logs = fnp.sum(fnp.log(fnp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
        return -0.5 * fnp.sum(solved * solved, axis=-1) - 0.5 * n * math.log(2 * math.pi) - logs

    def pdf(self, x: Any, mean: Any, cov: Any) -> Array:
        """The density; see logpdf."""
        return fnp.exp(self.logpdf(x, mean, cov))


class _Dirichlet:
    """Points of the simplex; the first axis of x counts the corners, the last of which may be left out."""

    def logpdf(self, x: Any, alpha: Any) -> Array:
        """The logarithm of the density at x for concentrations alpha, a vector; -inf off the simplex."""
        x, alpha = _floats(x, alpha)
        if alpha.ndim != 1 or not x.ndim or x.shape[0] not in (alpha.shape[0], alpha.shape[0] - 1):
            raise ShapeError(
                f"stats.dirichlet: x {x.aval} and alpha {alpha.aval}, at {describe(here())}; alpha is a vector, and the "
                "first axis of x is as long, or shorter by one"
            )
        if x.shape[0] != alpha.shape[0]:
            x = fnp.concatenate([x, 1 - fnp.sum(x, axis=0, keepdims=True)], axis=0)
        inside = fnp.all(x > 0, axis=0) & (fnp.abs(fnp.sum(x, axis=0) - 1) < 1e-6)
        powers = (alpha - 1).reshape((-1,) + (1,) * (x.ndim - 1))
        normal = fnp.sum(special.gammaln(alpha)) - special.gammaln(fnp.sum(alpha))
        return fnp.where(inside, fnp.sum(special.xlogy(powers, x), axis=0) - normal, -np.inf)

    def pdf(self, x: Any, alpha: Any) -> Array:
        """The density; see logpdf."""
        return fnp.exp(self.logpdf(x, alpha))


class _Multinomial:
    """Counts of cases; the last axis of x and p counts the cases."""

    def logpmf(self, x: Any, n: Any, p: Any) -> Array:
        """The logarithm of the probability of counts x (integers) among n trials of probabilities p."""
        x, n = as_array(x), as_array(n)
        if x.dtype.kind not in "iu" or n.dtype.kind not in "iu":
            raise DtypeError(
                f"stats.multinomial: x and n are integers, not {x.aval} and {n.aval}, at {describe(here())}"
            )
        fits = fnp.sum(x, axis=-1) == n
        (p,) = _floats(p)
        x, n = x.astype(p.dtype), n.astype(p.dtype)
        logs = special.gammaln(n + 1) + fnp.sum(special.xlogy(x, p) - special.gammaln(x + 1), axis=-1)
        return fnp.where(fits, logs, -np.inf)

    def pmf(self, x: Any, n: Any, p: Any) -> Array:
        """The probability; see logpmf."""
        return fnp.exp(self.logpmf(x, n, p))


multivariate_normal, dirichlet, multinomial = _MultivariateNormal(), _Dirichlet(), _Multinomial()
