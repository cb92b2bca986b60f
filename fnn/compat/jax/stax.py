"""`jax.example_libraries.stax`: a layer is two functions, `init(rng, input_shape) -> (output_shape, params)` and
`apply(params, inputs, **kwargs) -> outputs`. In new programs, use `fnn.nn`.

>>> import fnn
>>> init, apply = serial(Dense(8), Relu, Dense(2), LogSoftmax)
>>> shape, params = init(fnn.random.key(0), (-1, 4))
>>> shape, apply(params, fnn.numpy.ones((3, 4))).shape
((-1, 2), (3, 2))
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import fnn.numpy as fnp
from fnn import dtypes, lax, random
from fnn.errors import ArgumentError
from fnn.nn import elu, gelu, leaky_relu, log_softmax, relu, selu, sigmoid, softmax, softplus, standardize
from fnn.nn.initializers import glorot_normal, normal, ones, zeros
from fnn.transforms.flattening import ShapeDtypeStruct
from fnn.transforms.shapes import eval_shape

Shape = tuple[int, ...]
Layer = tuple[Callable[..., Any], Callable[..., Any]]
glorot, randn, logsoftmax = glorot_normal, normal, log_softmax

__all__ = [
    "AvgPool", "BatchNorm", "Conv", "Conv1DTranspose", "ConvTranspose", "Dense", "Dropout", "Elu", "Exp", "FanInConcat",
    "FanInSum", "FanOut", "Flatten", "Gelu", "GeneralConv", "GeneralConvTranspose", "Identity", "LeakyRelu", "LogSoftmax",
    "MaxPool", "Relu", "Selu", "Sigmoid", "Softmax", "Softplus", "SumPool", "Tanh", "elementwise", "elu", "gelu", "glorot",
    "glorot_normal", "leaky_relu", "log_softmax", "logsoftmax", "normal", "ones", "parallel", "randn", "relu", "selu",
    "serial", "shape_dependent", "sigmoid", "softmax", "softplus", "standardize", "zeros",
]  # fmt: skip


def Dense(out_dim: int, W_init: Any = None, b_init: Any = None) -> Layer:
    """x @ W + b."""
    W_init, b_init = W_init or glorot_normal(), b_init or normal()

    def init(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        k1, k2 = random.split(rng)
        return (*input_shape[:-1], out_dim), (W_init(k1, (input_shape[-1], out_dim)), b_init(k2, (out_dim,)))

    def apply(params: Any, inputs: Any, **_: Any) -> Any:
        W, b = params
        return fnp.dot(inputs, W) + b

    return init, apply


def GeneralConv(
    dimension_numbers: Sequence[str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = None,
) -> Layer:
    """A convolution over any layout, such as ("NHWC", "HWIO", "NHWC")."""
    return _convolution(
        dimension_numbers, out_chan, filter_shape, strides, padding, W_init, b_init, lax.conv_general_dilated
    )


def GeneralConvTranspose(
    dimension_numbers: Sequence[str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    W_init: Any = None,
    b_init: Any = None,
) -> Layer:
    """A transposed convolution over any layout."""
    return _convolution(
        dimension_numbers, out_chan, filter_shape, strides, padding, W_init, b_init, lax.conv_transpose
    )


def _convolution(
    numbers: Sequence[str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: Any,
    W_init: Any,
    b_init: Any,
    convolve: Callable[..., Any],
) -> Layer:
    inputs_spec, filter_spec, out_spec = numbers
    steps = tuple(strides or (1,) * len(filter_shape))
    W_init = W_init or glorot_normal(filter_spec.index("I"), filter_spec.index("O"))
    b_init = b_init or normal(1e-6)

    def run(inputs: Any, W: Any) -> Any:
        return convolve(inputs, W, steps, padding, dimension_numbers=tuple(numbers))

    def init(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        sizes = iter(filter_shape)
        kernel = tuple(
            out_chan if c == "O" else input_shape[inputs_spec.index("C")] if c == "I" else next(sizes)
            for c in filter_spec
        )
        k1, k2 = random.split(rng)
        W = W_init(k1, kernel)
        out = _shape_of(lambda x: run(x, W), input_shape)
        return out, (W, b_init(k2, tuple(out_chan if c == "C" else 1 for c in out_spec)))

    def apply(params: Any, inputs: Any, **_: Any) -> Any:
        W, b = params
        return run(inputs, W) + b

    return init, apply


def _shape_of(f: Callable[[Any], Any], shape: Shape) -> Shape:
    """The shape of a result; a batch of -1 stays one."""
    known = tuple(1 if n == -1 else n for n in shape)
    out = eval_shape(f, ShapeDtypeStruct(known, dtypes.default_float())).shape
    return tuple(-1 if k < len(shape) and shape[k] == -1 else n for k, n in enumerate(out))


Conv = functools.partial(GeneralConv, ("NHWC", "HWIO", "NHWC"))
Conv1DTranspose = functools.partial(GeneralConvTranspose, ("NHC", "HIO", "NHC"))
ConvTranspose = functools.partial(GeneralConvTranspose, ("NHWC", "HWIO", "NHWC"))


def BatchNorm(
    axis: Sequence[int] = (0, 1, 2),
    epsilon: float = 1e-5,
    center: bool = True,
    scale: bool = True,
    beta_init: Any = zeros,
    gamma_init: Any = ones,
) -> Layer:
    """Batch normalisation by the batch's own mean and variance (Ioffe and Szegedy, 2015)."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)

    def init(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        shape = tuple(n for i, n in enumerate(input_shape) if i not in axes)
        k1, k2 = random.split(rng)
        return input_shape, (beta_init(k1, shape) if center else (), gamma_init(k2, shape) if scale else ())

    def apply(params: Any, x: Any, **_: Any) -> Any:
        beta, gamma = params
        spread = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        z = standardize(x, axes, epsilon=epsilon)
        z = z * gamma.reshape(spread) if scale else z
        return z + beta.reshape(spread) if center else z

    return init, apply


def elementwise(fun: Callable[..., Any], **fun_kwargs: Any) -> Layer:
    """A layer without parameters that applies a function to each element."""
    return (lambda rng, input_shape: (input_shape, ())), (lambda params, x, **_: fun(x, **fun_kwargs))


Tanh = elementwise(fnp.tanh)
Relu = elementwise(relu)
Exp = elementwise(fnp.exp)
LogSoftmax = elementwise(log_softmax, axis=-1)
Softmax = elementwise(softmax, axis=-1)
Softplus = elementwise(softplus)
Sigmoid = elementwise(sigmoid)
Elu = elementwise(elu)
LeakyRelu = elementwise(leaky_relu)
Selu = elementwise(selu)
Gelu = elementwise(gelu)


def _pooling(reducer: Any, start: float, rescale: bool = False) -> Callable[..., Layer]:
    def pool(
        window_shape: Sequence[int],
        strides: Sequence[int] | None = None,
        padding: str = "VALID",
        spec: str | None = None,
    ) -> Layer:
        steps = tuple(strides or (1,) * len(window_shape))
        layout = spec or "NHWC"[: 1 + len(window_shape)] + "C"
        around = {layout.index("N"), layout.index("C")}
        window, step = iter(window_shape), iter(steps)
        windows = tuple(1 if i in around else next(window) for i in range(len(layout)))
        strides_of = tuple(1 if i in around else next(step) for i in range(len(layout)))

        def run(x: Any) -> Any:
            out = lax.reduce_window(x, start, reducer, windows, strides_of, padding)
            if not rescale:
                return out
            count = lax.reduce_window(fnp.ones_like(x), 0.0, lax.add, windows, strides_of, padding)
            return out / count

        def init(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
            return _shape_of(run, input_shape), ()

        return init, (lambda params, inputs, **_: run(inputs))

    return pool


MaxPool = _pooling(lax.max, -math.inf)
SumPool = _pooling(lax.add, 0.0)
AvgPool = _pooling(lax.add, 0.0, rescale=True)


def _flatten() -> Layer:
    def init(rng: Any, input_shape: Shape) -> tuple[Shape, Any]:
        return (input_shape[0], math.prod(input_shape[1:])), ()

    return init, lambda params, inputs, **_: fnp.reshape(inputs, (inputs.shape[0], -1))


Flatten = _flatten()
Identity: Layer = (lambda rng, input_shape: (input_shape, ())), (lambda params, inputs, **_: inputs)


def FanOut(num: int) -> Layer:
    """The input, `num` times."""
    return (lambda rng, input_shape: ([input_shape] * num, ())), (lambda params, inputs, **_: [inputs] * num)


FanInSum: Layer = (
    (lambda rng, input_shape: (input_shape[0], ())),
    (lambda params, inputs, **_: functools.reduce(fnp.add, inputs)),
)


def FanInConcat(axis: int = -1) -> Layer:
    """Several inputs joined along an axis."""

    def init(rng: Any, input_shape: Sequence[Shape]) -> tuple[Shape, Any]:
        at = axis % len(input_shape[0])
        joined = sum(shape[at] for shape in input_shape)
        return (*input_shape[0][:at], joined, *input_shape[0][at + 1 :]), ()

    return init, lambda params, inputs, **_: fnp.concatenate(inputs, axis)


def Dropout(rate: float, mode: str = "train") -> Layer:
    """Keeps each element with the probability `rate`, divided by it; apply needs `rng=`."""

    def apply(params: Any, inputs: Any, *, rng: Any = None, **_: Any) -> Any:
        if rng is None:
            raise ArgumentError("Dropout: call apply(params, inputs, rng=key)")
        if mode != "train":
            return inputs
        keep = random.bernoulli(rng, rate, inputs.shape)
        return fnp.where(keep, inputs / rate, 0)

    return (lambda rng, input_shape: (input_shape, ())), apply


def serial(*layers: Layer) -> Layer:
    """Layers one after the other."""
    inits, applies = zip(*layers, strict=True)

    def init(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        params = []
        for init_layer in inits:
            rng, layer_rng = random.split(rng)
            input_shape, param = init_layer(layer_rng, input_shape)
            params.append(param)
        return input_shape, params

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        rng = kwargs.pop("rng", None)
        keys = random.split(rng, len(layers)) if rng is not None else (None,) * len(layers)
        for f, param, key in zip(applies, params, keys, strict=True):
            inputs = f(param, inputs, rng=key, **kwargs)
        return inputs

    return init, apply


def parallel(*layers: Layer) -> Layer:
    """Layers beside each other, one for each input of a list."""
    inits, applies = zip(*layers, strict=True)

    def init(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        keys = random.split(rng, len(layers))
        results = [f(key, shape) for f, key, shape in zip(inits, keys, input_shape, strict=True)]
        return [shape for shape, _ in results], [param for _, param in results]

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        rng = kwargs.pop("rng", None)
        keys = random.split(rng, len(layers)) if rng is not None else (None,) * len(layers)
        return [f(p, x, rng=k, **kwargs) for f, p, x, k in zip(applies, params, inputs, keys, strict=True)]

    return init, apply


def shape_dependent(make_layer: Callable[[Any], Layer]) -> Layer:
    """A layer that is made when the shape of its input is known."""

    def init(rng: Any, input_shape: Any) -> tuple[Any, Any]:
        return make_layer(input_shape)[0](rng, input_shape)

    def apply(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return make_layer(inputs.shape)[1](params, inputs, **kwargs)

    return init, apply
