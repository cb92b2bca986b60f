"""Modules: frozen dataclasses that are pytrees.

A model is a value. Its fields are children of the tree, or, marked `static_field`, part of its structure;
training returns a new model, and every function over trees works on it.

>>> from fnn.module import Module, static_field
>>> import numpy as np
>>> class Linear(Module):
...     weight: np.ndarray
...     bias: np.ndarray
...     name: str = static_field(default="linear")
...
...     def __call__(self, x):
...         return x @ self.weight + self.bias
>>> layer = Linear(np.ones((3, 2), np.float32), np.zeros(2, np.float32))
>>> layer
Linear(weight=f32[3,2], bias=f32[2], name='linear')
>>> layer(np.ones(3, np.float32))
array([3., 3.], dtype=float32)
>>> layer.replace(name="output")
Linear(weight=f32[3,2], bias=f32[2], name='output')
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import types
from collections.abc import Iterable
from typing import Any, Self, dataclass_transform

import numpy as np

from fnn import dtypes
from fnn.errors import ArgumentError, DtypeError, ImmutableError
from fnn.tree import flatten, register_attributes

__all__ = ["Module", "field", "format_tree", "static_field"]

_BUILDING = "__building__"  # in the instance's dict while its __init__ runs
_WIDTH = 100  # columns of a printed tree


def field(*, static: bool = False, **options: Any) -> Any:
    """A field of a module, as `dataclasses.field`; a static one is part of the structure.

    Args:
        static: whether the field belongs to the structure instead of being a child: sizes, names, activation
            functions. Static values are hashable, and a compiled function is compiled anew for other ones.
        options: `default`, `default_factory`, ..., as for `dataclasses.field`.
    """
    metadata = {**(options.pop("metadata", None) or {}), "static": static}
    return dataclasses.field(metadata=metadata, **options)


def static_field(**options: Any) -> Any:
    """A field that belongs to the structure: `field(static=True)`."""
    return field(static=True, **options)


# Type checkers are not told that instances are frozen: they would refuse assignments in a written __init__.
@dataclass_transform(eq_default=False, field_specifiers=(field, static_field, dataclasses.field))
class _ModuleMeta(abc.ABCMeta):
    """Makes each subclass a dataclass and a pytree node, and freezes instances once `__init__` has run."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any):
        super().__init__(name, bases, namespace, **kwargs)
        # An __init__ somebody wrote is inherited; one made from fields is made anew with the fields added.
        own_init = "__init__" in namespace
        inherited = next((c for c in cls.__mro__[1:] if "__init__" in vars(c)), object)
        written = own_init or vars(inherited).get("__fnn_written_init__", inherited is not object)
        cls.__fnn_written_init__ = written
        dataclasses.dataclass(init=not written, repr=False, eq=False)(cls)
        fields = _fields(cls)
        static = [f.name for f in fields if f.metadata.get("static")]
        data = [f.name for f in fields if f.name not in static]
        register_attributes(cls, data, static, functools.partial(_build, cls))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        self: Any = cls.__new__(cls, *args, **kwargs)
        values: dict[str, Any] = vars(self)
        values[_BUILDING] = True
        try:
            self.__init__(*args, **kwargs)
        finally:
            values.pop(_BUILDING, None)
        missing = []
        for f in _fields(cls):
            if f.name in values:
                continue
            # A written __init__ may leave fields with a default alone.
            if f.default is not dataclasses.MISSING:
                values[f.name] = f.default
            elif f.default_factory is not dataclasses.MISSING:
                values[f.name] = f.default_factory()
            else:
                missing.append(f.name)
        if missing:
            raise ArgumentError(f"{cls.__name__}.__init__ did not set {', '.join(missing)}")
        return self


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _build(cls: type, values: Iterable[tuple[str, Any]]) -> Any:
    self = object.__new__(cls)
    vars(self).update(values)
    return self


