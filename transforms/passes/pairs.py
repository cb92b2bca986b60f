"""Complex values as pairs of real ones, which is all that kernels know.

Inside a program a complex value is two real values; every equation that meets one is rewritten by its primitive's rule
`pairs`. Where the program begins and ends, and around library routines, a complex array is what it is in memory: a
real one with a last axis of 2, whose parts are strided views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.ir import Atom, Equation, Graph, Literal, subgraphs
from fnn.core.lowering import Decompose, Library, NativeCall
from fnn.core.source import current, describe
from fnn.core.trace import closed_stage
from fnn.errors import UnsupportedError
from fnn.primitives.complex_numbers import joined, parts
from fnn.primitives.pairs import Pair, as_pair, interleaved, separated, settled
from fnn.transforms.passes.inline import INLINED, decomposed


def pairs(graph: Graph) -> Graph:
    """The same program, its complex values as pairs. Raises UnsupportedError, with the line, where there is no rule."""
    return _paired(graph, edges=True) if _holds_complex(graph) else graph


def _is_complex(aval: Aval) -> bool:
    return dtypes.is_complex(aval.dtype)


def _holds_complex(graph: Graph) -> bool:
    def find() -> tuple[bool]:
        for atom in (*graph.inputs, *graph.outputs):
            if _is_complex(atom.aval):
                return (True,)
        return (any(map(_meets_complex, graph.equations)),)

    return graph.cached("holds complex", find)[0]


def _meets_complex(eqn: Equation) -> bool:
    return any(_is_complex(a.aval) for a in (*eqn.inputs, *eqn.outputs)) or any(
        _holds_complex(g) for _, g in subgraphs(eqn.params)
    )


def _paired(graph: Graph, edges: bool) -> Graph:
    """The graph on pairs. Its inputs and outputs are complex still with `edges`; else each complex one is two."""

    def make() -> Graph:
        def f(*xs: Any) -> list[Any]:
            if edges:
                args = [
                    separated(parts(x)) if _is_complex(v.aval) else x
                    for v, x in zip(graph.inputs, xs, strict=True)
                ]
                outs = _walk(graph, args)
                return [joined(interleaved(x)) if isinstance(x, Pair) else x for x in outs]
            return _flat(_walk(graph, _together(xs, graph.in_avals)))

        return closed_stage(f, list(graph.in_avals) if edges else _flat_avals(graph.in_avals))

    return graph.cached(("pairs", edges), make)


# -- pairs and their parts in lists ----------------------------------------------------------------------------


def _flat_avals(avals: Sequence[Aval]) -> list[Aval]:
    return [
        part
        for a in avals
        for part in ([a.update(dtype=dtypes.real_of(a.dtype))] * 2 if _is_complex(a) else [a])
    ]


def _flat(values: Sequence[Any]) -> list[Any]:
    return [part for x in values for part in ((x.re, x.imag) if isinstance(x, Pair) else (x,))]


def _together(values: Sequence[Any], avals: Sequence[Aval]) -> list[Any]:
    rest = iter(values)
    return [Pair(next(rest), next(rest)) if _is_complex(a) else next(rest) for a in avals]


def _width(avals: Sequence[Aval]) -> int:
    return len(_flat_avals(avals))


# -- equations -------------------------------------------------------------------------------------------------


def _walk(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """Run a graph's equations; complex values are pairs."""
    env: dict[Atom, Any] = dict(zip(graph.inputs, args, strict=True))
    outer = current.source
    try:
        for eqn in graph.equations:
            current.source = eqn.source or outer
            ins = [_constant(a) if type(a) is Literal else env[a] for a in eqn.inputs]
            if _meets_complex(eqn):
                outs = _rewritten(eqn, ins)
                outs = [settled(x, v.aval) for x, v in zip(outs, eqn.outputs, strict=True)]
            else:
                out = eqn.primitive(*ins, **eqn.params)
                outs = out if eqn.primitive.multiple else [out]
            env.update(zip(eqn.outputs, outs, strict=True))
    finally:
        current.source = outer
    return [settled(_constant(a), a.aval) if type(a) is Literal else env[a] for a in graph.outputs]


def _constant(atom: Literal) -> Any:
    if not _is_complex(atom.aval):
        return atom.value
    if atom.aval.weak_type and not atom.aval.shape:
        return as_pair(complex(atom.value))  # with all its digits
    value = np.asarray(atom.value, atom.aval.dtype)
    return Pair(*[np.ascontiguousarray(part(value)).reshape(value.shape) for part in (np.real, np.imag)])


def _rewritten(eqn: Equation, ins: Sequence[Any]) -> Sequence[Any]:
    primitive, params = eqn.primitive, eqn.params
    body = INLINED.get(primitive.name)
    if body is not None:
        return _walk(params[body], ins)
    holder = _HOLDERS.get(primitive.name)
    if holder is not None:
        out = primitive(*_flat(ins), **holder(eqn))
        return _together(out, [v.aval for v in eqn.outputs])
    if isinstance(primitive.lower, (Library, NativeCall)):  # it knows complex arrays as they lie in memory
        out = primitive(*[joined(interleaved(x)) if isinstance(x, Pair) else x for x in ins], **params)
        outs = out if primitive.multiple else [out]
        return [
            separated(parts(x)) if _is_complex(v.aval) else x for x, v in zip(outs, eqn.outputs, strict=True)
        ]
    if primitive.pairs is not None:
        out = primitive.pairs(ins, params)
    elif isinstance(primitive.lower, Decompose):
        return _walk(decomposed(eqn), ins)
    else:
        raise UnsupportedError(
            f"{primitive.name} of complex numbers cannot be compiled, at {describe(eqn.source)}; run this part without jit"
        )
    return out if primitive.multiple else [out]


# -- what holds graphs -----------------------------------------------------------------------------------------


def _scan(eqn: Equation) -> dict[str, Any]:
    p, avals = eqn.params, eqn.params["graph"].in_avals
    first, last = p["consts"], p["consts"] + p["carry"]
    return {
        **p,
        "graph": _paired(p["graph"], edges=False),
        "consts": _width(avals[:first]),
        "carry": _width(avals[first:last]),
    }


def _while(eqn: Equation) -> dict[str, Any]:
    p = eqn.params
    return {
        **p,
        "test": _paired(p["test"], edges=False),
        "body": _paired(p["body"], edges=False),
        "cond_consts": _width(p["test"].in_avals[: p["cond_consts"]]),
        "body_consts": _width(p["body"].in_avals[: p["body_consts"]]),
    }


def _cond(eqn: Equation) -> dict[str, Any]:
    return {**eqn.params, "branches": tuple([_paired(g, edges=False) for g in eqn.params["branches"]])}


def _remat(eqn: Equation) -> dict[str, Any]:
    return {**eqn.params, "graph": _paired(eqn.params["graph"], edges=False)}


_HOLDERS: dict[str, Callable[[Equation], dict[str, Any]]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "remat": _remat,
}
