"""odeint and its adjoint derivatives, trapezoid, minimize."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, ShapeError, TreeError
from fnn.scipy.integrate import odeint, trapezoid
from fnn.scipy.optimize import minimize

TIMES = np.linspace(0, 4, 7).astype("float32")
START = np.array([1.0, 0.5], "float32")


def field(y: Any, t: Any, a: Any) -> Any:
    return fnp.stack([y[1], a * (1 - y[0] ** 2) * y[1] - y[0] + 0.1 * fnp.sin(t)])


def solve(y0: Any, ts: Any, a: Any) -> Any:
    return odeint(field, y0, ts, a, rtol=1e-6, atol=1e-6)


def test_solution() -> None:
    numpy = lambda y, t, a: [y[1], a * (1 - y[0] ** 2) * y[1] - y[0] + 0.1 * np.sin(t)]
    want = scipy.integrate.odeint(numpy, START, TIMES, (1.3,), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(solve(START, TIMES, 1.3), want, 2e-4, 2e-5)
    np.testing.assert_allclose(fnn.jit(solve)(START, TIMES, 1.3), want, 2e-4, 2e-5)
    both = fnn.vmap(solve, (None, None, 0))(START, TIMES, np.array([1.3, 0.2], "float32"))
    np.testing.assert_allclose(both[0], want, 2e-4, 2e-5)


def test_derivatives_are_those_of_the_adjoint_equation() -> None:
    with fnn.config.using(enable_x64=True):
        exact = lambda y0, ts, a: fnp.sum(odeint(field, y0, ts, a, rtol=1e-9, atol=1e-9)[1:] ** 2)
        point = [START.astype(float), TIMES.astype(float), 1.3]
        grads = fnn.jit(fnn.grad(exact, (0, 1, 2)))(*point)
        for i, at in ((0, 1), (1, 3), (1, 0), (2, ())):
            ends = []
            for sign in (1, -1):
                moved = [np.array(x, float) for x in point]
                moved[i][at] += sign * 1e-5
                ends.append(float(exact(*moved)))
            assert float(np.asarray(grads[i])[at]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4)
        _, along = fnn.jvp(lambda a: exact(*point[:2], a), (1.3,), (2.0,))
        assert float(along) == pytest.approx(2 * float(grads[2]), rel=1e-4)


def test_pytrees_and_closures() -> None:
    def f(rate: Any) -> Any:
        y0 = {"a": fnp.ones(2), "b": 2.0}
        return odeint(lambda y, t: fnn.tree.map(lambda v: -rate * v, y), y0, np.array([0.0, 1.0], "float32"))

    out = f(0.5)
    assert out["a"].shape == (2, 2) and out["b"].shape == (2,)
    np.testing.assert_allclose(out["b"], [2, 2 * np.exp(-0.5)], 1e-5)
    assert float(fnn.grad(lambda r: f(r)["b"][1])(0.5)) == pytest.approx(-2 * np.exp(-0.5), rel=1e-4)


def test_mistakes_in_equations() -> None:
    with pytest.raises(ShapeError, match="vector of times"):
        odeint(lambda y, t: y, 1.0, 2.0)
    with pytest.raises(TreeError, match="another structure"):
        odeint(lambda y, t: (y, y), 1.0, TIMES)


def test_trapezoid() -> None:
    y = np.random.default_rng(0).random((3, 5))
    np.testing.assert_allclose(
        trapezoid(y, dx=0.5, axis=0), scipy.integrate.trapezoid(y, dx=0.5, axis=0), 1e-6
    )


def rosenbrock(x: Any) -> Any:
    return fnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


METHODS = ["BFGS", "l-bfgs", "l-bfgs-experimental-do-not-rely-on-this"]


@pytest.mark.parametrize("method", METHODS)
def test_minimize(method: str) -> None:
    with fnn.config.using(enable_x64=True):
        start = np.array([-1.2, 1.0, 1.1])
        found = minimize(rosenbrock, start, method=method)
        want = scipy.optimize.minimize(lambda x: float(rosenbrock(x)), start, method="BFGS")
        np.testing.assert_allclose(found.x, want.x, 1e-3)
        assert (
            bool(found.success)
            and int(found.status) == 0
            and float(found.fun) < 1e-6
            and 5 < int(found.nit) < 100
        )
        compiled = fnn.jit(lambda x: minimize(rosenbrock, x, method=method))(start)
        np.testing.assert_allclose(compiled.x, found.x, 1e-4)
        starts = np.stack([start, start + 0.5])
        np.testing.assert_allclose(
            fnn.vmap(lambda x: minimize(rosenbrock, x, method=method).x)(starts), 1, 1e-3
        )


def test_minimize_stops_and_says_so() -> None:
    start = np.array([-1.2, 1.0], "float32")
    few = minimize(rosenbrock, start, method="bfgs", options={"maxiter": 2})
    assert int(few.nit) == 2 and not bool(few.success) and int(few.status) == 1
    loose = minimize(lambda x, c: fnp.sum((x - c) ** 4), start, (2.0,), method="bfgs", tol=1e-2)
    assert bool(loose.success) and float(fnp.max(fnp.abs(loose.jac))) <= 1e-2
    with pytest.raises(ArgumentError, match="BFGS or l-bfgs"):
        minimize(rosenbrock, start, method="newton")
    with pytest.raises(ArgumentError, match="no such option"):
        minimize(rosenbrock, start, method="bfgs", options={"steps": 3})
    with pytest.raises(ShapeError, match="vector"):
        minimize(rosenbrock, np.ones((2, 2), "float32"), method="bfgs")
