"""Transformations of graphs: Graph -> Graph.

A graph is a function, so transforming it means staging the transformed function: stage(transform(graph)).
Reverse mode stages one joint graph, forward and backward together, and cuts it in two: what the cotangents
reach is the backward graph, the rest is the forward graph, and the values that cross the cut are saved."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from fnn.core.ir import Atom, Equation, Graph, Var, has_effect
from fnn.core.trace import closed_stage
from fnn.primitives.rules import lift
from fnn.transforms.autodiff import fill, jvp_flat, vjp_flat
from fnn.transforms.batching import vmap_flat
from fnn.transforms.passes.cse import cse
from fnn.transforms.passes.dce import dce

Flags = tuple[bool, ...]
SavePolicy = Callable[[Equation], bool]


def reach(graph: Graph, flags: Sequence[bool]) -> Flags:
    """Which outputs depend on the flagged inputs."""
    return graph.cached(("reach", tuple(flags)), lambda: _reach(graph, flags))


def _reach(graph: Graph, flags: Sequence[bool]) -> Flags:
    marked = {v for v, f in zip(graph.inputs, flags, strict=True) if f}
    for eqn in graph.equations:
        hit = [type(a) is Var and a in marked for a in eqn.inputs]
        if any(hit) and eqn.primitive.name != "stop_gradient":
            exact = eqn.primitive.name in (
                "jit",
                "remat",
            )  # custom rules may depend on what their function does not
            inner = reach(eqn.params["graph"], hit) if exact else (True,) * len(eqn.outputs)
            marked.update(v for v, f in zip(eqn.outputs, inner, strict=True) if f)
    return tuple(type(a) is Var and a in marked for a in graph.outputs)


def reach_float(graph: Graph, flags: Sequence[bool]) -> Flags:
    """Which floating-point outputs depend on the flagged inputs."""
    return tuple(f and a.is_inexact for f, a in zip(reach(graph, flags), graph.out_avals, strict=True))


def pick(items: Iterable[Any], flags: Iterable[bool]) -> list[Any]:
    return [x for x, f in zip(items, flags, strict=True) if f]


def spread_out(items: Iterable[Any], flags: Iterable[bool]) -> list[Any]:
    """The inverse of pick: None where not flagged."""
    rest = iter(items)
    return [next(rest) if f else None for f in flags]


def jvp_graph(graph: Graph, active: Flags, out_active: Flags) -> Graph:
    """(inputs, tangents of the active) -> (outputs, tangents of the out_active)."""

    def make() -> Graph:
        size = len(graph.inputs)

        def f(*xs: Any) -> list[Any]:
            outs, touts = jvp_flat(graph, xs[:size], spread_out(xs[size:], active))
            return [
                *outs,
                *(fill(t, a) for t, a in pick(zip(touts, graph.out_avals, strict=True), out_active)),
            ]

        return dce(closed_stage(f, [*graph.in_avals, *(a.strong() for a in pick(graph.in_avals, active))]))

    return graph.cached(("jvp", active, out_active), make)


def joint_graph(graph: Graph, active: Flags, out_active: Flags) -> Graph:
    """(inputs, cotangents of the out_active) -> (outputs, cotangents of the active)."""
    size = len(graph.inputs)

    def f(*xs: Any) -> list[Any]:
        outs, pull = vjp_flat(graph, xs[:size], active)
        cts = pull(spread_out(xs[size:], out_active), once=True)
        return [*outs, *(fill(c, a) for c, a in pick(zip(cts, graph.in_avals, strict=True), active))]

    return cse(
        dce(closed_stage(f, [*graph.in_avals, *(a.strong() for a in pick(graph.out_avals, out_active))]))
    )


def vjp_graphs(
    graph: Graph,
    active: Flags,
    out_active: Flags,
    forwardable: Flags | None = None,
    policy: SavePolicy | None = None,
) -> tuple[Graph, Graph, tuple[int, ...]]:
    """(forward, backward, forwarded).

    forward: inputs -> (outputs, saved); backward: (inputs numbered in forwarded, saved, cotangents of the
    out_active) -> cotangents of the active. Inputs not flagged in forwardable are saved, not forwarded.
    policy: which equations' results may be saved; the others' are computed again in the backward graph.
    None: all may but broadcasts, and what is cheaply computed again from what is there anyway."""

    def make() -> tuple[Graph, Graph, tuple[int, ...]]:
        joint = joint_graph(graph, active, out_active)
        size, primal_outs = len(graph.inputs), len(graph.outputs)
        inputs, cts = joint.inputs[:size], joint.inputs[size:]
        unknown: set[Atom] = set(cts)
        forward: list[Equation] = []
        backward: list[Equation] = []
        for eqn in joint.equations:
            if any(a in unknown for a in eqn.inputs if type(a) is Var):
                unknown.update(eqn.outputs)
                backward.append(eqn)
            else:
                forward.append(eqn)
        outs = joint.outputs[primal_outs:]
        backward = list(dce(Graph((), outs, backward)).equations)
        at_hand = [v for i, v in enumerate(inputs) if forwardable is None or forwardable[i]]
        saves = policy or _saves_dear(forward, backward, outs, at_hand)
        again = _recomputed(forward, backward, outs, saves)
        unknown.update(v for e in again for v in e.outputs)
        backward = [*again, *backward]
        atoms = [a for part in [*(e.inputs for e in backward), outs] for a in part]
        uses = dict.fromkeys(a for a in atoms if type(a) is Var and a not in unknown)
        forwarded = tuple(
            i for i, v in enumerate(inputs) if v in uses and (forwardable is None or forwardable[i])
        )
        direct = [inputs[i] for i in forwarded]
        known = set(direct)
        saved = [v for v in uses if v not in known]
        return (
            dce(Graph(inputs, [*joint.outputs[:primal_outs], *saved], forward)),
            Graph([*direct, *saved, *cts], outs, backward),
            forwarded,
        )

    return graph.cached(("vjp", active, out_active, forwardable, policy), make)


_FREE = ("broadcast", "iota")  # never saved
_MOVES = ("reshape", "transpose", "slice", "copy", "stop_gradient")
_CHEAP = (
    "add", "sub", "mul", "neg", "abs", "max", "min", "select", "eq", "ne", "lt", "le", "gt", "ge", "and", "or",
    "not", "xor", "convert", "sign", "is_finite",
)  # fmt: skip
_AGAIN = 6  # cheap operations a saved value is worth


def _reads(equations: Iterable[Equation], outs: Iterable[Atom]) -> set[Atom]:
    found = [a for e in equations for a in e.inputs] + list(outs)
    return {a for a in found if type(a) is Var}


def _saves_dear(
    forward: Sequence[Equation], backward: Sequence[Equation], outs: Sequence[Atom], at_hand: Iterable[Var]
) -> SavePolicy:
    """Saves what backward needs but for broadcasts and what takes only few cheap operations on other values
    it has: the inputs at hand, and what is saved."""
    needed = _reads(backward, outs)
    costs: dict[Atom, int] = dict.fromkeys(
        (*needed.difference(v for e in forward for v in e.outputs), *at_hand), 0
    )
    again: set[Equation] = set()
    for eqn in forward:
        name = eqn.primitive.name
        given = [costs.get(a, _AGAIN + 1) for a in eqn.inputs if type(a) is Var]
        cost = sum(given) + (name in _CHEAP)
        if name in _FREE or (name in _CHEAP + _MOVES and given and cost <= _AGAIN):
            again.add(eqn)
            costs[eqn.outputs[0]] = cost
        else:
            costs.update((v, 0) for v in eqn.outputs if v in needed)
    return lambda eqn: eqn not in again


def _recomputed(
    forward: Sequence[Equation], backward: Sequence[Equation], outs: Sequence[Atom], policy: SavePolicy
) -> list[Equation]:
    """The equations of forward that backward needs and may not find saved, in order."""
    needed = _reads(backward, outs)
    again = []
    for eqn in reversed(forward):
        if any(v in needed for v in eqn.outputs) and not policy(eqn) and not has_effect(eqn):
            again.append(eqn)
            needed.update(a for a in eqn.inputs if type(a) is Var)
    return again[::-1]


def batch_graph(
    graph: Graph, size: int, name: Hashable, flags: Flags, force: Flags | None = None
) -> tuple[Graph, Flags]:
    """(graph over batches, flags of its outputs); outputs flagged in force are batched in any case."""

    def make() -> tuple[Graph, Flags]:
        out_flags: list[bool] = []

        def f(*xs: Any) -> list[Any]:
            outs, mine = vmap_flat(graph, size, flags, name)(*xs)
            if force is not None:
                outs = [lift(size, o, m) if b else o for o, m, b in zip(outs, mine, force, strict=True)]
                mine = [m or b for m, b in zip(mine, force, strict=True)]
            out_flags[:] = mine
            return outs

        avals = [
            a.update(shape=(size, *a.shape)) if b else a for a, b in zip(graph.in_avals, flags, strict=True)
        ]
        return closed_stage(f, avals), tuple(out_flags)

    return graph.cached(("batch", size, name, flags, force), make)
