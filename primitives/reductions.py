"""Reductions along axes, and the positions of extreme values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.lowering import Decompose, Reduction
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.arithmetic import add, div, mul
from fnn.primitives.bitwise import or_
from fnn.primitives.comparison import eq, ne, select
from fnn.primitives.conversion import convert
from fnn.primitives.pairs import product
from fnn.primitives.rules import HALVES, check_axes, check_kinds, linear, rest, same_batch, shifted, zeros
from fnn.primitives.structural import broadcast, concatenate, iota, reshape, slice
from fnn.records import replace


def _reduced(name: str, kinds: str) -> Callable[..., Aval]:
    """The shape rule of a reduction."""

    def shape(x: Aval, axes: Sequence[int]) -> Aval:
        check_kinds(name, (x,), kinds)
        check_axes(name, x, axes)
        return x.update(shape=tuple([x.shape[d] for d in rest(x.ndim, axes)]))

    return shape


def _in_float32(reduce: Callable[..., Any]) -> Callable[..., Any]:
    """Reduce 16-bit floats with 32 bits, rounding once."""

    def evaluate(x: Any, axes: Sequence[int]) -> Any:
        x = np.asarray(x)
        if x.dtype in HALVES:
            return reduce(x.astype(np.float32), axes).astype(x.dtype)
        return reduce(x, axes)

    return evaluate


def _samples(code: str = "f4") -> list[Sample]:
    cases: list[tuple[str, tuple[int, ...]]] = [
        ("2,3", (1,)),
        ("2,3", (0,)),
        ("2,3,4", (0, 2)),
        ("4", (0,)),
        ("2,2", ()),
        ("", ()),
        ("2,0,3", (1,)),
        ("0,3", (1,)),
    ]
    return [Sample((f"{code}[{shape}]",), {"axes": axes}) for shape, axes in cases]


_axes_shifted = {"axes": lambda v, n: shifted(v)}


def _spread_back(x: Any, axes: Sequence[int], shape: Sequence[int]) -> Any:
    """A reduction's result, repeated along the axes it was reduced over."""
    return broadcast(x, shape=tuple(shape), axes=rest(len(shape), axes))


# -- sums and products ---------------------------------------------------------------------------------------

# the sum along axes
reduce_sum = linear(
    "reduce_sum",
    shape=_reduced("reduce_sum", "iufc"),
    evaluate=_in_float32(lambda x, axes: np.add.reduce(x, axis=axes, dtype=x.dtype)),
    transpose=lambda ct, i, avals, args, p: _spread_back(ct, p["axes"], avals[0].shape),
    batch=same_batch("reduce_sum", **_axes_shifted),
    lower=Reduction("add"),
    samples=lambda: [
        *_samples(),
        Sample(("i4[2,3]",), {"axes": (0,)}),
        Sample(("f4[1000]",), {"axes": (0,)}),
        *_samples("c8"),
        Sample(("c16[2,3]",), {"axes": (0,)}),
    ],
)


def _others(x: Any, axes: Sequence[int]) -> Any:
    """For each element the product of all the others along axes: exact where some are zero."""
    shape = shape_of(x)
    kept = rest(len(shape), axes)
    perm = (*kept, *axes)
    rows = P.transpose(x, perm=perm)
    lead = tuple([shape[d] for d in kept])
    count = 1
    for d in axes:
        count *= shape[d]
    flat = reshape(rows, shape=(*lead, count))
    axis = len(lead)
    ones = add(zeros(Aval((*lead, 1), aval_of(x).dtype)), 1.0)

    def cut(y: Any, start: int, limit: int) -> Any:
        low, high = (0,) * axis, lead
        return slice(y, start=(*low, start), limit=(*high, limit), step=(1,) * (axis + 1))

    cumprod = P.cumprod
    before = concatenate(ones, cut(cumprod(flat, axis=axis, reverse=False), 0, count - 1), axis=axis)
    behind = concatenate(cut(cumprod(flat, axis=axis, reverse=True), 1, count), ones, axis=axis)
    product = reshape(mul(before, behind), shape=shape_of(rows))
    return P.transpose(product, perm=tuple([perm.index(d) for d in range(len(perm))]))


