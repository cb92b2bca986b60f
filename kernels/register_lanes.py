"""Bodies of loops that do the same for many elements, each on its own.

Where the leading axes of every array in a body are never mixed, the body is one of single elements, over
which the loop may run on its own: `lanes_of` finds such axes and writes that body. A while loop under vmap
runs until the last element is done and leaves the others alone from when they are (`select`s by a mask); here
each stops when it is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.core.lowering import Contraction, Elementwise, IndexMap, Iota, Loop, Reduction
from fnn.records import record

Shape = tuple[int, ...]
PRODUCTS = 32  # of a contraction per element; more of them are faster as one contraction of all elements


class Mixed(Exception):
    """The elements do not stay on their own."""


@record(frozen=True)
class Lanes:
    """A loop over elements. prefix: the axes they are numbered by; params: the equation's, for one element;
    varying: those variables of its graphs that differ from element to element; state: how many numbers an
    element has at the start of a step."""

    prefix: Shape
    params: dict[str, Any]
    varying: frozenset[Var]
    state: int

    @property
    def count(self) -> int:
        return math.prod(self.prefix)

    def marks(self, shape: Shape, stacked: bool = False) -> bool:
        """Has an array an element, or several, per lane? stacked: its first axis is that of the steps."""
        return shape[stacked:][: len(self.prefix)] == self.prefix

    @property
    def width(self) -> int:
        """How many vectors are walked at a time: as many as there are, while their state fits into
        registers."""
        fits = 4 if self.state <= 6 else 2 if self.state <= 12 else 1
        return min(fits, 4 if self.count >= 64 else 2 if self.count >= 32 else 1)


def lanes_of(
    kind: str, params: dict[str, Any], state: Sequence[Aval], least: int, inputs: Sequence[Hashable]
) -> Lanes | None:
    """The loop as one over elements, if it is one, and they are not fewer than `least`. state: the types of
    its carry; inputs: what tells its operands apart."""
    shapes = [a.shape for a in state if a.shape]
    columns = zip(*shapes, strict=False)
    longest = tuple([column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)])
    for n in range(len(longest), 0, -1):
        if math.prod(longest[:n]) < least:
            break
        try:
            return _lanes(kind, params, longest[:n], inputs)
        except Mixed:
            continue
    return None


def _lanes(kind: str, params: dict[str, Any], prefix: Shape, inputs: Sequence[Hashable]) -> Lanes:
    split = _Split(prefix)
    if kind == "scan":
        new = {"graph": split.graph(params["graph"])}
    else:
        new = split.loop(params, inputs)
    body: Graph = new["graph"] if kind == "scan" else new["body"]
    state = sum(v.aval.size for v in body.inputs if v in split.varying)
    return Lanes(prefix, {**params, **new}, frozenset(split.varying), state)


class _Split:
    """Graphs for one element."""

    def __init__(self, prefix: Shape):
        self.prefix, self.n = prefix, len(prefix)
        self.varying: set[Var] = set()

    def marked(self, aval: Aval) -> bool:
        return aval.shape[: self.n] == self.prefix

    def aval(self, aval: Aval) -> Aval:
        return aval.update(shape=aval.shape[self.n :]) if self.marked(aval) else aval

    def variable(self, old: Var) -> Var:
        new = Var(self.aval(old.aval))
        if self.marked(old.aval):
            self.varying.add(new)
        return new

    def literal(self, atom: Literal) -> Literal:
        if not self.marked(atom.aval):
            return atom
        array = np.asarray(atom.value)
        if any(array.strides):
            raise Mixed
        return Literal(array[(0,) * self.n], self.aval(atom.aval))

    def graph(self, graph: Graph, true: Iterable[Atom] = ()) -> Graph:
        """true: variables that are known to hold only True."""
        env: dict[Var, Atom] = {v: self.variable(v) for v in graph.inputs}
        for v in true:
            assert isinstance(v, Var)
            aval = self.aval(v.aval)
            env[v] = Literal(np.broadcast_to(np.True_, aval.shape), aval)

        def read(atom: Atom) -> Atom:
            return self.literal(atom) if isinstance(atom, Literal) else env[atom]

        equations = []
        for eqn in graph.equations:
            if all(v in env for v in eqn.outputs):
                continue
            params = self.params(eqn)
            new = Equation(
                eqn.primitive, [read(a) for a in eqn.inputs], [self.variable(v) for v in eqn.outputs], params,
                eqn.source,
            )  # fmt: skip
            self.check(new)
            env.update(zip(eqn.outputs, new.outputs, strict=True))
            equations.append(new)
        inputs = [v for v in map(env.__getitem__, graph.inputs) if isinstance(v, Var)]  # all of them
        return Graph(inputs, [read(a) for a in graph.outputs], equations)

    def check(self, eqn: Equation) -> None:
        """Do the parameters for one element give the type of one element?"""
        found = eqn.primitive.out_aval(tuple([a.aval for a in eqn.inputs]), eqn.params)
        for v, aval in zip(eqn.outputs, found if eqn.primitive.multiple else [found], strict=True):
            if (v.aval.shape, v.aval.dtype) != (aval.shape, aval.dtype):
                raise Mixed

    def params(self, eqn: Equation) -> dict[str, Any]:
        """An equation's parameters for one element."""
        rule = _RULES.get(type(eqn.primitive.lower))
        if rule is None:
            raise Mixed
        ins = [self.marked(a.aval) for a in eqn.inputs]
        outs = [self.marked(v.aval) for v in eqn.outputs]
        loop = isinstance(eqn.primitive.lower, Loop)
        if not loop and not any(ins) and not any(outs):
            return eqn.params
        if not loop and any(ins) and not all(outs):
            raise Mixed
        return rule(self, eqn, eqn.params, ins)

    def elementwise(self, eqn: Equation, p: dict[str, Any], ins: Sequence[bool]) -> dict[str, Any]:
        return p

    def iota(self, eqn: Equation, p: dict[str, Any], ins: Sequence[bool]) -> dict[str, Any]:
        return {**p, "shape": p["shape"][self.n :], "dimension": self.axis(p["dimension"])}

    def reduction(self, eqn: Equation, p: dict[str, Any], ins: Sequence[bool]) -> dict[str, Any]:
        return {**p, "axes": self.axes(p["axes"])}

    def index_map(self, eqn: Equation, p: dict[str, Any], ins: Sequence[bool]) -> dict[str, Any]:
        n, kind = self.n, eqn.primitive.lower.kind  # type: ignore[union-attr]  # an IndexMap
        if kind == "identity":
            return p
        if kind == "broadcast":
            axes = tuple(p["axes"])
            if ins[0]:
                self.leading(axes)
                axes = axes[n:]
            return {**p, "shape": p["shape"][n:], "axes": self.axes(axes)}
        if not ins[0]:
            raise Mixed
        if kind == "reshape":
            return {**p, "shape": p["shape"][n:]}
        if kind == "transpose":
            self.leading(p["perm"])
            return {**p, "perm": self.axes(p["perm"][n:])}
        if kind == "rev":
            return {**p, "axes": self.axes(p["axes"])}
        if kind == "concatenate":
            return {**p, "axis": self.axis(p["axis"])}
        if kind == "slice":
            same = p["start"][:n] == (0,) * n and p["limit"][:n] == self.prefix and p["step"][:n] == (1,) * n
            names = ("start", "limit", "step")
        else:
            same = all(p[name][:n] == (0,) * n for name in ("low", "high", "interior"))
            names = ("low", "high", "interior")
        if not same:
            raise Mixed
        return {**p, **{name: p[name][n:] for name in names}}

    def contraction(self, eqn: Equation, p: dict[str, Any], ins: Sequence[bool]) -> dict[str, Any]:
        (xc, yc), (xb, yb) = p["contract"], p["batch"]
        terms = math.prod([eqn.inputs[0].aval.shape[d] for d in xc])
        if terms * math.prod(eqn.outputs[0].aval.shape[self.n :]) > PRODUCTS:
            raise Mixed
        if all(ins):
            self.leading(xb)
            self.leading(yb)
            n = self.n
            return {
                **p,
                "contract": (self.axes(xc), self.axes(yc)),
                "batch": (self.axes(xb[n:]), self.axes(yb[n:])),
            }
        if not ins[0] or xb or yb:  # free axes of the left operand come first in the result
            raise Mixed
        return {**p, "contract": (self.axes(xc), yc)}

    def control(self, eqn: Equation, p: dict[str, Any], ins: Sequence[bool]) -> dict[str, Any]:
        kind = eqn.primitive.lower.kind  # type: ignore[union-attr]  # a Loop
        if kind == "call":
            return {**p, "graph": self.graph(p["graph"])}
        if kind == "cond":
            if ins[0]:
                raise Mixed
            return {**p, "branches": tuple([self.graph(g) for g in p["branches"]])}
        if kind == "while":
            return {**p, **self.loop(p, eqn.inputs)}
        known = p["consts"] + p["carry"]
        if any(ins[known:]) or len(eqn.outputs) > p["carry"]:
            raise Mixed  # stacks of one element would have to be found in memory
        if any(self.marked(v.aval) for v in p["graph"].inputs[known:]):
            raise Mixed
        return {**p, "graph": self.graph(p["graph"])}

    def axis(self, d: int) -> int:
        if d < self.n:
            raise Mixed
        return d - self.n

    def axes(self, axes: Iterable[int]) -> Shape:
        return tuple([self.axis(d) for d in axes])

    def leading(self, axes: Sequence[int]) -> None:
        if tuple(axes[: self.n]) != tuple(range(self.n)):
            raise Mixed

    # -- loops that end for each element by itself
    def loop(self, p: dict[str, Any], inputs: Sequence[Hashable]) -> dict[str, Any]:
        """test and body of a while loop. inputs: what tells its operands apart."""
        test, body, first, fixed = p["test"], p["body"], p["cond_consts"], p["body_consts"]
        running = self.reduced(test)
        if running is None:
            return {"test": self.graph(test), "body": self.graph(body)}
        carry = [("carry", k) for k in range(len(body.outputs))]
        meanings = _Meanings()
        wanted = meanings.of(test, [*inputs[:first], *carry])[running]
        found = meanings.of(body, [*inputs[first : first + fixed], *carry])
        mask = {v for v, meaning in found.items() if meaning == wanted}
        true = self.true(body, mask)
        makers = {v: e for e in body.equations for v in e.outputs}
        for out, old in zip(body.outputs, body.inputs[fixed:], strict=True):
            if not self.kept(out, old, makers, mask):
                raise Mixed
        ends = {v for e in test.equations for v in e.outputs if not self.marked(v.aval)}
        equations = [
            e for e in test.equations
            if not (isinstance(e.primitive.lower, Reduction) and any(v in ends for v in e.outputs))
        ]  # fmt: skip
        return {
            "test": self.graph(Graph(test.inputs, [running], equations)),
            "body": self.graph(body, true - set(body.inputs)),
        }

    def reduced(self, test: Graph) -> Var | None:
        """The mask of which a test says whether any is true; None if it is not of that kind."""
        makers = {v: e for e in test.equations for v in e.outputs}
        out = test.outputs[0]
        while isinstance(out, Var) and out in makers and not self.marked(out.aval):
            eqn = makers[out]
            way = eqn.primitive.lower
            if not isinstance(way, Reduction) or way.combine != "or":
                return None
            out = eqn.inputs[0]
        alone = isinstance(out, Var) and out.aval.shape == self.prefix
        return out if alone and out is not test.outputs[0] else None  # type: ignore[return-value]  # a Var

    def true(self, body: Graph, mask: set[Atom]) -> set[Atom]:
        """What is true of an element that is running: the mask, any of it, and copies of those."""
        out = set(mask)
        for eqn in body.equations:
            way = eqn.primitive.lower
            copies = isinstance(way, IndexMap) and way.kind in ("broadcast", "reshape", "identity")
            anyone = isinstance(way, Reduction) and way.combine == "or"
            if (copies or anyone) and eqn.inputs[0] in out:
                out.update(eqn.outputs)
        return out

    def kept(self, out: Atom, old: Var, makers: dict[Var, Equation], mask: set[Atom]) -> bool:
        """Does an element that is not running keep its value?"""
        if out is old:
            return True
        eqn = makers.get(out) if isinstance(out, Var) else None
        if eqn is None or eqn.primitive.name != "select" or not self.kept(eqn.inputs[2], old, makers, mask):
            return False
        return self.stops(eqn.inputs[0], makers, mask) or self.kept(eqn.inputs[1], old, makers, mask)

    def stops(self, predicate: Atom, makers: dict[Var, Equation], mask: set[Atom]) -> bool:
        """Is this the mask, each element's repeated over its own axes?"""
        if predicate in mask:
            return True
        eqn = makers.get(predicate) if isinstance(predicate, Var) else None
        way = None if eqn is None else eqn.primitive.lower
        if eqn is None or not isinstance(way, IndexMap) or way.kind != "broadcast":
            return False
        return eqn.params["axes"][: self.n] == tuple(range(self.n)) and self.stops(
            eqn.inputs[0], makers, mask
        )


class _Meanings:
    """Numbers for what is computed: equal numbers are equal values."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}

    def number(self, said: Hashable) -> int:
        return self.numbers.setdefault(said, len(self.numbers))

    def of(self, graph: Graph, inputs: Sequence[Hashable]) -> dict[Atom, int]:
        """Per variable of a graph the number of its value. inputs: what tells its operands apart."""
        out: dict[Atom, int] = {v: self.number(x) for v, x in zip(graph.inputs, inputs, strict=True)}

        def meaning(atom: Atom) -> int:
            if isinstance(atom, Var):
                return out[atom]
            return self.number(("literal", atom.aval, np.asarray(atom.value).tobytes()))

        for eqn in graph.equations:
            said = (eqn.primitive.name, tuple(sorted(eqn.params.items())), *map(meaning, eqn.inputs))
            out.update((v, self.number((k, *said))) for k, v in enumerate(eqn.outputs))
        return out


_RULES: dict[type, Callable[..., dict[str, Any]]] = {
    Elementwise: _Split.elementwise,
    IndexMap: _Split.index_map,
    Iota: _Split.iota,
    Reduction: _Split.reduction,
    Contraction: _Split.contraction,
    Loop: _Split.control,
}
