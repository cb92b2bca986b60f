"""The intermediate representation: a typed list of equations, each name assigned once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fnn.core.aval import Aval
from fnn.core.source import Source, current

if TYPE_CHECKING:
    from fnn.core.primitive import Primitive

T = TypeVar("T")


class Var:
    """A typed name, assigned once. Compared by identity."""

    __slots__ = ("aval", "__weakref__")

    def __init__(self, aval: Aval):
        self.aval = aval


class Literal:
    """A constant operand: a Python number or an array."""

    __slots__ = ("value", "aval")

    def __init__(self, value: Any, aval: Aval):
        self.value, self.aval = value, aval

    val = property(lambda self: self.value)  # JAX's names, here and below


Atom = Var | Literal


class Equation:
    """outputs = primitive[params] inputs. Treated as immutable; every parameter is hashable."""

    __slots__ = ("primitive", "inputs", "outputs", "params", "source")

    def __init__(
        self,
        primitive: Primitive,
        inputs: Sequence[Atom],
        outputs: Sequence[Var],
        params: dict[str, Any],
        source: Source | None = None,
    ):
        self.primitive, self.inputs, self.outputs = primitive, tuple(inputs), tuple(outputs)
        self.params, self.source = params, source

    @property
    def invars(self) -> tuple[Atom, ...]:
        """The inputs, as a program written for JAX calls them."""
        return self.inputs

    @property
    def outvars(self) -> tuple[Var, ...]:
        """The outputs, likewise."""
        return self.outputs

    def replace(self, inputs: Sequence[Atom]) -> Equation:
        return Equation(self.primitive, inputs, self.outputs, self.params, self.source)


class Graph:
    """A closed first-order function: inputs, equations, outputs. Immutable; `memo` caches what is derived
    from it.

    Calling a graph runs its equations on any values, traced ones included: that is how transformations
    walk it, and on concrete arrays it is the reference interpreter."""

    __slots__ = ("inputs", "outputs", "equations", "memo", "__weakref__")

    def __init__(self, inputs: Sequence[Var], outputs: Sequence[Atom], equations: Sequence[Equation]):
        self.inputs, self.outputs, self.equations = tuple(inputs), tuple(outputs), tuple(equations)
        self.memo: dict[Hashable, Any] = {}

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        return tuple([v.aval for v in self.inputs])

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        return tuple([a.aval for a in self.outputs])

    # What a program written for JAX calls these.
    @property
    def jaxpr(self) -> Graph:
        """The graph itself."""
        return self

    @property
    def eqns(self) -> tuple[Equation, ...]:
        """The equations."""
        return self.equations

    @property
    def invars(self) -> tuple[Var, ...]:
        """The inputs."""
        return self.inputs

    @property
    def outvars(self) -> tuple[Atom, ...]:
        """The outputs."""
        return self.outputs

    @property
    def consts(self) -> tuple[Any, ...]:
        """Nothing: constants stand where they are used."""
        return ()

    @property
    def constvars(self) -> tuple[Var, ...]:
        """Nothing."""
        return ()

    @property
    def effects(self) -> frozenset[str]:
        """Whether an equation does more than compute its results."""
        return frozenset({"effect"} if effects_of(self) else ())

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """The derived thing `key`, made at most once."""
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = make()
        return found

    def __call__(self, *args: Any) -> list[Any]:
        env: dict[Var, Any] = dict(zip(self.inputs, args, strict=True))

        def read(atom: Atom) -> Any:
            return atom.value if type(atom) is Literal else env[atom]  # type: ignore[index]  # it is a Var

        outer = current.source
        try:
            for eqn in self.equations:
                current.source = eqn.source or outer
                out = eqn.primitive(*map(read, eqn.inputs), **eqn.params)
                if eqn.primitive.multiple:
                    env.update(zip(eqn.outputs, out, strict=True))
                else:
                    env[eqn.outputs[0]] = out
        finally:
            current.source = outer
        return [read(a) for a in self.outputs]

    def __str__(self) -> str:
        from fnn.core.printer import pretty  # the printer is a reader of graphs, not part of them

        return pretty(self)

    def text(self, sources: bool = False) -> str:
        """The graph, one equation a line; with `sources` each line names the user's line it came from."""
        from fnn.core.printer import pretty

        return pretty(self, sources)

    def draw(self, path: str | None = None) -> Any:
        """A picture: written to path (.svg, .png, .pdf), or the matplotlib figure without one."""
        from fnn.core.drawing import draw

        return draw(self, path)

    def _repr_svg_(self) -> str | None:
        from fnn.core.drawing import svg_or_none

        return svg_or_none(self)


def subgraphs(params: dict[str, Any]) -> Iterator[tuple[str, Graph]]:
    """(name, graph) for every graph among an equation's parameters."""
    for name, value in params.items():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Graph):
                yield name, item


def has_effect(eqn: Equation) -> bool:
    """Whether an equation, or one of the graphs it holds, does more than compute its results."""
    primitive = eqn.primitive
    if primitive.effect is not None and primitive.effect(eqn.params):
        return True
    return primitive.multiple and any(
        effects_of(g) for _, g in subgraphs(eqn.params)
    )  # only those hold graphs


def effects_of(graph: Graph) -> bool:
    """Whether any equation of a graph has an effect."""
    return graph.cached("effects", lambda: (any(map(has_effect, graph.equations)),))[0]


def count(graph: Graph) -> int:
    """Number of equations, nested graphs included."""
    return sum(1 + sum(count(g) for _, g in subgraphs(e.params)) for e in graph.equations)
