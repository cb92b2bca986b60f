"""Activations, normalisation, initial values and layers, against NumPy in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import fnn
import fnn.numpy as fnp
from fnn import nn
from fnn.errors import ArgumentError, ShapeError

EDGES = np.array([-100.0, -6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 100.0], np.float32)
plus = lambda x: np.logaddexp(x, 0)
exact = special.expit

ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "relu": (nn.relu, lambda x: np.maximum(x, 0)),
    "relu6": (nn.relu6, lambda x: np.clip(x, 0, 6)),
    "sigmoid": (nn.sigmoid, exact),
    "log_sigmoid": (nn.log_sigmoid, lambda x: -plus(-x)),
    "softplus": (nn.softplus, plus),
    "sparse_plus": (nn.sparse_plus, lambda x: np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4))),
    "sparse_sigmoid": (nn.sparse_sigmoid, lambda x: np.clip((x + 1) / 2, 0, 1)),
    "squareplus": (nn.squareplus, lambda x: (x + np.sqrt(x * x + 4)) / 2),
    "silu": (nn.silu, lambda x: x * exact(x)),
    "swish": (nn.swish, lambda x: x * exact(x)),
    "mish": (nn.mish, lambda x: x * np.tanh(plus(x))),
    "elu": (nn.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "elu_2": (lambda x: nn.elu(x, 2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0)))),
    "selu": (
        nn.selu,
        lambda x: 1.05070098735548 * np.where(x > 0, x, 1.67326324235438 * np.expm1(np.minimum(x, 0))),
    ),
    "celu": (lambda x: nn.celu(x, 2.0), lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2))),
    "gelu": (nn.gelu, lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "gelu_exact": (lambda x: nn.gelu(x, False), lambda x: x * special.ndtr(x)),
    "leaky_relu": (nn.leaky_relu, lambda x: np.where(x >= 0, x, 0.01 * x)),
    "hard_tanh": (nn.hard_tanh, lambda x: np.clip(x, -1, 1)),
    "hard_sigmoid": (nn.hard_sigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
    "hard_silu": (nn.hard_silu, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "soft_sign": (nn.soft_sign, lambda x: x / (np.abs(x) + 1)),
    "tanh": (nn.tanh, np.tanh),
    "identity": (nn.identity, lambda x: x),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, rng: np.random.Generator) -> None:
    f, want = ACTIVATIONS[name]
    x = np.concatenate([EDGES, rng.normal(size=20).astype(np.float32) * 2])
    got = f(x)
    assert got.dtype == np.float32 and got.shape == x.shape
    np.testing.assert_allclose(got, want(x.astype(float)), rtol=2e-5, atol=1e-6)
    assert np.isnan(np.asarray(f(np.float32(np.nan)))), "NaN stays NaN"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_of_activations(name: str, rng: np.random.Generator) -> None:
    f, want = ACTIVATIONS[name]
    x = rng.normal(size=20).astype(np.float32) * 2
    x = x[(np.abs(x) > 1e-2) & (np.abs(np.abs(x) - 1) > 1e-2)]  # away from kinks
    step = 1e-5
    difference = (want(x.astype(float) + step) - want(x.astype(float) - step)) / (2 * step)
    np.testing.assert_allclose(fnn.grad(lambda x: fnp.sum(f(x)))(x), difference, rtol=1e-4, atol=1e-5)
    far = fnn.grad(lambda x: fnp.sum(f(x)))(EDGES)
    assert np.isfinite(np.asarray(far)).all(), "derivatives are finite far out"


def test_derivatives_at_the_kinks_are_jax_s() -> None:
    assert float(fnn.grad(nn.relu)(0.0)) == 0.0
    assert float(fnn.grad(nn.relu6)(0.0)) == 0.0
    assert float(fnn.grad(nn.relu6)(6.0)) == 0.0
    assert float(fnn.grad(nn.leaky_relu)(0.0)) == 1.0
    assert float(fnn.grad(nn.elu)(0.0)) == 1.0


def test_integers_stay_integers_in_relu_and_become_floats_elsewhere() -> None:
    x = np.array([-1, 2], np.int32)
    assert nn.relu(x).dtype == np.int32
    np.testing.assert_array_equal(nn.relu(x), [0, 2])
    assert nn.sigmoid(x).dtype == np.float32 and nn.gelu(x).dtype == np.float32


def test_glu() -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4) - 4
    np.testing.assert_allclose(nn.glu(x), x[:, :2] * exact(x[:, 2:]), rtol=1e-6)
    np.testing.assert_allclose(nn.glu(x, 0), x[:1] * exact(x[1:]), rtol=1e-6)
    with pytest.raises(ShapeError, match="even"):
        nn.glu(x[:, :3])


def test_log1mexp() -> None:
    x = np.array([1e-6, 0.1, 0.69, 0.7, 5, 50], np.float32)
    np.testing.assert_allclose(nn.log1mexp(x), np.log(-np.expm1(-x.astype(float))), rtol=1e-5, atol=1e-7)
    assert np.isfinite(np.asarray(fnn.grad(lambda x: fnp.sum(nn.log1mexp(x)))(x))).all()


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax_and_its_relatives(axis: Any, rng: np.random.Generator) -> None:
    x = (rng.normal(size=(4, 6)) * 3).astype(np.float32)
    wide = x.astype(float)
    np.testing.assert_allclose(nn.softmax(x, axis), special.softmax(wide, axis), rtol=1e-5)
    np.testing.assert_allclose(nn.log_softmax(x, axis), special.log_softmax(wide, axis), rtol=1e-5, atol=1e-6)
    for keepdims in (False, True):
        np.testing.assert_allclose(
            nn.logsumexp(x, axis, keepdims=keepdims),
            special.logsumexp(wide, axis, keepdims=keepdims),
            rtol=1e-5,
        )
        np.testing.assert_allclose(
            nn.logmeanexp(x, axis, keepdims=keepdims),
            np.log(np.mean(np.exp(wide), axis=axis, keepdims=keepdims)),
            rtol=1e-5,
        )
    w = rng.normal(size=(4, 6)).astype(np.float32)
    y = special.softmax(wide, axis)
    got = fnn.grad(lambda x: fnp.sum(w * nn.softmax(x, axis)))(x)
    np.testing.assert_allclose(got, y * (w - np.sum(w * y, axis=axis, keepdims=True)), rtol=1e-4, atol=1e-6)
    got = fnn.grad(lambda x: fnp.sum(w * nn.log_softmax(x, axis)))(x)
    np.testing.assert_allclose(
        got, w - y * np.sum(w, axis=axis, keepdims=True, dtype=float), rtol=1e-4, atol=1e-5
    )


def test_softmax_far_out() -> None:
    x = np.array([[1e4, -1e4, 0.0], [-np.inf, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(nn.softmax(x), [[1, 0, 0], [0, 0.5, 0.5]])
    assert np.isfinite(np.asarray(fnn.grad(lambda x: fnp.sum(nn.softmax(x)[:, 0]))(x))).all()
    np.testing.assert_allclose(nn.log_softmax(x)[0], [0, -2e4, -1e4])


def test_masked_places_count_for_nothing(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 5)).astype(np.float32)
    mask = rng.random((3, 5)) < 0.6
    mask[:, 1] = True
    inside = np.where(mask, x, -np.inf)
    x = np.where(mask, x, 1e30).astype(np.float32)  # what is masked may be anything
    np.testing.assert_allclose(nn.softmax(x, where=mask), special.softmax(inside, -1), rtol=1e-5)
    np.testing.assert_allclose(
        nn.log_softmax(x, where=mask), special.log_softmax(inside, -1), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(nn.logsumexp(x, -1, where=mask), special.logsumexp(inside, -1), rtol=1e-5)
    gradient = np.asarray(fnn.grad(lambda x: fnp.sum(nn.softmax(x, where=mask)[:, 1]))(x))
    assert np.isfinite(gradient).all() and not gradient[~mask].any()


def test_logsumexp_with_weights(rng: np.random.Generator) -> None:
    x, b = rng.normal(size=(3, 5)).astype(np.float32), np.array([1, -2, 0.5, 0, 1], np.float32)
    want, sign = special.logsumexp(x.astype(float), 1, b.astype(float), return_sign=True)
    got, got_sign = nn.logsumexp(x, 1, b, return_sign=True)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    np.testing.assert_array_equal(got_sign, sign)
    assert np.isneginf(np.asarray(nn.logsumexp(np.full(3, -np.inf, np.float32))))
    assert np.isposinf(np.asarray(nn.logsumexp(np.array([0, np.inf], np.float32))))
    assert float(nn.logsumexp(np.array([1e30, 0], np.float32), b=np.array([0, 1], np.float32))) == 0.0


def test_standardize(rng: np.random.Generator) -> None:
    x = rng.normal(3, 2, size=(4, 50)).astype(np.float32)
    wide = x.astype(float)
    want = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(nn.standardize(x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        nn.standardize(x, mean=1.0, variance=4.0, epsilon=0.0), (wide - 1) / 2, rtol=1e-5
    )


def test_one_hot() -> None:
    x = np.array([[0, 3], [5, -1]], np.int32)
    want = (x[..., None] == np.arange(4)).astype(np.float32)
    np.testing.assert_array_equal(nn.one_hot(x, 4), want)
    np.testing.assert_array_equal(nn.one_hot(x, 4, axis=0), np.moveaxis(want, -1, 0))
    np.testing.assert_array_equal(nn.one_hot(x.astype(np.uint8), 4)[0], want[0])
    assert nn.one_hot(x, 4, dtype=np.int8).dtype == np.int8
    with pytest.raises(ArgumentError, match="class numbers"):
        nn.one_hot(np.array([True]), 2)


@pytest.mark.parametrize(
    "name", ["glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform", "he_normal", "he_uniform"]
)
def test_initializers_have_their_variance(name: str) -> None:
    shape = (5, 4, 30, 50)  # a kernel: 30 * 20 inputs, 50 * 20 outputs
    drawn = np.asarray(getattr(nn.initializers, name)()(fnn.random.key(0), shape))
    fans = {"glorot": (600 + 1000) / 2, "lecun": 600, "he": 600 / 2}
    assert drawn.dtype == np.float32 and abs(drawn.mean()) < 1e-3
    np.testing.assert_allclose(drawn.var(), 1 / fans[name.split("_")[0]], rtol=0.03)


def test_initial_values_are_jax_s() -> None:
    key = fnn.random.key(7)
    init = nn.initializers
    recorded = {  # JAX 0.10 of the same names, key 7, shape (2, 3), the first three
        "glorot_uniform": (
            init.glorot_uniform(),
            [0.3814118802547455, 1.0398335456848145, -0.43194812536239624],
        ),
        "he_normal": (init.he_normal(), [0.4881148636341095, 1.9040892124176025, -0.5578673481941223]),
        "normal": (init.normal(), [0.004512351471930742, 0.019534509629011154, -0.005162394605576992]),
        "truncated_normal": (
            init.truncated_normal(),
            [0.004293583333492279, 0.016748856753110886, -0.004907143767923117],
        ),
    }
    for name, (f, want) in recorded.items():
        np.testing.assert_allclose(np.asarray(f(key, (2, 3)))[0], want, rtol=1e-5, err_msg=name)


def test_other_initializers_and_their_errors() -> None:
    key, init = fnn.random.key(0), nn.initializers
    np.testing.assert_array_equal(init.zeros(key, (2,)), [0, 0])
    np.testing.assert_array_equal(init.ones(key, (2,), "int32"), [1, 1])
    np.testing.assert_array_equal(init.constant(2.5)(key, (2,)), [2.5, 2.5])
    assert init.normal(dtype="bfloat16")(key, (2,)).dtype.name == "bfloat16"
    with pytest.raises(ShapeError, match="two axes"):
        init.glorot_normal()(key, (3,))
    with pytest.raises(ArgumentError, match="fan_in"):
        init.variance_scaling(1.0, "fan", "normal")(key, (2, 2))
    with pytest.raises(ArgumentError, match="uniform"):
        init.variance_scaling(1.0, "fan_in", "cauchy")(key, (2, 2))


def test_linear_layers(rng: np.random.Generator) -> None:
    layer = nn.Linear(3, 2, key=fnn.random.key(0))
    x = rng.normal(size=(4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(
        layer(x), x @ np.asarray(layer.weight) + np.asarray(layer.bias), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(layer(x[0, 0]), layer(x)[0, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fnn.vmap(fnn.vmap(layer))(x), layer(x), rtol=1e-5, atol=1e-6)
    assert np.abs(np.asarray(layer.weight)).max() <= 3**-0.5
    bare = nn.Linear(3, 2, use_bias=False, dtype="float16", key=fnn.random.key(0))
    assert bare.bias is None and bare.weight.dtype == np.float16
    with pytest.raises(ShapeError, match="3 features"):
        layer(np.ones((2, 4), np.float32))


def test_models_are_pytrees_of_their_parameters() -> None:
    model = nn.MLP(4, 3, width=16, depth=2, key=fnn.random.key(0))
    assert [p.shape for p in fnn.tree.leaves(model)] == [(4, 16), (16,), (16, 16), (16,), (16, 3), (3,)]
    x = np.ones((7, 4), np.float32)
    hidden = x
    for layer in model.layers[:-1]:
        hidden = np.maximum(np.asarray(layer(hidden)), 0)
    np.testing.assert_allclose(model(x), model.layers[-1](hidden), rtol=1e-5)
    np.testing.assert_allclose(fnn.jit(lambda m, x: m(x))(model, x), model(x), rtol=1e-5, atol=1e-6)

    k1, k2 = fnn.random.split(fnn.random.key(1))
    stack = nn.Sequential([nn.Linear(4, 8, key=k1), nn.relu, nn.Linear(8, 2, key=k2), nn.softmax])
    assert len(fnn.tree.leaves(stack)) == 4
    np.testing.assert_allclose(np.asarray(stack(x)).sum(-1), 1, rtol=1e-5)
    gradient = fnn.grad(lambda m: fnp.sum(m(x)[:, 0]))(stack)
    assert isinstance(gradient, nn.Sequential) and gradient.layers[0].weight.shape == (4, 8)


def test_orthogonal_initializers() -> None:
    """Against JAX 0.10.2, seed 1; and by what they promise."""
    for shape, axis in (((5, 3), -1), ((3, 5), 0), ((2, 3, 4), -1)):
        w = np.asarray(nn.initializers.orthogonal(2.0, axis)(fnn.random.key(1), shape), np.float64)
        w = np.moveaxis(w, axis, -1).reshape(-1, shape[axis])
        gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
    kernel = np.asarray(nn.initializers.delta_orthogonal()(fnn.random.key(1), (3, 3, 2, 4)), np.float64)
    np.testing.assert_allclose(kernel[1, 1] @ kernel[1, 1].T, np.eye(2), atol=1e-5)
    assert np.count_nonzero(kernel.sum((2, 3))) == 1
    with pytest.raises(ShapeError, match="at least as many channels out as in"):
        nn.initializers.delta_orthogonal()(fnn.random.key(1), (3, 4, 2))
    with pytest.raises(ShapeError, match="no matrix"):
        nn.initializers.orthogonal()(fnn.random.key(1), (3,))