def _prod_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    out = reduce_prod(x, **p)
    if t is None or aval_of(x).size == 0:
        return out, None
    return out, reduce_sum(mul(t, _others(x, p["axes"])), **p)


def _prod_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    (x,) = args
    out = reduce_prod(x, **p)
    if not needs[0] or aval_of(x).size == 0:
        return out, None
    return out, lambda ct: [mul(_spread_back(ct, p["axes"], shape_of(x)), _others(x, p["axes"]))]


# the product along axes
reduce_prod = Primitive(
    "reduce_prod",
    shape=_reduced("reduce_prod", "iufc"),
    evaluate=_in_float32(lambda x, axes: np.multiply.reduce(x, axis=axes, dtype=x.dtype)),
    jvp=_prod_jvp,
    vjp=_prod_vjp,
    batch=same_batch("reduce_prod", **_axes_shifted),
    lower=Reduction("mul"),
    pairs=lambda args, p: product(args[0], p["axes"]),
    samples=lambda: [
        *_samples(),
        *_samples("c8"),
        Sample(("c16[7]",), {"axes": (0,)}),
        Sample(("i4[2,3]",), {"axes": (0,)}),
        Sample((np.array([[2.0, 0.0, 3.0], [0.0, 1.5, 0.0]], np.float32),), {"axes": (1,)}),
    ],
)

# -- extremes ------------------------------------------------------------------------------------------------


def _limit(dtype: np.dtype, sign: int) -> Any:
    """What max (sign -1) or min (sign 1) of nothing is."""
    if dtypes.is_float(dtype):
        return sign * np.inf
    info = dtypes.iinfo(dtype)
    return info.min if sign < 0 else info.max


def _extreme(name: str, ufunc: np.ufunc, sign: int) -> Primitive:
    """reduce_max or reduce_min. Elements that tie share the derivative equally; NaN wins."""

    def share(x: Any, out: Any, axes: Sequence[int]) -> Any:
        shape, dtype = shape_of(x), aval_of(x).dtype
        winner = convert(eq(x, _spread_back(out, axes, shape)), dtype=dtype)
        return div(winner, _spread_back(reduce_sum(winner, axes=axes), axes, shape))

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = prim(x, **p)
        return out, None if t is None else reduce_sum(mul(t, share(x, out, p["axes"])), **p)

    def vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
        (x,) = args
        out = prim(x, **p)
        if not needs[0]:
            return out, None
        return out, lambda ct: [mul(_spread_back(ct, p["axes"], shape_of(x)), share(x, out, p["axes"]))]

    prim = Primitive(
        name,
        shape=_reduced(name, "iuf"),
        evaluate=_in_float32(
            lambda x, axes: ufunc.reduce(x, axis=axes, initial=_limit(x.dtype, sign), dtype=x.dtype)
        ),
        jvp=jvp,
        vjp=vjp,
        batch=same_batch(name, **_axes_shifted),
        lower=Reduction("max" if sign < 0 else "min"),
        samples=lambda: [
            # of nothing the extreme is infinite, and differences of that are none
            *[s if s.args != ("f4[2,0,3]",) else replace(s, differentiate=False) for s in _samples()],
            Sample(("i4[2,3]",), {"axes": (0,)}),
            Sample(("u1[3]",), {"axes": (0,)}),
            # finite differences cannot see a tie's shares, nor past NaN
            Sample((np.array([[1, 3, 3], [2, 2, 2]], np.float32),), {"axes": (1,)}, differentiate=False),
            Sample((np.array([1, np.nan, 2], np.float32),), {"axes": (0,)}, differentiate=False),
        ],
    )
    return prim


reduce_max = _extreme("reduce_max", np.maximum, -1)
reduce_min = _extreme("reduce_min", np.minimum, 1)

# -- logic ---------------------------------------------------------------------------------------------------


