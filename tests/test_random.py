"""Random numbers: JAX's bits for JAX's seeds, under every transformation; shapes, dtypes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import dtypes, random
from fnn.errors import ArgumentError, DtypeError, ShapeError
from tests import random_cases
from tests.random_cases import CASES, SEEDS

RECORD = np.load(random_cases.RECORD)
# Draws that are functions of uniform bits by formulas which differ in rounding; the rest agree to the bit.
ROUNDED = ("normal", "gumbel", "exponential", "laplace", "cauchy", "logistic", "truncated", "uniform_between")
EXACT = ("poisson", "binomial", "multinomial", "geometric")
PARAMETERS = tuple(name for name in random_cases.shaped() if not name.startswith(EXACT))
CANCELLING = ("wald",)  # where 32 bits leave few digits
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 2e-2}


def check(name: str, got: Any, want: np.ndarray) -> None:
    x, y = np.asarray(got), random_cases.restored(want, name)
    assert x.shape == y.shape and x.dtype == y.dtype, (x.shape, x.dtype, y.shape, y.dtype)
    if name.startswith(ROUNDED) or name in PARAMETERS:
        tolerance = TOLERANCE[x.dtype.name] * (100 if name in CANCELLING else 1)
        np.testing.assert_allclose(x.astype(float), y.astype(float), tolerance, tolerance)
    else:
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_of_jax(name: str) -> None:
    for seed, want in zip(SEEDS, RECORD[name], strict=True):
        check(name, CASES[name](random, random.key(seed)), want)


JITTED = [
    "bits_uint8_3x7", "bits_uint64_129", "uniform_float32_129", "uniform_bfloat16_3x7", "normal_float32_129",
    "randint_int32_0_10", "randint_int8_-5_7", "permutation_9", "permutation_independent", "choice_p", "choice_p_once",
    "categorical_shape", "truncated_129", "split_3x2", "fold_in", "gamma", "loggamma", "beta", "poisson", "binomial",
    "multinomial", "wald", "multivariate_normal", "ball",
]  # fmt: skip


@pytest.mark.parametrize("name", JITTED)
def test_compiled_with_a_traced_seed(name: str) -> None:
    draw = fnn.jit(lambda seed: CASES[name](random, random.key(seed)))
    for seed, want in zip(SEEDS, RECORD[name], strict=True):
        check(name, draw(np.int32(seed)), want)


def test_raw_keys_draw_what_typed_keys_draw() -> None:
    for seed in SEEDS:
        raw, key = random.PRNGKey(seed), random.key(seed)
        assert raw.dtype == np.uint32 and raw.shape == (2,)
        assert dtypes.is_key(key.dtype) and key.shape == ()
        np.testing.assert_array_equal(random.normal(raw, (3,)), random.normal(key, (3,)))
        np.testing.assert_array_equal(random.split(raw, 3), random.key_data(random.split(key, 3)))
        np.testing.assert_array_equal(raw, random.key_data(key))
        np.testing.assert_array_equal(random.key_data(random.wrap_key_data(raw)), raw)


def test_vmap_over_keys_draws_what_each_key_draws() -> None:
    keys = random.split(random.key(3), 4)
    draws: list[Callable[[Any], Any]] = [
        lambda k: random.normal(k, (3,)),
        lambda k: random.randint(k, (5,), 0, 100),
        lambda k: random.permutation(k, 6),
        lambda k: random.categorical(k, np.zeros(7, np.float32)),
        lambda k: random.key_data(random.split(k)),
    ]
    for draw in draws:
        together = fnn.vmap(draw)(keys)
        for i in range(4):
            np.testing.assert_array_equal(together[i], draw(keys[i]))


def test_keys_inside_scan_cond_and_loops() -> None:
    def step(key: Any, _: None) -> tuple[Any, Any]:
        key, use = random.split(key)
        return key, random.uniform(use)

    _, drawn = fnn.jit(lambda k: fnn.lax.scan(step, k, None, length=5))(random.key(0))
    key, want = random.key(0), []
    for _ in range(5):
        key, use = random.split(key)
        want.append(float(random.uniform(use)))
    np.testing.assert_array_equal(drawn, np.array(want, np.float32))

    branch = fnn.jit(lambda p, k: fnn.lax.cond(p, lambda k: random.fold_in(k, 1), lambda k: k, k))
    np.testing.assert_array_equal(random.key_data(branch(True, key)), random.key_data(random.fold_in(key, 1)))
    np.testing.assert_array_equal(random.key_data(branch(False, key)), random.key_data(key))

    last = fnn.lax.fori_loop(0, 3, lambda i, k: random.fold_in(k, i), key)
    for i in range(3):
        key = random.fold_in(key, i)
    np.testing.assert_array_equal(random.key_data(last), random.key_data(key))


def test_draws_are_differentiable_in_their_bounds() -> None:
    key = random.key(1)
    grad = fnn.grad(lambda high: fnp.sum(random.uniform(key, (4,), minval=0.0, maxval=high)))(2.0)
    np.testing.assert_allclose(grad, random.uniform(key, (4,)).sum(), rtol=1e-6)


def test_default_types() -> None:
    key = random.key(0)
    assert random.uniform(key).dtype == random.normal(key).dtype == np.float32
    assert random.randint(key, (), 0, 3).dtype == random.permutation(key, 3).dtype == np.int32
    assert random.bits(key).dtype == np.uint32 and random.bernoulli(key).dtype == np.bool_
    with fnn.enable_x64(True):
        assert random.uniform(key).dtype == np.float64
        assert random.randint(key, (), 0, 3).dtype == np.int64


def test_uniforms_stay_below_one_and_normals_are_finite() -> None:
    for name in ("float16", "bfloat16", "float32"):
        drawn = np.asarray(random.uniform(random.key(5), (20000,), name)).astype(float)
        assert drawn.min() >= 0 and drawn.max() < 1
        assert np.isfinite(np.asarray(random.normal(random.key(5), (20000,), name)).astype(float)).all()


def test_distributions_have_their_moments() -> None:
    key, n = random.key(11), 40000
    expected = {
        "normal": (0, 1), "gumbel": (0.5772, np.pi / 6**0.5), "exponential": (1, 1), "laplace": (0, 2**0.5),
        "logistic": (0, np.pi / 3**0.5),
    }  # fmt: skip
    for name, (mean, deviation) in expected.items():
        drawn = np.asarray(getattr(random, name)(key, (n,)))
        assert abs(drawn.mean() - mean) < 5 * deviation / n**0.5
        assert abs(drawn.std() - deviation) < 0.05 * deviation
    assert set(np.asarray(random.rademacher(key, (100,))).tolist()) == {-1, 1}


def test_permutations_permute() -> None:
    table = np.arange(30).reshape(5, 6)
    for axis in (0, 1, -1):
        out = np.asarray(random.permutation(random.key(2), table, axis=axis))
        assert sorted(map(tuple, np.moveaxis(out, axis, 0))) == sorted(
            map(tuple, np.moveaxis(table, axis, 0))
        )
    out = np.asarray(random.permutation(random.key(2), table, axis=0, independent=True))
    assert (np.sort(out, 0) == table).all()
    assert random.permutation(random.key(2), 0).shape == (0,)


def test_seeds() -> None:
    np.testing.assert_array_equal(random.key_data(random.key(-1)), random.key_data(random.key(np.int32(-1))))
    assert random.key(np.arange(3)).shape == (3,)
    with fnn.enable_x64(True):
        np.testing.assert_array_equal(random.PRNGKey(2**32 + 5), [1, 5])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: random.normal(3, (2,)), ArgumentError, r"random.key\(seed\)"),
        (lambda k: random.normal(random.split(k), (2,)), ArgumentError, "vmap"),
        (lambda k: random.uniform(k, (-1,)), ShapeError, "negative"),
        (lambda k: random.uniform(k, "ab"), ShapeError, "tuple of integers"),
        (lambda k: random.uniform(k, (2,), "int32"), DtypeError, "floating"),
        (lambda k: random.randint(k, (2,), 0, 1.5), DtypeError, "maxval"),
        (lambda k: random.randint(k, (2,), 0, 2, "float32"), DtypeError, "integer"),
        (lambda k: random.bits(k, (), "int32"), DtypeError, "unsigned"),
        (lambda k: random.key(1.5), DtypeError, "integer"),
        (lambda k: random.key(2**64), ArgumentError, "64 bits"),
        (lambda k: random.key(0, impl="rbg"), ArgumentError, "threefry"),
        (lambda k: random.choice(k, 3, (4,), replace=False), ArgumentError, "without replacement"),
        (lambda k: random.choice(k, 3, (4,), p=np.ones(2) / 2), ShapeError, "p has shape"),
        (lambda k: random.choice(k, 0, (4,)), ArgumentError, "nothing"),
        (
            lambda k: random.categorical(k, np.zeros((2, 3), np.float32), shape=(3,)),
            ShapeError,
            "must end with",
        ),
        (lambda k: random.permutation(k, np.zeros((2, 3)), axis=2), ShapeError, "axis 2"),
    ],
)
def test_errors_say_what_to_do(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(random.key(0))


MOMENTS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "gamma": (lambda k: random.gamma(k, 2.5, (40000,)), 2.5, 2.5),
    "small gamma": (lambda k: random.gamma(k, 0.3, (40000,)), 0.3, 0.3),
    "beta": (lambda k: random.beta(k, 2.0, 3.0, (40000,)), 0.4, 0.04),
    "chisquare": (lambda k: random.chisquare(k, 3.0, (40000,)), 3.0, 6.0),
    "t": (lambda k: random.t(k, 10.0, (40000,)), 0.0, 1.25),
    "poisson": (lambda k: random.poisson(k, 4.0, (40000,)), 4.0, 4.0),
    "great poisson": (lambda k: random.poisson(k, 50.0, (40000,)), 50.0, 50.0),
    "binomial": (lambda k: random.binomial(k, 100, 0.3, (40000,)), 30.0, 21.0),
    "geometric": (lambda k: random.geometric(k, 0.25, (40000,)), 4.0, 12.0),
    "wald": (lambda k: random.wald(k, 2.0, (40000,)), 2.0, 8.0),
    "rayleigh": (lambda k: random.rayleigh(k, 2.0, (40000,)), 2 * (np.pi / 2) ** 0.5, 4 * (2 - np.pi / 2)),
    "triangular": (lambda k: random.triangular(k, 0.0, 1.0, 2.0, (40000,)), 1.0, 1 / 6),
    "weibull_min": (lambda k: random.weibull_min(k, 1.0, 2.0, (40000,)), 0.886227, 0.214602),
    "maxwell": (lambda k: random.maxwell(k, (40000,)), 2 * (2 / np.pi) ** 0.5, 3 - 8 / np.pi),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_mean_and_variance(name: str) -> None:
    draw, mean, variance = MOMENTS[name]
    drawn = np.asarray(draw(random.key(3))).astype(float)
    assert abs(drawn.mean() - mean) < 5 * (variance / drawn.size) ** 0.5
    assert abs(drawn.var() - variance) < 0.1 * variance


# Derivatives by JAX 0.10.2 of sums of squares, with key 1 and shape parameters 0.3, 2, 5.
SLOPES = {
    "gamma": (lambda a: random.gamma(random.key(1), a), [0.0001173, 2.3925877, 19.6393261]),
    "loggamma": (lambda a: random.loggamma(random.key(1), a), [-265.265564, 0.3942085, 0.674925]),
    "beta": (lambda a: random.beta(random.key(1), a, 3.0 * a), [0.0470431, 0.006773, -0.0137885]),
    "dirichlet": (lambda a: random.dirichlet(random.key(1), a, (4,)), [-0.4351161, -0.2907224, 0.1037489]),
    "t": (lambda a: random.t(random.key(1), a), [-57.0063744, -0.0178087, -0.6996174]),
}


@pytest.mark.parametrize("name", SLOPES)
def test_shape_parameters_have_derivatives(name: str) -> None:
    draw, want = SLOPES[name]
    a = np.array([0.3, 2.0, 5.0], np.float32)
    square = lambda a: fnp.sum(draw(a) ** 2)
    for grad in (fnn.grad(square), fnn.jit(fnn.grad(square))):
        np.testing.assert_allclose(grad(a), want, 1e-4, 1e-6)
    direction = np.array([1.0, -0.5, 2.0], np.float32)
    _, along = fnn.jvp(square, (a,), (direction,))
    np.testing.assert_allclose(along, np.dot(want, direction), 1e-4, 1e-5)


def test_a_gamma_variate_keeps_its_place_in_the_distribution() -> None:
    """What its derivative in a is: the quantile function's."""
    from scipy import stats

    a = np.linspace(0.2, 30, 50)
    drawn = np.asarray(random.gamma(random.key(5), a, dtype="float64"))
    slope = np.asarray(
        fnn.grad(lambda a: fnp.sum(random.gamma(random.key(5), a, dtype="float64")))(
            fnp.asarray(a, "float64")
        )
    )
    place = stats.gamma.cdf(drawn, a)
    expected = (stats.gamma.ppf(place, a + 1e-5) - stats.gamma.ppf(place, a - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, expected, rtol=1e-4)


@pytest.mark.parametrize("method", ["cholesky", "eigh", "svd"])
def test_normal_vectors_have_their_covariance(method: str) -> None:
    cov = np.array([[2.0, 0.6], [0.6, 1.0]], np.float32)
    mean = np.array([1.0, -1.0], np.float32)
    drawn = np.asarray(random.multivariate_normal(random.key(4), mean, cov, (40000,), method=method))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.06)
    singular = np.ones((2, 2), np.float32)
    if method != "cholesky":
        both = (
            np.asarray(random.multivariate_normal(random.key(4), mean, singular, (5,), method=method)) - mean
        )
        np.testing.assert_allclose(both[:, 0], both[:, 1], atol=2e-3)


def test_normal_numbers_of_complex_dtypes() -> None:
    """Against the numbers of JAX 0.10.2; each part has half of the variance."""
    close = [0.70994526 - 1.727077j, -0.6408772 - 1.4394435j]
    np.testing.assert_allclose(random.normal(random.key(0), (2,), "complex64"), close, rtol=1e-6)
    many = np.asarray(random.normal(random.key(1), (20_000,), "complex128"))
    assert many.dtype == np.complex128
    np.testing.assert_allclose([many.real.var(), many.imag.var()], 0.5, rtol=0.05)


def test_keys_are_compared_by_their_bits() -> None:
    keys = random.split(random.key(0), 3)
    np.testing.assert_array_equal(keys == keys[1], [False, True, False])
    np.testing.assert_array_equal(fnn.jit(lambda a, b: a != b)(keys, keys[1]), [True, False, True])
