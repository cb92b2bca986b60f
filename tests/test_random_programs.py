"""Random programs: compiled, differentiated and batched in every order, against plain Python and finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnn
import fnn.numpy as fnp
from fnn import tree
from fnn.config import config
from fnn.core.checker import check
from fnn.transforms.passes.pipeline import stages
from tests.programs import NESTED, SIMPLE, Program, plain, programs, states, transformed

seen: set[str] = set()
kinds: set[str] = set()
runs = 0


class Summary:
    """A closing line: how many programs ran."""

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(
            f"random programs: {runs} run, {len(seen)} of them different, with {len(kinds)} kinds of blocks"
        )


@pytest.fixture(scope="module", autouse=True)
def summary(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.config.pluginmanager.has_plugin("summary of random programs"):
        request.config.pluginmanager.register(Summary(), "summary of random programs")
    yield


@pytest.fixture(scope="module", autouse=True)
def in_double_precision() -> Iterator[None]:
    with config.using(enable_x64=True):
        yield


def note(program: Program) -> None:
    global runs
    runs += 1
    seen.add(repr(program))
    kinds.update(program.kinds())


def close(got: Any, want: Any, tolerance: float = 1e-9) -> None:
    for x, y in zip(tree.leaves(got), tree.leaves(want), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def moved(x: Any, t: Any, step: float) -> Any:
    return tree.map(lambda a, b: a + step * b, x, t)


def differences(f: Callable[[Any], Any], x: Any, t: Any, step: float = 2.0**-17) -> Any:
    """The derivative of f at x along t by central differences."""
    return tree.map(lambda p, m: (p - m) / (2 * step), f(moved(x, t, step)), f(moved(x, t, -step)))


def inner_product(a: Any, b: Any) -> float:
    return sum(
        float(np.vdot(np.asarray(x), np.asarray(y)))
        for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True)
    )


def checked(f: Callable[..., Any], *args: Any) -> None:
    """The graph of f keeps the rules as traced, and after every pass."""
    for name, graph in stages(fnn.make_ir(f)(*args)):
        check(graph, f"after {name}")


@settings(max_examples=90)
@given(programs(reverse=False), st.sampled_from(["float64", "float32"]))
def test_jit_and_plain_python_agree(program: Program, dtype: str) -> None:
    note(program)
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    with config.using(enable_x64=dtype == "float64"):
        x = states(dtype)
        want = plain(program)(x)
        close(transformed(program)(x), want, tolerance)
        close(fnn.jit(transformed(program))(x), want, tolerance)
        with config.using(disable_jit=True):
            close(fnn.jit(transformed(program))(x), want, tolerance)
        checked(transformed(program), x)


@settings(max_examples=80)
@given(programs())
def test_derivatives(program: Program) -> None:
    """Forward mode is what differences say, reverse mode is its transpose; compiled or not."""
    note(program)
    f, x, t = transformed(program), states("float64", 1), states("float64", 2)
    want = differences(plain(program), x, t)
    out, tangent = fnn.jvp(f, (x,), (t,))
    close(tangent, want, 1e-6)
    close(fnn.jit(lambda x, t: fnn.jvp(f, (x,), (t,))[1])(x, t), tangent)
    same, pull = fnn.vjp(f, x)
    close(same, out)
    ct = states("float64", 3)
    (back,) = pull(ct)
    assert inner_product(ct, tangent) == pytest.approx(inner_product(back, t), rel=1e-8, abs=1e-9)
    reverse = fnn.jit(lambda x, ct: fnn.vjp(f, x)[1](ct)[0])
    close(reverse(x, ct), back)
    close(fnn.vjp(fnn.jit(f), x)[1](ct)[0], back)
    checked(reverse, x, ct)


@settings(max_examples=50)
@given(programs(reverse=False))
def test_forward_mode_through_loops_of_unknown_length(program: Program) -> None:
    note(program)
    f, x, t = transformed(program), states("float64", 4), states("float64", 5)
    forward = fnn.jit(lambda x, t: fnn.jvp(f, (x,), (t,))[1])
    close(forward(x, t), differences(plain(program), x, t), 1e-6)
    checked(forward, x, t)


@settings(max_examples=60)
@given(programs(reverse=False), st.sampled_from([0, -1, (0, None), (None, 1)]))
def test_vmap_is_a_loop(program: Program, axes: Any) -> None:
    note(program)
    one, many = states("float64", 6), states("float64", 7, (3,))
    entries = axes if isinstance(axes, tuple) else (axes, axes)
    args = tuple(
        a if e is None else fnp.moveaxis(b, 0, e) for a, b, e in zip(one, many, entries, strict=True)
    )
    f, g = transformed(program), plain(program)
    rows = [
        g(tuple(a if e is None else b[i] for a, b, e in zip(one, many, entries, strict=True)))
        for i in range(3)
    ]
    want = tree.map(lambda *xs: fnp.stack(xs), *rows)
    mapped = fnn.vmap(lambda v, m: f((v, m)), in_axes=entries)
    close(mapped(*args), want)
    close(fnn.jit(mapped)(*args), want)
    checked(mapped, *args)


# -- stacks of transformations ---------------------------------------------------------------------------------------

Wrapper = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]


def total(out: Any) -> Any:
    return sum(fnp.sum(x) for x in tree.leaves(out))


def direction(x: Any) -> Any:
    """A tangent for x, the same for every element of a batch."""
    return tree.map(lambda a: fnp.cos(fnp.arange(a.size, dtype=a.dtype).reshape(a.shape)), x)


def unit(x: Any, number: int, position: int) -> Any:
    leaves, structure = tree.flatten(x)
    zeros = [np.zeros(a.shape) for a in leaves]
    zeros[number].reshape(-1)[position] = 1.0
    return tree.unflatten(structure, [fnp.asarray(z) for z in zeros])


def forward_gradient(slope: Callable[..., Any], f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The gradient of the sum of f's results, one element at a time, by slope(f, x, t)."""

    def gradient(x: Any) -> Any:
        leaves, structure = tree.flatten(x)
        rows = [
            fnp.stack([slope(lambda y: total(f(y)), x, unit(x, k, i)) for i in range(a.size)]).reshape(
                a.shape
            )
            for k, a in enumerate(leaves)
        ]
        return tree.unflatten(structure, rows)

    return gradient


