"""Running sums, products and extremes along one axis, from the front or (reverse) from the back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of, shape_of
from fnn.primitives.arithmetic import add, mul, sub
from fnn.primitives.bitwise import not_
from fnn.primitives.comparison import eq, gt, lt, select
from fnn.primitives.rules import HALVES, check_axes, check_kinds, linear, same_batch, zeros
from fnn.primitives.structural import concatenate, slice
from fnn.primitives.transcendental import exp

LANES = 1024  # how many neighbouring columns one tile of the kernel walks together


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
    edge = add(edge, fill) if fill else edge
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


def _extent(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """(outer, n, inner) of an axis in row-major order."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _tiles(in_avals: Sequence[Aval], out_avals: Sequence[Aval], params: dict[str, Any]) -> int:
    outer, n, inner = _extent(in_avals[0].shape, params["axis"])
    return outer * -(-inner // LANES) if n else 0


def _cost(in_avals: Sequence[Aval], out_avals: Sequence[Aval], params: dict[str, Any]) -> float:
    outer, n, inner = _extent(in_avals[0].shape, params["axis"])
    return outer * n * inner * (1.5 if inner < 8 else 0.5)


def _lowering(combine: Callable[[Any, Any, Any], Any]) -> Kernel:
    """One tile: up to LANES neighbouring columns, each walked from end to end; columns are independent.

    combine(b, running, x) -> the new running value."""

    def write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
        source, target = inputs[0], outputs[0]
        _, count, width = _extent(source.shape, params["axis"])
        n, inner, chunks = b.size(count), b.size(width), b.size(-(-width // LANES))

        def column(base: Any) -> None:
            first = base + (n - 1) * inner if params["reverse"] else base
            start = b.load(source.buffer, first)
            running = b.variable(start.dtype, start)
            b.store(target.buffer, first, start)
            with b.loop(1, n) as k:
                at = first - k * inner if params["reverse"] else first + k * inner
                running.set(combine(b, running.value, b.load(source.buffer, at)))
                b.store(target.buffer, at, running.value)

        with b.tiles() as t:
            if width == 1:
                column(t * n)
                return
            row = t // chunks
            lo = (t - row * chunks) * LANES
            with b.lanes(lo, b.op("min", lo + LANES, inner)) as j:
                column(row * n * inner + j)

    return Kernel(write, _tiles, _cost)


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


# running sums
cumsum = linear(
    "cumsum",
    shape=_shape("cumsum", "iuf"),
    evaluate=_evaluate(lambda x, axis: np.cumsum(x, axis, dtype=x.dtype)),
    transpose=lambda ct, i, avals, args, p: cumsum(ct, axis=p["axis"], reverse=not p["reverse"]),
    batch=same_batch("cumsum", axis=lambda v, n: v + 1),
    lower=_lowering(lambda b, running, x: running + x),
    samples=_samples() + _integers(),
)


def _recurrent(
    name: str,
    evaluate: Callable[[np.ndarray, int], np.ndarray],
    combine: Callable[[Any, Any, Any], Any],
    weights: Callable[..., tuple[Any, Any]],
    *,
    kinds: str = "iuf",
    samples: Sequence[Sample],
) -> Primitive:
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
        evaluate=_evaluate(evaluate),
        jvp=jvp,
        vjp=vjp,
        batch=same_batch(name, axis=lambda v, n: v + 1),
        lower=_lowering(combine),
        samples=samples,
    )
    return prim


# running products; exact derivatives where some factors are zero
cumprod = _recurrent(
    "cumprod",
    lambda x, axis: np.cumprod(x, axis, dtype=x.dtype),
    lambda b, running, x: running * x,
    lambda x, out, axis, reverse: (x, _previous(out, 1.0, axis, reverse)),
    samples=[
        *_samples(),
        *_integers(),
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
cummax = _recurrent(
    "cummax",
    np.maximum.accumulate,
    lambda b, running, x: b.op("max", running, x),
    _extreme_weights(gt),
    samples=_samples() + _integers() + _tied,
)
cummin = _recurrent(
    "cummin",
    np.minimum.accumulate,
    lambda b, running, x: b.op("min", running, x),
    _extreme_weights(lt),
    samples=_samples() + _integers() + _tied,
)


def _log_add_exp(b: Any, running: Any, x: Any) -> Any:
    """log(exp(running) + exp(x)) by the larger of the two; where both are the same infinity their
    difference is none."""
    high, low = b.op("max", running, x), b.op("min", running, x)
    return b.select(running.eq(x), running + LOG_2, high + b.math("log1p", b.math("exp", low - high)))


LOG_2 = math.log(2)


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
    np.logaddexp.accumulate,
    _log_add_exp,
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
