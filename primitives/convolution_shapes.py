"""What a convolution is: the numbering of its axes, its type and its value in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.rules import HALVES, check_kinds


class ConvDimensionNumbers(NamedTuple):
    """Which axis is which. lhs_spec: (batch, feature, *spatial) of the image; rhs_spec: (output feature, input
    feature, *spatial) of the kernel; out_spec: (batch, feature, *spatial) of the result.

    NHWC with a kernel HWIO is ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))."""

    lhs_spec: tuple[int, ...]
    rhs_spec: tuple[int, ...]
    out_spec: tuple[int, ...]


# -- types ---------------------------------------------------------------------------------------------------


def dilated(size: int, dilation: int) -> int:
    """The extent of an axis with dilation - 1 zeros between its elements."""
    return 0 if size == 0 else (size - 1) * dilation + 1


def convolution_shape(
    lhs: Aval,
    rhs: Aval,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    out_dtype: np.dtype | None = None,
) -> Aval:
    name, n = "conv_general_dilated", lhs.ndim - 2
    check_kinds(name, (lhs, rhs), "iufc")
    ls, rs, os = dimension_numbers.lhs_spec, dimension_numbers.rhs_spec, dimension_numbers.out_spec

    def refuse(what: str) -> ShapeError:
        return ShapeError(f"{name}: {what}, for operands {lhs} and {rhs} at {describe(here())}")

    if n < 0 or rhs.ndim != lhs.ndim:
        raise refuse("the image and the kernel need the same number of axes, at least 2")
    for what, spec in (("lhs_spec", ls), ("rhs_spec", rs), ("out_spec", os)):
        if sorted(spec) != list(range(n + 2)):
            raise refuse(f"{what} {spec} does not name each of the axes 0 to {n + 1} once")
    settings = {
        "window_strides": window_strides, "padding": padding, "lhs_dilation": lhs_dilation,
        "rhs_dilation": rhs_dilation,
    }  # fmt: skip
    for what, given in settings.items():
        if len(given) != n:
            raise refuse(f"{what} has {len(given)} entries for {n} spatial axes")
        if what != "padding" and any(g < 1 for g in given):
            raise refuse(f"{what} {tuple(given)} has an entry below 1")
    if feature_group_count < 1 or batch_group_count < 1 or min(feature_group_count, batch_group_count) > 1:
        raise refuse(
            f"feature_group_count {feature_group_count} and batch_group_count {batch_group_count} must be at "
            "least 1, and one of them must be 1"
        )
    batch, features = lhs.shape[ls[0]], lhs.shape[ls[1]]
    outputs, inputs = rhs.shape[rs[0]], rhs.shape[rs[1]]
    if features != inputs * feature_group_count:
        raise refuse(
            f"the image has {features} features, the kernel takes {inputs} in each of {feature_group_count} "
            "groups"
        )
    groups = max(feature_group_count, batch_group_count)
    if outputs % groups:
        raise refuse(f"{outputs} output features do not divide into {groups} groups")
    if batch % batch_group_count:
        raise refuse(f"a batch of {batch} does not divide into {batch_group_count} groups")
    shape = [0] * (n + 2)
    shape[os[0]], shape[os[1]] = batch // batch_group_count, outputs
    for d in range(n):
        whole = dilated(lhs.shape[ls[d + 2]], lhs_dilation[d]) + sum(padding[d])
        window = dilated(rhs.shape[rs[d + 2]], rhs_dilation[d])
        if whole < 0:
            raise refuse(f"padding {tuple(padding[d])} takes more away than spatial axis {d} has")
        shape[os[d + 2]] = max(0, (whole - window) // window_strides[d] + 1)
    if lhs.dtype != rhs.dtype:
        raise DtypeError(
            f"{name}: the operands {lhs} and {rhs} differ in dtype, at {describe(here())}; convert one with "
            "x.astype(dtype)"
        )
    if out_dtype is not None and dtypes.kind(np.dtype(out_dtype)) not in (
        "c" if dtypes.is_complex(lhs.dtype) else "iufc"
    ):
        raise DtypeError(
            f"{name}: out_dtype {out_dtype} does not hold products of {lhs.dtype}, at {describe(here())}"
        )
    dtype = lhs.dtype if out_dtype is None else np.dtype(out_dtype)
    return Aval(tuple(shape), dtype, out_dtype is None and lhs.weak_type and rhs.weak_type)


def summed_in(lhs: np.dtype, out: np.dtype) -> np.dtype:
    """In which dtype products are summed: 16-bit floats in float32, to be rounded once."""
    wide = dtypes.promote_types(lhs, out)
    return np.dtype(np.float32) if wide in HALVES else np.dtype(wide)


# -- meaning -------------------------------------------------------------------------------------------------


def convolution_value(lhs: Any, rhs: Any, **p: Any) -> np.ndarray:
    lhs, rhs, numbers = np.asarray(lhs), np.asarray(rhs), p["dimension_numbers"]
    out = convolution_shape(Aval(lhs.shape, lhs.dtype), Aval(rhs.shape, rhs.dtype), **p)
    wide = summed_in(lhs.dtype, out.dtype)
    x = lhs.transpose(numbers.lhs_spec).astype(wide)
    x = padded(x, ((0, 0), (0, 0), *p["padding"]), (1, 1, *p["lhs_dilation"]))
    w = rhs.transpose(numbers.rhs_spec).astype(wide)
    n, by_batch = x.ndim - 2, p["batch_group_count"]
    groups = max(p["feature_group_count"], by_batch)
    extents = [out.shape[d] for d in numbers.out_spec[2:]]
    if 0 in (out.size, w.size):
        return np.zeros(out.shape, out.dtype)
    # windows[batch, feature, *positions, *taps]
    steps = x.strides[2:]
    windows = np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], *extents, *w.shape[2:]),
        (
            *x.strides[:2],
            *[s * k for s, k in zip(steps, p["window_strides"])],
            *[s * k for s, k in zip(steps, p["rhs_dilation"])],
        ),
        writeable=False,
    )
    parts = np.split(windows, groups, 0 if by_batch > 1 else 1)
    taps = range(2, n + 2)
    sums = [
        np.tensordot(part, kernel, ((1, *range(n + 2, 2 * n + 2)), (1, *taps)))
        for part, kernel in zip(parts, np.split(w, groups, 0), strict=True)
    ]
    whole = np.moveaxis(np.concatenate(sums, -1), -1, 1)
    return whole.transpose(np.argsort(numbers.out_spec)).astype(out.dtype)


def padded(
    x: np.ndarray, padding: Sequence[tuple[int, int]], dilation: Sequence[int], fill: Any = 0
) -> np.ndarray:
    """An array with `fill` between and around its elements; padding below 0 cuts."""
    wide = np.full([dilated(s, d) for s, d in zip(x.shape, dilation)], fill, x.dtype)
    wide[tuple([np.s_[::d] for d in dilation])] = x
    around = [(max(lo, 0), max(hi, 0)) for lo, hi in padding]
    wide = np.pad(wide, around, constant_values=fill) if any(map(any, around)) else wide
    return wide[tuple([np.s_[max(-lo, 0) : n - max(-hi, 0)] for (lo, hi), n in zip(padding, wide.shape)])]
