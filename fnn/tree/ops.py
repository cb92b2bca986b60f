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
from fnn.tree.registry import NAMESPACE, Static

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


def reduce_associative(
    operation: Callable[[Any, Any], Any], tree: Any, *, identity: Any = ..., is_leaf: IsLeaf = None
) -> Any:
    """The leaves combined by an associative operation, in pairs, pairs of pairs and so on.

    identity: the result of no leaves; without it a tree without leaves raises TreeError.

    >>> reduce_associative(lambda a, b: a + b, ["a", ("b", "c")])
    'abc'
    """
    found = leaves(tree, is_leaf)
    if not found:
        if identity is ...:
            raise TreeError("fnn.tree.reduce_associative: the tree has no leaves; give identity")
        return identity
    while len(found) > 1:
        pairs = [operation(a, b) for a, b in zip(found[::2], found[1::2], strict=False)]
        found = [*pairs, *found[len(pairs) * 2 :]]
    return found[0]


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


def flatten_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """As `flatten`, with the path of each leaf: ([(path, leaf), ...], structure).

    is_leaf_takes_path: is_leaf is called with the path of a node and the node.

    >>> from fnn.tree import keystr
    >>> pairs, _ = flatten_with_path({"layers": [1, 2]})
    >>> [(keystr(path), leaf) for path, leaf in pairs]
    [("['layers'][0]", 1), ("['layers'][1]", 2)]
    """
    test = _knowing_paths(tree, is_leaf) if is_leaf is not None and is_leaf_takes_path else is_leaf
    found, treedef = flatten(tree, test)
    return list(zip(leaf_paths(treedef), found, strict=True)), treedef


def _knowing_paths(tree: Any, is_leaf: Callable[..., bool]) -> Callable[[Any], bool]:
    """A test of nodes from one of paths and nodes: the nodes it stops at, found from the top down.

    A node that stands in several places is a leaf in all of them or in none, as its first place says."""
    stop: dict[int, bool] = {}

    def descend(path: KeyPath, node: Any) -> None:
        stop.setdefault(id(node), bool(is_leaf(path, node)))
        if stop[id(node)]:
            return
        children, treedef = flatten(node, lambda x: x is not node)
        if treedef.kind != Kind.LEAF:
            for key, child in zip(leaf_paths(treedef), children, strict=True):
                descend((*path, *key), child)

    descend((), tree)
    return lambda node: stop.get(id(node), False)


def leaves_with_path(
    tree: Any, is_leaf: Callable[..., bool] | None = None, is_leaf_takes_path: bool = False
) -> list[tuple[KeyPath, Any]]:
    """The leaves with their paths: [(path, leaf), ...]."""
    return flatten_with_path(tree, is_leaf, is_leaf_takes_path)[0]


def map_with_path(
    f: Callable[..., Any],
    tree: Any,
    *rest: Any,
    is_leaf: Callable[..., bool] | None = None,
    is_leaf_takes_path: bool = False,
) -> Any:
    """As `map`, where `f` gets the path of the leaf first.

    >>> from fnn.tree import keystr
    >>> map_with_path(lambda path, x: keystr(path), {"w": 1, "b": (2,)})
    {'w': "['w']", 'b': ("['b'][0]",)}
    """
    pairs, treedef = flatten_with_path(tree, is_leaf, is_leaf_takes_path)
    paths, first = [path for path, _ in pairs], [leaf for _, leaf in pairs]
    columns = [paths, first, *_columns("fnn.tree.map_with_path", treedef, rest)]
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
    """Whether the structure is a single node: a leaf, or an empty container."""
    return treedef.num_nodes == 1


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the top node."""
    return treedef.children()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees of these structures."""
    return optree.treespec_tuple(treedefs, namespace=NAMESPACE)


def flatten_one_level(tree: Any) -> tuple[list[Any], Any]:
    """(children, what else the top node holds): the keys of a dict, the auxiliary data of a registered class, else None.

    Raises TreeError for a leaf.

    >>> flatten_one_level({"a": [1, 2], "b": 3})
    ([[1, 2], 3], ('a', 'b'))
    """
    children, treedef = flatten(tree, lambda x: x is not tree)
    if treedef.kind == Kind.LEAF:
        raise TreeError(f"fnn.tree_util.flatten_one_level: {type(tree).__name__} is no node of pytrees")
    held = optree.tree_flatten_one_level(tree, namespace=NAMESPACE)[1]
    if isinstance(held, Static):
        held = held.value
    return children, tuple(held) if isinstance(held, list) else held


def flatten_one_level_with_keys(tree: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """As `flatten_one_level`, with the key of each child: ([(key, child), ...], what else the node holds)."""
    children, held = flatten_one_level(tree)
    paths = leaf_paths(structure(tree, lambda x: x is not tree))
    return [(path[0], child) for path, child in zip(paths, children, strict=True)], held


def is_tree_node(typ: type) -> bool:
    """Whether instances of a class are nodes: containers, named tuples, and registered classes."""
    named = issubclass(typ, tuple) and hasattr(typ, "_fields")
    return named or optree.register_pytree_node.get(typ, namespace=NAMESPACE) is not None
