"""vmap: axes, trees, nesting, and functions that ignore their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ShapeError
from tests.transform_checks import agrees, close

A = fnp.arange(24.0).reshape(2, 3, 4)
a = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("out", [0, 1, 2, -1, -2, -3])
def test_every_axis_in_and_out(axis: int, out: int) -> None:
    f = fnn.vmap(lambda m: fnp.sin(m) + fnp.sum(m), in_axes=axis, out_axes=out)
    rows = [np.sin(m) + m.sum() for m in np.moveaxis(a, axis, 0)]
    agrees(f, np.moveaxis(np.stack(rows), 0, out), A, tolerance=1e-4)


def test_axes_of_trees() -> None:
    f = fnn.vmap(lambda p, s: {"r": p["u"] * s, "t": p["v"][0]}, in_axes=({"u": 1, "v": (None, 0)}, None))
    p = {"u": A[0], "v": (7.0, fnp.arange(4))}
    out = f(p, 2.0)
    close(out, {"r": 2 * a[0].T, "t": np.full(4, 7.0)})
    out = fnn.vmap(lambda m: {"p": m, "q": (m[0], m)}, out_axes={"p": 1, "q": 0})(A)
    assert out["p"].shape == (3, 2, 4)
    assert [q.shape for q in out["q"]] == [(2, 4), (2, 3, 4)]


def test_a_prefix_stands_for_a_whole_tree() -> None:
    agrees(fnn.vmap(lambda p: p["x"] + p["y"], in_axes=1), (2 * a[0]).T, {"x": A[0], "y": A[0]})
    agrees(
        fnn.vmap(lambda p, q: p["x"] + q, in_axes=(None, 0)),
        np.array([2.0, 3.0]),
        {"x": 1.0},
        fnp.array([1.0, 2.0]),
    )


def test_keywords_are_mapped_on_their_first_axis() -> None:
    close(fnn.vmap(lambda x, *, scale: x * scale)(A[0, 0], scale=A[0, 0]), a[0, 0] ** 2)
    with pytest.raises(ShapeError, match="scale has 3"):
        fnn.vmap(lambda x, *, scale: x * scale)(A[0, 0], scale=A[0, :, 0])


def test_results_that_do_not_depend_on_the_batch() -> None:
    agrees(fnn.vmap(lambda m: 2.0), np.full(2, 2.0), A)
    agrees(fnn.vmap(lambda m, n: n, in_axes=(0, None), out_axes=None), a[0], A, A[0])
    agrees(fnn.vmap(lambda: fnp.arange(3), axis_size=2), np.stack([np.arange(3)] * 2))


def test_nested() -> None:
    u, v = fnp.arange(2.0), fnp.arange(3.0)
    want = np.outer([0.0, 1.0], [0.0, 1.0, 2.0])
    agrees(lambda u, v: fnn.vmap(lambda p: fnn.vmap(lambda q: p * q)(v))(u), want, u, v)
    agrees(fnn.vmap(fnn.vmap(lambda p, q: p * q, (None, 0)), (0, None)), want, u, v)
    agrees(fnn.vmap(fnn.vmap(fnn.jit(lambda p, q: p * q), (None, 0)), (0, None), 1), want.T, u, v)
    deep = fnn.vmap(fnn.vmap(fnn.vmap(fnp.sin)))
    agrees(deep, np.sin(a), A)


def test_a_closure_over_a_mapped_value() -> None:
    def f(row: Any) -> Any:
        return fnn.vmap(lambda s: fnp.sum(row) * s)(row)

    agrees(fnn.vmap(f), a[0].sum(1, keepdims=True) * a[0], A[0])


def test_integers_and_booleans() -> None:
    close(fnn.vmap(lambda i: A[0][:, 0][i])(fnp.array([2, 0])), a[0][:, 0][[2, 0]])
    close(fnn.vmap(lambda i, m: m[i])(fnp.array([2, 0]), A), a[[0, 1], [2, 0]])
    assert fnn.vmap(lambda m: m > 3)(A).dtype == bool
    close(
        fnn.vmap(lambda p, m: lax.cond(p, lambda: m, lambda: -m))(fnp.array([True, False]), A),
        np.stack([a[0], -a[1]]),
    )


def test_a_batch_of_one_and_of_none() -> None:
    agrees(fnn.vmap(lambda m: fnp.sum(m * m)), (a[:1] ** 2).sum((1, 2)), A[:1])
    assert fnn.vmap(lambda m: m @ m.T)(A[:0]).shape == (0, 3, 3)
    assert fnn.vmap(fnn.grad(lambda m: fnp.sum(m**2)))(A[:0]).shape == (0, 3, 4)


def test_python_lists_of_axes_are_taken() -> None:
    close(fnn.vmap(lambda p, q: p + q, in_axes=[0, None])(fnp.arange(2.0), 1.0), np.array([1.0, 2.0]))


def test_vmap_of_a_gradient_with_shared_parameters() -> None:
    """Gradients of single examples add up to the gradient of the sum."""
    w = fnp.linspace(0.1, 1.0, 4)

    def loss(w: Any, row: Any) -> Any:
        return fnp.tanh(fnp.vdot(w, row))

    rows = A.reshape(6, 4) / 24
    single = fnn.jit(fnn.vmap(fnn.grad(loss), in_axes=(None, 0)))(w, rows)
    assert single.shape == (6, 4)
    total = fnn.grad(lambda w: fnp.sum(fnn.vmap(loss, (None, 0))(w, rows)))(w)
    close(fnp.sum(single, axis=0), total)
