"""`jax.interpreters.partial_eval`: what of a function can be computed before the rest of its arguments are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fnn.compat.jax.core import get_aval, with_constants
from fnn.compat.jax.linear_util import WrappedFun
from fnn.core.aval import Aval
from fnn.core.ir import Equation, Graph, Literal, Var, has_effect
from fnn.core.trace import Stage, Tracer, stage
from fnn.transforms.passes.dce import dce

__all__ = [
    "DynamicJaxprTracer",
    "PartialVal",
    "dce_jaxpr",
    "trace_to_jaxpr_dynamic",
    "trace_to_jaxpr_nounits",
]


class PartialVal(NamedTuple):
    """A value, or its type alone."""

    aval: Any
    value: Any

    @classmethod
    def known(cls, const: Any) -> PartialVal:
        return cls(None, const)

    @classmethod
    def unknown(cls, aval: Any) -> PartialVal:
        return cls(aval, None)

    def is_known(self) -> bool:
        return self.aval is None

    def get_known(self) -> Any:
        return self.value if self.is_known() else None

    def get_aval(self) -> Any:
        return get_aval(self.value) if self.is_known() else self.aval


class _Staged(type):
    def __instancecheck__(cls, x: object) -> bool:
        return type(x) is Tracer and isinstance(x.trace, Stage)


class DynamicJaxprTracer(metaclass=_Staged):
    """An array of a function that is traced without values is an instance."""


def _type(aval: Any) -> Aval:
    return Aval(tuple(aval.shape), aval.dtype, getattr(aval, "weak_type", False))


def trace_to_jaxpr_dynamic(fun: WrappedFun, in_avals: Sequence[Any], *_: Any, **__: Any) -> Any:
    """(graph, types of its results, what it closes over)."""
    graph, captured = stage(lambda *xs: fun.call_wrapped(*xs), list(map(_type, in_avals)))
    jaxpr = with_constants(graph, len(captured))
    return jaxpr, [get_aval(a) for a in graph.out_avals], list(captured)


def trace_to_jaxpr_nounits(fun: WrappedFun, pvals: Sequence[PartialVal], instantiate: Any = False) -> Any:
    """(graph of what depends on unknown arguments, a PartialVal for each result, what the graph takes beside them).

    Results that depend on known arguments alone are computed. `instantiate` makes them results of the graph all the same.
    """
    unknown = [p for p in pvals if not p.is_known()]

    def call(*xs: Any) -> Any:
        rest = iter(xs)
        return fun.call_wrapped(*[p.value if p.is_known() else next(rest) for p in pvals])

    graph, captured = stage(call, [_type(p.aval) for p in unknown])
    known: dict[Var, Any] = dict(zip(graph.inputs[len(unknown) :], captured, strict=True))
    equations: list[Equation] = []

    def value(atom: Any) -> Any:
        return atom.value if isinstance(atom, Literal) else known[atom]

    def is_known(atom: Any) -> bool:
        return isinstance(atom, Literal) or atom in known

    for eqn in graph.equations:
        if all(map(is_known, eqn.inputs)) and not has_effect(eqn):
            out = eqn.primitive(*map(value, eqn.inputs), **eqn.params)
            known.update(zip(eqn.outputs, out if eqn.primitive.multiple else [out], strict=True))
        else:
            equations.append(eqn)
    kept = [instantiate] * len(graph.outputs) if isinstance(instantiate, bool) else list(instantiate)
    outs, results = [], []
    for atom, keep in zip(graph.outputs, kept, strict=True):
        if is_known(atom) and not keep:
            results.append(PartialVal.known(value(atom)))
        else:
            results.append(PartialVal.unknown(get_aval(atom.aval)))
            outs.append(atom)
    used = [v for eqn in equations for v in eqn.inputs] + outs
    consts = list(dict.fromkeys(v for v in used if isinstance(v, Var) and v in known))
    inputs = graph.inputs[: len(unknown)]
    jaxpr = with_constants(Graph([*inputs, *consts], outs, equations), len(consts))
    return jaxpr, results, [known[v] for v in consts]


def dce_jaxpr(jaxpr: Any, used_outputs: Sequence[bool], instantiate: Any = False) -> tuple[Any, list[bool]]:
    """(the graph of these results alone, which inputs it uses)."""
    cut = dce(
        Graph(
            jaxpr.inputs, [o for o, u in zip(jaxpr.outputs, used_outputs, strict=True) if u], jaxpr.equations
        )
    )
    read = {v for eqn in cut.equations for v in eqn.inputs} | set(cut.outputs)
    keep = [instantiate] * len(cut.inputs) if isinstance(instantiate, bool) else list(instantiate)
    used = [v in read or k for v, k in zip(cut.inputs, keep, strict=True)]
    return Graph([v for v, u in zip(cut.inputs, used, strict=True) if u], cut.outputs, cut.equations), used
