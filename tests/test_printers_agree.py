"""Whole programs, compiled from vectors and from Numba's Python: both printers say the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import dtypes, lax, tree
from fnn.config import config
from fnn.kernels import cache
from fnn.kernels.cpu import machine
from tests.tolerances import assert_close

PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*shape: int, below: int = 100) -> np.ndarray:
    return RNG.integers(0, below, shape).astype(np.int32)


def program(*arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a program with what it is run on."""

    def register(f: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[f.__name__] = f, arguments
        return f

    return register


@program(real(300))
def mathematics(x):
    y = lax.exp(lax.sin(x)) * lax.erf(x) + lax.tanh(x)
    return y, lax.log1p(abs(x)), lax.pow(abs(x), x), lax.atan2(x, y), lax.rsqrt(x * x + 1.0)


@program(RNG.integers(-(2**31), 2**31, 100).astype(np.int32), whole(100, below=40))
def integers(x, y):
    shifted = lax.shift_left(x, y), lax.shift_right_logical(x, y), lax.shift_right_arithmetic(x, y)
    return shifted, lax.population_count(x), lax.clz(x), lax.rem(x, y + 1), x * y, ~x ^ y


@program(real(5, 70))
def softmax(x):
    e = lax.exp(x - fnp.max(x, axis=-1, keepdims=True))
    return e / fnp.sum(e, axis=-1, keepdims=True)


@program(real(3, 40, 12), real(3, 40))
def short_rows(x, y):
    """Many short rows, with much to do once per row."""
    total = fnp.sum(lax.exp(x), axis=-1)
    return lax.exp(x) / total[..., None] * y[..., None], lax.log(total) * y, lax.tanh(total) > y


@program(real(9, 33))
def reductions(x):
    return (
        fnp.sum(x, axis=0), fnp.max(x, axis=1), fnp.sum(x), fnp.argmax(x, axis=1), fnp.all(x > -9.0, axis=0),
        lax.reduce_prod(x, axes=(1,)),
    )  # fmt: skip


@program(real(12, 20), real(20, 17), real(17))
def layer(x, w, b):
    return lax.tanh(x @ w + b), x.T @ x, w.T @ x.T


@program(real(3, 5, 8), real(3, 8, 4))
def batched_products(x, y):
    return lax.batch_matmul(x, y)


@program(real(6, 9))
def structure(x):
    pieces = lax.rev(x, (1,)), lax.transpose(lax.pad(x, 1.0, ((1, 2, 0), (-1, 0, 1))), (1, 0))
    return (*pieces, lax.concatenate([x, x * 2.0], 1), lax.reshape(lax.transpose(x, (1, 0)), (6, 9)))


@program(real(40, 6), whole(25, below=50))
def gather(x, i):
    return x[i], x[::3, 1:4], lax.dynamic_slice(x, (i[0], 2), (4, 3))


@program(real(40, 6), whole(25, below=40), real(25, 6))
def scatter(x, i, updates):
    return x.at[i].add(updates), x.at[i].max(updates), lax.dynamic_update_slice(x, updates[:3], (i[0], 0))


@program(real(4, 50), whole(4, 50, below=9))
def sort(x, keys):
    return lax.sort(x), lax.sort((keys, x), num_keys=1), lax.top_k(x, 5)


@program(real(7, 40))
def cumulative(x):
    return lax.cumsum(x, axis=1), lax.cummax(x, axis=0), lax.cumlogsumexp(x, axis=1, reverse=True)


@program(np.arange(200, dtype=np.uint32))
def random_bits(x):
    key = fnn.random.key(3)
    return fnn.random.bits(key, (33,)), fnn.random.uniform(key, (50,)), x * np.uint32(2654435761)


@program(real(100) * 1000)
def halves(x):
    return [
        lax.convert_element_type(lax.convert_element_type(x, d) * np.asarray(1.5, d), np.dtype("float32"))
        for d in (np.dtype(dtypes.bfloat16), np.dtype(np.float16))
    ]


@program(real(64))
def conversions(x):
    wide = lax.convert_element_type(x * 100.0, np.dtype(np.int16))
    return wide, wide > 3, lax.bitcast_convert_type(x, np.dtype(np.int32)), lax.round(x), lax.floor(x)


@program(np.asarray(3, np.int32), real(10))
def branches(i, x):
    cases = (lax.sin, lambda x: x * 2.0, lambda x: -x, lambda x: lax.rev(x, (0,)))
    return lax.switch(i, cases, x), lax.cond(i > 5, lax.cos, lax.sqrt, abs(x))


@program(np.asarray(27, np.int32))
def collatz(n):
    def step(state):
        n, steps = state
        return lax.select(n % 2 == 0, n // 2, 3 * n + 1), steps + 1

    return lax.while_loop(lambda state: state[0] != 1, step, (n, fnp.zeros((), np.int32)))


def recurrence(w, h, xs):
    def step(h, x):
        h = lax.tanh(h @ w + x)
        return h, h * 2.0

    h, ys = lax.scan(step, h, xs)
    return fnp.sum(h) + fnp.sum(ys)


@program(real(6, 6), real(3, 6), real(11, 3, 6))
def gradient_of_a_recurrence(w, h, xs):
    return fnn.value_and_grad(recurrence, argnums=(0, 1, 2))(w, h, xs)


@program(np.array([1.0, 1.0, 1.0], np.float32))
def small_state(s):
    def step(s, _):
        x, y, z = s
        return (x + 0.01 * (y - x), y + 0.01 * (x * (28.0 - z) - y), z + 0.01 * (x * y - 2.0 * z)), x

    return lax.scan(step, (s[0], s[1], s[2]), None, length=50)


@program(real(2, 9, 9, 3), real(3, 3, 3, 4))
def convolution(x, w):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (2, 1), "SAME", dimension_numbers=dimensions)


@program(real(5, 8))
def hessian_of_each_row(x):
    return fnn.vmap(fnn.hessian(lambda v: fnp.sum(lax.sin(v)) * fnp.sum(v * v)))(x)


def loss(params, x, y):
    for w, b in params[:-1]:
        x = lax.tanh(x @ w + b)
    w, b = params[-1]
    z = x @ w + b
    z = z - fnp.max(z, axis=-1, keepdims=True)
    return fnp.mean(lax.log(fnp.sum(lax.exp(z), axis=-1)) - fnp.sum(z * y, axis=-1))


SIZES = (20, 16, 16, 5)
WEIGHTS = [(real(m, n) * 0.2, np.zeros(n, np.float32)) for m, n in itertools.pairwise(SIZES)]
ZEROS = tree.map(np.zeros_like, WEIGHTS)


@program(WEIGHTS, ZEROS, ZEROS, np.float32(0), real(24, 20), np.eye(5, dtype=np.float32)[whole(24, below=5)])
def training_step(params, mean, square, count, x, y):
    """Cross entropy of a perceptron, and a step of Adam."""
    value, gradient = fnn.value_and_grad(loss)(params, x, y)
    count = count + 1.0
    mean = tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
    square = tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, gradient)
    scale = lax.sqrt(1.0 - 0.999**count) / (1.0 - 0.9**count)
    params = tree.map(lambda w, m, v: w - 1e-3 * scale * m / (lax.sqrt(v) + 1e-8), params, mean, square)
    return params, mean, square, count, value


