"""Convolutions of any number of spatial axes, under JAX's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.lax.elementwise import operands
from fnn.lax.padding import explicit_pads
from fnn.primitives.convolution import ConvDimensionNumbers

Sizes = Sequence[int]


def conv_dimension_numbers(
    lhs_shape: Sizes, rhs_shape: Sizes, dimension_numbers: Any
) -> ConvDimensionNumbers:
    """How the axes of a convolution correspond, from three strings such as ("NHWC", "HWIO", "NHWC"); None is
    batch, features, then space.

    Raises ArgumentError for strings that do not fit the shapes.

    >>> conv_dimension_numbers((1, 8, 8, 3), (3, 3, 3, 4), ("NHWC", "HWIO", "NHWC")).lhs_spec
    (0, 3, 1, 2)
    """
    rank = len(lhs_shape)
    if len(rhs_shape) != rank or rank < 2:
        raise ShapeError(
            f"a convolution of shapes {tuple(lhs_shape)} and {tuple(rhs_shape)}, at {describe(here())}: both "
            "need the same number of axes, at least two"
        )
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    if dimension_numbers is None:
        order = tuple(range(rank))
        return ConvDimensionNumbers(order, order, order)
    specs = tuple(dimension_numbers)
    if len(specs) != 3 or not all(isinstance(s, str) for s in specs):
        raise ArgumentError(
            f"dimension_numbers are three strings, such as ('NHWC', 'HWIO', 'NHWC'), not {dimension_numbers!r}, "
            f"at {describe(here())}"
        )
    lhs, rhs, out = specs
    space = [c for c in rhs if c not in "OI"]
    good = all(len(s) == rank and len(set(s)) == rank for s in specs) and "O" in rhs and "I" in rhs
    if not (good and all(set(s) == {"N", "C", *space} for s in (lhs, out))):
        raise ArgumentError(
            f"dimension_numbers {specs} for {rank} axes, at {describe(here())}: N and C (O and I in the second "
            "string) and one letter per spatial axis, the same letters in all three"
        )
    image = lambda s: (s.index("N"), s.index("C"), *[s.index(c) for c in space])
    kernel = (rhs.index("O"), rhs.index("I"), *[rhs.index(c) for c in space])
    return ConvDimensionNumbers(image(lhs), kernel, image(out))


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sizes,
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sizes | None = None,
    rhs_dilation: Sizes | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The convolution of machine learning: each output is a sum of products of a window of lhs with rhs, not mirrored.

    lhs: a batch of images with features; rhs: kernels; dimension_numbers says which axes are which (None: NC and space,
    OI and space). padding: "SAME", "SAME_LOWER", "VALID", or (low, high) per spatial axis. lhs_dilation, rhs_dilation:
    zeros put between elements, less one. feature_group_count: groups of features convolved apart. precision is accepted
    and ignored.

    Raises ShapeError where sizes do not fit, ArgumentError for dimension numbers or padding it does not know."""
    x, w = operands_any_shape("conv_general_dilated", lhs, rhs)
    numbers = conv_dimension_numbers(x.shape, w.shape, dimension_numbers)
    n = x.ndim - 2
    strides, before, holes = (
        _sizes("conv_general_dilated", what, s, n)
        for what, s in (
            ("window_strides", window_strides),
            ("lhs_dilation", lhs_dilation),
            ("rhs_dilation", rhs_dilation),
        )
    )
    space = [_dilated(x.shape[d], k) for d, k in zip(numbers.lhs_spec[2:], before, strict=True)]
    window = [_dilated(w.shape[d], k) for d, k in zip(numbers.rhs_spec[2:], holes, strict=True)]
    out = (
        None if preferred_element_type is None else dtypes.canonicalize(preferred_element_type, explicit=True)
    )
    return P.conv_general_dilated(
        x,
        w,
        window_strides=strides,
        padding=explicit_pads("conv_general_dilated", space, window, strides, padding),
        lhs_dilation=before,
        rhs_dilation=holes,
        dimension_numbers=numbers,
        feature_group_count=int(feature_group_count),
        batch_group_count=int(batch_group_count),
        out_dtype=out,
    )


