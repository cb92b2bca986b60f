"""Running sums, products and extremes along one axis, from the front or (reverse) from the back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of, shape_of
from fnn.primitives.arithmetic import add, mul, neg, sub
from fnn.primitives.arithmetic import max as max_
from fnn.primitives.arithmetic import min as min_
from fnn.primitives.bitwise import not_
from fnn.primitives.comparison import eq, gt, lt, select
from fnn.primitives.cumulative_loops import extent, lowering
from fnn.primitives.pairs import running_product
from fnn.primitives.rules import HALVES, check_axes, check_kinds, linear, same_batch, zeros
from fnn.primitives.structural import broadcast, concatenate, pad, reshape, slice
from fnn.primitives.transcendental import exp, log1p

# -- linear recurrences --------------------------------------------------------------------------------------


def _along(x: Any, axis: int, start: int, limit: int) -> Any:
    shape = shape_of(x)
    low, high = [0] * len(shape), list(shape)
    low[axis], high[axis] = start, limit
    return slice(x, start=tuple(low), limit=tuple(high), step=(1,) * len(shape))


def _previous(x: Any, fill: float, axis: int, reverse: bool) -> Any:
    """Each element's predecessor, `fill` where there is none; with reverse its successor."""
    shape, n = shape_of(x), shape_of(x)[axis]
    edge = zeros(Aval((*shape[:axis], 1, *shape[axis + 1 :]), aval_of(x).dtype))
    if fill:
        edge = add(edge, fill)
    elif math.copysign(1.0, fill) < 0:
        edge = neg(edge)
    parts = (_along(x, axis, 1, n), edge) if reverse else (edge, _along(x, axis, 0, n - 1))
    return concatenate(*parts, axis=axis)


def linear_recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """s with s[i] = a[i] s[i-1] + b[i] (with reverse: s[i+1]), by doubling, in about log2(n) rounds of
    whole arrays (Hillis and Steele, "Data parallel algorithms", 1986). The derivatives of running products
    and extremes are such recurrences; written so, no division meets a zero."""
    n, distance = shape_of(a)[axis], 1
    while distance < n:
        if reverse:
            here, there = (0, n - distance), (distance, n)
            untouched = (n - distance, n)
        else:
            here, there = (distance, n), (0, n - distance)
            untouched = (0, distance)
        factor = _along(a, axis, *here)
        moved_b = add(_along(b, axis, *here), mul(factor, _along(b, axis, *there)))
        moved_a = mul(factor, _along(a, axis, *there))
        join = (lambda old, new: (new, old)) if reverse else (lambda old, new: (old, new))
        b = concatenate(*join(_along(b, axis, *untouched), moved_b), axis=axis)
        a = concatenate(*join(_along(a, axis, *untouched), moved_a), axis=axis)
        distance *= 2
    return b


# -- the family ----------------------------------------------------------------------------------------------


def _shape(name: str, kinds: str) -> Callable[..., Aval]:
    def shape(x: Aval, axis: int, reverse: bool) -> Aval:
        check_kinds(name, (x,), kinds)
        check_axes(name, x, (axis,))
        return x

    return shape


def _evaluate(accumulate: Callable[[np.ndarray, int], np.ndarray]) -> Callable[..., np.ndarray]:
    def evaluate(x: Any, axis: int, reverse: bool) -> np.ndarray:
        x = np.asarray(x)
        wide = x.astype(np.float32) if x.dtype in HALVES else x
        wide = np.flip(wide, axis) if reverse else wide
        out = accumulate(wide, axis).astype(x.dtype)
        return np.flip(out, axis) if reverse else out

    return evaluate


# -- how they are computed -----------------------------------------------------------------------------------

PIECES = 16  # that a long line is cut into
LONG = 1 << 15  # elements from which a line is cut, unless there are enough of them to go round


def _log_add_exp_loop(b: Any, running: Any, x: Any) -> Any:
    """log(exp(running) + exp(x)) by the larger of the two; where both are the same infinity their
    difference is none."""
    high, low = b.op("max", running, x), b.op("min", running, x)
    return b.select(running.eq(x), running + LOG_2, high + b.math("log1p", b.math("exp", low - high)))


