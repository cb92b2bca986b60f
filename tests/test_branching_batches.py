"""vmap of cond: elements that go different ways, in one of two ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.core.ir import count, subgraphs


def names(graph: Any) -> set[str]:
    """The primitives of a graph, at any depth."""
    inside = [names(g) for e in graph.equations for _, g in subgraphs(e.params)]
    return {e.primitive.name for e in graph.equations}.union(*inside)


def costly(x: Any) -> Any:
    return lax.fori_loop(0, 150, lambda i, c: fnp.tanh(0.01 * (c @ c) + x), x)


def cheap(x: Any) -> Any:
    return 2.0 * x


def long_but_narrow(x: Any) -> Any:
    return x.at[0].set(lax.fori_loop(0, 3000, lambda i, c: c + 0.001 * fnp.sin(c), x[0]))


X = np.random.default_rng(1).normal(size=(6, 16, 16)).astype("float32")
P = np.array([True, False, False, True, False, True])


@pytest.mark.parametrize("branch, branches", [(costly, True), (cheap, False), (long_but_narrow, False)])
def test_a_costly_branch_is_taken_one_by_one(branch: Any, branches: bool) -> None:
    f = fnn.vmap(lambda p, x: lax.cond(p, branch, cheap, x))
    found = names(fnn.make_ir(f)(P, X))
    assert ("cond" in found) is branches
    want = np.stack([branch(fnp.asarray(x)) if p else cheap(x) for p, x in zip(P, X, strict=True)])
    for wrap in (lambda f: f, fnn.jit):
        np.testing.assert_allclose(wrap(f)(P, X), want, rtol=1e-5, atol=1e-5)


def test_derivatives_and_shared_operands() -> None:
    def f(p: Any, x: Any, w: Any) -> Any:
        return lax.cond(p, lambda x, w: costly(x * w), lambda x, w: x + w, x, w).sum()

    def loss(x: Any, w: Any) -> Any:
        return (fnn.vmap(f, in_axes=(0, 0, None))(P, x, w) * fnp.arange(6.0)).sum()

    def plain(x: Any, w: Any) -> Any:
        rows = [costly(a * w).sum() if p else (a + w).sum() for p, a in zip(P, x, strict=True)]
        return (fnp.stack(rows) * fnp.arange(6.0)).sum()

    w = np.float32(0.9)
    assert "cond" in names(fnn.make_ir(loss)(X, w))
    ours = fnn.jit(fnn.grad(loss, argnums=(0, 1)))(X, w)
    theirs = fnn.jit(fnn.grad(plain, argnums=(0, 1)))(X, w)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_an_effect_belongs_to_the_elements_that_take_the_branch() -> None:
    seen: list[float] = []

    def noisy(x: Any) -> Any:
        fnn.debug.callback(lambda v: seen.append(float(v)), x)
        return -x

    f = fnn.vmap(lambda p, x: lax.cond(p, noisy, lambda x: x, x))
    out = fnn.jit(f)(P, np.arange(6, dtype="float32"))
    np.testing.assert_array_equal(out, [0.0, 1.0, 2.0, -3.0, 4.0, -5.0])
    assert seen == [0.0, 3.0, 5.0]


def test_a_branch_that_speaks_to_the_others_is_computed_for_all() -> None:
    def f(p: Any, x: Any) -> Any:
        return lax.cond(p, lambda x: lax.psum(costly(x), "rows"), cheap, x)

    g = fnn.vmap(f, axis_name="rows")
    assert "cond" not in names(fnn.make_ir(g)(P, X))
    assert count(fnn.make_ir(g)(P, X)) > 0
    total = np.sum([costly(fnp.asarray(x)) for x in X], axis=0)
    np.testing.assert_allclose(fnn.jit(g)(P, X)[0], total, rtol=1e-4, atol=1e-4)
