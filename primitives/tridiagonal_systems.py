"""Systems with tridiagonal matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.core.trace import shape_of
from fnn.errors import ShapeError
from fnn.primitives import arithmetic, reductions, structural
from fnn.primitives.lapack import Routine, check_floats, library
from fnn.primitives.matrices import add, cut, scalar, waves


def _tridiagonal_shape(d: Aval, below: Aval, above: Aval, b: Aval) -> Aval:
    check_floats("tridiagonal_solve", d, below, above, b)
    n = d.shape[-1] if d.ndim else 0
    beside_it = (*d.shape[:-1], max(n - 1, 0))
    if not (
        d.ndim
        and below.shape == above.shape == beside_it
        and b.ndim == d.ndim + 1
        and b.shape[:-1] == d.shape
    ):
        raise ShapeError(
            f"tridiagonal_solve: the diagonals {below}, {d}, {above} and right-hand sides {b} do not fit, at "
            f"{describe(here())}"
        )
    return b.strong()


def _tridiagonal_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (d, below, above, b), (x,), (n, columns) = r.inputs, r.outputs, ins[3].shape[-2:]
    copies = [r.work(p.code, p.size) for p in (below, d, above)]
    for target, source in zip(copies, (below, d, above), strict=True):
        r.copy(target, source)
    r.copy(x, b)
    r.call("gtsv", n, columns, *copies, x, max(1, n), None, spoils=[x])
    r.flops = 5.0 * n * columns


def _rows_between(x: Any, first: int, last: int) -> Any:
    shape = shape_of(x)
    return cut(x, max(last - first, 0), shape[-1], top=first)


def _times(d: Any, x: Any) -> Any:
    return arithmetic.mul(structural.broadcast(d, shape=shape_of(x), axes=tuple(range(len(shape_of(d))))), x)


def _pad_rows(x: Any, before: int, after: int) -> Any:
    lead = (0,) * (len(shape_of(x)) - 2)
    return structural.pad(
        x, scalar(0.0, x), low=(*lead, before, 0), high=(*lead, after, 0), interior=(*lead, 0, 0)
    )


def _tridiagonal_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any]:
    d, below, above, _ = primals
    td, tbelow, tabove, tb = tangents
    x = tridiagonal_solve(*primals)
    n = shape_of(x)[-2]
    moved = add(
        None if td is None else _times(td, x),
        None if tbelow is None else _pad_rows(_times(tbelow, _rows_between(x, 0, n - 1)), 1, 0),
        None if tabove is None else _pad_rows(_times(tabove, _rows_between(x, 1, n)), 0, 1),
    )
    right = add(tb, None if moved is None else arithmetic.neg(moved))
    return x, None if right is None else tridiagonal_solve(d, below, above, right)


def _tridiagonal_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    d, below, above, _ = args
    x = tridiagonal_solve(*args)
    if not any(needs):
        return x, None

    def product(y: Any, x: Any) -> Any:
        return arithmetic.neg(reductions.reduce_sum(arithmetic.mul(y, x), axes=(len(shape_of(x)) - 1,)))

    def pull(ct: Any) -> list[Any]:
        n = shape_of(ct)[-2]
        y = tridiagonal_solve(d, above, below, ct)
        return [
            product(y, x) if needs[0] else None,
            product(_rows_between(y, 1, n), _rows_between(x, 0, n - 1)) if needs[1] else None,
            product(_rows_between(y, 0, n - 1), _rows_between(x, 1, n)) if needs[2] else None,
            y if needs[3] else None,
        ]

    return x, pull


# (diagonal [n], the one below [n - 1], the one above [n - 1], b [n, k]) -> x; NaN where the matrix is singular
tridiagonal_solve = library(
    "tridiagonal_solve",
    shape=_tridiagonal_shape,
    write=_tridiagonal_write,
    columns_in=(3,),
    columns_out=(0,),
    rank=1,
    jvp=_tridiagonal_jvp,
    vjp=_tridiagonal_vjp,
    samples=lambda: [
        Sample(
            (waves((4,), 0.1) + np.float32(3), waves((3,), 1), waves((3,), 2), waves((4, 2), 3)), tolerance=4
        ),
        Sample(
            (waves((2, 3), 0.1) + np.float32(3), waves((2, 2), 1), waves((2, 2), 2), waves((2, 3, 1), 3)),
            tolerance=4,
        ),
        Sample(
            (waves((1,), 0.1) + np.float32(3), waves((0,), 1), waves((0,), 2), waves((1, 2), 3)), tolerance=4
        ),
        Sample(("f4[0,3]", "f4[0,2]", "f4[0,2]", "f4[0,3,1]")),
    ],
)
