"""jacfwd, jacrev, hessian over arrays and trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, DifferentiationError
from tests.transform_checks import agrees, close

X = fnp.array([0.3, -0.7, 1.1])
x = np.array([0.3, -0.7, 1.1])
BOTH = [fnn.jacfwd, fnn.jacrev]


@pytest.mark.parametrize("jacobian", BOTH)
def test_shapes(jacobian: Any) -> None:
    m = fnp.arange(6.0).reshape(2, 3)
    j = jacobian(lambda v: m[:, :, None] * v)(fnp.ones(4))
    assert j.shape == (2, 3, 4, 4)
    close(j[1, 2], np.eye(4) * 5)
    agrees(jacobian(lambda v: m @ v), np.asarray(m), X)
    agrees(jacobian(fnp.sin), np.cos(0.3), 0.3)
    agrees(jacobian(lambda s: s * X), x, 2.0)
    agrees(
        fnn.vmap(jacobian(fnp.sin)),
        np.stack([np.diag(np.cos(x)), np.diag(np.cos(2 * x))]),
        fnp.stack([X, 2 * X]),
    )


@pytest.mark.parametrize("jacobian", BOTH)
def test_trees(jacobian: Any) -> None:
    def f(p: Any, s: Any) -> Any:
        return {"u": p["a"] * p["b"][0], "t": (fnp.sum(p["a"]) * s, None)}

    p = {"a": X, "b": (2.0, None)}
    for j in (jacobian(f)(p, 3.0), fnn.jit(jacobian(f))(p, 3.0)):
        close(j["u"]["a"], 2 * np.eye(3))
        close(j["u"]["b"][0], x)
        assert j["u"]["b"][1] is None
        assert j["t"][1] is None
        close(j["t"][0]["a"], np.full(3, 3.0))
        close(j["t"][0]["b"][0], 0.0)
    jp, js = jacobian(f, argnums=(0, 1))(p, 3.0)["t"][0]
    close(js, x.sum())
    close(jp["a"], np.full(3, 3.0))
    close(jacobian(f, argnums=1)(p, 3.0)["t"][0], x.sum())


@pytest.mark.parametrize("jacobian", BOTH)
def test_has_aux_and_keywords(jacobian: Any) -> None:
    j, aux = jacobian(lambda v, *, k: (v * k, {"twice": v * 2}), has_aux=True)(X, k=3.0)
    close(j, 3 * np.eye(3))
    close(aux["twice"], 2 * x)


def test_hessian_of_a_tree() -> None:
    def f(p: Any) -> Any:
        return fnp.sum(p["a"] ** 2 * p["b"]) + p["b"] ** 3

    h = fnn.hessian(f)({"a": X, "b": fnp.array(2.0)})
    close(h["a"]["a"], 4 * np.eye(3))
    close(h["a"]["b"], 2 * x)
    close(h["b"]["a"], 2 * x)
    close(h["b"]["b"], 12.0)
    h = fnn.hessian(lambda a, b: fnp.sum(a * b), argnums=(0, 1))(X, X)
    close(h[0][1], np.eye(3))
    close(h[0][0], np.zeros((3, 3)))


def test_hessians_by_every_pair_of_modes() -> None:
    with fnn.enable_x64(True):
        v, a = fnp.asarray(x), fnp.asarray(np.arange(9.0).reshape(3, 3) / 9)
        f = lambda v: fnp.sum(fnp.sin(a @ v) * v)
        want = np.asarray(fnn.hessian(f)(v))
        close(want, want.T, 1e-12)
        step = 1e-5
        for i, e in enumerate(np.eye(3)):
            row = (np.asarray(fnn.grad(f)(v + step * e)) - np.asarray(fnn.grad(f)(v - step * e))) / (2 * step)
            close(want[i], row, 1e-8)
        for outer in BOTH:
            for inner in BOTH:
                close(outer(inner(f))(v), want, 1e-12)
                close(fnn.jit(outer(inner(f)))(v), want, 1e-12)


def test_third_derivatives() -> None:
    agrees(
        fnn.jacfwd(fnn.hessian(lambda v: fnp.sum(v**4))),
        np.einsum("i,ij,jk->ijk", 24 * x, np.eye(3), np.eye(3)),
        X,
    )


def test_mistakes() -> None:
    for jacobian in BOTH:
        with pytest.raises(DifferentiationError, match=r"args\[1\]"):
            jacobian(lambda v, n: v * n, argnums=1)(1.0, 3)
        with pytest.raises(ArgumentError, match="argnums has 2"):
            jacobian(lambda v: v, argnums=2)(1.0)
    with pytest.raises(DifferentiationError, match="floating"):
        fnn.jacrev(lambda v: v > 0)(X)
