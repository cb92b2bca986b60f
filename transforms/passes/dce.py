"""Dead code elimination, through loops and branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fnn.core.ir import Equation, Graph, Var, has_effect


def dce(graph: Graph) -> Graph:
    """Without the equations that no output needs and that have no effect; loops and branches without the
    results, carries, scanned arrays and constants that none needs."""
    live = {a for a in graph.outputs if type(a) is Var}
    kept = []
    for eqn in reversed(graph.equations):
        if any(v in live for v in eqn.outputs) or has_effect(eqn):
            prune = _PRUNE.get(eqn.primitive.name)
            if prune is not None:
                eqn = prune(eqn, [v in live for v in eqn.outputs])
            kept.append(eqn)
            live.update(a for a in eqn.inputs if type(a) is Var)
    return Graph(graph.inputs, graph.outputs, kept[::-1])


def _cut(graph: Graph, outputs: Sequence[bool]) -> tuple[Graph, list[bool]]:
    """The graph with only these outputs, and which of its inputs that reads."""
    found = dce(Graph(graph.inputs, _where(graph.outputs, outputs), graph.equations))
    seen = {a for e in found.equations for a in e.inputs} | set(found.outputs)
    return found, [v in seen for v in graph.inputs]


def _where(items: Sequence, flags: Sequence[bool]) -> list:
    return [x for x, f in zip(items, flags, strict=True) if f]


def _settled(carry: list[bool], reads: Callable[[list[bool]], list[bool]]) -> list[bool]:
    """The carries that are needed for those that are."""
    while True:
        wider = [a or b for a, b in zip(carry, reads(carry), strict=True)]
        if wider == carry:
            return carry
        carry = wider


def _scan(eqn: Equation, live: list[bool]) -> Equation:
    p = eqn.params
    graph, n, first = p["graph"], p["carry"], p["consts"]
    carry = _settled(live[:n], lambda c: _cut(graph, c + live[n:])[1][first : first + n])
    outputs = carry + live[n:]
    body, used = _cut(graph, outputs)
    used[first : first + n] = carry
    if all(used) and all(outputs):
        return eqn
    body = Graph(_where(graph.inputs, used), body.outputs, body.equations)
    new = {**p, "graph": body, "consts": sum(used[:first]), "carry": sum(carry)}
    return Equation(eqn.primitive, _where(eqn.inputs, used), _where(eqn.outputs, outputs), new, eqn.source)


def _while(eqn: Equation, live: list[bool]) -> Equation:
    p = eqn.params
    test, body, left, right = p["test"], p["body"], p["cond_consts"], p["body_consts"]
    _, tested = _cut(test, [True])
    carry = [a or b for a, b in zip(live, tested[left:], strict=True)]
    carry = _settled(carry, lambda c: _cut(body, c)[1][right:])
    new_body, used = _cut(body, carry)
    used[right:], tested[left:] = carry, carry
    if all(carry) and all(used) and all(tested):
        return eqn
    new = {
        "test": Graph(_where(test.inputs, tested), test.outputs, test.equations),
        "body": Graph(_where(body.inputs, used), new_body.outputs, new_body.equations),
        "cond_consts": sum(tested[:left]),
        "body_consts": sum(used[:right]),
    }
    inputs = _where(eqn.inputs, tested[:left] + used)
    return Equation(eqn.primitive, inputs, _where(eqn.outputs, carry), {**p, **new}, eqn.source)


def _cond(eqn: Equation, live: list[bool]) -> Equation:
    cuts = [_cut(g, live) for g in eqn.params["branches"]]
    used = [any(column) for column in zip(*(u for _, u in cuts), strict=True)]
    if all(live) and all(used):
        return eqn
    branches = tuple([Graph(_where(g.inputs, used), g.outputs, g.equations) for g, _ in cuts])
    inputs = [eqn.inputs[0], *_where(eqn.inputs[1:], used)]
    params = {**eqn.params, "branches": branches}
    return Equation(eqn.primitive, inputs, _where(eqn.outputs, live), params, eqn.source)


_PRUNE: dict[str, Callable[[Equation, list[bool]], Equation]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
}
