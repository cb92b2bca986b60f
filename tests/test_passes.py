"""Passes over graphs with loops, branches and pieces: what is left, and that it computes the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.core.checker import check
from fnn.core.ir import Equation, Graph, subgraphs
from fnn.transforms.passes.dce import dce
from fnn.transforms.passes.pipeline import optimize


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32) * 0.3


def optimized(f: Callable[..., Any], *args: Any) -> Graph:
    """The optimized graph, once it is known to be well formed and to give what the plain one gives."""
    graph = fnn.make_ir(f)(*args)
    found = check(optimize(graph))
    leaves = [np.asarray(x) for x in fnn.tree.leaves(args)]
    for have, want in zip(found(*leaves), graph(*leaves), strict=True):
        np.testing.assert_allclose(np.asarray(have), np.asarray(want), rtol=2e-4, atol=2e-4)
    for have, want in zip(fnn.tree.leaves(fnn.jit(f)(*args)), graph(*leaves), strict=True):
        np.testing.assert_allclose(np.asarray(have), np.asarray(want), rtol=2e-4, atol=2e-4)
    return found


def loops(graph: Graph, name: str = "scan") -> list[Equation]:
    return [e for e in graph.equations if e.primitive.name == name]


def names(graph: Graph) -> list[str]:
    return [e.primitive.name for e in graph.equations]


# -- dead code in loops and branches
def test_scan_keeps_only_what_is_read() -> None:
    def f(x: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            a, b, unused = c
            return (a + x[0], b * a, unused + b), (a * x[0], fnp.sin(x[1]))

        (a, _, _), (ys, _) = lax.scan(step, (1.0, 2.0, 3.0), (x, x))
        return a, ys

    (scan,) = loops(optimized(f, normal(5)))
    assert (scan.params["carry"], len(scan.inputs), len(scan.outputs)) == (1, 2, 2)
    assert "sin" not in names(scan.params["graph"])


def test_a_carry_that_another_needs_stays() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda c, x: ((c[0] + c[1], c[1] * x), None), (x[0], x[1]), x)[0][0]

    (scan,) = loops(optimized(f, normal(6)))
    assert scan.params["carry"] == 2


def test_while_keeps_what_its_test_needs() -> None:
    def f(n: Any, x: Any) -> Any:
        def step(c: Any) -> Any:
            i, a, b, unused = c
            return i + 1, a + b, b * 0.5, unused * a

        return lax.while_loop(lambda c: c[0] < n, step, (0, x, x, x))[1]

    (loop,) = loops(optimized(f, np.int32(4), np.float32(1.5)), "while")
    assert len(loop.outputs) == 3


def test_branches_lose_results_and_operands() -> None:
    def f(p: Any, x: Any, y: Any) -> Any:
        return lax.cond(p, lambda x, y: (fnp.sin(x), y * 2), lambda x, y: (x, fnp.exp(y)), x, y)[0]

    (cond,) = loops(optimized(f, np.bool_(True), normal(3), normal(4)), "cond")
    assert (len(cond.inputs), len(cond.outputs)) == (2, 1)


def test_dce_leaves_a_loop_that_is_all_alive_as_it_is() -> None:
    graph = fnn.make_ir(lambda x: lax.scan(lambda c, x: (c + x, c * x), 0.0, x))(normal(4))
    assert [a is b for a, b in zip(dce(graph).equations, graph.equations, strict=True)] == [True] * len(
        graph.equations
    )


# -- what leaves a scan
@pytest.mark.parametrize("reverse", [False, True])
def test_products_of_scanned_arrays_leave(reverse: bool) -> None:
    def f(w: Any, u: Any, xs: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            h = fnp.tanh(fnp.maximum(x, 0.0) @ w + h @ u)
            return h, None

        return lax.scan(cell, fnp.zeros((4, 32)), xs, reverse=reverse)[0]

    graph = optimized(f, normal(32, 32), normal(32, 32, seed=1), normal(7, 4, 32))
    (scan,) = loops(graph)
    assert names(scan.params["graph"]).count("dot_general") == 1
    assert names(graph).count("dot_general") == 1


def test_gradients_of_weights_leave_as_one_product() -> None:
    def loss(p: Any, xs: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            h = fnp.tanh(x @ p["w"] + h @ p["u"] + p["b"])
            return h, h

        return (lax.scan(cell, fnp.zeros((4, 32)), xs)[1] ** 2).sum()

    params = {"w": normal(32, 32), "u": normal(32, 32, seed=1), "b": normal(32)}
    graph = optimized(lambda p, xs: fnn.grad(loss, (0, 1))(p, xs), params, normal(9, 4, 32))
    forward, backward = loops(graph)
    assert names(forward.params["graph"]).count("dot_general") == 1
    assert names(backward.params["graph"]).count("dot_general") == 1
    assert backward.params["carry"] == 1  # the cotangent of h; no sums
    assert names(graph).count("dot_general") == 4


def test_a_sum_that_a_step_reads_stays() -> None:
    def f(xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            total, h = c
            total = total + x.T @ h
            return (total, fnp.tanh(h @ total)), None

        return lax.scan(step, (fnp.zeros((32, 32)), fnp.ones((8, 32))), xs)[0]

    (scan,) = loops(optimized(f, normal(5, 8, 32)))
    assert scan.params["carry"] == 2


def test_a_sum_from_a_start_that_is_not_zero() -> None:
    def f(start: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            total, h = c
            h = fnp.sin(h + x)
            return (total + (h.T @ x).T.reshape(64, 16) + h.T.reshape(64, 16), h), None

        return lax.scan(step, (start, fnp.zeros((32, 32))), xs)[0]

    graph = optimized(f, normal(64, 16), normal(5, 32, 32))
    optimized(
        lambda s, x: lax.scan(lambda c, x: (c + x.T @ x, None), s, x)[0], normal(32, 32), normal(5, 8, 32)
    )
    assert loops(graph)


def test_products_that_are_only_stacked_leave() -> None:
    def f(w: Any, u: Any, xs: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            h = fnp.tanh(h @ u + x)
            return h, fnp.exp(h @ w + 1.0)

        return lax.scan(cell, fnp.zeros((4, 32)), xs)

    graph = optimized(f, normal(32, 48), normal(32, 32, seed=1), normal(7, 4, 32))
    (scan,) = loops(graph)
    assert names(scan.params["graph"]).count("dot_general") == 1


def test_costly_work_on_constants_is_done_once() -> None:
    def f(w: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: (c * (w @ w).sum() + x, c), 0.0, xs)

    graph = optimized(f, normal(8, 8), normal(6))
    assert "dot_general" not in names(loops(graph)[0].params["graph"])


def test_a_carry_that_never_changes_is_a_constant() -> None:
    def f(k: Any, xs: Any) -> Any:
        return lax.scan(lambda c, x: ((c[0], c[1] + c[0] * x), None), (k, 0.0), xs)[0]

    (scan,) = loops(optimized(f, np.float32(3), normal(6)))
    assert (scan.params["consts"], scan.params["carry"]) == (1, 1)


def test_broadcasts_are_made_in_the_loop() -> None:
    def f(b: Any, xs: Any) -> Any:
        table, row = fnp.broadcast_to(b, (6, 4)), fnp.broadcast_to(b * 2, (5, 4))

        def step(c: Any, x: Any) -> Any:
            return fnp.sin(c * x[0]) + table + x[1], (b, fnp.ones((3,)), fnp.exp(b), c)

        return lax.scan(step, fnp.zeros((6, 4)), (xs, row))

    (scan,) = loops(optimized(f, normal(4), normal(5, 4)))
    assert max(a.aval.size for a in scan.inputs[: scan.params["consts"]]) == 4
    assert len(scan.inputs) - scan.params["consts"] - scan.params["carry"] == 1  # scanned arrays
    assert len(scan.outputs) == 2  # the carry, and its past


def test_the_gradient_of_a_sum_of_states_scans_no_ones() -> None:
    def f(xs: Any) -> Any:
        return lax.scan(lambda c, x: (fnp.sin(c + x),) * 2, fnp.zeros(4), xs)[1].sum()

    backward = loops(optimized(fnn.grad(f), normal(5, 4)))[1]
    assert len(backward.inputs) - backward.params["consts"] - backward.params["carry"] == 1


def test_small_products_stay() -> None:
    def f(w: Any, xs: Any) -> Any:
        return lax.scan(lambda h, x: (fnp.tanh(x @ w + h), None), fnp.zeros(4), xs)[0]

    (scan,) = loops(optimized(f, normal(4, 4), normal(6, 4)))
    assert "dot_general" in names(scan.params["graph"])


def test_loops_in_loops_and_under_vmap() -> None:
    def f(w: Any, xs: Any) -> Any:
        def outer(h: Any, x: Any) -> Any:
            def inner(g: Any, y: Any) -> Any:
                g = fnp.tanh(y @ w + g)
                return g, g @ w

            g, ys = lax.scan(inner, h, x)
            return g, ys.sum(0)

        return lax.scan(outer, fnp.zeros(64), xs)

    optimized(f, normal(64, 64), normal(3, 4, 64))
    optimized(lambda w, xs: fnn.vmap(f, (None, 0))(w, xs), normal(64, 64), normal(2, 3, 4, 64))
    optimized(fnn.grad(lambda w, xs: (f(w, xs)[1] ** 2).sum(), (0, 1)), normal(64, 64), normal(3, 4, 64))
    optimized(
        fnn.hessian(lambda b, xs: (f(fnp.eye(64) * b, xs)[1] ** 2).sum()), np.float32(0.3), normal(3, 4, 64)
    )


def contracted(graph: Graph) -> list[tuple[int, ...]]:
    """Per product of a loop's body, the summed axes of its left operand."""
    (scan,) = loops(graph)
    return [
        e.params["contract"][0] for e in scan.params["graph"].equations if e.primitive.name == "dot_general"
    ]


