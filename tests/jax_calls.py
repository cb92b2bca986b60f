"""Calls of fnn.lax, nn, image, ops and tree whose results JAX has given: values, dtypes, shapes, refusals, gradients.

A case is an expression over `NAMES`; tests/data/jax_calls.json holds what JAX 0.10.2 made of it, in a form that
`described` writes. `python -m tests.jax_calls`, where JAX is installed, records it again; the tests need no JAX.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.jax_transformation_calls import TRANSFORMATIONS

DATA = Path(__file__).parent / "data" / "jax_calls.json"
REFUSALS = (
    TypeError,
    ValueError,
    IndexError,
    NotImplementedError,
    NameError,
    AssertionError,
    AttributeError,
    OverflowError,
)

X = np.array([[0.5, -0.25, 0.75], [-0.5, 0.125, 0.0]], np.float32)
W = np.array([[1.5, 0.25, 2.0], [0.5, 3.0, 1.0]], np.float32)
I = np.array([[3, -5, 7], [0, -2, 9]], np.int32)  # noqa: E741  # integers
C = (X + 1j * W).astype(np.complex64)
B = X > 0
E = np.zeros((0, 3), np.float32)
Q = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8

UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bessel_i0e", "bessel_i1e", "bitwise_not", "cbrt",
    "ceil", "clz", "conj", "cos", "cosh", "digamma", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "imag",
    "is_finite", "lgamma", "log", "log1p", "logistic", "neg", "population_count", "real", "reciprocal",
    "round", "rsqrt", "sign", "sin",
    "sinh", "sqrt", "square", "tan", "tanh", "optimization_barrier", "dtype",
]  # fmt: skip
SMOOTH = sorted({*UNARY} - {
    "bitwise_not", "ceil", "clz", "conj", "imag", "is_finite", "population_count", "real", "round", "sign", "floor", "dtype",
})  # fmt: skip
BINARY = [
    "add", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "complex", "div", "eq", "ge", "gt", "le", "lt", "max", "min",
    "mul", "mulhi", "ne", "nextafter", "pow", "rem", "shift_left", "shift_right_arithmetic", "shift_right_logical", "sub",
    "igamma", "igammac", "igamma_grad_a", "random_gamma_grad", "zeta", "polygamma",
]  # fmt: skip
ACTIVATIONS = [
    "celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "identity", "leaky_relu", "log_sigmoid",
    "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus", "sparse_plus", "sparse_sigmoid",
    "squareplus",
    "swish", "tanh",
]  # fmt: skip
INITIALIZERS = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "kaiming_normal", "kaiming_uniform", "lecun_normal",
    "lecun_uniform", "normal", "truncated_normal", "uniform", "xavier_normal", "xavier_uniform",
]  # fmt: skip

PRODUCT = "(((1,), (1,)), ((0,), (0,)))"
GATHER = "lax.GatherDimensionNumbers((1,), (0,), (0,))"
SCATTER = "lax.ScatterDimensionNumbers((1,), (0,), (0,))"
PLACES = "np.array([[1], [0], [1]]), jnp.ones((3, 3))"

CASES: dict[str, list[str]] = TRANSFORMATIONS | {
    "unary": [f"each(lax.{n})" for n in UNARY],
    "unary gradients": [f"slopes(lax.{n}, {'W + 1' if n == 'acosh' else 'W' if n in ('log', 'rsqrt', 'sqrt') else 'X + 0.1'})"
                        for n in SMOOTH],
    "binary": [f"pairs(lax.{n})" for n in BINARY],
    "binary gradients": [
        *[f"slopes(lax.{n}, X + 0.1, W)" for n in ("add", "atan2", "div", "max", "min", "mul", "sub")],
        *[f"slopes(lax.{n}, W, X + 1)" for n in ("pow", "igamma", "igammac")], "slopes(lax.rem, X + 4, W)",
        "lax.zeta(W + 1.5, W)", "lax.betainc(W, W + 1, X * 0 + 0.4)",
        "slopes(lambda x, y: lax.real(lax.complex(x, y) * (1 + 2j)), X, W)", "lax.betainc(W, W + 1, X * 0 + 0.4)",
        "slopes(lambda x: lax.betainc(2.0, 3.0, x), X * 0.5 + 0.5)",
        "slopes(lambda x: lax.integer_pow(x, -3), W)", "slopes(lambda x: lax.clamp(0.0, x, 0.6), X)",
        "slopes(lambda x: lax.polygamma(1.0, x), W)",
    ],
    "elementwise": [
        "lax.stop_gradient((X, I))", "slopes(lambda x: x * lax.stop_gradient(x), X)", "lax.shape_as_value((2, 3))",
        "lax.clamp(-1, I, 5)", "lax.clamp(False, B, True)", "lax.clamp(X, 2 * X, W)", "lax.clamp(np.zeros(3), X, W)",
        "lax.select(B, X, W)", "lax.select(True, X, W)", "lax.select(I, X, W)", "lax.select(B[0], X, W)",
        "lax.select_n(B, X, W)", "lax.select_n(np.int32(1), X, W, X)", "lax.select_n(abs(I) % 3, X, W, 2 * W)",
        "lax.select_n(B, X, W, X)", "[lax.integer_pow(W, n) for n in (-2, 0, 1, 3)]", "lax.integer_pow(I, 2)",
        "[lax.convert_element_type(v, d) for v in (X * 9, I, B) for d in (np.int8, jnp.bfloat16, bool, np.complex64)]",
        "lax.convert_element_type(2**31, np.uint32)", "lax.convert_element_type(1.5, float)",
        "[lax.bitcast_convert_type(v, d) for v, d in ((X, np.int32), (I, np.uint8))]",
        "lax.bitcast_convert_type(X, np.int32).shape",
        "lax.round(np.float32([0.5, 1.5, -2.5]), lax.RoundingMethod.TO_NEAREST_EVEN)",
        "[lax.reduce_precision(W * 1.2345, e, m) for e, m in ((8, 7), (5, 10), (3, 2))]",
        "lax.add(np.ones((2, 1, 3), np.float32), np.ones((2, 4, 3), np.float32)).shape", "lax.add(X, X[0])", "lax.add(X, I)",
        "lax.add(I, 1.5)", "lax.add(X, 1)", "lax.mul(2, W)", "lax.max(C, C[::-1])", "lax.min(B, ~B)",
        "lax.collapse(Q, 0, 2).shape", "lax.collapse(Q, 1).shape", "lax.mulhi(I * 10**8, I * 10**8)",
    ],
    "arrangement": [
        "lax.broadcast(X, (2,))", "lax.broadcast_in_dim(X, (2, 4, 3), (0, 2))", "lax.broadcast_in_dim(X, (3, 2), (0, 1))",
        "lax.broadcast_in_dim(E, (2, 0, 3), (1, 2)).shape", "lax.broadcast_shapes((2, 1), (3,), (1, 1))",
        "lax.broadcast_shapes((2,), (3,))", "lax.broadcast_to_rank(X, 4).shape", "lax.broadcast_to_rank(X, 2).shape",
        "lax.broadcasted_iota(np.int32, (2, 3), 1)",
        "lax.broadcasted_iota(np.float32, (2, 3), 0)",
        "lax.iota(np.uint8, 4)", "lax.iota(float, 0)", "lax.full((2,), 3)", "lax.full((2,), 2.5, np.int32)",
        "lax.full((), True)",
        "lax.full_like(X, 7)", "lax.full_like(X, 7, np.int8, (2,))", "lax.empty((2, 3), np.float32).shape",
        "lax.reshape(X, (3, 2))", "lax.reshape(X, (3, 2), (1, 0))", "lax.reshape(X, (4,))", "lax.reshape(E, (3, 0)).shape",
        "lax.transpose(Q, (2, 0, 1))", "lax.transpose(X, (0, 0))", "lax.rev(X, (1,))", "lax.rev(X, (0, 1))",
        "lax.squeeze(X[:, None], (1,)).shape", "lax.squeeze(X, (0,))", "lax.expand_dims(X, (0, -1)).shape",
        "lax.pad(X, 9.0, ((1, 0, 1), (0, -1, 0)))", "lax.pad(X, 9, ((0, 0, 0),))", "lax.pad(E, 1.0, ((1, 1, 0), (0, 0, 1)))",
        "lax.concatenate([X, W], 0)", "lax.concatenate([X, E], 0)", "lax.concatenate([X, I], 0)", "lax.concatenate([], 0)",
        "lax.split(X, (1, 2), 1)", "lax.split(X, (1, 1), 1)", "lax.tile(X, (2, 1))", "lax.stack([X, W])", "lax.unstack(X)",
        "lax.broadcast_like(X[:1], X)",
        "lax.slice(X, (0, 1), (2, 3))", "lax.slice(Q, (0, 0, 0), (2, 3, 4), (1, 2, 3))", "lax.slice(X, (0, 0), (3, 3))",
        "lax.slice_in_dim(X, 1, 3, 2, axis=1)", "lax.slice_in_dim(X, None, -1, axis=1)", "lax.index_in_dim(X, -1, 1)",
        "lax.index_in_dim(X, 1, 0, keepdims=False)", "lax.dynamic_slice(X, (1, 2), (1, 2))",
        "lax.dynamic_slice(X, (0,), (1, 2))",
        "lax.dynamic_slice_in_dim(X, 5, 2, 1)", "lax.dynamic_index_in_dim(X, -1, 1, False)",
        "lax.dynamic_update_slice(X, W[:1, :2], (1, 2))", "lax.dynamic_update_slice_in_dim(X, W[:, :1], 1, 1)",
        "lax.dynamic_update_index_in_dim(X, W[0], 1, 0)", "lax.index_take(X, (np.array([1, 0]),), (0,))",
        "slopes(lambda x: lax.pad(x, 1.0, ((1, 0, 1), (0, -1, 0))), X)", "slopes(lambda x: lax.rev(x, (0,)), X)",
        "slopes(lambda x: lax.dynamic_slice(x, (1, 1), (1, 2)), X)", "slopes(lambda x, y: lax.concatenate([x, y], 1), X, W)",
        "slopes(lambda x, y: lax.dynamic_update_slice(x, y, (1, 1)), X, W[:1, :2])", "lax.slice_in_dim(E, 0, 0).shape",
        "slopes(lambda x: lax.broadcast_in_dim(x, (2, 4, 3), (0, 2)), X)",
    ],
    "reductions": [
        *[f"each(lambda x: lax.{n}(x, (0,)))" for n in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and",
                                                       "reduce_or", "reduce_xor")],
        *[f"each(lambda x: lax.{n}(x, {o}))" for n in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
          for o in ("axis=0", "axis=0, reverse=True")],
        *[f"slopes(lambda x: lax.{n}(x, (1,)), W)" for n in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min")],
        *[f"slopes(lambda x: lax.{n}(x, 1), W)" for n in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")],
        "lax.reduce_sum(X, (2,))", "lax.cumsum(X, axis=3)", "[lax.argmax(X, 1, np.int32), lax.argmin(I, 0, np.uint8)]",
        "lax.argmax(np.float32([1, np.nan, 2]), 0, np.int32)", "lax.argmax(E, 0, np.int32)", "lax.argmin(X, 2, np.int32)",
        "lax.reduce(X, 2.0, lax.add, (0,))", "lax.reduce(X, 2.0, lambda a, b: lax.max(a, b), (0, 1))",
        "lax.reduce(X, 1.0, lax.add, ())",
        "lax.reduce((X, I), (np.float32(9), np.int32(0)), lambda a, b: (lax.min(a[0], b[0]), a[1] + b[1]), (1,))",
        "lax.reduce(E, 5.0, lax.mul, (0,))", "lax.reduce(B, False, lax.bitwise_or, (0,))", "lax.reduce(X, I, lax.add, (0,))",
        "slopes(lambda x: lax.reduce(x, 1.0, lambda a, b: a * b, (0,)), W)",
        *[f"lax.reduce_window(Q, {i}, lax.{n}, (1, 2, 2), (1, 1, 2), 'SAME')" for n, i in
          (("add", "0.0"), ("max", "-jnp.inf"), ("min", "jnp.inf"), ("mul", "1.0"))],
        "lax.reduce_window(Q[0], 0.0, lax.add, (2, 2), (1, 1), ((1, 0), (0, 1)), (2, 1), (1, 2))",
        "lax.reduce_window(B, False, lax.bitwise_or, (1, 2))", "lax.reduce_window(C, 0j, lax.add, (2, 1))",
        "lax.reduce_window((X, I), (0.0, 0), lambda a, b: (a[0] + b[0], lax.max(a[1], b[1])), (1, 2), (1, 1), 'VALID')",
        "slopes(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2), (1, 1), 'VALID'), W)",
        "lax.reduce_window_shape_tuple((2, 5), (1, 2), (1, 2), ((0, 0), (1, 1)))",
        "lax.padtype_to_pads((5,), (2,), (2,), 'SAME')",
        "lax.sort(X)", "lax.sort(X, dimension=0)", "lax.sort((I, X), num_keys=1)", "lax.sort((B, I), num_keys=2)",
        "lax.sort(C)",
        "lax.sort(np.float32([np.nan, 1, -np.inf, -0.0, 0.0]))", "lax.sort_key_val(I, X)",
        "lax.sort_key_val(I, X, dimension=0)",
        "slopes(lambda x: lax.sort(x, 0), X)", "list(lax.top_k(X, 2))", "list(lax.top_k(I, 4))",
        "list(lax.approx_max_k(X, 1))",
        "list(lax.approx_min_k(W, 2))", "slopes(lambda x: lax.top_k(x, 2)[0], X)", "list(lax.top_k(E, 1))",
    ],
    "contractions": [
        f"lax.dot_general(Q, Q, {PRODUCT})", "lax.dot_general(X, W, (((1,), (1,)), ((), ())))", "lax.dot(X, W.T)",
        "lax.dot(X[0], W[1])",
        "lax.dot(X, W)", "lax.dot(I, I.T)", "lax.dot(B, B.T)", "lax.dot(C, W.T.astype(np.complex64))",
        "lax.dot(E, X.T).shape",
        "lax.dot(X.T[:, :0], W[:0])", "lax.dot(I.astype(np.int8), I.T.astype(np.uint8))",
        "lax.batch_matmul(Q, Q.transpose(0, 2, 1))",
        "lax.dot(X.astype(np.float16), W.T.astype(np.float16), preferred_element_type=np.float32)",
        "lax.dot(I.astype(np.int8), I.T.astype(np.int8), preferred_element_type=np.int32)",
        "lax.dot(X, W.T, precision=lax.Precision.HIGHEST)", "slopes(lambda x, y: lax.dot(x, y), X, W.T)",
        f"slopes(lambda x, y: lax.dot_general(x, y, {PRODUCT}), Q, Q)",
        "lax.ragged_dot(np.ones((4, 3), np.float32), Q.reshape(2, 3, 4), np.array([1, 3], np.int32))",
        "lax.conv(Q[None], np.ones((1, 2, 2, 2), np.float32), (1, 1), 'SAME')",
        "lax.conv_with_general_padding(Q[None], np.ones((1, 2, 2, 2), np.float32), (1, 1), ((1, 0), (0, 1)), (2, 1), (1, 2))",
        "lax.conv_general_dilated(Q[:, :, :], Q[:, :, :2], (1,), 'VALID')",
        "lax.conv_general_dilated(Q, Q[:, :, :3], (2,), ((1, 1),), dimension_numbers=('NCH', 'OIH', 'NHC'))",
        "lax.conv_general_dilated(Q.reshape(2, 4, 3), Q.reshape(4, 2, 3), (1,), 'SAME', feature_group_count=2)",
        "lax.conv_general_dilated(Q.reshape(2, 4, 3), Q.reshape(2, 4, 3), (1,), 'SAME', batch_group_count=2)",
        "lax.conv_transpose(Q, np.ones((2, 4, 3), np.float32), (2,), 'SAME')",
        "lax.conv_transpose(Q, np.ones((2, 4, 3), np.float32), (2,), 'VALID', transpose_kernel=False)",
        "lax.conv_general_dilated_patches(Q, (2,), (1,), 'VALID')",
        "lax.conv_shape_tuple((1, 2, 5), (3, 2, 2), (1,), 'SAME')",
        "lax.conv_general_dilated_local(Q, np.ones((1, 6, 3), np.float32), (1,), 'VALID', (2,))",
        "lax.conv_general_permutations(('NCH', 'OIH', 'NHC'))",
        "tuple(lax.conv_dimension_numbers((1, 2, 3), (1, 2, 3), ('NCH', 'OIH', 'NHC')))",
        "lax.conv_general_shape_tuple((1, 2, 5), (3, 2, 2), (1,), 'SAME', ('NCH', 'OIH', 'NCH'))",
        "lax.conv_transpose_shape_tuple((1, 2, 5), (3, 2, 2), (2,), 'SAME', ('NCH', 'OIH', 'NCH'))",
        "slopes(lambda x, w: lax.conv_general_dilated(x, w, (1,), 'SAME'), Q, np.ones((2, 3, 2), np.float32))",
    ],
    "gather and scatter": [
        f"lax.gather(X, np.array([[1], [0], [5]]), {GATHER}, (1, 3))",
        f"lax.gather(X, np.array([[1], [0], [5]]), {GATHER}, (1, 2), mode='clip')",
        f"lax.gather(X, np.array([[1], [5]]), {GATHER}, (1, 3), mode=lax.GatherScatterMode.FILL_OR_DROP, fill_value=7.0)",
        *[f"lax.{n}(X, {PLACES}, {SCATTER})" for n in ("scatter", "scatter_add", "scatter_sub", "scatter_mul",
        "scatter_min", "scatter_max")
          if n != "scatter"],
        f"lax.scatter(X, np.array([[1]]), W[:1], {SCATTER})",
        f"lax.scatter(X, np.array([[4]]), W[:1], {SCATTER}, mode='drop')",
        f"lax.scatter_add(I, np.array([[1], [1]]), I, {SCATTER}, indices_are_sorted=True)",
        f"slopes(lambda x: lax.gather(x, np.array([[1], [1]]), {GATHER}, (1, 2)), X)",
        f"slopes(lambda x, u: lax.scatter_add(x, np.array([[1], [1]]), u, {SCATTER}), X, W)",
        f"slopes(lambda x, u: lax.scatter(x, np.array([[1]]), u, {SCATTER}), X, W[:1])",
    ],
    "control": [
        "lax.scan(lambda c, x: (c + x, c * x), 0.0, W[0])", "lax.scan(lambda c, x: (c, x), 0, None, length=2)[1]",
        "lax.scan(lambda c, x: (c + x, None), 0.0, W[0], reverse=True)", "lax.scan(lambda c, x: (c, 1), 0, None)",
        "lax.scan(lambda c, x: ((c, c), x), 0.0, W[0])", "lax.scan(lambda c, x: (c.astype(int), x), 0.0, W[0])",
        "lax.scan(lambda c, x: c, 0.0, W[0])", "lax.scan(lambda c, x: (c, x), 0, (W[0], X))[1]",
        "lax.scan(lambda c, x: (c, x), 0, E)[1]",
        "lax.fori_loop(0, 4, lambda i, c: c + i, np.int8(1))", "lax.fori_loop(2, 2, lambda i, c: c + 1, 5.0)",
        "lax.fori_loop(0, 3, lambda i, c: (c[1], c[0] + i), (1, 2))", "lax.fori_loop(0, 3, lambda i, c: (c, c), 1)",
        "lax.while_loop(lambda c: c < 9, lambda c: c * 2, 1)", "lax.while_loop(lambda c: c, lambda c: False, True)",
        "lax.while_loop(lambda c: c + 0.5, lambda c: c, 1.0)", "lax.while_loop(lambda c: (c > 0, 1), lambda c: c, 1.0)",
        "lax.cond(True, lambda x: x + 1, lambda x: x - 1, X)", "lax.cond(1, lambda: 1.0, lambda: 2.0)",
        "lax.cond(X, lambda: 1, lambda: 2)",
        "lax.cond(True, lambda: 1, lambda: (2, 3))", "lax.cond(True, lambda: 1.0, lambda: np.ones(2))",
        "lax.switch(2, [lambda x: x, lambda x: x + 1, lambda x: x * 5], W)", "lax.switch(-4, [lambda: 1, lambda: 2])",
        "lax.switch(9, [lambda: 1, lambda: 2])", "lax.switch(0, [])", "lax.switch(1.0, [lambda: 1, lambda: 2])",
        "lax.map(lambda x: x * 2, X)", "lax.map(lambda x: x[0] + x[1], (X, W), batch_size=1)",
        "lax.associative_scan(lambda a, b: a + b, W, axis=1)", "lax.associative_scan(lambda a, b: a * b, W[0], reverse=True)",
        "lax.custom_root(lambda x: x ** 2 - 2.0, 1.0, lambda f, x: jnp.sqrt(2.0) + 0 * x, lambda g, y: y / g(1.0))",
        "lax.custom_linear_solve(lambda v: 2.0 * v, W[0], lambda mv, b: b / 2, symmetric=True)",
        "lax.platform_dependent(W, cpu=lambda x: x + 1, default=lambda x: x)",
        "lax.composite(lambda x: x * 2, name='a.b')(W)",
        "lax.stage(jnp.sin)(W)", "lax.dce_sink(W)",
        "grad(lambda x: lax.scan(lambda c, y: (c * y + x, c), x, W[0])[1].sum())(2.0)",
        "grad(lambda x: lax.fori_loop(0, 3, lambda i, c: c * x + i, 1.0))(2.0)",
        "grad(lambda x: lax.cond(x > 1, lambda: x ** 2, lambda: x))(2.0)",
        "grad(lambda x: lax.switch(1, [jnp.sin, jnp.cos], x))(2.0)",
        "vmap(lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * 2, x))(np.arange(1, 5))",
        "vmap(lambda x: lax.cond(x > 0, lambda v: v * 2, lambda v: v - 1, x))(X[0])",
        "vmap(lambda x: lax.scan(lambda c, y: (c + y, c), x, W[0])[1])(X[0])",
        "grad(lambda b: lax.custom_linear_solve(lambda v: 2.0 * v, b, lambda mv, b: b / 2, symmetric=True).sum())(W[0])",
        "grad(lambda a: lax.custom_root(lambda x: x ** 2 - a, 1.0, lambda f, x: 2.0 + 0 * x, lambda g, y: y / g(1.0)))(4.0)",
    ],
    "collectives": [
        *[f"over(lambda x: lax.{n}(x, 'i'))" for n in ("psum", "pmean", "pmax", "pmin", "all_gather")],
        "over(lambda x: x + lax.axis_index('i'))", "over(lambda x: lax.axis_size('i') * x)",
        "over(lambda x: lax.psum(1, 'i') * x)",
        "over(lambda x: lax.ppermute(x, 'i', [(0, 1), (1, 0)]))", "over(lambda x: lax.ppermute(x, 'i', [(0, 1)]))",
        "over(lambda x: lax.pshuffle(x, 'i', [1, 0]))", "over(lambda x: lax.all_gather(x, 'i', axis=1, tiled=True))",
        "vmap(lambda x: lax.pswapaxes(x, 'i', 0), axis_name='i')(W[:, :2])",
        "vmap(lambda x: lax.all_to_all(x, 'i', 0, 0), axis_name='i')(Q[:, :2, :2])",
        "vmap(lambda x: lax.psum_scatter(x, 'i'), axis_name='i')(W[:, :2])",
        "vmap(lambda x: lax.psum_scatter(x, 'i', tiled=True), axis_name='i')(Q[0, :2])",
        "over(lambda x: lax.pbroadcast(x, 'i', 1))", "over(lambda x: lax.pcast(x, 'i', to='varying'))",
        "over(lambda x: lax.psum(x, 'j'))",
        "vmap(vmap(lambda x: lax.psum(x, ('i', 'j')), axis_name='j'), axis_name='i')(W)",
        "vmap(grad(lambda x: lax.pmean(x, 'i') ** 2), axis_name='i')(W[0])",
        "jit(vmap(lambda x: lax.psum(x * x, 'i'), axis_name='i'))(W[0])",
    ],
    "linear algebra": [
        "lax.linalg.cholesky(S)", "lax.linalg.triangular_solve(T, W, left_side=True, lower=True)",
        "lax.linalg.triangular_solve(T, W, left_side=True, lower=True, transpose_a=True)",
        "lax.linalg.triangular_solve(T, W.T, lower=True, unit_diagonal=True)",
        "lax.linalg.lu(S)", "abs(lax.linalg.qr(W)[0])", "abs(lax.linalg.svd(W, full_matrices=False)[1])",
        "lax.linalg.eigh(S)[1]",
        "abs(lax.linalg.eig(S)[0])", "lax.linalg.cholesky_update(lax.linalg.cholesky(S).T, W[0, :2])",
        "lax.linalg.symmetric_product(W, S)", "lax.linalg.tridiagonal_solve(D[0], D[1], D[2], np.ones((3, 1), np.float32))",
        "lax.linalg.lu_pivots_to_permutation(np.array([1, 1, 2], np.int32), 3)", "abs(lax.linalg.schur(S)[0])",
        "lax.linalg.cholesky(W)",
        "abs(lax.linalg.hessenberg(R)[0])", "abs(lax.linalg.tridiagonal(S, lower=True)[1])",
        "abs(lax.linalg.householder_product(R[:, :2], W[0, :2]))", "lax.linalg.ormqr(R[:, :2], W[0, :2], R)",
        "slopes(lax.linalg.cholesky, S)",
        "slopes(lambda b: lax.linalg.triangular_solve(T, b, left_side=True, lower=True), W)",
    ],
    "activations": [f"each(nn.{n})" for n in ACTIVATIONS],
    "activation gradients": [f"slopes(nn.{n}, X + 0.1)" for n in ACTIVATIONS],
    "nn": [
        "nn.glu(Q)", "nn.glu(X)", "each(nn.softmax)", "each(nn.log_softmax)", "each(nn.logsumexp)", "each(nn.logmeanexp)",
        "each(nn.standardize)", "nn.softmax(X, axis=0)", "nn.softmax(X, axis=(0, 1))", "nn.softmax(X, where=B)",
        "nn.log_softmax(X, where=B)", "nn.logsumexp(X, axis=1, b=W, keepdims=True)", "nn.logsumexp(X, b=X, return_sign=True)",
        "nn.log1mexp(W)", "nn.standardize(X, axis=0, epsilon=0.1)", "nn.one_hot(I % 4, 3)", "nn.one_hot(2, 3, dtype=bool)",
        "nn.one_hot(I[0], 4, axis=0)", "nn.celu(X, 2.0)", "nn.elu(X, 0.5)", "nn.leaky_relu(X, 0.2)",
        "nn.gelu(X, approximate=False)",
        "nn.squareplus(X, 2.0)", "slopes(nn.softmax, X)", "slopes(nn.log_softmax, X)", "slopes(nn.logsumexp, X)",
        "slopes(nn.standardize, X)",
        "slopes(nn.log1mexp, W)", "slopes(nn.logmeanexp, X)", "slopes(nn.glu, Q)",
        "nn.dot_product_attention(Q[None], Q[None], Q[None])",
        "nn.dot_product_attention(Q[None], Q[None], Q[None], is_causal=True, scale=0.5)",
        "nn.dot_product_attention(Q, Q, Q, bias=X[None, None, :2, :2])", "nn.dot_product_attention(Q[None], Q[None], Q)",
        "slopes(lambda q, k: nn.dot_product_attention(q, k, k), Q[None], Q[None])",
    ],
    "initializers": [
        *[f"nn.initializers.{n}()(random.key(3), (3, 4))" for n in INITIALIZERS],
        *[f"nn.initializers.{n}()(random.key(3), (2, 3), {d})" for n in ("he_normal", "uniform") for d in ("jnp.bfloat16",
        "np.complex64")],
        "nn.initializers.zeros(random.key(0), (2,))", "nn.initializers.ones(random.key(0), (0, 2), np.int32)",
        "nn.initializers.constant(2.5)(random.key(0), (2,))", "nn.initializers.orthogonal()(random.key(1), (3, 2))",
        "nn.initializers.delta_orthogonal()(random.key(1), (3, 2, 2))",
        "nn.initializers.variance_scaling(2.0, 'fan_out', 'uniform')(random.key(1), (2, 3))",
        "nn.initializers.variance_scaling(2.0, 'fan', 'uniform')(random.key(1), (2, 3))",
        "nn.initializers.he_normal()(random.key(1), (3,))",
    ],
    "image": [
        *[f"image.resize(Q, (2, 5, 2), '{m}')" for m in ("nearest", "linear", "cubic", "lanczos3", "lanczos5")],
        "image.resize(Q, (2, 2, 2), image.ResizeMethod.CUBIC, antialias=False)", "image.resize(Q, (2, 2), 'linear')",
        "image.resize(Q, (2, 3, 4), 'none such')", "image.resize(I, (4, 3), 'linear')",
        "image.resize(X.astype(np.float16), (3, 3), 'cubic')",
        "image.scale_and_translate(Q, (2, 4, 5), (1, 2), jnp.array([2.0, 1.5]), jnp.array([0.5, -1.0]), 'linear')",
        "image.scale_and_translate(Q, (2, 3, 5), (2,), jnp.array([1.5]), jnp.array([-1.0]), 'cubic', antialias=False)",
        "image.scale_and_translate(Q, (2, 3, 5), (2,), jnp.array([1.5]), jnp.array([-1.0]), 'nearest')",
        "slopes(lambda x: image.resize(x, (2, 5, 2), 'cubic'), Q)",
    ],
    "ops": [
        *[f"ops.{n}({x}, np.array([2, 0]), 3)" for n in ("segment_sum", "segment_prod", "segment_max",
        "segment_min") for x in ("X", "I")],
        *[f"slopes(lambda x: ops.{n}(x, np.array([1, 1, 0]), 2), W[0])" for n in ("segment_sum", "segment_prod",
        "segment_max", "segment_min")],
        "ops.segment_sum(W[0], np.array([0, 5, -1]), 2)", "ops.segment_sum(I[0], np.array([0, 1, 1]))",
        "ops.segment_sum(E, np.zeros(0, int), 2)",
        "ops.segment_sum(W[0], np.array([0.0, 1.0, 1.0]))", "ops.segment_max(B[0], np.array([0, 0, 1]), 3)",
    ],
    "tree": [
        "tree.leaves(TREE)", "tree.leaves(None)", "tree.leaves([1, None], is_leaf=lambda x: x is None)",
        "tree.flatten(TREE)[0]",
        "tree.unflatten(tree.structure(TREE), [9, 8, 7, 6])", "tree.unflatten(tree.structure(TREE), [1])",
        "tree.map(lambda x: x * 2, TREE)",
        "tree.map(lambda x, y: (x, y), [1, 2], [3, [4, 5]])", "tree.map(lambda x, y: x, [1, 2], (1, 2))",
        "tree.map(lambda x, y: x, {'a': 1}, {'b': 1})",
        "tree.map(lambda x, y: x, [1, None], [1, 2])", "tree.reduce(lambda a, b: a + b, TREE)",
        "tree.reduce(lambda a, b: a + b, [], 5)",
        "tree.reduce(lambda a, b: a + b, [])", "tree.reduce_associative(lambda a, b: a + b, [1, 2, 3])",
        "tree.all([True, 0])", "tree.all([])",
        "tree.transpose(tree.structure([0, 0]), tree.structure({'a': 0}), [{'a': 1}, {'a': 2}])",
        "tree.transpose(tree.structure([0, 0]), None, [{'a': 1}, {'a': 2}])",
        "tree.broadcast({'a': 1, 'b': 2}, {'a': [1, 2], 'b': (3, {'c': 4})})", "tree.broadcast([1, 2], [1])",
        "tree.map_with_path(lambda p, x: tree_util.keystr(p) + str(x), TREE)",
        "[tree_util.keystr(p) for p, _ in tree.leaves_with_path(TREE)]",
        "[tree_util.keystr(p, simple=True, separator='/') for p, _ in tree.flatten_with_path(TREE)[0]]",
        "tree.structure(TREE).num_leaves",
        "tree.structure(1) == tree.structure(None)", "tree.structure((1, [2])).flatten_up_to((3, [4]))",
        "tree.structure((1, 2)).flatten_up_to((3,))",
        "[str(k) for k in (tree_util.DictKey('a'), tree_util.SequenceKey(1), tree_util.GetAttrKey('x'))]",
        "str(tree_util.FlattenedIndexKey(2))",
        "tree_util.tree_map(lambda x: x + 1, (1, [2]))", "tree_util.tree_leaves({'b': 1, 'a': 2})",
        "tree_util.tree_flatten((1, 2))[0]",
        "tree_util.tree_unflatten(tree_util.tree_structure((1, 2)), [3, 4])", "tree_util.tree_all([1, 0])",
        "tree_util.tree_reduce(lambda a, b: a * b, [2, 3])",
        "tree_util.tree_reduce_associative(lambda a, b: a * b, [2, 3])", "tree_util.tree_broadcast(1, [0, 0])",
        "tree_util.all_leaves([1, [2]])",
        "tree_util.tree_transpose(tree.structure((0, 0)), tree.structure([0]), ([1], [2]))",
        "tree_util.treedef_is_leaf(tree.structure([1]))",
        "tree_util.treedef_tuple([tree.structure(1)]) == tree.structure((1,))",
        "tree_util.treedef_children(tree.structure([1])) == [tree.structure(1)]",
        "[len(p) for p, _ in tree_util.tree_leaves_with_path(TREE)]",
        "[len(p) for p, _ in tree_util.tree_flatten_with_path(TREE)[0]]",
        "tree_util.tree_map_with_path(lambda p, x, y: x + y, [1, 2], [3, 4])", "tree_util.Partial(lambda x, y: x - y, 5)(3)",
        "tree.leaves(tree_util.Partial(max, 1, default=2))", "tree.map(lambda x: 3 * x, tree_util.Partial(max, 1))(2)",
    ],
}  # fmt: skip


def described(x: Any) -> Any:
    """A result as JSON: arrays as [dtype, shape, numbers], containers as lists, anything else by its text."""
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, Mapping):
        return {"keys": {str(k): described(v) for k, v in sorted(x.items())}}
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, (tuple, list)):
        return [described(v) for v in x]
    if isinstance(x, (int, float, complex)) or hasattr(x, "dtype"):
        array = np.asarray(x)
        dtype = str(array.dtype) if hasattr(x, "dtype") else type(x).__name__
        flat = array.ravel()
        if flat.dtype.kind == "c":
            flat = np.stack([flat.real, flat.imag], -1).ravel()
        numbers = flat.tolist() if flat.dtype.kind in "biu" else [float(f"{float(v):.8g}") for v in flat]
        return {"dtype": dtype, "shape": list(array.shape), "numbers": numbers}
    return str(x)


def evaluated(expression: str, names: Mapping[str, Any]) -> Any:
    """The description of an expression's value; "refused" where it raises TypeError, ValueError, IndexError or the like."""
    try:
        with np.errstate(all="ignore"):
            return described(eval(expression, dict(names)))
    except REFUSALS:
        return "refused"


