"""What attention that is written by hand, and its gradient, look like as equations: see
`fnn.transforms.passes.recognise`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.core.lowering import Iota
from fnn.primitives.attention_kernels import Pattern
from fnn.transforms.passes.cse import atom_key

FILL = -1e9
LENGTH = 64  # fewer queries or keys are as fast with all scores
FEATURES = range(16, 257)
# Bytes of scores. The gradient computes them again, a fifth more work, which pays where they would be read from
# memory, or where half of them need not be computed at all.
MANY = 1 << 25
OPERANDS: tuple[str, ...] = ("query", "key", "value")
EVALUATED = 1 << 22  # elements of a constant mask that are looked at


def same(one: Atom, other: Atom) -> bool:
    return atom_key(one) == atom_key(other)


class Differs(Exception):
    """This is something else."""


@dataclass
class Match:
    """The equations that are replaced, and the operands. axes: (batch axes, rows, features) of each; results: the
    products that are the operands' cotangents; first: the first equation of the gradient."""

    out: Equation
    query: Atom
    key: Atom
    value: Atom
    axes: dict[str, tuple[tuple[int, ...], int, int]]
    pattern: Pattern
    ct: Atom | None = None
    results: dict[str, Equation] = field(default_factory=dict)
    first: Equation | None = None


