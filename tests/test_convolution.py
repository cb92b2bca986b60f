"""Convolutions against plain loops: their meaning, their loop program, their derivatives and their errors."""

import itertools
from typing import Any

import numpy as np
import pytest
from primitive_kernels import assert_same, run_kernel, vjp

from fnn import dtypes
from fnn.core.array import from_numpy
from fnn.errors import DtypeError, ShapeError
from fnn.primitives import ConvDimensionNumbers, conv_general_dilated
from fnn.primitives.convolution import CHANNELS_FIRST, CHANNELS_LAST, direct_convolution
from fnn.primitives.convolution_geometry import Convolution
from fnn.primitives.convolution_kernels import Arrangement
from fnn.transforms.jit import jit

PRINTERS = ("interpreter", "vector64", "vector16", "numba")


def parameters(numbers: ConvDimensionNumbers, **given: Any) -> dict[str, Any]:
    ones = (1,) * (len(numbers.lhs_spec) - 2)
    return {
        "window_strides": ones,
        "padding": ((0, 0),) * len(ones),
        "lhs_dilation": ones,
        "rhs_dilation": ones,
        "dimension_numbers": numbers,
        "feature_group_count": 1,
        "batch_group_count": 1,
        "out_dtype": None,
        **given,
    }


def reference(lhs: np.ndarray, rhs: np.ndarray, p: dict[str, Any]) -> np.ndarray:
    """One product at a time, in float64."""
    numbers = p["dimension_numbers"]
    x = lhs.transpose(numbers.lhs_spec).astype(np.float64)
    w = rhs.transpose(numbers.rhs_spec).astype(np.float64)
    by_feature, by_batch = p["feature_group_count"], p["batch_group_count"]
    batch, features = x.shape[0] // by_batch, w.shape[1]
    each = w.shape[0] // max(by_feature, by_batch)
    extents = []
    for d, (low, high) in enumerate(p["padding"]):
        whole = (x.shape[d + 2] - 1) * p["lhs_dilation"][d] + 1 + low + high
        window = (w.shape[d + 2] - 1) * p["rhs_dilation"][d] + 1
        extents.append(max(0, (whole - window) // p["window_strides"][d] + 1))
    out = np.zeros((batch, w.shape[0], *extents))
    for place in np.ndindex(*extents):
        for tap in np.ndindex(*w.shape[2:]):
            at = []
            for d, (o, k) in enumerate(zip(place, tap, strict=True)):
                moved = o * p["window_strides"][d] - p["padding"][d][0] + k * p["rhs_dilation"][d]
                if moved % p["lhs_dilation"][d] == 0 and 0 <= moved // p["lhs_dilation"][d] < x.shape[d + 2]:
                    at.append(moved // p["lhs_dilation"][d])
            if len(at) < len(place):
                continue
            for f in range(w.shape[0]):
                first = f // each * features if by_feature > 1 else 0
                row = f // each * batch if by_batch > 1 else 0
                seen = x[(slice(row, row + batch), slice(first, first + features), *at)]
                out[(slice(None), f, *place)] += seen @ w[(f, slice(None), *tap)]
    return out.transpose(np.argsort(numbers.out_spec))


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small integers, whose sums are exact in every dtype and order."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def order(n: int) -> ConvDimensionNumbers:
    axes = tuple(range(n + 2))
    return ConvDimensionNumbers(axes, axes, axes)


LINES = ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (0, 2, 1))  # batch, positions, features
COLUMNS_LAST = ConvDimensionNumbers((0, 1, 2, 3), (3, 2, 0, 1), (0, 3, 1, 2))  # of the image
INPUTS_LAST = ConvDimensionNumbers((0, 3, 1, 2), (0, 3, 1, 2), (0, 1, 2, 3))
SAME = {"padding": ((1, 1), (1, 1))}
# image, kernel, parameters; the output features are last, as the loop program has them
DIRECT: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 5, 17, 3), (3, 3, 3, 2), parameters(CHANNELS_LAST, **SAME)),
    ((1, 2, 20, 17), (3, 3, 17, 32), parameters(CHANNELS_LAST, **SAME)),
    ((2, 6, 9, 4), (3, 2, 4, 80), parameters(CHANNELS_LAST, window_strides=(2, 3), padding=((1, 2), (0, 5)))),
    ((2, 6, 9, 4), (3, 3, 4, 5), parameters(CHANNELS_LAST, rhs_dilation=(2, 3), padding=((-1, 2), (4, -2)))),
    ((1, 3, 4, 3), (3, 3, 3, 17), parameters(CHANNELS_LAST, lhs_dilation=(2, 3), padding=((1, 1), (2, 3)))),
    ((1, 3, 4, 2), (3, 4, 2, 4), parameters(CHANNELS_LAST, lhs_dilation=(4, 3), rhs_dilation=(2, 3),
                                            window_strides=(2, 2), padding=((3, 3), (4, 4)))),
    ((2, 5, 6, 16), (3, 3, 1, 16), parameters(CHANNELS_LAST, feature_group_count=16, **SAME)),
    ((2, 5, 6, 4), (2, 2, 2, 6), parameters(CHANNELS_LAST, feature_group_count=2)),
    ((2, 5, 6, 4), (2, 2, 2, 40), parameters(CHANNELS_LAST, feature_group_count=2)),
    ((4, 5, 6, 3), (2, 2, 3, 6), parameters(CHANNELS_LAST, batch_group_count=2)),
    ((18, 4, 3), (4, 3, 36), parameters(LINES, batch_group_count=2)),
    ((20, 3, 2), (3, 2, 7), parameters(LINES, padding=((1, 1),))),  # few positions: rows are batch elements
    ((3, 100, 2), (90, 2, 9), parameters(LINES)),  # many taps
    ((3, 100, 2), (90, 2, 9), parameters(LINES, padding=((4, 0),), lhs_dilation=(2,))),
    ((17, 9, 9, 2), (8, 8, 2, 20), parameters(CHANNELS_LAST)),  # the gradient of a kernel is like this
    ((1, 2500, 1), (3, 1, 1), parameters(LINES)),
    ((2, 3, 4, 2, 3), (2, 3, 2, 3, 5), parameters(
        ConvDimensionNumbers((0, 4, 1, 2, 3), (4, 3, 0, 1, 2), (0, 4, 1, 2, 3)),
        window_strides=(1, 2, 1), padding=((1, 0), (1, 1), (0, 2)))),
    ((3, 4), (4, 5), parameters(ConvDimensionNumbers((0, 1), (1, 0), (0, 1)))),
    ((1, 5, 40, 17), (3, 5, 17, 16), parameters(CHANNELS_LAST, window_strides=(1, 2), padding=((2, 0), (3, 1)))),
    ((2, 18, 7, 6), (3, 2, 18, 17), parameters(COLUMNS_LAST, padding=((1, 1), (2, 2)))),
    ((2, 5, 6, 34), (2, 2, 17, 24), parameters(CHANNELS_LAST, feature_group_count=2, **SAME)),
    ((3, 9, 9, 2), (7, 7, 2, 20), parameters(CHANNELS_LAST)),  # few positions of few batch elements
    ((4, 10, 10, 2), (8, 8, 2, 33), parameters(CHANNELS_LAST)),
    # columns are last
    ((2, 3, 5, 40), (6, 3, 3, 3), parameters(CHANNELS_FIRST, **SAME)),
    ((2, 6, 18, 7), (6, 1, 3, 2), parameters(CHANNELS_FIRST, feature_group_count=6, window_strides=(1, 2), **SAME)),
    ((1, 4, 3, 12), (6, 2, 3, 3), parameters(CHANNELS_FIRST, feature_group_count=2, lhs_dilation=(2, 3),
                                             padding=((1, 1), (2, 3)))),
    ((2, 2, 4, 20), (3, 2, 3, 4), parameters(CHANNELS_FIRST, lhs_dilation=(4, 3), rhs_dilation=(2, 3),
                                             window_strides=(2, 2), padding=((3, 3), (4, 4)))),
    ((2, 3, 33), (2, 3, 4), parameters(order(1), padding=((2, -1),))),
    # input features are last
    ((2, 5, 17, 19), (3, 3, 3, 19), parameters(INPUTS_LAST, **SAME)),
    ((2, 6, 9, 40), (5, 3, 2, 40), parameters(INPUTS_LAST, window_strides=(2, 3), padding=((1, 2), (0, 5)))),
    ((2, 6, 9, 9), (5, 3, 2, 9), parameters(INPUTS_LAST)),
    ((1, 3, 4, 130), (2, 3, 3, 130), parameters(INPUTS_LAST, lhs_dilation=(2, 3), padding=((1, 1), (2, 3)))),
    ((1, 3, 4, 17), (4, 3, 4, 17), parameters(INPUTS_LAST, lhs_dilation=(4, 3), rhs_dilation=(2, 3),
                                              window_strides=(2, 2), padding=((3, 3), (4, 4)))),
    ((2, 5, 6, 34), (26, 2, 2, 17), parameters(INPUTS_LAST, feature_group_count=2, **SAME)),
    ((4, 5, 6, 16), (4, 2, 2, 16), parameters(INPUTS_LAST, batch_group_count=2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "printer"),
    [
        (case, printer)
        for case in range(len(DIRECT))
        for printer in PRINTERS
        if printer != "numba" or case < 5 or case >= len(DIRECT) - 14
    ],
)
def test_loop_program(case: int, printer: str, rng: np.random.Generator) -> None:
    lhs_shape, rhs_shape, p = DIRECT[case]
    lhs, rhs = drawn(rng, *lhs_shape), drawn(rng, *rhs_shape)
    want = reference(lhs, rhs, p).astype(np.float32)
    assert_same(run_kernel(direct_convolution, [lhs, rhs], p, printer)[0], want)
    assert_same(conv_general_dilated(lhs, rhs, **p).value, want)


