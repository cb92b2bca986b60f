"""JAX's registry of pytrees as an object, for libraries that ask it; and the formats and types that others ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fnn import tree
from fnn.core.source import describe, here
from fnn.errors import TreeError, UnsupportedError
from fnn.tree import register_dataclass as _register_dataclass
from fnn.tree import register_pytree_node

__all__ = [
    "Format",
    "Layout",
    "_registry",
    "canonicalize_dtype_handlers",
    "default_registry",
    "pytype_aval_mappings",
]


class PyTreeRegistry:
    """Which classes are nodes of pytrees."""

    register_node = staticmethod(register_pytree_node)
    register_dataclass_node = staticmethod(_register_dataclass)

    def is_node(self, cls_or_tree: Any) -> bool:
        return tree.is_tree_node(cls_or_tree if isinstance(cls_or_tree, type) else type(cls_or_tree))

    def flatten(self, x: Any, is_leaf: Any = None) -> tuple[list[Any], Any]:
        return tree.flatten(x, is_leaf=is_leaf)

    def flatten_one_level(self, x: Any) -> tuple[Iterable[Any], Any] | None:
        """(children, what else the node holds); None of a leaf."""
        try:
            return tree.flatten_one_level(x)
        except TreeError:
            return None


class _Entry(NamedTuple):
    """How a class is taken apart and put together."""

    to_iter: Any
    from_iter: Any


class _Entries:
    """class -> how it is taken apart; the same for each, which is a node's own business."""

    def __contains__(self, cls: object) -> bool:
        return isinstance(cls, type) and tree.is_tree_node(cls)

    def __getitem__(self, cls: type) -> _Entry:
        if cls not in self:
            raise KeyError(cls)

        def from_iter(structure: Any, children: Iterable[Any]) -> Any:
            return tree.unflatten(structure, list(children))

        return _Entry(lambda node: tree.flatten(node, is_leaf=lambda y: y is not node), from_iter)


class ArrayTypes(dict):
    """Classes whose instances are arrays to functions of arrays. A class that is given NumPy's entry becomes one: it is
    read as `numpy.asarray` reads it."""

    def __init__(self) -> None:
        super().__init__({np.ndarray: np.asarray})

    def __setitem__(self, cls: type, convert: Any) -> None:
        if convert is not np.asarray:
            raise UnsupportedError(
                f"types of arrays, at {describe(here())}: {cls.__name__} can be read as numpy.ndarray is, in no other way; "
                "give it a method __jax_array__"
            )
        super().__setitem__(cls, convert)
        if not hasattr(cls, "__jax_array__"):
            setattr(cls, "__jax_array__", lambda self: np.asarray(self))  # noqa: B010  # cls has no such attribute yet


class Layout:
    """The order of an array's axes in memory, outermost first. fnn's arrays are written row by row."""

    def __init__(
        self, major_to_minor: tuple[int, ...], tiling: Any = None, sub_byte_element_size_in_bits: int = 0
    ):
        if tuple(major_to_minor) != tuple(range(len(major_to_minor))) or tiling:
            raise UnsupportedError(
                f"Layout, at {describe(here())}: arrays are stored row by row, not as {major_to_minor}"
            )
        self.major_to_minor, self.tiling = tuple(major_to_minor), None


class Format(NamedTuple):
    """How an array lies in memory and on devices."""

    layout: Layout | None = None
    sharding: Any = None


default_registry = PyTreeRegistry()
_registry = _Entries()
canonicalize_dtype_handlers = pytype_aval_mappings = ArrayTypes()
