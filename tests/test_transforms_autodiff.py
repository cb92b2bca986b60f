"""grad, value_and_grad, vjp, jvp, linearize, linear_transpose: arguments, trees, auxiliary results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import DifferentiationError, TreeError
from tests.transform_checks import agrees, close

X = fnp.array([0.3, -0.7, 1.1])
x = np.array([0.3, -0.7, 1.1])


class Layer(fnn.Module):
    w: Any
    b: Any
    name: str = fnn.module.static_field(default="layer")

    def __call__(self, v: Any) -> Any:
        return fnp.tanh(v * self.w + self.b)


def test_has_aux_carries_traced_values_out() -> None:
    def f(v: Any) -> Any:
        y = fnp.sin(v)
        return fnp.sum(y), {"y": y, "n": 3}

    (value, aux), g = fnn.value_and_grad(f, has_aux=True)(X)
    close(value, np.sin(x).sum())
    close(g, np.cos(x))
    close(aux, {"y": np.sin(x), "n": np.array(3)})
    agrees(fnn.grad(f, has_aux=True), (np.cos(x), {"y": np.sin(x), "n": np.array(3)}), X)
    g, aux = fnn.vmap(fnn.grad(f, has_aux=True))(fnp.stack([X, 2 * X]))
    close(aux["y"][1], np.sin(2 * x))
    out, pull, aux = fnn.vjp(f, X, has_aux=True)
    close((out, pull(2.0)[0], aux["y"]), (np.sin(x).sum(), 2 * np.cos(x), np.sin(x)))
    out, tangent, aux = fnn.jvp(f, (X,), (X,), has_aux=True)
    close((out, tangent, aux["y"]), (np.sin(x).sum(), (np.cos(x) * x).sum(), np.sin(x)))


def test_aux_may_be_differentiated_again() -> None:
    def f(v: Any) -> Any:
        return fnp.sum(v**2), v**3

    agrees(fnn.grad(lambda v: fnp.sum(fnn.grad(f, has_aux=True)(v)[1])), 3 * x**2, X)


def test_argnums() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        return a * b**2 * c**3

    assert fnn.grad(f)(2.0, 3.0, 1.0) == 9
    assert fnn.grad(f, argnums=1)(2.0, 3.0, 1.0) == 12
    assert fnn.grad(f, argnums=-1)(2.0, 3.0, 1.0) == 54
    assert tuple(map(float, fnn.grad(f, argnums=(2, 0))(2.0, 3.0, 1.0))) == (54.0, 9.0)
    assert len(fnn.grad(f, argnums=(1,))(2.0, 3.0, 1.0)) == 1
    value, g = fnn.value_and_grad(f, argnums=[0, 1])(2.0, 3.0, 1.0)
    assert (float(value), *map(float, g)) == (18.0, 9.0, 12.0)


def test_keyword_arguments_pass_through() -> None:
    def f(v: Any, *, scale: Any, negate: bool = False) -> Any:
        y = fnp.sum(v) * scale
        return -y if negate else y

    close(fnn.grad(f)(X, scale=3.0), np.full(3, 3.0))
    close(fnn.grad(f)(X, scale=3.0, negate=True), np.full(3, -3.0))
    close(fnn.jit(fnn.grad(f), static_argnames="negate")(X, scale=3.0, negate=True), np.full(3, -3.0))


def test_trees_none_and_modules() -> None:
    params = {"layers": [Layer(X, 0.1), Layer(2 * X, None)], "rest": None, "pair": (X, ())}

    def loss(p: Any) -> Any:
        first, second = p["layers"]
        return fnp.sum(first(p["pair"][0])) + fnp.sum(second.w)

    g = fnn.grad(loss)(params)
    assert type(g["layers"][0]) is Layer
    assert g["rest"] is None
    assert g["layers"][1].b is None
    assert g["layers"][0].name == "layer"
    slope = 1 - np.tanh(x * x + 0.1) ** 2
    close(g["layers"][0].w, slope * x)
    close(g["layers"][0].b, slope.sum())
    close(g["layers"][1].w, np.ones(3))
    close(g["pair"][0], slope * x)
    close(fnn.jit(fnn.grad(loss))(params), g)
    close(
        fnn.jvp(loss, (params,), (params,))[1],
        fnn.vjp(lambda t: fnn.jvp(loss, (params,), (t,))[1], params)[0],
    )


def test_a_pull_may_be_called_again() -> None:
    _, pull = fnn.vjp(lambda a, b: {"p": a * b, "s": fnp.sum(a)}, X, 2 * X)
    first = pull({"p": X, "s": 1.0})
    close(first, (2 * x * x + 1, x * x))
    close(pull({"p": X, "s": 1.0}), first)
    close(pull({"p": 0 * X, "s": 1.0}), (np.ones(3), np.zeros(3)))
    close(
        fnn.vmap(lambda s: pull({"p": X, "s": s})[0])(fnp.arange(2.0)), np.stack([2 * x * x, 2 * x * x + 1])
    )


def test_linearize() -> None:
    def f(a: Any, b: Any) -> Any:
        return fnp.sin(a) * b, fnp.sum(b)

    out, linear = fnn.linearize(f, X, 2 * X)
    close(out, (np.sin(x) * 2 * x, 2 * x.sum()))
    close(linear(X, 0 * X), (np.cos(x) * x * 2 * x, 0.0))
    close(linear(0 * X, X), (np.sin(x) * x, x.sum()))
    close(fnn.vmap(linear)(fnp.eye(3), fnp.zeros((3, 3)))[0], np.diag(np.cos(x) * 2 * x))
    agrees(lambda v: fnn.linearize(fnp.sin, v)[1](v), np.cos(x) * x, X)
    with pytest.raises(TreeError, match="structure"):
        linear(X)


def test_linear_transpose() -> None:
    matrix = fnp.arange(6.0).reshape(2, 3)
    back = fnn.linear_transpose(lambda v: matrix @ v, fnn.ShapeDtypeStruct((3,), "float32"))
    close(back(fnp.array([1.0, 2.0]))[0], np.asarray(matrix).T @ [1.0, 2.0])
    two = fnn.linear_transpose(lambda p: p["a"] * 2 + p["b"], {"a": 1.0, "b": 1.0})
    close(two(5.0)[0], {"a": 10.0, "b": 5.0})


def test_zeros_where_the_result_does_not_depend_on_the_argument() -> None:
    close(fnn.grad(lambda v: 2.0 + 0 * fnp.sum(lax.stop_gradient(v)))(X), np.zeros(3))
    close(fnn.grad(lambda a, b: b * 2.0)(1.0, 3.0), 0.0)
    close(fnn.jvp(lambda v: fnp.ones(2), (X,), (X,))[1], np.zeros(2))
    _, tangent = fnn.jvp(lambda v: (v > 0, v * 2), (X,), (X,))
    assert tangent[0].dtype == fnn.dtypes.float0
    close(tangent[1], 2 * x)


def test_one_value_used_many_times() -> None:
    assert fnn.grad(lambda v: v + v)(1.0) == 2
    assert fnn.grad(lambda v: v)(1.0) == 1
    assert fnn.grad(lambda v: v * v * v + v)(2.0) == 13
    close(fnn.grad(lambda v: fnp.sum(v[0] * v))(X), np.array([2 * 0.3 - 0.7 + 1.1, 0.3, 0.3]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_gradients_keep_the_dtype_of_the_argument(dtype: str) -> None:
    v = fnp.ones(3, dtype=dtype)
    g = fnn.grad(lambda v: fnp.sum((v * 2.0).astype(fnp.float32)))(v)
    assert g.dtype == v.dtype
    close(np.asarray(g, np.float64), np.full(3, 2.0))
    assert fnn.jit(fnn.grad(lambda v: fnp.sum(fnp.sin(v))))(v).dtype == v.dtype


def test_a_weak_cotangent_takes_the_dtype_of_the_result() -> None:
    _, pull = fnn.vjp(lambda v: fnp.sum(v), fnp.ones(2, dtype="float16"))
    assert pull(1.0)[0].dtype == np.float16
    with pytest.raises(DifferentiationError, match="agree"):
        pull(fnp.ones((), dtype="float64"))


def test_hessian_vector_products_agree() -> None:
    def f(v: Any) -> Any:
        return fnp.sum(fnp.tanh(v) ** 2 * fnp.sum(v))

    with fnn.enable_x64(True):
        v, t = fnp.asarray(x), fnp.asarray(x[::-1].copy())
        want = np.asarray(fnn.hessian(f)(v)) @ np.asarray(t)
        close(fnn.jvp(fnn.grad(f), (v,), (t,))[1], want, 1e-10)
        close(fnn.grad(lambda u: fnp.vdot(fnn.grad(f)(u), t))(v), want, 1e-10)
        close(fnn.grad(lambda u: fnn.jvp(f, (u,), (t,))[1])(v), want, 1e-10)
        close(fnn.vjp(fnn.grad(f), v)[1](t)[0], want, 1e-10)


def test_jacobians_of_float64_without_the_flag() -> None:
    x = fnp.asarray([1.0, 2.0], "float64")
    for jacobian in (fnn.jacrev, fnn.jacfwd, lambda f: fnn.hessian(lambda x: fnp.sum(f(x)) * x[0])):
        found = fnn.jit(jacobian(lambda x: x**3))(x)
        assert found.dtype == fnp.float64 and found.shape == (2, 2)
    close(fnn.jacrev(lambda x: x**3)(x), np.diag([3.0, 12.0]))
