"""Patches of images, convolutions with a kernel for every place, and the shapes of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.array import Array, as_array
from fnn.lax.arrangement import tile
from fnn.lax.convolution import conv_dimension_numbers, conv_general_dilated, conv_transpose
from fnn.lax.padding import explicit_pads
from fnn.lax.structure import dot_general, transpose
from fnn.primitives.convolution import ConvDimensionNumbers

Sizes = Sequence[int]
ConvGeneralDilatedDimensionNumbers = tuple[str, str, str] | ConvDimensionNumbers | None


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sizes,
    window_strides: Sizes,
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sizes | None = None,
    rhs_dilation: Sizes | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The windows that a convolution would see, each as the features of a place: for every feature of lhs in turn, the
    elements of its window row by row. Arguments as in conv_general_dilated."""
    x = as_array(lhs)
    window = tuple([int(n) for n in filter_shape])
    numbers = conv_dimension_numbers(x.shape, (1, 1, *window), dimension_numbers)
    size, channels = math.prod(window), x.shape[numbers.lhs_spec[1]]
    # a kernel for each element of the window: 1 there, 0 elsewhere
    one = as_array(np.eye(size, dtype=x.dtype).reshape(size, 1, *window))
    kernels = tile(one, (channels, 1, *[1] * len(window)))
    perm = [0] * x.ndim
    for place, d in enumerate(numbers.rhs_spec):
        perm[d] = place
    return conv_general_dilated(
        x,
        transpose(kernels, perm),
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=channels,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sizes,
    padding: str | Sequence[tuple[int, int]],
    filter_shape: Sizes,
    lhs_dilation: Sizes | None = None,
    rhs_dilation: Sizes | None = None,
    dimension_numbers: Any = None,
    precision: Any = None,
) -> Array:
    """A convolution with another kernel at every place: rhs holds, along its space axes, one for each place of the result,
    and along its input features the elements of `conv_general_dilated_patches`."""
    w = as_array(rhs)
    x = as_array(lhs)
    numbers = conv_dimension_numbers(x.shape, w.shape, dimension_numbers)
    patches = conv_general_dilated_patches(
        x, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, numbers, precision
    )
    out = numbers.out_spec
    pairs = sorted(zip(out[2:], numbers.rhs_spec[2:], strict=True))
    batch = tuple([a for a, _ in pairs]), tuple([b for _, b in pairs])
    product = dot_general(patches, w, (((out[1],), (numbers.rhs_spec[1],)), batch), precision)
    # the product's axes: space (in the order of the result's), batch, features
    perm = [0] * x.ndim
    for place, (d, _) in enumerate(pairs):
        perm[d] = place
    perm[out[0]], perm[out[1]] = x.ndim - 2, x.ndim - 1
    return transpose(product, perm)


# -- shapes -----------------------------------------------------------------------------------------------------------


def conv_general_permutations(
    dimension_numbers: Any,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Three strings such as ("NHWC", "HWIO", "NHWC") as the permutations that bring the arrays into the order NC, OI and NC
    followed by space."""
    rank = len(dimension_numbers[0])
    numbers = conv_dimension_numbers((1,) * rank, (1,) * rank, tuple(dimension_numbers))
    return tuple(numbers.lhs_spec), tuple(numbers.rhs_spec), tuple(numbers.out_spec)


def conv_shape_tuple(
    lhs_shape: Sizes, rhs_shape: Sizes, strides: Sizes, pads: Any, batch_group_count: int = 1
) -> tuple[int, ...]:
    """The shape of a convolution of NC and space with OI and space."""
    padded = explicit_pads("conv_shape_tuple", lhs_shape[2:], rhs_shape[2:], strides, pads)
    space = [
        max((n + a + b - k) // s + 1, 0)
        for n, k, s, (a, b) in zip(lhs_shape[2:], rhs_shape[2:], strides, padded, strict=True)
    ]
    return (lhs_shape[0] // batch_group_count, rhs_shape[0], *space)


def _placed(shape: Sizes, spec: Sizes) -> tuple[int, ...]:
    out = [0] * len(shape)
    for n, d in zip(shape, spec, strict=True):
        out[d] = n
    return tuple(out)


def conv_general_shape_tuple(
    lhs_shape: Sizes, rhs_shape: Sizes, window_strides: Sizes, padding: Any, dimension_numbers: Any
) -> tuple[int, ...]:
    """The shape of a convolution whose axes three strings name."""
    lhs, rhs, out = conv_general_permutations(dimension_numbers)
    shape = conv_shape_tuple(
        [lhs_shape[d] for d in lhs], [rhs_shape[d] for d in rhs], window_strides, padding
    )
    return _placed(shape, out)


def conv_transpose_shape_tuple(
    lhs_shape: Sizes, rhs_shape: Sizes, window_strides: Sizes, padding: Any, dimension_numbers: Any
) -> tuple[int, ...]:
    """The shape of conv_transpose."""
    from fnn.transforms.flattening import ShapeDtypeStruct
    from fnn.transforms.shapes import eval_shape

    given = [ShapeDtypeStruct(tuple(s), np.dtype("float32")) for s in (lhs_shape, rhs_shape)]
    call = lambda x, w: conv_transpose(
        x, w, window_strides, padding, dimension_numbers=tuple(dimension_numbers)
    )
    return tuple(eval_shape(call, *given).shape)


def reduce_window_shape_tuple(
    operand_shape: Sizes,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Any,
    base_dilation: Sizes | None = None,
    window_dilation: Sizes | None = None,
) -> tuple[int, ...]:
    """The shape of reduce_window."""
    spread = lambda sizes, by: [
        n if k == 1 or not n else (n - 1) * k + 1 for n, k in zip(sizes, by, strict=True)
    ]
    sizes = list(operand_shape) if base_dilation is None else spread(operand_shape, base_dilation)
    window = (
        list(window_dimensions) if window_dilation is None else spread(window_dimensions, window_dilation)
    )
    pads = explicit_pads("reduce_window_shape_tuple", sizes, window, window_strides, padding)
    return tuple(
        [
            max((n + a + b - k) // s + 1, 0)
            for n, k, s, (a, b) in zip(sizes, window, window_strides, pads, strict=True)
        ]
    )


__all__ = [
    "ConvGeneralDilatedDimensionNumbers",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_general_permutations",
    "conv_general_shape_tuple",
    "conv_shape_tuple",
    "conv_transpose_shape_tuple",
    "reduce_window_shape_tuple",
]
