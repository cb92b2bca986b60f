"""Which classes are nodes of pytrees, and what of them belongs to the structure.

Built in are dict, list, tuple, named tuples, OrderedDict, defaultdict, deque and None (a node without
children). Everything else is a leaf until it is registered here.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar, cast

import optree

from fnn.errors import ArgumentError, TreeError
from fnn.tree.keys import GetAttrKey

__all__ = [
    "NAMESPACE",
    "Partial",
    "Static",
    "register_attributes",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "static",
]

NAMESPACE = "fnn"  # optree's registries are by name; other libraries' registrations stay out of ours
KEYED: set[type] = set()  # registered classes that name their children
ATTRIBUTES: dict[
    type, tuple[tuple[str, ...], tuple[str, ...]]
] = {}  # and whose children and static data are attributes

T = TypeVar("T")
Class = TypeVar("Class", bound=type)


class Static:
    """What a node holds besides its children: compared exactly, so that programs traced for it fit it.

    Python says `1 == 1.0 == True`, and a program traced for one is wrong for another; here the types count
    too, and -0.0 is not 0.0. Hashable values only may be part of a compiled function's key, which `hash`
    checks.
    """

    __slots__ = ("names", "owner", "value")

    def __init__(self, owner: type, value: Any, names: tuple[str, ...] | None = None):
        self.owner = owner
        self.value = value
        self.names = names  # of the entries of `value`, where it is a tuple of fields

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not Static:
            return NotImplemented
        try:
            return same(self.value, other.value)
        except (TypeError, ValueError) as error:
            raise TreeError(
                f"{self._what()} cannot be compared: {error}. What is static is part of the structure and "
                "must compare to True or False; an array belongs in a field that is not static"
            ) from error

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError as error:
            raise TreeError(
                f"{self._what()} is not hashable ({error}), so no compiled function can be kept for it; use "
                "a tuple for a list, a frozenset for a set, and a field that is not static for an array"
            ) from error

    def __repr__(self) -> str:
        if self.names is None:
            return repr(self.value)
        return ", ".join([f"{name}={value!r}" for name, value in zip(self.names, self.value, strict=True)])

    def _what(self) -> str:
        if self.names is None:
            return f"the auxiliary data of {self.owner.__name__}, {self.value!r},"
        for name, value in zip(self.names, self.value, strict=True):
            if not _is_hashable(value):
                return f"the static field {name!r} of {self.owner.__name__}, a {type(value).__name__},"
        return f"the static fields of {self.owner.__name__}"


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def same(a: Any, b: Any) -> bool:
    """Whether what is static is equal, types included."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)
    return bool(a == b)


# ----------------------------------------------------------------------------------------------- registration


def _register(cls: type, flatten: Callable, unflatten: Callable, keyed: bool) -> None:
    if not isinstance(cls, type):
        raise ArgumentError(f"only classes can be registered as pytree nodes, not {cls!r}")
    try:
        with warnings.catch_warnings():  # a named tuple with rules of its own is what the caller wants
            warnings.simplefilter("ignore", UserWarning)
            optree.register_pytree_node(cls, flatten, unflatten, namespace=NAMESPACE)
    except ValueError:
        raise TreeError(f"{cls.__module__}.{cls.__qualname__} is already a pytree node") from None
    if keyed:
        KEYED.add(cls)