@pytest.mark.parametrize("code", ["f8", "f2", dtypes.bfloat16, "i1", "i4", "u2", "i8"], ids=str)
@pytest.mark.parametrize("case", [0, 4, 6, 11, 12])
def test_loop_program_of_other_dtypes(case: int, code: Any, rng: np.random.Generator) -> None:
    lhs_shape, rhs_shape, p = DIRECT[case]
    lhs, rhs = (drawn(rng, *s).astype(np.dtype(code)) for s in (lhs_shape, rhs_shape))
    want = reference(lhs, rhs, p)
    want = want.astype(np.int64).astype(lhs.dtype) if lhs.dtype.kind in "iu" else want.astype(lhs.dtype)
    assert_same(run_kernel(direct_convolution, [lhs, rhs], p, "vector64")[0], want)
    wide = {**p, "out_dtype": np.dtype("float64" if dtypes.is_float(lhs.dtype) else "int64")}
    want = reference(lhs, rhs, p).astype(wide["out_dtype"])
    assert_same(run_kernel(direct_convolution, [lhs, rhs], wide, "vector64")[0], want)


@pytest.mark.parametrize("case", [1, 3, 7, 10, 12, 14, 15])
def test_tiles_are_independent(case: int, rng: np.random.Generator) -> None:
    """In any order they give the same bits."""
    lhs_shape, rhs_shape, p = DIRECT[case]
    lhs, rhs = (rng.standard_normal(s).astype(np.float32) for s in (lhs_shape, rhs_shape))
    forwards = run_kernel(direct_convolution, [lhs, rhs], p, "vector64")[0]
    assert_same(run_kernel(direct_convolution, [lhs, rhs], p, "vector64", backwards=True)[0], forwards)


