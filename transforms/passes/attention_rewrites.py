"""Attention that is written by hand, recognised: softmax(scale query key^T) value, with a triangle of masked pairs
or without, and its gradient, become `fnn.transforms.attention`, where that is faster.

What is recognised is what `softmax` of fnn.nn, or the same four lines, between two products is traced to; the
gradient in the form that fnn's own rules give it. All of it must be there and be read by nothing else. Masked pairs
are recognised by a number of at most FILL in their place: then a query's weights are the same as long as one of its
own scores is above half of that number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fnn import primitives as P
from fnn.core.ir import Atom, Equation, Graph
from fnn.core.trace import closed_stage, shape_of
from fnn.transforms.attention import attention, attention_gradient
from fnn.transforms.passes.attention_patterns import OPERANDS, Finder, Match, same
from fnn.transforms.passes.rewriting import copy_into


def rewritten(graph: Graph) -> Graph:
    """The graph with attention in place of what it consists of."""
    finder = Finder(graph)
    found = [m for e in graph.equations if (m := finder.match(e)) is not None]
    return replaced(graph, found) if found else graph


def _laid(x: Any, axes: tuple[Sequence[int], int, int]) -> Any:
    """As attention wants it: (batch, rows, heads, features)."""
    batch, row, feature = axes
    shape = shape_of(x)
    perm = (*batch[:1], row, *batch[1:], feature)
    x = x if perm == tuple(range(len(perm))) else P.transpose(x, perm=perm)
    full = [shape[d] for d in batch[:1]] or [1]
    heads = [shape[d] for d in batch[1:]] or [1]
    target = (*full, shape[row], *heads, shape[feature])
    return x if shape_of(x) == target else P.reshape(x, shape=target)


def _as_product(x: Any, batch: int, turned: bool) -> Any:
    """(batch, rows, heads, features) as a product with so many batch axes gives it; turned: features first."""
    rows = shape_of(x)[1]
    shape = shape_of(x)
    if batch < 2:
        x = P.reshape(x, shape=(*shape[:batch], rows, shape[3]))
        perm = (*range(batch), batch + 1, batch) if turned else None
    else:
        perm = (0, 2, 3, 1) if turned else (0, 2, 1, 3)
    return x if perm is None else P.transpose(x, perm=perm)


def replaced(graph: Graph, found: Sequence[Match]) -> Graph:
    outs = {m.out: m for m in found}
    firsts = {m.first: m for m in found if m.first is not None}
    gone = {e for m in found for e in (m.out, *m.results.values())}
    names: dict[Atom, Atom] = {}
    saved: dict[int, list[Atom]] = {}
    equations: list[Equation] = []

    def stage(f: Any, operands: Sequence[Atom], source: Any) -> list[Atom]:
        body = closed_stage(f, [a.aval for a in operands])
        start = len(equations)
        atoms = copy_into(body, operands, equations)
        for k in range(start, len(equations)):
            e = equations[k]
            equations[k] = Equation(e.primitive, e.inputs, e.outputs, e.params, source)
        return atoms

    for eqn in graph.equations:
        eqn_inputs = [names.get(a, a) for a in eqn.inputs]
        if eqn in outs:
            m = outs[eqn]
            batch = len(m.axes["query"][0])

            def attend(q: Any, k: Any, v: Any, m: Match = m, batch: int = batch) -> list[Any]:
                q, k, v = (_laid(x, m.axes[n]) for x, n in ((q, "query"), (k, "key"), (v, "value")))
                out, lse = attention(q, k, v, pattern=m.pattern)
                return [_as_product(out, batch, False), q, k, v, out, lse]

            operands = [names.get(a, a) for a in (m.query, m.key, m.value)]
            result, *saved[id(m)] = stage(attend, operands, eqn.source)
            names[eqn.outputs[0]] = result
        if eqn in firsts:
            m = firsts[eqn]
            assert m.ct is not None

            def differentiate(q: Any, k: Any, v: Any, out: Any, lse: Any, ct: Any, m: Match = m) -> list[Any]:
                ct = _laid(ct, m.axes["ct"])
                delta = P.transpose(P.reduce_sum(P.mul(ct, out), axes=(3,)), perm=(0, 2, 1))
                found = attention_gradient(q, k, v, lse, delta, ct, pattern=m.pattern)
                results = dict(zip(OPERANDS, found, strict=True))
                back = []
                for name, product in m.results.items():
                    # the features come first where they are the free axis of the left operand
                    turned = name == "key" and same(product.inputs[0], m.query)
                    turned = turned or (name == "query" and same(product.inputs[0], m.key))
                    back.append(_as_product(results[name], len(m.axes["query"][0]), turned))
                return back

            atoms = stage(differentiate, [*saved[id(m)], names.get(m.ct, m.ct)], eqn.source)
            for product, atom in zip(m.results.values(), atoms, strict=True):
                names[product.outputs[0]] = atom
        if eqn not in gone:
            equations.append(eqn.replace(eqn_inputs))
    return Graph(graph.inputs, [names.get(a, a) for a in graph.outputs], equations)
