"""Plans: calls become tables whose memory is shared only where no run can tell.

Programs here are made of toy kernels written in Python. The real driver calls them; a naive executor, which gives every
value memory of its own, says what they mean. A toy kernel ruins its outputs before it reads its inputs (unless it may work
in place), so that memory shared wrongly shows."""

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fnn.kernels.calls import Call, ControlCall, Lowered, Value
from fnn.kernels.cpu.driver import Runner
from fnn.kernels.plan import Plan, chunk

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
I8, I4, B1 = np.dtype("int64"), np.dtype("int32"), np.dtype("bool")
RUINED = -777


class Toy:
    """Builds a Lowered of toy kernels. `Lowered` stands in for the graph too, so lowering is the identity."""

    def __init__(self, *inputs: Value):
        self.inputs = list(inputs)
        self.calls: list[Any] = []
        self.constants: list[Value] = []

    def run(self, f: Callable[..., Any], *reads: Value, like: Value | None = None, in_place: Sequence[Value] = ()) -> Value:
        """out = f(*reads). in_place: operands it may overwrite."""
        out = Value(reads[0].shape, reads[0].dtype) if like is None else Value(like.shape, like.dtype)
        self.write(f, reads, out, 0, out.size, [(out, v) for v in in_place], first=True)
        return out

    def write(self, f: Callable[..., Any], reads: Sequence[Value], out: Value, lo: int, hi: int, in_place: Any = (), first: bool = True) -> None:
        """out[lo:hi] = f(*reads)"""
        key = f"toy{next(COUNTER)}"
        args = [(v, 0) for v in reads] + [(out, lo * out.dtype.itemsize)]
        KERNELS[key] = f, [(v.shape, v.dtype) for v in reads], ((hi - lo,), out.dtype), bool(in_place)
        self.calls.append(
            Call("toy", key, lambda: None, args, set(reads), {out}, 1, 100.0, in_place=tuple(in_place))  # type: ignore[arg-type,return-value]  # toys have no loops
        )

    def const(self, array: np.ndarray) -> Value:
        self.constants.append(Value(array.shape, array.dtype, array))
        return self.constants[-1]

    def control(self, kind: str, params: dict[str, Any], inputs: Sequence[Value], outputs: Sequence[Value]) -> list[Value]:
        made = [Value(v.shape, v.dtype) for v in outputs]
        self.calls.append(ControlCall(kind, params, list(inputs), made))
        return list(made)

    def done(self, *outputs: Value) -> Lowered:
        return Lowered(self.inputs, list(outputs), [v.shape for v in outputs], self.calls, self.constants)


KERNELS: dict[str, Any] = {}
COUNTER = iter(range(10**9))


