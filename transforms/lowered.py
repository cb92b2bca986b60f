"""What `jit(f).lower(...)` answers: a function traced for given types, every stage of whose compilation can be
looked at, and the compiled program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fnn import kernels, tree
from fnn.core.ir import Graph
from fnn.core.source import describe
from fnn.core.trace import Tracer, state
from fnn.errors import ArgumentError
from fnn.transforms.compiled import numpy_value
from fnn.transforms.dispatch import MISS, Entry
from fnn.transforms.flattening import ShapeDtypeStruct, flatten_arguments

if TYPE_CHECKING:
    from fnn.transforms.jit import Jitted


class Lowered:
    """A function traced for given types: its graph, plan and kernels, and the way to the compiled program."""

    def __init__(self, entry: Entry, jitted: Jitted, structure: tree.PyTreeDef, static: Any):
        self._entry, self._jitted, self._structure, self._static = entry, jitted, structure, static

    @property
    def out_info(self) -> Any:
        """Shapes and dtypes of the result."""
        return tree.unflatten(
            self._entry.out_tree,
            [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in self._entry.out_avals],
        )

    @property
    def jaxpr(self) -> Graph:
        """The traced graph."""
        return self._entry.graph

    def lower(self) -> Lowered:
        """Itself: what `jit(f).trace(x)` returns is lowered already."""
        return self

    def graph(self, optimized: bool = False) -> Graph:
        """The traced graph, or what the passes make of it; print it."""
        if not optimized:
            return self._entry.graph
        from fnn.transforms.passes.pipeline import optimize  # not every program looks

        return optimize(self._entry.graph)

    def _program(self) -> kernels.Executable:
        return self._entry.compiled()

    def plan(self) -> str:
        """Every kernel call in order, with sizes, memory and source lines."""
        return self._program().plan()

    def kernels(self) -> dict[str, str]:
        """The generated kernels as readable Numba source, by name."""
        return self._program().kernels()

    def as_text(self) -> str:
        """The optimised graph."""
        return str(self.graph(optimized=True))

    def compile(self) -> Compiled:
        """The compiled program."""
        return Compiled(self._entry, self._jitted, self._structure, self._static)


class Compiled(Lowered):
    """A compiled program; call it with arguments of the types it was compiled for, without the static ones (or
    with the very same)."""

    def __init__(self, entry: Entry, jitted: Jitted, structure: tree.PyTreeDef, static: Any):
        super().__init__(entry, jitted, structure, static)
        self._program()
        self._short = entry.short(structure, ())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out = MISS if state.depth else self._short(args, kwargs)
        return self._entry.run(self._leaves(args, kwargs)) if out is MISS else out

    def _leaves(self, args: tuple, kwargs: dict[str, Any]) -> list[Any]:
        """The arguments' leaves as arrays, once they are what the program was compiled for."""
        dynamic, named, static = args, kwargs, self._static
        structure = tree.structure((dynamic, named))
        if self._static and structure != self._structure:
            dynamic, named, static = self._jitted._take_static(args, kwargs)
            structure = tree.structure((dynamic, named))
        if structure != self._structure or static != self._static:
            raise ArgumentError(
                f"{self._jitted!r} was compiled for arguments of the structure {self._structure}"
                f"{f' and static {self._static}' if self._static else ''} and called with {structure}"
                f"{f' and static {static}' if static else ''}; call the jitted function itself, which compiles for each"
            )
        leaves, _ = flatten_arguments("a compiled program", (dynamic, named))
        have = tuple([x.aval.strong() for x in leaves])
        want = tuple([a.strong() for a in self._entry.in_avals])
        if have != want:
            raise ArgumentError(
                f"{self._jitted!r} was compiled for {', '.join(map(str, want))} and called with "
                f"{', '.join(map(str, have))}; call the jitted function itself, which compiles for every type"
            )
        for x in leaves:
            if type(x) is Tracer:
                raise ArgumentError(
                    f"{self._jitted!r}, compiled, was called with a traced {x.aval}, made at {describe(x.source)}: a "
                    "compiled program cannot be transformed; call the jitted function itself"
                )
        return leaves

    def memory(self) -> Any:
        """Bytes of the arena, constants, inputs and outputs."""
        return self._program().memory()

    def memory_analysis(self) -> Any:
        """As `memory`."""
        return self.memory()

    def cost(self) -> Any:
        """Estimated operations and bytes."""
        return self._program().cost()

    def cost_analysis(self) -> Any:
        """As `cost`."""
        return self.cost()

    def profile(self, *args: Any, **kwargs: Any) -> Any:
        """The time of every kernel in one run with these arguments, printable."""
        return self._program().profile([numpy_value(x, x.dtype) for x in self._leaves(args, kwargs)])

    @property
    def times(self) -> dict[str, float]:
        """Seconds spent on each stage of compilation."""
        return self._program().times
