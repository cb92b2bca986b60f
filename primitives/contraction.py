"""dot_general: products summed over any axes, over a batch of any axes. Every matrix product is one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval, Shape
from fnn.core.lowering import Contraction
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.pairs import (
    Pair,
    as_pair,
    bilinear_rule,
    concatenate,
    interleaved,
    neg,
    reshape,
    separated,
)
from fnn.primitives.rules import HALVES, bilinear, check_axes, check_kinds, moveaxis, of_dtype, rest, shifted
from fnn.primitives.structural import transpose

Axes = tuple[tuple[int, ...], tuple[int, ...]]


def _shape(x: Aval, y: Aval, contract: Axes, batch: Axes, out_dtype: np.dtype | None = None) -> Aval:
    (xc, yc), (xb, yb) = contract, batch
    check_kinds("dot_general", (x, y), "iufc")
    check_axes("dot_general (left)", x, (*xb, *xc))
    check_axes("dot_general (right)", y, (*yb, *yc))
    for what, left, right in (("contracted", xc, yc), ("batch", xb, yb)):
        if [x.shape[d] for d in left] != [y.shape[d] for d in right]:
            raise ShapeError(
                f"dot_general: the {what} axes {left} of {x} and {right} of {y} differ in size, at "
                f"{describe(here())}"
            )
    if x.dtype != y.dtype:
        raise DtypeError(
            f"dot_general: the operands {x} and {y} differ in dtype, at {describe(here())}; convert one with "
            "x.astype(dtype), or use fnn.numpy.matmul, which promotes"
        )
    free = [x.shape[d] for d in rest(x.ndim, xc, xb)] + [y.shape[d] for d in rest(y.ndim, yc, yb)]
    if out_dtype is not None and dtypes.kind(np.dtype(out_dtype)) not in (
        "c" if dtypes.is_complex(x.dtype) else "iufc"
    ):
        raise DtypeError(
            f"dot_general: out_dtype {out_dtype} does not hold products of {x.dtype}, at {describe(here())}"
        )
    dtype = x.dtype if out_dtype is None else np.dtype(out_dtype)
    return Aval((*[x.shape[d] for d in xb], *free), dtype, out_dtype is None and x.weak_type and y.weak_type)


def _evaluate(x: Any, y: Any, **params: Any) -> np.ndarray:
    x, y = np.asarray(x), np.asarray(y)
    return _product(x.shape, x.dtype, y.shape, y.dtype, **params)(x, y)


def _evaluate_for(types: Sequence[Aval | type], params: dict[str, Any]) -> Callable[..., Any]:
    x, y = types
    if isinstance(x, Aval) and isinstance(y, Aval):
        return _product(x.shape, x.dtype, y.shape, y.dtype, **params)
    return functools.partial(_evaluate, **params)


def _product(
    x: Shape, x_dtype: np.dtype, y: Shape, y_dtype: np.dtype, contract: Axes, batch: Axes,
    out_dtype: np.dtype | None = None,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:  # fmt: skip
    """One matrix product of NumPy's, for operands of these shapes and dtypes."""
    (xc, yc), (xb, yb) = contract, batch
    out = np.dtype(x_dtype if out_dtype is None else out_dtype)
    wide = dtypes.promote_types(x_dtype, out)
    wide = np.dtype(np.float32) if wide in HALVES else wide  # one rounding, after the sum
    xf, yf = rest(len(x), xc, xb), rest(len(y), yc, yb)
    lead = [x[d] for d in xb]
    rows, inner, columns = (math.prod([a[d] for d in ds]) for a, ds in ((x, xf), (x, xc), (y, yf)))
    left = _arranged(x, x_dtype, (*xb, *xf, *xc), (*lead, rows, inner), wide)
    right = _arranged(y, y_dtype, (*yb, *yc, *yf), (*lead, inner, columns), wide)
    shape = (*lead, *(x[d] for d in xf), *(y[d] for d in yf))
    reshaped = shape != (*lead, rows, columns)
    multiply = np.matmul if lead else np.dot  # the same product of two matrices, called in less time
    if left is right is None and not reshaped and wide == out:
        return multiply

    def product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = multiply(x if left is None else left(x), y if right is None else right(y))
        if reshaped:
            z = z.reshape(shape)
        return z if wide == out else z.astype(out)

    return product