def test_a_constant_matrix_is_turned_once() -> None:
    def f(a: Any, w: Any) -> Any:
        return lax.fori_loop(0, 5, lambda i, w: w - 0.01 * (a.T @ fnp.tanh(a @ w)), w)

    graph = optimized(f, normal(100, 20), normal(20))
    assert contracted(graph) == [(0,), (1,)]  # a turned; a.T, which is turned already
    assert names(graph).count("transpose") == 1


def test_matrices_of_a_batch_are_turned_once() -> None:
    def f(a: Any, w: Any) -> Any:
        return lax.fori_loop(0, 5, lambda i, w: w - 0.01 * (fnp.tanh(a @ w) @ a), w)

    graph = optimized(fnn.vmap(f), normal(3, 50, 20), normal(3, 20))
    assert (1,) in contracted(graph)
    optimized(fnn.vmap(f, (None, 0)), normal(50, 20), normal(3, 20))
    optimized(fnn.vmap(f, (0, None)), normal(3, 50, 20), normal(20))


def test_a_matrix_of_more_than_two_axes_is_turned() -> None:
    def f(p: Any, r: Any) -> Any:
        return lax.fori_loop(0, 4, lambda i, v: (r + 0.5 * fnp.einsum("sat,t->sa", p, v)).max(1), r[:, 0])

    assert contracted(optimized(f, normal(20, 4, 20), normal(20, 4))) in ([(0,)], [(1,)])


