"""dot_general as a matrix product: which of its axes are batch, rows, columns and summed, with all their
strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fnn.kernels.views import View
from fnn.records import record

if TYPE_CHECKING:
    from fnn.kernels.ops import Op

Pairs = tuple[tuple[int, ...], tuple[int, ...]]
SHORT = 16  # a summed axis shorter than this is not worth a loop of its own


@record(frozen=True)
class Axis:
    """Size, and strides in the left operand, the right operand and the result."""

    size: int
    left: int = 0
    right: int = 0
    out: int = 0

    def follows(self, inner: Axis) -> bool:
        """Is this the axis that `inner` continues in every array?"""
        return (self.left, self.right, self.out) == tuple(
            inner.size * s for s in (inner.left, inner.right, inner.out)
        )


@record(frozen=True)
class Matrix:
    """result[batch, rows, columns] = sum over summed of left[batch, rows, summed] * right[batch, summed,
    columns].

    batch: what is neither the last row axis, the last column axis nor summed. summed: outermost first."""

    batch: tuple[Axis, ...]
    rows: Axis
    columns: Axis
    summed: tuple[Axis, ...]
    axes: tuple[tuple[Axis, ...], ...]  # batch, rows, columns, summed as given, one by one

    @property
    def m(self) -> int:
        return math.prod(a.size for a in self.axes[1])

    @property
    def n(self) -> int:
        return math.prod(a.size for a in self.axes[2])

    @property
    def k(self) -> int:
        return math.prod(a.size for a in self.axes[3])

    @property
    def stores_rows(self) -> bool:
        """Is one axis of the matrix contiguous in the result?"""
        return self.columns.out == 1 or self.rows.out == 1 or self.columns.size == 1

    @staticmethod
    def of(op: Op, out: View | None = None) -> Matrix:
        contract, batch = op.payload
        left, right = op.views
        return matrix_of(left, right, contract, batch, op.out if out is None else out)

    def vector_views(self, x: View, y: View) -> tuple[View, View, tuple[int, ...]]:
        """Both operands over (batch, rows, columns, summed), one view each, and the summed axes' numbers: for
        products with m, n or k of 1. The summed axes come before the free ones if the larger operand lies in
        memory that way."""
        batch, rows, columns, summed = self.axes
        free = [*rows, *columns]
        steps = [abs(a.left if self.n == 1 else a.right) for a in free if a.size > 1]
        inner = [abs(a.left if self.n == 1 else a.right) for a in summed if a.size > 1]
        first = bool(steps and inner) and min(steps) < min(inner)
        order = [*batch, *summed, *free] if first else [*batch, *free, *summed]
        start = len(batch) + (0 if first else len(free))
        shape = [a.size for a in order]
        return (
            View(x.value, shape, x.offset, [a.left for a in order]),
            View(y.value, shape, y.offset, [a.right for a in order]),
            tuple(range(start, start + len(summed))),
        )


def matrix_of(x: View, y: View, contract: Pairs, batch: Pairs, out: View | None = None) -> Matrix:
    """The product's axes. Without `out` the result's strides are left at 0."""
    (xc, yc), (xb, yb) = contract, batch
    strides = [0] * (len(x.shape) + len(y.shape)) if out is None else out.strides
    x_free = [d for d in range(len(x.shape)) if d not in xc and d not in xb]
    y_free = [d for d in range(len(y.shape)) if d not in yc and d not in yb]
    nb, nf = len(xb), len(x_free)
    batches = tuple(
        [
            Axis(x.shape[i], x.strides[i], y.strides[j], strides[d])
            for d, (i, j) in enumerate(zip(xb, yb, strict=True))
        ]
    )
    rows = tuple([Axis(x.shape[d], x.strides[d], 0, strides[nb + i]) for i, d in enumerate(x_free)])
    columns = tuple([Axis(y.shape[d], 0, y.strides[d], strides[nb + nf + i]) for i, d in enumerate(y_free)])
    summed = tuple([Axis(x.shape[i], x.strides[i], y.strides[j]) for i, j in zip(xc, yc, strict=True)])
    m, n = _merged(rows), _merged(columns)
    k = _merged(sorted(summed, key=lambda a: -abs(a.left)))
    return Matrix(
        tuple([a for a in _merged([*batches, *m[:-1], *n[:-1]]) if a.size != 1]),
        m[-1],
        n[-1],
        tuple(k),
        (batches, rows, columns, summed),
    )


def _merged(axes: Sequence[Axis]) -> list[Axis]:
    """Neighbouring axes that all arrays walk as one, as one; at least one axis."""
    out: list[Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        if out and out[-1].follows(axis):
            out[-1] = Axis(out[-1].size * axis.size, axis.left, axis.right, axis.out)
        else:
            out.append(axis)
    return out or [Axis(1)]


def needs_copies(x: View, y: View, contract: Pairs) -> bool:
    """Several summed axes that cannot be walked as one, the innermost too short for its own loop."""
    summed = _merged(
        sorted(
            [Axis(x.shape[i], x.strides[i], y.strides[j]) for i, j in zip(*contract, strict=True)],
            key=lambda a: -abs(a.left),
        )
    )
    return len(summed) > 1 and summed[-1].size < SHORT


def ordered_operands(
    x: View, y: View, contract: Pairs, batch: Pairs
) -> tuple[tuple[View, View], Pairs, Pairs]:
    """Both operands transposed to (batch, free, summed) and (batch, summed, free), for copying."""
    (xc, yc), (xb, yb) = contract, batch
    x_free = [d for d in range(len(x.shape)) if d not in xc and d not in xb]
    y_free = [d for d in range(len(y.shape)) if d not in yc and d not in yb]
    left, right = x.transpose([*xb, *x_free, *xc]), y.transpose([*yb, *yc, *y_free])
    nb, nc = len(xb), len(xc)
    last = tuple(range(len(x.shape) - nc, len(x.shape)))
    return (left, right), (last, tuple(range(nb, nb + nc))), (tuple(range(nb)), tuple(range(nb)))
