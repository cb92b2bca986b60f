"""Operations that arrange elements, reduce them, or contract axes."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.lax.elementwise import operands
from fnn.lax.reducing import axes_of


class Precision(enum.Enum):
    """How exactly matrix products are computed. Accepted and ignored: fnn never lowers the precision of
    its operands."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


def iota(dtype: Any, size: int) -> Array:
    """0, 1, ..., size - 1."""
    return P.iota(
        dtype=dtypes.canonicalize(dtype, explicit=dtype is not int and dtype is not float),
        shape=(int(size),),
        dimension=0,
    )


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Array:
    """The index along one axis, at every place of a shape."""
    target = dtypes.canonicalize(dtype, explicit=dtype is not int and dtype is not float)
    return P.iota(dtype=target, shape=tuple(shape), dimension=int(dimension))


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None) -> Array:
    """One value everywhere."""
    value = as_array(fill_value)
    target = value.dtype if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    value = value if value.dtype == target and dtype is None else P.convert(value, dtype=target)
    return P.broadcast(value, shape=tuple(shape), axes=())


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Sequence[int] | None = None) -> Array:
    """One value in the shape and dtype of x."""
    x = as_array(x)
    return full(x.shape if shape is None else shape, fill_value, x.dtype if dtype is None else dtype)


def broadcast(operand: Any, sizes: Sequence[int]) -> Array:
    """operand repeated along new leading axes."""
    x = as_array(operand)
    return P.broadcast(x, shape=(*sizes, *x.shape), axes=tuple(range(len(sizes), len(sizes) + x.ndim)))