def _logical(name: str, ufunc: np.ufunc, combine: str) -> Primitive:
    """reduce_and, reduce_or, reduce_xor: of bits for integers."""
    prim = Primitive(
        name,
        shape=_reduced(name, "biu"),
        evaluate=lambda x, axes: ufunc.reduce(np.asarray(x), axis=axes),
        jvp=lambda primals, tangents, p: (prim(*primals, **p), None),
        vjp=lambda needs, args, p: (prim(*args, **p), None),
        batch=same_batch(name, **_axes_shifted),
        lower=Reduction(combine),
        samples=lambda: [
            *_samples("b1"),
            Sample(("i4[2,3]",), {"axes": (1,)}),
            Sample(("u1[3,0]",), {"axes": (1,)}),
        ],
    )
    return prim


reduce_and = _logical("reduce_and", np.bitwise_and, "and")
reduce_or = _logical("reduce_or", np.bitwise_or, "or")
reduce_xor = _logical("reduce_xor", np.bitwise_xor, "xor")

# -- positions of extremes -----------------------------------------------------------------------------------


def _position(name: str, find: Callable[..., Any], reduce: Primitive) -> Primitive:
    """argmax or argmin: the first of equal extremes; the first NaN, if there is one."""

    def shape(x: Aval, axis: int, dtype: np.dtype) -> Aval:
        check_kinds(name, (x,), "biuf")
        check_axes(name, x, (axis,))
        if x.shape[axis] == 0:
            raise ShapeError(f"{name}: {x} has no element along axis {axis}, at {describe(here())}")
        if not dtypes.is_integer(np.dtype(dtype)):
            raise DtypeError(f"{name}: positions are integers, not {dtype}, at {describe(here())}")
        return Aval(_without(x.shape, axis), np.dtype(dtype))

    def evaluate(x: Any, axis: int, dtype: np.dtype) -> Any:
        x = np.asarray(x)
        return find(x.astype(np.float32) if x.dtype in HALVES else x, axis).astype(dtype)

    def decompose(x: Any, axis: int, dtype: np.dtype) -> Any:
        aval = aval_of(x)
        if dtypes.is_bool(aval.dtype):
            x, aval = convert(x, dtype=np.dtype("int32")), aval.update(dtype=np.dtype("int32"))
        best = _spread_back(reduce(x, axes=(axis,)), (axis,), aval.shape)
        found = or_(eq(x, best), ne(x, x)) if aval.is_float else eq(x, best)
        index = np.dtype("int32" if aval.shape[axis] < 2**31 else "int64")
        place = select(found, iota(dtype=index, shape=aval.shape, dimension=axis), aval.shape[axis])
        return convert(reduce_min(place, axes=(axis,)), dtype=np.dtype(dtype))

    int32 = np.dtype("int32")
    prim = Primitive(
        name,
        shape=shape,
        evaluate=evaluate,
        jvp=lambda primals, tangents, p: (prim(*primals, **p), None),
        vjp=lambda needs, args, p: (prim(*args, **p), None),
        batch=same_batch(name, axis=lambda v, n: v + 1),
        lower=Decompose(decompose),
        samples=lambda: [
            Sample(("f4[2,5]",), {"axis": 1, "dtype": int32}),
            Sample(("f4[4,3]",), {"axis": 0, "dtype": np.dtype("int64")}),
            Sample(("i4[7]",), {"axis": 0, "dtype": np.dtype("uint8")}),
            Sample(("b1[5]",), {"axis": 0, "dtype": int32}),
            Sample(("f4[0,2]",), {"axis": 1, "dtype": int32}),
            Sample((np.array([[1, 3, 3], [2, 2, 2]], np.float32),), {"axis": 1, "dtype": int32}),
            Sample((np.array([1, np.nan, 2, np.nan], np.float32),), {"axis": 0, "dtype": int32}),
        ],
    )
    return prim


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


argmax = _position("argmax", np.argmax, reduce_max)
argmin = _position("argmin", np.argmin, reduce_min)
