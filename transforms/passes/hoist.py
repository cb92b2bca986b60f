"""Work that need not be done step by step leaves a scan.

    carries that never change              become constants
    broadcasts that are constants          are made where they are used, from what they repeat
    scanned arrays that repeat one row     are constants; results that do are not stacked
    costly work on constants               is done once, before the loop
    w @ v, of a constant matrix            reads w transposed, once and for all: rows by lanes need no sums across
    x_t @ w, of scanned x and constant w   one product of all steps, before the loop
    c + a_t.T @ b_t, a carry that is only added to
                                           one product over stacked a and b, after the loop
    y_t = h_t @ w, which no carry needs    one product over the stacked h, after the loop

Small products stay: the loop may become one kernel with everything in registers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.aval import same_type
from fnn.core.ir import Atom, Equation, Graph, Var, has_effect
from fnn.core.lowering import Contraction, Elementwise, IndexMap, Iota, Kernel, Library, Loop, Reduction
from fnn.core.primitive import Primitive
from fnn.transforms.passes.cse import cse
from fnn.transforms.passes.dce import dce
from fnn.transforms.passes.inline import inline
from fnn.transforms.passes.rewriting import copy_into
from fnn.transforms.passes.scan_parts import ScanParts
from fnn.transforms.passes.simplify import simplify
from fnn.transforms.rewrite import batch_graph

LEAST = 2048  # operations of a product, per step, from which it is worth a kernel of all steps
SUMMED = 16  # terms of each of its sums: fewer do not pay for storing their result
MOST_BYTES = 1 << 26  # of all steps' operands or results
ROWS = 16  # rows of a matrix, and columns, from which and to which it is transposed
COLUMNS = 256
PRODUCTS = 32  # per element of a batch: fewer leave the loop to lanes


def hoist(graph: Graph) -> Graph:
    """Every scan of a graph without what need not be done in it."""
    if not any(e.primitive.name == "scan" for e in graph.equations):
        return graph
    names: dict[Atom, Atom] = {}
    makers: dict[Var, Equation] = {}
    equations: list[Equation] = []
    changed = False
    for eqn in graph.equations:
        eqn = eqn.replace([names.get(a, a) for a in eqn.inputs])
        if eqn.primitive.name == "scan" and eqn.params["length"] > 1 and not has_effect(eqn):
            scan = _Scan(eqn, makers)
            if scan.run():
                changed = True
                names.update(scan.results)
                equations += scan.equations
                makers.update((v, e) for e in scan.equations for v in e.outputs)
                continue
        equations.append(eqn)
        makers.update((v, eqn) for v in eqn.outputs)
    if not changed:
        return graph
    return cse(simplify(inline(Graph(graph.inputs, [names.get(a, a) for a in graph.outputs], equations))))


class _Scan(ScanParts):
    """Moves what can be moved."""

    def run(self) -> bool:
        """False: nothing was found."""
        moved = [self.constant_carries(), self.repeated(), self.invariants(), self.before(), self.upright()]
        self.note_needs()
        moved += [self.sums(), self.after()]
        if not any(moved):
            return False
        self.put_together()
        return True

    # -- what leaves
    def constant_carries(self) -> bool:
        """What the body hands on as it is."""
        kept = []
        for v, start, out, result in self.carry:
            if out is v and same_type(start.aval, result.aval):
                self.consts[v] = start
                self.results[result] = start
            else:
                kept.append((v, start, out, result))
        moved = len(kept) < len(self.carry)
        self.carry = kept
        return moved

    def repeated(self) -> bool:
        """Operands that are broadcasts, and results that are the same at every step."""
        made: list[Equation] = []
        for known, steps in ((self.consts, 0), (self.xs, 1)):
            for v, x in list(known.items()):
                e = self.outside.get(x) if isinstance(x, Var) else None
                if e is None or e.primitive.name != "broadcast" or e.inputs[0].aval.size >= x.aval.size:
                    continue
                axes, part = list(e.params["axes"]), e.inputs[0]
                if steps and 0 in axes:
                    if part.aval.shape[axes.index(0)] != 1:
                        continue
                    part = self.without_axis(part, axes.index(0))
                    axes.remove(0)
                if isinstance(part, Var):
                    inner = Var(part.aval)
                    self.consts[inner], part = part, inner
                params = {"shape": v.aval.shape, "axes": tuple([d - steps for d in axes])}
                made.append(Equation(e.primitive, [part], [v], params, e.source))
                del known[v]
                self.stacks.pop(v, None)
        self.body = [*made, *self.body]
        self.classify()
        kept = []
        for atom, out in self.ys:
            params = {"shape": out.aval.shape, "axes": tuple(range(1, out.aval.ndim))}
            same = self.is_fixed(atom) and P.broadcast.out_aval((atom.aval,), params) == out.aval
            if same:
                whole = Var(out.aval)
                operand = self.outer(atom, self.equations)
                self.equations.append(Equation(P.broadcast, [operand], [whole], params, self.eqn.source))
                self.results[out] = whole
                if isinstance(atom, Var):
                    self.stacks[atom] = whole
            else:
                kept.append((atom, out))
        moved = bool(made) or len(kept) < len(self.ys)
        self.ys = kept
        return moved

    def without_axis(self, x: Atom, axis: int) -> Var:
        """x without an axis of size 1."""
        shape = tuple([n for d, n in enumerate(x.aval.shape) if d != axis])
        out = Var(x.aval.update(shape=shape))
        self.equations.append(Equation(P.reshape, [x], [out], {"shape": shape}, self.eqn.source))
        return out

    def invariants(self) -> bool:
        self.classify()
        wanted = [
            e for e in self.body
            if all(map(self.is_fixed, e.inputs)) and (isinstance(e.primitive.lower, _COSTLY) or self.laid(e))
            and sum(a.aval.size for a in e.inputs) >= SUMMED
        ]  # fmt: skip
        if not wanted:
            return False
        outs = [v for e in wanted for v in e.outputs]
        graph = Graph(list(self.consts), outs, self.upstream(outs))
        found = copy_into(graph, list(self.consts.values()), self.equations)
        self.consts.update(zip(outs, found, strict=True))
        self.body = [e for e in self.body if e not in wanted]
        return True

    def laid(self, e: Equation) -> bool:
        """Is this a transposition for a loop within, which wants it in memory?"""
        users = self.users.get(e.outputs[0], ())
        return e.primitive.name == "transpose" and any(
            u is not None and isinstance(u.primitive.lower, Loop) for u in users
        )

    def upright(self) -> bool:
        """Products of a constant matrix and a vector sum along the last axis of none."""
        self.classify()
        turned: dict[tuple[Atom, tuple[int, ...]], Var] = {}
        found = False
        for k, e in enumerate(self.body):
            if isinstance(e.primitive.lower, Contraction):
                new = self.turned(e, 0, turned) or self.turned(e, 1, turned)
                if new is not None:
                    self.body[k], found = new, True
        return found

    def turned(
        self, e: Equation, side: int, known: dict[tuple[Atom, tuple[int, ...]], Var]
    ) -> Equation | None:
        """The product with its matrix on this side turned; None if it is not of that kind."""
        a, other = e.inputs[side], e.inputs[1 - side]
        over, batch = e.params["contract"], e.params["batch"]
        if not self.is_fixed(a) or self.is_fixed(other) or len(over[0]) != 1:
            return None
        axes = list(range(a.aval.ndim))  # of `a`, by axes of the constant
        while isinstance(a, Var) and a in self.makers and self.makers[a].primitive.name == "transpose":
            perm = self.makers[a].params["perm"]
            axes = [axes[perm.index(d)] for d in range(len(perm))]
            a = self.makers[a].inputs[0]
        if not isinstance(a, Var) or a not in self.consts:
            return None
        summed, count = over[side][0], math.prod([a.aval.shape[axes.index(d)] for d in batch[side]])
        columns = e.inputs[side].aval.shape[summed]
        rows = a.aval.size // max(1, count * columns)
        vector = other.aval.size == count * columns
        if not vector or axes[-1] != summed or rows < ROWS or not 1 < columns <= COLUMNS:
            return None
        if rows * columns <= PRODUCTS or 2 * a.aval.size < LEAST:
            return None
        kept = axes[:-1]
        at = min(kept.index(d) for d in kept if d not in batch[side])
        order = [*kept[:at], summed, *kept[at:]]
        perm = tuple([axes.index(d) for d in order])
        new = known.get((a, perm))
        if new is None:
            aval = a.aval.update(shape=tuple([a.aval.shape[d] for d in perm]))
            outer = Var(aval)
            new = known[a, perm] = Var(aval)
            self.equations.append(Equation(P.transpose, [self.consts[a]], [outer], {"perm": perm}, e.source))
            self.consts[new] = outer
        inputs = [new, other] if side == 0 else [other, new]
        renamed = [
            tuple([order.index(d) for d in part[s]]) if s == side else part[s]
            for part in (over, batch)
            for s in (0, 1)
        ]
        params = {**e.params, "contract": tuple(renamed[:2]), "batch": tuple(renamed[2:])}
        out = e.primitive.out_aval(tuple([x.aval for x in inputs]), params)
        if out != e.outputs[0].aval:
            return None  # its free axes would come in another order
        return Equation(e.primitive, inputs, e.outputs, params, e.source)

    def before(self) -> bool:
        """Products of scanned arrays and constants."""
        self.classify()
        seeds = [
            e for e in self.body
            if all(self.is_fixed(a) or a in self.early for a in e.inputs)
            and self.worth(e)
            and all(isinstance(x.primitive.lower, _BATCHED) for x in self.upstream(e.inputs))
        ]  # fmt: skip
        if not seeds:
            return False
        outs = [e.outputs[0] for e in seeds]
        found = self.batched(self.upstream(outs), outs, self.equations)
        self.xs.update(zip(outs, found, strict=True))
        self.stacks.update(zip(outs, found, strict=True))
        self.body = [e for e in self.body if e not in seeds]
        return True

    def worth(self, e: Equation) -> bool:
        """A product with a constant that is better done for all steps at once?"""
        if not isinstance(e.primitive.lower, Contraction):
            return False
        count = self.terms(e)
        size = e.outputs[0].aval.size
        return (
            any(map(self.is_fixed, e.inputs))
            and not all(map(self.is_fixed, e.inputs))
            and count >= SUMMED
            and 2 * count * size >= LEAST
            and self.length * e.outputs[0].aval.nbytes <= MOST_BYTES
        )

    @staticmethod
    def terms(e: Equation) -> int:
        return math.prod([e.inputs[0].aval.shape[d] for d in e.params["contract"][0]])

    def batched(self, equations: Sequence[Equation], outs: Sequence[Var], into: list[Equation]) -> list[Atom]:
        """Equations of the body, done for all steps; what they read from it is known for all steps."""
        made = {v for e in equations for v in e.outputs}
        needed = dict.fromkeys(a for e in equations for a in e.inputs if isinstance(a, Var) and a not in made)
        flags = tuple([v not in self.fixed for v in needed])
        graph = Graph(list(needed), outs, equations)
        force = (True,) * len(outs)
        whole, _ = batch_graph(graph, self.length, "steps", flags, force)
        operands = [self.stacks[v] if f else self.outer(v, into) for v, f in zip(needed, flags, strict=True)]
        return copy_into(whole, operands, into)

    def note_needs(self) -> None:
        self.classify()
        self.new_ys: list[tuple[Var, Var]] = []

    def stack(self, atom: Atom) -> Atom:
        """All steps' values of a variable; stacked by the loop from now on, if they are not known yet."""
        assert isinstance(atom, Var)
        if atom not in self.stacks:
            aval = atom.aval.update(shape=(self.length, *atom.aval.shape), weak_type=False)
            self.stacks[atom] = out = Var(aval)
            self.new_ys.append((atom, out))
        return self.stacks[atom]

    # -- carries that are only added to
    def sums(self) -> bool:
        # products first: what they stack serves the others
        parts = [(c, self.addends(c)) for c in self.carry]
        parts.sort(key=lambda pair: not (pair[1] and any(self.product(a) for a in pair[1])))
        removed: set[Var] = set()
        for (v, start, _, result), addends in parts:
            if not addends or not all(self.summable(a) for a in addends):
                continue
            total: Atom = start
            for a in addends:
                term = self.summed(a)
                total = term if self.zero(total) else self.late_equation(P.add, [total, term], {})
            self.results[result] = total
            removed.add(v)
        self.carry = [c for c in self.carry if c[0] not in removed]
        return bool(removed)

    def addends(self, carry: tuple) -> list[Var] | None:
        """What a step adds to a carry; None if it does anything else with it."""
        v, _, out, _ = carry
        if len(self.users.get(v, ())) != 1 or not v.aval.is_inexact:
            return None
        parts, todo, met = [], [out], False
        while todo:
            atom = todo.pop()
            if atom is v:
                met = True
                continue
            if not isinstance(atom, Var) or (atom is out and len(self.users[atom]) != 1):
                return None
            e = self.makers.get(atom)
            if e is not None and e.primitive.name == "add" and len(self.users[atom]) == 1:
                if any(a.aval != atom.aval for a in e.inputs):
                    return None
                todo += e.inputs
            elif atom is out:
                return None
            else:
                parts.append(atom)
        return parts if met else None

    def peeled(self, atom: Atom) -> tuple[list[Equation], Equation | None]:
        """The transpositions and reshapes (last first) a value comes through, and what made it."""
        moves: list[Equation] = []
        e = self.makers.get(atom)  # type: ignore[arg-type]  # a literal has no maker
        while e is not None and e.primitive.name in ("transpose", "reshape") and len(self.users[atom]) == 1:
            moves.append(e)
            atom = e.inputs[0]
            e = self.makers.get(atom)  # type: ignore[arg-type]
        return moves, e

    def product(self, atom: Var) -> Equation | None:
        """The contraction that makes an addend, if its sum over the steps is better one contraction."""
        e = self.peeled(atom)[1]
        if e is None or not isinstance(e.primitive.lower, Contraction) or len(self.users[e.outputs[0]]) != 1:
            return None
        batch = math.prod([e.inputs[0].aval.shape[d] for d in e.params["batch"][0]])
        size = e.outputs[0].aval.size
        fresh = [a for a in e.inputs if a not in self.stacks]
        if any(map(self.is_fixed, e.inputs)) or 2 * self.terms(e) * size < LEAST * batch:
            return None
        fits = self.length * sum(a.aval.nbytes for a in fresh) <= MOST_BYTES
        return e if fits and sum(a.aval.size for a in fresh) <= 2 * size else None

    def summable(self, atom: Var) -> bool:
        if self.product(atom) is not None or atom in self.stacks:
            return True
        e = self.makers.get(atom)
        return e is not None and e.primitive.name == "reduce_sum" and e.inputs[0] in self.stacks

    def summed(self, atom: Var) -> Atom:
        """The sum of an addend over all steps."""
        e = self.product(atom)
        if e is not None:
            (xc, yc), (xb, yb) = e.params["contract"], e.params["batch"]
            up = [tuple([d + 1 for d in axes]) for axes in (xc, yc, xb, yb)]
            params = {**e.params, "contract": ((0, *up[0]), (0, *up[1])), "batch": (up[2], up[3])}
            out = self.late_equation(e.primitive, [self.stack(a) for a in e.inputs], params)
            for move in reversed(self.peeled(atom)[0]):
                out = self.late_equation(move.primitive, [out], move.params)
            return out
        if atom in self.stacks:
            return self.late_equation(P.reduce_sum, [self.stacks[atom]], {"axes": (0,)})
        e = self.makers[atom]
        axes = (0, *(d + 1 for d in e.params["axes"]))
        return self.late_equation(P.reduce_sum, [self.stacks[e.inputs[0]]], {**e.params, "axes": axes})  # type: ignore[index]

    def late_equation(self, primitive: Primitive, inputs: Sequence[Atom], params: dict[str, Any]) -> Var:
        out = Var(primitive.out_aval(tuple([a.aval for a in inputs]), params))
        self.late.append(Equation(primitive, inputs, [out], params, self.eqn.source))
        return out

    def zero(self, atom: Atom) -> bool:
        """Is a value outside known to be zero?"""
        while isinstance(atom, Var):
            e = self.outside.get(atom)
            if e is None or not isinstance(e.primitive.lower, IndexMap) or len(e.inputs) != 1:
                return False
            atom = e.inputs[0]
        return not np.any(np.asarray(atom.value))

    # -- results that no carry needs
    def after(self) -> bool:
        """Products with constants whose results are only stacked."""
        needed = {v for e in self.upstream([c[2] for c in self.carry]) for v in e.outputs}
        results = {y for y, _ in self.ys}
        stacked = self.stacks_used()
        chosen: dict[Equation, None] = {}
        for e in self.body:
            if e.outputs[0] in needed or not self.worth(e) or any(a in self.early for a in e.inputs):
                continue
            down = self.downstream(e)
            made = {v for x in down for v in x.outputs}
            if made & stacked or not all(isinstance(x.primitive.lower, _BATCHED) for x in down):
                continue
            fresh = {a for x in down for a in x.inputs if isinstance(a, Var)} - made - self.fixed
            fresh = [a for a in fresh if a not in self.stacks]
            gone = sum(v.aval.nbytes for v in made if v in results)
            if sum(a.aval.nbytes for a in fresh) <= min(2 * gone, MOST_BYTES // self.length):
                chosen.update(dict.fromkeys(down))
        made = {v for e in chosen for v in e.outputs}
        if not made:
            return False
        moved = [(y, out) for y, out in self.ys if y in made]
        equations = [e for e in self.body if e in chosen]
        for e in equations:
            for a in e.inputs:
                if not self.is_fixed(a) and a not in made:
                    self.stack(a)
        outs = list(dict.fromkeys(y for y, _ in moved))
        found = dict(zip(outs, self.batched(equations, outs, self.late), strict=True))
        self.results.update((out, found[y]) for y, out in moved)
        self.ys = [(y, out) for y, out in self.ys if y not in made]
        return True

    def stacks_used(self) -> set[Var]:
        """What is stacked for the sums."""
        return {v for v, _ in self.new_ys} | {
            v for v, out in self.stacks.items() if any(out in e.inputs for e in self.late)
        }

    def downstream(self, first: Equation) -> list[Equation]:
        reached = set(first.outputs)
        out = [first]
        for e in self.body:
            if e is not first and any(a in reached for a in e.inputs):
                reached.update(e.outputs)
                out.append(e)
        return out

    # -- what stays
    def put_together(self) -> None:
        ys = [*self.ys, *self.new_ys]
        graph = Graph(
            [*self.consts, *(c[0] for c in self.carry), *self.xs],
            [*(c[2] for c in self.carry), *(y for y, _ in ys)],
            self.body,
        )
        inputs = [*self.consts.values(), *(c[1] for c in self.carry), *self.xs.values()]
        outputs = [*(c[3] for c in self.carry), *(out for _, out in ys)]
        params = {**self.p, "graph": dce(graph), "consts": len(self.consts), "carry": len(self.carry)}
        if outputs:
            self.equations.append(Equation(self.eqn.primitive, inputs, outputs, params, self.eqn.source))
        self.equations += self.late


_COSTLY = (Contraction, Reduction, Kernel, Library, Loop)
_BATCHED = (Elementwise, IndexMap, Iota, Reduction, Contraction)
