"""What no number of threads may change: results bit for bit, whoever calls, from whichever thread or process."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax, nn, tree
from fnn.config import config

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
RNG = np.random.default_rng(7)
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def program(*arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a program with what it is run on."""

    def register(f: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[f.__name__] = f, arguments
        return f

    return register


@program(real(300_001))
def whole_reductions(x):
    return (
        fnp.sum(x),
        fnp.mean(x),
        fnp.var(x),
        fnp.max(x),
        fnp.argmin(x),
        fnp.prod(1 + x * 1e-4),
        fnn.nn.logsumexp(x),
    )


@program(real(5000, 130))
def reductions_of_rows_and_columns(x):
    return fnp.sum(x, 0), fnp.sum(x, 1), fnp.var(x, 0), fnp.std(x, 1), fnp.argmax(x, 0), fnp.min(x, 1)


@program(real(7, 900, 50))
def reductions_of_the_middle(x):
    return fnp.sum(x * x, 1), fnp.mean(x, (0, 2)), fnp.max(x, (0, 1))


@program(real(300, 500), real(500, 270), real(4, 65, 33))
def products(a, b, c):
    return (
        a @ b,
        a.T @ (a @ b),
        (a @ b) @ b.T,
        fnp.einsum("bij,bkj->bik", c, c),
        a @ b[:, 0],
        fnp.dot(a[0], b[:, 1]),
    )


@program(real(4, 16, 16, 8), real(3, 3, 8, 12))
def convolution(x, w):
    def loss(x, w):
        out = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return fnp.sum(fnp.tanh(out))

    return loss(x, w), fnn.grad(loss, (0, 1))(x, w)


@program(real(2000, 9), RNG.integers(0, 50, 2000).astype(np.int32))
def scattering(x, at):
    gathered = fnn.grad(lambda table: fnp.sum(fnp.sin(table[at])))(x[:50])
    return fnp.zeros((50, 9), np.float32).at[at].add(x), gathered, x.at[at].max(x)


@program(real(200_000), RNG.integers(0, 1000, 100_000).astype(np.int32))
def ordering(x, k):
    return fnp.sort(x), fnp.argsort(k), lax.top_k(x, 17), fnp.sort(x.reshape(400, 500), axis=0)


@program(real(100_003), real(40, 3000))
def running_totals(x, y):
    return fnp.cumsum(x), fnp.cumsum(y, 0), fnp.cumsum(y, 1), fnp.cumprod(1 + y * 1e-3, 1), lax.cummax(x)


@program(real(800, 257))
def softmax_gradient(x):
    return fnn.value_and_grad(lambda x: fnp.sum(nn.log_softmax(x)[:, 3]) + fnp.sum(nn.softmax(x) ** 2))(x)


@program(np.uint32(5))
def random_numbers(seed):
    key = fnn.random.key(seed)
    return (
        fnn.random.normal(key, (70_001,)),
        fnn.random.uniform(key, (999,)),
        fnn.random.permutation(key, 5000),
    )


@program(real(8, 24, 64), real(64, 192), real(64, 64), real(64, 128), real(128, 64))
def transformer_step(x, qkv, out, up, down):
    def loss(weights):
        qkv, out, up, down = weights
        h = (x - fnp.mean(x, -1, keepdims=True)) / fnp.sqrt(fnp.var(x, -1, keepdims=True) + 1e-5)
        q, k, v = fnp.split((h @ qkv).reshape(8, 24, 3, 4, 16), 3, 2)
        scores = nn.softmax(fnp.einsum("bqzhd,bkzhd->bhqk", q, k) / 4)
        h = x + fnp.einsum("bhqk,bkzhd->bqhd", scores, v).reshape(8, 24, 64) @ out
        return fnp.mean((h + nn.gelu(h @ up) @ down) ** 2)

    weights = qkv, out, up, down
    value, slopes = fnn.value_and_grad(loss)(weights)
    return value, tree.map(lambda w, g: w - 0.1 * g, weights, slopes)


@program(real(20, 16, 12), real(12, 128), real(32, 128))
def lstm(x, w, u):
    def loss(w, u):
        def step(state, x):
            h, c = state
            i, f, g, o = fnp.split(x @ w + h @ u, 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * fnp.tanh(g)
            h = nn.sigmoid(o) * fnp.tanh(c)
            return (h, c), h

        zero = fnp.zeros((16, 32), np.float32)
        return fnp.mean(lax.scan(step, (zero, zero), x)[1] ** 2)

    return fnn.value_and_grad(loss, (0, 1))(w, u)


def results() -> dict[str, np.ndarray]:
    """The leaves of every program's result, compiled."""
    out = {}
    for name, (f, arguments) in PROGRAMS.items():
        for k, leaf in enumerate(tree.leaves(fnn.jit(f)(*arguments))):
            out[f"{name} {k}"] = np.array(leaf)
    return out


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


RUN = "import sys, numpy as np, test_threads_agree as t; np.savez(sys.argv[1], **t.results())"


def test_one_two_and_four_threads_give_the_same_bits(tmp_path) -> None:
    running = {}
    for count in ("1", "2", "4"):
        command = [sys.executable, "-c", RUN, str(tmp_path / count)]
        running[count] = subprocess.Popen(
            command, env=ENVIRONMENT | {"FNN_NUM_THREADS": count}, cwd=HERE.parent
        )
        if count == "1":
            assert running[count].wait(300) == 0  # it fills the cache
    assert all(process.wait(300) == 0 for process in running.values())
    found = {count: np.load(tmp_path / f"{count}.npz") for count in running}
    assert len(found["1"].files) > 40
    for name in found["1"].files:
        bits = {count: file[name].tobytes() for count, file in found.items()}
        assert bits["1"] == bits["2"] == bits["4"], name


# ---------------------------------------------------------------------------------------------- Python threads


def together(count: int, work: Callable[[int], None]) -> None:
    """Run work(0), work(1), ... at once, and raise what any of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait(30)
            work(number)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(200)
        assert not worker.is_alive(), "a call never returned"
    if errors:
        raise errors[0]


def call_all(
    functions: dict[str, Callable[..., Any]], serial: dict[str, Any], number: int, rounds: float
) -> int:
    """Call the shared functions in an order of the thread's own, until so many rounds, or seconds, are over."""
    rng, calls, end = np.random.default_rng(number), 0, time.monotonic() + rounds
    while calls < 1 or time.monotonic() < end:
        for name in rng.permutation(list(functions)):
            assert same(functions[name](*PROGRAMS[name][1]), serial[name]), name
            calls += 1
    return calls


@pytest.mark.parametrize("seconds", [1.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_eight_python_threads_agree_with_one(seconds: float) -> None:
    """The first calls too: all threads meet functions that nobody has compiled."""
    serial = {name: tree.map(np.array, fnn.jit(f)(*arguments)) for name, (f, arguments) in PROGRAMS.items()}
    # other functions than those of the serial results: everything is traced and planned anew
    functions = {name: fnn.jit(lambda *a, f=f: f(*a)) for name, (f, _) in PROGRAMS.items()}
    with config.using(num_threads=2):
        together(8, lambda number: call_all(functions, serial, number, seconds) and None)


def test_threads_compile_one_new_function_at_once() -> None:
    for constant in range(5):
        f = fnn.jit(lambda x, c=constant: fnp.sin(x) * (c + 0.1234) + fnp.sum(x * c))
        x = real(1000)
        want = np.sin(x) * np.float32(constant + 0.1234) + np.sum(x * constant)
        together(8, lambda _, f=f, x=x, want=want: np.testing.assert_allclose(f(x), want, 1e-4, 1e-4))


def test_threads_that_donate_and_threads_that_fail() -> None:
    step = fnn.jit(lambda state, x: state * 0.5 + x, donate_argnums=0)
    x = real(30_000)

    @fnn.jit
    def wrong(x):
        return x + fnp.zeros(3, np.float32)

    def work(number: int) -> None:
        state, expected = fnp.zeros(30_000, np.float32), np.zeros(30_000, np.float32)
        for k in range(40):
            if number % 2 and k % 10 == 0:
                with pytest.raises(fnn.errors.ShapeError):
                    wrong(x)
            state = step(state, x * number)
            expected = expected * np.float32(0.5) + x * number
        np.testing.assert_allclose(state, expected, 1e-5, 1e-5)

    together(8, work)


# ------------------------------------------------------------------------------------------------------- forks

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def old_and_new(number: int) -> bool:
    """In a child: a function its parent has called, and one nobody has."""
    _, arguments = PROGRAMS["reductions_of_rows_and_columns"]
    new = fnn.jit(lambda x: fnp.cos(x) * (number + 0.5) + fnp.sum(x, 0))
    x = real(300, 40)
    close = np.allclose(new(x), np.cos(x) * (number + 0.5) + np.sum(x, 0), 1e-4, 1e-4)
    return close and same(_old(*arguments), _before)


@fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_children_of_a_fork_call_functions_old_and_new() -> None:
    global _old, _before
    f, arguments = PROGRAMS["reductions_of_rows_and_columns"]
    _old = fnn.jit(f)
    with config.using(num_threads=2):
        _before = tree.map(np.array, _old(*arguments))
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert all(pool.map(old_and_new, range(6), chunksize=1))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if old_and_new(7) else 2
            finally:
                os._exit(status)
        assert same(_old(*arguments), _before)  # the parent goes on
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


_old: Any = None
_before: Any = None
