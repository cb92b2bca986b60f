"""Strided views: the affine index maps that reshape, transpose, slice, reverse and broadcast become. No data
moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from fnn.kernels.calls import Value

Shape = tuple[int, ...]


class Position:
    """A value that needs no memory: element k is k. Views of it are what `iota` means."""

    __slots__ = ("dtype", "size")

    def __init__(self, dtype: np.dtype, size: int):
        self.dtype, self.size = np.dtype(dtype), size


def contiguous(shape: Sequence[int]) -> Shape:
    """Row-major strides, in elements.

    >>> contiguous((2, 3, 4))
    (12, 4, 1)
    """
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


class View:
    """Elements `offset + sum(i * stride)` of a value's row-major numbering. Strides may be zero or
    negative."""

    __slots__ = ("value", "shape", "offset", "strides", "size", "_whole", "_cuts")

    def __init__(
        self,
        value: Value | Position,
        shape: Sequence[int],
        offset: int = 0,
        strides: Sequence[int] | None = None,
    ):
        self.value, self.shape, self.offset = value, tuple(shape), offset
        self.strides = contiguous(self.shape) if strides is None else tuple(strides)
        self.size = math.prod(self.shape)
        self._whole: bool | None = None
        self._cuts: frozenset[int] | None = None

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    @property
    def memory(self) -> Value:
        """The value, of a view that is of one."""
        assert isinstance(self.value, Value)
        return self.value

    @property
    def whole(self) -> bool:
        """Is this the value itself, in order (up to reshaping)?"""
        if self._whole is None:
            self._whole = (
                type(self.value) is Value
                and self.offset == 0
                and self.size == self.value.size
                and all(
                    n == 1 or s == c
                    for n, s, c in zip(self.shape, self.strides, contiguous(self.shape), strict=True)
                )
            )
        return self._whole

    @property
    def cuts(self) -> frozenset[int]:
        """Where one axis ends and the next begins, as counts of elements from the right; neighbouring axes
        that are walked as one count as one. Two views can share a loop nest if their cuts divide each other:
        see `chain`."""
        if self._cuts is None:
            sizes, _ = collapse(self.shape, [self.strides])
            self._cuts = frozenset(cuts_of(sizes))
        return self._cuts

    def transpose(self, perm: Sequence[int]) -> View:
        return View(self.value, [self.shape[p] for p in perm], self.offset, [self.strides[p] for p in perm])

    def slice(self, start: Sequence[int], limit: Sequence[int], step: Sequence[int] | None = None) -> View:
        step = (1,) * len(self.shape) if step is None else step
        shape = [max(0, -((a - b) // s)) for a, b, s in zip(start, limit, step, strict=True)]
        offset = self.offset + sum(a * s for a, s in zip(start, self.strides, strict=True))
        return View(self.value, shape, offset, [k * s for k, s in zip(step, self.strides, strict=True)])

    def reverse(self, axes: Iterable[int]) -> View:
        offset, strides = self.offset, list(self.strides)
        for d in set(axes):
            offset += (self.shape[d] - 1) * strides[d]
            strides[d] = -strides[d]
        return View(self.value, self.shape, offset, strides)

    def broadcast(self, shape: Sequence[int], axes: Sequence[int]) -> View:
        """axes[i] is where axis i goes; new axes and axes of size 1 that grow are read again and again."""
        strides = [0] * len(shape)
        for axis, n, s in zip(axes, self.shape, self.strides, strict=True):
            strides[axis] = s if n == shape[axis] else 0
        return View(self.value, shape, self.offset, strides)

    def reshape(self, shape: Sequence[int]) -> View | None:
        """The same elements in another shape, or None where one stride per axis cannot say it."""
        strides = restride(self.shape, self.strides, shape)
        return None if strides is None else View(self.value, shape, self.offset, strides)

    def drop(self, axes: Sequence[int]) -> View:
        """Without some axes of size 1."""
        keep = [d for d in range(len(self.shape)) if d not in axes]
        return View(self.value, [self.shape[d] for d in keep], self.offset, [self.strides[d] for d in keep])


def restride(shape: Sequence[int], strides: Sequence[int], target: Sequence[int]) -> Shape | None:
    """Strides over `target` that visit what (shape, strides) visits, or None.

    >>> restride((4, 6), (6, 1), (2, 2, 6)), restride((4, 6), (1, 4), (24,))
    ((12, 6, 1), None)
    """
    if 0 in shape or 0 in target:
        return contiguous(target)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    out: list[int] = []
    target = list(target)
    i = j = 0
    while j < len(target):
        if target[j] == 1:
            out.append(0)
            j += 1
            continue
        have, want, first_old, first_new = old[i][0], target[j], i, j
        while have != want:
            if have < want:
                i += 1
                have *= old[i][0]
            else:
                j += 1
                want *= target[j]
        for a in range(first_old, i):  # axes that are merged must be laid out as one
            if old[a][1] != old[a + 1][0] * old[a + 1][1]:
                return None
        step, part = old[i][1], []
        for n in reversed(target[first_new : j + 1]):
            part.append(step if n != 1 else 0)
            step *= n
        out += reversed(part)
        i, j = i + 1, j + 1
    return tuple(out)


def collapse(sizes: Sequence[int], rows: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Merge neighbouring axes that every access walks as one. rows: the strides of each access.

    >>> collapse((2, 3, 4), [(12, 4, 1), (0, 4, 1)])
    ([2, 12], [[12, 1], [0, 1]])
    """
    keep = [d for d, n in enumerate(sizes) if n != 1]
    merged, walks = [sizes[d] for d in keep], [[r[d] for d in keep] for r in rows]
    for d in range(len(merged) - 2, -1, -1):
        if all(r[d] == r[d + 1] * merged[d + 1] for r in walks):
            merged[d : d + 2] = [merged[d] * merged[d + 1]]
            for r in walks:
                r[d : d + 2] = [r[d + 1]]
    return merged, walks


def cuts_of(sizes: Sequence[int]) -> list[int]:
    """The products of 1, 2, ... last axes."""
    out, step = [1], 1
    for n in reversed(sizes):
        step *= n
        out.append(step)
    return out


def chain(cuts: Iterable[int]) -> list[int] | None:
    """The cuts in order if each divides the next, else None: then no loop nest has an axis for each part."""
    ordered = sorted(cuts)
    return ordered if all(b % a == 0 for a, b in itertools.pairwise(ordered)) else None


def refine(cuts: Iterable[int]) -> Shape:
    """The coarsest axes that are cut at all these places.

    >>> refine({1, 4, 24})
    (6, 4)
    """
    ordered = chain(set(cuts) | {1})
    if ordered is None:
        raise ValueError(f"axes cut at {sorted(cuts)} do not divide each other")
    return tuple(reversed([b // a for a, b in itertools.pairwise(ordered)]))


def invert(view: View, dest: View) -> View | None:
    """`view` visits its whole value once; `dest` has the same shape. The view of dest's value, in the shape
    of view.value, that puts every element where dest puts it. None where strides cannot say it."""
    if (
        view.offset
        or view.size != view.value.size
        or len(view.shape) != len(dest.shape)
        or type(view.value) is not Value
    ):
        return None
    axes = sorted((s, n, d) for n, s, d in zip(view.shape, view.strides, dest.strides, strict=True) if n != 1)
    step = 1
    for s, n, _ in axes:
        if s != step:
            return None
        step *= n
    axes.reverse()
    strides = restride([n for _, n, _ in axes], [d for _, _, d in axes], view.value.shape)
    return None if strides is None else View(dest.value, view.value.shape, dest.offset, strides)
