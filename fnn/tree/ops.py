"""Taking pytrees apart, putting them together, and mapping over them."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable, Iterable
from typing import Any

import optree

from fnn.errors import ArgumentError, TreeError
from fnn.tree.keys import KeyPath
from fnn.tree.match import Kind, PyTreeDef, check_structure, flatten_up_to, leaf_paths
from fnn.tree.registry import NAMESPACE

IsLeaf = Callable[[Any], bool] | None


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """(leaves, structure) of a tree.

    Args:
        tree: nested dicts, lists, tuples, modules, ...; anything else is a leaf. None has no leaves.
        is_leaf: called with every node; where it says True the node is a leaf.

    >>> leaves, treedef = flatten({"b": (1, 2), "a": None})
    >>> leaves
    [1, 2]
    >>> unflatten(treedef, "xy")
    {'b': ('x', 'y'), 'a': None}
    """
    return optree.tree_flatten(tree, is_leaf, namespace=NAMESPACE)


def unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of this structure with these leaves.

    Raises:
        TreeError: the number of leaves is not the structure's.
    """
    if not isinstance(treedef, PyTreeDef):
        raise ArgumentError(
            f"fnn.tree.unflatten(treedef, leaves): treedef is a {type(treedef).__name__}; it comes from "
            "fnn.tree.structure or fnn.tree.flatten, and stands first"
        )
    leaves = leaves if type(leaves) is list else list(leaves)
    if len(leaves) != treedef.num_leaves:
        raise TreeError(
            f"fnn.tree.unflatten: {len(leaves)} leaves for a structure of {treedef.num_leaves}: {treedef}"
        )
    return treedef.unflatten(leaves)


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree, dicts in the order of their sorted keys.

    >>> leaves({"b": 1, "a": [2, None, 3]})
    [2, 3, 1]
    """
    return optree.tree_leaves(tree, is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of a tree: everything but its leaves, static fields included. Hashable and comparable."""
    return optree.tree_structure(tree, is_leaf, namespace=NAMESPACE)


def map(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """`f` applied to every leaf of `tree`, together with what stands in its place in the other trees.

    Args:
        f: a function of as many arguments as there are trees.
        tree: its structure is the result's.
        rest: trees that begin with that structure; where `tree` has a leaf they may have a whole subtree,
            which `f` then gets.
        is_leaf: called with every node of `tree`; where it says True the node is a leaf.

    Raises:
        TreeError: another tree does not begin with the structure of the first; the message names the paths.

    >>> map(lambda p, g: p - g, {"w": 3, "b": 2}, {"w": 1, "b": 2})
    {'w': 2, 'b': 0}
    """
    first, treedef = optree.tree_flatten(tree, is_leaf, namespace=NAMESPACE)
    if not rest:
        return treedef.unflatten([f(leaf) for leaf in first])
    columns = [first, *_columns("fnn.tree.map", treedef, rest)]
    return treedef.unflatten([f(*row) for row in zip(*columns, strict=True)])


def _columns(where: str, treedef: PyTreeDef, rest: tuple[Any, ...]) -> list[list[Any]]:
    try:
        return [treedef.flatten_up_to(other) for other in rest]
    except ValueError:
        return [flatten_up_to(treedef, t, where, ("tree 1", f"tree {n}")) for n, t in enumerate(rest, 2)]


def reduce(
    function: Callable[[Any, Any], Any], tree: Any, initializer: Any = ..., is_leaf: IsLeaf = None
) -> Any:
    """`function` folded over the leaves, as `functools.reduce` does.

    >>> reduce(lambda total, x: total + x, {"a": 1, "b": (2, 3)}, 0)
    6
    """
    found = leaves(tree, is_leaf)
    if initializer is not ...:
        return functools.reduce(function, found, initializer)
    if not found:
        raise TreeError("fnn.tree.reduce: the tree has no leaves; give an initializer")
    return functools.reduce(function, found)


def all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """Whether every leaf is true.

    >>> all({"a": True, "b": [True, False]})
    False
    """
    return builtins.all(leaves(tree, is_leaf))


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether every object is a leaf (None is none)."""
    return builtins.all(
        optree.tree_is_leaf(x, is_leaf, namespace=NAMESPACE) and x is not None for x in iterable
    )


def flatten_with_path(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `flatten`, with the path of each leaf: ([(path, leaf), ...], structure).

    >>> from fnn.tree import keystr
    >>> pairs, _ = flatten_with_path({"layers": [1, 2]})
    >>> [(keystr(path), leaf) for path, leaf in pairs]
    [("['layers'][0]", 1), ("['layers'][1]", 2)]
    """
    found, treedef = flatten(tree, is_leaf)
    return list(zip(leaf_paths(treedef), found, strict=True)), treedef


def leaves_with_path(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[KeyPath, Any]]:
    """The leaves with their paths: [(path, leaf), ...]."""
    return flatten_with_path(tree, is_leaf)[0]


def map_with_path(f: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """As `map`, where `f` gets the path of the leaf first.

    >>> from fnn.tree import keystr
    >>> map_with_path(lambda path, x: keystr(path), {"w": 1, "b": (2,)})
    {'w': "['w']", 'b': ("['b'][0]",)}
    """
    first, treedef = flatten(tree, is_leaf)
    columns = [leaf_paths(treedef), first, *_columns("fnn.tree.map_with_path", treedef, rest)]
    return treedef.unflatten([f(*row) for row in zip(*columns, strict=True)])


def transpose(outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, pytree_to_transpose: Any) -> Any:
    """A tree of structure outer(inner) turned into inner(outer).

    Args:
        outer_treedef: the structure of the outer levels.
        inner_treedef: the structure below each leaf of the outer one; None to take it from the tree.
        pytree_to_transpose: the tree.

    Raises:
        TreeError: the tree has not that structure.

    >>> transpose(structure([0, 0]), structure({"a": 0}), [{"a": 1}, {"a": 2}])
    {'a': [1, 2]}
    """
    where = "fnn.tree.transpose"
    subtrees = flatten_up_to(outer_treedef, pytree_to_transpose, where)
    if inner_treedef is None:
        if not subtrees:
            raise TreeError(f"{where}: the outer structure has no leaves; give inner_treedef")
        inner_treedef = structure(subtrees[0])
    inner: PyTreeDef = inner_treedef
    check_structure(outer_treedef.compose(inner), pytree_to_transpose, where)
    rows = [inner.flatten_up_to(subtree) for subtree in subtrees]
    columns = zip(*rows, strict=True) if rows else ([] for _ in range(inner.num_leaves))
    return inner.unflatten([outer_treedef.unflatten(column) for column in columns])


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """A tree of the structure of `full_tree` whose leaves come from `prefix_tree`, repeated over subtrees.

    >>> broadcast({"a": 1, "b": 2}, {"a": [0, 0], "b": 0})
    {'a': [1, 1], 'b': 2}
    """
    found, treedef = flatten(prefix_tree, is_leaf)
    subtrees = flatten_up_to(treedef, full_tree, "fnn.tree.broadcast", ("the prefix", "the tree"))
    return treedef.unflatten(
        [map(lambda _, x=leaf: x, sub) for leaf, sub in zip(found, subtrees, strict=True)]
    )


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure is that of a single leaf."""
    return treedef.kind == Kind.LEAF


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the top node."""
    return treedef.children()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees of these structures."""
    return optree.treespec_tuple(treedefs, namespace=NAMESPACE)
