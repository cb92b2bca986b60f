"""Loops over small state: one kernel each, and the results of the same loop run kernel by kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fnn import primitives as P
from fnn import tree
from fnn.config import config
from fnn.kernels import lower as lowering
from fnn.kernels.calls import Call
from fnn.kernels.executable import compile_graph
from fnn.transforms.batching import vmap
from fnn.transforms.control import cond, switch
from fnn.transforms.differentiate import grad, jvp
from fnn.transforms.scan import fori_loop, scan
from fnn.transforms.while_loop import while_loop
from tests.lowering_checks import array
from tests.register_checks import F4, I4, agree, labels, lanes_of, total, traced

# -- loops, by hand ------------------------------------------------------------------------------------------


def element(x: Any, i: int) -> Any:
    return P.reshape(P.slice(x, start=(i,), limit=(i + 1,), step=(1,)), shape=())


def stack(*xs: Any) -> Any:
    return P.concatenate(*[P.reshape(x, shape=(1,)) for x in xs], axis=0)


def attractor(p: Any, y: Any, steps: int = 50) -> Any:
    """The Lorenz equations by Heun's rule: every state."""

    def field(y: Any) -> Any:
        a, b, c = (element(y, i) for i in range(3))
        s, r, q = (element(p, i) for i in range(3))
        return stack(P.mul(s, P.sub(b, a)), P.sub(P.mul(a, P.sub(r, c)), b), P.sub(P.mul(a, b), P.mul(q, c)))

    def step(y: Any, _: Any) -> Any:
        first = field(y)
        second = field(P.add(y, P.mul(first, np.float32(0.01))))
        y = P.add(y, P.mul(P.add(first, second), np.float32(0.005)))
        return y, y

    return scan(step, y, None, length=steps)[1]


PARAMETERS, START = np.array([10, 28, 8 / 3], "f4"), np.array([1, 1.5, 0.5], "f4")


def test_a_scan_and_its_derivatives_are_a_kernel_each() -> None:
    (found,) = agree(attractor, PARAMETERS, START)
    y = START.astype("f8")
    for k in range(50):
        f = lambda y: np.array([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])
        first = f(y)
        y = y + 0.005 * (first + f(y + 0.01 * first))
        np.testing.assert_allclose(found[k], y, 1e-4)
    loss = lambda p, y: total(P.sin(attractor(p, y, 20)))
    agree(lambda p, y: grad(loss, argnums=(0, 1))(p, y), PARAMETERS, START, slack=100)
    agree(
        lambda p, y: jvp(lambda p: attractor(p, y, 20), (p,), (np.ones(3, "f4"),)),
        PARAMETERS,
        START,
        slack=100,
    )