def _log_add_exp(running: Any, x: Any) -> Any:
    """The same of arrays."""
    high, low = max_(running, x), min_(running, x)
    return select(eq(running, x), add(running, LOG_2), add(high, log1p(exp(sub(low, high)))))


LOG_2 = math.log(2)


@dataclass(frozen=True)
class _Combiner:
    """evaluate: of a NumPy array along an axis; loop: of loop values; arrays: of arrays; identity: of a dtype, what
    changes nothing."""

    evaluate: Callable[[np.ndarray, int], np.ndarray]
    loop: Callable[[Any, Any, Any], Any]
    arrays: Callable[[Any, Any], Any]
    identity: Callable[[np.dtype], float]


def _lowest(dtype: np.dtype) -> float:
    return -math.inf if dtype.kind not in "iu" else int(np.iinfo(dtype).min)


def _highest(dtype: np.dtype) -> float:
    return math.inf if dtype.kind not in "iu" else int(np.iinfo(dtype).max)


_COMBINERS = {
    "cumsum": _Combiner(
        lambda x, axis: np.cumsum(x, axis, dtype=x.dtype),
        lambda b, running, x: running + x,
        add,
        lambda dtype: 0 if dtype.kind in "iu" else -0.0,
    ),
    "cumprod": _Combiner(
        lambda x, axis: np.cumprod(x, axis, dtype=x.dtype), lambda b, running, x: running * x, mul, lambda _: 1
    ),
    "cummax": _Combiner(
        np.maximum.accumulate, lambda b, running, x: b.op("max", running, x), max_, _lowest
    ),
    "cummin": _Combiner(
        np.minimum.accumulate, lambda b, running, x: b.op("min", running, x), min_, _highest
    ),
    "cumlogsumexp": _Combiner(np.logaddexp.accumulate, _log_add_exp_loop, _log_add_exp, _lowest),
}  # fmt: skip


