"""Integrals of samples, and ordinary differential equations.

>>> import fnn.numpy as fnp
>>> print(trapezoid(fnp.array([1.0, 2.0, 3.0])))
4.0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, lax, tree
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, function_place, here
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.errors import ShapeError, TreeError
from fnn.records import record
from fnn.transforms.autodiff import fill, vjp_flat
from fnn.transforms.calls import staged
from fnn.transforms.custom import custom_vjp_call


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples y along an axis by the trapezoidal rule; x: where they are taken, or dx: how far apart."""
    return fnp.trapezoid(y, x, dx, axis)


# -- one step, by J. R. Dormand and P. J. Prince, J. Comput. Appl. Math. 6, 1980 -----------------------------------------

_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_WEIGHTS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (
    35 / 384 - 1951 / 21600, 0.0, 500 / 1113 - 22642 / 50085, 125 / 192 - 451 / 720, -2187 / 6784 + 12231 / 42400,
    11 / 84 - 649 / 6300, -1 / 60,
)  # fmt: skip
# of the solution in the middle of a step (L. F. Shampine, Math. Comp. 46, 1986)
_MIDDLE = (
    6025192743 / 30085553152 / 2, 0.0, 51252292925 / 65400821598 / 2, -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2, -1776094331 / 19743644256 / 2, 11237099 / 235043384 / 2,
)  # fmt: skip

Field = Callable[[Array, Array], Array]


@record(frozen=True)
class _Options:
    """How exactly, and how far at most."""

    rtol: float
    atol: float
    mxstep: float
    hmax: float


def _combined(weights: Sequence[float], slopes: Sequence[Array]) -> Array:
    terms = [w * k for w, k in zip(weights, slopes) if w]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _step(f: Field, y: Array, slope: Array, t: Array, dt: Array) -> tuple[Array, Array, Array, Array]:
    """(the next y, its slope, the error's estimate, y in the middle)."""
    slopes, new = [slope], y
    for node, weights in zip(_NODES, _WEIGHTS, strict=True):
        new = y + dt * _combined(weights, slopes)
        slopes.append(f(new, t + dt * node))
    return new, slopes[-1], dt * _combined(_ERROR, slopes), y + dt * _combined(_MIDDLE, slopes)


def _fit(y0: Array, y1: Array, middle: Array, slope0: Array, slope1: Array, dt: Array) -> list[Array]:
    """The polynomial of degree 4 through them, in the share of the step; the highest power first."""
    return [
        -2 * dt * slope0 + 2 * dt * slope1 - 8 * y0 - 8 * y1 + 16 * middle,
        5 * dt * slope0 - 3 * dt * slope1 + 18 * y0 + 14 * y1 - 32 * middle,
        -4 * dt * slope0 + dt * slope1 - 11 * y0 - 5 * y1 + 16 * middle,
        dt * slope0,
        y0,
    ]


def _first_step(f: Field, t0: Array, y0: Array, slope: Array, options: _Options) -> Array:
    """E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I, II.4."""
    norm = lambda x: fnp.sqrt(fnp.sum(x * x))
    scale = options.atol + fnp.abs(y0) * options.rtol
    d0, d1 = norm(y0 / scale), norm(slope / scale)
    h0 = fnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
    d2 = norm((f(y0 + h0 * slope, t0 + h0) - slope) / scale) / h0
    flat = (d1 <= 1e-15) & (d2 <= 1e-15)
    h1 = fnp.where(flat, fnp.maximum(1e-6, h0 * 1e-3), (0.01 / fnp.maximum(d1, d2)) ** (1 / 5))
    return fnp.minimum(100.0 * h0, h1)


def _integrate(f: Field, y0: Array, ts: Array, options: _Options) -> Array:
    """The solution at ts, shape (len(ts), n)."""

    def going(target: Array) -> Callable[[Any], Array]:
        return lambda state: (state[3] < target) & (state[0] < options.mxstep) & (state[4] > 0)

    def advance(state: Any) -> Any:
        count, y, slope, t, dt, before, polynomial = state
        new, new_slope, error, middle = _step(f, y, slope, t, dt)
        allowed = options.atol + options.rtol * fnp.maximum(fnp.abs(y), fnp.abs(new))
        ratio = fnp.sqrt(fnp.mean((error / allowed) ** 2))
        fits = ratio <= 1.0
        least = fnp.where(ratio < 1, 1.0, 0.2)
        factor = fnp.minimum(10.0, fnp.maximum(fnp.where(ratio == 0, 1.0, ratio) ** (-1 / 5) * 0.9, least))
        next_dt = fnp.clip(dt * fnp.where(ratio == 0, 10.0, factor), 0.0, options.hmax)
        fitted = _fit(y, new, middle, slope, new_slope, dt)
        either = lambda a, b: fnp.where(fits, a, b)
        return (
            count + 1,
            either(new, y),
            either(new_slope, slope),
            either(t + dt, t),
            next_dt,
            either(t, before),
            [either(a, b) for a, b in zip(fitted, polynomial, strict=True)],
        )

    def reach(carry: Any, target: Array) -> tuple[Any, Array]:
        _, *state = lax.while_loop(going(target), advance, (0, *carry))
        _, _, t, _, before, polynomial = state
        share = (target - before) / fnp.where(t == before, 1.0, t - before)
        y = polynomial[0]
        for c in polynomial[1:]:
            y = y * share + c
        return tuple(state), y

    slope = f(y0, ts[0])
    dt = fnp.clip(_first_step(f, ts[0], y0, slope, options), 0.0, options.hmax)
    zero = fnp.zeros_like(y0)
    start = (y0, slope, ts[0], dt.astype(ts.dtype), ts[0], [zero, zero, zero, zero, y0])
    _, ys = lax.scan(reach, start, ts[1:])
    return fnp.concatenate([y0[None], ys])