def test_reverse_scans_and_scanned_arrays() -> None:
    def f(w: Any, c: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            c = P.tanh(P.add(P.dot_general(w, c, contract=((1,), (0,)), batch=((), ())), x))
            return c, (P.rev(c, axes=(0,)), P.reduce_max(c, axes=(0,)))

        return scan(step, c, xs, reverse=True), scan(step, c, xs)

    args = array(4, 4), array(4), array(9, 4)
    agree(f, *args)
    agree(grad(lambda *a: sum(map(total, tree.leaves(f(*a)))), argnums=(0, 1, 2)), *args, slack=10)


def test_loops_in_loops_and_branches() -> None:
    def f(x: Any, xs: Any) -> Any:
        def inner(c: Any, x: Any) -> Any:
            return P.sin(P.add(c, x)), P.mul(c, x)

        def outer(state: Any, i: Any) -> Any:
            n, x = state
            x, ys = scan(inner, x, xs)
            x = cond(P.gt(total(x), np.float32(0)), lambda x: P.neg(x), lambda x: P.mul(x, x), x)
            x = switch(P.rem(n, np.int32(3)), [P.sin, P.cos, lambda x: x], x)
            _, x = while_loop(
                lambda s: P.lt(s[0], n), lambda s: (P.add(s[0], np.int32(2)), P.mul(s[1], np.float32(0.9))),
                (np.int32(0), x),
            )  # fmt: skip
            y = P.reduce_sum(ys, axes=(0,))
            return (P.add(n, np.int32(1)), x), (y, P.convert(P.gt(x, y), dtype=I4))

        return scan(outer, (np.int32(0), x), None, length=7)

    args = array(3), array(5, 3)
    agree(f, *args)
    agree(
        lambda x: fori_loop(0, 6, lambda i, c: fori_loop(0, 3, lambda j, c: P.sin(P.add(c, x)), c), x),
        array(3),
    )


def test_gradient_through_a_nested_scan() -> None:
    def f(x: Any, xs: Any) -> Any:
        inner = lambda c, x: (P.sin(P.add(c, x)), P.mul(c, x))
        outer = lambda c, _: scan(inner, c, xs)
        return total(scan(outer, x, None, length=4)[1])

    agree(grad(f, argnums=(0, 1)), array(3), array(5, 3), slack=10)
    agree(grad(lambda x, xs: total(grad(f)(x, xs))), array(3), array(5, 3), slack=10)


def test_newton_until_it_has_converged() -> None:
    def root(x: Any) -> Any:
        def go_on(s: Any) -> Any:
            return P.gt(P.abs(P.sub(P.mul(s[0], s[0]), x)), P.mul(x, np.float32(1e-6)))

        def step(s: Any) -> Any:
            return P.mul(P.add(s[0], P.div(x, s[0])), np.float32(0.5)), P.add(s[1], np.int32(1))

        return while_loop(go_on, step, (x, np.int32(0)))

    found, rounds = agree(root, np.float32(9.0).reshape(()))
    assert abs(found - 3) < 1e-4 and 2 < rounds < 9


def test_large_tables_are_read_by_computed_indices() -> None:
    table = array(40, 50)

    def f(table: Any, start: Any) -> Any:
        def step(i: Any, _: Any) -> Any:
            x = P.dynamic_slice(table, P.rem(i, np.int32(40)), P.rem(i, np.int32(50)), sizes=(1, 1))
            value = P.reshape(x, shape=())
            return P.add(i, P.convert(P.mul(P.abs(value), np.float32(10)), dtype=I4)), value

        return scan(step, start, None, length=30)

    agree(f, table, np.int32(3).reshape(()))
    agree(lambda start: f(table, start), np.int32(3).reshape(()))  # a constant, not an operand


def test_a_carry_updated_in_place() -> None:
    def f(x: Any) -> Any:
        def step(x: Any, i: Any) -> Any:
            first = P.dynamic_slice(x, i, sizes=(2,))
            return P.dynamic_update_slice(x, P.rev(first, axes=(0,)), i), total(first)

        return scan(step, P.sin(x), np.array([0, 3, 1, 7, 2], "i4"))

    agree(f, array(9))


def put(x: Any, row: Any, i: Any) -> Any:
    return P.dynamic_update_slice(x, P.reshape(row, shape=(1, *row.shape)), i, np.int32(0))


def get(x: Any, i: Any) -> Any:
    return P.reshape(P.dynamic_slice(x, i, np.int32(0), sizes=(1, x.shape[1])), shape=(x.shape[1],))


STEPS = np.array([3, 299, 0, 7, 3, 150, 400, -2], "i4")


def large_states() -> dict[str, Any]:
    """Bodies that update a large array at one place; some look at it before, some after, some twice."""

    def read_first(x: Any, i: Any) -> Any:
        old = get(x, i)
        return put(x, P.add(old, np.float32(1)), i), old

    def read_after(x: Any, i: Any) -> Any:
        x = put(x, P.sin(get(x, i)), i)
        return x, P.reduce_sum(P.slice(x, start=(2, 1), limit=(9, 3), step=(2, 1)), axes=(0, 1))

    def twice(x: Any, i: Any) -> Any:
        x = put(x, P.cos(get(x, P.add(i, np.int32(1)))), i)
        x = put(x, P.mul(get(x, i), np.float32(2)), P.sub(i, np.int32(1)))
        return x, get(x, np.int32(5))

    return {"read first": read_first, "read after": read_after, "twice": twice}


@pytest.mark.parametrize("name", large_states())
def test_large_state_is_updated_in_memory(name: str) -> None:
    agree(lambda x, i: scan(large_states()[name], x, i), array(300, 5), STEPS)
    agree(lambda x, i: scan(large_states()[name], P.sin(x), i, reverse=True)[0], array(300, 5), STEPS)


def test_large_state_in_a_while_loop_beside_a_counter() -> None:
    def f(x: Any) -> Any:
        def step(c: Any) -> Any:
            i, total_, x = c
            x = put(x, P.add(get(x, i), np.float32(1)), P.rem(P.mul(i, np.int32(7)), np.int32(300)))
            return P.add(i, np.int32(1)), P.add(total_, total(get(x, i))), x

        return while_loop(lambda c: P.lt(c[0], np.int32(20)), step, (np.int32(0), np.float32(0), x))

    agree(f, array(300, 4))


def test_a_large_state_whose_past_is_wanted_is_left_to_the_planner() -> None:
    def stacked(x: Any, i: Any) -> Any:
        return put(x, P.sin(get(x, i)), i), x

    def late(x: Any, i: Any) -> Any:
        new = put(x, P.sin(get(x, i)), i)
        return new, get(x, np.int32(3))  # read after the update

    def exchanged(c: Any, i: Any) -> Any:
        return (put(c[1], get(c[0], i), i), c[0]), None

    def both(c: Any, i: Any) -> Any:
        new = put(c[0], get(c[1], i), i)
        return (new, new), None

    x = array(300, 5)
    for f, start in ((stacked, x), (late, x), (exchanged, (x, 2 * x)), (both, (x, 2 * x))):
        agree(lambda s, i, f=f: scan(f, s, i), start, STEPS, whole=False) if start is x else agree(
            lambda a, b, i, f=f: scan(f, (a, b), i), *start, STEPS, whole=False
        )
    for f in (stacked, late):
        assert "ControlCall" in labels(lowering.lower(traced(lambda x, i, f=f: scan(f, x, i), x, STEPS)))


def test_what_hands_on_its_carry_or_ignores_its_operands() -> None:
    def f(x: Any, y: Any, xs: Any) -> Any:
        return scan(lambda c, x: ((c[0], P.sub(c[0], c[1])), (c[0], np.float32(2))), (x, y), xs)

    agree(f, array(3), array(3), array(6, 2))
    agree(lambda x, y: scan(lambda c, _: ((c[1], c[0]), None), (x, y), None, length=5), array(3), array(3))


def test_what_is_large_is_left_to_the_planner() -> None:
    def f(w: Any, c: Any) -> Any:
        step = lambda c, _: (P.tanh(P.dot_general(c, w, contract=((1,), (0,)), batch=((), ()))), None)
        return scan(step, c, None, length=3)[0]

    assert "ControlCall" in labels(lowering.lower(traced(f, array(64, 64), array(8, 64))))
    assert "ControlCall" not in labels(lowering.lower(traced(f, array(8, 8), array(2, 8))))
    half = array(3).astype(np.float16)
    graph = traced(lambda x: scan(lambda c, _: (P.sin(c), None), x, None, length=3)[0], half)
    assert "ControlCall" in labels(lowering.lower(graph))


def test_the_length_is_not_part_of_the_kernel() -> None:
    def key(steps: int) -> str:
        (call,) = lowering.lower(traced(lambda p, y: attractor(p, y, steps), PARAMETERS, START)).calls
        assert isinstance(call, Call)
        return call.key

    assert key(10) == key(1000)


# -- lanes ---------------------------------------------------------------------------------------------------


def escape(cx: Any, cy: Any) -> Any:
    """Steps until z**2 + c leaves the circle of radius 2."""

    def go_on(s: Any) -> Any:
        x, y, n = s
        return P.and_(P.le(P.add(P.mul(x, x), P.mul(y, y)), 4.0), P.lt(n, np.int32(30)))

    def step(s: Any) -> Any:
        x, y, n = s
        x, y = P.add(P.sub(P.mul(x, x), P.mul(y, y)), cx), P.add(P.mul(P.mul(x, 2.0), y), cy)
        return x, y, P.add(n, np.int32(1))

    return while_loop(go_on, step, (P.sub(cx, cx), P.sub(cy, cy), np.int32(0)))


def escape_in_python(cx: np.ndarray, cy: np.ndarray) -> np.ndarray:
    out = np.zeros(cx.shape, "i4")
    for at in np.ndindex(*cx.shape):
        c, z = complex(cx[at], cy[at]), 0j
        while abs(z) <= 2 and out[at] < 30:
            z, out[at] = z * z + c, out[at] + 1
    return out


@pytest.mark.parametrize("shape", [(16,), (37,), (64,), (200,), (5, 7), (3, 4, 5)])
def test_while_under_vmap_ends_for_each_element(shape: tuple[int, ...]) -> None:
    f = escape
    for _ in shape:
        f = vmap(f)
    rng = np.random.default_rng(0)
    cx, cy = rng.uniform(-2, 1, shape), rng.uniform(-1.5, 1.5, shape)
    assert lanes_of(f, cx, cy)
    found = agree(f, cx, cy, slack=1e6)  # chaotic
    np.testing.assert_array_equal(found[2], escape_in_python(cx, cy))


def test_only_masked_loops_end_for_each_element() -> None:
    """A loop whose elements go on until the last one is done must not stop early."""

    def g(x: Any) -> Any:
        test = lambda x: P.reduce_or(P.lt(x, np.float32(10)), axes=(0,))
        return while_loop(test, lambda x: P.mul(x, np.float32(2)), x)

    x = np.linspace(0.5, 9, 40).astype("f4")
    assert not lanes_of(g, x)
    (found,) = agree(g, x)
    np.testing.assert_allclose(found, x * 32)


@pytest.mark.parametrize("count", [16, 100, 257])
def test_many_small_loops_are_lanes(count: int) -> None:
    many = vmap(attractor, in_axes=(None, 0))
    starts = START + array(count, 3)
    assert lanes_of(many, PARAMETERS, starts)
    (found,) = agree(many, PARAMETERS, starts)
    (alone,) = compile_graph(traced(attractor, PARAMETERS, starts[3]))([PARAMETERS, starts[3]])
    np.testing.assert_allclose(found[3], alone, 1e-5)
    loss = lambda p, y: total(P.sin(attractor(p, y, 20)))
    agree(vmap(grad(loss, argnums=1), in_axes=(None, 0)), PARAMETERS, starts, slack=100)
    agree(vmap(grad(loss), in_axes=(None, 0)), PARAMETERS, starts, slack=100)


def test_structure_within_lanes() -> None:
    def f(w: Any, x: Any, xs: Any) -> Any:
        def step(c: Any, s: Any) -> Any:
            n, c = c
            y = P.dot_general(c, w, contract=((1,), (0,)), batch=((), ()))
            y = P.pad(y, np.float32(0.5), low=(0, 1), high=(0, -1), interior=(0, 0))
            y = P.add(P.tanh(y), P.rev(s, axes=(1,)))
            y = cond(P.lt(n, np.int32(2)), P.neg, P.square, y)
            y = P.reshape(P.transpose(P.reshape(y, shape=(40, 2, 2)), perm=(0, 2, 1)), shape=(40, 4))
            y = P.add(y, P.iota(dtype=F4, shape=(40, 4), dimension=1))
            y = fori_loop(0, 3, lambda i, y: P.mul(y, np.float32(0.5)), y)
            out = P.reduce_sum(P.dot_general(y, s, contract=((1,), (1,)), batch=((0,), (0,))), axes=())
            return (P.add(n, np.int32(1)), P.mul(y, np.float32(0.2))), (P.reduce_max(y, axes=(1,)), out, n)

        return scan(step, (np.int32(0), x), xs, reverse=True)

    args = array(4, 4), array(40, 4), array(5, 40, 4)
    assert lanes_of(f, *args)
    agree(f, *args)


def test_elements_that_meet_are_no_lanes() -> None:
    def f(x: Any) -> Any:
        step = lambda c, _: (P.sub(c, P.broadcast(P.reduce_max(c, axes=(0,)), shape=(40,), axes=())), None)
        return scan(step, x, None, length=3)[0]

    assert not lanes_of(f, array(40))
    agree(f, array(40))
    g = lambda x: scan(lambda c, _: (P.rev(c, axes=(0,)), None), x, None, length=3)[0]
    assert not lanes_of(g, array(40))
    agree(g, array(40))
    h = lambda x: scan(
        lambda c, _: (P.add(c, P.iota(dtype=F4, shape=(40,), dimension=0)), None), x, None, length=3
    )[0]
    assert not lanes_of(h, array(40))
    agree(h, array(40))


def test_results_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(3)
    cx, cy = rng.uniform(-2, 1, (50, 90)), rng.uniform(-1.5, 1.5, (50, 90))
    graph = traced(vmap(vmap(escape)), cx, cy)
    many = compile_graph(graph)([cx, cy])
    with config.using(num_threads=1):
        one = compile_graph(graph)([cx, cy])
    for x, y in zip(many, one, strict=True):
        np.testing.assert_array_equal(x, y)