def view(address: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    nbytes = int(np.prod(shape)) * dtype.itemsize
    raw = (ctypes.c_uint8 * nbytes).from_address(address) if nbytes else bytearray()
    return np.frombuffer(raw, dtype).reshape(shape)


def native(key: str) -> Any:
    """A toy kernel as a C function of the driver's signature."""
    f, reads, (shape, dtype), in_place = KERNELS[key]

    def call(arguments: int, lo: int, hi: int) -> None:
        pointers = (ctypes.c_int64 * (len(reads) + 1)).from_address(arguments)
        out = view(pointers[len(reads)], shape, dtype)
        operands = [view(p, *spec) for p, spec in zip(pointers, reads, strict=False)]
        if in_place:
            operands = [x.copy() for x in operands]
        out[...] = out.dtype.type(1) if dtype == B1 else RUINED
        out[...] = np.reshape(f(*operands), shape)

    return KERNEL(call)


class Compiled:
    """A plan on the real driver."""

    def __init__(self, lowered: Lowered, donated: Sequence[int] = ()):
        self.plan = Plan(lowered, lambda graph: graph, donated)  # type: ignore[arg-type,return-value]  # the toy's graph
        self.plan.table.check()
        self.native = {k: native(k) for k in self.plan.kernels}
        addresses = {k: ctypes.cast(f, ctypes.c_void_p).value for k, f in self.native.items()}
        self.runner = Runner(self.plan.table, addresses)  # type: ignore[arg-type]  # none of them is None
        self.types = [(s, v.dtype) for s, v in zip(lowered.shapes, lowered.outputs, strict=True)]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        aliases = self.plan.aliases
        fresh = [np.full(s, RUINED, d) for k, (s, d) in enumerate(self.types) if k not in aliases]
        self.runner.run(inputs, tuple(fresh))
        rest = iter(fresh)
        return [inputs[aliases[k]].view(d).reshape(s) if k in aliases else next(rest) for k, (s, d) in enumerate(self.types)]


def naive(lowered: Lowered, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a program means: every value has memory of its own."""
    memory = {v: np.array(x) for v, x in zip(lowered.inputs, inputs, strict=True)}

    def read(v: Value) -> np.ndarray:
        return v.const if v.const is not None else memory[v]  # type: ignore[return-value]  # it is an array

    for call in lowered.calls:
        if isinstance(call, Call):
            f, reads, (shape, _), _ = KERNELS[call.key]
            (out, at) = call.args[-1]
            target = memory.setdefault(out, np.full(out.shape, RUINED, out.dtype))
            start = at // out.dtype.itemsize
            target.reshape(-1)[start : start + shape[0]] = np.reshape(f(*[read(v) for v, _ in call.args[: len(reads)]]), -1)
        else:
            found = CONTROL[call.kind](call.params, [read(v).copy() for v in call.inputs])
            memory.update((v, x.reshape(v.shape)) for v, x in zip(call.outputs, found, strict=True))
    return [read(v).reshape(s) for v, s in zip(lowered.outputs, lowered.shapes, strict=True)]


def naive_cond(p: dict[str, Any], xs: list[np.ndarray]) -> list[np.ndarray]:
    return naive(p["branches"][min(max(int(xs[0]), 0), len(p["branches"]) - 1)], xs[1:])


def naive_while(p: dict[str, Any], xs: list[np.ndarray]) -> list[np.ndarray]:
    a, b = p["cond_consts"], p["cond_consts"] + p["body_consts"]
    carry = xs[b:]
    while naive(p["test"], [*xs[:a], *carry])[0]:
        carry = naive(p["body"], [*xs[a:b], *carry])
    return carry


def naive_scan(p: dict[str, Any], xs: list[np.ndarray]) -> list[np.ndarray]:
    consts, carry, stacks = xs[: p["consts"]], xs[p["consts"] :][: p["carry"]], xs[p["consts"] + p["carry"] :]
    body, length = p["graph"], p["length"]
    ys = [np.zeros((length, *v.shape), v.dtype) for v in body.outputs[p["carry"] :]]
    for k in reversed(range(length)) if p["reverse"] else range(length):
        out = naive(body, [*consts, *carry, *[x[k] for x in stacks]])
        carry = out[: p["carry"]]
        for y, new in zip(ys, out[p["carry"] :], strict=True):
            y[k] = new
    return [*carry, *ys]


CONTROL = {"call": lambda p, xs: naive(p["graph"], xs), "cond": naive_cond, "while": naive_while, "scan": naive_scan}


def agree(lowered: Lowered, *inputs: np.ndarray, donated: Sequence[int] = ()) -> Plan:
    """Run both ways, twice; check the results and that inputs that are not donated stay as they were."""
    compiled = Compiled(lowered, donated)
    expected = naive(lowered, inputs)
    for _ in range(2):
        given = [np.array(x) for x in inputs]
        found = compiled(*given)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
        for k, (x, y) in enumerate(zip(given, inputs, strict=True)):
            if k not in donated:
                np.testing.assert_array_equal(x, y)
    return compiled.plan


def vector(n: int = 4) -> Value:
    return Value((n,), I8)


def data(n: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 9, n)


def copies(plan: Plan) -> int:
    """How many rows copy."""
    return sum(row[5] == 7 for row in plan.table.rows.tolist())


add = np.add


def roll(x: np.ndarray) -> np.ndarray:
    return np.roll(x, 1)


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
    assert plan.memory.arena == 0 and plan.memory.in_place == 3 and copies(plan) == 0


def test_in_place_is_refused_while_the_operand_is_needed() -> None:
    t = Toy(vector())
    a = t.run(roll, t.inputs[0])
    b = t.run(lambda x: x + 1, a, in_place=(a,))
    plan = agree(t.done(t.run(add, a, b)), data())
    assert plan.memory.in_place == 0


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
    (out,) = t.control("cond", {"branches": (branch(np.negative), branch(roll))}, [t.inputs[0], before], [vector()])
    for chosen in (False, True):
        agree(t.done(t.run(add, out, before)), np.array(chosen), data())


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
        a, b, c = carry
        return [b, t.run(lambda a, b: a - 2 * np.roll(b, 1), a, b), a, ]

    t = Toy(vector(1), vector(n), vector(n), vector(n))
    params = counting(limit, body, vector(n), vector(n), vector(n))
    out = t.control("while", params, t.inputs, t.inputs)
    agree(t.done(*out, t.run(roll, out[1])), np.zeros(1, I8), data(n), data(n, 1), data(n, 2))


def test_large_carries_are_not_copied_every_round() -> None:
    """A wave equation: (u0, u1) -> (u1, u2)."""
    t = Toy(vector(1), vector(1000), vector(1000))
    params = counting(7, lambda t, c: [c[1], t.run(lambda a, b: 2 * np.roll(b, 1) - a, *c)], vector(1000), vector(1000))
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


def scanning(body: Lowered, consts: int, carry: int, length: int, reverse: bool = False) -> dict[str, Any]:
    return {"graph": body, "consts": consts, "carry": carry, "length": length, "reverse": reverse, "unroll": 1}


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
    out = t.control("scan", scanning(lowered, 1, 2, length, reverse), t.inputs, [vector(n), vector(n), *stacked])
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
    params = scanning(body.done(w, body.run(add, w, h, in_place=(h,))), 0, 2, 5)
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


# -- random programs ------------------------------------------------------------------------------------------

SIZES = (3, 520)  # below and above what is handed on by pointer
F = (
    (lambda x, y: 3 * x - y + 1, True), (lambda x, y: np.roll(x, 1) + 2 * y, False), (lambda x, y: np.minimum(x, y), True),
    (lambda x, y: x - y[::-1], False),
)  # fmt: skip


@st.composite
def programs(draw: st.DrawFn) -> tuple[Lowered, tuple[int, ...]]:
    n = draw(st.sampled_from(SIZES))
    inputs = [vector(n) for _ in range(draw(st.integers(1, 3)))]
    lowered = body(draw, n, inputs, draw(st.integers(1, 4)), depth=draw(st.integers(0, 3)))
    donated = tuple(k for k in range(len(inputs)) if draw(st.booleans()))
    return lowered, donated


def body(draw: st.DrawFn, n: int, inputs: list[Value], outputs: int, depth: int) -> Lowered:
    """A random program over vectors of n numbers."""
    t = Toy(*inputs)
    known = list(inputs)

    def pick(k: int = 1) -> list[Value]:
        # mostly what was made last, so that operands die
        return [known[-1 - min(draw(st.integers(0, 5)), len(known) - 1)] for _ in range(k)]

    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(("run",) * 4 + ("parts", "const") + ("call", "cond", "while", "scan") * bool(depth)))
        if kind == "run":
            f, elementwise = draw(st.sampled_from(F))
            x, y = pick(2)
            known.append(t.run(f, x, y, in_place=(x, y) if elementwise else ()))
        elif kind == "parts":
            out, cut = vector(n), draw(st.integers(1, n - 1))
            x, y = pick(2)
            t.write(lambda x, c=cut: x[:c] + 1, [x], out, 0, cut)
            t.write(lambda x, c=cut: x[c:] - 1, [y], out, cut, n)
            known.append(out)
        elif kind == "const":
            known.append(t.const(data(n, draw(st.integers(0, 99)))))
        else:
            known += nested(draw, t, kind, n, pick, depth - 1)
    return t.done(*pick(outputs))


def nested(draw: st.DrawFn, t: Toy, kind: str, n: int, pick: Callable[[int], list[Value]], depth: int) -> list[Value]:
    wide, narrow = draw(st.integers(1, 3)), draw(st.integers(0, 2))

    def graph(inputs: int, outputs: int, *extra: Value) -> Lowered:
        return body(draw, n, [*(vector(n) for _ in range(inputs)), *extra], outputs, depth)

    if kind == "call":
        return t.control(kind, {"graph": graph(wide, 2)}, pick(wide), [vector(n)] * 2)
    if kind == "cond":
        (x,) = pick(1)
        index = t.run(lambda x: x.sum() % 3, x, like=Value((), I4))
        return t.control(kind, {"branches": tuple(graph(wide, 2) for _ in range(3))}, [index, *pick(wide)], [vector(n)] * 2)
    if kind == "scan":
        length = draw(st.integers(0, 4))
        lowered = graph(narrow + wide + 1, wide + 2)
        params = scanning(lowered, narrow, wide, length, draw(st.booleans()))
        (row,) = pick(1)
        xs = t.run(lambda x: np.add.outer(np.arange(length), x), row, like=Value((length, n), I8))
        stacked = [Value((length, n), I8)] * 2
        out = t.control(kind, params, [*pick(narrow + wide), xs], [*[vector(n)] * wide, *stacked])
        for ys in out[wide:]:
            out.append(t.run(lambda y: y.sum(0), ys, like=vector(n)))
        return [v for v in out if v.shape == (n,)]
    limit = draw(st.integers(0, 4))
    test = Toy(vector(n), vector(1), *[vector(n) for _ in range(wide)])
    more = test.run(lambda c, i, x: (i[0] < limit) & (x[0] != c[0] + 1), *test.inputs[:3], like=Value((), B1))
    inner = graph(narrow + wide, wide)
    step = Toy(*[vector(n) for _ in range(narrow)], vector(1), *[vector(n) for _ in range(wide)])
    i = step.run(lambda i: i + 1, step.inputs[narrow])
    carry = step.control("call", {"graph": inner}, step.inputs[:narrow] + step.inputs[narrow + 1 :], [vector(n)] * wide)
    params = {"test": test.done(more), "body": step.done(i, *carry), "cond_consts": 1, "body_consts": narrow}
    zero = t.const(np.zeros(1, I8))
    constants, start = pick(1 + narrow), pick(wide)
    return t.control(kind, params, [*constants, zero, *start], [vector(1), *start])[1:]


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
