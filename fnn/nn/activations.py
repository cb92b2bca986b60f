"""Activation functions, element by element. Each takes an array or a number; integers become floating point, except
where a function keeps them (relu, relu6, identity).

>>> from fnn import nn
>>> import fnn.numpy as fnp
>>> print(nn.relu(fnp.array([-1.0, 0.0, 2.0])))
[0. 0. 2.]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.exponentials import floating


def identity(x: Any) -> Array:
    """x."""
    return as_array(x)


def relu(x: Any) -> Array:
    """max(x, 0); its derivative at 0 is 0, and NaN stays NaN.

    >>> import fnn.numpy as fnp
    >>> print(relu(fnp.array([-1.0, 0.0, 2.0])))
    [0. 0. 2.]
    """
    x = as_array(x)
    x = fnp.astype(x, int) if x.dtype.kind == "b" else x
    return fnp.where(x <= 0, fnp.zeros_like(x), x)


def relu6(x: Any) -> Array:
    """min(max(x, 0), 6); its derivative at 0 and 6 is 0."""
    x = floating(x)
    return fnp.where(x >= 6, fnp.full_like(x, 6), relu(x))


def sigmoid(x: Any) -> Array:
    """1 / (1 + exp(-x)).

    >>> import fnn.numpy as fnp
    >>> print(sigmoid(fnp.array([-1.0, 0.0, 1.0])))
    [0.2689414 0.5       0.7310586]
    """
    return lax.logistic(floating(x))


def log_sigmoid(x: Any) -> Array:
    """log(sigmoid(x)), exact where sigmoid(x) is near 0."""
    return -softplus(-floating(x))


def softplus(x: Any) -> Array:
    """log(1 + exp(x)), without overflow."""
    return fnp.logaddexp(floating(x), 0.0)


def sparse_plus(x: Any) -> Array:
    """0 below -1, x above 1, (x + 1)^2 / 4 between."""
    x = floating(x)
    return fnp.where(x <= -1, fnp.zeros_like(x), fnp.where(x >= 1, x, (x + 1) ** 2 / 4))


def sparse_sigmoid(x: Any) -> Array:
    """The derivative of sparse_plus: 0 below -1, 1 above 1, (x + 1) / 2 between."""
    return 0.5 * fnp.clip(floating(x) + 1, 0.0, 2.0)


def squareplus(x: Any, b: Any = 4) -> Array:
    """(x + sqrt(x^2 + b)) / 2."""
    x = floating(x)
    return 0.5 * (x + fnp.sqrt(fnp.square(x) + b))


def silu(x: Any) -> Array:
    """x sigmoid(x); also known as swish."""
    x = floating(x)
    return x * lax.logistic(x)


swish = silu


def mish(x: Any) -> Array:
    """x tanh(softplus(x)) (Misra 2019)."""
    x = floating(x)
    return x * fnp.tanh(softplus(x))


def elu(x: Any, alpha: Any = 1.0) -> Array:
    """x where positive, else alpha (exp(x) - 1) (Clevert et al. 2015)."""
    x = floating(x)
    below = fnp.where(x > 0, fnp.zeros_like(x), x)  # so that exp and its derivative stay finite
    return fnp.where(x > 0, x, alpha * fnp.expm1(below))


def selu(x: Any) -> Array:
    """elu with the scales that keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def celu(x: Any, alpha: Any = 1.0) -> Array:
    """max(x, 0) + min(0, alpha (exp(x / alpha) - 1)) (Barron 2017)."""
    x = floating(x)
    below = fnp.where(x > 0, fnp.zeros_like(x), x)
    return fnp.where(x > 0, x, alpha * fnp.expm1(below / alpha))


_GELU = math.sqrt(8 / math.pi)


def gelu(x: Any, approximate: bool = True) -> Array:
    """x times the standard normal distribution function at x (Hendrycks and Gimpel 2016).

    approximate: by tanh; otherwise by the error function.

    >>> import fnn.numpy as fnp
    >>> print(gelu(fnp.array([-1.0, 0.0, 1.0])))
    [-0.158808  0.        0.841192]
    """
    x = floating(x)
    if not approximate:
        return 0.5 * x * lax.erfc(-x * math.sqrt(0.5))
    # (1 + tanh u) / 2 = logistic(2 u), which keeps its digits where tanh is near -1
    return x * lax.logistic(x * (_GELU + 0.044715 * _GELU * (x * x)))


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Array:
    """x where x >= 0, else negative_slope x."""
    x = floating(x)
    return fnp.where(x >= 0, x, negative_slope * x)


def hard_tanh(x: Any) -> Array:
    """x limited to [-1, 1]."""
    x = as_array(x)
    x = x if x.dtype.kind in "ic" else floating(x)
    return fnp.where(x > 1, fnp.ones_like(x), fnp.where(x < -1, fnp.full_like(x, -1), x))


def hard_sigmoid(x: Any) -> Array:
    """relu6(x + 3) / 6."""
    return relu6(floating(x) + 3.0) / 6.0


def hard_silu(x: Any) -> Array:
    """x hard_sigmoid(x)."""
    x = floating(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


def soft_sign(x: Any) -> Array:
    """x / (|x| + 1)."""
    x = floating(x)
    return x / (fnp.abs(x) + 1)


def tanh(x: Any) -> Array:
    """The hyperbolic tangent."""
    return fnp.tanh(floating(x))


def glu(x: Any, axis: int = -1) -> Array:
    """The first half along an axis times the sigmoid of the second (Dauphin et al. 2017). Raises ShapeError if the size
    is odd."""
    x = floating(x)
    if not x.ndim or x.shape[axis] % 2:
        raise ShapeError(
            f"nn.glu halves axis {axis} of {x.aval}, at {describe(here())}: its size must be even"
        )
    first, second = fnp.split(x, 2, axis)
    return first * lax.logistic(second)


def log1mexp(x: Any) -> Array:
    """log(1 - exp(-x)) for x > 0, exact at both ends (Maechler 2012)."""
    x = floating(x)
    small = x < math.log(2)
    near = fnp.where(small, x, fnp.ones_like(x))  # each branch sees only arguments it is finite for
    far = fnp.where(small, fnp.ones_like(x), x)
    return fnp.where(small, fnp.log(-fnp.expm1(-near)), fnp.log1p(-fnp.exp(-far)))


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Array:
    """Rows with 1 at the place that x names, on a new axis of size num_classes; all 0 where x is out of range.

    >>> print(one_hot(2, 4))
    [0. 0. 1. 0.]
    """
    x = as_array(x)
    if x.dtype.kind not in "iu" and not x.aval.is_float:
        raise ArgumentError(f"nn.one_hot needs class numbers, not {x.aval}, at {describe(here())}")
    target = (
        dtypes.default_float() if dtype is None else dtypes.canonicalize(dtype, explicit=dtype is not float)
    )
    axis = axis % (x.ndim + 1)
    shape = [1] * (x.ndim + 1)
    shape[axis] = int(num_classes)
    classes = lax.reshape(lax.iota(np.int32 if x.dtype.kind == "u" else x.dtype, int(num_classes)), shape)
    return lax.convert_element_type(fnp.expand_dims(x, axis) == classes, target)
