"""cond, switch, scan, while_loop, fori_loop, map and associative_scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import DifferentiationError
from tests.transform_checks import agrees, close

X = fnp.array([0.3, -0.7, 1.1])
x = np.array([0.3, -0.7, 1.1])


# -- cond and switch ---------------------------------------------------------------------------------------------------


def test_cond_runs_one_branch_and_both_have_derivatives() -> None:
    def f(p: Any, v: Any) -> Any:
        return lax.cond(p, lambda v: fnp.sum(fnp.sin(v)), lambda v: fnp.sum(v * v), v)

    for p in (True, False):
        agrees(f, np.sin(x).sum() if p else (x * x).sum(), p, X)
        agrees(fnn.grad(f, 1), np.cos(x) if p else 2 * x, p, X)
        agrees(
            lambda p, v: fnn.jvp(lambda v: f(p, v), (v,), (v,))[1],
            (np.cos(x) * x if p else 2 * x * x).sum(),
            p,
            X,
        )
        agrees(fnn.hessian(f, 1), np.diag(-np.sin(x) if p else np.full(3, 2.0)), p, X)


def test_cond_forms() -> None:
    close(lax.cond(3, lambda v: v, lambda v: -v, X), x)
    close(lax.cond(False, lambda: 1.0, lambda: 2.0), 2.0)
    close(lax.cond(True, lambda v: v + 1, lambda v: v, operand=X), x + 1)
    close(lax.cond(True, X, lambda v: v * 2, X, lambda v: v * 3), 2 * x)
    one = lax.cond(True, lambda v: {"a": v, "b": 1}, lambda v: {"a": v * 2, "b": 2.5}, X)
    close(one, {"a": x, "b": 1.0})


def test_cond_closes_over_traced_values() -> None:
    def f(v: Any, s: Any) -> Any:
        return lax.cond(fnp.sum(v) > s, lambda: fnp.sum(v) * s, lambda: fnp.sum(v * v))

    for s in (0.1, 2.0):
        want = np.full(3, s) if x.sum() > s else 2 * x
        agrees(fnn.grad(f), want, X, s)
    agrees(fnn.vmap(fnn.grad(f), (None, 0)), np.stack([np.full(3, 0.1), 2 * x]), X, fnp.array([0.1, 2.0]))


def test_switch_clamps_its_index() -> None:
    branches = [lambda v: v, lambda v: v * 10.0, lambda v: v * v]
    for index, want in ((-5, x), (0, x), (1, 10 * x), (2, x * x), (9, x * x)):
        agrees(lambda i, v: lax.switch(i, branches, v), want, index, X)
    agrees(fnn.vmap(lambda i: lax.switch(i, branches, X)), np.stack([x, 10 * x, x * x]), fnp.arange(3))
    agrees(
        fnn.vmap(fnn.grad(lambda v, i: lax.switch(i, branches, v))),
        np.array([1.0, 10.0, 2.2]),
        X,
        fnp.arange(3),
    )


# -- scan --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_a_loop(reverse: bool) -> None:
    def f(c: Any, xs: Any) -> Any:
        return lax.scan(lambda c, v: (c * v + 1.0, {"before": c, "product": c * v}), c, xs, reverse=reverse)

    c, before = 0.5, []
    for v in x[::-1] if reverse else x:
        before.append(c)
        c = c * v + 1.0
    before = np.array(before[::-1] if reverse else before)
    agrees(f, (c, {"before": before, "product": before * x}), 0.5, X)
    g = fnn.grad(lambda c, xs: f(c, xs)[0], argnums=(0, 1))
    order = x[::-1] if reverse else x
    slopes = np.array(
        [b * np.prod(order[i + 1 :]) for i, b in enumerate(before[::-1] if reverse else before)]
    )
    agrees(g, (np.prod(x), slopes[::-1] if reverse else slopes), 0.5, X)


def test_scan_without_xs() -> None:
    agrees(
        lambda c: lax.scan(lambda c, _: (c * 2, c), c, None, length=4),
        (16.0, np.array([1.0, 2.0, 4.0, 8.0])),
        1.0,
    )
    agrees(lambda c: lax.scan(lambda c, _: (c * 2, None), c, length=3)[0], 8.0, 1.0)
    close(lax.scan(lambda c, _: (c + 1, c), 0, None, length=0)[0], np.array(0))


def test_scan_with_a_tree_and_nothing_for_a_carry() -> None:
    _, ys = lax.scan(lambda _, v: (None, v["a"] + v["b"][0]), None, {"a": X, "b": (X, None)})
    close(ys, 2 * x)
    (n, total), _ = lax.scan(lambda c, v: ((c[0] + 1, c[1] + v), None), (0, 0.0), X)
    assert n.dtype == np.int32
    close((n, total), (np.array(3), x.sum()))


def test_scan_strengthens_a_weak_carry() -> None:
    """A Python number takes the type the body gives it."""
    c, _ = lax.scan(lambda c, v: (c + v, None), 0, X)
    assert c.dtype == np.float32
    c, _ = fnn.jit(lambda xs: lax.scan(lambda c, v: (c + v, c), 0.0, xs))(X.astype(fnp.float16))
    assert c.dtype == np.float16
    c = lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * X[0]), (0, 1))[1]
    close(c, 0.3**3)


def test_scan_does_not_stack_what_stays_the_same() -> None:
    """The weights of a recurrent net are not saved once for every step."""
    w = fnp.ones((3, 3)) / 3

    def f(w: Any) -> Any:
        return fnp.sum(lax.scan(lambda c, v: (fnp.tanh(w @ c + v), None), X, fnp.ones((5, 3)))[0])

    graph = fnn.jit(fnn.grad(f)).lower(w).graph(optimized=True)
    loops = [e for e in graph.equations if e.primitive.name == "scan"]
    assert len(loops) == 2
    assert all(v.aval.shape != (5, 3, 3) for e in loops for v in e.outputs)


def test_scan_of_vectors_batched_over_everything() -> None:
    w = fnp.linspace(-0.5, 0.5, 9).reshape(3, 3)

    def f(w: Any, c: Any, xs: Any) -> Any:
        return lax.scan(lambda c, v: (fnp.tanh(w @ c + v), fnp.sum(c)), c, xs)

    xs = fnp.linspace(-1.0, 1.0, 12).reshape(4, 3)
    for mask in range(1, 8):
        axes = tuple(0 if mask >> i & 1 else None for i in range(3))
        args = [fnp.stack([v, v * 0.5]) if ax == 0 else v for v, ax in zip((w, X, xs), axes, strict=True)]
        rows = [f(*[v[i] if ax == 0 else v for v, ax in zip(args, axes, strict=True)]) for i in range(2)]
        want = fnn.tree.map(lambda *r: np.stack([np.asarray(y) for y in r]), *rows)
        agrees(fnn.vmap(f, axes), want, *args)


# -- while_loop and fori_loop ------------------------------------------------------------------------------------------


def test_reverse_mode_of_a_while_that_counts() -> None:
    def f(v: Any, first: Any = 0) -> Any:
        return lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 2, c[1] * v), (first, 1.0))[1]

    agrees(fnn.grad(f), 3 * 1.3**2, 1.3)
    agrees(fnn.grad(fnn.grad(f)), 6 * 1.3, 1.3)
    agrees(fnn.grad(fnn.jit(f)), 3 * 1.3**2, 1.3)
    agrees(fnn.vmap(fnn.grad(f)), 3 * x**2, X)
    agrees(fnn.grad(lambda v: f(v, fnp.array(1))), 2 * 1.3, 1.3)
    down = lambda v: lax.while_loop(lambda c: c[0] >= 1, lambda c: (c[0] - 1, c[1] * v), (3, 1.0))[1]
    agrees(fnn.grad(down), 3 * 1.3**2, 1.3)
    none = lambda v: lax.while_loop(lambda c: c[0] < 0, lambda c: (c[0] + 1, c[1] * v), (3, v))[1]
    agrees(fnn.grad(none), 1.0, 1.3)


def test_a_while_of_unknown_length_has_a_forward_derivative_only() -> None:
    def f(v: Any) -> Any:
        return lax.while_loop(lambda c: c < 10.0, lambda c: c * v, v)

    agrees(lambda v: fnn.jvp(f, (v,), (1.0,))[1], 4 * 2.0**3, 2.0)
    agrees(fnn.jacfwd(f), 4 * 2.0**3, 2.0)
    for g in (fnn.grad(f), fnn.jit(fnn.grad(f)), fnn.grad(fnn.jit(f))):
        with pytest.raises(DifferentiationError, match="number of steps"):
            g(2.0)
    # What does not depend on the loop can be differentiated all the same.
    agrees(fnn.grad(lambda v: v * lax.stop_gradient(f(v))), 16.0, 2.0)


def test_fori_loop() -> None:
    agrees(
        lambda v: lax.fori_loop(0, 4, lambda i, y: y * v + i, v),
        ((((1.5 * 1.5) * 1.5 + 1) * 1.5) + 2) * 1.5 + 3,
        1.5,
    )
    agrees(lambda n: lax.fori_loop(0, n, lambda i, y: y + i, 0), np.array(10), 5)
    agrees(
        fnn.vmap(lambda n: lax.fori_loop(0, n, lambda i, y: y + i, 0)),
        np.array([0, 1, 10]),
        fnp.array([1, 2, 5]),
    )
    close(lax.fori_loop(3, 3, lambda i, y: y + 1, 7), np.array(7))
    close(lax.fori_loop(5, 2, lambda i, y: y + 1, 7), np.array(7))
    agrees(fnn.grad(lambda v: lax.fori_loop(0, 3, lambda i, y: y * v, 1.0)), 3 * 1.5**2, 1.5)
    agrees(
        fnn.jit(
            lambda v, n: fnn.jvp(lambda v: lax.fori_loop(0, n, lambda i, y: y * v, 1.0), (v,), (1.0,))[1]
        ),
        12.0,
        2.0,
        3,
    )


def test_collatz() -> None:
    """A loop with a branch inside: whole numbers only."""

    def steps(n: Any) -> Any:
        def body(c: Any) -> Any:
            n, k = c
            return lax.cond(n % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, n), k + 1

        return lax.while_loop(lambda c: c[0] > 1, body, (n, 0))[1]

    agrees(steps, np.array(111), 27)
    agrees(fnn.vmap(steps), np.array([0, 1, 7, 2, 5, 8, 16, 3]), fnp.arange(1, 9))


# -- map and associative_scan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 1, 2, 3, 7, 10])
def test_map(size: int | None) -> None:
    xs = fnp.arange(7.0)
    f = lambda p: {"s": fnp.sin(p["x"]), "n": p["x"] * 2}
    agrees(
        lambda xs: lax.map(f, {"x": xs}, batch_size=size),
        {"s": np.sin(np.arange(7.0)), "n": np.arange(7.0) * 2},
        xs,
    )
    g = fnn.grad(lambda xs: fnp.sum(lax.map(lambda v: v**3, xs, batch_size=size)))
    agrees(g, 3 * np.arange(7.0) ** 2, xs)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 8, 13])
def test_associative_scan(n: int, reverse: bool) -> None:
    v = np.linspace(0.5, 1.5, n)
    order = v[::-1] if reverse else v
    want = np.cumsum(order), np.cumprod(order)
    want = tuple(w[::-1] for w in want) if reverse else want
    f = lambda v: lax.associative_scan(lambda a, b: (a[0] + b[0], a[1] * b[1]), (v, v), reverse=reverse)
    agrees(f, want, fnp.asarray(v, dtype=fnp.float32))


def test_associative_scan_of_what_does_not_commute() -> None:
    """Affine maps, composed: a linear recurrence; along another axis; and its derivative."""
    r = np.random.default_rng(0)
    slope, offset = r.uniform(0.5, 1.5, (2, 6)), r.uniform(-1, 1, (2, 6))

    def combine(f: Any, g: Any) -> Any:
        return f[0] * g[0], f[1] * g[0] + g[1]

    want, y = np.zeros((2, 6)), np.zeros(2)
    for i in range(6):
        y = slope[:, i] * y + offset[:, i]
        want[:, i] = y
    args = [fnp.asarray(v, dtype=fnp.float32) for v in (slope, offset)]
    f = lambda s, o: lax.associative_scan(combine, (s, o), axis=1)[1]
    agrees(f, want, *args)
    looped = lambda s, o: lax.scan(lambda c, p: (p[0] * c + p[1],) * 2, fnp.zeros(2), (s.T, o.T))[1].T
    for i in (0, 1):
        slopes = fnn.grad(lambda s, o: fnp.sum(fnp.sin(looped(s, o))), i)(*args)
        agrees(fnn.grad(lambda s, o: fnp.sum(fnp.sin(f(s, o))), i), slopes, *args)


def test_an_operand_that_is_none_is_an_operand() -> None:
    assert fnn.lax.cond(True, lambda nothing: nothing is None, lambda _: False, operand=None)