def operands_any_shape(name: str, x: Any, y: Any) -> tuple[Array, Array]:
    """Two arrays of one dtype: DtypeError where they differ."""
    a, b = as_array(x), as_array(y)
    if a.dtype != b.dtype:
        operands(name, P.zeros(a.aval.update(shape=())), P.zeros(b.aval.update(shape=())))  # raises
    return a, b


def _sizes(name: str, what: str, given: Sizes | None, n: int) -> tuple[int, ...]:
    out = (1,) * n if given is None else tuple([int(k) for k in given])
    if len(out) != n or any(k < 1 for k in out):
        raise ShapeError(
            f"lax.{name}: {what} {out} for {n} spatial axes, at {describe(here())}; one positive number each"
        )
    return out


def _dilated(size: int, dilation: int) -> int:
    return size if size == 0 else (size - 1) * dilation + 1


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sizes,
    padding: str,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """conv_general_dilated of NC and space with OI and space."""
    return conv_general_dilated(
        lhs, rhs, window_strides, padding, preferred_element_type=preferred_element_type
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sizes,
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sizes | None,
    rhs_dilation: Sizes | None,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """conv_general_dilated of NC and space with OI and space, with dilations."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        preferred_element_type=preferred_element_type,
    )


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sizes,
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sizes | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The transpose of a strided convolution ("deconvolution"): lhs is spread out by the strides, then convolved.

    padding: "SAME" (size times stride), "VALID", or (low, high) per spatial axis of the spread-out convolution.
    dimension_numbers: None is NC.., OI.. for 3 or more spatial axes and N..C, ..IO below. transpose_kernel: rhs is the
    kernel of the forward convolution; its spatial axes are mirrored and its features exchanged."""
    x, w = operands_any_shape("conv_transpose", lhs, rhs)
    n = x.ndim - 2
    if dimension_numbers is None:
        letters = {0: "", 1: "H", 2: "HW", 3: "HWD"}.get(n)
        if letters is None:
            raise ArgumentError(
                f"lax.conv_transpose of {n} spatial axes needs dimension_numbers, at {describe(here())}"
            )
        dimension_numbers = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    numbers = conv_dimension_numbers(x.shape, w.shape, dimension_numbers)
    steps, holes = (
        _sizes("conv_transpose", what, s, n)
        for what, s in (("strides", strides), ("rhs_dilation", rhs_dilation))
    )
    window = [_dilated(w.shape[d], k) for d, k in zip(numbers.rhs_spec[2:], holes, strict=True)]
    if isinstance(padding, str):
        pads = [_transposed_pads(k, s, padding) for k, s in zip(window, steps, strict=True)]
    else:
        pads = [(int(a), int(b)) for a, b in padding]
    if transpose_kernel:
        w = P.rev(w, axes=numbers.rhs_spec[2:])
        o, i = numbers.rhs_spec[:2]
        perm = list(range(w.ndim))
        perm[o], perm[i] = i, o
        w = P.transpose(w, perm=tuple(perm))
    return conv_general_dilated(
        x, w, (1,) * n, pads, steps, holes, numbers, preferred_element_type=preferred_element_type
    )


def _transposed_pads(window: int, stride: int, padding: str) -> tuple[int, int]:
    """What a convolution padded "SAME" or "VALID" needs around its result for its transpose."""
    kind = padding.upper()
    if kind not in ("SAME", "VALID"):
        raise ArgumentError(
            f"lax.conv_transpose: the padding is 'SAME', 'VALID' or pairs, not {padding!r}, at {describe(here())}"
        )
    if kind == "SAME":
        total = window + stride - 2
        low = window - 1 if stride > window - 1 else int(np.ceil(total / 2))
    else:
        total = window + stride - 2 + max(window - stride, 0)
        low = window - 1
    return low, total - low


__all__ = [
    "ConvDimensionNumbers",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_transpose",
    "conv_with_general_padding",
]
