"""Initial values of parameters: functions of a key and a shape, with the numbers of JAX's functions of the same names.

>>> import fnn
>>> fnn.nn.initializers.glorot_uniform()(fnn.random.key(0), (4, 3)).shape
(4, 3)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, random
from fnn import numpy as fnp
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError

Axes = int | Sequence[int]
Initializer = Callable[..., Array]  # (key, shape, dtype=None) -> array

_TRUNCATED_DEVIATION = 0.87962566103423978  # standard deviation of a standard normal cut at -2 and 2
_TRUNCATED_COMPLEX_DEVIATION = 0.95311164380491208  # of a complex normal within radius 2


def _dtype(dtype: Any, default: Any = None) -> np.dtype:
    chosen = default if dtype is None else dtype
    return (
        dtypes.default_float()
        if chosen is None
        else dtypes.canonicalize(chosen, explicit=chosen is not float)
    )


def zeros(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
    """All 0."""
    return fnp.zeros(shape, _dtype(dtype))


def ones(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
    """All 1."""
    return fnp.ones(shape, _dtype(dtype))


def constant(value: Any, dtype: Any = None) -> Initializer:
    """One value everywhere."""
    default = dtype

    def init(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
        return fnp.full(shape, value, _dtype(dtype, default))

    return init


def uniform(scale: Any = 0.01, dtype: Any = None) -> Initializer:
    """Uniform in [0, scale)."""
    default = dtype

    def init(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
        target = _dtype(dtype, default)
        return random.uniform(key, shape, target) * fnp.asarray(scale, target)

    return init


def normal(stddev: Any = 0.01, dtype: Any = None) -> Initializer:
    """Normal with mean 0."""
    default = dtype

    def init(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
        target = _dtype(dtype, default)
        return random.normal(key, shape, target) * fnp.asarray(stddev, target)

    return init


def truncated_normal(
    stddev: Any = 0.01, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """stddev times a standard normal cut at lower and upper."""
    default = dtype

    def init(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
        target = _dtype(dtype, default)
        return random.truncated_normal(key, lower, upper, shape, target) * fnp.asarray(stddev, target)

    return init


def _fans(shape: Sequence[int], in_axis: Axes, out_axis: Axes, batch_axis: Axes) -> tuple[float, float]:
    """(inputs, outputs) of one unit; axes that are neither inputs, outputs nor batch are a receptive field."""
    if len(shape) < 2:
        raise ShapeError(
            f"an initializer that scales with the number of inputs and outputs needs a shape with at least "
            f"two axes, not {tuple(shape)}, at {describe(here())}"
        )

    def product(axes: Axes) -> int:
        return math.prod(shape[a] for a in ((axes,) if isinstance(axes, int) else axes))

    inputs, outputs, batch = product(in_axis), product(out_axis), product(batch_axis)
    field = math.prod(shape) / max(inputs * outputs * batch, 1)
    return inputs * field, outputs * field


def _in_a_disc(key: Any, shape: Sequence[int], dtype: Any, distribution: str) -> Array:
    """Complex numbers, uniform in the unit disc or normal within radius 2: the square of the radius is uniform, or
    exponential and cut, the angle uniform."""
    real = np.zeros((), dtype).real.dtype
    radius_key, angle_key = random.split(key)
    part = random.uniform(radius_key, shape, real)
    squared = part if distribution == "uniform" else -fnp.log(1 - (1 - math.exp(-4)) * part)
    angle = np.asarray(2 * math.pi, real) * random.uniform(angle_key, shape, real)
    return fnp.astype(fnp.sqrt(squared) * fnp.exp(1j * angle), dtype)


def variance_scaling(
    scale: float,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Random numbers with mean 0 and variance scale / n.

    mode: n is the number of inputs ("fan_in"), of outputs ("fan_out"), or their arithmetic ("fan_avg") or geometric
    ("fan_geo_avg") mean. distribution: "truncated_normal", "normal" or "uniform".

    Raises ArgumentError for other words, ShapeError for shapes with fewer than two axes."""
    default = dtype

    def init(key: Any, shape: Sequence[int], dtype: Any = None) -> Array:
        target = _dtype(dtype, default)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        sizes = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": math.sqrt(fan_in * fan_out),
        }
        if mode not in sizes:
            raise ArgumentError(f"variance_scaling: the mode is one of {', '.join(sizes)}, not {mode!r}")
        variance = np.asarray(scale / max(sizes[mode], 1e-30), target)
        if distribution == "normal":
            return random.normal(key, shape, target) * np.sqrt(variance)
        if distribution in ("uniform", "truncated_normal") and dtypes.is_complex(target):
            spread = 1.0 if distribution == "uniform" else _TRUNCATED_COMPLEX_DEVIATION
            return _in_a_disc(key, shape, target, distribution) * (
                np.sqrt(variance) / np.asarray(spread, target)
            )
        if distribution == "uniform":
            return random.uniform(key, shape, target, -1) * np.sqrt(3 * variance)
        if distribution == "truncated_normal":
            deviation = np.sqrt(variance) / np.asarray(_TRUNCATED_DEVIATION, target)
            return random.truncated_normal(key, -2, 2, shape, target) * deviation
        raise ArgumentError(
            f"variance_scaling: the distribution is truncated_normal, normal or uniform, not {distribution!r}"
        )

    return init


