"""Random programs, and every primitive's samples, through the kernels' loops."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

from fnn import dtypes, primitives
from fnn.core.lowering import Library, Loop, NativeCall, PythonCall
from fnn.core.primitive import Unsupported, registry
from fnn.kernels.calls import Call
from fnn.kernels.executable import compile_graph
from fnn.kernels.lower import lower
from fnn.primitives import arithmetic as a
from fnn.primitives import comparison as c
from fnn.primitives import conversion as v
from fnn.primitives import reductions as r
from fnn.primitives import structural as s
from fnn.primitives import transcendental as t
from fnn.primitives.contraction import dot_general
from fnn.primitives.dynamic_slicing import dynamic_update_slice
from fnn.primitives.linalg import cholesky
from fnn.transforms.passes.inline import inline
from tests.lowering_checks import array, check, close, execute, graph_of, kernels, over
from tests.primitive_kernels import holds_complex

# -- random programs
# ----------------------------------------------------------------------------------------------


def operation(kind: int, x: Any, y: Any, row: Any, u: int) -> Any:
    """One of 23 ways to make an (n, m) array from two of them and one of shape (m,)."""
    n, m = shape = x.shape
    return [
        lambda: a.add(x, y),
        lambda: a.mul(x, t.tanh(y)),
        lambda: a.sub(x, 0.5),
        lambda: a.max(x, y),
        lambda: t.tanh(x),
        lambda: a.neg(x),
        lambda: c.select(c.lt(x, y), x, a.mul(y, 0.5)),
        lambda: over(t.tanh(r.reduce_sum(x, axes=(1,))), shape, 0),
        lambda: over(r.reduce_max(x, axes=(0,)), shape, 1),
        lambda: over(t.tanh(r.reduce_sum(x, axes=(0, 1))), shape),
        lambda: a.sub(x, over(r.reduce_max(x, axes=(1,)), shape, 0)),
        lambda: s.rev(x, axes=((0,), (1,), (0, 1))[u % 3]),
        lambda: s.transpose(s.reshape(x, shape=(m, n)), perm=(1, 0)),
        lambda: s.reshape(s.transpose(x, perm=(1, 0)), shape=shape),
        lambda: s.pad(
            s.slice(x, start=(n // 2, 0), limit=(n, m), step=(1, 1)),
            0.25,
            low=(0, 0),
            high=(n // 2, 0),
            interior=(0, 0),
        ),
        lambda: s.concatenate(
            s.slice(x, start=(0, m // 2), limit=(n, m), step=(1, 1)),
            s.slice(y, start=(0, 0), limit=(n, m // 2), step=(1, 1)),
            axis=1,
        ),
        lambda: t.tanh(
            dot_general(
                dot_general(x, y, contract=((1,), (1,)), batch=((), ())),
                x,
                contract=((0,), (0,)),
                batch=((), ()),
            )
        ),
        lambda: a.mul(x, over(t.tanh(r.reduce_sum(a.mul(y, y), axes=(0,))), shape, 1)),
        lambda: a.add(x, s.iota(dtype=np.dtype("f4"), shape=shape, dimension=u % 2)),
        lambda: over(a.mul(r.reduce_sum(x, axes=(1,)), r.reduce_max(y, axes=(1,))), shape, 0),
        lambda: a.mul(over(row, shape, 1), x),
        lambda: v.convert(v.convert(x, dtype=np.dtype(dtypes.bfloat16)), dtype=np.dtype("f4")),
        lambda: t.tanh(over(r.reduce_sum(s.rev(x, axes=(1,)), axes=(1,)), shape, 0)),
    ][kind]()


def random_program(rng: np.random.Generator, length: int) -> tuple[Any, list[np.ndarray]]:
    """A function of three arrays that mixes elementwise work, structure, reductions and products."""
    n, m = (int(x) for x in rng.choice([1, 2, 3, 5, 8, 16, 24], 2))
    arrays = [rng.uniform(-1, 1, shape).astype("f4") for shape in ((n, m), (n, m), (m,))]
    choices = rng.integers(0, 1 << 30, (length, 4))

    def f(*inputs: Any) -> list[Any]:
        values = list(inputs)

        def matrix(k: int) -> Any:
            found = [x for x in values if x.shape == (n, m)]
            return found[k % len(found)]

        for kind, p, q, u in choices:
            values.append(operation(int(kind) % 23, matrix(p), matrix(q), inputs[2], int(u)))
        wanted = [values[-1], *(values[int(k) % len(values)] for k in choices[0][1:])]
        return [*wanted, *[r.reduce_sum(x, axes=(0,)) for x in wanted if x.shape == (n, m)][:2]]

    return f, arrays


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    rng = np.random.default_rng(seed)
    f, arrays = random_program(rng, int(rng.integers(2, 30)))
    graph = graph_of(f, *arrays)
    lowered = lower(graph)
    for got, want in zip(execute(lowered, arrays), graph(*arrays), strict=True):
        want = np.asarray(want)
        np.testing.assert_allclose(got, want, 2e-3, 2e-3 * max(1.0, float(np.abs(want).max(initial=0))))


# -- every primitive
# ----------------------------------------------------------------------------------------------

for _module in pkgutil.iter_modules(primitives.__path__):
    importlib.import_module("fnn.primitives." + _module.name)
CASES = [
    (p, k)
    for p in registry.values()
    for k, sample in enumerate(p.samples)
    if not isinstance(p.lower, (Library, Loop, NativeCall, PythonCall, Unsupported))
    and not holds_complex(p, sample)
]


@pytest.mark.parametrize("primitive,number", CASES, ids=[f"{p}-{k}" for p, k in CASES])
def test_every_primitive(primitive, number):
    sample = primitive.samples[number]
    args = sample.arrays(np.random.default_rng(number))
    arrays = [x for x in args if isinstance(x, np.ndarray)]

    def f(*given: Any) -> list[Any]:
        inputs = iter(given)
        out = primitive(*[next(inputs) if isinstance(x, np.ndarray) else x for x in args], **sample.params)
        return list(out) if primitive.multiple else [out]

    graph = graph_of(f, *arrays)
    with np.errstate(all="ignore"):
        want = [np.asarray(x) for x in graph(*arrays)]
    # functions of a library are no loops: what is made of them is compiled instead of interpreted
    foreign = any(isinstance(e.primitive.lower, Library) for e in inline(graph).equations)
    found = compile_graph(inline(graph))(arrays) if foreign else execute(lower(inline(graph)), arrays)
    for got, expected in zip(found, want, strict=True):
        close(got, expected, sample.tolerance)


def test_an_update_in_place_copies_first():
    def f(x, u):
        return [dynamic_update_slice(x, u, 1, 2), a.add(x, 1.0)]

    lowered = check(f, array(5, 6), array(2, 3))
    copy = next(call for call in kernels(lowered) if call.label == "copy")
    assert copy.in_place


def test_library_and_control_calls_are_left_to_the_planner():
    spd = np.eye(3, dtype="f4") * 2
    lowered = lower(graph_of(lambda x: [cholesky(s.transpose(a.add(x, 0.0), perm=(1, 0)))], spd))
    call = lowered.calls[-1]
    assert isinstance(call, Call) and call.functions == ("spotrf",) and call.writes == set(lowered.outputs)
