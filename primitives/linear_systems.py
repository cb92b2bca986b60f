"""LU factors and what is solved with them: systems, tridiagonal systems, determinants.

Derivatives: F. R. de Hoog, R. S. Anderssen and M. A. Lukas, "Differentiation of matrix functionals using triangular
factorization", 2011, for LU; M. Giles, "Collected matrix derivative results", 2008, for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Decompose, Kernel
from fnn.core.primitive import Primitive, Sample, not_differentiable
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives import arithmetic, comparison, conversion, structural
from fnn.primitives.gathering import GatherDimensionNumbers, gather
from fnn.primitives.lapack import Routine, check_floats, check_matrices, library
from fnn.primitives.linalg import triangular_solve
from fnn.primitives.matrices import (
    INT32,
    add,
    beside,
    cut,
    identity,
    matmul,
    matrix_transpose,
    rows_of,
    scalar,
    triangle,
    waves,
)  # fmt: skip
from fnn.primitives.rules import lift, moveaxis, of_dtype

# -- permutations --------------------------------------------------------------------------------------------


def _permutation_shape(pivots: Aval, size: int, inverse: bool) -> Aval:
    if pivots.ndim < 1 or pivots.dtype.kind not in "iu" or pivots.shape[-1] > size:
        raise ShapeError(
            f"pivots_to_permutation: {pivots} are not pivots of a permutation of {size}, at {describe(here())}"
        )
    return Aval((*pivots.shape[:-1], size), INT32)


def _permutation_evaluate(pivots: Any, size: int, inverse: bool) -> np.ndarray:
    pivots = np.clip(np.asarray(pivots), 0, max(size - 1, 0)).astype(np.int64)
    lead = pivots.shape[:-1]
    out = np.broadcast_to(np.arange(size, dtype=np.int32), (*lead, size)).copy()
    flat, rows = out.reshape(math.prod(lead), size), np.arange(math.prod(lead))
    for i, j in enumerate(np.moveaxis(pivots.reshape(math.prod(lead), pivots.shape[-1]), 1, 0)):
        flat[rows, i], flat[rows, j] = flat[rows, j].copy(), flat[rows, i].copy()
    return np.argsort(out, axis=-1).astype(np.int32) if inverse else out


def _permutation_write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    pivots, target = inputs[0], outputs[0]
    count, size = b.size(pivots.shape[-1]), b.size(params["size"])
    scratch = outputs[1].buffer if params["inverse"] else target.buffer
    with b.tiles() as t:
        first = t * size
        with b.loop(0, size) as i:
            b.store(scratch, first + i, b.cast(i, "i4"))
        with b.loop(0, count) as i:
            j = b.cast(b.load(pivots.buffer, t * count + i), "i8")
            j = first + b.op("max", b.op("min", j, size - 1), 0)
            one, other = b.load(scratch, first + i), b.load(scratch, j)
            b.store(scratch, first + i, other)
            b.store(scratch, j, one)
        if params["inverse"]:
            with b.loop(0, size) as i:
                b.store(target.buffer, first + b.cast(b.load(scratch, first + i), "i8"), b.cast(i, "i4"))


# pivots [..., k]: row i is exchanged with row pivots[i], in order -> the permutation [..., size] that this is, or its
# inverse
pivots_to_permutation = Primitive(
    "pivots_to_permutation",
    shape=_permutation_shape,
    evaluate=_permutation_evaluate,
    jvp=(_no := not_differentiable("a permutation has no derivative"))[0],
    vjp=_no[1],
    batch=lambda frame, flags, args, params: (pivots_to_permutation(*args, **params), True),
    lower=Kernel(
        _permutation_write,
        tiles=lambda ins, outs, params: math.prod(ins[0].shape[:-1]),
        cost=lambda ins, outs, params: 20.0 + 3.0 * outs[0].size,
        workspace=lambda ins, outs, params: [("i4", outs[0].size)] if params["inverse"] else [],
    ),
    samples=lambda: (
        [
            Sample((np.array([[2, 2, 2], [0, 3, 3]], np.int32),), {"size": 4, "inverse": inverse})
            for inverse in (False, True)
        ]
        + [
            Sample(("i4[0,3]",), {"size": 3, "inverse": False}),
            Sample((np.array([1], np.int32),), {"size": 2, "inverse": True}),
        ]
    ),
)


def permutation_matrix(permutation: Any, like: Any) -> Any:
    """[..., n] -> [..., n, n] with x @ it == x[..., permutation], in the dtype of like."""
    n = shape_of(permutation)[-1]
    wanted = rows_of(permutation, n)
    have = structural.iota(dtype=INT32, shape=shape_of(wanted), dimension=len(shape_of(wanted)) - 2)
    return of_dtype(comparison.eq(have, wanted), aval_of(like).dtype)


def permuted_rows(x: Any, permutation: Any) -> Any:
    """[..., i, :] = x[..., permutation[i], :]."""
    shape = shape_of(x)
    rank = len(shape)
    if not math.prod(shape):
        return x
    lead = tuple(range(rank - 2))
    indices = structural.reshape(permutation, shape=(*shape_of(permutation), 1))
    numbers = GatherDimensionNumbers((rank - 1,), (rank - 2,), (rank - 2,), lead, lead)
    sizes = (*[1] * (rank - 2), 1, shape[-1])
    return gather(
        x, indices, dimension_numbers=numbers, slice_sizes=sizes, mode="promise_in_bounds", fill_value=None
    )


# -- lu ------------------------------------------------------------------------------------------------------


def _lu_shape(a: Aval) -> list[Aval]:
    check_matrices("lu", a, square=False)
    return [a.strong(), Aval((*a.shape[:-2], min(a.shape[-2:])), INT32)]


def _lu_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), (factors, pivots), (m, n) = r.inputs, r.outputs, ins[0].shape[-2:]
    r.copy(factors, a)
    r.call("getrf", m, n, factors, max(1, m), pivots, None)
    r.order, r.flops = min(m, n), float(m * n * min(m, n)) * 2 / 3


def _padded_factors(lu_: Any) -> tuple[Any, Any]:
    """L [m, m] and U [n, n], completed by identities."""
    m, n = shape_of(lu_)[-2:]
    k = min(m, n)
    lower = triangle(cut(lu_, m, k), lower=True, strict=True)
    upper = triangle(cut(lu_, k, n), lower=False)
    if m > k:
        lower = beside(lower, _zeros(lu_, m, m - k), -1)
    if n > k:
        corner = beside(_zeros(lu_, n - k, k), identity(lu_, n - k), -1)
        upper = beside(upper, corner, -2)
    return arithmetic.add(lower, identity(lu_, m)), upper


def _zeros(x: Any, rows: int, columns: int) -> Any:
    return structural.broadcast(scalar(0.0, x), shape=(*shape_of(x)[:-2], rows, columns), axes=())


_LOWER = {"left_side": True, "lower": True, "unit_diagonal": True}
_UPPER = {"left_side": False, "lower": False, "unit_diagonal": False}


def _counted_from_0(pivots: Any) -> Any:
    return arithmetic.sub(pivots, np.asarray(1, np.int32))


def _lu_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    factors, pivots = lu(*primals)
    if tangents[0] is None:
        return [factors, pivots], [None, None]
    m = shape_of(factors)[-2]
    lower, upper = _padded_factors(factors)
    rows = permuted_rows(tangents[0], pivots_to_permutation(_counted_from_0(pivots), size=m, inverse=False))
    inner = triangular_solve(lower, rows, transpose_a=False, **_LOWER)
    inner = triangular_solve(upper, inner, transpose_a=False, **_UPPER)
    tangent = arithmetic.add(
        matmul(lower, triangle(inner, lower=True, strict=True)), matmul(triangle(inner, lower=False), upper)
    )
    return [factors, pivots], [tangent, None]


def _lu_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any, list[bool]]:
    factors, pivots = lu(*args)
    if not needs[0]:
        return [factors, pivots], None, [False, False]

    def pull(cts: Sequence[Any]) -> list[Any]:
        if cts[0] is None:
            return [None]
        m = shape_of(factors)[-2]
        lower, upper = _padded_factors(factors)
        inner = arithmetic.add(
            triangle(matmul(matrix_transpose(lower), cts[0]), lower=True, strict=True),
            triangle(matmul(cts[0], matrix_transpose(upper)), lower=False),
        )
        inner = triangular_solve(upper, inner, transpose_a=True, **_UPPER)
        inner = triangular_solve(lower, inner, transpose_a=True, **_LOWER)
        back = pivots_to_permutation(_counted_from_0(pivots), size=m, inverse=True)
        return [permuted_rows(inner, back)]

    return [factors, pivots], pull, [True, False]


def _systems(
    n: int, lead: tuple[int, ...] = (), dtype: Any = np.float32, columns: int | None = None
) -> np.ndarray:
    """Matrices whose pivots are clear, for samples."""
    matrix = waves((*lead, n, n if columns is None else columns), 0.3, np.float64)
    k = min(matrix.shape[-2:])
    matrix[..., (np.arange(k) + 1) % n, np.arange(k)] += 2.5
    return matrix.astype(dtype)


# a [m, n] -> L and U in one matrix (below the diagonal, and on and above it), and LAPACK's pivots, counted from 1: row i
# was exchanged with row pivots[i], in order. Rows are exchanged, P a = L U. Singular matrices have zeros on U's diagonal
lu = library(
    "lu",
    shape=_lu_shape,
    write=_lu_write,
    columns_in=(0,),
    columns_out=(0,),
    multiple=True,
    jvp=_lu_jvp,
    vjp=_lu_vjp,
    samples=lambda: [
        Sample((_systems(3),), tolerance=8),
        Sample((_systems(4, (2,)),), tolerance=8),
        Sample((_systems(5, columns=3),), tolerance=8),
        Sample((_systems(3, (2,), columns=5),), tolerance=8),
        Sample(("f4[2,0,3]",)),
        Sample(("f4[0,3,3]",)),
    ],
)


# -- systems -------------------------------------------------------------------------------------------------


def _solve_shape(factors: Aval, pivots: Aval, b: Aval, transpose: bool) -> Aval:
    check_matrices("lu_solve", factors)
    check_floats("lu_solve", factors, b)
    if pivots != Aval(factors.shape[:-1], INT32):
        raise DtypeError(f"lu_solve: {pivots} are not the int32 pivots of {factors}, at {describe(here())}")
    if b.ndim != factors.ndim or b.shape[:-1] != factors.shape[:-1]:
        raise ShapeError(
            f"lu_solve: matrices {factors} and right-hand sides {b} do not fit, at {describe(here())}"
        )
    return b.strong()


def _lu_solve_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (factors, pivots, b), (x,), (n, columns) = r.inputs, r.outputs, ins[2].shape[-2:]
    r.copy(x, b)
    transposed = bool(params["transpose"])
    # Not getrs, which starts threads even for small matrices.
    triangles = [("L", "U"), ("U", "N")]
    if transposed:
        triangles.reverse()
    else:
        r.swap_rows(x, pivots, n, columns, reverse=False)
    for half, diagonal in triangles:
        op = "T" if transposed else "N"
        r.call("trsm", "L", half, op, diagonal, n, columns, 1.0, factors, max(1, n), x, max(1, n))
    if transposed:
        r.swap_rows(x, pivots, n, columns, reverse=True)
    r.order, r.flops = n, 2.0 * n * n * columns


def _factored(n: int, lead: tuple[int, ...] = (), dtype: Any = np.float32) -> tuple[np.ndarray, ...]:
    a = _systems(n, lead, dtype)
    factors, pivots = lu.evaluate(a)
    return a, factors, pivots


def _columns_of_right_hand_sides(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], solve: Any
) -> Any | None:
    """A batch of right-hand sides of one matrix is more right-hand sides; None where it is not that."""
    *matrix, b = args
    if any(flags[:-1]) or len(shape_of(matrix[0])) != 2:
        return None
    shape = shape_of(b)
    moved = moveaxis(b, 0, 1)
    flat = structural.reshape(moved, shape=(shape[1], shape[0] * shape[2]))
    return moveaxis(structural.reshape(solve(*matrix, flat), shape=shape_of(moved)), 1, 0)


def _solve_batch(primitive: Any) -> Any:
    def batch(
        frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
    ) -> tuple[Any, bool]:
        out = _columns_of_right_hand_sides(frame, flags, args, lambda *xs: primitive()(*xs, **params))
        if out is None:
            out = primitive()(*[lift(frame.size, a, f) for a, f in zip(args, flags, strict=True)], **params)
        return out, True

    return batch


# (factors and pivots of `lu`, b) -> x with a x = b, or aᵀ x = b
_refused = not_differentiable("lu_solve is part of factored_solve, which has the derivative")
lu_solve = library(
    "lu_solve",
    shape=_solve_shape,
    write=_lu_solve_write,
    columns_in=(0, 2),
    columns_out=(0,),
    jvp=_refused[0],
    vjp=_refused[1],
    batch=_solve_batch(lambda: lu_solve),
    samples=lambda: [
        Sample(
            (*_factored(3)[1:], waves((3, 2), 0.5)), {"transpose": False}, tolerance=8, differentiate=False
        ),
        Sample(
            (*_factored(4, (2,))[1:], waves((2, 4, 3), 0.5)),
            {"transpose": True},
            tolerance=8,
            differentiate=False,
        ),
        Sample(("f4[2,0,0]", "i4[2,0]", "f4[2,0,3]"), {"transpose": False}, differentiate=False),
    ],
)


def _factored_shape(a: Aval, factors: Aval, pivots: Aval, b: Aval, transpose: bool) -> Aval:
    check_floats("solve", a, b)
    return _solve_shape(factors, pivots, b, transpose)


def _outer(y: Any, x: Any, transpose: bool) -> Any:
    """The cotangent of a: minus the outer product of the cotangent y of b with the solution x."""
    product = matmul(x, matrix_transpose(y)) if transpose else matmul(y, matrix_transpose(x))
    return arithmetic.neg(product)


def _factored_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    a, factors, pivots, b = primals
    ta, tb = tangents[0], tangents[3]
    x = factored_solve(a, factors, pivots, b, **params)
    if ta is None and tb is None:
        return x, None
    if ta is not None:
        ta = matrix_transpose(ta) if params["transpose"] else ta
        tb = add(tb, arithmetic.neg(matmul(ta, x)))
    return x, factored_solve(a, factors, pivots, tb, **params)


def _factored_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    a, factors, pivots, _ = args
    x = factored_solve(*args, **params)
    if not (needs[0] or needs[3]):
        return x, None
    solution = x if needs[0] else None

    def pull(ct: Any) -> list[Any]:
        y = factored_solve(a, factors, pivots, ct, transpose=not params["transpose"])
        of_a = _outer(y, solution, params["transpose"]) if needs[0] else None
        return [of_a, None, None, y if needs[3] else None]

    return x, pull


# (a, factors and pivots of a, b) -> x with a x = b, or aᵀ x = b. The factors only say how: the derivative is that of the
# solution of a system in a and b, and costs another such solution
factored_solve = Primitive(
    "factored_solve",
    shape=_factored_shape,
    evaluate=lambda a, factors, pivots, b, transpose: lu_solve.evaluate(
        factors, pivots, b, transpose=transpose
    ),
    jvp=_factored_jvp,
    vjp=_factored_vjp,
    batch=_solve_batch(lambda: factored_solve),
    lower=Decompose(
        lambda a, factors, pivots, b, transpose: lu_solve(factors, pivots, b, transpose=transpose)
    ),
    samples=lambda: [
        Sample((*_factored(3), waves((3, 2), 0.5)), {"transpose": False}, tolerance=8, differentiate=False),
        Sample(
            (*_factored(4, (2,)), waves((2, 4, 3), 0.5)),
            {"transpose": True},
            tolerance=8,
            differentiate=False,
        ),
        Sample(("f4[0,0]", "f4[0,0]", "i4[0]", "f4[0,3]"), {"transpose": False}, differentiate=False),
    ],
)


def solve(a: Any, b: Any, transpose: bool = False) -> Any:
    """x with a x = b (aᵀ x = b), for square a [..., n, n] and b [..., n, k]."""
    factors, pivots = lu(conversion.stop_gradient(a))
    return factored_solve(a, factors, pivots, b, transpose=transpose)