def register_pytree_node(
    nodetype: type[T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]],
    unflatten_func: Callable[[Any, Iterable[Any]], T],
    flatten_with_keys_func: Callable[[T], tuple[Iterable[tuple[Any, Any]], Hashable]] | None = None,
) -> None:
    """Make `nodetype` a pytree node.

    Args:
        nodetype: the class; its subclasses are registered separately.
        flatten_func: node -> (children, auxiliary data). The data is part of the structure: hashable,
            compared.
        unflatten_func: (auxiliary data, children) -> node. Children may be any objects, not only arrays.
        flatten_with_keys_func: node -> (pairs of key and child, auxiliary data), where paths shall name
            children.

    Raises:
        TreeError: the class is a node already.

    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> register_pytree_node(Interval, lambda i: ((i.low, i.high), None), lambda _, ends: Interval(*ends))
    >>> import fnn.tree
    >>> fnn.tree.leaves({"x": Interval(1, 2)})
    [1, 2]
    """
    if flatten_with_keys_func is not None:
        register_pytree_with_keys(nodetype, flatten_with_keys_func, unflatten_func)
        return

    def flatten(node: T) -> tuple[Iterable[Any], Static | None]:
        children, aux = flatten_func(node)
        return children, None if aux is None else Static(nodetype, aux)

    _register(nodetype, flatten, _unwrapping(unflatten_func), keyed=False)


def register_pytree_with_keys(
    nodetype: type[T],
    flatten_with_keys: Callable[[T], tuple[Iterable[tuple[Any, Any]], Hashable]],
    unflatten_func: Callable[[Any, Iterable[Any]], T],
    flatten_func: Callable[[T], tuple[Iterable[Any], Hashable]] | None = None,
) -> None:
    """Make `nodetype` a pytree node whose children have keys (`GetAttrKey("weight")`, ...) in paths and
    messages.

    Args:
        nodetype: the class.
        flatten_with_keys: node -> (pairs of key and child, auxiliary data).
        unflatten_func: (auxiliary data, children) -> node.
        flatten_func: accepted as in JAX, where it is a faster way without keys; not needed here.
    """
    del flatten_func

    def flatten(node: T) -> tuple[tuple[Any, ...], Static | None, tuple[Any, ...]]:
        pairs, aux = flatten_with_keys(node)
        pairs = tuple(pairs)
        children, keys = tuple([child for _, child in pairs]), tuple([key for key, _ in pairs])
        return children, None if aux is None else Static(nodetype, aux), keys

    _register(nodetype, flatten, _unwrapping(unflatten_func), keyed=True)


def _unwrapping(
    unflatten_func: Callable[[Any, Iterable[Any]], T],
) -> Callable[[Static | None, Iterable[Any]], T]:
    def unflatten(aux: Static | None, children: Iterable[Any]) -> T:
        return unflatten_func(None if aux is None else aux.value, children)

    return unflatten


def register_pytree_node_class(cls: Class) -> Class:
    """Class decorator: a node through `tree_flatten(self)` and `tree_unflatten(cls, aux, children)`."""
    register_pytree_node(cls, operator.methodcaller("tree_flatten"), _unflatten_of(cls))
    return cls


def _unflatten_of(cls: type) -> Callable[[Any, Iterable[Any]], Any]:
    method = getattr(cls, "tree_unflatten", None)
    if method is None:
        raise ArgumentError(f"{cls.__name__} has no classmethod tree_unflatten(cls, aux_data, children)")
    return method


def register_pytree_with_keys_class(cls: Class) -> Class:
    """Class decorator: as `register_pytree_node_class`, with `tree_flatten_with_keys` for paths."""
    register_pytree_with_keys(cls, operator.methodcaller("tree_flatten_with_keys"), _unflatten_of(cls))
    return cls


def register_attributes(
    cls: type, data: Sequence[str], static: Sequence[str], build: Callable[[Iterable[tuple[str, Any]]], Any]
) -> None:
    """Make `cls` a node: the attributes `data` are its children, `static` ones belong to the structure.

    `build` makes an instance from the (name, value) pairs of all of them.
    """
    data, static = tuple(data), tuple(static)
    keys = tuple(map(GetAttrKey, data))
    children_of = _getter(data)
    statics_of = _getter(static)
    names = data + static

    def flatten(node: Any) -> tuple[tuple[Any, ...], Static | None, tuple[GetAttrKey, ...]]:
        return children_of(node), Static(cls, statics_of(node), static) if static else None, keys

    def unflatten(aux: Static | None, children: Iterable[Any]) -> Any:
        return build(zip(names, children if aux is None else (*children, *aux.value), strict=True))

    _register(cls, flatten, unflatten, keyed=True)
    ATTRIBUTES[cls] = data, static


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) == 1:
        one = operator.attrgetter(names[0])
        return lambda node: (one(node),)
    return operator.attrgetter(*names) if names else lambda node: ()