def _decomposed(name: str) -> Decompose:
    """Lines walked by the kernel; a few long lines cut into pieces first, so that threads share them. Where the
    cuts are follows from the shape alone, and where one value was not below the one before it, it still is not:
    each piece is combined with the last value of the one before."""

    def fn(x: Any, axis: int, reverse: bool) -> Any:
        aval = aval_of(x)
        outer, n, inner = extent(aval.shape, axis)
        if inner > 1 or n < LONG or outer >= PIECES:
            return running(x, combine=name, axis=axis, reverse=reverse)
        length = -(-n // PIECES)
        spare = PIECES * length - n
        if spare:
            low, high = ((0, 0), (0, spare)) if not reverse else ((0, spare), (0, 0))
            zero = zeros(Aval((), aval.dtype))
            x = pad(reshape(x, shape=(outer, n)), zero, low=low, high=high, interior=(0, 0))
        pieces = reshape(x, shape=(outer, PIECES, length))
        alone = running(pieces, combine=name, axis=2, reverse=reverse)
        last = _along(alone, 2, 0, 1) if reverse else _along(alone, 2, length - 1, length)
        totals = running(reshape(last, shape=(outer, PIECES)), combine=name, axis=1, reverse=reverse)
        before = _previous(totals, _COMBINERS[name].identity(aval.dtype), 1, reverse)
        carried = broadcast(before, shape=(outer, PIECES, length), axes=(0, 1))
        out = reshape(_COMBINERS[name].arrays(carried, alone), shape=(outer, PIECES * length))
        if spare:
            out = _along(out, 1, spare, PIECES * length) if reverse else _along(out, 1, 0, n)
        return reshape(out, shape=aval.shape)

    return Decompose(fn)


def _samples(low: float = -2.0, high: float = 2.0) -> list[Sample]:
    cases = [("4", 0), ("2,5", 1), ("3,2", 0), ("2,3,2", 1), ("1", 0), ("2,0", 1), ("0,2", 1)]
    return [
        Sample((f"f4[{shape}]",), {"axis": axis, "reverse": reverse}, low=low, high=high)
        for reverse in (False, True)
        for shape, axis in cases
    ]


def _integers() -> list[Sample]:
    return [
        Sample(("i4[2,5]",), {"axis": 1, "reverse": False}),
        Sample(("u1[4]",), {"axis": 0, "reverse": True}),
    ]


def _complexes() -> list[Sample]:
    return [
        Sample(("c8[2,5]",), {"axis": 1, "reverse": False}),
        Sample(("c16[4,2]",), {"axis": 0, "reverse": True}),
        Sample(("c8[0]",), {"axis": 0, "reverse": False}),
    ]


def _long(name: str) -> list[Sample]:
    """Lines that are cut into pieces, evenly and not. Their sums are exact in any order, those of tangents are not,
    and pass by zero."""
    rng = np.random.default_rng(0)

    def line(*shape: int) -> np.ndarray:
        if name == "cumlogsumexp":
            return rng.uniform(3.0, 4.0, shape).astype(np.float32)
        eighths = rng.integers(-8, 9, shape).astype(np.float32) / 8
        return 1 + eighths / 1000 if name == "cumprod" else eighths

    cases = ((line(LONG), False), (line(2, LONG + 5), True))
    return [
        Sample((x,), {"axis": x.ndim - 1, "reverse": reverse}, tolerance=100.0, differentiate=False)
        for x, reverse in cases
    ]


# running sums
cumsum = linear(
    "cumsum",
    shape=_shape("cumsum", "iufc"),
    evaluate=_evaluate(_COMBINERS["cumsum"].evaluate),
    transpose=lambda ct, i, avals, args, p: cumsum(ct, axis=p["axis"], reverse=not p["reverse"]),
    batch=same_batch("cumsum", axis=lambda v, n: v + 1),
    lower=_decomposed("cumsum"),
    samples=_samples() + _integers() + _long("cumsum") + _complexes(),
)


def _recurrent(
    name: str, weights: Callable[..., tuple[Any, Any]], *, kinds: str = "iuf", samples: Sequence[Sample],
    pairs: Callable[..., Any] | None = None,
) -> Primitive:  # fmt: skip
    """A running y[i] = f(y[i-1], x[i]). weights(x, out, axis, reverse) -> (df/dy, df/dx) at every i; the
    first df/dy is never used."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        out = prim(x, **p)
        if t is None or aval_of(x).size == 0:
            return out, None
        a, c = weights(x, out, **p)
        return out, linear_recurrence(a, mul(c, t), **p)

    def vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
        (x,) = args
        out = prim(x, **p)
        if not needs[0] or aval_of(x).size == 0:
            return out, None

        def pull(ct: Any) -> list[Any]:
            a, c = weights(x, out, **p)
            behind = _previous(a, 0.0, p["axis"], not p["reverse"])
            return [mul(c, linear_recurrence(behind, ct, p["axis"], not p["reverse"]))]

        return out, pull

    prim = Primitive(
        name,
        shape=_shape(name, kinds),
        evaluate=_evaluate(_COMBINERS[name].evaluate),
        jvp=jvp,
        vjp=vjp,
        batch=same_batch(name, axis=lambda v, n: v + 1),
        lower=_decomposed(name),
        pairs=pairs,
        samples=[*samples, *_long(name)],
    )
    return prim


# running products; exact derivatives where some factors are zero
cumprod = _recurrent(
    "cumprod",
    lambda x, out, axis, reverse: (x, _previous(out, 1.0, axis, reverse)),
    kinds="iufc",
    pairs=lambda args, p: running_product(args[0], **p),
    samples=[
        *_samples(),
        *_integers(),
        *_complexes(),
        Sample((np.array([2.0, 0.0, 3.0, 0.0, 1.5], np.float32),), {"axis": 0, "reverse": False}),
    ],
)


def _extreme_weights(wins: Any) -> Callable[..., tuple[Any, Any]]:
    """1 to the winner of (running, x), half each where they tie."""

    def weights(x: Any, out: Any, axis: int, reverse: bool) -> tuple[Any, Any]:
        aval = aval_of(x)
        before = _previous(out, 0.0, axis, reverse)
        zero = zeros(Aval((), aval.dtype))
        half, one = add(zero, 0.5), add(zero, 1.0)
        kept = select(wins(before, x), one, select(eq(before, x), half, zero))
        first = _first(aval, axis, reverse)
        return select(first, zero, kept), select(first, one, sub(1.0, kept))

    return weights


def _first(aval: Aval, axis: int, reverse: bool) -> Any:
    """True for the elements that have no predecessor."""
    inner = zeros(aval.update(dtype=np.dtype("bool"), weak_type=False))
    edge = _along(inner, axis, 0, 1)
    others = _along(inner, axis, 1, aval.shape[axis])
    return concatenate(*((others, not_(edge)) if reverse else (not_(edge), others)), axis=axis)


_tied = [
    # at a tie there is no one derivative to compare with
    Sample((np.array([1, 3, 3, 2, 4], np.float32),), {"axis": 0, "reverse": False}, differentiate=False),
    Sample((np.array([1, np.nan, 3], np.float32),), {"axis": 0, "reverse": False}, differentiate=False),
]
# running extremes; NaN stays
cummax = _recurrent("cummax", _extreme_weights(gt), samples=_samples() + _integers() + _tied)
cummin = _recurrent("cummin", _extreme_weights(lt), samples=_samples() + _integers() + _tied)


def _log_weights(x: Any, out: Any, axis: int, reverse: bool) -> tuple[Any, Any]:
    """exp(y[i-1] - y[i]) and exp(x[i] - y[i]); nothing of minus infinity."""
    aval = aval_of(x)
    zero = zeros(Aval((), aval.dtype))
    before = _previous(out, 0.0, axis, reverse)
    nothing = eq(out, add(zero, -math.inf))
    finite = select(nothing, zero, out)
    return select(nothing, zero, exp(sub(before, finite))), select(nothing, zero, exp(sub(x, finite)))


# running log(sum(exp(x)))
cumlogsumexp = _recurrent(
    "cumlogsumexp",
    _log_weights,
    kinds="f",
    samples=[
        *_samples(),
        Sample(
            (np.array([-np.inf, -np.inf, 1, -np.inf, 2], np.float32),),
            {"axis": 0, "reverse": False},
            differentiate=False,
        ),  # a difference of infinities is none
        Sample(
            (np.array([100, -100, 100, np.inf, np.nan], np.float32),),
            {"axis": 0, "reverse": False},
            differentiate=False,
        ),
    ],
)


# -- the kernel's primitive ----------------------------------------------------------------------------------

_FAMILY = {
    "cumsum": cumsum,
    "cumprod": cumprod,
    "cummax": cummax,
    "cummin": cummin,
    "cumlogsumexp": cumlogsumexp,
}


def _running_shape(x: Aval, combine: str, axis: int, reverse: bool) -> Aval:
    return _FAMILY[combine].shape(x, axis=axis, reverse=reverse)


def _of_family(rule: str) -> Callable[..., Any]:
    """A rule of the member that the combiner belongs to, whose meaning is the same."""

    def apply(first: Any, second: Any, params: dict[str, Any]) -> Any:
        rest = {k: v for k, v in params.items() if k != "combine"}
        return getattr(_FAMILY[params["combine"]], rule)(first, second, rest)

    return apply


# lines along an axis, each walked by one thread: what the members of the family are decomposed into
running = Primitive(
    "running",
    shape=_running_shape,
    evaluate=lambda x, combine, axis, reverse: _FAMILY[combine].evaluate(x, axis=axis, reverse=reverse),
    jvp=_of_family("jvp"),
    vjp=_of_family("vjp"),
    batch=same_batch("running", axis=lambda v, n: v + 1),
    lower=lowering(
        {name: combiner.loop for name, combiner in _COMBINERS.items()}, heavy="cumlogsumexp", wide="cumprod"
    ),
    samples=[
        *(
            Sample((f"f4[{shape}]",), {"combine": name, "axis": axis, "reverse": reverse}, low=-1.0, high=1.0)
            for name in _COMBINERS
            for shape, axis, reverse in (("2,5", 1, False), ("40", 0, True), ("3,2", 0, False))
        ),
        *(
            Sample(
                (f"f4[2,{n}]",),
                {"combine": name, "axis": 1, "reverse": n % 2 == 0},
                low=0.9,
                high=1.1,
                tolerance=50.0,
                differentiate=False,
            )
            for name in _COMBINERS
            for n in (16, 257, 1024, 2500)
        ),
        Sample(("i4[2,5]",), {"combine": "cummax", "axis": 1, "reverse": False}),
        Sample(("f4[2,0]",), {"combine": "cumsum", "axis": 1, "reverse": False}),
    ],
)