# -- derivatives: the adjoint equation, backwards (R. T. Q. Chen et al., Neural ordinary differential equations, 2018) ---


def _solve(
    g: Callable[..., Array], options: _Options, y0: Array, ts: Array, consts: Sequence[Array]
) -> Array:
    """The solution of y' = g(y, t, *consts); g closes over nothing that is traced."""
    smooth = [aval_of(c).is_inexact for c in consts]

    def fun(y0: Any, ts: Any, *consts: Any) -> list[Any]:
        return [_integrate(lambda y, t: g(y, t, *consts), as_array(y0), as_array(ts), options)]

    def forward(*xs: Any) -> tuple[list[Any], list[Any]]:
        outs = fun(*xs)
        return outs, [outs[0], *xs[1:]]

    def backward(saved: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        ys, ts, *consts = [as_array(x) for x in saved]
        ct = as_array(cts[0])
        n, parts = ys.shape[1], [c for c, s in zip(consts, smooth, strict=True) if s]
        sizes = np.cumsum([n, n, 1, *[c.size for c in parts]])

        def adjoint(state: Array, back: Array, *consts: Any) -> Array:
            y, y_bar = state[:n], state[n : 2 * n]
            needs = [True, True, *smooth]
            outs, pull = vjp_flat(lambda *v: [g(*v)], [y, -back, *consts], needs)
            found = pull([y_bar])
            kept = [
                fnp.ravel(as_array(fill(c, aval_of(x)))).astype(state.dtype)
                for c, x, need in zip(found, (y, back, *consts), needs, strict=True)
                if need
            ]
            return fnp.concatenate([-as_array(outs[0]), *kept])

        def earlier(state: Array, i: Array) -> tuple[Array, Array]:
            y_bar, t_bar, rest = state[:n], state[n], state[n + 1 :]
            moved = fnp.sum(g(ys[i], ts[i], *consts) * ct[i])
            start = fnp.concatenate([ys[i], y_bar, (t_bar - moved)[None], rest])
            out = _solve(adjoint, options, start, fnp.stack([-ts[i], -ts[i - 1]]), consts)[1]
            return fnp.concatenate([out[n : 2 * n] + ct[i - 1], out[2 * n :]]), moved

        start = fnp.concatenate([ct[-1], fnp.zeros(int(sizes[-1]) - 2 * n, ct.dtype)])
        state, moved = lax.scan(earlier, start, fnp.arange(len(ts) - 1, 0, -1))
        t_bars = fnp.concatenate([state[n][None], fnp.flip(moved, 0)]).astype(ts.dtype)
        pieces, at = [], n + 1
        for c, s in zip(consts, smooth, strict=True):
            pieces.append(state[at : at + c.size].reshape(c.shape).astype(c.dtype) if s else None)
            at += c.size if s else 0
        return [state[:n], t_bars, *pieces]

    return custom_vjp_call(y0, ts, *consts, fun=fun, forward=forward, backward=backward, name="odeint")[0]


@filtered
def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: float = np.inf,
    hmax: float = np.inf,
) -> Any:
    """The solution of y' = func(y, t, *args) with y(t[0]) = y0, at the increasing times t: y0's structure, with an axis for
    the times in front.

    Steps of order 5 are chosen so that the error of each is below atol + rtol |y| (Dormand and Prince). Derivatives in
    y0, t, args and what func closes over are those of the adjoint equation, solved backwards: memory does not grow with the
    number of steps. mxstep: the most steps between two times; hmax: the longest step.

    >>> import fnn.numpy as fnp
    >>> print(odeint(lambda y, t: -y, 1.0, fnp.array([0.0, 1.0, 2.0])).round(4))
    [1.     0.3679 0.1353]
    """
    leaves, structure = tree.flatten(y0)
    starts = [as_array(x) for x in leaves]
    found = dtypes.result([x.aval for x in starts])[0]
    dtype = found if dtypes.is_float(found) else dtypes.default_float()
    times = fnp.asarray(t)
    times = times if dtypes.is_float(times.dtype) else times.astype(dtype)
    if times.ndim != 1 or not len(times):
        raise ShapeError(f"odeint: t is a vector of times, not {times.aval}, at {describe(here())}")

    def vector(parts: Sequence[Any]) -> Array:
        flat = [fnp.ravel(as_array(x)).astype(dtype) for x in parts]
        return flat[0] if len(flat) == 1 else fnp.concatenate(flat)

    def shaped(y: Array, lead: tuple[int, ...] = ()) -> Any:
        out, at = [], 0
        for x in starts:
            out.append(y[..., at : at + x.size].reshape((*lead, *x.shape)))
            at += x.size
        return tree.unflatten(structure, out)

    def field(y: Array, t: Array, given: tuple) -> Array:
        out = func(shaped(y), t, *given)
        slopes, same = tree.flatten(out)
        if same != structure or any(fnp.shape(a) != x.shape for a, x in zip(slopes, starts, strict=True)):
            raise TreeError(
                f"odeint: {function_place(func)} returns another structure or other shapes than y0 has, at {describe(here())}"
            )
        return vector(slopes)

    begin = vector(starts)
    consts, packed = tree.flatten((begin, times[0], args))
    arrays = [as_array(c) for c in consts]
    graph, captured, _ = staged(field, packed, [a.aval for a in arrays])
    rest = [*arrays[2:], *captured]
    options = _Options(float(rtol), float(atol), float(mxstep), float(hmax))
    ys = _solve(lambda y, t, *c: graph(y, t, *c)[0], options, begin, times, rest)
    return shaped(ys, (len(times),))


__all__ = ["odeint", "trapezoid"]
