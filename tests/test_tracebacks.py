"""Errors show the user's frames, and what a library call reads may lie in memory in another shape."""

from __future__ import annotations

import traceback

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.source import is_internal
from fnn.errors import ConcretizationError


def loss(x):
    return x if x > 0 else -x


def frames(error: BaseException) -> list[str]:
    return [f.filename for f in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize(
    "call",
    [
        lambda: fnn.jit(loss)(1.0),
        lambda: fnn.jit(fnn.grad(loss))(1.0),
        lambda: fnn.vmap(loss)(fnp.ones(3)),
        lambda: fnn.lax.scan(lambda c, x: (loss(c), x), 1.0, fnp.ones(3)),
        lambda: fnn.lax.cond(True, loss, loss, 1.0),
    ],
)
def test_tracebacks_leave_out_the_library(call) -> None:
    with pytest.raises(ConcretizationError) as caught:
        call()
    shown = frames(caught.value)
    assert not [f for f in shown if is_internal(f)]
    assert shown[-1] == __file__
    with fnn.config.using(traceback="full"), pytest.raises(ConcretizationError) as caught:
        call()
    assert [f for f in frames(caught.value) if is_internal(f)]


def test_library_calls_take_reshaped_operands() -> None:
    a = np.tril(np.arange(1.0, 10.0).reshape(3, 3)).astype(np.float32)
    y = np.arange(3.0, dtype=np.float32)

    def f(a, y):
        x = fnn.lax.linalg.triangular_solve(
            a.reshape(9).reshape(3, 3), y[:, None], left_side=True, lower=True
        )
        return x[:, 0]

    np.testing.assert_allclose(fnn.jit(f)(a, y), np.linalg.solve(a, y), rtol=1e-5)
    np.testing.assert_allclose(
        fnn.jit(fnn.grad(lambda a: fnp.sum(f(a, y))))(a),
        fnn.grad(lambda a: fnp.sum(f(a, y)))(a),
        rtol=1e-4,
        atol=1e-6,
    )
