"""The measured programs: each is written once for any library that has JAX's public names.

A program is a function of a `Library` that returns the function to time. Its inputs come from NumPy with a fixed
seed, so that every library sees the same numbers and the checksums of the results can be compared. A program
that *carries* is a training step `function(state, *batch) -> (state, loss)`: the state is fed back at every call,
and its checksum is the loss of the fifth step.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

Tree = Any
MODULES = ("numpy", "lax", "random", "nn", "tree")
NAMES = (
    "jit",
    "grad",
    "value_and_grad",
    "vmap",
    "jvp",
    "vjp",
    "hessian",
    "jacfwd",
    "jacrev",
    "block_until_ready",
)
FILES = ("workloads_arrays", "workloads_training", "workloads_loops")


@dataclass(frozen=True)
class Program:
    """build: library -> function to time. inputs: generator -> its arguments, pytrees of NumPy arrays. random: it
    draws from the library's own generator, so that checksums differ. quick: part of the short run."""

    build: Callable[[Any], Callable]
    inputs: Callable[[np.random.Generator], tuple]
    carries: bool = False
    random: bool = False
    quick: bool = True


PROGRAMS: dict[str, Program] = {}


def program(
    inputs: Callable[[np.random.Generator], tuple], name: str | None = None, **flags: bool
) -> Callable:
    """Register a program under its function's name, or the one given."""

    def register(build: Callable) -> Callable:
        PROGRAMS[name or build.__name__] = Program(build, inputs, **flags)
        return build

    return register


def load() -> dict[str, Program]:
    """All programs, by name, in the order of their files."""
    for name in FILES:
        importlib.import_module(name)
    return PROGRAMS


def library(package: str) -> SimpleNamespace:
    """The names that the programs use, of jax or of a library shaped like it."""
    root = importlib.import_module(package)
    members = {name: importlib.import_module(f"{package}.{name}") for name in MODULES}
    return SimpleNamespace(
        jnp=members.pop("numpy"), **members, **{name: getattr(root, name) for name in NAMES}
    )


# -- inputs


def f32(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Normal numbers."""
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def dense(rng: np.random.Generator, n_in: int, n_out: int) -> Tree:
    """A layer's weight and bias."""
    return {"w": f32(rng, n_in, n_out, scale=n_in**-0.5), "b": np.zeros(n_out, np.float32)}


def labels(rng: np.random.Generator, *shape: int, classes: int = 10) -> np.ndarray:
    """Class numbers."""
    return rng.integers(0, classes, shape).astype(np.int32)


def zeros_like(tree: Tree) -> Tree:
    """Zeros in the structure of nested dicts and lists of arrays."""
    if isinstance(tree, dict):
        return {k: zeros_like(v) for k, v in tree.items()}
    return [zeros_like(v) for v in tree] if isinstance(tree, list) else np.zeros_like(tree)


def adam_state(params: Tree) -> Tree:
    """(parameters, first moments, second moments, step)."""
    return params, zeros_like(params), zeros_like(params), np.int32(0)