def test_every_arrangement_is_met() -> None:
    """The cases above take all ways through the loop program."""
    plans = []
    for lhs, rhs, p in DIRECT:
        aval = from_numpy(np.zeros(lhs, np.float32), np.dtype(np.float32))
        out = conv_general_dilated(aval, np.zeros(rhs, np.float32), **p)
        plans.append(Arrangement.of(Convolution.of(lhs, rhs, out.shape, p), "f4", True))
    for name in ("by_batch", "shared", "spread"):
        assert {getattr(plan, name) for plan in plans} == {True, False}, name
    assert {plan.vectors for plan in plans} == {1, 2}
    assert {(plan.by_batch, plan.spread) for plan in plans} == set(itertools.product((True, False), repeat=2))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_every_order_of_axes(n: int, rng: np.random.Generator) -> None:
    """Compiled, with axes in random orders, grouped and not; the same image and kernel throughout."""
    image, kernel = drawn(rng, 4, 6, *(5, 4, 3)[:n]), drawn(rng, 8, 3, *(2, 3, 2)[:n])
    p = parameters(order(n), padding=((1, 0), (0, 2), (1, 1))[:n], feature_group_count=2)
    want = reference(image, kernel, p)
    for _ in range(4):
        ls, rs, os = (tuple(map(int, rng.permutation(n + 2))) for _ in range(3))
        q = {**p, "dimension_numbers": ConvDimensionNumbers(ls, rs, os)}
        lhs = np.ascontiguousarray(image.transpose(np.argsort(ls)))
        rhs = np.ascontiguousarray(kernel.transpose(np.argsort(rs)))
        moved = want.transpose(np.argsort(os)).astype(np.float32)
        arrays = [from_numpy(a, a.dtype) for a in (lhs, rhs)]
        for f in (conv_general_dilated, jit(conv_general_dilated, static_argnames=tuple(q))):
            np.testing.assert_array_equal(f(*arrays, **q).value, moved)


