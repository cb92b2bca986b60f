"""Straight-line code that takes trees of one known structure apart: what a repeated call pays instead of a
flatten.

>>> import fnn.tree
>>> read = reader(fnn.tree.structure({"b": 1, "a": (2, None)}))
>>> read({"a": (5, None), "b": 6}), read({"a": 5, "b": 6})
((5, 6), None)
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import optree

from fnn.tree.match import Kind, PyTreeDef, static_of
from fnn.tree.registry import ATTRIBUTES, NAMESPACE, same

__all__ = ["reader", "reader_text"]

Reader = Callable[[Any], tuple[Any, ...] | None]


def reader(treedef: PyTreeDef) -> Reader:
    """A function of a tree: its leaves, as a tuple, if it has exactly this structure, static fields included;
    else None. Where the structure has a leaf, the tree may have anything: what the caller expects of leaves
    it checks itself."""
    text, names = reader_text(treedef)
    exec(compile(text, "<reader>", "exec"), names)  # the text holds no names but its own
    return names["read"]


def reader_text(treedef: PyTreeDef) -> tuple[str, dict[str, Any]]:
    """The function `read` as Python source, and what its names stand for."""
    writer = _Writer()
    leaves = writer.node(treedef, "tree")
    found = ", ".join(leaves)
    writer.lines.append(f"return ({found}{',' * (len(leaves) == 1)})" if leaves else "return ()")
    body = "\n        ".join(writer.lines)
    missing = "    except (KeyError, AttributeError):\n        return None\n"
    return f"def read(tree):\n    try:\n        {body}\n{missing}", writer.names


class _Writer:
    """Collects the statements that check a tree, and the expressions its leaves are read by."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"same": same}

    def name(self, thing: Any) -> str:
        """A name for an object in the text."""
        name = f"c{len(self.names)}"
        self.names[name] = thing
        return name

    def demand(self, wrong: str) -> None:
        self.lines.append(f"if {wrong}: return None")

    def children(self, treedef: PyTreeDef, expression: str, several: bool) -> list[str]:
        """What reads the leaves below a node. `expression` gives its children, as a tuple or list of them with
        `several`, else the only one."""
        below = treedef.children()
        if several and all(c.kind == Kind.LEAF for c in below):
            return [f"*{expression}"]
        names = [f"v{len(self.lines)}_{i}" for i in range(len(below))]
        self.lines.append(f"{', '.join(names)}{',' * (several and len(names) == 1)} = {expression}")
        return [leaf for child, name in zip(below, names, strict=True) for leaf in self.node(child, name)]

    def node(self, treedef: PyTreeDef, at: str) -> list[str]:
        """The expressions of the leaves below a node, which the variable `at` holds."""
        kind, size = treedef.kind, treedef.num_children
        if kind == Kind.LEAF:
            return [at]
        if kind == Kind.NONE:
            self.demand(f"{at} is not None")
            return []
        cls: Any = treedef.type
        if kind in (Kind.TUPLE, Kind.LIST, Kind.NAMEDTUPLE):
            self.demand(f"type({at}) is not {self.name(cls)} or len({at}) != {size}")
            return self.children(treedef, at, True) if size else []
        if kind == Kind.DICT and cls is dict:
            self.demand(f"type({at}) is not dict or len({at}) != {size}")
            keys = treedef.entries()
            if not size:
                return []
            return self.children(treedef, f"{self.name(operator.itemgetter(*keys))}({at})", size > 1)
        if cls in ATTRIBUTES:
            data, static = ATTRIBUTES[cls]
            self.demand(f"type({at}) is not {self.name(cls)}")
            values = static_of(treedef)
            for field, value in zip(static, values.value if values is not None else (), strict=True):
                known = self.name(value)
                self.demand(f"{at}.{field} is not {known} and not same({at}.{field}, {known})")
            if not size:
                return []
            return self.children(treedef, f"{self.name(operator.attrgetter(*data))}({at})", size > 1)
        # Whatever else there is (ordered dicts, deques, classes that flatten themselves) is taken apart anew.
        leaves, found = f"v{len(self.lines)}_l", f"v{len(self.lines)}_s"
        self.lines.append(f"{leaves}, {found} = {self.name(_flatten)}({at})")
        self.demand(f"{found} != {self.name(treedef)}")
        return [f"*{leaves}"] if treedef.num_leaves else []


def _flatten(tree: Any) -> tuple[list[Any], PyTreeDef]:
    return optree.tree_flatten(tree, namespace=NAMESPACE)
