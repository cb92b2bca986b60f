"""Products with one-hot rows: `one_hot(labels, n) @ w` reads rows of w, and its gradient `one_hot.T @ g` adds up rows of g,
where that is cheaper than a product.

One-hot is a comparison of labels with positions (iota), as numbers. The results are the product's, also where w or g
holds NaN or infinities, of which 0 times is NaN in every other row: of each column the first and the last row that
has one are found; row k of the result is NaN there unless both are k."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.aval import same_type
from fnn.core.ir import Atom, Equation, Graph, Literal
from fnn.core.trace import aval_of, closed_stage, shape_of
from fnn.kernels.gemm import FLOPS
from fnn.primitives.gathering import GatherDimensionNumbers
from fnn.primitives.rules import HALVES, rest
from fnn.primitives.scattering import ScatterDimensionNumbers
from fnn.records import record
from fnn.transforms.passes.rewriting import copy_into

# nanoseconds of one thread: of a row, of an element of one that is read, of one that is added; of the kernels that
# there are more
ROW, READ, ADDED, CALLS = 1.0, 0.15, 0.2, 300.0
STRETCH = 512  # rows that are added up one after the other, unless there are few for each class
EACH = 4  # of them for each class of a stretch, at least
INT32 = np.dtype(np.int32)
Made = dict[Atom, Equation]


@record(frozen=True)
class OneHot:
    """axis: the one along which one element is 1; labels: its places, over `axes` of the others."""

    labels: Atom
    axes: tuple[int, ...]
    shape: tuple[int, ...]
    axis: int

    @property
    def classes(self) -> int:
        return self.shape[self.axis]

    @property
    def count(self) -> int:
        return math.prod(self.shape) // self.classes


def one_hot(graph: Graph) -> Graph:
    """The graph with rows that are read or added up in place of products with one-hot rows."""
    if not {"dot_general", "eq"} <= {e.primitive.name for e in graph.equations}:
        return graph
    made: Made = {v: e for e in graph.equations for v in e.outputs}
    names: dict[Atom, Atom] = {}
    equations: list[Equation] = []
    for eqn in graph.equations:
        product = _product(eqn, made) if eqn.primitive.name == "dot_general" else None
        operands = [names.get(a, a) for a in eqn.inputs]
        if product is None:
            equations.append(eqn.replace(operands))
            continue
        hot, body, side = product
        labels = names.get(hot.labels, hot.labels)
        start = len(equations)
        (names[eqn.outputs[0]],) = copy_into(body, [labels, operands[1 - side]], equations)
        for k in range(start, len(equations)):
            e = equations[k]
            equations[k] = Equation(e.primitive, e.inputs, e.outputs, e.params, eqn.source)
    return Graph(graph.inputs, [names.get(a, a) for a in graph.outputs], equations)


# -- what it looks like --------------------------------------------------------------------------------------


def _product(eqn: Equation, made: Made) -> tuple[OneHot, Graph, int] | None:
    """(the one-hot operand, the product written otherwise, which side it is)."""
    from fnn.kernels.lower import BYTES_PER_NS  # what compiles; a warm process does without

    contract, batch, out = eqn.params["contract"], eqn.params["batch"], eqn.outputs[0].aval
    given = eqn.inputs[0].aval
    alike = any(kind(given.dtype) and kind(out.dtype) for kind in (dtypes.is_float, dtypes.is_integer))
    if any(batch) or not alike or not all(a.aval.size for a in (*eqn.inputs, eqn.outputs[0])):
        return None
    for side in (0, 1):
        hot, other = _one_hot(eqn.inputs[side], made), eqn.inputs[1 - side].aval
        if hot is None:
            continue
        mine, theirs = contract[side], contract[1 - side]
        others = rest(len(hot.shape), (hot.axis,))
        width = other.size // math.prod([other.shape[d] for d in theirs])
        nbytes = other.dtype.itemsize / BYTES_PER_NS
        product = hot.count * hot.classes * (2 * width / FLOPS + nbytes) + width * hot.classes * nbytes
        if mine == (hot.axis,):
            cost = hot.count * (ROW + width * READ) + 2 * width * hot.classes * nbytes
            write = functools.partial(_read_rows, axis=theirs[0])
        elif sorted(mine) == list(others):
            cost = hot.count * (ROW + width * ADDED) + 3 * width * hot.classes * nbytes
            write = functools.partial(_add_rows, axes=tuple([theirs[mine.index(d)] for d in others]))
        else:
            continue
        if cost + CALLS < product:
            body = closed_stage(
                functools.partial(write, hot=hot, side=side, out=out.dtype), [hot.labels.aval, other]
            )
            if same_type(body.outputs[0].aval, out):
                return hot, body, side
    return None


def _one_hot(atom: Atom, made: Made) -> OneHot | None:
    eqn = made.get(atom)
    if eqn is not None and eqn.primitive.name == "transpose":
        hot, perm = _one_hot(eqn.inputs[0], made), eqn.params["perm"]
        if hot is None:
            return None
        axes = tuple([perm.index(d) for d in hot.axes])
        return OneHot(hot.labels, axes, atom.aval.shape, perm.index(hot.axis))
    while eqn is not None and eqn.primitive.name == "convert":  # 0 and 1 are themselves in every type
        eqn = made.get(eqn.inputs[0])
    if eqn is not None and eqn.primitive.name == "select":
        eqn = made.get(eqn.inputs[0]) if [_number(a) for a in eqn.inputs[1:]] == [1, 0] else None
    if eqn is None or eqn.primitive.name != "eq" or not dtypes.is_integer(eqn.inputs[0].aval.dtype):
        return None
    for positions, labels in (eqn.inputs, eqn.inputs[::-1]):
        axis = _positions(positions, made)
        shape = positions.aval.shape
        if axis is not None and 1 < shape[axis] <= np.iinfo(np.int32).max and labels.aval.shape == shape:
            if shape[axis] > np.iinfo(labels.aval.dtype).max:
                continue  # the positions wrap
            found = _constant_along(labels, axis, made)
            if found is not None:
                return OneHot(*found, shape, axis)
    return None


def _number(atom: Atom) -> Any:
    return atom.value if type(atom) is Literal and np.ndim(atom.value) == 0 else None


def _positions(atom: Atom, made: Made) -> int | None:
    """The axis whose positions an array of integers holds."""
    shape = atom.aval.shape
    if type(atom) is Literal:
        known = len(shape) == 1 and bool(np.array_equal(np.asarray(atom.value), np.arange(shape[0])))
        return 0 if known else None
    eqn = made.get(atom)
    if eqn is None:
        return None
    if eqn.primitive.name == "iota":
        return eqn.params["dimension"]
    if eqn.primitive.name not in ("reshape", "broadcast"):
        return None
    axis = _positions(eqn.inputs[0], made)
    if axis is None:
        return None
    inner = eqn.inputs[0].aval.shape
    if eqn.primitive.name == "broadcast":
        axes = eqn.params["axes"]
        return axes[axis] if shape[axes[axis]] == inner[axis] else None
    # of a reshape, only what adds and removes axes of size 1
    if [n for n in inner if n != 1] != [n for n in shape if n != 1] or inner[axis] == 1:
        return None
    before = sum(n != 1 for n in inner[:axis])
    return [d for d, n in enumerate(shape) if n != 1][before]


def _constant_along(atom: Atom, axis: int, made: Made) -> tuple[Atom, tuple[int, ...]] | None:
    """(an array, the axes that it lies along) which is repeated along the axis."""
    shape, eqn = atom.aval.shape, made.get(atom)
    if eqn is None or eqn.primitive.name != "broadcast":
        return None
    inner, axes = eqn.inputs[0], eqn.params["axes"]
    if type(inner) is Literal or any(
        d == axis and n != 1 for d, n in zip(axes, inner.aval.shape, strict=True)
    ):
        return None
    if any(n not in (1, shape[d]) for d, n in zip(axes, inner.aval.shape, strict=True)):
        return None
    return inner, tuple(axes)


# -- what it becomes -----------------------------------------------------------------------------------------


def _places(labels: Any, hot: OneHot) -> Any:
    """The labels as int32, one for each row; n for those that are out of range."""
    shape = shape_of(labels)
    kept = [(d, n) for d, n in zip(hot.axes, shape, strict=True) if d != hot.axis and n != 1]
    labels = P.reshape(labels, shape=tuple([n for _, n in kept]))
    order = sorted(range(len(kept)), key=lambda k: kept[k][0])
    if order != list(range(len(kept))):
        labels, kept = P.transpose(labels, perm=tuple(order)), [kept[k] for k in order]
    others = rest(len(hot.shape), (hot.axis,))
    full = tuple([hot.shape[d] for d in others])
    if shape_of(labels) != full:
        labels = P.broadcast(labels, shape=full, axes=tuple([others.index(d) for d, _ in kept]))
    labels = P.reshape(labels, shape=(hot.count,))
    inside = P.lt(labels, hot.classes)
    if aval_of(labels).dtype.kind == "i":
        inside = P.and_(inside, P.ge(labels, 0))
    return P.select(inside, P.convert(labels, dtype=INT32), np.int32(hot.classes))


def _read_rows(labels: Any, x: Any, *, hot: OneHot, axis: int, side: int, out: np.dtype) -> list[Any]:
    """x[labels] along an axis of x; the free axes of the one-hot operand come first, or (side 1) last."""
    places, shape = _places(labels, hot), shape_of(x)
    free = rest(len(shape), (axis,))
    table = _matrix(x, (axis,), free)
    n, width = shape_of(table)
    lead, tail = (
        tuple([hot.shape[d] for d in rest(len(hot.shape), (hot.axis,))]),
        tuple([shape[d] for d in free]),
    )
    index = P.reshape(places, shape=(hot.count, 1))
    numbers = GatherDimensionNumbers((1,), (0,), (0,))
    rows = P.gather(
        table, index, dimension_numbers=numbers, slice_sizes=(1, width), mode="fill", fill_value=0
    )
    if dtypes.is_float(aval_of(x).dtype):
        numbered = P.iota(dtype=INT32, shape=(n, width), dimension=0)
        rows = _spoiled(P.add(rows, 0.0), table, numbered, _down(places, (hot.count, width)), n)
    return [_turned(_converted(rows, out), lead, tail, side)]


def _add_rows(
    labels: Any, x: Any, *, hot: OneHot, axes: tuple[int, ...], side: int, out: np.dtype
) -> list[Any]:
    """For each class the sum of the rows of x (along these axes of it) that are labelled so."""
    places, shape, dtype = _places(labels, hot), shape_of(x), aval_of(x).dtype
    free = rest(len(shape), axes)
    rows = _matrix(x, axes, free)
    wide = dtypes.promote_types(dtype, out)
    wide = np.dtype(np.float32) if wide in HALVES else wide  # one rounding, after the sum
    width, n = shape_of(rows)[1], hot.classes
    stretches = _stretches(hot)
    zero = P.broadcast(np.zeros((), wide), shape=(stretches, n, width), axes=())
    index = P.reshape(places, shape=(stretches, hot.count // stretches, 1))
    each = P.reshape(_converted(rows, wide), shape=(stretches, hot.count // stretches, width))
    numbers = ScatterDimensionNumbers((2,), (1,), (1,), (0,), (0,))
    sums = P.scatter(
        zero, index, each, dimension_numbers=numbers, combine="add", mode="drop", unique=False, sorted=False
    )
    sums = P.reduce_sum(sums, axes=(0,)) if stretches > 1 else P.reshape(sums, shape=(n, width))
    if dtypes.is_float(dtype):
        classes = P.iota(dtype=INT32, shape=(n, width), dimension=0)
        sums = _spoiled(sums, rows, _down(places, (hot.count, width)), classes, n)
    return [_turned(_converted(sums, out), (n,), tuple([shape[d] for d in free]), side)]


def _stretches(hot: OneHot) -> int:
    """In how many stretches of rows sums are taken, so that long ones stay exact and threads share them. It follows
    from the shape alone."""
    most = max(1, min(-(-hot.count // STRETCH), hot.count // (EACH * hot.classes)))
    return max(s for s in range(1, most + 1) if hot.count % s == 0)


def _spoiled(result: Any, x: Any, places: Any, wanted: Any, n: int) -> Any:
    """The result with NaN wherever the column of x holds NaN or an infinity at a place that is not the wanted one."""
    finite = P.is_finite(x)
    first = P.reduce_min(P.select(finite, np.int32(n + 1), places), axes=(0,))
    last = P.reduce_max(P.select(finite, np.int32(-1), places), axes=(0,))
    shape, dtype = shape_of(result), aval_of(result).dtype
    first, last = (P.broadcast(v, shape=shape, axes=(1,)) for v in (first, last))
    return P.select(P.or_(P.lt(first, wanted), P.gt(last, wanted)), np.full((), np.nan, dtype), result)


def _matrix(x: Any, rows: tuple[int, ...], columns: tuple[int, ...]) -> Any:
    shape, perm = shape_of(x), (*rows, *columns)
    x = x if perm == tuple(range(len(perm))) else P.transpose(x, perm=perm)
    return P.reshape(x, shape=(math.prod([shape[d] for d in rows]), math.prod([shape[d] for d in columns])))


def _down(column: Any, shape: tuple[int, int]) -> Any:
    return P.broadcast(column, shape=shape, axes=(0,))


def _converted(x: Any, dtype: np.dtype) -> Any:
    return x if aval_of(x).dtype == dtype else P.convert(x, dtype=dtype)


def _turned(x: Any, lead: tuple[int, ...], tail: tuple[int, ...], side: int) -> Any:
    """A matrix as the product gives it: the axes of its rows come first, or (side 1) last."""
    x = x if side == 0 else P.transpose(x, perm=(1, 0))
    return P.reshape(x, shape=(*lead, *tail) if side == 0 else (*tail, *lead))
