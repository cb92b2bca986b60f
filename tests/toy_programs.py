"""Programs of toy kernels written in Python, for tests of plans.

The real driver runs them as planned; a naive executor, which gives every value memory of its own, says what
they mean. A toy kernel ruins its outputs before it reads its inputs (unless it may work in place), so that
memory shared wrongly shows."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fnn.kernels.calls import Call, ControlCall, Lowered, Value
from fnn.kernels.cpu.driver import Runner
from fnn.kernels.loops import Program
from fnn.kernels.plan import Plan

KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
I8, I4, B1 = np.dtype("int64"), np.dtype("int32"), np.dtype("bool")
RUINED = -777


class Toy:
    """Builds a Lowered of toy kernels. `Lowered` stands in for the graph too, so lowering is the identity."""

    def __init__(self, *inputs: Value):
        self.inputs = list(inputs)
        self.calls: list[Any] = []
        self.constants: list[Value] = []

    def run(
        self,
        f: Callable[..., Any],
        *reads: Value,
        like: Value | None = None,
        in_place: Sequence[Value] = (),
        label: str = "toy",
    ) -> Value:
        """out = f(*reads). in_place: operands it may overwrite."""
        out = Value(reads[0].shape, reads[0].dtype) if like is None else Value(like.shape, like.dtype)
        self.write(f, reads, out, 0, out.size, tuple([(out, v) for v in in_place]), label)
        return out

    def write(
        self,
        f: Callable[..., Any],
        reads: Sequence[Value],
        out: Value,
        lo: int,
        hi: int,
        in_place: tuple[tuple[Value, Value], ...] = (),
        label: str = "toy",
    ) -> None:
        """out[lo:hi] = f(*reads)"""
        key = f"toy{next(COUNTER)}"
        args = [(v, 0) for v in reads] + [(out, lo * out.dtype.itemsize)]
        KERNELS[key] = f, [(v.shape, v.dtype) for v in reads], ((hi - lo,), out.dtype), bool(in_place)
        self.calls.append(Call(label, key, Program, args, set(reads), {out}, 1, 100.0, in_place=in_place))

    def const(self, array: np.ndarray) -> Value:
        self.constants.append(Value(array.shape, array.dtype, array))
        return self.constants[-1]

    def control(
        self, kind: str, params: dict[str, Any], inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> list[Value]:
        made = [Value(v.shape, v.dtype) for v in outputs]
        self.calls.append(ControlCall(kind, params, list(inputs), made))
        return list(made)

    def done(self, *outputs: Value) -> Lowered:
        return Lowered(self.inputs, list(outputs), [v.shape for v in outputs], self.calls, self.constants)


KERNELS: dict[str, Any] = {}
COUNTER = iter(range(10**9))


def view(address: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    nbytes = int(np.prod(shape)) * dtype.itemsize
    if not nbytes:
        return np.zeros(shape, dtype)
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address)).view(dtype).reshape(shape)


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
        return [
            inputs[aliases[k]].view(d).reshape(s) if k in aliases else next(rest)
            for k, (s, d) in enumerate(self.types)
        ]


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
            target.reshape(-1)[start : start + shape[0]] = np.reshape(
                f(*[read(v) for v, _ in call.args[: len(reads)]]), -1
            )
        else:
            assert isinstance(call, ControlCall)
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


CONTROL = {
    "call": lambda p, xs: naive(p["graph"], xs),
    "cond": naive_cond,
    "while": naive_while,
    "scan": naive_scan,
}


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


def roll(x: np.ndarray) -> np.ndarray:
    return np.roll(x, 1)


def scanning(body: Lowered, consts: int, carry: int, length: int, reverse: bool = False) -> dict[str, Any]:
    return {
        "graph": body,
        "consts": consts,
        "carry": carry,
        "length": length,
        "reverse": reverse,
        "unroll": 1,
    }


# -- random programs
# ------------------------------------------------------------------------------------------

SIZES = (3, 520)  # below and above what is handed on by pointer
F = (
    (lambda x, y: 3 * x - y + 1, True),  # a function, and whether it works in place
    (lambda x, y: np.roll(x, 1) + 2 * y, False),
    (lambda x, y: np.minimum(x, y), True),
    (lambda x, y: x - y[::-1], False),
)


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
        kind = draw(
            st.sampled_from(
                ("run",) * 4 + ("parts", "const") + ("call", "cond", "while", "scan") * bool(depth)
            )
        )
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


def nested(
    draw: st.DrawFn, t: Toy, kind: str, n: int, pick: Callable[[int], list[Value]], depth: int
) -> list[Value]:
    wide, narrow = draw(st.integers(1, 3)), draw(st.integers(0, 2))

    def graph(inputs: int, outputs: int, *extra: Value) -> Lowered:
        return body(draw, n, [*(vector(n) for _ in range(inputs)), *extra], outputs, depth)

    if kind == "call":
        return t.control(kind, {"graph": graph(wide, 2)}, pick(wide), [vector(n)] * 2)
    if kind == "cond":
        (x,) = pick(1)
        index = t.run(lambda x: x.sum() % 3, x, like=Value((), I4))
        return t.control(
            kind, {"branches": tuple(graph(wide, 2) for _ in range(3))}, [index, *pick(wide)], [vector(n)] * 2
        )
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
    carry = step.control(
        "call", {"graph": inner}, step.inputs[:narrow] + step.inputs[narrow + 1 :], [vector(n)] * wide
    )
    params = {"test": test.done(more), "body": step.done(i, *carry), "cond_consts": 1, "body_consts": narrow}
    zero = t.const(np.zeros(1, I8))
    constants, start = pick(1 + narrow), pick(wide)
    return t.control(kind, params, [*constants, zero, *start], [vector(1), *start])[1:]
