"""The rules every graph keeps; run on every pass's output in tests."""

from __future__ import annotations

from fnn.core.aval import same_type
from fnn.core.ir import Atom, Graph, Literal, Var, subgraphs
from fnn.core.source import short
from fnn.errors import GraphError


def check(graph: Graph, path: str = "graph") -> Graph:
    """Raise GraphError unless every name is defined once and before its use, and every type follows from the
    shape rules.

    Returns the graph."""
    defined: set[Var] = set()

    def define(var: Var, where: str) -> None:
        if type(var) is not Var:
            raise GraphError(f"{where}: {var!r} is not a variable")
        if var in defined:
            raise GraphError(f"{where}: a variable is assigned twice")
        defined.add(var)

    def use(atom: Atom, where: str) -> None:
        if type(atom) is Var and atom not in defined:
            raise GraphError(f"{where}: a variable is used before it is assigned")
        if type(atom) is not Var and type(atom) is not Literal:
            raise GraphError(f"{where}: {atom!r} is not an operand")

    for var in graph.inputs:
        define(var, f"{path} inputs")
    for index, eqn in enumerate(graph.equations):
        where = f"{path}, equation {index} ({eqn.primitive.name}, {short(eqn.source)})"
        for atom in eqn.inputs:
            use(atom, where)
        for value in eqn.params.values():
            try:
                hash(value)
            except TypeError:
                raise GraphError(f"{where}: the parameter {value!r} is not hashable") from None
        want = eqn.primitive.shape(*[a.aval for a in eqn.inputs], **eqn.params)
        want = tuple(want) if eqn.primitive.multiple else (want,)
        have = tuple(v.aval for v in eqn.outputs)
        if len(want) != len(have) or not all(map(same_type, want, have)):
            raise GraphError(f"{where}: declared {have}, but the shape rule gives {want}")
        for var in eqn.outputs:
            define(var, where)
        for name, inner in subgraphs(eqn.params):
            check(inner, f"{where}, {name}")
    for atom in graph.outputs:
        use(atom, f"{path} outputs")
    return graph
