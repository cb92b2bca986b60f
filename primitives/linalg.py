"""cholesky and triangular_solve, on matrices along the last two axes.

Derivatives: I. Murray, "Differentiation of the Cholesky decomposition", 2016 (arXiv:1602.07527).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.lowering import Library
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives import arithmetic, comparison, structural
from fnn.primitives.contraction import dot_general
from fnn.primitives.rules import lift, moveaxis

INT32 = np.dtype(np.int32)


# -- matrices ------------------------------------------------------------------------------------------------


def _check(name: str, *operands: Aval) -> None:
    a = operands[0]
    for x in operands:
        if x.dtype not in (dtypes.float32, dtypes.float64):
            raise DtypeError(
                f"{name} works in float32 and float64, not on {x}, at {describe(here())}; "
                "convert with x.astype(fnp.float32)"
            )
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"{name} needs square matrices along the last two axes, not {a}, at {describe(here())}"
        )


def _matmul(x: Any, y: Any, x_transposed: bool = False, y_transposed: bool = False) -> Any:
    rank = len(shape_of(x))
    lead = tuple(range(rank - 2))
    contract = (rank - 2 if x_transposed else rank - 1, rank - 1 if y_transposed else rank - 2)
    return dot_general(x, y, contract=((contract[0],), (contract[1],)), batch=(lead, lead), out_dtype=None)


def _matrix_transpose(x: Any) -> Any:
    return moveaxis(x, len(shape_of(x)) - 1, len(shape_of(x)) - 2)


def _where(x: Any, relation: Any, other: Any) -> Any:
    """x where relation(row, column) holds, else `other`."""
    shape = shape_of(x)
    rows, columns = (structural.iota(dtype=INT32, shape=shape, dimension=len(shape) - k) for k in (2, 1))
    return comparison.select(relation(rows, columns), x, other)


def _triangle(x: Any, lower: bool, strict: bool = False) -> Any:
    """x with zeros outside of a triangle; strict: and on the diagonal."""
    relation = (
        (comparison.gt if strict else comparison.ge)
        if lower
        else (comparison.lt if strict else comparison.le)
    )
    return _where(x, relation, _scalar(0.0, x))


def _scalar(value: float, x: Any) -> np.ndarray:
    return np.asarray(value, aval_of(x).dtype)


def _phi(x: Any) -> Any:
    """The lower triangle of x with half of its diagonal."""
    half = _where(arithmetic.mul(x, _scalar(0.5, x)), comparison.eq, _scalar(0.0, x))
    return _where(x, comparison.gt, half)


def _solve(
    a: Any, b: Any, left_side: bool, transpose_a: bool, lower: bool = True, unit_diagonal: bool = False
) -> Any:
    return triangular_solve(
        a, b, left_side=left_side, lower=lower, transpose_a=transpose_a, unit_diagonal=unit_diagonal
    )


# -- cholesky ------------------------------------------------------------------------------------------------


def _cholesky_shape(a: Aval) -> Aval:
    _check("cholesky", a)
    return a.strong()


def _cholesky_evaluate(a: Any) -> np.ndarray:
    from scipy.linalg import get_lapack_funcs  # here, because importing it takes longer than most programs

    a = np.asarray(a)
    potrf = get_lapack_funcs(("potrf",), dtype=a.dtype)[0]
    out = np.zeros_like(a)
    if a.size == 0:
        return out
    for place in np.ndindex(a.shape[:-2]):
        factor, info = potrf(a[place], lower=1, clean=1)
        out[place] = np.tril(np.full_like(factor, np.nan)) if info else factor
    return out


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    factor = cholesky(*primals)
    if tangents[0] is None:
        return factor, None
    t = tangents[0]
    t = arithmetic.add(_triangle(t, lower=True), _matrix_transpose(_triangle(t, lower=True, strict=True)))
    inner = _solve(factor, _solve(factor, t, True, False), False, True)
    return factor, _matmul(factor, _phi(inner))


def _cholesky_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    factor = cholesky(*args)
    if not needs[0]:
        return factor, None

    def pull(ct: Any) -> list[Any]:
        inner = _phi(_matmul(factor, ct, x_transposed=True))
        s = _solve(factor, _solve(factor, inner, True, True), False, False)
        both = arithmetic.add(s, _matrix_transpose(s))  # only the lower triangle of the argument is read
        return [_where(both, comparison.gt, _triangle_diagonal(s))]

    return factor, pull


def _triangle_diagonal(x: Any) -> Any:
    return _where(x, comparison.eq, _scalar(0.0, x))


def _spread_matrix(n: int, lead: tuple[int, ...] = (), dtype: Any = np.float32) -> np.ndarray:
    """Positive definite matrices, for samples."""
    size = math.prod(lead) * n * n
    root = np.sin(1.7 + 12.9898 * np.arange(size) ** 2).reshape((*lead, n, n))
    return (root @ np.swapaxes(root, -1, -2) / n + np.eye(n)).astype(dtype)


# a -> L with L Lᵀ = a, lower triangular; only the lower triangle of a is read. Where a is not positive
# definite, NaN
cholesky = Primitive(
    "cholesky",
    shape=_cholesky_shape,
    evaluate=_cholesky_evaluate,
    jvp=_cholesky_jvp,
    vjp=_cholesky_vjp,
    batch=lambda frame, flags, args, params: (cholesky(*args), True),
    lower=Library("cholesky"),
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
    _check("triangular_solve", a, b)
    side = -2 if left_side else -1
    if a.dtype != b.dtype:
        raise DtypeError(
            f"triangular_solve: {a} and {b} have different dtypes, at {describe(here())}; convert one with "
            "x.astype(dtype)"
        )
    if b.ndim != a.ndim or b.shape[:-2] != a.shape[:-2] or b.shape[side] != a.shape[-1]:
        raise ShapeError(
            f"triangular_solve: matrices {a} and right-hand sides {b} with left_side={left_side} do not fit, "
            f"at {describe(here())}"
        )
    return b.strong()


def _triangular_evaluate(
    a: Any, b: Any, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool
) -> np.ndarray:
    from scipy.linalg import get_blas_funcs  # here, because importing it takes longer than most programs

    a, b = np.asarray(a), np.asarray(b)
    trsm = get_blas_funcs(("trsm",), dtype=b.dtype)[0]
    out = np.zeros_like(b)
    if b.size == 0:
        return out
    for place in np.ndindex(b.shape[:-2]):
        out[place] = trsm(
            1.0, a[place], b[place], side=not left_side, lower=lower, trans_a=transpose_a, diag=unit_diagonal
        )
    return out


def _matrix_term(x: Any, y: Any, params: dict[str, Any]) -> Any:
    """The cotangent of a: minus the outer product of the cotangent y of b with the solution x, within the
    triangle."""
    if params["left_side"]:
        product = (
            _matmul(x, y, y_transposed=True) if params["transpose_a"] else _matmul(y, x, y_transposed=True)
        )
    else:
        product = (
            _matmul(y, x, x_transposed=True) if params["transpose_a"] else _matmul(x, y, x_transposed=True)
        )
    return arithmetic.neg(_triangle(product, params["lower"], params["unit_diagonal"]))


def _triangular_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any]:
    a, (ta, tb) = primals[0], tangents
    x = triangular_solve(*primals, **params)
    if ta is None and tb is None:
        return x, None
    if ta is not None:
        ta = _triangle(ta, params["lower"], params["unit_diagonal"])
        if params["left_side"]:
            moved = _matmul(ta, x, x_transposed=params["transpose_a"])
        else:
            moved = _matmul(x, ta, y_transposed=params["transpose_a"])
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


def _waves(shape: tuple[int, ...], phase: float) -> np.ndarray:
    """Numbers between -1 and 1; NumPy's random numbers would be imported with fnn."""
    return np.sin(7.0 * np.arange(float(np.prod(shape))) + phase).reshape(shape)


