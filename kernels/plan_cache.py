"""Finished plans by graph: a later process that meets the same graph lowers nothing, plans nothing and
compiles nothing.

`graph_key` names a graph by all its plan depends on, whatever its variables are called; `fnn.kernels.cache`
adds the machine, the versions and the state of fnn's own sources, and guards every file with a checksum.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval
from fnn.core.ir import Graph, Literal, Var
from fnn.errors import ArgumentError
from fnn.kernels import cache
from fnn.kernels.cpu.table import Table
from fnn.kernels.ownership import is_own
from fnn.records import is_record, names_of

# A plan holds its constants; above this many bytes reading it back is no faster than planning.
LARGEST = 1 << 26


class _Unstable(Exception):
    """Something in the graph cannot be named by content: a function, or an object of an unknown class."""


def graph_key(graph: Graph, donated: Iterable[int] = (), printer: str = "vector") -> str | None:
    """A name for a graph's plan; None if the graph holds something that cannot be named by its content: a
    function, or a primitive of the user's own, whose meaning may be another one in the next process."""
    try:
        content = graph.cached("kernels.graph_key", lambda: _digest(graph))
    except _Unstable:
        return None
    return hashlib.sha256(f"{content} {sorted(donated)} {printer}".encode()).hexdigest()[:32]


def load(key: str, inputs: int) -> tuple[Table, dict[str, Any]] | None:
    """The table and the record beside it that were saved for a graph of so many inputs; None if there is no
    sound one."""
    data = cache.load_plan(key)
    if data is None:
        return None
    try:
        table, record = Table.from_bytes(data)
        table.check()
    except (ValueError, ArgumentError):
        return None
    if table.inputs != inputs or not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    return table, record


def save(key: str, table: Table, record: dict[str, Any]) -> None:
    """Keep a table and a record (of what JSON can say) under a graph's key, unless it is too large to be
    worth it."""
    if sum(c.nbytes for c in table.constants.values()) <= LARGEST:
        cache.save_plan(key, table.to_bytes({**record, "format": FORMAT}))


FORMAT = 1


# -- naming by content
# ------------------------------------------------------------------------------------------


def _digest(graph: Graph) -> str:
    return _Hasher().graph(graph)


class _Hasher:
    """Writes down a graph's content. Everything is preceded by a tag and, where its length varies, by
    that."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.numbers: dict[Var, int] = {}

    def graph(self, graph: Graph) -> str:
        self.vars(graph.inputs)
        self.put("equations", len(graph.equations))
        for eqn in graph.equations:
            if not is_own(eqn.primitive):
                raise _Unstable(eqn.primitive.name)
            self.put("eqn", eqn.primitive.name, len(eqn.inputs), len(eqn.params))
            for atom in eqn.inputs:
                self.atom(atom)
            for name, value in eqn.params.items():
                self.put(name)
                self.value(value)
            self.vars(eqn.outputs)
        self.put("outputs", len(graph.outputs))
        for atom in graph.outputs:
            self.atom(atom)
        return self.digest()

    def digest(self) -> str:
        return hashlib.sha256("".join(self.words).encode()).hexdigest()

    def put(self, *words: object) -> None:
        self.words += [f"{len(word)} {word}" for word in map(str, words)]

    def vars(self, variables: Iterable[Var]) -> None:
        variables = tuple(variables)
        self.put("vars", len(variables))
        for v in variables:
            self.numbers[v] = len(self.numbers)
            self.put(_aval(v.aval))

    def atom(self, atom: Var | Literal) -> None:
        if isinstance(atom, Literal):
            self.put("literal", _aval(atom.aval))
            self.value(atom.value)
        else:
            self.put("var", self.numbers[atom])

    def value(self, x: Any) -> None:
        """Anything that may stand among an equation's parameters."""
        put = self.put
        if x is None or (
            isinstance(x, (bool, int, str, bytes, range, slice)) and not isinstance(x, enum.Enum)
        ):
            put(type(x).__name__, repr(x))
        elif type(x) is tuple and all(type(n) is int for n in x):  # shapes, axes: nearly all parameters
            put("ints", x)
        elif isinstance(x, enum.Enum):
            put("enum", type(x).__module__, type(x).__qualname__, x.name)
        elif isinstance(x, np.generic | np.ndarray):
            content = hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest()
            put("array", x.dtype.name, x.dtype.str, x.shape, content)
        elif isinstance(x, (float, complex)):
            put(type(x).__name__, struct.pack("<dd", x.real, x.imag).hex())
        elif isinstance(x, np.dtype):
            put(_dtype(x))
        elif isinstance(x, type):
            put("type", x.__module__, x.__qualname__)
        elif isinstance(x, Aval):
            put(_aval(x))
        elif isinstance(x, ConcreteArray):
            self.value(x.value)
        elif isinstance(x, Graph):
            put("graph", x.cached("kernels.graph_key", lambda: _digest(x)))
        elif isinstance(x, (tuple, list)):
            put(type(x).__name__, len(x))
            for item in x:
                self.value(item)
        elif isinstance(x, dict):
            put("dict", len(x))
            for item in x.items():
                self.value(item)
        elif isinstance(x, frozenset):
            put("set", len(x))
            for name in sorted(_of(item) for item in x):
                put(name)
        elif is_record(x) or dataclasses.is_dataclass(x):
            put("dataclass", type(x).__module__, type(x).__qualname__)
            for name in names_of(x) if is_record(x) else [field.name for field in dataclasses.fields(x)]:
                put(name)
                self.value(getattr(x, name))
        else:
            raise _Unstable(type(x).__qualname__)


def _of(x: Any) -> str:
    hasher = _Hasher()
    hasher.value(x)
    return hasher.digest()


@functools.cache
def _dtype(dtype: np.dtype) -> str:
    return f"dtype {dtype.name} {dtype.str} {dtype.names}"


@functools.cache
def _aval(aval: Aval) -> str:
    return f"aval {aval.shape} {aval.dtype.name} {aval.dtype.str} {aval.weak_type}"