def broadcast_in_dim(operand: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int]) -> Array:
    """operand repeated to a shape, its axes being the ones named there."""
    return P.broadcast(as_array(operand), shape=tuple(shape), axes=tuple(broadcast_dimensions))


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to."""
    try:
        return np.broadcast_shapes(*map(tuple, shapes))
    except ValueError:
        raise ShapeError(
            f"Incompatible shapes for broadcasting: {', '.join(map(str, shapes))}, at {describe(here())}"
        ) from None


def reshape(operand: Any, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None) -> Array:
    """The same elements in another shape, row by row."""
    x = as_array(operand)
    if dimensions is not None:
        x = transpose(x, dimensions)
    return P.reshape(x, shape=tuple(new_sizes))


def transpose(operand: Any, permutation: Sequence[int]) -> Array:
    """The axes in another order."""
    return P.transpose(as_array(operand), perm=tuple(int(p) for p in permutation))


def rev(operand: Any, dimensions: Sequence[int]) -> Array:
    """Elements in reverse order along some axes."""
    x = as_array(operand)
    return P.rev(x, axes=axes_of(x, dimensions))


def squeeze(array: Any, dimensions: Sequence[int]) -> Array:
    """Without some axes of size 1."""
    x = as_array(array)
    gone = axes_of(x, dimensions)
    if any(x.shape[d] != 1 for d in gone):
        raise ShapeError(
            f"lax.squeeze of axes {tuple(dimensions)} of {x.aval}, at {describe(here())}: they must be of size 1"
        )
    return P.reshape(x, shape=tuple(n for d, n in enumerate(x.shape) if d not in gone))


def expand_dims(array: Any, dimensions: Sequence[int]) -> Array:
    """With new axes of size 1 at these places of the result."""
    x = as_array(array)
    places = {d % (x.ndim + len(dimensions)) for d in dimensions}
    rest = iter(x.shape)
    return P.reshape(x, shape=tuple(1 if d in places else next(rest) for d in range(x.ndim + len(places))))


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Array:
    """A value before, after and between the elements of every axis: (low, high, interior) each, low and
    high may be < 0."""
    x, value = operands("pad", as_array(operand), padding_value)
    if len(padding_config) != x.ndim:
        raise ShapeError(f"lax.pad: {len(padding_config)} triples for {x.aval}, at {describe(here())}")
    low, high, interior = zip(*padding_config, strict=True) if x.ndim else ((), (), ())
    return P.pad(x, value, low=tuple(low), high=tuple(high), interior=tuple(interior))


def concatenate(operands: Sequence[Any], dimension: int) -> Array:
    """Arrays of one dtype joined along an axis."""
    arrays = [as_array(x) for x in operands]
    if not arrays:
        raise ArgumentError(f"lax.concatenate needs at least one array, at {describe(here())}")
    return P.concatenate(*arrays, axis=dimension % max(arrays[0].ndim, 1))


# -- positions ------------------------------------------------------------------------------------------------


def argmax(operand: Any, axis: int, index_dtype: Any) -> Array:
    """The first position of the maximum along an axis."""
    x = as_array(operand)
    return P.argmax(x, axis=axes_of(x, axis)[0], dtype=dtypes.canonicalize(index_dtype, explicit=True))


def argmin(operand: Any, axis: int, index_dtype: Any) -> Array:
    """The first position of the minimum along an axis."""
    x = as_array(operand)
    return P.argmin(x, axis=axes_of(x, axis)[0], dtype=dtypes.canonicalize(index_dtype, explicit=True))


# -- contractions --------------------------------------------------------------------------------------------


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    **ignored: Any,
) -> Array:
    """Sums of products over pairs of axes: dimension_numbers = ((lhs contracted, rhs contracted), (lhs batch,
    rhs batch)).

    The result has the batch axes, then lhs's other axes, then rhs's. precision is accepted and ignored."""
    (lc, rc), (lb, rb) = dimension_numbers
    x, y = as_array(lhs), as_array(rhs)
    out = (
        None if preferred_element_type is None else dtypes.canonicalize(preferred_element_type, explicit=True)
    )
    if x.dtype != y.dtype:
        dtype, _ = dtypes.result([x.aval, y.aval])
        kinds = {dtypes.is_integer(a.dtype) for a in (x, y)}
        if out is None and dtypes.kind(dtype) in "iuf" and len(kinds) == 1:
            # The wider of the two; of equal width the signed one, the one of more exponents.
            ranks = {
                a.dtype: (a.dtype.itemsize, dtypes.kind(a.dtype) == "i", a.dtype == dtypes.bfloat16)
                for a in (x, y)
            }
            out = max(ranks, key=lambda d: ranks[d])
        x, y = (a if a.dtype == dtype else P.convert(a, dtype=dtype) for a in (x, y))
    elif dtypes.is_bool(x.dtype):  # whether some pair holds
        counts = dot_general(
            *[P.convert(a, dtype=np.dtype("int32")) for a in (x, y)], dimension_numbers=dimension_numbers
        )
        found = P.ne(counts, P.convert(0, dtype=counts.dtype))
        return found if out is None or dtypes.is_bool(out) else P.convert(found, dtype=out)
    contract = (axes_of(x, lc), axes_of(y, rc))
    return P.dot_general(x, y, contract=contract, batch=(axes_of(x, lb), axes_of(y, rb)), out_dtype=out)


def dot(lhs: Any, rhs: Any, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """Vector and matrix products: lhs's last axis with rhs's first."""
    x, y = as_array(lhs), as_array(rhs)
    if not (1 <= x.ndim <= 2 and 1 <= y.ndim <= 2) or x.shape[-1] != y.shape[0]:
        raise ShapeError(
            f"lax.dot of {x.aval} and {y.aval}, at {describe(here())}: vectors or matrices whose inner sizes agree"
        )
    return dot_general(x, y, (((x.ndim - 1,), (0,)), ((), ())), precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: Any = None) -> Array:
    """Matrix products over equal leading axes."""
    x, y = as_array(lhs), as_array(rhs)
    if x.ndim != y.ndim or x.ndim < 2:
        raise ShapeError(
            f"lax.batch_matmul of {x.aval} and {y.aval}, at {describe(here())}: equal numbers of axes, at least two"
        )
    batch = tuple(range(x.ndim - 2))
    return dot_general(x, y, (((x.ndim - 1,), (y.ndim - 2,)), (batch, batch)), precision)


# -- sorting -------------------------------------------------------------------------------------------------


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """An array sorted along an axis, or several sorted together by the first num_keys of them."""
    several = isinstance(operand, (tuple, list))
    arrays = [as_array(x) for x in (operand if several else (operand,))]
    out = P.sort(*arrays, axis=dimension % arrays[0].ndim, keys=num_keys, stable=bool(is_stable))
    return tuple(out) if several else out[0]


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple[Array, Array]:
    """(keys sorted, values in the same order)."""
    return sort((keys, values), dimension, is_stable)


def top_k(operand: Any, k: int, *, axis: int = -1) -> tuple[Array, Array]:
    """(the k largest along an axis, their positions), largest first."""
    x = as_array(operand)
    if not x.ndim or not -x.ndim <= axis < x.ndim or not 0 <= k <= x.shape[axis]:
        raise ShapeError(
            f"lax.top_k of {x.aval} with k={k} along axis {axis}, at {describe(here())}: k is at most the size of the axis"
        )
    last, place = x.ndim - 1, axis % x.ndim
    if place == last:
        values, indices = P.top_k(x, k=int(k))
        return values, indices
    perm = [last if d == place else place if d == last else d for d in range(x.ndim)]
    values, indices = P.top_k(transpose(x, perm), k=int(k))
    return transpose(values, perm), transpose(indices, perm)


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """As top_k along an axis; always exact, so that the other arguments change nothing."""
    return top_k(operand, k, axis=reduction_dimension)


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """(the k smallest along an axis, their positions), smallest first; always exact, as `approx_max_k`."""
    values, indices = top_k(P.neg(as_array(operand)), k, axis=reduction_dimension)
    return P.neg(values), indices