def _family(scale: float, mode: str, distribution: str, doc: str) -> Callable[..., Initializer]:
    def make(
        in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
    ) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__doc__ = doc
    return make


glorot_normal = _family(1.0, "fan_avg", "truncated_normal", "Glorot and Bengio (2010), truncated normal.")
glorot_uniform = _family(1.0, "fan_avg", "uniform", "Glorot and Bengio (2010), uniform.")
lecun_normal = _family(1.0, "fan_in", "truncated_normal", "LeCun et al. (1998), truncated normal.")
lecun_uniform = _family(1.0, "fan_in", "uniform", "LeCun et al. (1998), uniform.")
he_normal = _family(2.0, "fan_in", "truncated_normal", "He et al. (2015), truncated normal.")
he_uniform = _family(2.0, "fan_in", "uniform", "He et al. (2015), uniform.")
xavier_normal, xavier_uniform = glorot_normal, glorot_uniform
kaiming_normal, kaiming_uniform = he_normal, he_uniform


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Matrices whose columns (or rows, whichever are fewer) are orthonormal, times `scale` (Saxe et al., 2014).

    column_axis: the axis of the columns; all others together are the rows.

    >>> import fnn, fnn.numpy as fnp
    >>> w = orthogonal()(fnn.random.key(0), (5, 3))
    >>> bool(fnp.allclose(w.T @ w, fnp.eye(3), atol=1e-5))
    True
    """

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Array:
        kind = _dtype(dtype)
        if len(shape) < 2:
            raise ShapeError(
                f"orthogonal, at {describe(here())}: a weight of shape {tuple(shape)} is no matrix; two axes are needed"
            )
        columns = shape[column_axis]
        rows = math.prod(shape) // columns if columns else 0
        tall = (max(rows, columns), min(rows, columns))
        q, r = fnp.linalg.qr(random.normal(key, tall, kind))
        q = q * fnp.sign(fnp.diagonal(r))  # uniform among orthogonal matrices (Mezzadri, 2007)
        q = q.T if rows < columns else q
        q = q.reshape((*(n for i, n in enumerate(shape) if i != column_axis % len(shape)), columns))
        return scale * fnp.moveaxis(q, -1, column_axis)

    return init


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Convolution kernels [..., in, out] that are an orthogonal matrix in the middle and zero around it, so that deep
    networks keep the lengths of signals (Xiao et al., 2018). in is at most out."""

    def init(key: Any, shape: Sequence[int], dtype: Any = dtype) -> Array:
        kind = _dtype(dtype)
        if len(shape) not in (3, 4, 5) or shape[-1] < shape[-2]:
            raise ShapeError(
                f"delta_orthogonal, at {describe(here())}: a kernel of shape {tuple(shape)}; it needs one to three axes of "
                "space, and at least as many channels out as in"
            )
        matrix = orthogonal(scale, column_axis, kind)(key, shape[-2:])
        middle = tuple((n - 1) // 2 for n in shape[:-2])
        return zeros(key, shape, kind).at[middle].set(matrix)

    return init
