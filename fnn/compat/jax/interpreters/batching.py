"""`jax.interpreters.batching`: rules for vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn.compat.jax.primitives import Primitive, Rules
from fnn.core.array import as_array
from fnn.core.trace import Tracer, shape_of
from fnn.primitives.rules import moveaxis
from fnn.transforms.batching import Batch

__all__ = [
    "BatchTracer", "axis_primitive_batchers", "bdim_at_front", "broadcast", "defbroadcasting", "defvectorized",
    "fancy_primitive_batchers", "not_mapped", "primitive_batchers",
]  # fmt: skip

not_mapped = None


def _plain(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda axis, values, dims, **params: rule(values, dims, **params)


def _with_axis(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda axis, values, dims, **params: rule(axis.size, axis.name, None, values, dims, **params)


# rule(values, dims, **params); rule(size, name, None, values, dims, **params); rule(axis, values, dims, **params)
primitive_batchers = Rules("batching.primitive_batchers", "rule_batch", _plain)
axis_primitive_batchers = Rules("batching.axis_primitive_batchers", "rule_batch", _with_axis)
fancy_primitive_batchers = Rules("batching.fancy_primitive_batchers", "rule_batch")


class _Batched(type):
    def __instancecheck__(cls, x: object) -> bool:
        return type(x) is Tracer and isinstance(x.trace, Batch)


class BatchTracer(metaclass=_Batched):
    """An array that stands for a batch under vmap is an instance."""


def broadcast(x: Any, size: int, axis: int = 0, *_: Any) -> Any:
    """So many copies of an array, along a new axis."""
    x = as_array(x)
    shape = (*x.shape[:axis], size, *x.shape[axis:])
    return P.broadcast(x, shape=shape, axes=tuple(k for k in range(len(shape)) if k != axis))


def bdim_at_front(x: Any, bdim: int | None, size: int, *_: Any) -> Any:
    """An array with its batch on axis 0, which it may not have yet."""
    return broadcast(x, size) if bdim is None else moveaxis(as_array(x), bdim, 0)


def defvectorized(primitive: Primitive) -> None:
    """Of a primitive of one operand that acts on each element."""
    primitive_batchers[primitive] = lambda values, dims, **params: (
        primitive.bind(*values, **params),
        dims[0],
    )


def defbroadcasting(primitive: Primitive) -> None:
    """Of a primitive that acts on each element of operands that broadcast."""

    def rule(values: Sequence[Any], dims: Sequence[int | None], **params: Any) -> Any:
        rank = max(len(shape_of(x)) - (d is not None) for x, d in zip(values, dims, strict=True))

        def aligned(x: Any, d: int | None) -> Any:
            if d is None:
                return x
            x = moveaxis(as_array(x), d, 0)
            return P.reshape(x, shape=(x.shape[0], *[1] * (rank + 1 - x.ndim), *x.shape[1:]))

        return primitive.bind(*map(aligned, values, dims), **params), 0

    primitive_batchers[primitive] = rule
