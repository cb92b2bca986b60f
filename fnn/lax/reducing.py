"""Reductions along axes: by one operation, or by any associative function of scalars (or pytrees of them)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.array import Array, ConcreteArray, as_array, from_numpy
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import closed_stage
from fnn.errors import ArgumentError, DtypeError, ShapeError, TreeError
from fnn.lax.elementwise import add, bitwise_and, bitwise_or, bitwise_xor, max, min, mul
from fnn.operations.reductions import max_of, min_of
from fnn.transforms.associative_scan import associative_scan
from fnn.transforms.batching import vmap
from fnn.transforms.scan import scan


def axes_of(x: Array, axes: Any) -> tuple[int, ...]:
    """Axes of x, none of them negative."""
    given = (axes,) if isinstance(axes, int) else tuple(axes)
    if any(not -x.ndim <= a < x.ndim for a in given) or len({a % x.ndim for a in given}) < len(given):
        raise ShapeError(f"axes {given} of {x.aval}, at {describe(here())}: each must be there, and once")
    return tuple([a % x.ndim for a in given])


def _reduction(
    primitive: Any, promoted: Callable[..., Any] | None = None
) -> Callable[[Any, Sequence[int]], Array]:
    def reduce(operand: Any, axes: Sequence[int]) -> Array:
        x = as_array(operand)
        places = axes_of(x, axes)
        if promoted is not None and x.dtype.kind in "bc":
            return promoted(x, axis=places)
        return primitive(x, axes=places)

    reduce.__name__ = reduce.__qualname__ = primitive.name
    reduce.__doc__ = f"Elements along some axes combined: {primitive.name}."
    return reduce


reduce_sum, reduce_prod = _reduction(P.reduce_sum), _reduction(P.reduce_prod)
reduce_max, reduce_min = _reduction(P.reduce_max, max_of), _reduction(P.reduce_min, min_of)
reduce_and, reduce_or = _reduction(P.reduce_and), _reduction(P.reduce_or)
reduce_xor = _reduction(P.reduce_xor)

# What a function of two scalars is known as -> (its reduction, the function of two arrays).
_COMBINERS = {
    "add": (reduce_sum, add),
    "mul": (reduce_prod, mul),
    "max": (reduce_max, max),
    "min": (reduce_min, min),
    "and": (reduce_and, bitwise_and),
    "or": (reduce_or, bitwise_or),
    "xor": (reduce_xor, bitwise_xor),
}


def combiner(computation: Callable[[Any, Any], Any], x: Array) -> str | None:
    """The name of the primitive that a function of two scalars is: "add", "max" ...; None if it is none."""
    scalar = Aval((), x.dtype)
    graph = closed_stage(lambda a, b: [as_array(computation(a, b))], [scalar, scalar])
    if len(graph.equations) != 1:
        return None
    eqn = graph.equations[0]
    same = set(eqn.inputs) == set(graph.inputs) and eqn.outputs[0] is graph.outputs[0]
    return eqn.primitive.name if same and eqn.primitive.name in _COMBINERS else None


def initial(what: str, x: Array, init_value: Any) -> Array:
    """A first value: a scalar of the dtype of what is reduced."""
    start = as_array(init_value)
    if start.shape:
        raise ShapeError(f"{what}: init_value is a scalar, not {start.aval}, at {describe(here())}")
    if start.dtype == x.dtype:
        return start
    if not start.weak_type:
        raise DtypeError(
            f"{what}: init_value is {start.aval} for {x.aval}, at {describe(here())}; convert it"
        )
    # A known number stays one inside of a trace, so that it is seen to change nothing.
    known = isinstance(start, ConcreteArray)
    return from_numpy(start.value, x.dtype) if known else P.convert(start, dtype=x.dtype)


def reduce(
    operands: Any, init_values: Any, computation: Callable[[Any, Any], Any], dimensions: Sequence[int]
) -> Any:
    """Elements along some axes, and an initial value, combined by an associative function of two scalars.

    operands may be a pytree of arrays of one shape, init_values one of scalars; computation then takes and returns such
    pytrees of scalars. lax.add, mul, max, min and the bitwise operations are reductions of their own; any other function
    is called in a loop over the elements.

    >>> import fnn.numpy as fnp
    >>> from fnn import lax
    >>> print(lax.reduce(fnp.arange(4.0), 0.0, lambda x, y: lax.max(x, y) + 1, (0,)))
    4.0
    """
    leaves, structure = tree.flatten(operands)
    starts, same = tree.flatten(init_values)
    if structure != same or not leaves:
        raise TreeError(f"lax.reduce: operands are {structure}, init_values {same}, at {describe(here())}")
    xs = [as_array(x) for x in leaves]
    if len({x.shape for x in xs}) > 1:
        raise ShapeError(
            f"lax.reduce: operands {', '.join(str(x.aval) for x in xs)} differ in shape, at {describe(here())}"
        )
    values = [initial("lax.reduce", x, s) for x, s in zip(xs, starts, strict=True)]
    axes = axes_of(xs[0], dimensions)
    if not axes:
        return operands
    name = combiner(computation, xs[0]) if structure == tree.structure(0) else None
    if name is None:
        return tree.unflatten(structure, _folded(xs, values, computation, structure, axes))
    if not math.prod(xs[0].shape[a] for a in axes):  # nothing to combine with
        rest = tuple(n for d, n in enumerate(xs[0].shape) if d not in axes)
        return P.broadcast(values[0], shape=rest, axes=())
    all_of, both = _COMBINERS[name]
    return both(all_of(xs[0], axes), values[0])


def _folded(
    xs: list[Array], starts: list[Array], computation: Callable[..., Any], structure: Any, axes: tuple
) -> list[Array]:
    """The loop over the elements of some axes, for all elements of the other axes at once."""
    others = tuple(d for d in range(xs[0].ndim) if d not in axes)
    rest = tuple(xs[0].shape[d] for d in others)
    count, width = math.prod(xs[0].shape[d] for d in axes), math.prod(rest)
    rows = [P.reshape(P.transpose(x, perm=(*axes, *others)), shape=(count, width)) for x in xs]
    first = [P.broadcast(s, shape=(width,), axes=()) for s in starts]

    def both(acc: list[Any], row: list[Any]) -> list[Array]:
        found = computation(tree.unflatten(structure, acc), tree.unflatten(structure, row))
        out, same = tree.flatten(found)
        if same != structure:
            raise TreeError(f"a computation returns {same} for {structure}, at {describe(here())}")
        out = [as_array(o) for o in out]
        if any(o.shape for o in out) or [o.dtype for o in out] != [x.dtype for x in xs]:
            raise ArgumentError(
                f"a computation of scalars {', '.join(str(x.dtype) for x in xs)} returns "
                f"{', '.join(str(o.aval) for o in out)}, at {describe(here())}; it must return such scalars"
            )
        return out

    last, _ = scan(lambda acc, row: (vmap(both)(acc, row), None), first, rows)
    return [P.reshape(o, shape=rest) for o in last]


def _cumulative(
    primitive: Any, promoted: Callable[..., Any] | None = None
) -> Callable[[Any, int, bool], Array]:
    def cumulative(operand: Any, axis: int = 0, reverse: bool = False) -> Array:
        x = as_array(operand)
        (place,) = axes_of(x, axis)
        if promoted is not None and x.dtype.kind == "c":
            return associative_scan(promoted, x, reverse=bool(reverse), axis=place)
        return primitive(x, axis=place, reverse=bool(reverse))

    cumulative.__name__ = cumulative.__qualname__ = primitive.name
    cumulative.__doc__ = f"Running {primitive.name} along an axis, from its end with reverse."
    return cumulative


cumsum, cumprod = _cumulative(P.cumsum), _cumulative(P.cumprod)
cummax, cummin = _cumulative(P.cummax, max), _cumulative(P.cummin, min)
cumlogsumexp = _cumulative(P.cumlogsumexp)