def names(jnp: Any, **modules: Any) -> dict[str, Any]:
    """What the expressions refer to, in JAX or in fnn."""
    jit, grad, vmap = (modules[n] for n in ("jit", "grad", "vmap"))
    bfloat = jnp.asarray(X, jnp.bfloat16)

    def each(f: Callable[[Any], Any]) -> list[Any]:
        """f of every dtype, of an empty array, of a zero-dimensional one and of a Python number."""
        return [
            attempt(f, x)
            for x in (X, W, I, I.astype(np.uint8), B, C, bfloat, E, X[0, 0], I[0, 0], 0.5, 2, True)
        ]

    def pairs(f: Callable[[Any, Any], Any]) -> list[Any]:
        """f of two operands, of every dtype and of those that do not go together."""
        given = [(W, X + 2), (I, I[::-1]), (I.astype(np.uint8), I.astype(np.uint8) % 5), (B, ~B), (C, C[::-1]), (E, E),
        (bfloat, bfloat), (W, 2.0), (2.0, W), (I, 2), (W[0, 0], X), (W, X[:1]), (W, X[0]), (W, I), (2.0, 3.0)]  # fmt: skip
        return [attempt(lambda p: f(*p), pair) for pair in given]

    def attempt(f: Callable[[Any], Any], x: Any) -> Any:
        try:
            return f(x)
        except REFUSALS:
            return "refused"

    def slopes(f: Callable[..., Any], *xs: Any) -> Any:
        """Gradients of a weighted sum of f, plain."""

        def total(*xs: Any) -> Any:
            out = f(*xs)
            return jnp.sum(out * (1 + jnp.arange(out.size, dtype=out.dtype).reshape(out.shape)))

        return grad(total, tuple(range(len(xs))))(*xs)

    over = lambda f: vmap(f, axis_name="i")(W)
    constants = {
        "X": X, "W": W, "I": I, "C": C, "B": B, "E": E, "Q": Q, "np": np, "jnp": jnp, "each": each, "pairs": pairs,
        "slopes": slopes, "over": over,
        "TREE": {"b": [1, (2, None)], "a": (3, {"z": 4})}, "S": np.array([[4, 1], [1, 3]], np.float32),
        "T": np.array([[2, 0], [1, 3]], np.float32), "R": np.array([[4, 1, 2], [0.5, 3, 1], [1, 2, 5]], np.float32),
        "D": np.array([[0, 1, 1], [4, 5, 6], [1, 2, 0]], np.float32),
    }  # fmt: skip
    return {**modules, **constants, "jit": jit}


def record() -> None:
    """Write what JAX makes of every case; what is recorded already stays."""

    jax = importlib.import_module("jax")
    import_module = importlib.import_module
    modules = {
        n: import_module(f"jax.{n}") for n in ("lax", "nn", "image", "ops", "tree", "tree_util", "random")
    }
    import_module("jax.lax.linalg"), import_module("jax.nn.initializers")
    known = names(import_module("jax.numpy"), **modules, jax=jax, jit=jax.jit, grad=jax.grad, vmap=jax.vmap)
    old = recorded() if DATA.exists() else {}
    found: dict[str, dict[str, Any]] = {}
    for part, cases in CASES.items():
        had = old.get(part, {})
        found[part] = {e: had[e] if e in had else evaluated(e, known) for e in cases}
        DATA.write_text(json.dumps({**old, **found}, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    DATA.write_text(json.dumps(found, separators=(",", ":")).replace('},"', '},\n"') + "\n")


def recorded() -> dict[str, dict[str, Any]]:
    """What JAX made of every case."""
    return json.loads(DATA.read_text())


__all__ = ["CASES", "evaluated", "names", "recorded"]

if __name__ == "__main__":
    record()
