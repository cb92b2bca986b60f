"""Products of vectors and matrices: each one `dot_general`, whatever it is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fnn import dtypes
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, state
from fnn.errors import ArgumentError, ShapeError
from fnn.operations import operands
from fnn.operations.choice import conjugate
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, axes_of, meet, to_dtype, to_shape
from fnn.operations.shaping import moveaxis, permuted, ravel, to
from fnn.primitives import dot_general


def _shape(x: Any) -> tuple[int, ...]:
    return aval_of(x).shape


def _met(name: str, x: Any, y: Any) -> tuple[Any, Any, bool]:
    """Both in one dtype, and whether that is bool (then they come as int32)."""
    x, y = meet(name, array_of(name, x), array_of(name, y), spread=False)
    dtype = aval_of(x).dtype
    if aval_of(y).dtype != dtype:  # weak scalars keep their own
        x, y = (to_dtype(a, dtypes.result([aval_of(x), aval_of(y)])[0]) for a in (x, y))
        dtype = aval_of(x).dtype
    if not dtypes.is_bool(dtype):
        return x, y, False
    return to_dtype(x, dtypes.int32), to_dtype(y, dtypes.int32), True


def contract(
    name: str,
    x: Any,
    y: Any,
    over: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]] = ((), ()),
    dtype: Any = None,
) -> Any:
    """dot_general after promotion; bools are combined with and, or. dtype: in which it is summed and returned."""
    x, y, logical = _met(name, x, y)
    out_dtype = None if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    pair = (tuple(over[0]), tuple(over[1]))
    out = dot_general(x, y, contract=pair, batch=(tuple(batch[0]), tuple(batch[1])), out_dtype=out_dtype)
    return to_dtype(out, dtypes.bool_) if logical and dtype is None else out


def _mismatch(name: str, x: Any, y: Any, a: int, b: int, hint: str) -> ShapeError:
    return ShapeError(
        f"{name}: the shapes {_shape(x)} and {_shape(y)} do not fit, at {describe(here())}: axis {a} of the first has size "
        f"{_shape(x)[a]}, axis {b} of the second {_shape(y)[b]}, and they are summed over together; {hint}"
    )


_products: dict[tuple[Aval, Aval], dict[str, Any]] = {}  # of operands that meet as they are


def matmul(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Any:
    """The matrix product `a` @ `b`: the last axis of `a` with the last but one of `b`; leading axes broadcast.

    Vectors (one axis) are rows on the left and columns on the right. preferred_element_type: the dtype to sum and return
    in. precision is accepted and ignored: products are computed in their dtype. Raises ShapeError where sizes differ.

    >>> import fnn.numpy as fnp
    >>> print(fnp.matmul(fnp.eye(2), fnp.array([3.0, 4.0])))
    [3. 4.]
    """
    a, b = array_of("matmul", a), array_of("matmul", b)
    known = _products.get((a.aval, b.aval)) if preferred_element_type is None else None
    if known is not None:
        if type(a) is type(b) is ConcreteArray and state.stage is None:
            return dot_general.run((a, b), known)
        return dot_general(a, b, **known)
    xs, ys = _shape(a), _shape(b)
    if not xs or not ys:
        raise ShapeError(
            f"matmul: the operands have shapes {xs} and {ys}, at {describe(here())}; a product with a scalar is "
            "x * y"
        )
    i, j = len(xs) - 1, max(len(ys) - 2, 0)
    if xs[i] != ys[j]:
        raise _mismatch("matmul", a, b, i, j, "transpose one of them (x.T, x.mT)")
    if len(ys) <= 2:
        if a.aval.dtype == b.aval.dtype and not dtypes.is_bool(a.aval.dtype):  # nothing is to be converted
            if len(_products) > 4096:
                _products.clear()
            _products[a.aval, b.aval] = {"contract": ((i,), (j,)), "batch": ((), ()), "out_dtype": None}
        return contract("matmul", a, b, ((i,), (j,)), dtype=preferred_element_type)
    lead_x, lead_y = xs[:-2] if len(xs) > 2 else (), ys[:-2]
    if not lead_x:  # (m, k) or (k,) with (..., k, n): the leading axes are free, and go to the front
        out = contract("matmul", a, b, ((i,), (j,)), dtype=preferred_element_type)
        return out if len(xs) == 1 else permuted(out, (*range(1, len(ys) - 1), 0, len(ys) - 1))
    lead = operands.broadcast_shapes("matmul", lead_x, lead_y)
    rank = len(lead)
    a, b = (to_shape(m, (*lead, *_shape(m)[-2:])) if _shape(m)[:-2] != lead else m for m in (a, b))
    axes = tuple(range(rank))
    return contract("matmul", a, b, ((rank + 1,), (rank,)), (axes, axes), dtype=preferred_element_type)


def dot(
    a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Any:
    """NumPy's dot: a product with a scalar, of vectors, or the last axis of `a` with the last but one of `b`."""
    a, b = array_of("dot", a), array_of("dot", b)
    if not _shape(a) or not _shape(b):
        return BINARY["multiply"](a, b)
    i, j = len(_shape(a)) - 1, max(len(_shape(b)) - 2, 0)
    if _shape(a)[i] != _shape(b)[j]:
        raise _mismatch("dot", a, b, i, j, "transpose one of them (x.T)")
    return contract("dot", a, b, ((i,), (j,)), dtype=preferred_element_type)


