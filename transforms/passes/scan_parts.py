"""A scan taken apart: constants, carries, scanned arrays, results, and what depends on which of them."""

from __future__ import annotations

from collections.abc import Iterable

from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.transforms.passes.rewriting import copy_into


class ScanParts:
    """consts, xs: variable of the body -> operand. carry: (variable, start, next value, result). ys: (value in
    the body, stacked result). body: its equations. stacks: variables of which all steps' values are known
    outside. equations: what comes before the loop; late: what comes after it; results: what the scan's outputs
    are then."""

    def __init__(self, eqn: Equation, makers: dict[Var, Equation]):
        self.eqn, self.outside, self.p = eqn, makers, eqn.params
        self.equations: list[Equation] = []
        self.late: list[Equation] = []
        self.results: dict[Atom, Atom] = {}
        self.length = self.p["length"]
        self.take_apart()

    def take_apart(self) -> None:
        p, graph = self.p, self.p["graph"]
        n, m = p["consts"], p["consts"] + p["carry"]
        self.body: list[Equation] = list(graph.equations)
        self.consts = dict(zip(graph.inputs[:n], self.eqn.inputs[:n], strict=True))
        self.carry = list(zip(graph.inputs[n:m], self.eqn.inputs[n:m], graph.outputs, self.eqn.outputs))
        self.xs = dict(zip(graph.inputs[m:], self.eqn.inputs[m:], strict=True))
        self.ys = list(zip(graph.outputs[p["carry"] :], self.eqn.outputs[p["carry"] :], strict=True))
        self.stacks: dict[Var, Atom] = dict(self.xs.items())  # body variable -> all steps' values
        for atom, out in self.ys:
            if isinstance(atom, Var):
                self.stacks.setdefault(atom, out)

    def classify(self) -> None:
        """fixed: variables that are the same at every step; early: those that no carry is needed for."""
        self.fixed: set[Atom] = set(self.consts)
        self.early: set[Atom] = set(self.xs)
        self.makers = {v: e for e in self.body for v in e.outputs}
        for e in self.body:
            given = [a for a in e.inputs if isinstance(a, Var)]
            if all(a in self.fixed for a in given):
                self.fixed.update(e.outputs)
            elif all(a in self.fixed or a in self.early for a in given):
                self.early.update(e.outputs)
        self.users: dict[Atom, list[Equation | None]] = {}  # None: a result of the body
        for e in self.body:
            for a in e.inputs:
                self.users.setdefault(a, []).append(e)
        for a in (*(c[2] for c in self.carry), *(y for y, _ in self.ys)):
            self.users.setdefault(a, []).append(None)

    def is_fixed(self, atom: Atom) -> bool:
        return isinstance(atom, Literal) or atom in self.fixed

    def upstream(self, atoms: Iterable[Atom], stop: Iterable[Atom] = ()) -> list[Equation]:
        """The equations of the body that these need, in order."""
        todo, seen = [a for a in atoms if isinstance(a, Var)], set()
        done = set(stop)
        while todo:
            a = todo.pop()
            e = self.makers.get(a) if a not in done else None
            if e is not None and e not in seen:
                seen.add(e)
                todo += [x for x in e.inputs if isinstance(x, Var)]
        return [e for e in self.body if e in seen]

    def outer(self, atom: Atom, into: list[Equation]) -> Atom:
        """A value that is the same at every step, computed outside."""
        if isinstance(atom, Literal):
            return atom
        found = self.consts.get(atom)
        if found is None:
            needed = self.upstream([atom])
            graph = Graph(list(self.consts), [atom], needed)
            (found,) = copy_into(graph, list(self.consts.values()), into)
        return found
