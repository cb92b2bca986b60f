"""`jax.core` and its relatives, as far as libraries use them: types, tracers and the names of graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fnn import sharding as _sharding
from fnn.core.aval import Aval
from fnn.core.ir import Equation as JaxprEqn
from fnn.core.ir import Graph, Literal, Var
from fnn.core.primitive import Primitive
from fnn.core.trace import Trace, Tracer
from fnn.transforms.flattening import ShapeDtypeStruct, abstract

Jaxpr = ClosedJaxpr = Graph
Atom = Var | Literal
AbstractValue = (Aval, ShapeDtypeStruct)
Value = Any
safe_map = lambda f, *args: list(map(f, *args))
safe_zip = lambda *args: list(zip(*args, strict=True))


class ShapedArray(ShapeDtypeStruct):
    """The type of an array: shape, dtype, whether a Python number made it, and how it lies on devices."""

    vma: frozenset[Any] = frozenset()

    def __init__(
        self, shape: Sequence[int], dtype: Any, weak_type: bool = False, *, sharding: Any = None, **_: Any
    ):
        super().__init__(shape, dtype, weak_type=weak_type, sharding=sharding or _sharding.SINGLE)

    def update(self, **changes: Any) -> ShapedArray:
        """A copy with other fields."""
        fields = {
            "shape": self.shape,
            "dtype": self.dtype,
            "weak_type": self.weak_type,
            "sharding": self.sharding,
        }
        return ShapedArray(**{**fields, **changes})

    def strip_weak_type(self) -> ShapedArray:
        return self.update(weak_type=False)

    def str_short(self, short_dtypes: bool = False) -> str:
        """Such as "f32[2,3]"."""
        return repr(self.aval) if short_dtypes else f"{self.dtype}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f"ShapedArray({self.str_short()}{', weak_type=True' if self.weak_type else ''})"


def get_aval(x: Any) -> ShapedArray:
    """The type of an array, a number or a type."""
    aval = x if isinstance(x, Aval) else abstract(x)
    return ShapedArray(aval.shape, aval.dtype, aval.weak_type)


def raise_to_shaped(aval: Any, weak_type: bool | None = None) -> ShapedArray:
    """The type itself."""
    return get_aval(aval)


shaped_abstractify = get_aval


def mapped_aval(size: int, axis: int | None, aval: Any) -> ShapedArray:
    """The type of an element along an axis."""
    shape = tuple(aval.shape)
    return get_aval(aval).update(shape=shape if axis is None else shape[:axis] + shape[axis + 1 :])


def unmapped_aval(size: int, axis: int | None, aval: Any, *_: Any) -> ShapedArray:
    """The type of a stack of elements."""
    shape = tuple(aval.shape)
    return get_aval(aval).update(shape=shape if axis is None else (*shape[:axis], size, *shape[axis:]))


def jaxpr_as_fun(jaxpr: Graph) -> Callable[..., Any]:
    """A graph as a function of its inputs; the result is a list."""
    return lambda *args: jaxpr(*args)


def eval_jaxpr(jaxpr: Graph, consts: Sequence[Any], *args: Any, **_: Any) -> Any:
    """The results of a graph, as a list."""
    return jaxpr(*consts, *args)


def valid_jaxtype(x: Any) -> bool:
    """Whether something is an array or can become one."""
    try:
        abstract(x)
    except TypeError:
        return False
    return True


def concrete_or_error(force: Callable[[Any], Any] | None, val: Any, context: str = "") -> Any:
    """The value of something that must not be traced; the error of fnn's says where it was."""
    return (force or np.asarray)(val)


def is_concrete(x: Any) -> bool:
    """Whether something holds numbers."""
    return not isinstance(x, Tracer)


def subjaxprs(jaxpr: Graph) -> list[Graph]:
    """The graphs inside of a graph's equations."""
    return [g for eqn in jaxpr.equations for g in jaxprs_in_params(eqn.params)]


def jaxprs_in_params(params: dict[str, Any]) -> list[Graph]:
    """The graphs among an equation's parameters."""
    values = [
        v for value in params.values() for v in (value if isinstance(value, (tuple, list)) else (value,))
    ]
    return [v for v in values if isinstance(v, Graph)]


@contextlib.contextmanager
def eval_context() -> Iterator[None]:
    """Inside the block concrete arrays stay concrete, as they do anywhere in fnn's eager mode."""
    yield


__all__ = [
    "AbstractValue", "Atom", "ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "ShapedArray",
    "Trace", "Tracer", "Value", "Var", "concrete_or_error", "eval_context", "eval_jaxpr", "get_aval", "is_concrete",
    "jaxpr_as_fun", "jaxprs_in_params", "mapped_aval", "raise_to_shaped", "safe_map", "safe_zip", "shaped_abstractify",
    "subjaxprs", "unmapped_aval", "valid_jaxtype",
]  # fmt: skip
