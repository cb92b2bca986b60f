"""Functions of whole axes: softmax and its relatives, standardisation."""

from __future__ import annotations

from typing import Any

from fnn import lax
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.operations.exponentials import floating, log_softmax, logsumexp, softmax

__all__ = ["log_softmax", "logmeanexp", "logsumexp", "softmax", "standardize"]
Axis = int | tuple[int, ...] | None


def logmeanexp(x: Any, axis: Axis = None, where: Any = None, keepdims: bool = False) -> Array:
    """log(mean(exp(x))) along axis, without overflow."""
    x = floating(x)
    members = fnp.ones_like(x) if where is None else fnp.where(where, fnp.ones_like(x), 0.0)
    count = fnp.sum(lax.stop_gradient(members), axis=axis, keepdims=keepdims)
    return logsumexp(x, axis, keepdims=keepdims, where=where) - fnp.log(count)


def standardize(
    x: Any, axis: Axis = -1, mean: Any = None, variance: Any = None, epsilon: Any = 1e-5, where: Any = None
) -> Array:
    """(x - mean) / sqrt(variance + epsilon) along axis; mean and variance are x's own unless given."""
    x = floating(x)
    if mean is None:
        mean = fnp.mean(x, axis=axis, keepdims=True, where=where)
    if variance is None:
        variance = fnp.mean(fnp.square(x - mean), axis=axis, keepdims=True, where=where)
    return (x - mean) * lax.rsqrt(as_array(variance + epsilon))