def test_one_tap_is_a_product(rng: np.random.Generator) -> None:
    lhs, rhs = drawn(rng, 2, 3, 4, 5), drawn(rng, 7, 5, 1, 1)
    numbers = ConvDimensionNumbers((0, 3, 1, 2), (0, 1, 2, 3), (2, 0, 3, 1))
    p = parameters(numbers)
    got = jit(lambda x, w: conv_general_dilated(x, w, **p))(
        from_numpy(lhs, lhs.dtype), from_numpy(rhs, rhs.dtype)
    )
    np.testing.assert_array_equal(got.value, reference(lhs, rhs, p))


GRADIENTS = [
    ((2, 3, 6, 5), (4, 3, 3, 2), parameters(CHANNELS_FIRST, window_strides=(2, 1), padding=((1, 1), (0, 2)))),
    ((2, 3, 5, 5), (4, 3, 2, 2), parameters(CHANNELS_FIRST, lhs_dilation=(2, 1), rhs_dilation=(1, 3))),
    (
        (2, 4, 5, 5),
        (6, 2, 3, 3),
        parameters(CHANNELS_FIRST, feature_group_count=2, padding=((-1, 1), (1, 0))),
    ),
    ((4, 3, 5, 4), (6, 3, 3, 3), parameters(CHANNELS_FIRST, batch_group_count=2, window_strides=(3, 2))),
    ((2, 9, 8, 3), (3, 3, 3, 4), parameters(CHANNELS_LAST, window_strides=(2, 2), **SAME)),
]


@pytest.mark.parametrize("case", range(len(GRADIENTS)))
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_by_the_definition(case: int, compiled: bool, rng: np.random.Generator) -> None:
    """The convolution is linear in each operand: its value at unit arrays gives every entry of a gradient."""
    lhs_shape, rhs_shape, p = GRADIENTS[case]
    lhs, rhs = drawn(rng, *lhs_shape), drawn(rng, *rhs_shape)
    ct = drawn(rng, *reference(lhs, rhs, p).shape)

    def gradients(x: Any, w: Any, c: Any) -> list[Any]:
        return vjp(conv_general_dilated, (True, True), (x, w), p)[1](c)

    arrays = [from_numpy(a, a.dtype) for a in (lhs, rhs, ct)]
    got = (jit(gradients) if compiled else gradients)(*arrays)
    for side, (operand, grad) in enumerate(zip((lhs, rhs), got, strict=True)):
        assert grad.shape == operand.shape
        for at in rng.integers(0, operand.size, 12):
            unit = np.zeros_like(operand)
            unit.flat[at] = 1
            both = (unit, rhs) if side == 0 else (lhs, unit)
            assert grad.value.flat[at] == np.sum(ct * reference(*both, p))


@pytest.mark.parametrize(
    ("lhs", "rhs", "given", "message"),
    [
        ((2, 3, 4), (5, 4, 2), {}, "takes 4 in each of 1 groups"),
        ((2, 3, 4), (5, 3), {}, "same number of axes"),
        ((2, 4, 4), (5, 2, 2), {"feature_group_count": 2}, "do not divide into 2 groups"),
        ((3, 4, 4), (4, 4, 2), {"batch_group_count": 2}, "batch of 3 does not divide"),
        ((4, 4, 4), (4, 2, 2), {"batch_group_count": 2, "feature_group_count": 2}, "one of them must be 1"),
        ((2, 3, 4), (5, 3, 2), {"window_strides": (0,)}, "entry below 1"),
        ((2, 3, 4), (5, 3, 2), {"padding": ((1, 1), (0, 0))}, "2 entries for 1 spatial axes"),
        ((2, 3, 4), (5, 3, 2), {"padding": ((-3, -2),)}, "takes more away"),
        ((2, 3, 4), (5, 3, 2), {"dimension_numbers": ConvDimensionNumbers((0, 1, 1), (0, 1, 2), (0, 1, 2))},
         "does not name each of the axes"),
    ],
)  # fmt: skip
def test_errors(lhs: Any, rhs: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        conv_general_dilated(
            np.zeros(lhs, np.float32), np.zeros(rhs, np.float32), **{**parameters(order(1)), **given}
        )


def test_dtypes_must_agree() -> None:
    with pytest.raises(DtypeError, match="differ in dtype"):
        conv_general_dilated(np.zeros((1, 1, 3), np.float32), np.zeros((1, 1, 2)), **parameters(order(1)))


def test_features_must_be_last_for_the_loop_program() -> None:
    numbers = ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (1, 2, 0))
    with pytest.raises(ShapeError, match="conv_general_dilated takes any order"):
        direct_convolution(np.zeros((1, 1, 3)), np.zeros((1, 1, 2)), **parameters(numbers))