def forward_slope(f: Callable[[Any], Any], x: Any, t: Any) -> Any:
    return fnn.jvp(f, (x,), (t,))[1]


def reverse_slope(f: Callable[[Any], Any], x: Any, t: Any) -> Any:
    """Forward mode by transposing reverse mode."""
    out, pull = fnn.vjp(f, x)
    return fnn.vjp(pull, tree.map(fnp.zeros_like, out))[1]((t,))[0]


def loop(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def mapped(x: Any) -> Any:
        rows = [f(tree.map(lambda a, i=i: a[i], x)) for i in range(tree.leaves(x)[0].shape[0])]
        return tree.map(lambda *xs: fnp.stack(xs), *rows)

    return mapped


TRANSFORMATIONS: dict[str, Wrapper] = {
    "grad": lambda f: fnn.grad(lambda x: total(f(x))),
    "jvp": lambda f: lambda x: fnn.jvp(f, (x,), (direction(x),))[1],
    "vmap": fnn.vmap,
    "jit": fnn.jit,
}


def reference(program: Program, stack: tuple[str, ...]) -> Callable[[Any], Any]:
    """The same with loops for vmap, nothing for jit, the other mode for derivatives and differences for the outermost."""
    f = plain(program)
    derivatives = [i for i, name in enumerate(stack) if name in ("grad", "jvp")]
    for i in range(len(stack) - 1, -1, -1):
        outermost = derivatives and i == derivatives[0]
        if stack[i] == "grad":
            f = forward_gradient(differences if outermost else forward_slope, f)
        elif stack[i] == "jvp":
            slope = differences if outermost else reverse_slope
            f = lambda x, f=f, slope=slope: slope(f, x, direction(x))
        elif stack[i] == "vmap":
            f = loop(f)
    return f


@settings(max_examples=80)
@given(
    programs(depth=1), st.lists(st.sampled_from(sorted(TRANSFORMATIONS)), min_size=1, max_size=3).map(tuple)
)
def test_stacks_of_transformations(program: Program, stack: tuple[str, ...]) -> None:
    note(program)
    f = transformed(program)
    for name in reversed(stack):
        f = TRANSFORMATIONS[name](f)
    x = states("float64", 8, (2,) * stack.count("vmap"))
    got = f(x)
    want = reference(program, stack)(x)
    scale = max(1.0, *(float(np.max(np.abs(np.asarray(a)))) for a in tree.leaves(want)))
    close(tree.map(lambda a: a / scale, got), tree.map(lambda a: a / scale, want), 2e-6)
    checked(f, x)


def test_every_kind_of_block_was_drawn() -> None:
    """Runs last: enough programs, and none of the kinds forgotten."""
    assert runs >= 200
    assert kinds == {*SIMPLE, *NESTED}
