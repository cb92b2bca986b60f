"""Plans: calls become tables whose memory is shared only where no run can tell."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from toy_programs import B1, I4, I8, Compiled, Toy, agree, data, programs, roll, scanning, vector

from fnn.kernels.calls import Lowered, Value
from fnn.kernels.plan import Plan, chunk


def copies(plan: Plan) -> int:
    """How many rows copy."""
    return sum(row[5] == 7 for row in plan.table.rows.tolist())


def test_straight_line_reuses_memory() -> None:
    t = Toy(vector(1000))
    v = t.inputs[0]
    for _ in range(10):
        v = t.run(roll, v)
    plan = agree(t.done(v), data(1000))
    assert plan.memory.arena == 2 * 8000 + 2 * (-8000 % 64) and copies(plan) == 0


def test_in_place_chain_lies_in_the_output() -> None:
    t = Toy(vector(1000))
    v = t.run(roll, t.inputs[0])
    for _ in range(3):
        v = t.run(lambda x: x * 3 + 1, v, in_place=(v,))
    plan = agree(t.done(v), data(1000))
    assert plan.memory.arena == 0 and plan.in_place == 3 and copies(plan) == 0


def test_in_place_is_refused_while_the_operand_is_needed() -> None:
    t = Toy(vector())
    a = t.run(roll, t.inputs[0])
    b = t.run(lambda x: x + 1, a, in_place=(a,))
    plan = agree(t.done(t.run(np.add, a, b)), data())
    assert plan.in_place == 0


def test_copy_onto_itself_is_left_out() -> None:
    """One element of an array set, the array copied before: nothing is copied where the array dies there."""

    def update(t: Toy, x: Value) -> Value:
        out = t.run(lambda x: x, x, in_place=(x,), label="copy")
        t.write(lambda: 5, (), out, 1, 2)
        return out

    t = Toy(vector())
    plan = agree(t.done(update(t, t.run(roll, t.inputs[0]))), data())
    assert len(plan.table.rows) == 2
    t = Toy(vector())
    a = t.run(roll, t.inputs[0])
    assert len(agree(t.done(update(t, a), a), data()).table.rows) == 3
    t = Toy(vector(1), vector(1000))
    params = counting(5, lambda t, c: [update(t, c[0])], vector(1000))
    assert (
        len(
            agree(
                t.done(*t.control("while", params, t.inputs, t.inputs)), np.zeros(1, I8), data(1000)
            ).kernels
        )
        == 3
    )


def test_output_is_an_input_a_constant_and_twice_the_same() -> None:
    t = Toy(vector(), vector())
    a = t.run(roll, t.inputs[0])
    c = t.const(np.arange(4))
    plan = agree(t.done(t.inputs[1], c, a, a, t.inputs[1], c), data(), data(seed=1))
    assert copies(plan) == 5  # one of the two is computed where it belongs


def test_parts_of_one_value() -> None:
    t = Toy(vector(6), vector(6))
    out = vector(12)
    t.write(roll, t.inputs[:1], out, 0, 6)
    other = t.run(roll, t.inputs[1])
    t.write(np.negative, [other], out, 6, 12)
    agree(t.done(t.run(roll, out), other), data(6), data(6, 1))


def test_empty_values() -> None:
    t = Toy(vector(0), vector())
    agree(t.done(t.run(roll, t.inputs[0]), t.run(roll, t.inputs[1])), data(0), data())


def test_donated_input_becomes_the_output() -> None:
    t = Toy(vector(), vector())
    new = t.run(lambda p, g: p - g, *t.inputs, in_place=(t.inputs[0],))
    plan = agree(t.done(new), data(), data(seed=1), donated=(0,))
    assert plan.aliases == {0: 0} and plan.table.outputs == 0 and plan.record()["overwritten"] == [0]


def test_donated_input_comes_before_another_operand() -> None:
    t = Toy(vector(), vector())
    g = t.run(roll, t.inputs[1])
    new = t.run(lambda g, p: p - g, g, t.inputs[0], in_place=(g, t.inputs[0]))
    plan = agree(t.done(new), data(), data(seed=1), donated=(0,))
    assert plan.aliases == {0: 0} and plan.memory.arena == 64


def test_donated_input_of_another_use_is_taken_over() -> None:
    t = Toy(vector())
    a = t.run(roll, t.inputs[0])
    plan = agree(t.done(t.run(roll, a)), data(), donated=(0,))
    assert plan.aliases == {0: 0}


def test_donated_input_still_needed_is_left_alone() -> None:
    t = Toy(vector())
    a = t.run(roll, t.inputs[0])
    plan = agree(t.done(a), data(), donated=(0,))  # roll reads its operand while it writes
    assert plan.aliases == {} and plan.table.outputs == 1


def test_donated_input_returned_as_it_is() -> None:
    t = Toy(vector(), vector())
    plan = agree(t.done(t.inputs[0], t.inputs[0]), data(), data(), donated=(0,))
    assert plan.aliases == {0: 0} and copies(plan) == 1


def branch(f: Callable[..., Any], in_place: bool = False) -> Lowered:
    t = Toy(vector())
    return t.done(t.run(f, t.inputs[0], in_place=t.inputs if in_place else ()))


@pytest.mark.parametrize("index", [-3, 0, 1, 2, 7])
def test_cond_clamps_its_index(index: int) -> None:
    t = Toy(Value((), I4), vector())
    identity = Toy(vector())
    branches = (branch(np.negative, True), identity.done(identity.inputs[0]), branch(lambda x: x * 2, True))
    before = t.run(lambda x: x + 1, t.inputs[1])
    (out,) = t.control("cond", {"branches": branches}, [t.inputs[0], before], [vector()])
    plan = agree(t.done(t.run(roll, out)), np.array(index, I4), data())
    assert copies(plan) == 0  # the identity works in place


def test_cond_keeps_what_is_needed_after_it() -> None:
    t = Toy(Value((), B1), vector())
    before = t.run(roll, t.inputs[1])
    (out,) = t.control(
        "cond", {"branches": (branch(np.negative), branch(roll))}, [t.inputs[0], before], [vector()]
    )
    for chosen in (False, True):
        agree(t.done(t.run(np.add, out, before)), np.array(chosen), data())


def counting(limit: int, body: Callable[[Toy, list[Value]], list[Value]], *carry: Value) -> dict[str, Any]:
    """Parameters of a while loop over (counter, *carry)."""
    test, step = Toy(vector(1), *[Value(v.shape, v.dtype) for v in carry]), Toy(vector(1), *carry)
    more = test.run(lambda i: i < limit, test.inputs[0], like=Value((), B1))
    i = step.run(lambda i: i + 1, step.inputs[0], in_place=(step.inputs[0],))
    out = step.done(i, *body(step, step.inputs[1:]))
    return {"test": test.done(more), "body": out, "cond_consts": 0, "body_consts": 0}


@pytest.mark.parametrize("n", [4, 1000])  # copied; handed on by pointer
@pytest.mark.parametrize("limit", [0, 1, 4, 5])
def test_while_exchanges_its_carries(n: int, limit: int) -> None:
    def body(t: Toy, carry: list[Value]) -> list[Value]:
        return [carry[1], t.run(lambda a, b: a - 2 * np.roll(b, 1), *carry[:2]), carry[0]]

    t = Toy(vector(1), vector(n), vector(n), vector(n))
    params = counting(limit, body, vector(n), vector(n), vector(n))
    out = t.control("while", params, t.inputs, t.inputs)
    agree(t.done(*out, t.run(roll, out[1])), np.zeros(1, I8), data(n), data(n, 1), data(n, 2))


def test_large_carries_are_not_copied_every_round() -> None:
    """A wave equation: (u0, u1) -> (u1, u2)."""
    t = Toy(vector(1), vector(1000), vector(1000))
    params = counting(
        7, lambda t, c: [c[1], t.run(lambda a, b: 2 * np.roll(b, 1) - a, *c)], vector(1000), vector(1000)
    )
    out = t.control("while", params, t.inputs, t.inputs)
    plan = agree(t.done(*out), np.zeros(1, I8), data(1000), data(1000, 1))
    rows = plan.table.rows
    start = int(np.flatnonzero(rows[:, 5] == 5)[0])
    inside = rows[start + 1 : start + 1 + rows[start, 6], 5].tolist()
    assert inside.count(7) == 0 and inside.count(6) == 1


def test_carry_updated_in_place_lies_in_the_output() -> None:
    t = Toy(vector(1), vector(1000))
    params = counting(5, lambda t, c: [t.run(lambda x: 3 * x + 1, c[0], in_place=(c[0],))], vector(1000))
    out = t.control("while", params, t.inputs, t.inputs)
    plan = agree(t.done(*out), np.zeros(1, I8), data(1000))
    assert copies(plan) == 2 and plan.memory.arena <= 64  # only what the carries start as; the predicate
    plan = agree(t.done(*out), np.zeros(1, I8), data(1000), donated=(0, 1))
    assert copies(plan) == 0 and plan.aliases == {0: 0, 1: 1}


@pytest.mark.parametrize("length", [0, 1, 6])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n", [3, 600])
def test_scan(n: int, reverse: bool, length: int) -> None:
    body = Toy(vector(n), vector(n), vector(n), vector(n))  # const, two carries, x
    w, h, c, x = body.inputs
    new = body.run(lambda w, h, x: w + np.roll(h, 1) * 3 + x, w, h, x)
    last = body.run(lambda c, h: c + h, c, new, in_place=(c,))
    lowered = body.done(new, last, new, h, x, w, body.const(np.arange(n)))
    t = Toy(vector(n), vector(n), vector(n), Value((length, n), I8))
    stacked = [Value((length, n), I8)] * 5
    out = t.control(
        "scan", scanning(lowered, 1, 2, length, reverse), t.inputs, [vector(n), vector(n), *stacked]
    )
    inputs = data(n), data(n, 1), data(n, 2), data(length * n, 3).reshape(length, n)
    agree(t.done(*out), *inputs)
    agree(t.done(*out), *inputs, donated=(1, 2, 3))


def test_stacked_results_are_written_where_they_belong() -> None:
    body = Toy(vector(8), vector(8))
    h, x = body.inputs
    new = body.run(lambda h, x: h + x, h, x, in_place=(h, x))
    y = body.run(roll, new)
    t = Toy(vector(8), Value((5, 8), I8))
    out = t.control("scan", scanning(body.done(new, y), 0, 1, 5), t.inputs, [vector(8), Value((5, 8), I8)])
    plan = agree(t.done(*out), data(8), data(40).reshape(5, 8))
    assert copies(plan) == 1 and plan.memory.arena == 0


def test_carry_that_never_changes_is_read_where_it_is() -> None:
    body = Toy(vector(8), vector(8))
    w, h = body.inputs
    t = Toy(vector(8), vector(8))
    params = scanning(body.done(w, body.run(np.add, w, h, in_place=(h,))), 0, 2, 5)
    out = t.control("scan", params, t.inputs, [vector(8), vector(8)])
    plan = agree(t.done(out[1]), data(8), data(8, 1))
    assert copies(plan) == 1 and plan.memory.arena == 0


def test_call_leaves_no_trace() -> None:
    inner = Toy(vector(), vector())
    lowered = inner.done(inner.run(roll, inner.inputs[0]), inner.inputs[1])
    t = Toy(vector(), vector())
    first = t.control("call", {"graph": lowered}, t.inputs, t.inputs)
    second = t.control("call", {"graph": lowered}, first, t.inputs)
    plan = agree(t.done(*second), data(), data(seed=1))
    assert len(plan.table.rows) == 3  # two kernels, and the output that is an input


# -- random programs
# ------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(programs())
def test_random_programs(program: tuple[Lowered, tuple[int, ...]]) -> None:
    lowered, donated = program
    inputs = [data(lowered.inputs[0].size, k) for k in range(len(lowered.inputs))]
    agree(lowered, *inputs, donated=donated)


@settings(max_examples=50)
@given(programs())
def test_pieces_in_use_at_one_time_lie_apart(program: tuple[Lowered, tuple[int, ...]]) -> None:
    memory = Plan(program[0], lambda graph: graph, program[1]).memory  # type: ignore[arg-type,return-value]  # the toy's graph
    pieces = [p for p in dict.fromkeys(memory.storage.values()) if p.offset >= 0]
    for k, p in enumerate(pieces):
        assert p.offset % 64 == 0 and p.offset + p.nbytes <= memory.arena
        for q in pieces[:k]:
            apart = p.offset + p.nbytes <= q.offset or q.offset + q.nbytes <= p.offset
            assert apart or all(e < s or f < t for s, f in p.spans for t, e in q.spans)


def test_two_threads_run_one_plan() -> None:
    t = Toy(vector(1), vector(1000))
    params = counting(9, lambda t, c: [t.run(roll, c[0])], vector(1000))
    out = t.control("while", params, t.inputs, t.inputs)
    compiled = Compiled(t.done(*out))
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = data(1000, seed)
        for _ in range(20):
            if not np.array_equal(compiled(np.zeros(1, I8), x)[1], np.roll(x, 9)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


def test_chunks_are_whole_units_and_follow_from_cost_alone() -> None:
    assert chunk(1e3, 1000, 1) == 0 and chunk(1e9, 1, 1) == 0
    for cost in (1e4, 3e4, 1e7):
        for tiles in (2, 63, 64, 10_001):
            for unit in (1, 8, 64):
                share = chunk(cost, tiles, unit)
                assert share > 0 and share % unit == 0 and -(-tiles // share) <= 64