def _arranged(
    x: Shape, dtype: np.dtype, perm: Sequence[int], shape: Shape, wide: np.dtype
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Brings an operand into the shape and dtype of a matrix product; None where it is there."""
    turned = tuple([x[d] for d in perm])
    if turned == shape and dtype == wide:
        return None if list(perm) == sorted(perm) else lambda a: a.transpose(perm)
    return lambda a: a.astype(wide, copy=False).transpose(perm).reshape(shape)


def _transposed(side: int) -> Callable[..., Any]:
    """The cotangent of one side: the result's cotangent contracted with the other side over that one's
    free axes."""

    @functools.lru_cache(4096)
    def plan(
        rank: int, other_rank: int, contract: Axes, batch: Axes
    ) -> tuple[Axes, Axes, tuple[int, ...] | None]:
        """contract, batch of the product, and the permutation of its axes (None: as they are)."""
        mine_c, other_c = contract[side], contract[1 - side]
        mine_b, other_b = batch[side], batch[1 - side]
        mine_f, other_f = rest(rank, mine_c, mine_b), rest(other_rank, other_c, other_b)
        nb, first = len(mine_b), len(mine_f) if side == 0 else 0
        ct_f = tuple(range(nb + first, nb + first + len(other_f)))
        over: Axes = ct_f, other_f
        both: Axes = tuple(range(nb)), other_b
        # the other's contracted axes are its free ones here
        tail = [mine_c[other_c.index(d)] for d in sorted(other_c)]
        order = (*mine_b, *mine_f, *tail) if side == 0 else (*mine_b, *tail, *mine_f)
        perm = tuple([order.index(d) for d in range(len(order))])
        if side == 1:
            over, both = (over[1], over[0]), (both[1], both[0])
        return over, both, None if perm == tuple(range(len(perm))) else perm

    def rule(ct: Any, other: Any, avals: Sequence[Aval], p: dict[str, Any]) -> Any:
        over, both, perm = plan(avals[side].ndim, avals[1 - side].ndim, p["contract"], p["batch"])
        dtype = aval_of(ct).dtype
        if dtype is not aval_of(other).dtype:
            dtype = dtypes.promote_types(dtype, aval_of(other).dtype)
            ct, other = of_dtype(ct, dtype), of_dtype(other, dtype)
        left, right = (ct, other) if side == 0 else (other, ct)
        out = dot_general(left, right, contract=over, batch=both, out_dtype=None)
        return of_dtype(out if perm is None else transpose(out, perm=perm), avals[side].dtype)

    return rule


def _batched(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, bool]:
    (xc, yc), (xb, yb) = p["contract"], p["batch"]
    if flags[0]:
        xc, xb = shifted(xc), shifted(xb)
    if flags[1]:
        yc, yb = shifted(yc), shifted(yb)
    contract = (xc, yc)
    if all(flags):
        return dot_general(
            *args, contract=contract, batch=((0, *xb), (0, *yb)), out_dtype=p.get("out_dtype")
        ), True
    out = dot_general(*args, contract=contract, batch=(xb, yb), out_dtype=p.get("out_dtype"))
    place = len(xb)
    if flags[1]:
        place += len(rest(len(shape_of(args[0])), xc, xb))
    return moveaxis(out, place, 0), True


SIDE = 16  # free axes of complex operands from which their product is one real product


def _pairs(args: Sequence[Any], params: dict[str, Any]) -> Pair:
    """Of large complex operands: one real product, in which every number of x is a row (re, im) and every number
    c + id of y the matrix ((c, d), (-d, c)). The rows are what lies in memory, and so is the result."""
    x, y = map(as_pair, args)
    (xc, yc), (xb, yb) = params["contract"], params["batch"]
    xs, ys = shape_of(x.re), shape_of(y.re)
    sides = [math.prod([s[d] for d in rest(len(s), c, b)]) for s, c, b in ((xs, xc, xb), (ys, yc, yb))]
    if x.im is None or y.im is None or min(sides) < SIDE or not yc:
        return _by_parts(args, params)
    at = max(yc) + 1  # beside the summed axis, so that both are one
    shape = (*ys[:at], 1, *ys[at:], 2)
    rows = [reshape(interleaved(p), shape=shape) for p in (Pair(y.re, y.im, y.whole), Pair(neg(y.im), y.re))]
    contract = (*xc, len(xs)), (*yc, at)
    moved = tuple([d + (d >= at) for d in yb])
    out_dtype = params.get("out_dtype")
    out = dot_general(
        interleaved(x),
        concatenate(*rows, axis=at),
        contract=contract,
        batch=(xb, moved),
        out_dtype=None if out_dtype is None else dtypes.real_of(np.dtype(out_dtype)),
    )
    return separated(out)


_by_parts = bilinear_rule("dot_general")


def _case(x: str, y: str, contract: Axes, batch: Axes = ((), ()), **more: Any) -> Sample:
    return Sample((x, y), {"contract": contract, "batch": batch, **more})


# contract, batch: (axes of x, axes of y) that are summed over and that go along; the result has the batch
# axes, then the free axes of x, then those of y. out_dtype: in which it is summed and returned (16-bit floats
# are summed in float32)
dot_general = bilinear(
    "dot_general",
    shape=_shape,
    evaluate=_evaluate,
    evaluate_for=_evaluate_for,
    transposes=(_transposed(0), _transposed(1)),
    batch=_batched,
    lower=Contraction(),
    pairs=_pairs,
    samples=lambda: [
        _case("f4[2,3]", "f4[3,4]", ((1,), (0,))),
        _case("f4[3,2]", "f4[4,3]", ((0,), (1,))),
        _case("f4[3]", "f4[3]", ((0,), (0,))),
        _case("f4[2,3]", "f4[3]", ((1,), (0,))),
        _case("f4[2]", "f4[3]", ((), ())),
        _case("f4[]", "f4[2]", ((), ())),
        _case("f4[2,3,4]", "f4[2,4,2]", ((2,), (1,)), ((0,), (0,))),
        _case("f4[3,2,4]", "f4[4,5,3]", ((2,), (0,)), ((0,), (2,))),
        _case("f4[2,3,4]", "f4[4,2,3]", ((2, 1), (0, 2)), ((), ())),
        _case("f4[2,3,4,2]", "f4[4,2,3,2]", ((1, 2), (2, 0)), ((3, 0), (3, 1))),
        _case("f4[0,3]", "f4[3,2]", ((1,), (0,))),
        _case("f4[2,0]", "f4[0,3]", ((1,), (0,))),
        _case("i4[2,3]", "i4[3,2]", ((1,), (0,))),
        _case("i1[2,3]", "i1[3,2]", ((1,), (0,)), out_dtype=np.dtype("int32")),
        _case("bf[2,3]", "bf[3,2]", ((1,), (0,)), out_dtype=np.dtype("float32")),
        _case("f4[2,3]", "f4[3,2]", ((1,), (0,)), out_dtype=np.dtype("float64")),
        _case("c8[2,3]", "c8[3,4]", ((1,), (0,))),
        _case("c16[3]", "c16[3]", ((0,), (0,))),
        _case("c8[2,3,4]", "c8[2,4,2]", ((2,), (1,)), ((0,), (0,))),
        _case("c8[2,0]", "c8[0,3]", ((1,), (0,))),
        _case("c8[2,3]", "c8[3,2]", ((1,), (0,)), out_dtype=np.dtype("complex128")),
        _case("c8[17,3]", "c8[3,16]", ((1,), (0,))),
        _case("c16[3,2,17]", "c16[2,3,16]", ((0,), (1,)), ((1,), (0,))),
    ],
)