def tensordot(
    a: Any,
    b: Any,
    axes: Any = 2,
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Any:
    """The product summed over axes: the last n of `a` with the first n of `b`, or (axes of `a`, axes of `b`)."""
    a, b = array_of("tensordot", a), array_of("tensordot", b)
    if isinstance(axes, (tuple, list)):
        left, right = axes
        xa, ya = axes_of("tensordot", left, len(_shape(a))), axes_of("tensordot", right, len(_shape(b)))
    else:
        if axes > min(len(_shape(a)), len(_shape(b))):
            raise ShapeError(
                f"tensordot: {aval_of(a)} and {aval_of(b)} do not both have {axes} axes, at {describe(here())}"
            )
        xa, ya = tuple(range(len(_shape(a)) - axes, len(_shape(a)))), tuple(range(axes))
    if len(xa) != len(ya):
        raise ArgumentError(f"tensordot: {axes} are not equally many axes of both, at {describe(here())}")
    for i, j in zip(xa, ya):
        if _shape(a)[i] != _shape(b)[j]:
            raise _mismatch("tensordot", a, b, i, j, "choose other axes")
    return contract("tensordot", a, b, (xa, ya), dtype=preferred_element_type)


def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The product summed over the last axis of both."""
    a, b = array_of("inner", a), array_of("inner", b)
    if not _shape(a) or not _shape(b):
        return BINARY["multiply"](a, b)
    return tensordot(a, b, ((-1,), (-1,)), preferred_element_type=preferred_element_type)


def outer(a: Any, b: Any, out: None = None) -> Any:
    """All products of an element of `a` with one of `b`: shape (`a`.size, `b`.size)."""
    operands.no_out("outer", out)
    a, b = ravel(a), ravel(b)
    return BINARY["multiply"](to(a, (aval_of(a).size, 1)), to(b, (1, aval_of(b).size)))


def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """The sum of the products of all elements of two arrays of equal size; `a` is conjugated."""
    return dot(conjugate(ravel(a)), ravel(b), preferred_element_type=preferred_element_type)


def vecdot(
    x: Any, y: Any, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The sum of products along one axis of both; the others broadcast. x is conjugated.

    preferred_element_type: the dtype to sum and return in. Raises ShapeError where that axis differs in size."""
    from fnn.operations.reductions import any, sum

    x, y = array_of("vecdot", x), array_of("vecdot", y)
    i, j = (operands.axis_of("vecdot", axis, len(_shape(v))) for v in (x, y))
    if _shape(x)[i] != _shape(y)[j]:
        raise _mismatch("vecdot", x, y, i, j, "choose another axis")
    if preferred_element_type is not None:
        dtype = dtypes.canonicalize(preferred_element_type, explicit=True)
        x, y = to_dtype(x, dtype), to_dtype(y, dtype)
    x, y = moveaxis(x, i, -1), moveaxis(y, j, -1)
    out = BINARY["multiply"](conjugate(x), y)
    return any(out, -1) if dtypes.is_bool(aval_of(out).dtype) else sum(out, -1, promote_integers=False)


def matvec(x: Any, y: Any) -> Any:
    """Matrices times vectors: (..., m, n) with (..., n)."""
    from fnn.operations.shaping import expand_dims, squeeze

    return squeeze(matmul(x, expand_dims(y, -1)), -1)


def vecmat(x: Any, y: Any) -> Any:
    """Vectors times matrices: (..., m) with (..., m, n); the vectors are conjugated."""
    from fnn.operations.shaping import expand_dims, squeeze

    return squeeze(matmul(expand_dims(conjugate(x), -2), y), -2)
