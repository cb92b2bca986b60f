"""Functions over pytrees as functions over lists of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn.core.array import Array, as_array
from fnn.core.aval import Aval
from fnn.core.source import function_place
from fnn.errors import ArgumentError


def as_leaf(x: Any, what: str, path: Callable[[], str]) -> Array:
    """A leaf of a user's pytree as an array; the error names the leaf's path."""
    try:
        return as_array(x)
    except ArgumentError as error:
        raise type(error)(f"{what}, {path()}: {error}") from None


def leaf_path(given: Any, number: int) -> str:
    """The key path of a leaf by its number: "[0]['w']"."""
    return tree.keystr(tree.leaf_paths(tree.structure(given))[number]) or "the value itself"


def flatten_arguments(
    what: str, given: Any, name: Callable[[int], str] | None = None
) -> tuple[list[Array], Any]:
    """(leaves as arrays, structure) of a pytree of arrays and numbers; name: how the user would write leaf i."""
    leaves, structure = tree.flatten(given)
    naming = name or (lambda i: argument_name(given, i))
    out = []
    for i, x in enumerate(leaves):
        out.append(x if isinstance(x, Array) else as_leaf(x, what, lambda i=i: f"argument {naming(i)}"))
    return out, structure


def argument_name(args: Any, number: int) -> str:
    """How a user would write the leaf of a tuple of arguments: "args[1]['w']"."""
    return f"args{leaf_path(args, number)}"


def call_name(args: tuple, kwargs: dict[str, Any], number: int) -> str:
    """The same for a leaf of (args, kwargs): "args[1]['w']", or "scale['w']" if it is passed by name."""
    count = len(tree.leaves(args))
    if number < count:
        return argument_name(args, number)
    path = tree.leaf_paths(tree.structure(kwargs))[number - count]
    return f"{path[0].key}{tree.keystr(path[1:])}"


def chosen_name(chosen: tuple, places: list[int], number: int) -> str:
    """The same for a leaf of some of a call's arguments, those at `places`."""
    position, rest = argument_name(chosen, number).removeprefix("args[").split("]", 1)
    return f"args[{places[int(position)]}]{rest}"


def flatten_result(what: str, f: Any, out: Any) -> tuple[list[Array], Any]:
    """(leaves as arrays, structure) of what a user's function returned."""
    leaves, structure = tree.flatten(out)
    arrays = []
    for i, x in enumerate(leaves):
        arrays.append(
            x
            if isinstance(x, Array)
            else as_leaf(x, what, lambda i=i: f"the result of {function_place(f)} at {leaf_path(out, i)}")
        )
    return arrays, structure


def flat_call(
    f: Callable[..., Any], structure: Any, what: str = "a function"
) -> tuple[Callable[..., list], list]:
    """(f over leaves, a one-element list that will hold the structure of its result)."""
    box: list[Any] = []

    def flat(*leaves: Any) -> list[Array]:
        arrays, out_structure = flatten_result(what, f, f(*tree.unflatten(structure, leaves)))
        box[:] = [out_structure]
        return arrays

    return flat, box


def abstract(x: Any) -> Aval:
    """The abstract value of an argument: an array, a number, or anything with shape and dtype
    (ShapeDtypeStruct)."""
    if isinstance(x, Array):
        return x.aval
    if isinstance(x, ShapeDtypeStruct):
        return x.aval.update(dtype=dtypes.canonicalize(x.aval.dtype, explicit=True))
    try:
        return as_array(x).aval
    except ArgumentError:
        if not (hasattr(x, "shape") and hasattr(x, "dtype")):
            raise
        return ShapeDtypeStruct(x.shape, x.dtype, weak_type=getattr(x, "weak_type", False)).aval


def from_float0(t: Any) -> Any:
    """The tangent of an integer or a boolean, which holds nothing, as an array that may be passed on."""
    return np.zeros(t.shape, bool) if getattr(t, "dtype", None) == dtypes.float0 else t


def fits(given: Aval, wanted: Aval) -> bool:
    """Whether a tangent or cotangent has the dtype it must have; a Python float has every floating one."""
    return given.dtype == wanted.dtype or (given.weak_type and given.is_inexact)


class ShapeDtypeStruct:
    """Shape and dtype of an array, without its numbers.

    >>> ShapeDtypeStruct((2, 3), "float32")
    ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("aval", "sharding")

    def __init__(self, shape: Any, dtype: Any, *, weak_type: bool = False, sharding: Any = None):
        if dtype is None:
            raise ArgumentError("ShapeDtypeStruct: the dtype is missing")
        self.aval = Aval(tuple(shape), dtypes.as_dtype(dtype), weak_type)
        self.sharding = sharding

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> Any:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        return self.aval.weak_type

    def update(self, **changes: Any) -> ShapeDtypeStruct:
        """A copy with other fields (shape, dtype, weak_type, sharding)."""
        fields = {
            "shape": self.shape,
            "dtype": self.dtype,
            "weak_type": self.weak_type,
            "sharding": self.sharding,
        }
        return ShapeDtypeStruct(**{**fields, **changes})

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentError("len() of the type of an array without axes")
        return self.shape[0]

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShapeDtypeStruct) and other.aval is self.aval

    def __hash__(self) -> int:
        return hash(self.aval)

    def __repr__(self) -> str:
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={self.dtype})"
