"""Minimisation of functions of a vector by quasi-Newton methods, inside of compiled programs.

>>> import fnn.numpy as fnp
>>> found = minimize(lambda x: fnp.sum((x - 3.0) ** 2), fnp.zeros(2), method="BFGS")
>>> print(found.x, found.success)
[3. 3.] True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, ShapeError
from fnn.transforms.differentiate import value_and_grad


class OptimizeResults(NamedTuple):
    """What minimize found.

    x: the last point; success: whether the gradient is small there; status: 0 for success, 1 after the most steps or calls,
    3 where no better point was found along a direction; fun, jac: the function and its gradient at x; hess_inv: the
    estimate of the inverse Hessian (BFGS); nfev, njev, nit: calls, gradients and steps."""

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


_SUFFICIENT, _CURVATURE = 1e-4, 0.9

Objective = Callable[[Array], tuple[Array, Array]]


class _Found(NamedTuple):
    step: Any
    f: Any
    g: Any
    calls: Any
    failed: Any


def _cubic(a: Any, fa: Any, da: Any, b: Any, fb: Any, db: Any) -> Array:
    """The minimiser of the cubic through both ends, within the middle 8 tenths; or the middle."""
    width = b - a
    theta = 3 * (fa - fb) / fnp.where(width == 0, 1, width) + da + db
    square = theta * theta - da * db
    root = fnp.sign(width) * fnp.sqrt(fnp.maximum(square, 0.0))
    bottom = db - da + 2 * root
    share = 1 - (db + root - theta) / fnp.where(bottom == 0, 1, bottom)
    usable = (square >= 0) & (bottom != 0) & fnp.isfinite(share) & (share > 0.1) & (share < 0.9)
    return a + width * fnp.where(usable, share, 0.5)


def _along(objective: Objective, x: Array, f: Array, g: Array, p: Array, most: int) -> _Found:
    """A step along p that meets the strong Wolfe conditions: twice as far until a minimum is enclosed, then smaller and
    smaller enclosures (J. Nocedal and S. J. Wright, Numerical Optimization, algorithms 3.5 and 3.6)."""
    slope = fnp.vdot(g, p)
    zero = fnp.zeros_like(f)

    def going(s: Any) -> Any:
        return ~s["done"] & (s["calls"] < most)

    def advance(s: Any) -> Any:
        a = s["a"]
        value, gradient = objective(x + a * p)
        d = fnp.vdot(gradient, p)
        value = fnp.where(fnp.isnan(value), np.inf, value)
        high = (value > f + _SUFFICIENT * a * slope) | (value >= s["f_lo"]) & (s["lo"] > 0)
        done = ~high & (fnp.abs(d) <= -_CURVATURE * slope)
        # the minimum lies between `lo`, the best point, and `hi`
        turned = ~high & fnp.where(s["enclosed"], d * (s["hi"] - s["lo"]) >= 0, d >= 0)
        pick = lambda new, other, old: fnp.where(high, new, fnp.where(turned, other, old))
        hi, f_hi, d_hi = (
            pick(a, s["lo"], s["hi"]),
            pick(value, s["f_lo"], s["f_hi"]),
            pick(d, s["d_lo"], s["d_hi"]),
        )
        keep = lambda new, old: fnp.where(high, old, new)
        lo, f_lo, d_lo = keep(a, s["lo"]), keep(value, s["f_lo"]), keep(d, s["d_lo"])
        enclosed = s["enclosed"] | high | turned
        inner = _cubic(lo, f_lo, d_lo, hi, fnp.where(fnp.isfinite(f_hi), f_hi, f_lo), d_hi)
        inner = fnp.where(fnp.isfinite(f_hi) & fnp.isfinite(d_hi), inner, 0.5 * (lo + hi))
        return {
            "a": fnp.where(enclosed, inner, 2 * a), "lo": lo, "f_lo": f_lo, "d_lo": d_lo, "g_lo": keep(gradient, s["g_lo"]),
            "hi": hi, "f_hi": f_hi, "d_hi": d_hi, "enclosed": enclosed, "done": done, "calls": s["calls"] + 1,
        }  # fmt: skip

    start = {
        "a": zero + 1, "lo": zero, "f_lo": f, "d_lo": slope, "g_lo": g, "hi": zero, "f_hi": f, "d_hi": slope,
        "enclosed": fnp.array(False), "done": fnp.array(False), "calls": 0,
    }  # fmt: skip
    end = lax.while_loop(going, advance, start)
    return _Found(end["lo"], end["f_lo"], end["g_lo"], end["calls"], ~end["done"] & (end["lo"] == 0))


def _norm(g: Array, order: Any) -> Array:
    if order == np.inf:
        return fnp.max(fnp.abs(g), initial=0.0)
    return fnp.sum(fnp.abs(g) ** order) ** (1 / order)


def _bfgs(
    objective: Objective,
    x0: Array,
    *,
    maxiter: int | None = None,
    norm: Any = np.inf,
    gtol: float = 1e-5,
    line_search_maxiter: int = 10,
) -> OptimizeResults:
    n = x0.size
    most = 200 * n if maxiter is None else maxiter
    f0, g0 = objective(x0)

    def going(s: Any) -> Any:
        return (_norm(s["g"], norm) > gtol) & ~s["failed"] & (s["k"] < most)

    def advance(s: Any) -> Any:
        p = -(s["H"] @ s["g"])
        found = _along(objective, s["x"], s["f"], s["g"], p, line_search_maxiter)
        step = found.step * p
        y = found.g - s["g"]
        along = fnp.vdot(y, step)
        useful = along > 0
        rho = 1 / fnp.where(useful, along, 1)
        left = fnp.eye(n, dtype=x0.dtype) - rho * step[:, None] * y[None, :]
        H = left @ s["H"] @ left.T + rho * step[:, None] * step[None, :]
        return {
            "x": s["x"] + step, "f": found.f, "g": found.g, "H": fnp.where(useful, H, s["H"]), "k": s["k"] + 1,
            "calls": s["calls"] + found.calls, "failed": found.failed | fnp.all(s["x"] + step == s["x"]),
        }  # fmt: skip

    start = {
        "x": x0, "f": f0, "g": g0, "H": fnp.eye(n, dtype=x0.dtype), "k": 0, "calls": 1, "failed": fnp.array(False),
    }  # fmt: skip
    end = lax.while_loop(going, advance, start)
    return _results(end, _norm(end["g"], norm) <= gtol, end["H"])


def _lbfgs(
    objective: Objective,
    x0: Array,
    *,
    maxiter: int | None = None,
    norm: Any = np.inf,
    maxcor: int = 10,
    ftol: float = 2.220446049250313e-09,
    gtol: float = 1e-5,
    maxfun: float | None = None,
    maxgrad: float | None = None,
    maxls: int = 20,
) -> OptimizeResults:
    n = x0.size
    most = 200 * n if maxiter is None else maxiter
    calls = min(np.inf if v is None else v for v in (maxfun, maxgrad))
    f0, g0 = objective(x0)

    def direction(s: Any) -> Array:
        """The two-loop recursion; unused places hold zeros, which change nothing."""
        q, alphas = -s["g"], []
        for i in range(maxcor):
            alpha = s["rho"][i] * fnp.vdot(s["S"][i], q)
            q = q - alpha * s["Y"][i]
            alphas.append(alpha)
        q = s["gamma"] * q
        for i in reversed(range(maxcor)):
            q = q + s["S"][i] * (alphas[i] - s["rho"][i] * fnp.vdot(s["Y"][i], q))
        return q

    def going(s: Any) -> Any:
        return ~s["converged"] & ~s["failed"] & (s["k"] < most) & (s["calls"] < calls)

    def advance(s: Any) -> Any:
        p = direction(s)
        found = _along(objective, s["x"], s["f"], s["g"], p, maxls)
        step, y = found.step * p, found.g - s["g"]
        along = fnp.vdot(y, step)
        useful = along > 0
        pushed = lambda new, old: fnp.where(useful, fnp.concatenate([new[None], old[:-1]]), old)
        small = (s["f"] - found.f) <= ftol * fnp.maximum(fnp.maximum(fnp.abs(s["f"]), fnp.abs(found.f)), 1.0)
        failed = found.failed | fnp.all(s["x"] + step == s["x"])
        return {
            "x": s["x"] + step, "f": found.f, "g": found.g, "k": s["k"] + 1, "calls": s["calls"] + found.calls,
            "failed": failed, "converged": ~found.failed & small | (_norm(found.g, norm) <= gtol),
            "S": pushed(step, s["S"]), "Y": pushed(y, s["Y"]),
            "rho": pushed(1 / fnp.where(useful, along, 1), s["rho"]),
            "gamma": fnp.where(useful, along / fnp.where(useful, fnp.vdot(y, y), 1), s["gamma"]),
        }  # fmt: skip

    memory = fnp.zeros((maxcor, n), x0.dtype)
    start = {
        "x": x0, "f": f0, "g": g0, "k": 0, "calls": 1, "failed": fnp.array(False),
        "converged": _norm(g0, norm) <= gtol, "S": memory, "Y": memory, "rho": memory[:, 0], "gamma": fnp.ones_like(f0),
    }  # fmt: skip
    end = lax.while_loop(going, advance, start)
    return _results(end, end["converged"], None)


def _results(s: Any, success: Any, inverse: Any) -> OptimizeResults:
    status = fnp.where(success, 0, fnp.where(s["failed"], 3, 1))
    return OptimizeResults(s["x"], success, status, s["f"], s["g"], inverse, s["calls"], s["calls"], s["k"])


_METHODS: dict[str, Callable[..., OptimizeResults]] = {
    "bfgs": _bfgs,
    "l-bfgs": _lbfgs,
    "l-bfgs-experimental-do-not-rely-on-this": _lbfgs,  # as JAX spells it
}


@filtered
def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple = (),
    *,
    method: str,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """A minimum of fun(x, *args) near x0, a vector.

    method: "BFGS" or "l-bfgs". options of both: maxiter, norm (of the gradient, inf by default) and gtol (1e-5; tol sets it);
    line_search_maxiter of BFGS; maxcor, ftol, maxfun, maxgrad, maxls of l-bfgs. Steps meet the strong Wolfe conditions."""
    if not isinstance(args, tuple):
        raise ArgumentError(f"minimize: args is a tuple, not a {type(args).__name__}, at {describe(here())}")
    chosen = _METHODS.get(method.lower())
    if chosen is None:
        raise ArgumentError(f"minimize: method is BFGS or l-bfgs, not {method!r}, at {describe(here())}")
    x = as_array(x0)
    if x.ndim != 1:
        raise ShapeError(
            f"minimize: x0 is a vector, not {x.aval}, at {describe(here())}; fnn.flatten_util flattens trees"
        )
    x = x.astype(x.dtype if dtypes.is_float(x.dtype) else dtypes.default_float())

    def objective(x: Array) -> tuple[Array, Array]:
        value, gradient = value_and_grad(lambda v: fun(v, *args))(x)
        return value.astype(x.dtype), gradient

    given = dict(options or {})
    if tol is not None:
        given.setdefault("gtol", tol)
    try:
        return chosen(objective, x, **given)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ArgumentError(
            f"minimize: {method} has no such option: {error}, at {describe(here())}"
        ) from None


__all__ = ["OptimizeResults", "minimize"]
