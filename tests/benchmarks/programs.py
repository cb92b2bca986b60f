"""The measured programs, each written once for any library that has JAX's public names.

A program is a function of a :class:`Library` and returns ``(function, arguments)``: a jitted function and
NumPy inputs with a fixed seed, so that every library computes the same thing and its checksum can be
compared.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Library:
    """The modules that a program is written against."""

    top: ModuleType  # grad, vmap, jit and their relatives
    numpy: ModuleType
    lax: ModuleType
    tree: ModuleType


def dispatch(lib: Library) -> tuple[Callable, Arguments]:
    """One addition: what calling a compiled function costs."""
    return lib.top.jit(lambda x: x + 1.0), (np.float32(1.0),)


def softmax_rows(lib: Library) -> tuple[Callable, Arguments]:
    """Row softmax of (1024, 512): reductions and transcendentals that one kernel can hold."""

    def softmax(x):
        e = lib.numpy.exp(x - lib.numpy.max(x, axis=-1, keepdims=True))
        return e / lib.numpy.sum(e, axis=-1, keepdims=True)

    return lib.top.jit(softmax), (np.random.default_rng(0).standard_normal((1024, 512)).astype(np.float32),)


def train_step(lib: Library) -> tuple[Callable, Arguments]:
    """A gradient step of a three-layer perceptron, 128 examples of 784 pixels."""
    rng = np.random.default_rng(0)
    sizes = (784, 256, 256, 10)
    weights = [
        {"w": (rng.standard_normal((m, n)) * m**-0.5).astype(np.float32), "b": np.zeros(n, np.float32)}
        for m, n in itertools.pairwise(sizes)
    ]
    x = rng.standard_normal((128, 784)).astype(np.float32)
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]

    def loss(weights, x, y):
        for layer in weights[:-1]:
            x = lib.numpy.tanh(x @ layer["w"] + layer["b"])
        scores = x @ weights[-1]["w"] + weights[-1]["b"]
        scores = scores - lib.numpy.max(scores, axis=-1, keepdims=True)
        log_sum = lib.numpy.log(lib.numpy.sum(lib.numpy.exp(scores), axis=-1))
        return lib.numpy.mean(log_sum - lib.numpy.sum(scores * y, axis=-1))

    def step(weights, x, y):
        gradients = lib.top.grad(loss)(weights, x, y)
        return lib.tree.map(lambda w, g: w - 0.1 * g, weights, gradients)

    return lib.top.jit(step), (weights, x, y)


def scan_dynamics(lib: Library) -> tuple[Callable, Arguments]:
    """The gradient of 1,000 Euler steps of the Lorenz system: a compiled loop over three numbers, and its
    reverse."""

    def end(state):
        def body(s, _):
            x, y, z = s[0], s[1], s[2]
            rate = lib.numpy.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.667 * z])
            return s + 0.001 * rate, None

        return lib.numpy.sum(lib.lax.scan(body, state, None, length=1000)[0])

    return lib.top.jit(lib.top.grad(end)), (np.array([1.0, 1.0, 1.0], np.float32),)


def batched_hessian(lib: Library) -> tuple[Callable, Arguments]:
    """``vmap(hessian(f))`` over 256 points in eight dimensions: transformations nested three deep."""

    def energy(x):
        return lib.numpy.sum(lib.numpy.sin(x) * lib.numpy.cos(x[::-1])) + lib.numpy.sum(x**2) ** 2

    points = np.random.default_rng(0).standard_normal((256, 8)).astype(np.float32)
    return lib.top.jit(lib.top.vmap(lib.top.hessian(energy))), (points,)


PROGRAMS: dict[str, Callable[[Library], tuple[Callable, Arguments]]] = {
    program.__name__: program
    for program in (dispatch, softmax_rows, train_step, scan_dynamics, batched_hessian)
}
