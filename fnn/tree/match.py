"""Comparing structures, and saying where two of them part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import optree

from fnn.errors import TreeError
from fnn.tree.keys import DictKey, FlattenedIndexKey, GetAttrKey, KeyPath, SequenceKey, keystr
from fnn.tree.registry import KEYED, NAMESPACE, Static

__all__ = ["PyTreeDef", "broadcast_prefix", "check_structure", "child_keys", "flatten_up_to", "leaf_paths"]

PyTreeDef: TypeAlias = optree.PyTreeSpec
"""The structure of a pytree: everything but the leaves. Hashable, comparable; `num_leaves`, `children()`."""

Kind = optree.PyTreeKind
_DICTS = {Kind.DICT, Kind.ORDEREDDICT, Kind.DEFAULTDICT}
_SHOWN = 8  # differences in a message
_WIDTH = 400  # characters of a structure in a message


def _type(treedef: PyTreeDef) -> type:
    return object if treedef.type is None else treedef.type  # None: a leaf's


def child_keys(treedef: PyTreeDef) -> tuple[Any, ...]:
    """The keys of the children of a node, in order."""
    kind, entries = treedef.kind, treedef.entries()
    if kind in _DICTS:
        return tuple(map(DictKey, entries))
    if kind in (Kind.NAMEDTUPLE, Kind.STRUCTSEQUENCE):
        fields = optree.namedtuple_fields if kind == Kind.NAMEDTUPLE else optree.structseq_fields
        return tuple(map(GetAttrKey, fields(_type(treedef))))
    if kind == Kind.CUSTOM:
        return tuple(entries) if treedef.type in KEYED else tuple(map(FlattenedIndexKey, range(len(entries))))
    return tuple(map(SequenceKey, entries))


def leaf_paths(treedef: PyTreeDef) -> list[KeyPath]:
    """The path of every leaf, in order."""
    paths: list[KeyPath] = []

    def walk(node: PyTreeDef, path: KeyPath) -> None:
        if node.kind == Kind.LEAF:
            paths.append(path)
            return
        for key, child in zip(child_keys(node), node.children(), strict=True):
            walk(child, (*path, key))

    walk(treedef, ())
    return paths


# ------------------------------------------------------------------------------------------------ differences


def _one_level(tree: Any, none_is_leaf: bool) -> tuple[PyTreeDef, list[Any]]:
    children, treedef = optree.tree_flatten(
        tree, lambda node: node is not tree, none_is_leaf=none_is_leaf, namespace=NAMESPACE
    )
    return treedef, children


def static_of(treedef: PyTreeDef) -> Static | None:
    """What the top node of a structure holds besides its children."""
    top = treedef.one_level()
    if top is None:
        return None
    data = top.walk([None] * top.num_leaves, lambda cls, data, children: data)
    return data if type(data) is Static else None


def _describe(treedef: PyTreeDef, value: Any = None) -> str:
    kind = treedef.kind
    if kind == Kind.LEAF:
        return f"a leaf of type {type(value).__name__}"
    if kind == Kind.NONE:
        return "None"
    count = treedef.num_children
    if kind in _DICTS:
        keys = ", ".join(map(repr, treedef.entries()))
        return (
            f"a {_type(treedef).__name__} with keys {keys}" if keys else f"an empty {_type(treedef).__name__}"
        )
    if kind in (Kind.TUPLE, Kind.LIST, Kind.DEQUE):
        return f"a {_type(treedef).__name__} of {count}"
    return f"a {_type(treedef).__name__}"


def differences(
    expected: PyTreeDef, given: Any, exact: bool = False, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, str]]:
    """Where the tree `given` leaves the structure `expected`, as (path, what is wrong there).

    Where `exact` is False a leaf of `expected` may stand for a whole subtree.
    """
    got, children = _one_level(given, expected.none_is_leaf)
    if expected.kind == Kind.LEAF:
        if exact and got.kind != Kind.LEAF:
            yield path, f"expected a leaf, got {_describe(got)}"
        return
    both_dicts = not exact and expected.kind in _DICTS and got.kind in _DICTS
    if expected.type is not got.type and not both_dicts:
        yield path, f"expected {_describe(expected)}, got {_describe(got, given)}"
        return
    expected_children = dict(zip(child_keys(expected), expected.children(), strict=True))
    got_children = dict(zip(child_keys(got), children, strict=True))
    for key in expected_children:
        if key not in got_children:
            yield (*path, key), "missing"
    for key in got_children:
        if key not in expected_children:
            yield (*path, key), "not expected"
    ours, theirs = static_of(expected), static_of(got)
    if ours != theirs:
        yield path, f"{_describe(expected)} with {_different_statics(ours, theirs)}"
    for key, child in expected_children.items():
        if key in got_children:
            yield from differences(child, got_children[key], exact, (*path, key))


def _different_statics(ours: Static | None, theirs: Static | None) -> str:
    if ours is None or theirs is None or ours.names is None or theirs.names is None:
        return f"auxiliary data {ours!r} expected, {theirs!r} given"
    return "; ".join(
        f"static field {name} = {a!r} expected, {b!r} given"
        for name, a, b in zip(ours.names, ours.value, theirs.value, strict=True)
        if Static(ours.owner, a) != Static(ours.owner, b)
    )


def _text(treedef: PyTreeDef) -> str:
    text = str(treedef).removeprefix("PyTreeSpec(").removesuffix(")")
    for suffix in (f", namespace='{NAMESPACE}'", ", NoneIsLeaf"):
        text = text.removesuffix(suffix)
    return text if len(text) <= _WIDTH else text[:_WIDTH] + " ..."


def mismatch(
    where: str,
    expected: PyTreeDef,
    given: Any,
    names: tuple[str, str] = ("expected", "given"),
    exact: bool = False,
) -> TreeError | None:
    """The error that tells where the tree `given` leaves `expected`; None where it does not."""
    found = list(differences(expected, given, exact))
    if not found:
        return None
    lines = [f"{where}: the structures differ:"]
    lines += [f"  at {keystr(path) or 'the root'}: {what}" for path, what in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more differences")
    structure = optree.tree_structure(given, none_is_leaf=expected.none_is_leaf, namespace=NAMESPACE)
    width = max(map(len, names))
    lines += [f"  {names[0]:<{width}}: {_text(expected)}", f"  {names[1]:<{width}}: {_text(structure)}"]
    return TreeError("\n".join(lines))


class _Placeholder:
    """Stands for a leaf where only the structure of a tree is known."""

    def __repr__(self) -> str:
        return "*"


def example(treedef: PyTreeDef) -> Any:
    """A tree of this structure whose leaves are placeholders."""
    return treedef.unflatten([_Placeholder() for _ in range(treedef.num_leaves)])


# ----------------------------------------------------------------------------------------------- what is used


def flatten_up_to(
    treedef: PyTreeDef,
    tree: Any,
    where: str = "fnn.tree.flatten_up_to",
    names: tuple[str, str] = ("expected", "given"),
) -> list[Any]:
    """The subtrees of `tree` that stand at the leaves of `treedef`.

    Args:
        treedef: a structure that `tree` must begin with.
        tree: the tree to take apart.
        where: what the error says first: the function a person called.
        names: what the error calls the two trees.

    Raises:
        TreeError: the tree does not begin with that structure; the message names the paths.
    """
    try:
        return treedef.flatten_up_to(tree)
    except ValueError:
        error = mismatch(where, treedef, tree, names)
        if error is None:  # raised by a registered class
            raise
        raise error from None


def check_structure(
    expected: PyTreeDef, given: Any, where: str, names: tuple[str, str] = ("expected", "given")
) -> None:
    """Raise a TreeError that names the paths unless `given`, a tree or a PyTreeDef, has this structure."""
    if isinstance(given, PyTreeDef):
        if given == expected:
            return
        given = example(given)
    elif optree.tree_structure(given, none_is_leaf=expected.none_is_leaf, namespace=NAMESPACE) == expected:
        return
    raise mismatch(where, expected, given, names, exact=True) or TreeError(
        f"{where}: {names[0]} {_text(expected)}, {names[1]} is another structure"
    )


def broadcast_prefix(
    prefix: Any,
    full: Any,
    *,
    where: str = "fnn.tree.broadcast_prefix",
    names: tuple[str, str] = ("the prefix", "the tree"),
    is_leaf: Callable[[Any], bool] | None = None,
) -> list[Any]:
    """The leaves of `prefix`, each repeated so that there is one for every leaf of `full`.

    This is how `in_axes=({"w": 0, "b": None}, None)` is read: None is a leaf of the prefix, and a leaf of the
    prefix speaks for the whole subtree that stands in its place.

    Args:
        prefix: a tree of which `full` has the structure down to the prefix's leaves.
        full: a tree, or its PyTreeDef.
        where: what the error says first.
        names: what the error calls the two trees.
        is_leaf: which nodes of the prefix are leaves besides.

    Raises:
        TreeError: `full` does not begin with the structure of the prefix; the message names the paths.

    >>> broadcast_prefix((0, None), ({"w": 1.0, "b": 2.0}, 3.0))
    [0, 0, None]
    """
    if prefix is None or type(prefix) is int:
        count = full.num_leaves if isinstance(full, PyTreeDef) else _structure(full).num_leaves
        return [prefix] * count
    leaves, treedef = optree.tree_flatten(prefix, is_leaf, none_is_leaf=True, namespace=NAMESPACE)
    subtrees = flatten_up_to(treedef, example(full) if isinstance(full, PyTreeDef) else full, where, names)
    out: list[Any] = []
    for leaf, subtree in zip(leaves, subtrees, strict=True):
        out += [leaf] * _structure(subtree).num_leaves
    return out


def _structure(tree: Any) -> PyTreeDef:
    return optree.tree_structure(tree, namespace=NAMESPACE)