def register_dataclass(
    nodetype: Class,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> Class:
    """Make a dataclass a pytree node; usable as a class decorator. Nodes are rebuilt by calling the class.

    Args:
        nodetype: the dataclass.
        data_fields: names of the fields that are children; by default all that are not static.
        meta_fields: names of the fields that belong to the structure; by default those made with
            `dataclasses.field(metadata={"static": True})`.
        drop_fields: names of fields that take no part: rebuilt nodes get their defaults.

    Raises:
        ArgumentError: the two lists are not given together, or do not name every field once.

    >>> @register_dataclass
    ... @dataclasses.dataclass
    ... class Line:
    ...     slope: float
    ...     name: str = dataclasses.field(default="", metadata={"static": True})
    >>> import fnn.tree
    >>> fnn.tree.map(lambda x: -x, Line(2.0, "up"))
    Line(slope=-2.0, name='up')
    """
    what = f"register_dataclass: {getattr(nodetype, '__name__', nodetype)!r}"
    if not hasattr(nodetype, "__dataclass_fields__"):
        raise ArgumentError(f"{what} is not a dataclass; name its fields with register_pytree_node instead")
    if (data_fields is None) != (meta_fields is None):
        raise ArgumentError(f"{what}: give data_fields and meta_fields together, or neither")
    fields = {
        f.name: f for f in dataclasses.fields(cast(Any, nodetype)) if f.init and f.name not in drop_fields
    }
    if data_fields is None or meta_fields is None:
        meta_fields = [name for name, f in fields.items() if f.metadata.get("static")]
        data_fields = [name for name in fields if name not in meta_fields]
    named = [*data_fields, *meta_fields]
    if sorted(named) != sorted(fields):
        raise ArgumentError(
            f"{what} has the fields {sorted(fields)}, but data_fields and meta_fields name {sorted(named)}; "
            "each field belongs in one of them, or in drop_fields"
        )
    register_attributes(nodetype, data_fields, meta_fields, lambda pairs: nodetype(**dict(pairs)))
    return nodetype


def register_static(cls: Class) -> Class:
    """Class decorator: instances are nodes without children; they belong to the structure, so they must be hashable and
    compare.

    >>> import fnn.tree
    >>> @register_static
    ... class Mode(str):
    ...     pass
    >>> fnn.tree.leaves([Mode("train"), 1])
    [1]
    """
    register_pytree_node(cls, lambda node: ((), node), lambda node, _: node)
    return cls


def static(**kwargs: Any) -> Any:
    """`dataclasses.field(...)` of a field that belongs to the structure: see `register_dataclass`."""
    metadata = {**(kwargs.pop("metadata", None) or {}), "static": True}
    return dataclasses.field(metadata=metadata, **kwargs)


class Partial(functools.partial):
    """`functools.partial` as a pytree node: the bound arguments are children, the function is static.

    >>> import operator, fnn.tree
    >>> double = Partial(operator.mul, 2)
    >>> fnn.tree.map(lambda x: x + 1, double)(10)
    30
    """


def _partial(func: Callable[..., Any], args: tuple[Any, ...], keywords: dict[str, Any]) -> Partial:
    return Partial(func, *args, **keywords)


register_pytree_with_keys(
    Partial,
    lambda p: (((GetAttrKey("args"), p.args), (GetAttrKey("keywords"), p.keywords)), p.func),
    lambda func, children: _partial(func, *children),
)
