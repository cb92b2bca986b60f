"""Sums of exponentials without overflow: softmax, its logarithm, and the logarithm of the sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn.core.array import Array, as_array

Axis = int | tuple[int, ...] | None


def floating(x: Any) -> Array:
    """x as an array of floating-point or complex numbers."""
    array = as_array(x)
    return array if array.aval.is_inexact else lax.convert_element_type(array, dtypes.default_float())


def _peak(x: Array, axis: Axis, where: Any) -> Array:
    """The maximum along axis, as a constant: it cancels out of what it is subtracted from."""
    initial = None if where is None and x.size else -np.inf
    return lax.stop_gradient(fnp.max(x, axis=axis, keepdims=True, where=where, initial=initial))


def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """exp(x) / sum(exp(x)) along axis, without overflow.

    where: a mask that broadcasts with x; masked places count for nothing and become 0.

    >>> import fnn.numpy as fnp
    >>> print(softmax(fnp.zeros(4)))
    [0.25 0.25 0.25 0.25]
    """
    x = floating(x)
    peak = _peak(x, axis, where)
    if where is None:
        powers = fnp.exp(x - peak)
        return powers / fnp.sum(powers, axis=axis, keepdims=True)
    powers = fnp.where(where, fnp.exp(fnp.where(where, x, peak) - peak), 0.0)
    return powers / fnp.sum(powers, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """log(softmax(x)), exact where softmax is near 0; masked places become -inf."""
    x = floating(x)
    peak = _peak(x, axis, where)
    if where is None:
        shifted = x - peak
        return shifted - fnp.log(fnp.sum(fnp.exp(shifted), axis=axis, keepdims=True))
    shifted = fnp.where(where, x, peak) - peak
    total = fnp.sum(fnp.where(where, fnp.exp(shifted), 0.0), axis=axis, keepdims=True)
    return fnp.where(where, shifted - fnp.log(total), -np.inf)


def logsumexp(
    a: Any,
    axis: Axis = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(sum(b exp(a))) along axis, without overflow; NaN where the sum is negative.

    b: weights that broadcast with a, 1 by default. where: a mask. return_sign: return (log |sum|, sign of the sum).

    >>> import fnn.numpy as fnp
    >>> print(logsumexp(fnp.array([1024.0, -1024.0])))
    1024.0
    """
    x = floating(a)
    weights = None
    if b is not None:
        x, weights = fnp.broadcast_arrays(x, as_array(b))
        x = fnp.where(weights != 0, x, -np.inf)  # so that 0 exp(inf) is 0
    peak = _peak(x, axis, where)
    peak = fnp.where(fnp.isfinite(peak), peak, 0.0)
    shifted = x - peak if where is None else fnp.where(where, x, peak) - peak
    terms = fnp.exp(shifted)
    if weights is not None:
        terms = weights * terms
    if where is not None:
        terms = fnp.where(where, terms, 0.0)
    total = fnp.sum(terms, axis=axis, keepdims=True)
    sign = fnp.sign(total)
    out = fnp.log(fnp.abs(total) if return_sign else total) + peak
    if not keepdims:
        out, sign = (
            fnp.squeeze(v, axis=axis) if axis is not None else fnp.reshape(v, ()) for v in (out, sign)
        )
    return (out, sign) if return_sign else out