@pytest.mark.parametrize("name", PROGRAMS)
def test_printers_agree(name: str) -> None:
    function, arguments = PROGRAMS[name]
    results = {}
    for printer in ("vector", "numba"):
        with config.using(printer=printer):
            results[printer] = tree.leaves(fnn.jit(lambda *a: function(*a))(*arguments))
    for got, want in zip(results["numba"], results["vector"], strict=True):
        assert_close(got, want, scale=2, what=name)
    assert all(np.isfinite(np.asarray(x, np.float64)).all() for x in results["vector"])


def test_float16_without_instructions_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every float16, its neighbours and the halfway points, converted by integers as by instructions."""
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    values = every.astype(np.float32)
    with np.errstate(all="ignore"):
        middle = ((values.astype(np.float64) + np.roll(values, -1)) / 2).astype(np.float32)
        x = np.concatenate([values, middle, np.nextafter(values, np.float32(np.inf))])
        wanted = x.astype(np.float16)
    asked: list[None] = []
    monkeypatch.setattr(machine, "converts_halves", lambda: bool(asked.append(None)))
    monkeypatch.setattr(cache, "_addresses", {})  # or kernels that this process has would be used

    def convert(x, h):
        return lax.convert_element_type(x, np.float16), lax.convert_element_type(h, np.float32)

    with config.using(cache_dir=""):
        narrow, wide = map(np.asarray, fnn.jit(convert)(x, every))
    assert len(asked) >= 2
    np.testing.assert_array_equal(narrow, wanted)
    np.testing.assert_array_equal(wide, values)
