"""fnn.lax: JAX's names, argument names and strictness over the primitives, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, DtypeError, FnnError, IndexingError, ShapeError

X = np.array([[0.5, -1.5, 2.0, 0.25], [3.0, -0.75, 1.0, -2.0], [0.0, 1.25, -0.5, 4.0]], np.float32)
Y = np.array([[1.0, 2.0, -3.0, 0.5], [0.25, 4.0, -1.0, 2.5], [1.5, -0.5, 2.0, 1.0]], np.float32)
I = np.array([[3, -5, 7, 0], [-2, 9, 4, -8], [1, 6, -3, 2]], np.int32)  # noqa: E741  # integers

UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "exp": np.exp, "exp2": np.exp2,
    "expm1": np.expm1, "sin": np.sin, "cos": np.cos, "tan": np.tan, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "cbrt": np.cbrt, "square": np.square, "is_finite": np.isfinite,
    "logistic": lambda x: 1 / (1 + np.exp(-x)), "reciprocal": lambda x: 1 / x,
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "rem": np.fmod, "max": np.maximum,
    "min": np.minimum, "atan2": np.arctan2, "nextafter": np.nextafter, "eq": np.equal, "ne": np.not_equal, "lt": np.less,
    "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
BITS: dict[str, Callable[[Any, Any], Any]] = {
    "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
    "shift_left": lambda x, y: x << (y & 7), "shift_right_arithmetic": lambda x, y: x >> (y & 7),
}  # fmt: skip


def close(got: Any, want: Any) -> None:
    x, y = np.asarray(got), np.asarray(want)
    assert x.shape == y.shape and x.dtype == y.dtype, (x.shape, x.dtype, y.shape, y.dtype)
    np.testing.assert_allclose(x.astype(float), y.astype(float), rtol=2e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str) -> None:
    with np.errstate(divide="ignore"):
        close(getattr(lax, name)(X), UNARY[name](X))
    assert getattr(lax, name).__name__ == name


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name: str) -> None:
    f, want = getattr(lax, name), BINARY[name]
    close(f(X, Y), want(X, Y))
    close(f(x=X, y=Y), want(X, Y))
    close(f(X, 2), want(X, np.float32(2)))  # Python numbers take the array's dtype
    close(f(2.0, X + 9), want(np.float32(2), X + 9))
    close(f(X, Y[0, 0]), want(X, Y[0, 0]))  # scalars
    with pytest.raises(DtypeError, match="one dtype"):
        f(X, I)
    with pytest.raises(DtypeError, match="one dtype"):
        f(I, 1.5)
    with pytest.raises(ShapeError, match="broadcasts"):
        f(X, Y[0])


CONVOLUTIONS: list[tuple[tuple, tuple, dict[str, Any]]] = [
    ((2, 7, 8, 3), (3, 2, 3, 5), {"window_strides": (1, 1), "padding": "SAME"}),
    ((2, 7, 8, 3), (3, 2, 3, 5), {"window_strides": (2, 1), "padding": "VALID"}),
    ((2, 7, 8, 3), (3, 2, 3, 5), {"window_strides": (2, 3), "padding": "SAME_LOWER", "rhs_dilation": (2, 1)}),
    (
        (2, 7, 8, 4),
        (3, 2, 2, 6),
        {"window_strides": (1, 1), "padding": [(1, 2), (0, 1)], "feature_group_count": 2},
    ),
    (
        (1, 4, 5, 2),
        (2, 2, 2, 3),
        {"window_strides": (1, 1), "padding": [(1, 1), (2, 0)], "lhs_dilation": (2, 3)},
    ),
]


def convolved(
    x: np.ndarray,
    w: np.ndarray,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = (1, 1),
    rhs_dilation: Any = (1, 1),
    feature_group_count: int = 1,
) -> np.ndarray:
    """A convolution of NHWC with HWIO, written out."""
    n, height, width, channels = x.shape
    spread = np.zeros((n, (height - 1) * lhs_dilation[0] + 1, (width - 1) * lhs_dilation[1] + 1, channels))
    spread[:, :: lhs_dilation[0], :: lhs_dilation[1]] = x
    reach = [(w.shape[a] - 1) * rhs_dilation[a] + 1 for a in (0, 1)]
    if isinstance(padding, str):
        totals = [
            max(
                (-(-spread.shape[a + 1] // window_strides[a]) - 1) * window_strides[a]
                + reach[a]
                - spread.shape[a + 1],
                0,
            )
            for a in (0, 1)
        ]
        padding = {
            "VALID": [(0, 0), (0, 0)],
            "SAME": [(t // 2, t - t // 2) for t in totals],
            "SAME_LOWER": [(t - t // 2, t // 2) for t in totals],
        }[padding]
    image = np.pad(spread, ((0, 0), *padding, (0, 0)))
    groups, outs = feature_group_count, w.shape[3] // feature_group_count
    rows = range(0, image.shape[1] - reach[0] + 1, window_strides[0])
    columns = range(0, image.shape[2] - reach[1] + 1, window_strides[1])
    out = np.zeros((n, len(rows), len(columns), w.shape[3]))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            part = image[:, r : r + reach[0] : rhs_dilation[0], c : c + reach[1] : rhs_dilation[1]]
            for g in range(groups):
                mine = part[..., g * w.shape[2] : (g + 1) * w.shape[2]]
                out[:, i, j, g * outs : (g + 1) * outs] = np.einsum(
                    "nhwi,hwio->no", mine, w[..., g * outs : (g + 1) * outs]
                )
    return out.astype(np.float32)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case: Any, rng: np.random.Generator) -> None:
    x, w = (rng.normal(size=s).astype(np.float32) for s in case[:2])
    want = convolved(x, w, **case[2])
    got = lax.conv_general_dilated(x, w, dimension_numbers=("NHWC", "HWIO", "NHWC"), **case[2])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    planes = lax.conv_general_dilated(x.transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), **case[2])
    np.testing.assert_allclose(planes, want.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


def test_short_forms_of_convolution(rng: np.random.Generator) -> None:
    x, w = rng.normal(size=(2, 3, 6, 6)).astype(np.float32), rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    full = lax.conv_general_dilated(x, w, (2, 1), "SAME")
    close(lax.conv(x, w, (2, 1), "SAME"), full)
    close(lax.conv_with_general_padding(x, w, (2, 1), "SAME", None, None), full)
    with pytest.raises(DtypeError, match="one dtype"):
        lax.conv(x, w.astype(np.float16), (1, 1), "SAME")
    with pytest.raises(ArgumentError, match="SAME_LOWER"):
        lax.conv(x, w, (1, 1), "FULL")
    with pytest.raises(ArgumentError, match="three strings"):
        lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers="NHWC")
    with pytest.raises(ArgumentError, match="one letter"):
        lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWX"))
    with pytest.raises(ShapeError, match="window_strides"):
        lax.conv(x, w, (1,), "SAME")


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_conv_transpose_is_the_transpose_of_a_convolution(
    padding: str, stride: int, rng: np.random.Generator
) -> None:
    size = stride * 4 if padding == "SAME" else (4 - 1) * stride + max(3, stride)
    image, w = rng.normal(size=(1, size, 2)).astype(np.float32), rng.normal(size=(3, 2, 4)).astype(np.float32)
    forward = lambda x: lax.conv_general_dilated(
        x, w, (stride,), padding, dimension_numbers=("NHC", "HIO", "NHC")
    )
    y = rng.normal(size=forward(image).shape).astype(np.float32)
    assert y.shape[1] == 4
    got = lax.conv_transpose(
        y, w, (stride,), padding, dimension_numbers=("NHC", "HIO", "NHC"), transpose_kernel=True
    )
    assert got.shape == image.shape
    gradient = fnn.grad(lambda x: fnp.sum(forward(x) * y))(image)
    np.testing.assert_allclose(got, gradient, rtol=1e-4, atol=1e-5)


def test_padding_by_name() -> None:
    assert lax.padtype_to_pads((28, 27), (5, 4), (2, 1), "SAME") == [(1, 2), (1, 2)]
    assert lax.padtype_to_pads((28, 27), (5, 4), (2, 1), "SAME_LOWER") == [(2, 1), (2, 1)]
    assert lax.padtype_to_pads((28, 27), (5, 4), (2, 1), "VALID") == [(0, 0), (0, 0)]


def test_windows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    blocks = x.reshape(2, 3, 2, 3, 2, 3)
    for f in (lax.max, fnp.maximum):
        close(lax.reduce_window(x, -fnp.inf, f, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), blocks.max((2, 4)))
    close(lax.reduce_window(x, 1.0, lambda a, b: a + b, (1, 2, 2, 1), (1, 2, 2, 1)), blocks.sum((2, 4)) + 1)
    close(
        lax.reduce_window(X, np.inf, lax.min, (1, 3), None, "SAME"),
        np.minimum(
            np.minimum(X, np.pad(X, ((0, 0), (1, 0)), constant_values=np.inf)[:, :-1]),
            np.pad(X, ((0, 0), (0, 1)), constant_values=np.inf)[:, 1:],
        ),
    )
    close(lax.reduce_window(X, 0.0, lax.add, (1, 2), window_dilation=(1, 2)), X[:, :2] + X[:, 2:])
    pooled = fnn.jit(
        fnn.grad(lambda x: fnp.sum(lax.reduce_window(x, -fnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1))))
    )(x)
    want = (blocks == blocks.max((2, 4), keepdims=True)).astype(np.float32).reshape(x.shape)
    close(pooled, want)
    with pytest.raises(ShapeError, match="window_dimensions"):
        lax.reduce_window(X, 0.0, lax.add, (2,))
    with pytest.raises(DtypeError, match="init_value"):
        lax.reduce_window(I, np.float32(0), lax.add, (1, 2))
    close(lax.reduce_window(X, 0.0, lambda a, b: a + 2 * b, (1, 2)), 2 * (X[:, :-1] + X[:, 1:]))


@pytest.mark.parametrize("name", BITS)
def test_bits(name: str) -> None:
    close(getattr(lax, name)(I, np.abs(I) & 7), BITS[name](I, np.abs(I) & 7))


def test_counting_bits() -> None:
    x = np.array([0, 1, 255, 2**31], np.uint32)
    np.testing.assert_array_equal(lax.population_count(x), [0, 1, 8, 1])
    np.testing.assert_array_equal(lax.clz(x), [32, 31, 24, 0])
    np.testing.assert_array_equal(lax.shift_right_logical(np.int32([-1]), 28), [15])
    np.testing.assert_array_equal(lax.bitwise_not(np.array([True, False])), [False, True])


def test_integer_division_goes_towards_zero() -> None:
    np.testing.assert_array_equal(lax.div(np.int32([7, -7]), 2), [3, -3])
    np.testing.assert_array_equal(lax.rem(np.int32([7, -7]), 2), [1, -1])


def test_powers_rounding_choosing() -> None:
    close(lax.pow(np.abs(X), Y), np.abs(X) ** Y)
    close(lax.pow(X, 2), X**2)
    close(lax.integer_pow(X, 3), X**3)
    halves = np.float32([0.5, 1.5, -0.5, 2.5])
    np.testing.assert_array_equal(lax.round(halves), [1, 2, -1, 3])
    np.testing.assert_array_equal(lax.round(halves, lax.RoundingMethod.TO_NEAREST_EVEN), [0, 2, 0, 2])
    close(lax.clamp(-1, X, 1.5), np.clip(X, -1, 1.5).astype(np.float32))
    close(lax.select(X > 0, X, Y), np.where(X > 0, X, Y))
    close(lax.select_n(X > 0, X, Y), np.where(X > 0, Y, X))
    close(lax.select_n(np.abs(I) % 3, X, Y, -X), np.choose(np.abs(I) % 3, [X, Y, -X]))
    with pytest.raises(DtypeError, match="bool"):
        lax.select(X, X, Y)


def test_conversions() -> None:
    assert lax.convert_element_type(X, np.int32).dtype == np.int32
    assert lax.convert_element_type(X, "bfloat16").dtype.name == "bfloat16"
    close(lax.bitcast_convert_type(X, np.int32), X.view(np.int32))
    assert lax.bitcast_convert_type(X, np.uint8).shape == (3, 4, 4)


def test_making_and_arranging() -> None:
    close(lax.iota(np.int32, 4), np.arange(4, dtype=np.int32))
    close(
        lax.broadcasted_iota(np.float32, (2, 3), 1), np.broadcast_to(np.arange(3, dtype=np.float32), (2, 3))
    )
    close(lax.full((2, 2), 1.5), np.full((2, 2), 1.5, np.float32))
    close(lax.full_like(I, 2), np.full_like(I, 2))
    close(lax.broadcast(X, (2,)), np.broadcast_to(X, (2, 3, 4)))
    close(lax.broadcast_in_dim(X[0], (2, 4, 3), (1,)), np.broadcast_to(X[0][:, None], (2, 4, 3)))
    close(lax.reshape(X, (2, 6)), X.reshape(2, 6))
    close(lax.reshape(X, (2, 6), (1, 0)), X.T.reshape(2, 6))
    close(lax.transpose(X, (1, 0)), X.T)
    close(lax.rev(X, (1,)), X[:, ::-1])
    close(lax.expand_dims(X, (0, -1)), X[None, :, :, None])
    close(lax.squeeze(X[None], (0,)), X)
    close(lax.concatenate([X, Y], 1), np.concatenate([X, Y], 1))
    assert lax.broadcast_shapes((2, 1), (3,)) == (2, 3)
    want = np.full((8, 3), 9, np.float32)
    want[1:6:2] = X[:, 1:]
    close(lax.pad(X, 9.0, [(1, 2, 1), (-1, 0, 0)]), want)
    with pytest.raises(ShapeError, match="triples"):
        lax.pad(X, 0.0, [(1, 1, 0)])
    with pytest.raises(ShapeError, match="size 1"):
        lax.squeeze(X, (0,))
    with pytest.raises(ShapeError, match="ncompatible shapes for broadcasting"):
        lax.broadcast_shapes((2,), (3,))


def test_reductions() -> None:
    close(lax.reduce_sum(X, (0,)), X.sum(0))
    close(lax.reduce_max(X, (0, 1)), X.max())
    close(lax.reduce_and(X > -3, (1,)), (X > -3).all(1))
    close(lax.reduce_xor(I, (0,)), np.bitwise_xor.reduce(I, 0))
    close(lax.argmax(X, 1, np.int32), X.argmax(1).astype(np.int32))
    close(lax.cumsum(X, 1), X.cumsum(1))
    close(lax.cumprod(X, 0, reverse=True), X[::-1].cumprod(0)[::-1])
    close(lax.cummax(X, 1), np.maximum.accumulate(X, 1))
    close(lax.cumlogsumexp(X, 1), np.logaddexp.accumulate(X, 1))


@pytest.mark.parametrize("f", [lax.add, fnp.add, lambda a, b: a + b, lambda a, b: b + a])
def test_reduce_knows_addition_however_it_is_written(f: Any) -> None:
    close(lax.reduce(X, np.float32(1), f, (1,)), X.sum(1) + 1)


def test_reduce_of_pytrees_and_other_computations() -> None:
    larger = lambda a, b: (lax.max(a[0], b[0]), lax.select(b[0] > a[0], b[1], a[1]))
    high, place = lax.reduce((X, I), (np.float32(-np.inf), np.int32(0)), larger, (0, 1))
    assert float(high) == 4.0 and int(place) == I[2, 3]
    close(lax.reduce(X[:0], np.float32(7), lax.mul, (0,)), np.full(4, 7, np.float32))
    close(lax.reduce(X, 1.0, lambda a, b: a * 0.5 + b, (0,)), 0.125 + X[0] / 4 + X[1] / 2 + X[2])
    close(lax.reduce(X[:0], np.float32(7), lambda a, b: a * b + 1, (0,)), np.full(4, 7, np.float32))
    with pytest.raises(ArgumentError, match="must return such scalars"):
        lax.reduce(X, 0.0, lambda a, b: (a + b > 0) | False, (0,))


def test_products() -> None:
    close(lax.dot(X, Y.T), X @ Y.T)
    close(lax.dot(X, Y[0]), X @ Y[0])
    close(lax.dot_general(X, Y, (((1,), (1,)), ((0,), (0,)))), (X * Y).sum(1))
    close(lax.batch_matmul(np.stack([X, Y]), np.stack([Y.T, X.T])), np.stack([X @ Y.T, Y @ X.T]))
    half = lax.dot_general(
        X.astype(np.float16),
        Y.astype(np.float16),
        (((1,), (1,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=np.float32,
    )
    close(half, X @ Y.T)
    with pytest.raises(ShapeError, match="inner sizes"):
        lax.dot(X, Y)


def test_sorting() -> None:
    close(lax.sort(X), np.sort(X))
    keys, values = lax.sort_key_val(I, X, 0)
    order = np.argsort(I, 0)
    close(keys, np.take_along_axis(I, order, 0))
    close(values, np.take_along_axis(X, order, 0))
    values, places = lax.top_k(X, 2)
    close(values, np.sort(X)[:, :-3:-1])
    close(places, np.argsort(X)[:, :-3:-1].astype(np.int32))
    close(lax.approx_max_k(X, 2, reduction_dimension=0)[0], np.sort(X, 0)[:-3:-1])
    with pytest.raises(ShapeError, match="k=5"):
        lax.top_k(X, 5)


def test_slices() -> None:
    close(lax.slice(X, (1, 0), (3, 4), (1, 2)), X[1:3, ::2])
    close(lax.slice_in_dim(X, 1, -1, axis=1), X[:, 1:-1])
    close(lax.index_in_dim(X, -1, 1), X[:, -1:])
    close(lax.index_in_dim(X, 1, keepdims=False), X[1])
    close(lax.dynamic_slice(X, (1, 2), (2, 2)), X[1:3, 2:4])
    close(lax.dynamic_slice(X, (9, -1), (2, 2)), X[1:3, 2:4])  # moved inside; negative counts from the end
    close(lax.dynamic_slice(X, np.int32([1, 1]), (1, 2)), X[1:2, 1:3])
    close(lax.dynamic_slice_in_dim(X, 2, 2, 1), X[:, 2:4])
    close(fnn.jit(lambda i: lax.dynamic_index_in_dim(X, i, 1, False))(-1), X[:, -1])
    want = X.copy()
    want[1:3, 2:4] = Y[:2, :2]
    close(lax.dynamic_update_slice(X, Y[:2, :2], (1, 2)), want)
    want = X.copy()
    want[1] = Y[0]
    close(lax.dynamic_update_index_in_dim(X, Y[0], 1, 0), want)
    close(lax.dynamic_update_slice_in_dim(X, Y[:1], 1, 0), want)
    with pytest.raises(ShapeError, match="start indices"):
        lax.dynamic_slice(X, (1,), (2, 2))
    with pytest.raises(IndexingError, match="one integer"):
        lax.dynamic_slice(X, (1, 0.5), (2, 2))
    with pytest.raises(IndexingError, match="outside"):
        lax.index_in_dim(X, 3)


def test_gather_and_scatter() -> None:
    rows = np.array([[2], [0], [9]], np.int32)
    numbers = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    close(lax.gather(X, rows, numbers, (1, 4)), X[[2, 0, 2]])
    filled = np.concatenate([X[[2, 0]], np.full((1, 4), np.nan, np.float32)])
    close(lax.gather(X, rows, numbers, (1, 4), mode=lax.GatherScatterMode.FILL_OR_DROP), filled)
    places = lax.ScatterDimensionNumbers(
        update_window_dims=(1,), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,)
    )
    for name, ufunc in (("add", np.add), ("mul", np.multiply), ("min", np.minimum), ("max", np.maximum)):
        want = X.copy()
        want[2], want[0] = ufunc(X[2], Y[0]), ufunc(X[0], Y[1])  # the third is dropped
        close(getattr(lax, f"scatter_{name}")(X, rows, Y, places), want)
    want = X.copy()
    want[[2, 0]] = Y[:2]
    close(lax.scatter(X, rows, Y, places), want)
    want[2] = Y[2]
    close(lax.scatter(X, rows[[0, 1, 2]], Y, places, mode="clip"), want)
    with pytest.raises(ArgumentError, match="promise_in_bounds"):
        lax.gather(X, rows, numbers, (1, 4), mode="wrap")


def test_stop_gradient_takes_pytrees() -> None:
    f = lambda x: sum(lax.stop_gradient({"a": x, "n": 3}).values()) * x
    assert float(fnn.grad(f)(2.0)) == 5.0


def test_linear_algebra() -> None:
    a = (X @ X.T + 3 * np.eye(3)).astype(np.float32)
    factor = lax.linalg.cholesky(a)
    np.testing.assert_allclose(np.asarray(factor) @ np.asarray(factor).T, a, rtol=1e-5)
    solved = lax.linalg.triangular_solve(factor, X, left_side=True, lower=True)
    np.testing.assert_allclose(np.asarray(factor) @ np.asarray(solved), X, rtol=1e-4, atol=1e-5)


def test_everything_is_public_and_documented() -> None:
    for name in dir(lax):
        value = getattr(lax, name)
        if callable(value) and not name.startswith("_"):
            assert value.__doc__, f"lax.{name} has no docstring"
    assert not {"Any", "np", "P", "as_array", "operands", "annotations"} & set(dir(lax))


def test_errors_are_fnn_s_and_name_the_line() -> None:
    with pytest.raises(FnnError, match=r"test_lax\.py"):
        lax.add(X, I)