def test_a_matrix_for_a_loop_within_a_loop_is_turned_outside_of_both() -> None:
    def f(a: Any, w: Any) -> Any:
        def draw(w: Any, k: Any) -> Any:
            return lax.fori_loop(0, 3, lambda i, w: w - 0.01 * (a.T @ fnp.tanh(a @ w)) * k, w), None

        return lax.scan(draw, w, fnp.arange(4.0))[0]

    graph = optimized(f, normal(100, 20), normal(20))
    assert names(graph).count("transpose") == 1
    assert "transpose" not in names(loops(graph)[0].params["graph"])


# -- what is saved for the way back
def test_cheap_values_are_not_saved() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda c, x: (fnp.tanh(c * x) * (1 - c), None), x[0], x)[0]

    graph = optimized(fnn.grad(f), normal(5))
    forward = loops(graph)[0]
    assert len(forward.outputs) - forward.params["carry"] == 2  # tanh and c


# -- pieces
def test_the_gradient_of_a_split_is_one_concatenation() -> None:
    def f(x: Any) -> Any:
        a, b, c = fnp.split(x, 3, -1)
        return (fnp.sin(a) * b + fnp.exp(c)).sum()

    graph = optimized(fnn.grad(f), normal(4, 9))
    assert names(graph).count("concatenate") == 1 and "pad" not in names(graph)


@pytest.mark.parametrize(
    "bounds",
    [((0, 3), (5, 9)), ((1, 4), (4, 8)), ((0, 6), (3, 9)), ((0, 4), (2, 5), (5, 9)), ((2, 3), (2, 3))],
)
def test_pads_with_gaps_and_overlaps(bounds: Any) -> None:
    def f(x: Any) -> Any:
        return sum((fnp.sin(x[:, a:b]) * (k + 1)).sum() for k, (a, b) in enumerate(bounds)) + (x**2).sum()

    optimized(fnn.grad(f), normal(4, 9))


def test_a_pad_added_to_itself() -> None:
    optimized(lambda x, y: (lambda p: p + p + fnp.pad(y, (3, 0)))(fnp.pad(x, (0, 3))), normal(3), normal(3))


def test_pads_with_other_numbers_stay() -> None:
    graph = optimized(
        lambda x, y: fnp.pad(x, (0, 3), constant_values=1.0) + fnp.pad(y, (3, 0)), normal(3), normal(3)
    )
    assert names(graph).count("pad") == 2


def test_slices_are_taken_before_elementwise_work() -> None:
    def f(x: Any, b: Any) -> Any:
        i, j = fnp.split(fnp.exp(x + b), 2, -1)
        return fnp.tanh(i) * j

    graph = optimized(f, normal(4, 8), normal(8))
    assert names(graph).count("exp") == 2
    assert all(v.aval.size == 16 for e in graph.equations if e.primitive.name == "exp" for v in e.outputs)


def test_overlapping_slices_are_computed_once() -> None:
    graph = optimized(lambda x: (lambda y: y[1:] - y[:-1])(fnp.exp(x)), normal(8))
    assert names(graph).count("exp") == 1


def test_no_graph_keeps_a_use_without_a_maker() -> None:
    def f(w: Any, xs: Any) -> Any:
        def cell(c: Any, x: Any) -> Any:
            a, b = fnp.split(x @ w + c, 2, -1)
            return fnp.concatenate([fnp.tanh(a), b * a], -1), a

        return lax.scan(cell, fnp.zeros((4, 32)), xs)

    graph = optimized(fnn.grad(lambda w, xs: f(w, xs)[1].sum()), normal(32, 32), normal(5, 4, 32))
    for e in graph.equations:
        for _, inner in subgraphs(e.params):
            check(inner)
