"""Graph -> calls, run by the loop interpreter and compared with the graph on NumPy."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
from loop_interpreter import TYPES, run_call

from fnn import dtypes, primitives
from fnn.core.aval import Aval
from fnn.core.ir import Graph
from fnn.core.lowering import Library, Loop
from fnn.core.primitive import Unsupported, registry
from fnn.core.trace import stage
from fnn.kernels.calls import Call, LibraryCall, Lowered, Value
from fnn.kernels.loops import code_of
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

RNG = np.random.default_rng(0)
PROGRAMS: dict[str, str] = {}  # equal keys must mean equal programs


def array(*shape: int, dtype: Any = "f4") -> np.ndarray:
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return RNG.random(shape) < 0.5
    if dtype.kind in "iu":
        return RNG.integers(0 if dtype.kind == "u" else -9, 9, shape).astype(dtype)
    return RNG.standard_normal(shape).astype(dtype)


def graph_of(f: Any, *arrays: np.ndarray) -> Graph:
    return stage(f, [Aval(x.shape, x.dtype) for x in arrays])[0]


def execute(lowered: Lowered, arrays: Any, shuffle: bool = True) -> list[np.ndarray]:
    """Run the calls in order, the tiles of each in a random order; memory starts out as rubbish."""
    memory: dict[Value, np.ndarray] = {}
    rng = np.random.default_rng(1) if shuffle else None

    def have(value: Value) -> None:
        if value not in memory:
            dtype = TYPES[code_of(value.dtype)]
            memory[value] = (np.ascontiguousarray(value.const).reshape(-1).view(dtype) if value.const is not None else
                             np.full(value.nbytes, 0x7B if dtype.kind != "b" else 1, np.uint8).view(dtype))

    for value, x in zip(lowered.inputs, arrays, strict=True):
        memory[value] = np.array(x).reshape(-1).view(TYPES[code_of(value.dtype)])
    for call in lowered.calls:
        assert isinstance(call, Call)
        for value, _ in call.args:
            have(value)
        assert {x for x, _ in call.args} == call.reads | call.writes
        assert PROGRAMS.setdefault(call.key, str(call.program())) == str(call.program())
        before = {value: memory[value].copy() for value, _ in call.args}
        run_call(call, memory, rng)
        for out, source in call.in_place:  # the same numbers come out where the input's memory is the output's
            shared = {value: x.copy() for value, x in before.items()}
            shared[out] = shared[source].view(shared[out].dtype)
            run_call(call, shared, rng)
            for value in call.writes:
                np.testing.assert_array_equal(shared[value], memory[value])
    for value in lowered.outputs:
        have(value)
    return [memory[x].view(x.dtype).reshape(shape) for x, shape in zip(lowered.outputs, lowered.shapes, strict=True)]


def close(got: np.ndarray, want: np.ndarray, slack: float = 1.0) -> None:
    assert got.shape == want.shape and got.dtype == want.dtype, (got.shape, want.shape, got.dtype, want.dtype)
    code = code_of(want.dtype)
    if code[0] in "fb" and code != "b1":
        tolerance = {"bf": 2e-2, "f2": 4e-3, "f4": 3e-5, "f8": 1e-12}[code] * slack
        np.testing.assert_allclose(got.astype("f8"), want.astype("f8"), tolerance, tolerance)
    else:
        np.testing.assert_array_equal(got, want)


def check(f: Any, *arrays: np.ndarray) -> Lowered:
    graph = graph_of(f, *arrays)
    lowered = lower(graph)
    with np.errstate(all="ignore"):
        want = [np.asarray(x) for x in graph(*arrays)]
    for got, expected in zip(execute(lowered, arrays), want, strict=True):
        close(got, expected)
    return lowered


def over(x: Any, shape: tuple[int, ...], *axes: int) -> Any:
    return s.broadcast(x, shape=shape, axes=axes)


# -- elementwise --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 6), (2, 1, 3), (5000,)])
def test_a_chain_is_one_call(shape):
    lowered = check(lambda x, y: [t.exp(a.mul(x, y)), a.sub(a.mul(x, y), 2.0)], array(*shape), array(*shape))
    assert len(lowered.calls) == 1


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", dtypes.bfloat16])
def test_arithmetic_of_every_type(dtype):
    check(lambda x, y: [a.add(a.mul(x, y), 3), a.max(x, y), c.lt(x, y), c.select(c.eq(x, y), x, y)],
          array(33, dtype=dtype), array(33, dtype=dtype))


def test_bool():
    check(lambda x, y: [c.select(x, y, True), c.select(x, 1.5, 2.5)], array(20, dtype=bool), array(20, dtype=bool))


def test_literals_take_the_type_of_what_they_meet():
    check(lambda x: [a.mul(x, 0.1), c.lt(x, 0.1)], array(9, dtype=dtypes.bfloat16))
    check(lambda x: [a.add(x, 2)], array(9, dtype="f8"))
    check(lambda x: [a.add(x, np.float32("nan")), a.max(x, -np.inf), a.mul(x, np.inf)], array(9))


def test_equal_work_has_one_kernel():
    def f(x, y, z):
        return [t.tanh(a.add(x, 1.0)), t.tanh(a.add(y, 1.0)), t.tanh(a.add(z, float("nan")))]
    calls = check(f, array(10), array(3, 7), array(64, 64)).calls
    assert len(calls) == 3 and len({call.key for call in calls}) == 2
    assert lower(graph_of(lambda x: [a.add(x, float("nan"))], array(3))).calls[0].key == \
        lower(graph_of(lambda x: [a.add(x, float("nan"))], array(4))).calls[0].key


def test_a_change_of_type_rounds_in_a_register():
    bf = np.dtype(dtypes.bfloat16)
    values = np.concatenate([array(200), np.float32([0, -0.0, np.inf, -np.inf, np.nan, 1e-8, 6e-8, 65519, 65520, 1e38, 3.3e38,
                                                     -3e-8, 2.98e-8, 6.1e-5])])
    for half in (bf, np.dtype("f2")):
        graph = graph_of(lambda x: [v.convert(v.convert(x, dtype=half), dtype=np.dtype("f4"))], values)
        lowered = lower(graph)
        assert len(lowered.calls) == 1
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(execute(lowered, [values])[0], values.astype(half).astype("f4"))


# -- structure ----------------------------------------------------------------------------------------------------

def test_views_move_nothing():
    def f(x):
        y = s.reshape(s.slice(x, start=(1, 0), limit=(5, 6), step=(2, 1)), shape=(2, 2, 3))
        return [a.add(s.transpose(y, perm=(2, 0, 1)), 1.0)]
    assert len(check(f, array(6, 6)).calls) == 1


def test_reverse_and_broadcast():
    check(lambda x, y: [a.add(s.rev(x, axes=(0, 1)), over(y, (4, 5), 1)), s.rev(s.rev(x, axes=(0,)), axes=(1,))],
          array(4, 5), array(5))
    check(lambda x: [a.mul(over(x, (3, 4, 5), 0, 2), 2.0)], array(3, 1))
    check(lambda x: [over(x, (3, 4)), over(2.0, (3, 4))], array())


def test_reshape_of_a_transpose_copies():
    check(lambda x: [a.neg(s.reshape(s.transpose(x, perm=(1, 0)), shape=(24,)))], array(4, 6))
    check(lambda x: [s.reshape(s.transpose(x, perm=(1, 0)), shape=(24,))], array(4, 6))


@pytest.mark.parametrize("low,high,interior", [((1, 2), (0, 3), (0, 0)), ((-1, 0), (-2, 1), (0, 0)), ((0, -2), (1, -1), (1, 2)),
                                               ((-3, 1), (4, 0), (0, 1)), ((0, 0), (0, 0), (0, 0)), ((-3, -4), (-1, -2), (1, 1))])
def test_pad(low, high, interior):
    for x in (array(5, 6), array(9, 6), array(4, 5, dtype="i4")):
        fill = x.dtype.type(7)
        check(lambda x, z: [s.pad(x, z, low=low, high=high, interior=interior)], x, np.asarray(fill))
        check(lambda x: [s.pad(x, fill, low=low, high=high, interior=interior)], x)


def test_concatenate():
    check(lambda x, y: [s.concatenate(t.exp(x), s.rev(y, axes=(0,)), over(1.0, (1, 4), ), axis=0)], array(3, 4), array(2, 4))
    check(lambda x, y: [a.add(s.concatenate(x, y, x, axis=1), 1.0)], array(3, 4), array(3, 2))
    check(lambda x, y: [s.concatenate(x, y, axis=0)], array(0, 4), array(2, 4))


def test_blocks_of_transposes():
    lowered = check(lambda x, y: [a.add(s.transpose(x, perm=(1, 0)), over(y, (37, 70), 1))], array(70, 37), array(70))
    assert lowered.calls[0].tiles == 3 * 2
    check(lambda x: [s.transpose(x, perm=(2, 1, 0)), t.exp(s.transpose(x, perm=(1, 2, 0)))], array(33, 20, 17))
    check(lambda x, y: [a.mul(s.transpose(x, perm=(0, 2, 1)), y)], array(3, 40, 16, dtype="f2"), array(3, 16, 40, dtype="f2"))


def test_iota():
    i4, f4 = np.dtype("i4"), np.dtype("f4")
    check(lambda x: [a.add(x, s.transpose(s.iota(dtype=f4, shape=(5, 4), dimension=0), perm=(1, 0)))], array(4, 5))
    check(lambda x: [s.iota(dtype=i4, shape=(4, 5), dimension=1),
                     s.reshape(s.rev(s.iota(dtype=f4, shape=(4, 6), dimension=0), axes=(0, 1)), shape=(3, 8))], array())
    check(lambda x: [c.select(c.ge(s.iota(dtype=i4, shape=(6, 6), dimension=0), s.iota(dtype=i4, shape=(6, 6), dimension=1)),
                              x, -1e9)], array(6, 6))


def test_outputs_that_are_inputs_or_constants():
    const = array(3, 3)
    lowered = check(lambda x: [x, x, s.reshape(x, shape=(9,)), np.float32(2.5), s.transpose(x, perm=(1, 0)), a.mul(x, const)], array(3, 3))
    assert lowered.outputs[0] is lowered.inputs[0] and len(lowered.constants) == 2


def test_empty_arrays():
    lowered = check(lambda x: [t.exp(x), r.reduce_sum(x, axes=(1,)), s.transpose(x, perm=(1, 0))], array(3, 0))
    assert all(call.writes for call in lowered.calls)
    check(lambda x: [r.reduce_max(x, axes=(0,)), r.reduce_prod(x, axes=(0, 1)), a.add(x, 1.0)], array(0, 3))
    check(lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))], array(3, 0), array(0, 4))
    check(lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))], array(0, 3), array(3, 4))


# -- reductions ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape,axes", [((7,), (0,)), ((5, 6), (1,)), ((5, 6), (0,)), ((5, 6), (0, 1)), ((3, 4, 5), (1,)),
                                        ((3, 4, 5), (0, 2)), ((3, 4, 5), (0, 1)), ((3, 4, 5), (1, 2)), ((1, 4, 1), (0, 2)),
                                        ((2, 3, 4, 5), (0, 2)), ((2, 3, 4, 5), (1, 3)), ((130, 70), (0,)), ((), ()), ((4, 5), ())])
def test_reduction_axes(shape, axes):
    check(lambda x: [r.reduce_sum(x, axes=axes), r.reduce_max(x, axes=axes), r.reduce_min(a.neg(x), axes=axes)], array(*shape))


@pytest.mark.parametrize("dtype", ["i1", "i4", "u2", "i8", "f2", dtypes.bfloat16, "f8"])
def test_reductions_of_every_type(dtype):
    x = array(6, 9, dtype=dtype)
    check(lambda x: [r.reduce_sum(x, axes=(1,)), r.reduce_max(x, axes=(0,)), r.reduce_min(x, axes=(0, 1)),
                     r.reduce_prod(x, axes=(1,))], x)


def test_logical_reductions():
    x = array(6, 9, dtype=bool)
    check(lambda x: [r.reduce_and(x, axes=(1,)), r.reduce_or(x, axes=(0,)), r.reduce_and(x, axes=(0, 1))], x)
    check(lambda x: [r.reduce_and(x, axes=(1,)), r.reduce_or(x, axes=(0,)), r.reduce_xor(x, axes=(0, 1))], array(6, 9, dtype="i4"))


def test_nan_reaches_the_maximum():
    x = array(4, 5)
    x[1, 2] = np.nan
    check(lambda x: [r.reduce_max(x, axes=(1,)), r.reduce_min(x, axes=(0,)), r.reduce_max(x, axes=(0, 1))], x)


@pytest.mark.parametrize("shape", [(100_000,), (300, 700), (50, 40, 50)])
def test_a_sum_of_everything_is_accurate_and_split(shape):
    x = (array(*shape) + 3).astype("f4")
    lowered = check(lambda x: [r.reduce_sum(a.mul(x, x), axes=tuple(range(len(shape)))), a.add(x, 1.0)], x)
    assert lowered.calls[0].tiles > 1
    got = execute(lowered, [x])[0]
    exact = np.sum(x.astype("f8") ** 2)
    assert abs(got - exact) <= max(2 * abs(np.sum(x * x) - exact), 2e-7 * exact)


def test_a_strided_sum_of_everything():
    check(lambda x: [r.reduce_sum(s.transpose(x, perm=(1, 0)), axes=(0, 1)), r.reduce_max(s.rev(x, axes=(1,)), axes=(0, 1))],
          array(300, 200))
    check(lambda x, y: [r.reduce_sum(a.mul(x, over(y, (300, 200), 1)), axes=(0, 1))], array(300, 200), array(200))


def test_long_columns_are_split():
    x = (array(5000, 9) + 2).astype("f4")
    lowered = check(lambda x: [r.reduce_sum(a.mul(x, 2.0), axes=(0,)), t.exp(x)], x)
    assert len(lowered.calls) >= 2
    check(lambda x: [r.reduce_max(x, axes=(1,))], array(3, 4000, 5))
    got = execute(lowered, [x])[0]
    np.testing.assert_allclose(got, 2 * np.sum(x.astype("f8"), 0), 5e-7)


def test_long_rows():
    check(lambda x: [r.reduce_sum(t.exp(x), axes=(1,)), a.add(x, 1.0)], array(2, 70_000))


# -- rows ---------------------------------------------------------------------------------------------------------

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
    return a.add(a.mul(a.mul(d, over(t.rsqrt(a.add(var, 1e-5)), shape, 0)), over(g, shape, 1)), over(b, shape, 1))


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
        return [a.add(y, s.transpose(y, perm=(1, 0))), r.reduce_sum(a.mul(y, s.transpose(y, perm=(1, 0))), axes=(1,))]
    check(f, array(6, 6))


def test_groups_that_would_need_each_other():
    def f(x):
        y = a.mul(x, 2.0)
        z = s.rev(y, axes=(0,))
        return [a.add(a.add(z, 1.0), y), r.reduce_sum(a.mul(z, y), axes=(0,))]
    check(f, array(16))


# -- contractions -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("m,n,k", [(1, 1, 1), (1, 5, 7), (5, 1, 7), (5, 7, 1), (1, 1, 9), (4, 3, 5), (8, 32, 16), (13, 37, 21),
                                   (20, 40, 260), (130, 33, 5), (3, 2, 600)])
def test_matrix_products(m, n, k):
    x, y = array(m, k), array(k, n)
    for left, right, contract in ((x, y, ((1,), (0,))), (x.T.copy(), y, ((0,), (0,))), (x, y.T.copy(), ((1,), (1,))),
                                  (x.T.copy(), y.T.copy(), ((0,), (1,)))):
        check(lambda x, y, contract=contract: [dot_general(x, y, contract=contract, batch=((), ()))], left, right)


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4", "i1", "u2", dtypes.bfloat16])
def test_matrix_products_of_every_type(dtype):
    check(lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))],
          array(9, 20, dtype=dtype), array(20, 40, dtype=dtype))
    check(lambda x, y: [dot_general(x, y, contract=((1,), (0,)), batch=((), ()))],
          array(1, 20, dtype=dtype), array(20, 40, dtype=dtype))


def test_batched_products_and_transposed_results():
    x, y = array(2, 3, 5, 4), array(2, 3, 7, 4)
    check(lambda x, y: [dot_general(x, y, contract=((3,), (3,)), batch=((0, 1), (0, 1)))], x, y)
    check(lambda x, y: [dot_general(x, y, contract=((1, 3), (1, 3)), batch=((0,), (0,)))], x, y)
    check(lambda x, y: [dot_general(x, y, contract=((0, 1, 3), (0, 1, 3)), batch=((), ()))], array(2, 3, 5, 20), array(2, 3, 7, 20))

    def attention(q, k):
        out = dot_general(q, k, contract=((3,), (3,)), batch=((0, 2), (0, 2)))  # (b, h, q, k)
        back = s.transpose(out, perm=(0, 2, 1, 3))
        return [s.reshape(back, shape=(2, 5, 21))]
    assert len(check(attention, array(2, 5, 3, 8), array(2, 7, 3, 8)).calls) == 1
    check(lambda x, y: [s.transpose(dot_general(x, y, contract=((1,), (0,)), batch=((), ())), perm=(1, 0))], array(6, 5), array(5, 9))


def test_products_of_views():
    check(lambda x, y: [dot_general(s.rev(x, axes=(0,)), s.slice(y, start=(1, 1), limit=(9, 6), step=(2, 1)),
                                    contract=((1,), (0,)), batch=((), ()))], array(6, 4), array(9, 6))
    check(lambda x: [dot_general(over(x, (3, 4, 5), 1, 2), over(x, (3, 4, 5), 1, 2), contract=((2,), (2,)), batch=((0,), (0,)))],
          array(4, 5))


def test_a_layer_and_its_gradients():
    def f(x, w, b, y):
        z = a.add(dot_general(x, w, contract=((1,), (0,)), batch=((), ())), over(b, (12, 10), 1))
        h = t.tanh(z)
        d = a.mul(a.sub(h, y), a.sub(1.0, a.mul(h, h)))
        return [a.sub(w, a.mul(dot_general(x, d, contract=((0,), (0,)), batch=((), ())), 0.1)),
                a.sub(b, a.mul(r.reduce_sum(d, axes=(0,)), 0.1)), dot_general(d, w, contract=((1,), (1,)), batch=((), ())),
                r.reduce_sum(a.mul(a.sub(h, y), a.sub(h, y)), axes=(0, 1))]
    check(f, array(12, 8), array(8, 10), array(10), array(12, 10))


# -- size ---------------------------------------------------------------------------------------------------------

def test_unrolled_programs_lower_quickly():
    import time

    def f(x, y):
        for i in range(1250):
            x, y = a.add(t.sin(x), y), a.mul(y, 0.5 if i % 2 else x)
        return [x, y]
    graph = graph_of(f, array(4), array(4))
    start = time.perf_counter()
    lowered = lower(graph)
    for call in lowered.calls:
        assert call.text and call.key
    assert time.perf_counter() - start < 10
    assert 2 < len(lowered.calls) < 40 and max(call.text.count("\n") for call in lowered.calls) < 300


# -- random programs ----------------------------------------------------------------------------------------------

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
            x, y = matrix(p), matrix(q)
            shape = (n, m)
            new = [
                lambda: a.add(x, y), lambda: a.mul(x, t.tanh(y)), lambda: a.sub(x, 0.5), lambda: a.max(x, y),
                lambda: t.tanh(x), lambda: a.neg(x), lambda: c.select(c.lt(x, y), x, a.mul(y, 0.5)),
                lambda: over(t.tanh(r.reduce_sum(x, axes=(1,))), shape, 0),
                lambda: over(r.reduce_max(x, axes=(0,)), shape, 1),
                lambda: over(t.tanh(r.reduce_sum(x, axes=(0, 1))), shape),
                lambda: a.sub(x, over(r.reduce_max(x, axes=(1,)), shape, 0)),
                lambda: s.rev(x, axes=((0,), (1,), (0, 1))[u % 3]),
                lambda: s.transpose(s.reshape(x, shape=(m, n)), perm=(1, 0)),
                lambda: s.reshape(s.transpose(x, perm=(1, 0)), shape=shape),
                lambda: s.pad(s.slice(x, start=(n // 2, 0), limit=(n, m), step=(1, 1)), 0.25, low=(0, 0), high=(n // 2, 0),
                              interior=(0, 0)),
                lambda: s.concatenate(s.slice(x, start=(0, m // 2), limit=(n, m), step=(1, 1)),
                                      s.slice(y, start=(0, 0), limit=(n, m // 2), step=(1, 1)), axis=1),
                lambda: t.tanh(dot_general(dot_general(x, y, contract=((1,), (1,)), batch=((), ())), x, contract=((0,), (0,)),
                                           batch=((), ()))),
                lambda: a.mul(x, over(t.tanh(r.reduce_sum(a.mul(y, y), axes=(0,))), shape, 1)),
                lambda: a.add(x, s.iota(dtype=np.dtype("f4"), shape=shape, dimension=int(u % 2))),
                lambda: over(a.mul(r.reduce_sum(x, axes=(1,)), r.reduce_max(y, axes=(1,))), shape, 0),
                lambda: a.mul(over(values[2], shape, 1), x),
                lambda: v.convert(v.convert(x, dtype=np.dtype(dtypes.bfloat16)), dtype=np.dtype("f4")),
                lambda: t.tanh(over(r.reduce_sum(s.rev(x, axes=(1,)), axes=(1,)), shape, 0)),
            ][kind % 23]()
            values.append(new)
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


# -- every primitive ----------------------------------------------------------------------------------------------

for _module in pkgutil.iter_modules(primitives.__path__):
    importlib.import_module("fnn.primitives." + _module.name)
CASES = [(p, k) for p in registry.values() for k in range(len(p.samples)) if not isinstance(p.lower, (Library, Loop, Unsupported))]


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
    for got, expected in zip(execute(lower(inline(graph)), arrays), want, strict=True):
        close(got, expected, sample.tolerance)


def test_an_update_in_place_copies_first():
    def f(x, u):
        return [dynamic_update_slice(x, u, 1, 2), a.add(x, 1.0)]
    lowered = check(f, array(5, 6), array(2, 3))
    copy = next(call for call in lowered.calls if call.label == "copy")
    assert copy.in_place


def test_library_and_control_calls_are_left_to_the_planner():
    spd = np.eye(3, dtype="f4") * 2
    lowered = lower(graph_of(lambda x: [cholesky(s.transpose(a.add(x, 0.0), perm=(1, 0)))], spd))
    call = lowered.calls[-1]
    assert isinstance(call, LibraryCall) and call.inputs[0].shape == (3, 3) and call.outputs == lowered.outputs
