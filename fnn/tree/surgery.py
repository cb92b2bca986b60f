"""Changing a part of a tree: a new tree, equal but for the nodes a function points at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

from fnn.errors import ArgumentError, TreeError
from fnn.tree.registry import NAMESPACE

__all__ = ["at"]

_NOTHING = object()


class _Mark:
    """Stands for a leaf while `where` points at nodes, so that every node is an object of its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ArgumentError(
            f"fnn.tree.at: `where` asked a leaf (a {type(self.value).__name__}) for .{name}; it must only "
            "point at nodes of the tree, as in lambda model: model.layers[0].weight"
        )


def at(
    where: Callable[[Any], Any],
    tree: Any,
    replace: Any = _NOTHING,
    replace_fn: Callable[[Any], Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """A copy of `tree` in which the nodes `where` points at are replaced; everything else is shared.

    Args:
        where: tree -> a node of it, or a tuple or list of nodes. A node is a leaf or a whole subtree.
        tree: any pytree; it is not changed.
        replace: what stands there in the copy; a tuple or list of them where `where` gives several.
        replace_fn: instead of `replace`: node -> what stands there.
        is_leaf: nodes that count as leaves; `lambda x: x is None` allows pointing at a None.

    Raises:
        TreeError: `where` points at something that is no node of the tree (a static field: use `.replace`),
            at one node twice, or at nodes within one another.
        ArgumentError: neither or both of `replace` and `replace_fn`; not as many replacements as nodes.

    >>> at(lambda t: t["layers"][1], {"layers": [1, 2, 3]}, replace=20)
    {'layers': [1, 20, 3]}
    >>> at(lambda t: (t["a"], t["b"]), {"a": 1, "b": 2, "c": 3}, replace_fn=lambda x: -x)
    {'a': -1, 'b': -2, 'c': 3}
    """
    if (replace is _NOTHING) == (replace_fn is None):
        raise ArgumentError("fnn.tree.at: give one of `replace` and `replace_fn`")
    marked = optree.tree_map(_Mark, tree, is_leaf=is_leaf, namespace=NAMESPACE)
    chosen = where(marked)
    several = not _occurs(chosen, marked) and isinstance(chosen, (tuple, list))
    nodes = list(chosen) if several else [chosen]
    order = {id(node): n for n, node in enumerate(nodes)}
    if any(node is None for node in nodes):
        raise TreeError(
            "fnn.tree.at: `where` points at None, or returns nothing. A None in the tree can be pointed at "
            "with is_leaf=lambda x: x is None"
        )
    if len(order) != len(nodes):
        raise TreeError("fnn.tree.at: `where` points at one node more than once")

    parts, treedef = optree.tree_flatten(marked, lambda x: id(x) in order, namespace=NAMESPACE)
    found = [id(part) for part in parts if id(part) in order]
    if sorted(found) != sorted(order):
        missing = [node for node in nodes if id(node) not in found] or nodes
        kinds = ", ".join(_kind(node) for node in missing)
        raise TreeError(
            f"fnn.tree.at: `where` points at {kinds}, which is not one node of the tree by itself. Static "
            "fields are changed with .replace; nodes must not lie within one another"
        )
    new: list[Any]
    if replace_fn is not None:
        new = [replace_fn(_unmark(node)) for node in nodes]
    elif not several:
        new = [replace]
    elif isinstance(replace, (tuple, list)) and len(replace) == len(nodes):
        new = list(replace)
    else:
        count = len(replace) if isinstance(replace, (tuple, list)) else "one"
        raise ArgumentError(f"fnn.tree.at: `where` points at {len(nodes)} nodes, `replace` gives {count}")
    return treedef.unflatten([new[order[id(p)]] if id(p) in order else p.value for p in parts])


def _occurs(node: Any, tree: Any) -> bool:
    """Whether the object `node` itself is a node of `tree`."""
    found = optree.tree_leaves(tree, lambda x: x is node, namespace=NAMESPACE)
    return any(leaf is node for leaf in found)


def _unmark(node: Any) -> Any:
    return optree.tree_map(lambda mark: mark.value, node, namespace=NAMESPACE)


def _kind(node: Any) -> str:
    node = node.value if isinstance(node, _Mark) else node
    return f"a {type(node).__name__}"