class Finder:
    """Looks for attention among the equations of a graph."""

    def __init__(self, graph: Graph):
        self.place = {e: k for k, e in enumerate(graph.equations)}
        self.made = {v: e for e in graph.equations for v in e.outputs}
        self.users: dict[Atom, list[Equation | None]] = {}
        for e in graph.equations:
            for a in dict.fromkeys(e.inputs):
                self.users.setdefault(a, []).append(e)
        for a in graph.outputs:
            self.users.setdefault(a, []).append(None)

    def match(self, eqn: Equation) -> Match | None:
        if eqn.primitive.name != "dot_general":
            return None
        try:
            return self.forward(eqn)
        except Differs:
            return None

    # -- pieces of patterns
    def maker(self, atom: Atom, *names: str) -> Equation:
        eqn = self.made.get(atom) if type(atom) is Var else None
        if eqn is None or eqn.primitive.name not in names:
            raise Differs
        return eqn

    def read_by(self, atom: Atom, *expected: Equation) -> None:
        if any(e not in expected for e in self.users.get(atom, ())):
            raise Differs

    def user(self, atom: Atom, name: str, *others: Equation) -> Equation:
        """The one equation that reads an atom, besides `others`."""
        rest = [e for e in self.users.get(atom, ()) if e not in others]
        if len(rest) != 1 or rest[0] is None or rest[0].primitive.name != name:
            raise Differs
        return rest[0]

    def row(self, atom: Atom) -> Atom:
        """What is the same all along the last axis: [..., n] -> [...]."""
        shape = atom.aval.shape
        eqn = self.maker(atom, "broadcast")
        inner, axes = eqn.inputs[0], eqn.params["axes"]
        rank = len(shape) - 1
        lead = inner.aval.shape[:rank]
        if lead != shape[:-1] or axes[:rank] != tuple(range(rank)) or math.prod(inner.aval.shape[rank:]) != 1:
            raise Differs
        while type(inner) is Var and inner.aval.shape != shape[:-1]:
            inner = self.maker(inner, "reshape").inputs[0]
        return inner

    def spread(self, atom: Atom) -> Equation:
        """The broadcast along a new last axis that a row value goes into, through reshapes."""
        while True:
            (eqn,) = self.users.get(atom, [None])[:1]
            if eqn is None or len(self.users[atom]) != 1:
                raise Differs
            if eqn.primitive.name != "reshape":
                break
            atom = eqn.outputs[0]
        self.row(eqn.outputs[0])
        return eqn

    @staticmethod
    def number(atom: Atom) -> float:
        if type(atom) is not Literal or np.ndim(atom.value) != 0:
            raise Differs
        return float(atom.value)

    def scaled(self, atom: Atom) -> tuple[Atom, float]:
        """(x, c) of x * c or x / c."""
        eqn = self.made.get(atom) if type(atom) is Var else None
        if eqn is None or eqn.primitive.name not in ("mul", "div"):
            return atom, 1.0
        x, c = eqn.inputs
        if eqn.primitive.name == "mul" and type(x) is Literal:
            x, c = c, x
        self.read_by(x, eqn)
        return x, self.number(c) if eqn.primitive.name == "mul" else 1 / self.number(c)

    @staticmethod
    def product(eqn: Equation) -> tuple[tuple, tuple]:
        """(batch axes, summed axis, free axis) of both operands of a product with one of each."""
        if eqn.primitive.name != "dot_general" or eqn.params["out_dtype"] not in (
            None,
            eqn.inputs[0].aval.dtype,
        ):
            raise Differs
        sides = []
        for x, summed, batch in zip(eqn.inputs, eqn.params["contract"], eqn.params["batch"], strict=True):
            free = [d for d in range(x.aval.ndim) if d not in summed and d not in batch]
            if len(summed) != 1 or len(free) != 1 or len(batch) > 2:
                raise Differs
            sides.append((batch, summed[0], free[0]))
        return sides[0], sides[1]

    def triangle(self, mask: Atom, shape: tuple[int, ...]) -> int:
        """How many keys after its own place a query sees, where a constant mask says just that."""
        eqn = self.made.get(mask) if type(mask) is Var else None
        rank = len(shape)
        if eqn is not None and eqn.primitive.name == "broadcast" and rank > 2:
            if (
                eqn.params["axes"][-2:] != (rank - 2, rank - 1)
                or math.prod(eqn.inputs[0].aval.shape[:-2]) != 1
            ):
                raise Differs
            mask = eqn.inputs[0]
        queries, keys = shape[rank - 2], shape[rank - 1]
        size = mask.aval.size
        if mask.aval.shape[-2:] != (queries, keys) or size > EVALUATED or size != queries * keys:
            raise Differs
        pairs = np.asarray(self.constant(mask, {})).reshape(queries, keys)
        right = int(pairs[0].sum()) - 1
        if right < 0 or not np.array_equal(pairs, np.tri(queries, keys, right, dtype=bool)):
            raise Differs
        return right

    def constant(self, atom: Atom, known: dict[Atom, Any]) -> Any:
        """The value of what follows from constants and positions alone."""
        if type(atom) is Literal:
            return atom.value
        if atom not in known:
            eqn = self.made.get(atom)  # type: ignore[arg-type]  # a Var
            if eqn is None or eqn.primitive.multiple or len(known) > 32:
                raise Differs
            if not eqn.inputs and not isinstance(eqn.primitive.lower, Iota):
                raise Differs
            if eqn.primitive.name not in ARITHMETIC:
                raise Differs
            operands = [self.constant(a, known) for a in eqn.inputs]
            known[atom] = np.asarray(eqn.primitive.run(operands, eqn.params).value)
        return known[atom]

    # -- the whole
    def forward(self, out: Equation) -> Match:
        (batch, summed, rows), (value_batch, keys, features) = self.product(out)
        weights, value = out.inputs
        rank = weights.aval.ndim
        if (*batch, rows, summed) != tuple(range(rank)) or weights.aval.dtype not in (
            np.dtype("f4"),
            np.dtype("f8"),
        ):
            raise Differs
        quotient = self.maker(weights, "div")
        powers, totals = quotient.inputs
        power = self.maker(powers, "exp")
        difference = self.maker(power.inputs[0], "sub")
        scores, peaks = difference.inputs
        total, peak = self.maker(self.row(totals), "reduce_sum"), self.maker(self.row(peaks), "reduce_max")
        last = (rank - 1,)
        if (total.inputs[0], total.params["axes"]) != (powers, last) or (
            peak.inputs[0],
            peak.params["axes"],
        ) != (scores, last):
            raise Differs
        self.read_by(scores, difference, peak)
        self.read_by(power.inputs[0], power)
        mask, right, plain = None, None, scores
        if self.made.get(scores) is not None and self.made[scores].primitive.name == "select":  # type: ignore[index]
            choice = self.made[scores]  # type: ignore[index]
            mask, plain, fill = choice.inputs
            if not self.number(fill) <= FILL:
                raise Differs
            self.read_by(plain, choice)
            right = self.triangle(mask, scores.aval.shape)
        dot_out, scale = self.scaled(plain)
        dot = self.maker(dot_out, "dot_general")
        (query_batch, query_feature, query_row), (key_batch, key_feature, key_row) = self.product(dot)
        query, key = dot.inputs
        if len({x.aval.dtype for x in (query, key, value, weights)}) != 1:
            raise Differs
        queries, length = weights.aval.shape[-2:]
        if min(queries, length) < LENGTH or not {
            query.aval.shape[query_feature],
            value.aval.shape[features],
        } <= {*FEATURES}:
            raise Differs
        match = Match(
            out,
            query,
            key,
            value,
            {
                "query": (query_batch, query_row, query_feature),
                "key": (key_batch, key_row, key_feature),
                "value": (value_batch, keys, features),
            },
            Pattern(scale, None, right, False, False, False),
        )
        if [*self.users[weights]] == [out]:
            self.read_by(powers, quotient, total)
            return match
        if right is None and weights.aval.size * weights.aval.dtype.itemsize < MANY:
            raise Differs
        self.backward(match, weights, quotient, total, mask, scale)
        return match

    def backward(
        self,
        match: Match,
        weights: Atom,
        quotient: Equation,
        total: Equation,
        mask: Atom | None,
        scale: float,
    ) -> None:
        """The gradient that reads the weights; all that reads them is to belong to it."""
        powers, totals = quotient.inputs
        (to_value,) = [e for e in self.users[weights] if self.is_of_value(e, weights)] or [None]
        if to_value is None or None in self.users[weights]:
            raise Differs
        product = self.user(weights, "mul", match.out, to_value)
        slopes = product.inputs[1 - product.inputs.index(weights)]
        back = self.maker(slopes, "dot_general")
        (ct_batch, ct_feature, ct_row), (value_batch, value_feature, value_row) = self.product(back)
        match.ct = back.inputs[0]
        match.axes["ct"] = (ct_batch, ct_row, ct_feature)
        if not same(back.inputs[1], match.value) or match.axes["value"] != (
            value_batch,
            value_row,
            value_feature,
        ):
            raise Differs
        left, right = self.product(to_value)
        if (
            not same(to_value.inputs[1], match.ct)
            or right != (ct_batch, ct_row, ct_feature)
            or left[2] != weights.aval.ndim - 1
        ):
            raise Differs
        direct = self.user(slopes, "div", product)
        mean = self.user(product.outputs[0], "div")
        if direct.inputs[1] is not totals or mean.inputs[1] is not totals:
            raise Differs
        negative = self.user(mean.outputs[0], "neg")
        summed = self.user(negative.outputs[0], "reduce_sum")
        if summed.params["axes"] != (weights.aval.ndim - 1,):
            raise Differs
        means = self.spread(summed.outputs[0])
        both = self.user(direct.outputs[0], "add")
        if set(both.inputs) != {direct.outputs[0], means.outputs[0]}:
            raise Differs
        self.read_by(means.outputs[0], both)
        last = self.user(both.outputs[0], "mul")
        if set(last.inputs) != {both.outputs[0], powers}:
            raise Differs
        self.read_by(powers, quotient, total, last)
        if mask is not None:
            choice = self.user(last.outputs[0], "select")
            if (
                choice.inputs[0] is not mask
                or choice.inputs[1] is not last.outputs[0]
                or self.number(choice.inputs[2])
            ):
                raise Differs
            last = choice
        if scale != 1.0:
            (step,) = self.users.get(last.outputs[0], [None])[:1]
            if step is None or step.primitive.name not in ("mul", "div"):
                raise Differs
            x, factor = self.scaled(step.outputs[0])
            if x is not last.outputs[0] or not math.isclose(factor, scale, rel_tol=1e-6):
                raise Differs
            last = step
        score_slopes = last.outputs[0]
        match.results["value"] = to_value
        for user in self.users.get(score_slopes, ()):
            self.add_result(match, user, score_slopes)
        match.first = min(back, to_value, key=self.place.__getitem__)

    def is_of_value(self, eqn: Equation | None, weights: Atom) -> bool:
        """Is this a product that sums the weights over the queries?"""
        return (
            eqn is not None
            and eqn.primitive.name == "dot_general"
            and eqn.inputs[0] is weights
            and eqn.params["contract"][0] == (weights.aval.ndim - 2,)
        )

    def add_result(self, match: Match, eqn: Equation | None, slopes: Atom) -> None:
        """A product of the scores' cotangents with the key or the query."""
        if eqn is None:
            raise Differs
        sides = self.product(eqn)
        mine = eqn.inputs.index(slopes)
        batch, summed, _ = sides[mine]
        other, (other_batch, row, feature) = eqn.inputs[1 - mine], sides[1 - mine]
        rank = slopes.aval.ndim
        what = "query" if summed == rank - 1 else "key"  # whose cotangent it is
        given = "key" if what == "query" else "query"
        if not same(other, getattr(match, given)) or match.axes[given] != (other_batch, row, feature):
            raise Differs
        if batch != tuple(range(rank - 2)) or what in match.results:
            raise Differs
        match.results[what] = eqn


ARITHMETIC = {
    "iota", "reshape", "broadcast", "transpose", "slice", "convert", "add", "sub", "mul", "neg", "ge", "gt", "le",
    "lt", "eq", "ne", "and", "or", "not", "select",
}  # fmt: skip
