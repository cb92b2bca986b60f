"""A traced signature of a jitted function, and the short way of calling it again.

The first calls flatten their arguments and look the signature up. After that a call goes through a function made for
the signature: generated code reads the leaves of arguments of that structure (`fnn.tree.reader`), their types are
compared by identity, and the program runs. Arguments that it is not for (other structures, numbers, tracers) make it
answer MISS, and take the long way, as every call inside a trace does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import kernels, tree
from fnn.config import config
from fnn.core.array import SCALAR_TYPES, ConcreteArray, as_array
from fnn.core.ir import Graph
from fnn.core.trace import Tracer
from fnn.errors import ArgumentError
from fnn.transforms.calls import free_axes
from fnn.transforms.compiled import executable, explain_nonfinite

Short = Callable[[tuple, dict[str, Any]], Any]
MISS: Any = object()
_NUMBERS = {ConcreteArray, np.ndarray, *SCALAR_TYPES}
SHORT = 4  # signatures of a function that have a short way


class Entry:
    """One traced signature of a function: its graph, what it captured, and, when it has run, its executable."""

    __slots__ = (
        "graph", "captured", "out_tree", "out_avals", "in_avals", "gone", "inner", "name", "program",
        "single", "quick", "keys",
    )  # fmt: skip

    def __init__(self, graph: Graph, captured: list[Tracer], out_tree: Any, gone: tuple[int, ...], name: str):
        self.graph, self.captured, self.out_tree = graph, captured, out_tree
        self.gone, self.name = gone, name  # the donated inputs; the function, with its place
        self.out_avals = list(graph.out_avals)
        self.in_avals = graph.in_avals
        # part of a trace around it, whatever its arguments are
        self.inner = bool(captured or free_axes(graph))
        self.program: kernels.Executable | None = None
        self.single = out_tree.num_nodes == 1 and out_tree.num_leaves == 1  # the result is one array
        self.quick = False  # whether its calls have, or had, a short way
        self.keys: tuple[Any, ...] = ()  # the inputs that are random keys, and what uses them

    def usable(self) -> bool:
        return not self.captured or all(t.trace.alive for t in self.captured)

    def compiled(self) -> kernels.Executable:
        if self.program is None:
            self.program = executable(self.graph, self.gone, self.name)
        return self.program

    def run(self, leaves: Sequence[Any]) -> Any:
        """The result for concrete arguments; those that are donated end here."""
        program, operands, gone = self.program or self.compiled(), [x._value for x in leaves], self.gone
        debugging = config.debug_nans or config.debug_infs
        for i in gone:
            if debugging or not kernels.sole_view(operands[i], 2):
                operands[i] = leaves[i].value.copy()  # somebody else sees this memory, or will
        try:
            values = program(operands)  # type: ignore[arg-type]  # those that were donated before are None
        except ArgumentError:
            for x in leaves:
                x.value  # noqa: B018  # says so
            raise
        if debugging:
            explain_nonfinite(self.graph, leaves, values, self.name)
        for i in gone:
            leaves[i]._value = None
        if self.single:
            return ConcreteArray(values[0], self.out_avals[0])
        return self.out_tree.unflatten(list(map(ConcreteArray, values, self.out_avals)))

    def result(self, outs: list[Any]) -> Any:
        """What the function returns, from its leaves."""
        return outs[0] if self.single else self.out_tree.unflatten(outs)

    def short(self, structure: tree.PyTreeDef, static: Any) -> Short:
        """The function of (args, kwargs) that runs calls of this signature and answers MISS to others."""
        read, avals, run = tree.reader(structure), list(self.in_avals), self.run
        x64, checks = config.enable_x64, config.check_indices

        def call(args: tuple, kwargs: dict[str, Any]) -> Any:
            leaves = read((args, kwargs))
            if leaves is None or config.enable_x64 is not x64 or config.check_indices is not checks:
                return MISS
            try:
                same = [x.aval for x in leaves] == avals
            except AttributeError:  # not all are arrays
                if not _NUMBERS.issuperset(map(type, leaves)):
                    return MISS
                try:
                    leaves = list(map(as_array, leaves))
                except ArgumentError:  # the long way names the argument
                    return MISS
                same = [x.aval for x in leaves] == avals
            return run(leaves) if same else MISS

        if not static:
            return call
        last_first, names = static[0][::-1], static[1]

        def chosen(args: tuple, kwargs: dict[str, Any]) -> Any:
            rest, named = list(args), dict(kwargs)
            try:
                for i, value in last_first:
                    x = rest.pop(i)
                    if x is not value and (type(x) is not type(value) or x != value):
                        return MISS
                for name, value in names:
                    x = named.pop(name)
                    if x is not value and (type(x) is not type(value) or x != value):
                        return MISS
            except (IndexError, KeyError):
                return MISS
            return call(tuple(rest), named)  # which sees by the structure whether others are missing

        return chosen