class Module(metaclass=_ModuleMeta):
    """Base class of models: a subclass is a frozen dataclass and a pytree.

    Annotated names are fields. An `__init__` may be written by hand; it assigns every field, and afterwards
    the instance is frozen. Methods are plain methods.

    >>> class Scale(Module):
    ...     factor: float
    ...     def __init__(self, percent):
    ...         self.factor = percent / 100
    >>> Scale(150)
    Scale(factor=1.5)
    >>> Scale(150).factor = 2.0
    Traceback (most recent call last):
    ...
    fnn.errors.ImmutableError: a Scale never changes: .factor cannot be assigned. ...
    """

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in the named fields; `__init__` does not run again.

        Raises:
            ArgumentError: there is no such field.
        """
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise ArgumentError(
                    f"{type(self).__name__}.replace: no field {name!r}; the fields are {', '.join(known)}"
                )
        if _BUILDING in vars(self):
            raise ImmutableError(f"{type(self).__name__}.replace was called before __init__ had finished")
        return _build(type(self), {**vars(self), **changes}.items())

    def __setattr__(self, name: str, value: Any) -> None:
        cls = type(self)
        if _BUILDING not in vars(self):
            raise ImmutableError(
                f"a {cls.__name__} never changes: .{name} cannot be assigned. Make a changed copy: "
                f"model.replace({name}=...), or, within a larger tree, "
                f"fnn.tree.at(lambda tree: tree.{name}, tree, replace=...)"
            )
        if name not in cls.__dataclass_fields__:
            raise ArgumentError(
                f"{cls.__name__} has no field {name!r}, so it cannot be assigned; declare it in the class: "
                f"`{name}: fnn.Array`, or, where it is no array, "
                f"`{name}: {type(value).__name__} = static_field()`"
            )
        vars(self)[name] = value

    def __delattr__(self, name: str) -> None:
        raise ImmutableError(f"a {type(self).__name__} never changes: .{name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        """Whether both have one structure and equal leaves (arrays: shape, dtype and every element)."""
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        leaves, treedef = flatten(self)
        others, same = flatten(other)
        return treedef == same and all(map(_equal_leaves, leaves, others))

    def __hash__(self) -> int:
        """From the structure and the shapes of arrays: equal modules hash equal, and no array is read."""
        leaves, treedef = flatten(self)
        return hash((treedef, *[_spec(leaf) or leaf for leaf in leaves]))

    def __repr__(self) -> str:
        return format_tree(self)


def _spec(leaf: Any) -> tuple[Any, ...] | None:
    shape, dtype = getattr(leaf, "shape", None), getattr(leaf, "dtype", None)
    return None if shape is None or dtype is None else (tuple(shape), dtype)


def _equal_leaves(a: Any, b: Any) -> bool:
    if a is b:
        return True
    spec = _spec(a)
    if spec != _spec(b):
        return False
    return bool(a == b) if spec is None else bool(np.array_equal(np.asarray(a), np.asarray(b)))


# --------------------------------------------------------------------------------------------------- printing


def format_tree(tree: Any, width: int = _WIDTH) -> str:
    """A tree as text: arrays by dtype and shape, functions by name, one line where it fits into `width`
    columns.

    >>> format_tree({"w": np.zeros((2, 3), np.int8), "f": np.sin, "n": [1, None]})
    "{'w': i8[2,3], 'f': sin, 'n': [1, None]}"
    """
    return _format(tree, 0, width)


def _format(tree: Any, indent: int, width: int) -> str:
    parts = _parts(tree)
    if parts is None:
        return _format_leaf(tree)
    opening, items, closing = parts
    flat = opening + ", ".join([label + _format(value, 0, 1 << 30) for label, value in items]) + closing
    if not items or (indent + len(flat) <= width and "\n" not in flat):
        return flat
    inner = " " * (indent + 2)
    lines = [inner + label + _format(value, indent + 2, width) + "," for label, value in items]
    return "\n".join([opening, *lines, " " * indent + closing])


def _parts(tree: Any) -> tuple[str, list[tuple[str, Any]], str] | None:
    """(opening, [(label, value)], closing) of a container; None of anything else."""
    if isinstance(tree, Module):
        names = [f.name for f in dataclasses.fields(tree) if f.repr]
        return f"{type(tree).__name__}(", [(f"{n}=", tree.__dict__[n]) for n in names], ")"
    if isinstance(tree, dict):
        brackets = ("{", "}") if type(tree) is dict else (f"{type(tree).__name__}({{", "})")
        return brackets[0], [(f"{key!r}: ", value) for key, value in tree.items()], brackets[1]
    fields = getattr(tree, "_fields", None)
    if isinstance(tree, tuple) and fields is not None:
        return f"{type(tree).__name__}(", [(f"{n}=", v) for n, v in zip(fields, tree, strict=True)], ")"
    if type(tree) is tuple:
        return "(", [("", value) for value in tree], ",)" if len(tree) == 1 else ")"
    if type(tree) is list:
        return "[", [("", value) for value in tree], "]"
    return None


def _format_leaf(leaf: Any) -> str:
    spec = _spec(leaf)
    if spec is not None:
        try:
            name = dtypes.short_name(dtypes.as_dtype(spec[1]))
        except DtypeError:
            name = str(spec[1])
        return f"{name}[{','.join(map(str, spec[0]))}]"
    if isinstance(leaf, (types.FunctionType, types.BuiltinFunctionType, np.ufunc, type)):
        return leaf.__name__
    if isinstance(leaf, functools.partial):
        return f"partial({_format_leaf(leaf.func)}, ...)"
    text = repr(leaf)
    return getattr(leaf, "__name__", text) if callable(leaf) and text.startswith("<") else text
