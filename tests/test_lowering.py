"""Graph -> calls, run by the loop interpreter and compared with the graph on NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
from fnn import dtypes
from fnn.kernels.lower import lower
from fnn.primitives import arithmetic as a
from fnn.primitives import comparison as c
from fnn.primitives import conversion as v
from fnn.primitives import reductions as r
from fnn.primitives import structural as s
from fnn.primitives import transcendental as t
from fnn.primitives.contraction import dot_general
from tests.lowering_checks import array, check, execute, graph_of, kernels, over

# -- elementwise
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 6), (2, 1, 3), (5000,)])
def test_a_chain_is_one_call(shape):
    lowered = check(lambda x, y: [t.exp(a.mul(x, y)), a.sub(a.mul(x, y), 2.0)], array(*shape), array(*shape))
    assert len(lowered.calls) == 1


@pytest.mark.parametrize(
    "dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", dtypes.bfloat16]
)
def test_arithmetic_of_every_type(dtype):
    check(
        lambda x, y: [a.add(a.mul(x, y), 3), a.max(x, y), c.lt(x, y), c.select(c.eq(x, y), x, y)],
        array(33, dtype=dtype),
        array(33, dtype=dtype),
    )


def test_bool():
    check(
        lambda x, y: [c.select(x, y, True), c.select(x, 1.5, 2.5)],
        array(20, dtype=bool),
        array(20, dtype=bool),
    )


def test_literals_take_the_type_of_what_they_meet():
    check(lambda x: [a.mul(x, 0.1), c.lt(x, 0.1)], array(9, dtype=dtypes.bfloat16))
    check(lambda x: [a.add(x, 2)], array(9, dtype="f8"))
    check(lambda x: [a.add(x, np.float32("nan")), a.max(x, -np.inf), a.mul(x, np.inf)], array(9))


def test_equal_work_has_one_kernel():
    def f(x, y, z):
        return [t.tanh(a.add(x, 1.0)), t.tanh(a.add(y, 1.0)), t.tanh(a.add(z, float("nan")))]

    calls = kernels(check(f, array(10), array(3, 7), array(64, 64)))
    assert len(calls) == 3 and len({call.key for call in calls}) == 2
    first, second = (lower(graph_of(lambda x: [a.add(x, float("nan"))], array(n))) for n in (3, 4))
    assert kernels(first)[0].key == kernels(second)[0].key


def test_a_change_of_type_rounds_in_a_register():
    bf = np.dtype(dtypes.bfloat16)
    values = np.concatenate(
        [
            array(200),
            np.array(
                [
                    0,
                    -0.0,
                    np.inf,
                    -np.inf,
                    np.nan,
                    1e-8,
                    6e-8,
                    65519,
                    65520,
                    1e38,
                    3.3e38,
                    -3e-8,
                    2.98e-8,
                    6.1e-5,
                ],
                "f4",
            ),
        ]
    )
    for half in (bf, np.dtype("f2")):
        graph = graph_of(
            lambda x, half=half: [v.convert(v.convert(x, dtype=half), dtype=np.dtype("f4"))], values
        )
        lowered = lower(graph)
        assert len(lowered.calls) == 1
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(execute(lowered, [values])[0], values.astype(half).astype("f4"))


# -- structure
# ----------------------------------------------------------------------------------------------------


def test_views_move_nothing():
    def f(x):
        y = s.reshape(s.slice(x, start=(1, 0), limit=(5, 6), step=(2, 1)), shape=(2, 2, 3))
        return [a.add(s.transpose(y, perm=(2, 0, 1)), 1.0)]

    assert len(check(f, array(6, 6)).calls) == 1


def test_reverse_and_broadcast():
    check(
        lambda x, y: [
            a.add(s.rev(x, axes=(0, 1)), over(y, (4, 5), 1)),
            s.rev(s.rev(x, axes=(0,)), axes=(1,)),
        ],
        array(4, 5),
        array(5),
    )
    check(lambda x: [a.mul(over(x, (3, 4, 5), 0, 2), 2.0)], array(3, 1))
    check(lambda x: [over(x, (3, 4)), over(2.0, (3, 4))], array())


def test_reshape_of_a_transpose_copies():
    check(lambda x: [a.neg(s.reshape(s.transpose(x, perm=(1, 0)), shape=(24,)))], array(4, 6))
    check(lambda x: [s.reshape(s.transpose(x, perm=(1, 0)), shape=(24,))], array(4, 6))


@pytest.mark.parametrize(
    "low,high,interior",
    [
        ((1, 2), (0, 3), (0, 0)),
        ((-1, 0), (-2, 1), (0, 0)),
        ((0, -2), (1, -1), (1, 2)),
        ((-3, 1), (4, 0), (0, 1)),
        ((0, 0), (0, 0), (0, 0)),
        ((-3, -4), (-1, -2), (1, 1)),
    ],
)
def test_pad(low, high, interior):
    for x in (array(5, 6), array(9, 6), array(4, 5, dtype="i4")):
        fill = x.dtype.type(7)
        check(lambda x, z: [s.pad(x, z, low=low, high=high, interior=interior)], x, np.asarray(fill))
        check(lambda x, fill=fill: [s.pad(x, fill, low=low, high=high, interior=interior)], x)


def test_concatenate():
    check(
        lambda x, y: [s.concatenate(t.exp(x), s.rev(y, axes=(0,)), over(1.0, (1, 4)), axis=0)],
        array(3, 4),
        array(2, 4),
    )
    check(lambda x, y: [a.add(s.concatenate(x, y, x, axis=1), 1.0)], array(3, 4), array(3, 2))
    check(lambda x, y: [s.concatenate(x, y, axis=0)], array(0, 4), array(2, 4))


def test_blocks_of_transposes():
    lowered = check(
        lambda x, y: [a.add(s.transpose(x, perm=(1, 0)), over(y, (37, 70), 1))], array(70, 37), array(70)
    )
    assert kernels(lowered)[0].tiles == 1 * 2
    check(
        lambda x: [s.transpose(x, perm=(2, 1, 0)), t.exp(s.transpose(x, perm=(1, 2, 0)))], array(33, 20, 17)
    )
    check(
        lambda x, y: [a.mul(s.transpose(x, perm=(0, 2, 1)), y)],
        array(3, 40, 16, dtype="f2"),
        array(3, 16, 40, dtype="f2"),
    )


def test_iota():
    i4, f4 = np.dtype("i4"), np.dtype("f4")
    check(
        lambda x: [a.add(x, s.transpose(s.iota(dtype=f4, shape=(5, 4), dimension=0), perm=(1, 0)))],
        array(4, 5),
    )
    check(
        lambda x: [
            s.iota(dtype=i4, shape=(4, 5), dimension=1),
            s.reshape(s.rev(s.iota(dtype=f4, shape=(4, 6), dimension=0), axes=(0, 1)), shape=(3, 8)),
        ],
        array(),
    )
    check(
        lambda x: [
            c.select(
                c.ge(
                    s.iota(dtype=i4, shape=(6, 6), dimension=0), s.iota(dtype=i4, shape=(6, 6), dimension=1)
                ),
                x,
                -1e9,
            )
        ],
        array(6, 6),
    )


def test_outputs_that_are_inputs_or_constants():
    const = array(3, 3)
    lowered = check(
        lambda x: [
            x,
            x,
            s.reshape(x, shape=(9,)),
            np.float32(2.5),
            s.transpose(x, perm=(1, 0)),
            a.mul(x, const),
        ],
        array(3, 3),
    )
    assert lowered.outputs[0] is lowered.inputs[0] and len(lowered.constants) == 2


def test_empty_arrays():
    lowered = check(
        lambda x: [t.exp(x), r.reduce_sum(x, axes=(1,)), s.transpose(x, perm=(1, 0))], array(3, 0)
    )
    assert all(call.writes for call in kernels(lowered))
    check(lambda x: [r.reduce_max(x, axes=(0,)), r.reduce_prod(x, axes=(0, 1)), a.add(x, 1.0)], array(0, 3))
    check(lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))], array(3, 0), array(0, 4))
    check(lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))], array(0, 3), array(3, 4))


# -- reductions
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape,axes",
    [
        ((7,), (0,)),
        ((5, 6), (1,)),
        ((5, 6), (0,)),
        ((5, 6), (0, 1)),
        ((3, 4, 5), (1,)),
        ((3, 4, 5), (0, 2)),
        ((3, 4, 5), (0, 1)),
        ((3, 4, 5), (1, 2)),
        ((1, 4, 1), (0, 2)),
        ((2, 3, 4, 5), (0, 2)),
        ((2, 3, 4, 5), (1, 3)),
        ((130, 70), (0,)),
        ((), ()),
        ((4, 5), ()),
    ],
)
def test_reduction_axes(shape, axes):
    check(
        lambda x: [r.reduce_sum(x, axes=axes), r.reduce_max(x, axes=axes), r.reduce_min(a.neg(x), axes=axes)],
        array(*shape),
    )


@pytest.mark.parametrize("dtype", ["i1", "i4", "u2", "i8", "f2", dtypes.bfloat16, "f8"])
def test_reductions_of_every_type(dtype):
    x = array(6, 9, dtype=dtype)
    check(
        lambda x: [
            r.reduce_sum(x, axes=(1,)),
            r.reduce_max(x, axes=(0,)),
            r.reduce_min(x, axes=(0, 1)),
            r.reduce_prod(x, axes=(1,)),
        ],
        x,
    )


def test_logical_reductions():
    x = array(6, 9, dtype=bool)
    check(lambda x: [r.reduce_and(x, axes=(1,)), r.reduce_or(x, axes=(0,)), r.reduce_and(x, axes=(0, 1))], x)
    check(
        lambda x: [r.reduce_and(x, axes=(1,)), r.reduce_or(x, axes=(0,)), r.reduce_xor(x, axes=(0, 1))],
        array(6, 9, dtype="i4"),
    )


def test_nan_reaches_the_maximum():
    x = array(4, 5)
    x[1, 2] = np.nan
    check(lambda x: [r.reduce_max(x, axes=(1,)), r.reduce_min(x, axes=(0,)), r.reduce_max(x, axes=(0, 1))], x)


@pytest.mark.parametrize("shape", [(100_000,), (300, 700), (50, 40, 50)])
def test_a_sum_of_everything_is_accurate_and_split(shape):
    x = (array(*shape) + 3).astype("f4")
    lowered = check(lambda x: [r.reduce_sum(a.mul(x, x), axes=tuple(range(len(shape)))), a.add(x, 1.0)], x)
    assert kernels(lowered)[0].tiles > 1
    got = execute(lowered, [x])[0]
    exact = np.sum(x.astype("f8") ** 2)
    assert abs(got - exact) <= max(2 * abs(np.sum(x * x) - exact), 2e-7 * exact)


def test_a_strided_sum_of_everything():
    check(
        lambda x: [
            r.reduce_sum(s.transpose(x, perm=(1, 0)), axes=(0, 1)),
            r.reduce_max(s.rev(x, axes=(1,)), axes=(0, 1)),
        ],
        array(300, 200),
    )
    check(
        lambda x, y: [r.reduce_sum(a.mul(x, over(y, (300, 200), 1)), axes=(0, 1))],
        array(300, 200),
        array(200),
    )


def test_long_columns_are_split():
    x = (array(5000, 9) + 2).astype("f4")
    lowered = check(lambda x: [r.reduce_sum(a.mul(x, 2.0), axes=(0,)), t.exp(x)], x)
    assert len(lowered.calls) >= 2
    check(lambda x: [r.reduce_max(x, axes=(1,))], array(3, 4000, 5))
    got = execute(lowered, [x])[0]
    np.testing.assert_allclose(got, 2 * np.sum(x.astype("f8"), 0), 5e-7)


def test_long_rows():
    check(lambda x: [r.reduce_sum(t.exp(x), axes=(1,)), a.add(x, 1.0)], array(2, 70_000))


# -- rows
# ---------------------------------------------------------------------------------------------------------


def softmax(x: Any) -> Any:
    shape = x.shape
    top = over(r.reduce_max(x, axes=(1,)), shape, 0)
    e = t.exp(a.sub(x, top))
    return a.div(e, over(r.reduce_sum(e, axes=(1,)), shape, 0))


def layernorm(x: Any, g: Any, b: Any) -> Any:
    n, shape = x.shape[1], x.shape
    mean = a.div(r.reduce_sum(x, axes=(1,)), float(n))
    d = a.sub(x, over(mean, shape, 0))
    var = a.div(r.reduce_sum(a.mul(d, d), axes=(1,)), float(n))
    return a.add(
        a.mul(a.mul(d, over(t.rsqrt(a.add(var, 1e-5)), shape, 0)), over(g, shape, 1)), over(b, shape, 1)
    )


def test_softmax_is_one_call():
    assert len(check(lambda x: [softmax(x)], array(20, 33)).calls) == 1
    check(lambda x: [softmax(x), t.log(softmax(x))], array(20, 33))


def test_layernorm_and_softmax_are_one_call():
    lowered = check(lambda x, g, b: [softmax(layernorm(x, g, b))], array(20, 33), array(33), array(33))
    assert len(lowered.calls) == 1


def test_row_values_leave_the_kernel():
    def f(x, y):
        total = r.reduce_sum(x, axes=(1,))
        mean = a.mul(a.div(total, 7.0), y)
        return [a.sub(x, over(mean, x.shape, 0)), mean, over(total, (6, 9), 0), total]

    check(f, array(6, 7), array(6))
    check(lambda x, y: f(x, y)[:1], array(6, 7), array(6))


def test_rows_of_a_reordered_producer_go_through_memory():
    def f(x):
        y = a.mul(x, 2.0)
        return [
            a.add(y, s.transpose(y, perm=(1, 0))),
            r.reduce_sum(a.mul(y, s.transpose(y, perm=(1, 0))), axes=(1,)),
        ]

    check(f, array(6, 6))


def test_groups_that_would_need_each_other():
    def f(x):
        y = a.mul(x, 2.0)
        z = s.rev(y, axes=(0,))
        return [a.add(a.add(z, 1.0), y), r.reduce_sum(a.mul(z, y), axes=(0,))]

    check(f, array(16))


# -- size
# ---------------------------------------------------------------------------------------------------------


def test_unrolled_programs_become_few_short_kernels():
    def f(x, y):
        for i in range(1250):
            x, y = a.add(t.sin(x), y), a.mul(y, 0.5 if i % 2 else x)
        return [x, y]

    graph = graph_of(f, array(4), array(4))
    lowered = lower(graph)
    assert all(call.text and call.key for call in kernels(lowered))
    assert 2 < len(lowered.calls) < 40 and max(call.text.count("\n") for call in kernels(lowered)) < 300


def test_a_python_number_keeps_its_digits_beside_float64() -> None:
    x = fnn.numpy.array([1.0, 2.0], "float64")
    assert np.array_equal(np.asarray(fnn.jit(lambda x: x * (1 / 3))(x)), np.asarray(x) * (1 / 3))
