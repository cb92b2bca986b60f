"""debug_nans and debug_infs: the first NaN or infinity is an error that names its operation and line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import NonFiniteError

WRAPS = pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])


def line(f: Callable[..., Any], text: str) -> str:
    """'file.py:12' of the line of f that holds this text."""
    lines, first = inspect.getsourcelines(f)
    (number,) = [first + k for k, content in enumerate(lines) if text in content]
    return f"{__file__}:{number} "


def logarithms(x: Any) -> Any:
    y = 2.0 * x
    z = fnp.log(y)
    return z.sum()


def norm(x: Any) -> Any:
    squares = (x * x).sum()
    return fnp.sqrt(squares)


@WRAPS
def test_the_operation_the_line_and_the_operand(wrap: Any) -> None:
    x = fnp.array([1.0, -1.5, 2.0])
    assert fnp.isnan(wrap(logarithms)(x))
    with (
        fnn.debug_nans(),
        pytest.raises(NonFiniteError, match=r"^log gave NaN at index 1 .* operands: -3.0$") as caught,
    ):
        wrap(logarithms)(x)
    assert line(logarithms, "fnp.log") in str(caught.value)
    with fnn.debug_nans():
        assert float(wrap(logarithms)(fnp.ones(2))) == pytest.approx(1.3862944)


@WRAPS
def test_in_a_gradient(wrap: Any) -> None:
    with fnn.debug_nans(), pytest.raises(NonFiniteError, match=r"^mul gave NaN.* inf, 0.0$") as caught:
        wrap(fnn.grad(norm))(fnp.zeros(2))
    assert line(norm, "squares = ") in str(caught.value)


def step(c: Any, x: Any) -> Any:
    c = c - 1.0
    return c, fnp.sqrt(c)


@WRAPS
@pytest.mark.parametrize("loop", [
    lambda x: lax.scan(step, x, None, length=9)[1].sum(),
    lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, *step(c[1], None)), (0, x, x))[2],
    lambda x: lax.cond(x > 0, lambda x: step(-x, None)[1], lambda x: x, x),
    lambda x: fnn.checkpoint(lambda x: step(-x, None)[1])(x),
    lambda x: fnn.vmap(lambda x: lax.fori_loop(0, 9, lambda i, c: step(c, None)[0] + 0.0 * step(c, None)[1], x))(x[None])[0],
], ids=["scan", "while", "cond", "checkpoint", "vmap of fori_loop"])  # fmt: skip
def test_inside_loops_and_branches(wrap: Any, loop: Any) -> None:
    with fnn.debug_nans(), pytest.raises(NonFiniteError, match=r"^sqrt gave NaN") as caught:
        wrap(loop)(fnp.float32(3.5))
    assert line(step, "fnp.sqrt") in str(caught.value)


@WRAPS
def test_infinities_and_what_only_moves_them(wrap: Any) -> None:
    with fnn.debug_infs():
        with pytest.raises(NonFiniteError, match=r"^div gave an infinity"):
            wrap(lambda x: 1.0 / x)(fnp.zeros(2))
        assert wrap(lambda x: fnp.where(x > 0, x, -fnp.inf).max())(fnp.arange(3.0)) == 2.0
        with fnn.debug_nans(), pytest.raises(NonFiniteError, match="came in from outside"):
            wrap(lambda x: x + 1.0)(fnp.array([fnp.nan]))
    with fnn.debug_nans():
        assert wrap(lambda x: fnp.where(fnp.isnan(x), 0.0, x).sum())(fnp.array([fnp.nan, 1.0])) == 1.0


def test_a_donated_argument_is_there_to_look_at() -> None:
    f = fnn.jit(lambda x: fnp.log(x), donate_argnums=0)
    with fnn.debug_nans(), pytest.raises(NonFiniteError, match=r"operands: -5.0$"):
        f(fnp.full(64, -5.0))


def test_the_settings() -> None:
    before = fnn.config.debug_nans
    fnn.config.update("jax_debug_nans", True)
    try:
        with pytest.raises(FloatingPointError):
            fnp.log(fnp.array(-1.0))
        with fnn.debug_nans(False):
            fnp.log(fnp.array(-1.0))
    finally:
        fnn.config.update("debug_nans", before)