def _triangular_samples() -> list[Sample]:
    found = []
    for k in range(16):
        left, lower, transposed, unit = (bool(k >> j & 1) for j in range(4))
        params = {"left_side": left, "lower": lower, "transpose_a": transposed, "unit_diagonal": unit}
        lead = (2,) if k % 3 == 0 else ()
        dtype = np.float64 if k % 5 == 0 else np.float32
        a = (_waves((*lead, 3, 3), k) + 2 * np.eye(3)).astype(dtype)
        b = _waves((*lead, *((3, 2) if left else (2, 3))), k + 0.5).astype(dtype)
        found.append(Sample((a, b), params, tolerance=4))
    return [
        *found,
        Sample(("f4[2,0,0]", "f4[2,0,3]"), found[-1].params),
        Sample(("f4[3,3]", "f4[3,0]"), found[-1].params),
    ]


# (a, b) -> x with op(a) x = b (left_side) or x op(a) = b, op transposing or not; a is read in one triangle
# only, and with unit_diagonal not on the diagonal. A zero on the diagonal gives infinities and NaN
triangular_solve = Primitive(
    "triangular_solve",
    shape=_triangular_shape,
    evaluate=_triangular_evaluate,
    jvp=_triangular_jvp,
    vjp=_triangular_vjp,
    batch=_triangular_batch,
    lower=Library("triangular_solve"),
    samples=_triangular_samples,
)
