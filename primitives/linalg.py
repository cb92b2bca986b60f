"""cholesky and triangular_solve, on matrices along the last two axes.

Derivatives: I. Murray, "Differentiation of the Cholesky decomposition", 2016 (arXiv:1602.07527).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.core.trace import shape_of
from fnn.errors import ShapeError
from fnn.primitives import arithmetic, comparison, structural
from fnn.primitives.lapack import Routine, check_floats, check_matrices, library
from fnn.primitives.matrices import (
    conj,
    conjugated,
    fold_to_lower,
    hermitian_from_lower,
    matmul,
    matrix_transpose,
    scalar,
    triangle,
    waves,
    where,
)
from fnn.primitives.rules import lift, moveaxis


def _phi(x: Any) -> Any:
    """The lower triangle of x with half of its diagonal."""
    half = where(arithmetic.mul(x, scalar(0.5, x)), comparison.eq, scalar(0.0, x))
    return where(x, comparison.gt, half)


def _solve(
    a: Any, b: Any, left_side: bool, transpose_a: bool, lower: bool = True, unit_diagonal: bool = False
) -> Any:
    return triangular_solve(
        a, b, left_side=left_side, lower=lower, transpose_a=transpose_a, unit_diagonal=unit_diagonal
    )


# -- cholesky ------------------------------------------------------------------------------------------------


def _cholesky_shape(a: Aval) -> Aval:
    check_matrices("cholesky", a)
    return a.strong()


def _cholesky_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    # By columns the matrix is its transpose, and its upper factor is the transpose of the lower one by rows.
    (a,), (factor,), n = r.inputs, r.outputs, ins[0].shape[-1]
    r.copy(factor, a)
    r.call("potrf", "U", n, factor, max(1, n), None, spoils=[factor])
    r.clear(factor, n)
    r.order, r.flops = n, n**3 / 3


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    factor = cholesky(*primals)
    if tangents[0] is None:
        return factor, None
    right = _solve(factor, hermitian_from_lower(tangents[0]), True, False)
    inner = _solve(conj(factor), right, False, True)
    return factor, matmul(factor, _phi(inner))


def _cholesky_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    factor = cholesky(*args)
    if not needs[0]:
        return factor, None

    def pull(ct: Any) -> list[Any]:
        inner = _phi(matmul(factor, ct, x_adjoint=True))
        s = _solve(factor, _solve(conj(factor), inner, True, True), False, False)
        return [fold_to_lower(s)]  # only the lower triangle of the argument is read

    return factor, conjugated(pull)


def _spread_matrix(n: int, lead: tuple[int, ...] = (), dtype: Any = np.float32) -> np.ndarray:
    """Positive definite matrices, for samples."""
    size = math.prod(lead) * n * n
    root = np.sin(1.7 + 12.9898 * np.arange(size) ** 2).reshape((*lead, n, n))
    return (root @ np.swapaxes(root, -1, -2) / n + np.eye(n)).astype(dtype)


# a -> L with L Lᴴ = a, lower triangular; only the lower triangle of a is read. Where a is not positive
# definite, NaN
cholesky = library(
    "cholesky",
    shape=_cholesky_shape,
    write=_cholesky_write,
    jvp=_cholesky_jvp,
    vjp=_cholesky_vjp,
    samples=lambda: [
        Sample((_spread_matrix(3),), tolerance=4),
        Sample((_spread_matrix(4, (2, 2)),), tolerance=4),
        Sample((_spread_matrix(5, dtype=np.float64),), tolerance=4),
        Sample((np.array([[1, 2], [2, 1]], np.float32),), differentiate=False),
        Sample(("f4[2,0,0]",)),
        Sample(("f4[0,3,3]",)),
    ],
)


# -- triangular_solve ----------------------------------------------------------------------------------------


def _triangular_shape(
    a: Aval, b: Aval, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool
) -> Aval:
    check_matrices("triangular_solve", a)
    check_floats("triangular_solve", a, b)
    side = -2 if left_side else -1
    if b.ndim != a.ndim or b.shape[:-2] != a.shape[:-2] or b.shape[side] != a.shape[-1]:
        raise ShapeError(
            f"triangular_solve: matrices {a} and right-hand sides {b} with left_side={left_side} do not fit, "
            f"at {describe(here())}"
        )
    return b.strong()


def _triangular_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    # By columns the equation reads X' op(A)' = B': sides and triangles change places, and op stays.
    (a, b), (x,) = r.inputs, r.outputs
    rows, columns = ins[1].shape[-2:]
    n = ins[0].shape[-1]
    r.copy(x, b)
    r.call(
        "trsm",
        "R" if params["left_side"] else "L",
        "U" if params["lower"] else "L",
        "T" if params["transpose_a"] else "N",
        "U" if params["unit_diagonal"] else "N",
        columns, rows, 1.0, a, max(1, n), x, max(1, columns),
    )  # fmt: skip
    r.order, r.flops = n, float(rows * columns * n)


def _matrix_term(x: Any, y: Any, params: dict[str, Any]) -> Any:
    """The cotangent of a: minus the outer product of the cotangent y of b with the solution x, within the
    triangle."""
    if params["left_side"]:
        product = matmul(x, matrix_transpose(y)) if params["transpose_a"] else matmul(y, matrix_transpose(x))
    else:
        product = matmul(matrix_transpose(y), x) if params["transpose_a"] else matmul(matrix_transpose(x), y)
    return arithmetic.neg(triangle(product, params["lower"], params["unit_diagonal"]))


def _triangular_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any]:
    a, (ta, tb) = primals[0], tangents
    x = triangular_solve(*primals, **params)
    if ta is None and tb is None:
        return x, None
    if ta is not None:
        ta = triangle(ta, params["lower"], params["unit_diagonal"])
        ta = matrix_transpose(ta) if params["transpose_a"] else ta
        moved = matmul(ta, x) if params["left_side"] else matmul(x, ta)
        tb = arithmetic.neg(moved) if tb is None else arithmetic.sub(tb, moved)
    return x, triangular_solve(a, tb, **params)


def _triangular_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    x = triangular_solve(*args, **params)
    if not any(needs):
        return x, None
    a, solution = args[0], x if needs[0] else None
    back = {**params, "transpose_a": not params["transpose_a"]}

    def pull(ct: Any) -> list[Any]:
        of_b = triangular_solve(a, ct, **back)
        return [_matrix_term(solution, of_b, params) if needs[0] else None, of_b if needs[1] else None]

    return x, pull


def _triangular_batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, bool]:
    a, b = args
    if flags == (False, True) and len(shape_of(a)) == 2:  # one matrix: the batch is more right-hand sides
        shape = shape_of(b)
        if not params["left_side"]:
            flat = structural.reshape(b, shape=(math.prod(shape[:2]), shape[2]))
            return structural.reshape(triangular_solve(a, flat, **params), shape=shape), True
        moved = moveaxis(b, 0, 1)
        flat = structural.reshape(moved, shape=(shape[1], shape[0] * shape[2]))
        out = structural.reshape(triangular_solve(a, flat, **params), shape=shape_of(moved))
        return moveaxis(out, 1, 0), True
    return triangular_solve(lift(frame.size, a, flags[0]), lift(frame.size, b, flags[1]), **params), True


def _triangular_samples() -> list[Sample]:
    found = []
    for k in range(16):
        left, lower, transposed, unit = (bool(k >> j & 1) for j in range(4))
        params = {"left_side": left, "lower": lower, "transpose_a": transposed, "unit_diagonal": unit}
        lead = (2,) if k % 3 == 0 else ()
        dtype = np.float64 if k % 5 == 0 else np.float32
        a = (waves((*lead, 3, 3), k) + 2 * np.eye(3)).astype(dtype)
        b = waves((*lead, *((3, 2) if left else (2, 3))), k + 0.5).astype(dtype)
        found.append(Sample((a, b), params, tolerance=4))
    return [
        *found,
        Sample(("f4[2,0,0]", "f4[2,0,3]"), found[-1].params),
        Sample(("f4[3,3]", "f4[3,0]"), found[-1].params),
    ]


# (a, b) -> x with op(a) x = b (left_side) or x op(a) = b, op transposing or not; a is read in one triangle
# only, and with unit_diagonal not on the diagonal. A zero on the diagonal gives infinities and NaN
triangular_solve = library(
    "triangular_solve",
    shape=_triangular_shape,
    write=_triangular_write,
    jvp=_triangular_jvp,
    vjp=_triangular_vjp,
    batch=_triangular_batch,
    samples=_triangular_samples,
)
