"""Views of numbers per row, over the whole space that has the rows."""

from __future__ import annotations

from collections.abc import Sequence

from fnn.kernels.ops import Mask
from fnn.kernels.views import View, chain, contiguous, refine, restride


def row_strides(mask: Mask) -> tuple[int, ...]:
    """The strides with which a row value is read at every point."""
    kept = iter(contiguous([n for n, reduced in mask if not reduced]))
    return tuple(0 if reduced else next(kept) for _, reduced in mask)


def spread(view: View, mask: Mask) -> View | None:
    """A view of a row value's shape, as one over the whole iteration space, the same all along each row."""
    kept = [n for n, reduced in mask if not reduced]
    axes = refine_or_none(view.cuts | frozenset(_cuts(kept)))
    strides = None if axes is None else restride(view.shape, view.strides, axes)
    if axes is None or strides is None:
        return None
    shape: list[int] = []
    steps: list[int] = []
    pairs = list(zip(axes, strides, strict=True))
    for n, reduced in mask:
        if reduced:
            shape.append(n)
            steps.append(0)
            continue
        left = n
        while left > 1:
            size, stride = pairs.pop(0)
            shape.append(size)
            steps.append(stride)
            left //= size
    return View(view.value, shape, view.offset, steps)


def refine_or_none(cuts: frozenset[int]) -> tuple[int, ...] | None:
    return refine(cuts) if chain(cuts) is not None else None


def _cuts(sizes: Sequence[int]) -> list[int]:
    out, step = [1], 1
    for n in reversed(sizes):
        step *= n
        out.append(step)
    return out


def restride_or_none(view: View, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """The view's strides over axes of these sizes, or None (also where the axes do not fit)."""
    if chain(view.cuts | frozenset(_cuts(sizes))) is None:
        return None
    return restride(view.shape, view.strides, sizes)
