"""Graphs over values in registers: every element of every array is a loop value of its own.

Structure costs nothing here: it only says which values stand where. Elementwise operations are recorded once
per element, reductions and contractions unroll, loops and branches keep their state in variables. A primitive
with a loop program of its own, and whatever is read by a computed index, goes through an array on the stack.
What has more operations than a kernel should hold raises `TooLarge`."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.core.lowering import Contraction, Elementwise, IndexMap, Iota, Kernel, Loop, Reduction
from fnn.kernels.expansions import weight
from fnn.kernels.loops import INDEX, Buffer, Builder, Value, Variable, code_of, computed
from fnn.kernels.loops import Operand as Number
from fnn.kernels.operand import Operand
from fnn.kernels.ops import Scalar, identity
from fnn.kernels.structure import common_dtype
from fnn.records import record

CHAIN = 4  # terms of a sum that are added one after another; longer sums are trees of such
STACK = 4096  # elements of an array on the stack
LITERAL = 256  # elements of a constant array that are written into the kernel


class TooLarge(Exception):
    """A body does not fit into registers."""


@record(frozen=True)
class Stored:
    """An array that lies contiguously in a buffer, from `base` on; but its first axis advances by `step`, if
    that is given."""

    buffer: Buffer
    base: Number
    shape: tuple[int, ...]
    step: Number | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def row(self, index: Value) -> Stored:
        """The slice at an index of the first axis."""
        shape = self.shape[1:]
        step = math.prod(shape) if self.step is None else self.step
        return Stored(self.buffer, index * step + self.base, shape)


Held = np.ndarray | Stored  # an object array of loop values, or an array in memory


def objects(items: Sequence[Value], shape: Sequence[int]) -> np.ndarray:
    """An object array; of shape () too."""
    out = np.empty(len(items), object)
    out[:] = items
    return out.reshape(tuple(shape))


class BodyBuilder(Builder):
    """A builder in which the tiles of a kernel within the kernel are an ordinary loop, and its sizes
    constants. Within a lanes loop there are variables of both sorts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner_tiles: int | None = None

    @contextmanager
    def tiles(self) -> Iterator[Value]:
        with super().tiles() if self.inner_tiles is None else self.loop(0, self.inner_tiles) as index:
            yield index

    def size(self, value: int) -> Value:
        return super().size(value) if self.inner_tiles is None else self.const(value, INDEX)

    def state(self, dtype: str, value: Number, varying: bool) -> Variable:
        """A variable; within a lanes loop, of each lane or of all together."""
        outer, self.in_lanes = self.in_lanes, self.in_lanes if varying else 0
        out = self.variable(dtype, value)
        self.in_lanes = outer
        return out


