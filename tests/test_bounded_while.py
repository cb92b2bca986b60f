"""Reverse mode through while_loop(max_steps=)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import DifferentiationError

WRAPS = pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])


def newton(a: Any, most: int | None = 50) -> Any:
    """The square root of a, until it is found."""
    return lax.while_loop(
        lambda c: fnp.abs(c * c - a) > 1e-3,
        lambda c: 0.5 * (c + a / c),
        a,
        **({"max_steps": most} if most else {}),
    )


def scaled(x: Any, w: Any, most: int = 40) -> Any:
    """x times w until it is large; how many steps that took, and a vector that goes along."""

    def step(c: Any) -> Any:
        x, n, v = c
        return x * w, n + 1, fnp.sin(v) * w + 0.1 * x

    x, n, v = lax.while_loop(lambda c: c[0] < 100.0, step, (x, 0, fnp.ones(3) * x), max_steps=most)
    return x * v.sum() + n


def unrolled(x: Any, w: Any, most: int = 40) -> Any:
    n, v = 0, fnp.ones(3) * x
    while x < 100.0 and n < most:
        x, n, v = x * w, n + 1, fnp.sin(v) * w + 0.1 * x
    return x * v.sum() + n


@WRAPS
def test_the_derivative_of_a_converging_loop(wrap: Any) -> None:
    assert float(wrap(newton)(9.0)) == pytest.approx(3.0, abs=1e-3)
    assert float(wrap(fnn.grad(newton))(9.0)) == pytest.approx(1 / 6, abs=1e-3)


@WRAPS
@pytest.mark.parametrize("most", [40, 3, 0])
def test_against_python_s_own_loop(wrap: Any, most: int) -> None:
    f, g = (lambda x, w, h=h: h(x, w, most) for h in (scaled, unrolled))
    given = (1.5, 1.7)
    np.testing.assert_allclose(wrap(f)(*given), g(*given), rtol=1e-5)
    for a, b in zip(
        wrap(fnn.grad(f, argnums=(0, 1)))(*given), fnn.grad(g, argnums=(0, 1))(*given), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    _, tangent = wrap(lambda *p: fnn.jvp(f, p, (1.0, 2.0)))(*given)
    np.testing.assert_allclose(tangent, fnn.jvp(g, given, (1.0, 2.0))[1], rtol=1e-4)


@WRAPS
def test_second_derivatives_and_batches(wrap: Any) -> None:
    np.testing.assert_allclose(
        wrap(fnn.hessian(lambda p: scaled(p[0], p[1])))(fnp.array([1.5, 1.7])),
        fnn.hessian(lambda p: unrolled(p[0], p[1]))(fnp.array([1.5, 1.7])),
        rtol=2e-3,
    )
    xs, ws = fnp.array([1.5, 50.0, 200.0]), fnp.array([1.7, 1.2, 3.0])
    slopes = wrap(fnn.vmap(fnn.grad(scaled, argnums=(0, 1))))(xs, ws)
    ones = [fnn.grad(unrolled, argnums=(0, 1))(float(x), float(w)) for x, w in zip(xs, ws, strict=True)]
    np.testing.assert_allclose(np.stack(slopes, 1), np.array(ones), rtol=1e-4)
    whole = wrap(fnn.grad(lambda x: fnn.vmap(lambda v: newton(v))(x).sum()))(fnp.array([2.0, 4.0, 9.0]))
    np.testing.assert_allclose(whole, [0.5 / 2**0.5, 0.25, 1 / 6], atol=2e-3)


@WRAPS
def test_traced_bounds_of_fori_loop(wrap: Any) -> None:
    def power(x: Any, n: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: c * x, fnp.ones(()), max_steps=8)

    for n in (0, 1, 5):
        assert float(wrap(fnn.grad(power))(2.0, np.int32(n))) == n * 2.0 ** (n - 1)
    assert float(fnn.jit(power)(2.0, np.int32(11))) == 2.0**8


def test_without_a_bound_the_error_shows_it() -> None:
    with pytest.raises(DifferentiationError, match=r"while_loop\(\.\.\., max_steps=1000\)"):
        fnn.grad(lambda a: newton(a, None))(2.0)


def test_an_effect_in_a_bounded_loop_happens_once_a_step() -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        def step(c: Any) -> Any:
            fnn.debug.callback(lambda v: seen.append(float(v)), c)
            return c * x

        return lax.while_loop(lambda c: c < 20.0, step, x, max_steps=10)

    assert float(fnn.jit(fnn.grad(f))(3.0)) == pytest.approx(27.0)
    assert seen == [3.0, 9.0]
