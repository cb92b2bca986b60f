"""psum and its kin over named axes: values against NumPy, derivatives, nesting, and what names bind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, AxisNameError, ShapeError
from tests.transform_checks import agrees, close

X = fnp.array([0.3, -0.7, 1.1, 0.2])
x = np.array([0.3, -0.7, 1.1, 0.2])
M = fnp.arange(6.0).reshape(2, 3)
m = np.arange(6.0).reshape(2, 3)


def over(f: Any, **options: Any) -> Any:
    return fnn.vmap(f, axis_name="i", **options)


def test_values() -> None:
    agrees(over(lambda a: lax.psum(a, "i")), np.full(4, x.sum()), X)
    agrees(over(lambda a: lax.pmean(a, "i")), np.full(4, x.mean()), X)
    agrees(over(lambda a: lax.pmax(a, "i")), np.full(4, 1.1), X)
    agrees(over(lambda a: lax.pmin(a, "i")), np.full(4, -0.7), X)
    agrees(over(lambda a: lax.axis_index("i")), np.arange(4), X)
    agrees(over(lambda a: lax.all_gather(a, "i")), np.stack([x] * 4), X)
    agrees(over(lambda a: lax.ppermute(a, "i", [(0, 1), (1, 2), (2, 3)])), np.array([0.0, 0.3, -0.7, 1.1]), X)
    agrees(over(lambda a: lax.pshuffle(a, "i", [3, 2, 1, 0])), x[::-1], X)
    agrees(over(lambda a: a / lax.psum(a, "i"), out_axes=-1), x / x.sum(), X)


def test_trees_integers_and_constants() -> None:
    agrees(
        over(lambda a: lax.psum({"a": a, "b": (a > 0,)}, "i")),
        {"a": np.full(4, x.sum()), "b": (np.full(4, 3),)},
        X,
    )
    agrees(over(lambda a: lax.psum(1, "i") * a), 4 * x, X)
    agrees(over(lambda a: lax.psum(2.0, "i") * a), 8 * x, X)
    agrees(over(lambda a: lax.psum(fnp.ones(2), "i") + 0 * a), np.full((4, 2), 4.0), X)
    agrees(over(lambda a: lax.pmean(fnp.array(3), "i") + 0 * a), np.full(4, 3.0), X)
    agrees(over(lambda a: lax.pmax(fnp.array(3.0), "i") + 0 * a), np.full(4, 3.0), X)
    agrees(over(lambda a: lax.all_gather(fnp.array(3.0), "i") + 0 * a), np.full((4, 4), 3.0), X)
    agrees(over(lambda a: lax.ppermute(fnp.array(3.0), "i", [(0, 0)])), np.array([3.0, 0, 0, 0]), X)
    assert over(lambda a: fnp.zeros(lax.axis_size("i")))(X).shape == (4, 4)


def test_gathering_along_axes() -> None:
    agrees(over(lambda row: lax.all_gather(row, "i", axis=1)), np.stack([m.T] * 2), M)
    agrees(over(lambda row: lax.all_gather(row, "i", axis=-1)), np.stack([m.T] * 2), M)
    agrees(over(lambda row: lax.all_gather(row, "i", tiled=True)), np.stack([m.reshape(6)] * 2), M)


FUNCTIONS = {
    "psum": lambda a: fnp.sin(a) * lax.psum(a * a, "i"),
    "pmean": lambda a: a * lax.pmean(fnp.exp(a), "i"),
    "extrema": lambda a: a * lax.pmax(a, "i") + lax.pmin(a, "i") ** 2 * lax.axis_index("i"),
    "ppermute": lambda a: lax.ppermute(fnp.sin(a), "i", [(0, 2), (1, 0), (3, 3)]) * a,
    "all_gather": lambda a: fnp.vdot(lax.all_gather(fnp.sin(a), "i"), fnp.arange(4, dtype=a.dtype)) * a,
    "axis_index": lambda a: a * lax.axis_index("i"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name: str) -> None:
    """Against differences, in both modes, compiled or not."""
    with fnn.enable_x64(True):
        v, t = fnp.asarray(x), fnp.asarray(np.cos(np.arange(4.0)))
        f = lambda v: fnp.sum(over(FUNCTIONS[name])(v) * fnp.arange(1.0, 5.0))
        step = 1e-5
        want = (np.asarray(f(v + step * t)) - np.asarray(f(v - step * t))) / (2 * step)
        agrees(lambda v: fnn.jvp(f, (v,), (t,))[1], want, v, tolerance=1e-7)
        agrees(lambda v: fnp.vdot(fnn.grad(f)(v), t), want, v, tolerance=1e-7)
        h = np.asarray(fnn.hessian(f)(v))
        close(h, h.T, 1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_taken_inside_of_the_axis(name: str) -> None:
    """Where the collectives themselves are differentiated: the gradient of the sum over all instances."""
    f = FUNCTIONS[name]
    with fnn.enable_x64(True):
        v, one = fnp.asarray(x), fnp.ones(4)
        want = fnn.grad(lambda v: fnp.sum(over(f)(v)))(v)
        agrees(over(fnn.grad(f)), want, v, tolerance=1e-9)
        agrees(over(fnn.grad(fnn.jit(f))), want, v, tolerance=1e-9)
        slope = fnn.jvp(over(f), (v,), (one,))[1]
        agrees(over(lambda a: fnn.jvp(f, (a,), (1.0,))[1]), slope, v, tolerance=1e-9)
        second = fnn.grad(lambda v: fnp.sum(over(fnn.grad(f))(v)))(v)
        agrees(over(fnn.grad(fnn.grad(f))), second, v, tolerance=1e-9)


def test_grad_inside_of_the_axis() -> None:
    """Each instance differentiates with respect to its own copy; the transpose of a sum is a sum."""
    agrees(over(fnn.grad(lambda a: lax.psum(a * a, "i"))), 2 * x * 4, X)
    agrees(
        over(lambda a: fnn.jvp(lambda a: lax.psum(a * a, "i"), (a,), (1.0,))[1]), np.full(4, 2 * x.sum()), X
    )
    agrees(over(lambda a: lax.pmean(fnn.grad(lambda a: a * a)(a), "i")), np.full(4, 2 * x.mean()), X)


def test_data_parallel_gradient() -> None:
    w, xs = fnp.array([0.1, 0.2, 0.3]), M / 6
    loss = lambda w, row: fnp.sum(fnp.sin(w * row))
    step = over(lambda w, row: lax.pmean(fnn.grad(loss)(w, row), "i"), in_axes=(None, 0), out_axes=None)
    agrees(step, fnn.grad(lambda w: fnp.mean(fnn.vmap(loss, (None, 0))(w, xs)))(w), w, xs)


def test_nested_axes() -> None:
    def f(a: Any) -> Any:
        both = lax.psum(a, ("i", "j"))
        return lax.psum(a, "i"), lax.psum(a, "j"), both, lax.axis_index(("i", "j")), lax.axis_index("j")

    g = fnn.vmap(fnn.vmap(f, axis_name="j"), axis_name="i")
    want = (
        np.broadcast_to(m.sum(0), (2, 3)),
        np.broadcast_to(m.sum(1, keepdims=True), (2, 3)),
        np.full((2, 3), m.sum()),
        np.arange(6).reshape(2, 3),
        np.stack([np.arange(3)] * 2),
    )
    agrees(g, want, M)
    gathered = fnn.vmap(fnn.vmap(lambda a: lax.all_gather(a, "i"), axis_name="j"), axis_name="i")
    agrees(gathered, np.stack([m.T] * 2), M)
    moved = fnn.vmap(fnn.vmap(lambda a: lax.ppermute(a, "i", [(0, 1), (1, 0)]), axis_name="j"), axis_name="i")
    agrees(moved, m[::-1], M)
    # The inner axis of that name is meant.
    same = fnn.vmap(fnn.vmap(lambda a: lax.psum(a, "i"), axis_name="i"), axis_name="i")
    agrees(same, np.broadcast_to(m.sum(1, keepdims=True), (2, 3)), M)
    # An inner vmap without that name leaves the axis alone.
    agrees(over(lambda row: fnn.vmap(lambda a: lax.psum(a, "i"))(row)), np.broadcast_to(m.sum(0), (2, 3)), M)


def test_inside_jit_and_control_flow() -> None:
    inner = fnn.jit(lambda b: b / lax.psum(b, "i"))
    agrees(over(inner), x / x.sum(), X)
    close(over(inner)(X[:3]), x[:3] / x[:3].sum())
    constant = fnn.jit(lambda b: lax.psum(b, "i"))
    agrees(over(lambda a: constant(2.0) * a), 8 * x, X)
    close(over(lambda a: constant(2.0) + 0 * a)(X[:3]), np.full(3, 6.0))

    def halves(a: Any) -> Any:
        return lax.scan(lambda c, _: (c * 0.5 + lax.psum(c, "i"), None), a, None, length=2)[0]

    want = x
    for _ in range(2):
        want = want * 0.5 + want.sum()
    agrees(over(halves), want, X)
    agrees(fnn.grad(lambda v: fnp.sum(over(halves)(v))), np.full(4, 4.5**2), X)
    agrees(over(lambda a: lax.cond(True, lambda a: lax.psum(a, "i"), lambda a: a, a)), np.full(4, x.sum()), X)
    count = over(lambda a: lax.while_loop(lambda c: lax.psum(c, "i") < 10, lambda c: c * 2, a))
    agrees(count, 16 * x, X)
    agrees(
        fnn.grad(lambda v: fnp.sum(over(fnn.checkpoint(lambda a: a * lax.psum(a, "i")))(v))),
        np.full(4, 2 * x.sum()),
        X,
    )


def test_mistakes() -> None:
    with pytest.raises(AxisNameError, match="'i'"):
        lax.psum(X, "i")
    with pytest.raises(AxisNameError, match="bound here: 'i'"):
        over(lambda a: lax.psum(a, "j"))(X)
    with pytest.raises(AxisNameError, match="'i'"):
        fnn.jit(lambda a: lax.axis_index("i") + a)(X)
    with pytest.raises(ArgumentError, match="at most once"):
        over(lambda a: lax.ppermute(a, "i", [(0, 1), (2, 1)]))(X)
    with pytest.raises(ArgumentError, match="from 0 to 3"):
        over(lambda a: lax.ppermute(a, "i", [(0, 4)]))(X)
    assert not fnn.core.trace.state.axes


def test_all_to_all() -> None:
    """Against NumPy's transposes of the whole; derivatives and nesting by `agrees`."""
    a = np.arange(72.0).reshape(3, 3, 2, 4) % 7
    A = fnp.array(a)
    for split, concat in ((0, 0), (0, 1), (0, 2)):
        want = np.moveaxis(np.swapaxes(a, 0, 1), 1, 1 + concat)
        agrees(over(lambda b, s=split, c=concat: lax.all_to_all(b, "i", s, c)), want, A)
    b = np.arange(36.0).reshape(3, 6, 2) % 5
    tiled = np.stack([np.concatenate([b[j, 2 * i : 2 * i + 2] for j in range(3)], 1) for i in range(3)])
    agrees(over(lambda c: lax.all_to_all(c, "i", 0, 1, tiled=True)), tiled, fnp.array(b))
    with pytest.raises(ShapeError, match="equal to that"):
        over(lambda c: lax.all_to_all(c, "i", 0, 0))(fnp.ones((3, 2)))
