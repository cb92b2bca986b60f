"""The Moore-Penrose inverse.

Derivative: G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate", 1973. It holds where the rank does not change, and needs no distinct singular values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import ShapeError
from fnn.primitives import arithmetic, comparison, reductions
from fnn.primitives.lapack import check_matrices, real_type
from fnn.primitives.matrices import (
    add,
    adjoint,
    as_complex,
    columns_of,
    conjugated,
    identity,
    matmul,
    scalar,
    waves,
)
from fnn.primitives.rules import lift
from fnn.primitives.spectral import svd


def _shape(a: Aval, rtol: Aval) -> Aval:
    check_matrices("pinv", a, square=False)
    if rtol.shape != a.shape[:-2] or rtol.dtype != real_type(a.dtype):
        raise ShapeError(f"pinv: the tolerances {rtol} do not fit the matrices {a}, at {describe(here())}")
    return Aval((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)


def _of(a: Any, rtol: Any) -> Any:
    if not aval_of(a).size:
        return adjoint(a)
    s, u, vh = svd(a, full_matrices=False, vectors=True)
    k = shape_of(s)[-1]
    largest = reductions.reduce_max(s, axes=(len(shape_of(s)) - 1,))
    kept = comparison.gt(s, columns_of(arithmetic.mul(largest, rtol), k))
    one, zero = scalar(1.0, s), scalar(0.0, s)
    inverse = comparison.select(kept, arithmetic.div(one, comparison.select(kept, s, one)), zero)
    scaled = arithmetic.mul(columns_of(as_complex(inverse, a), shape_of(a)[-2]), adjoint(u))
    return matmul(vh, scaled, x_adjoint=True)


def _evaluate(a: Any, rtol: Any) -> np.ndarray:
    a, rtol = np.asarray(a), np.asarray(rtol)
    if not a.size:
        return np.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    s, u, vh = svd.evaluate(a, full_matrices=False, vectors=True)
    kept = s > rtol[..., None] * s.max(-1, keepdims=True)
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
    return np.swapaxes(vh.conj(), -1, -2) @ (inverse[..., None] * np.swapaxes(u.conj(), -1, -2))


def _projectors(a: Any, p: Any) -> tuple[Any, Any]:
    """1 - a p and 1 - p a."""
    m, n = shape_of(a)[-2:]
    return arithmetic.sub(identity(a, m), matmul(a, p)), arithmetic.sub(identity(a, n), matmul(p, a))


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (a, _), t = primals, tangents[0]
    p = pseudo_inverse(*primals)
    if t is None:
        return p, None
    left, right = _projectors(a, p)
    turned = adjoint(t)
    return p, add(
        arithmetic.neg(matmul(matmul(p, t), p)),
        matmul(matmul(p, matmul(p, turned, x_adjoint=True)), left),
        matmul(matmul(right, matmul(turned, p, y_adjoint=True)), p),
    )


def _vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    p = pseudo_inverse(*args)
    if not needs[0]:
        return p, None
    a = args[0]

    def pull(g: Any) -> list[Any]:
        left, right = _projectors(a, p)
        turned = adjoint(g)
        of_a = add(
            arithmetic.neg(matmul(matmul(p, g, x_adjoint=True), p, y_adjoint=True)),
            matmul(matmul(left, matmul(turned, p)), p, y_adjoint=True),
            matmul(matmul(p, matmul(p, turned), x_adjoint=True), right),
        )
        return [of_a, None]

    return p, conjugated(pull)


def _small() -> np.ndarray:
    return np.array(1e-5, np.float32)


# (a [m, n], rtol) -> its pseudo-inverse [n, m]; singular values up to rtol times the largest count as 0
pseudo_inverse = Primitive(
    "pseudo_inverse",
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=lambda frame, flags, args, params: (
        pseudo_inverse(*[lift(frame.size, a, f) for a, f in zip(args, flags, strict=True)]),
        True,
    ),
    lower=Decompose(_of),
    samples=lambda: [
        Sample((waves((4, 3), 0.2), _small()), differentiate=False, tolerance=8),
        Sample((waves((2, 2, 3), 0.2), np.full(2, 1e-5, np.float32)), differentiate=False, tolerance=8),
        Sample(("f4[3,0]", _small()), differentiate=False),
    ],
)
