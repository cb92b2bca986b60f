"""Contractions as loops: every shape, stride and type against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_harness import run

from fnn import dtypes
from fnn.kernels import gemm
from fnn.kernels.contraction import matrix_of
from fnn.kernels.views import View
from fnn.primitives import arithmetic as a
from fnn.primitives import reductions as r
from fnn.primitives import structural as s
from fnn.primitives import transcendental as t
from fnn.primitives.contraction import dot_general
from tests.lowering_checks import array, check, over


@pytest.mark.parametrize(
    "m,n,k",
    [
        (1, 1, 1),
        (1, 5, 7),
        (5, 1, 7),
        (5, 7, 1),
        (1, 1, 9),
        (4, 3, 5),
        (8, 32, 16),
        (13, 37, 21),
        (20, 40, 260),
        (130, 33, 5),
        (3, 2, 600),
    ],
)
def test_matrix_products(m, n, k):
    x, y = array(m, k), array(k, n)
    for left, right, contract in (
        (x, y, ((1,), (0,))),
        (x.T.copy(), y, ((0,), (0,))),
        (x, y.T.copy(), ((1,), (1,))),
        (x.T.copy(), y.T.copy(), ((0,), (1,))),
    ):
        check(
            lambda x, y, contract=contract: [dot_general(x, y, contract=contract, batch=((), ()))],
            left,
            right,
        )


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4", "i1", "u2", dtypes.bfloat16])
def test_matrix_products_of_every_type(dtype):
    check(
        lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))],
        array(9, 20, dtype=dtype),
        array(20, 40, dtype=dtype),
    )
    check(
        lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))],
        array(1, 20, dtype=dtype),
        array(20, 40, dtype=dtype),
    )


def test_batched_products_and_transposed_results():
    x, y = array(2, 3, 5, 4), array(2, 3, 7, 4)
    check(lambda x, y: [dot_general(x, y, contract=((3,), (3,)), batch=((0, 1), (0, 1)))], x, y)
    check(lambda x, y: [dot_general(x, y, contract=((1, 3), (1, 3)), batch=((0,), (0,)))], x, y)
    check(
        lambda x, y: [dot_general(x, y, contract=((0, 1, 3), (0, 1, 3)), batch=((), ()))],
        array(2, 3, 5, 20),
        array(2, 3, 7, 20),
    )

    def attention(q, k):
        out = dot_general(q, k, contract=((3,), (3,)), batch=((0, 2), (0, 2)))  # (b, h, q, k)
        back = s.transpose(out, perm=(0, 2, 1, 3))
        return [s.reshape(back, shape=(2, 5, 21))]

    assert len(check(attention, array(2, 5, 3, 8), array(2, 7, 3, 8)).calls) == 1
    check(
        lambda x, y: [s.transpose(dot_general(x, y, contract=((1,), (0,)), batch=((), ())), perm=(1, 0))],
        array(6, 5),
        array(5, 9),
    )


def test_products_of_views():
    check(
        lambda x, y: [
            dot_general(
                s.rev(x, axes=(0,)),
                s.slice(y, start=(1, 1), limit=(9, 6), step=(2, 1)),
                contract=((1,), (0,)),
                batch=((), ()),
            )
        ],
        array(6, 4),
        array(9, 6),
    )
    check(
        lambda x: [
            dot_general(
                over(x, (3, 4, 5), 1, 2), over(x, (3, 4, 5), 1, 2), contract=((2,), (2,)), batch=((0,), (0,))
            )
        ],
        array(4, 5),
    )


def test_a_layer_and_its_gradients():
    def f(x, w, b, y):
        z = a.add(dot_general(x, w, contract=((1,), (0,)), batch=((), ())), over(b, (12, 10), 1))
        h = t.tanh(z)
        d = a.mul(a.sub(h, y), a.sub(1.0, a.mul(h, h)))
        return [
            a.sub(w, a.mul(dot_general(x, d, contract=((0,), (0,)), batch=((), ())), 0.1)),
            a.sub(b, a.mul(r.reduce_sum(d, axes=(0,)), 0.1)),
            dot_general(d, w, contract=((1,), (1,)), batch=((), ())),
            r.reduce_sum(a.mul(a.sub(h, y), a.sub(h, y)), axes=(0, 1)),
        ]

    check(f, array(12, 8), array(8, 10), array(10), array(12, 10))


LENGTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 24, 31, 32, 33, 48, 65, 100, 130])


@settings(max_examples=30, deadline=None)
@given(LENGTHS, LENGTHS, LENGTHS, st.booleans(), st.booleans(), st.booleans(), st.integers(1, 3))
def test_any_shape_and_layout(m, n, k, left_turned, right_turned, out_turned, batch):
    """Every edge of the tiles, in machine code, on arrays between fences."""
    x = array(batch, k, m) if left_turned else array(batch, m, k)
    y = array(batch, n, k) if right_turned else array(batch, k, n)
    out = np.zeros((batch, n, m) if out_turned else (batch, m, n), "f4")
    views = [View(None, a.shape) for a in (x, y, out)]
    place = views[2].transpose((0, 2, 1)) if out_turned else views[2]
    axes = ((1 if left_turned else 2,), (2 if right_turned else 1,))
    matrix = matrix_of(views[0], views[1], axes, ((0,), (0,)), place)
    made = gemm.plan(matrix, "f4", "f4", "f4", gemm.Room(second=1 << 13))  # several blocks of the summed axis
    operands = [y, x] if made.swapped else [x, y]
    run(gemm.program(made.kernel, made.sizes), [*operands, out], made.tiles)
    want = (x.swapaxes(1, 2) if left_turned else x) @ (y.swapaxes(1, 2) if right_turned else y)
    np.testing.assert_allclose(out.swapaxes(1, 2) if out_turned else out, want, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("processors", [1, 2, 3, 16])
def test_sums_do_not_depend_on_the_division(processors):
    x, y = array(150, 70), array(70, 200)
    results = []
    for room in (gemm.Room(), gemm.Room(processors=processors)):
        views = [View(None, a.shape) for a in (x, y, np.zeros((150, 200)))]
        made = gemm.plan(matrix_of(*views[:2], ((1,), (0,)), ((), ()), views[2]), "f4", "f4", "f4", room)
        out = np.zeros((150, 200), "f4")
        run(gemm.program(made.kernel, made.sizes), [x, y, out], made.tiles)
        results.append(out)
    np.testing.assert_array_equal(*results)