class Body:
    """Records graphs. budget: how many more operations may be recorded, about. argument(array): a buffer
    that holds a constant. varying: the variables of the graphs that differ from lane to lane, if this is
    within a lanes loop."""

    def __init__(
        self,
        b: BodyBuilder,
        budget: int,
        argument: Callable[[np.ndarray], Buffer],
        varying: frozenset[Var] = frozenset(),
    ):
        self.b, self.budget, self.argument, self.varying = b, budget, argument, varying
        self.constants: dict[tuple[str, str], Value] = {}
        self.kept: dict[int, Stored] = {}
        self.updates: frozenset[Equation] = frozenset()  # that write where their operand lies

    def spend(self, operations: int) -> None:
        self.budget -= operations
        if self.budget < 0:
            raise TooLarge

    # -- values
    def constant(self, value: Any, dtype: np.dtype, target: np.dtype | None = None) -> Value:
        """A number, rounded to dtype and then to target."""
        scalar = Scalar(value, dtype).cast(target or dtype)
        code = computed(code_of(scalar.dtype))
        return self.constants.setdefault((scalar.text, code), self.b.const(scalar.number, code))

    def literal(self, atom: Literal, target: np.dtype | None = None) -> Held:
        array, dtype = np.asarray(atom.value), atom.aval.dtype
        if array.size and not any(array.strides):
            return objects([self.constant(array.reshape(-1)[:1], dtype, target)] * array.size, array.shape)
        if array.size > LITERAL:
            stored = self.kept.get(id(array))
            if stored is None:
                stored = self.kept[id(array)] = Stored(self.argument(array), 0, array.shape)
            return stored
        flat = array.reshape(-1)
        return objects([self.constant(flat[i : i + 1], dtype, target) for i in range(flat.size)], array.shape)

    def elements(self, x: Held) -> np.ndarray:
        """x as values; loaded here if it lies in memory."""
        if isinstance(x, np.ndarray):
            return x
        self.spend(x.size)
        return objects([self.b.load(x.buffer, self.b.op("add", self.at(x.base), i)) for i in range(x.size)],
                       x.shape)  # fmt: skip

    def element(self, x: Held, i: int) -> Value:
        """The element of this number."""
        if isinstance(x, np.ndarray):
            return x.reshape(-1)[i]
        self.spend(1)
        return self.b.load(x.buffer, self.b.op("add", self.at(x.base), i))

    def scalar(self, x: Held) -> Value:
        return self.elements(x).reshape(-1)[0]

    def at(self, place: Number) -> Value:
        return self.b.as_value(place, INDEX)

    def stored(self, x: Held, dtype: np.dtype) -> Stored:
        """x in memory: on the stack, if it is not there yet."""
        if isinstance(x, Stored):
            return x
        room = self.local(x.shape, dtype)
        self.store(room, x)
        return room

    def local(self, shape: Sequence[int], dtype: np.dtype) -> Stored:
        size = math.prod(shape)
        if size > STACK:
            raise TooLarge
        return Stored(self.b.local(code_of(dtype), max(1, size)), 0, tuple(shape))

    def store(self, target: Stored, x: Held) -> None:
        """Write all of x. What lies in memory is copied by a loop."""
        base = self.at(target.base)
        if isinstance(x, np.ndarray):
            self.spend(x.size)
            for i, value in enumerate(x.reshape(-1)):
                self.b.store(target.buffer, base + i, value)
        elif x.size:
            source = self.at(x.base)
            with self.b.lanes(0, x.size) as i:
                self.b.store(target.buffer, base + i, self.b.load(x.buffer, source + i))

    def variables(self, values: np.ndarray, like: Var) -> list[Variable]:
        return [self.b.state(v.dtype, v, like in self.varying) for v in values.reshape(-1)]

    # -- graphs
    def graph(self, graph: Graph, inputs: Sequence[Held]) -> list[Held]:
        env: dict[Var, Held] = dict(zip(graph.inputs, inputs, strict=True))

        def read(atom: Atom) -> Held:
            return self.literal(atom) if isinstance(atom, Literal) else env[atom]

        for eqn in graph.equations:
            way = eqn.primitive.lower
            rule = _RULES.get(type(way))
            if rule is None or any(v.aval.dtype.kind == "c" or computed(code_of(v.aval.dtype)) != code_of(v.aval.dtype)
                                   for v in (*eqn.inputs, *eqn.outputs)):  # fmt: skip
                raise TooLarge
            env.update(zip(eqn.outputs, rule(self, eqn, way, list(map(read, eqn.inputs))), strict=True))
        return [read(a) for a in graph.outputs]

    def elementwise(self, eqn: Equation, way: Elementwise, ins: list[Held]) -> list[Held]:
        aval, avals = eqn.outputs[0].aval, [a.aval for a in eqn.inputs]
        if aval.size > self.budget:
            raise TooLarge
        target, columns = common_dtype(avals, aval), []
        for x, atom in zip(ins, eqn.inputs, strict=True):
            weak = atom.aval.weak_type and atom.aval.dtype != target
            if weak and isinstance(atom, Literal):
                x = self.literal(atom, target)
            values = list(self.elements(x).reshape(-1))
            if weak:
                values = [self.b.cast(v, code_of(target)) for v in values]
            columns.append(values * aval.size if len(values) == 1 else values)
        rows = list(zip(*columns, strict=True))
        known: dict[tuple[Value, ...], list[Value]] = {}  # equal elements are computed once
        for row in dict.fromkeys(rows):
            before = len(self.b.block.items)
            out = way.expr(self.b, *row, **eqn.params)
            if not known:
                self.spend(weight(self.b.block.items[before:]) * len(set(rows)))
            parts = out if eqn.primitive.multiple else [out]
            known[row] = [
                self.b.as_value(part, code_of(v.aval.dtype))
                for part, v in zip(parts, eqn.outputs, strict=True)
            ]
        return [objects([known[row][k] for row in rows], v.aval.shape) for k, v in enumerate(eqn.outputs)]

    def index_map(self, eqn: Equation, way: IndexMap, ins: list[Held]) -> list[Held]:
        """The primitive itself, run on the numbers of the elements, says which of them stand where."""
        aval = eqn.outputs[0].aval
        if way.kind in ("reshape", "identity") and isinstance(ins[0], Stored):
            return [Stored(ins[0].buffer, ins[0].base, aval.shape)]
        if aval.size > STACK:
            raise TooLarge
        starts, numbers = [0], []
        for x in ins:
            if isinstance(x, np.ndarray) and x.size > STACK:
                raise TooLarge
            numbers.append(np.arange(starts[-1], starts[-1] + x.size).reshape(x.shape))
            starts.append(starts[-1] + x.size)
        chosen = np.asarray(eqn.primitive.evaluate(*numbers, **eqn.params)).reshape(-1)
        values: dict[int, Value] = {}
        for i in chosen:
            if i not in values:
                k = int(np.searchsorted(starts, i, "right")) - 1
                value = self.element(ins[k], int(i) - starts[k])
                weak = eqn.inputs[k].aval.weak_type
                values[i] = self.b.cast(value, code_of(aval.dtype)) if weak else value
        return [objects([values[i] for i in chosen], aval.shape)]

    def iota(self, eqn: Equation, way: Iota, ins: list[Held]) -> list[Held]:
        aval = eqn.outputs[0].aval
        if aval.size > STACK:
            raise TooLarge
        numbers = np.asarray(eqn.primitive.evaluate(**eqn.params)).reshape(-1)
        return [objects([self.constant(n, aval.dtype) for n in numbers], aval.shape)]

    def reduction(self, eqn: Equation, way: Reduction, ins: list[Held]) -> list[Held]:
        given, aval, axes = eqn.inputs[0].aval, eqn.outputs[0].aval, eqn.params["axes"]
        self.spend(given.size)
        code, x = code_of(aval.dtype), self.elements(ins[0])
        count = math.prod([given.shape[d] for d in axes])
        rows = np.moveaxis(x, axes, range(len(axes))).reshape(count, aval.size)
        if not count:
            return [objects([self.constant(identity(way.combine, aval.dtype), aval.dtype)] * aval.size,
                            aval.shape)]  # fmt: skip

        def combined(terms: Sequence[Value]) -> Value:
            return self.fold(way.combine, [self.b.cast(t, code) for t in terms])

        return [objects([combined(list(column)) for column in rows.T], aval.shape)]

    def fold(self, combine: str, terms: Sequence[Value]) -> Value:
        """Terms combined: short runs in order, the runs as a tree."""
        if len(terms) > CHAIN:
            half = -(-len(terms) // (2 * CHAIN)) * CHAIN
            return self.b.op(combine, self.fold(combine, terms[:half]), self.fold(combine, terms[half:]))
        out = terms[0]
        for term in terms[1:]:
            out = self.b.op(combine, out, term)
        return out

    def contraction(self, eqn: Equation, way: Contraction, ins: list[Held]) -> list[Held]:
        aval = eqn.outputs[0].aval
        (xc, yc), (xb, yb) = eqn.params["contract"], eqn.params["batch"]
        x_shape, y_shape = (a.aval.shape for a in eqn.inputs)
        count, batch = math.prod([x_shape[d] for d in xc]), math.prod([x_shape[d] for d in xb])
        self.spend(2 * aval.size * max(1, count))
        if not aval.size or not count:
            zero = self.constant(identity("add", aval.dtype), aval.dtype)
            return [objects([zero] * aval.size, aval.shape)]
        x, y = (self.elements(v) for v in ins)
        xf = [d for d in range(len(x_shape)) if d not in (*xc, *xb)]
        yf = [d for d in range(len(y_shape)) if d not in (*yc, *yb)]
        left = x.transpose(*xb, *xf, *xc).reshape(batch, -1, count)
        right = y.transpose(*yb, *yf, *yc).reshape(batch, -1, count)
        code = code_of(aval.dtype)

        def product(p: Value, q: Value) -> Value:
            return self.b.op("mul", self.b.cast(p, code), self.b.cast(q, code))

        out = [
            self.fold("add", [product(p, q) for p, q in zip(row, column, strict=True)])
            for part in range(batch)
            for row in left[part]
            for column in right[part]
        ]
        return [objects(out, aval.shape)]

    def kernel(self, eqn: Equation, way: Kernel, ins: list[Held]) -> list[Held]:
        """A primitive's own loop program, over arrays on the stack."""
        b, in_avals, out_avals = self.b, [a.aval for a in eqn.inputs], [v.aval for v in eqn.outputs]
        places = dict(way.in_place) if eqn in self.updates else {}
        outs = [
            self.stored(ins[places[k]], a.dtype) if k in places else self.local(a.shape, a.dtype)
            for k, a in enumerate(out_avals)
        ]
        for out, source in way.in_place:
            if out not in places:
                self.store(outs[out], ins[source])
                ins[source] = outs[out]
        operands = []
        for x, aval in zip(ins, in_avals, strict=True):
            if isinstance(x, Stored) and not (type(x.base) is int and x.base == 0):
                x = self.elements(x)
            operands.append(Operand(self.stored(x, aval.dtype).buffer, aval.shape, code_of(aval.dtype)))
        results = [Operand(o.buffer, o.shape, o.buffer.dtype) for o in outs]
        for code, length in way.workspace(in_avals, out_avals, eqn.params) if way.workspace else ():
            if length > STACK:
                raise TooLarge
            results.append(Operand(b.local(code, max(1, length)), (length,), code))
        outer, b.inner_tiles = b.inner_tiles, way.tiles(in_avals, out_avals, eqn.params)
        way.write(b, operands, results, eqn.params)
        b.inner_tiles = outer
        return list(outs)

    # -- loops and branches
    def control(self, eqn: Equation, way: Loop, ins: list[Held]) -> list[Held]:
        if way.kind == "scan":
            carry, p = eqn.params["carry"], eqn.params
            stacked = [self.local(v.aval.shape, v.aval.dtype) for v in eqn.outputs[carry:]]
            return [*self.scan(p, ins, p["length"], stacked), *stacked]
        if way.kind == "cond":
            return self.cond(eqn.params, ins, eqn.outputs)
        return (self.call if way.kind == "call" else self.while_)(eqn.params, ins)

    def call(self, params: dict[str, Any], ins: list[Held]) -> list[Held]:
        return self.graph(params["graph"], ins)

    def cond(self, params: dict[str, Any], ins: list[Held], outs: Sequence[Var]) -> list[Held]:
        branches = params["branches"]
        index, last = self.scalar(ins[0]), len(branches) - 1
        if not last:
            return self.graph(branches[0], ins[1:])
        if index.dtype == "b1":
            index = self.b.cast(index, "i4")
        results = [
            [self.b.state(code_of(v.aval.dtype), 0, v in self.varying) for _ in range(v.aval.size)]
            for v in outs
        ]
        for k, branch in enumerate(branches):
            mine = index <= 0 if k == 0 else index >= last if k == last else index.eq(k)
            with self.b.when(mine):
                self.assign(results, self.graph(branch, ins[1:]))
        return [self.read(cells, v.aval.shape) for cells, v in zip(results, outs, strict=True)]

    def while_(self, params: dict[str, Any], ins: list[Held], memory: Container[int] = ()) -> list[Held]:
        """memory: the carries that are in memory, and are updated there."""
        first, second = params["cond_consts"], params["cond_consts"] + params["body_consts"]
        body = params["body"]
        start = [x if k in memory else self.elements(x) for k, x in enumerate(ins[second:])]
        cells = self.cells(body.inputs[second - first :], body.outputs, start)

        with self.b.repeat_while() as loop:
            carry = self.now(cells, start)
            loop.test(self.scalar(self.graph(params["test"], [*ins[:first], *carry])[0]))
            self.assign(cells, self.graph(body, [*ins[first:second], *carry]))
        return self.now(cells, start)

    def scan(
        self,
        params: dict[str, Any],
        ins: list[Held],
        length: Number,
        stacked: Sequence[Stored],
        memory: Container[int] = (),
    ) -> list[Held]:
        """The carry at the end; the rest of the results is written to `stacked`. memory: the carries that are
        in memory, and are updated there."""
        b, graph, consts, carry = self.b, params["graph"], params["consts"], params["carry"]
        used = {a for e in graph.equations for a in e.inputs} | set(graph.outputs)
        slices = graph.inputs[consts + carry :]
        xs = [self.stored(x, v.aval.dtype) if v in used else None
              for x, v in zip(ins[consts + carry :], slices, strict=True)]  # fmt: skip
        start = [x if k in memory else self.elements(x) for k, x in enumerate(ins[consts : consts + carry])]
        cells = self.cells(graph.inputs[consts : consts + carry], graph.outputs[:carry], start)
        n = self.at(length)
        with b.loop(n - 1, -1, -1) if params["reverse"] else b.loop(0, n) as i:
            rows: list[Held] = [
                np.empty(v.aval.shape, object) if x is None else self.elements(x.row(i))
                for x, v in zip(xs, slices, strict=True)
            ]
            found = self.graph(graph, [*ins[:consts], *self.now(cells, start), *rows])
            for y, whole in zip(found[carry:], stacked, strict=True):
                self.store(whole.row(i), y)
            self.assign(cells, found[:carry])
        return self.now(cells, start)

    def cells(
        self, inputs: Sequence[Var], outputs: Sequence[Atom], start: Sequence[Held]
    ) -> list[list[Variable]]:
        """Variables for a carry; none for what a body hands on as it is, or updates in memory."""
        return [
            [] if out is v or isinstance(x, Stored) else self.variables(x, v)
            for v, out, x in zip(inputs, outputs, start, strict=True)
        ]

    def now(self, cells: Sequence[Sequence[Variable]], start: Sequence[Held]) -> list[Held]:
        """What a carry is at this point."""
        return [self.read(c, x.shape) if c else x for c, x in zip(cells, start, strict=True)]

    def assign(self, cells: Sequence[Sequence[Variable]], found: Sequence[Held]) -> None:
        """All at once: every value is there before the first variable changes."""
        values = [self.elements(x).reshape(-1) if c else () for c, x in zip(cells, found, strict=True)]
        for variables, new in zip(cells, values, strict=True):
            for variable, value in zip(variables, new, strict=True):
                variable.set(value)

    def read(self, cells: Sequence[Variable], shape: Sequence[int]) -> np.ndarray:
        return objects([c.value for c in cells], shape)


_RULES: dict[type, Callable[..., list[Held]]] = {
    Elementwise: Body.elementwise,
    IndexMap: Body.index_map,
    Iota: Body.iota,
    Reduction: Body.reduction,
    Contraction: Body.contraction,
    Kernel: Body.kernel,
    Loop: Body.control,
}
