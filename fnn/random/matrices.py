"""Normal vectors and orthogonal matrices."""

from __future__ import annotations

from typing import Any

from fnn import dtypes
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.random.distributions import normal
from fnn.random.keys import one_key, shape_tuple
from fnn.random.uniforms import float_dtype
from fnn.transforms.key_reuse import uses_key

_METHODS = ("cholesky", "eigh", "svd")


@uses_key
def multivariate_normal(
    key: Any, mean: Any, cov: Any, shape: Any = None, dtype: Any = None, method: str = "cholesky"
) -> Array:
    """Normal vectors of that mean (..., n) and covariance (..., n, n). Differentiable in both.

    shape: of the result without its last axis; the other axes of mean and cov, broadcast, by default. method: how the
    covariance is factored, "cholesky" (it is positive definite), "eigh" or "svd" (it may be singular).

    >>> import fnn, fnn.numpy as fnp
    >>> cov = fnp.array([[2.0, 0.5], [0.5, 1.0]])
    >>> fnn.random.multivariate_normal(fnn.random.key(0), fnp.zeros(2), cov, (5,)).shape
    (5, 2)
    """
    one_key("multivariate_normal", key)
    if method not in _METHODS:
        raise ArgumentError(
            f"random.multivariate_normal: method is one of {', '.join(_METHODS)}, not {method!r}, at {describe(here())}"
        )
    mean, cov = as_array(mean), as_array(cov)
    found = dtypes.result([mean.aval, cov.aval])[0]
    common = found if dtypes.is_float(found) else dtypes.default_float()
    mean, cov = fnp.asarray(mean, common), fnp.asarray(cov, common)
    n = mean.shape[-1] if mean.ndim else 0
    if not mean.ndim or cov.ndim < 2 or cov.shape[-2:] != (n, n):
        raise ShapeError(
            f"random.multivariate_normal: a mean {mean.aval} and a covariance {cov.aval}, at {describe(here())}; "
            "they have shapes (..., n) and (..., n, n)"
        )
    target = common if dtype is None else float_dtype("multivariate_normal", dtype)
    lead = fnp.broadcast_shapes(mean.shape[:-1], cov.shape[:-2])
    size = lead if shape is None else shape_tuple("multivariate_normal", shape)
    if method == "cholesky":
        factor = fnp.linalg.cholesky(cov)
    elif method == "eigh":
        values, vectors = fnp.linalg.eigh(cov)
        factor = vectors * fnp.sqrt(values[..., None, :])
    else:
        vectors, values, _ = fnp.linalg.svd(cov)
        factor = vectors * fnp.sqrt(values[..., None, :])
    drawn = normal(key, (*size, n), target)
    return (
        mean + fnp.sum(factor * drawn[..., None, :], axis=-1) if factor.ndim > 2 else mean + drawn @ factor.T
    )


@uses_key
def orthogonal(key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None) -> Array:
    """Orthogonal matrices (*shape, n, n), distributed evenly (Haar); with m, matrices (*shape, n, m) whose columns, or
    rows if there are fewer, are orthonormal."""
    one_key("orthogonal", key)
    target, lead = float_dtype("orthogonal", dtype), shape_tuple("orthogonal", shape)
    columns = n if m is None else m
    drawn = normal(key, (*lead, max(n, columns), min(n, columns)), target)
    q, r = fnp.linalg.qr(drawn)
    out = q * fnp.sign(fnp.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return fnp.swapaxes(out, -1, -2) if n < columns else out
