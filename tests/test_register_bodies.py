"""What bodies of loops in registers may hold: every primitive, and random mixtures of loops and branches."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fnn import primitives, tree
from fnn import primitives as P
from fnn.config import config
from fnn.core.lowering import Decompose, Elementwise, Library, NativeCall, PythonCall
from fnn.core.primitive import Primitive, Unsupported, registry
from fnn.core.trace import aval_of
from fnn.kernels import lower as lowering
from fnn.kernels import register_loops
from fnn.kernels.calls import Call
from fnn.kernels.executable import compile_graph
from fnn.kernels.loops import code_of, computed
from fnn.primitives import scalar_code
from fnn.transforms.batching import vmap
from fnn.transforms.control import cond
from fnn.transforms.differentiate import grad, jvp
from fnn.transforms.scan import fori_loop, scan
from fnn.transforms.while_loop import while_loop
from tests.lowering_checks import close
from tests.primitive_kernels import holds_complex
from tests.register_checks import F4, agree, kernel_by_kernel, labels, lanes_of, total, traced

# -- every primitive in the body of a loop -------------------------------------------------------------------

for _module in pkgutil.iter_modules(primitives.__path__):
    importlib.import_module("fnn.primitives." + _module.name)
CASES = [
    (p, k)
    for p in registry.values()
    for k, s in enumerate(p.samples)
    if not isinstance(p.lower, (Library, NativeCall, PythonCall, Unsupported)) and not holds_complex(p, s)
]


@functools.cache
def leaves_registers(primitive: Primitive) -> bool:
    """Whether it has loops of its own for each element, or calls functions of a library in one of its samples."""
    how = primitive.lower
    if isinstance(how, Elementwise):
        return how.expr.__module__ == scalar_code.__name__
    if not isinstance(how, Decompose):
        return False
    for number, sample in enumerate(primitive.samples):
        if not holds_complex(primitive, sample):
            args = sample.arrays(np.random.default_rng(number))
            arrays = [x for x in args if isinstance(x, np.ndarray)]

            def call(*given: Any, args: Any = args, params: Any = sample.params) -> Any:
                rest = iter(given)
                return primitive(*[next(rest) if isinstance(x, np.ndarray) else x for x in args], **params)

            if any(
                isinstance(c, Call) and c.program is None for c in lowering.lower(traced(call, *arrays)).calls
            ):
                return True
    return False


@pytest.mark.parametrize("primitive,number", CASES, ids=[f"{p}-{k}" for p, k in CASES])
def test_every_primitive_in_a_body(
    primitive: Primitive, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_loops, "SHORT", register_loops.MOST)  # even where it does not pay
    sample = primitive.samples[number]
    args = sample.arrays(np.random.default_rng(number))
    floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim > 0 for x in args]
    arrays = [x for x, f in zip(args, floats, strict=True) if isinstance(x, np.ndarray) and not f]
    stacked = [np.stack([x, x[::-1]]) for x, f in zip(args, floats, strict=True) if f]

    def results(constant: Any, changing: Any) -> list[Any]:
        constant, changing = iter(constant), iter(changing)
        given = [
            next(changing) if f else next(constant) if isinstance(x, np.ndarray) else x
            for x, f in zip(args, floats, strict=True)
        ]
        out = primitive(*given, **sample.params)
        return list(out) if primitive.multiple else [out]

    def looped(*given: Any) -> Any:
        constant, changing = given[: len(arrays)], list(given[len(arrays) :])

        def step(n: Any, xs: Any) -> Any:
            return P.add(n, np.int32(1)), results(constant, xs)

        return tree.leaves(scan(step, np.int32(0), changing, length=2))

    graph = traced(looped, *arrays, *stacked)
    with np.errstate(all="ignore"):
        steps = [results(arrays, [x[i] for x in stacked]) for i in range(2)]
    want = [np.stack([np.asarray(s[k]) for s in steps]) for k in range(len(steps[0]))]
    count, *found = compile_graph(graph)([*arrays, *stacked])
    assert count == 2
    for x, y in zip(found, want, strict=True):
        close(x, y.astype(x.dtype), sample.tolerance)
    operands = [aval_of(x) for x in args] + [aval_of(x) for x in steps[0]]
    plain = all(computed(code_of(a.dtype)) == code_of(a.dtype) for a in operands)
    inner = all(
        computed(code_of(v.aval.dtype)) == code_of(v.aval.dtype)
        for g in [next(e.params["graph"] for e in graph.equations if e.primitive.name == "scan")]
        for e in g.equations
        for v in e.outputs
    )
    if plain and inner and not leaves_registers(primitive) and sum(a.size for a in operands) <= 64:
        assert "ControlCall" not in labels(lowering.lower(graph))


# -- random bodies -------------------------------------------------------------------------------------------


def random_body(rng: np.random.Generator, kinds: int = 15, depth: int = 0) -> Callable[[Any, Any], Any]:
    """A function of (int32 scalar, array of shape (n, 3)) to an array of that shape, bounded; it has while
    loops if there are 15 kinds of steps."""
    steps = [int(k) for k in rng.integers(0, kinds, int(rng.integers(1, 5)))]
    inner = [random_body(rng, kinds, depth + 1) if depth < 2 else None for _ in steps]
    other = [random_body(rng, kinds, depth + 1) if depth < 2 else None for _ in steps]

    def body(i: Any, x: Any) -> Any:
        shape = x.shape
        for kind, f, g in zip(steps, inner, other, strict=True):
            column = P.slice(x, start=(0, 1), limit=(shape[0], 2), step=(1, 1))
            if kind == 0:
                x = P.sin(P.add(x, np.float32(0.3)))
            elif kind == 1:
                x = P.concatenate(column, P.slice(x, start=(0, 0), limit=(shape[0], 2), step=(1, 1)), axis=1)
            elif kind == 2:
                x = P.mul(x, P.broadcast(P.tanh(column), shape=shape, axes=(0, 1)))
            elif kind == 3:
                x = P.sub(x, P.broadcast(P.reduce_max(x, axes=(1,)), shape=shape, axes=(0,)))
            elif kind == 4:
                x = P.select(P.lt(x, np.float32(0)), P.mul(x, np.float32(-0.5)), x)
            elif kind == 5:
                x = P.tanh(P.dot_general(x, np.array([[1, 2, 0], [0, 1, -1], [0.5, 0, 1]], "f4"),
                                         contract=((1,), (0,)), batch=((), ())))  # fmt: skip
            elif kind == 6:
                x = P.add(x, P.convert(P.rem(i, np.int32(3)), dtype=F4))
            elif kind == 7:
                x = P.cumsum(P.tanh(x), axis=1, reverse=False)
            elif kind == 8:
                x = P.pad(x, np.float32(0.25), low=(0, 1), high=(0, -1), interior=(0, 0))
            elif kind == 9:
                x = P.rev(x, axes=(1,))
            elif f is None or g is None:
                x = P.tanh(x)
            elif kind == 10:
                x = cond(
                    P.lt(P.rem(i, np.int32(5)), np.int32(2)),
                    lambda x, f=f: f(i, x),
                    lambda x, g=g: g(i, x),
                    x,
                )
            elif kind == 11:
                x = fori_loop(0, 3, lambda j, x, f=f: P.tanh(f(j, x)), x)
            elif kind == 12:
                x = scan(
                    lambda c, j, f=f: (P.tanh(f(j, c)), total(c)), x, np.arange(4, dtype="i4"), reverse=True
                )[0]
            elif kind == 13:
                x, ys = scan(lambda c, j, f=f: (P.sin(f(j, c)), P.mul(c, c)), x, np.arange(3, dtype="i4"))
                x = P.add(x, P.reduce_max(ys, axes=(0,)))
            else:
                test = lambda s: P.lt(s[0], P.rem(i, np.int32(4)))
                step = lambda s, f=f: (P.add(s[0], np.int32(1)), P.tanh(f(s[0], s[1])))
                _, x = while_loop(test, step, (np.int32(0), x))
        return P.tanh(x)

    return body


@pytest.mark.parametrize("seed", range(60))
def test_random_bodies(seed: int) -> None:
    """Over few elements and over many; forwards, and the derivative."""
    rng = np.random.default_rng(seed)
    body, reverse = random_body(rng), bool(rng.integers(2))
    n = int(rng.choice([1, 2, 16, 35]))

    def f(x: Any) -> Any:
        step = lambda c, i: (body(i, c), P.reduce_max(c, axes=(1,)))
        return scan(step, x, np.arange(5, dtype="i4"), reverse=reverse)

    x = rng.uniform(-1, 1, (n, 3)).astype("f4")
    with kernel_by_kernel():
        want = compile_graph(traced(f, x))([x])
    for got, y in zip(compile_graph(traced(f, x))([x]), want, strict=True):
        close(got, y, 30)
    tangent = lambda x, t: jvp(f, (x,), (t,))[1]
    t = rng.uniform(-1, 1, (n, 3)).astype("f4")
    with kernel_by_kernel():
        want = compile_graph(traced(tangent, x, t))([x, t])
    for got, y in zip(compile_graph(traced(tangent, x, t))([x, t]), want, strict=True):
        np.testing.assert_allclose(got, y, 1e-2, 1e-3 * max(1.0, float(np.abs(y).max())))


@pytest.mark.parametrize("seed", range(30))
def test_gradients_of_random_bodies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = random_body(rng, 14)
    n = int(rng.choice([1, 2, 20]))

    def f(x: Any) -> Any:
        return total(P.sin(scan(lambda c, i: (body(i, c), c), x, np.arange(4, dtype="i4"))[1]))

    x = rng.uniform(-1, 1, (n, 3)).astype("f4")
    graph = traced(grad(f), x)
    with kernel_by_kernel():
        (want,) = compile_graph(graph)([x])
    (found,) = compile_graph(graph)([x])
    np.testing.assert_allclose(found, want, 1e-2, 1e-3 * max(1.0, float(np.abs(want).max())))


@pytest.mark.parametrize("seed", range(20))
def test_random_loops_under_vmap_end_for_each_element(seed: int) -> None:
    """A body for each seed, round and round until a number that varies is large; in a scan, too."""
    rng = np.random.default_rng(seed)
    body = random_body(rng, 7)

    def until(x: Any) -> Any:
        def go_on(s: Any) -> Any:
            return P.and_(P.lt(s[1], np.float32(2)), P.lt(s[0], np.int32(12)))

        def step(s: Any) -> Any:
            n, size, y = s
            y = P.reshape(body(n, P.reshape(y, shape=(1, 3))), shape=(3,))
            return P.add(n, np.int32(1)), P.add(size, P.reduce_max(P.abs(y), axes=(0,))), y

        return while_loop(go_on, step, (np.int32(0), P.reduce_max(x, axes=(0,)), x))

    def scanned(x: Any) -> Any:
        def step(x: Any, _: Any) -> Any:
            n, _, y = until(x)
            return P.tanh(y), n

        return scan(step, x, None, length=3)

    xs = rng.uniform(-1, 1, (33, 3)).astype("f4")
    assert lanes_of(vmap(until), xs) and lanes_of(vmap(scanned), xs)
    for f in (until, scanned):
        found = agree(vmap(f), xs, slack=100)
        for k in (0, 7, 32):
            for got, want in zip(found, compile_graph(traced(f, xs[k]))([xs[k]]), strict=True):
                close(got[k], want, 100)


@pytest.mark.parametrize("n", [1, 20])
def test_the_other_printer_gives_the_same(n: int) -> None:
    rng = np.random.default_rng(12)
    body = random_body(rng)

    def f(x: Any) -> Any:
        step = lambda c, i: (body(i, c), P.cumsum(c, axis=1, reverse=True))
        return scan(step, x, np.arange(400, dtype="i4"))

    x = rng.uniform(-1, 1, (n, 3)).astype("f4")
    graph = traced(f, x)
    want = compile_graph(graph)([x])
    with config.using(printer="numba"):
        for got, y in zip(compile_graph(graph)([x]), want, strict=True):
            close(got, y, 30)
