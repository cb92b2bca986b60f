"""Factorisations and solves behind `fnn.numpy.linalg`."""

from __future__ import annotations

from typing import Any

from fnn import primitives as P
from fnn.core.array import Array, as_array


def cholesky(a: Any, *, symmetrize_input: bool = True) -> Array:
    """The lower factor L of a symmetric positive definite matrix a = L L^T, over leading axes; NaN where it
    is not.

    symmetrize_input: use (a + a^T) / 2; otherwise only the lower triangle is read."""
    a = as_array(a)
    if symmetrize_input:
        perm = (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)
        a = P.mul(P.add(a, P.transpose(a, perm=perm)), P.convert(0.5, dtype=a.dtype))
    return P.cholesky(a)


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """x with a x = b (left_side) or x a = b, where a is triangular, over leading axes."""
    return P.triangular_solve(
        as_array(a),
        as_array(b),
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        unit_diagonal=bool(unit_diagonal),
    )
