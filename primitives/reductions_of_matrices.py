"""Matrices brought to simpler ones by orthogonal transformations: Hessenberg, tridiagonal and Schur form; and Sylvester's
equation with triangular matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample, not_differentiable
from fnn.core.source import describe, here
from fnn.errors import ShapeError
from fnn.primitives import arithmetic
from fnn.primitives.lapack import Ask, Routine, check_floats, check_matrices, library, real_type
from fnn.primitives.matrices import add, matmul, matrix_transpose, waves
from fnn.primitives.rules import lift

# -- hessenberg ------------------------------------------------------------------------------------------------------


def _hessenberg_shape(a: Aval) -> list[Aval]:
    check_matrices("hessenberg", a)
    return [a.strong(), Aval((*a.shape[:-2], max(a.shape[-1] - 1, 0)), a.dtype)]


def _hessenberg_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), (factors, taus), n = r.inputs, r.outputs, ins[0].shape[-1]
    r.copy(factors, a)
    r.call("gehrd", n, 1, n, factors, max(1, n), taus, Ask(r.element), None, spoils=[factors])
    r.order, r.flops = n, 10 / 3 * n**3


_no_hessenberg = not_differentiable("hessenberg has no derivative")
# a -> the Hessenberg matrix with reflectors below it, and their factors
hessenberg = library(
    "hessenberg",
    shape=_hessenberg_shape,
    write=_hessenberg_write,
    columns_in=(0,),
    columns_out=(0,),
    multiple=True,
    jvp=_no_hessenberg[0],
    vjp=_no_hessenberg[1],
    samples=lambda: [
        Sample((waves((4, 4), 0.2),), tolerance=8),
        Sample((waves((2, 1, 1), 0.2),), tolerance=8),
        Sample(("f4[2,0,0]",)),
    ],
)


# -- tridiagonal -----------------------------------------------------------------------------------------------------


def _tridiagonal_shape(a: Aval) -> list[Aval]:
    check_matrices("tridiagonal", a)
    lead, n = a.shape[:-2], a.shape[-1]
    below, real = max(n - 1, 0), real_type(a.dtype)
    return [a.strong(), Aval((*lead, n), real), Aval((*lead, below), real), Aval((*lead, below), a.dtype)]


def _tridiagonal_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), (factors, d, e, taus), n = r.inputs, r.outputs, ins[0].shape[-1]
    r.copy(factors, a)
    name = "hetrd" if r.complex else "sytrd"
    r.call(name, "L", n, factors, max(1, n), d, e, taus, Ask(r.element), None, spoils=[d, e])
    r.order, r.flops = n, 4 / 3 * n**3


_no_tridiagonal = not_differentiable("tridiagonal has no derivative")
# a, symmetric, of which the lower triangle is read -> reflectors and the tridiagonal matrix, its diagonals, factors
tridiagonal = library(
    "tridiagonal",
    shape=_tridiagonal_shape,
    write=_tridiagonal_write,
    columns_in=(0,),
    columns_out=(0,),
    multiple=True,
    jvp=_no_tridiagonal[0],
    vjp=_no_tridiagonal[1],
    samples=lambda: [
        Sample((waves((4, 4), 0.2),), tolerance=8),
        Sample((waves((2, 3, 3), 0.2),), tolerance=8),
        Sample(("f4[2,0,0]",)),
    ],
)


# -- schur -----------------------------------------------------------------------------------------------------------


def _schur_shape(a: Aval, vectors: bool) -> list[Aval]:
    check_matrices("schur", a)
    return [a.strong()] * (1 + vectors)


def _schur_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), form, n = r.inputs, r.outputs[0], ins[0].shape[-1]
    vectors = r.outputs[1] if params["vectors"] else r.work(r.element, 1)
    r.copy(form, a)
    values = [r.work(r.element, n) for _ in range(1 if r.complex else 2)]
    reals = [r.work(r.real, n)] if r.complex else []
    none = r.work("i4", max(n, 2))  # what would select, count and mark eigenvalues, were they sorted
    r.call(
        "gees", "V" if params["vectors"] else "N", "N", none, n, form, max(1, n), r.work("i4", 1), *values, vectors,
        max(1, n), Ask(r.element), *reals, r.work("i4", n), None, spoils=r.outputs,
    )  # fmt: skip
    r.order, r.flops = n, 25.0 * n**3


_no_schur = not_differentiable("schur has no derivative")
# a -> T, triangular (of real matrices up to blocks of two), and (vectors) Z with a = Z T Zᴴ
schur = library(
    "schur",
    shape=_schur_shape,
    write=_schur_write,
    columns_in=(0,),
    columns_out=(0, 1),
    multiple=True,
    jvp=_no_schur[0],
    vjp=_no_schur[1],
    samples=lambda: [
        Sample((waves((4, 4), 0.2),), {"vectors": True}, tolerance=32),
        Sample((waves((2, 3, 3), 0.2),), {"vectors": False}, tolerance=32),
        Sample(("f4[2,0,0]",), {"vectors": True}),
    ],
)


# -- sylvester -------------------------------------------------------------------------------------------------------


def _sylvester_shape(a: Aval, b: Aval, c: Aval) -> Aval:
    check_matrices("sylvester", a)
    check_matrices("sylvester", b)
    check_floats("sylvester", a, b, c)
    lead = c.shape[:-2]
    if a.shape[:-2] != lead or b.shape[:-2] != lead or c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ShapeError(f"sylvester: {a}, {b} and {c} do not fit, at {describe(here())}")
    return c.strong()


def _trsyl_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a, b, c), (x,), (m, n) = r.inputs, r.outputs, ins[2].shape[-2:]
    r.copy(x, c)
    scale = r.work(r.real, 1)  # less than 1 only where the solution would overflow
    r.call("trsyl", "N", "N", 1, m, n, a, max(1, m), b, max(1, n), x, max(1, m), scale, None)
    r.order, r.flops = m, 1.0 * m * n * (m + n)


_no_trsyl = not_differentiable("triangular_sylvester is part of sylvester, which has the derivative")
# (a, b in Schur form, c) -> x with a x + x b = c
triangular_sylvester = library(
    "triangular_sylvester",
    shape=_sylvester_shape,
    write=_trsyl_write,
    columns_in=(0, 1, 2),
    columns_out=(0,),
    jvp=_no_trsyl[0],
    vjp=_no_trsyl[1],
    samples=lambda: [
        Sample(
            (
                np.triu(waves((3, 3), 0.2)) + np.eye(3, dtype="f4") * 3,
                np.triu(waves((2, 2), 0.1)),
                waves((3, 2), 1),
            ),
            tolerance=8,
        ),
        Sample(("f4[2,0,0]", "f4[2,3,3]", "f4[2,0,3]")),
    ],
)


def _sylvester_of(a: Any, b: Any, c: Any) -> Any:
    (s, u), (t, v) = schur(a, vectors=True), schur(b, vectors=True)
    inner = triangular_sylvester(s, t, matmul(matmul(u, c, x_adjoint=True), v))
    return matmul(matmul(u, inner), v, y_adjoint=True)


def _sylvester_evaluate(a: Any, b: Any, c: Any) -> np.ndarray:
    (s, u), (t, v) = schur.evaluate(a, vectors=True), schur.evaluate(b, vectors=True)
    inner = triangular_sylvester.evaluate(s, t, np.swapaxes(u.conj(), -1, -2) @ np.asarray(c) @ v)
    return u @ inner @ np.swapaxes(v.conj(), -1, -2)


def _sylvester_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any]:
    a, b, _ = primals
    ta, tb, tc = tangents
    x = sylvester(*primals)
    moved = add(None if ta is None else matmul(ta, x), None if tb is None else matmul(x, tb))
    right = add(tc, None if moved is None else arithmetic.neg(moved))
    return x, None if right is None else sylvester(a, b, right)


def _sylvester_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    a, b, _ = args
    x = sylvester(*args)
    if not any(needs):
        return x, None

    def pull(ct: Any) -> list[Any]:
        y = sylvester(matrix_transpose(a), matrix_transpose(b), ct)
        minus = arithmetic.neg(y)
        turned = matrix_transpose(x)
        return [
            matmul(minus, turned) if needs[0] else None,
            matmul(turned, minus) if needs[1] else None,
            y if needs[2] else None,
        ]

    return x, pull


# (a [m, m], b [n, n], c [m, n]) -> x with a x + x b = c
sylvester = Primitive(
    "sylvester",
    shape=_sylvester_shape,
    evaluate=_sylvester_evaluate,
    jvp=_sylvester_jvp,
    vjp=_sylvester_vjp,
    batch=lambda frame, flags, args, params: (
        sylvester(*[lift(frame.size, a, f) for a, f in zip(args, flags, strict=True)]),
        True,
    ),
    lower=Decompose(_sylvester_of),
    samples=lambda: [
        Sample(
            (waves((3, 3), 0.2) + np.eye(3, dtype="f4") * 4, waves((2, 2), 0.1), waves((3, 2), 1)),
            tolerance=32,
        ),
        Sample(("f4[2,0,0]", "f4[2,3,3]", "f4[2,0,3]")),
    ],
)
