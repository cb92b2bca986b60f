"""custom_jvp, custom_vjp, custom_gradient: rules that differ from the true derivative show that they are used."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, DifferentiationError, MissingRuleError, TreeError
from fnn.transforms.custom_batching import custom_vmap, sequential_vmap
from tests.transform_checks import agrees, close

X = fnp.array([0.3, -0.7, 1.1])
x = np.array([0.3, -0.7, 1.1])


def tenfold() -> Any:
    """sin, whose derivative is said to be ten."""
    f = fnn.custom_jvp(lambda v: fnp.sin(v))
    f.defjvp(lambda primals, tangents: (fnp.sin(primals[0]), 10.0 * tangents[0]))
    return f


def clipped() -> Any:
    """The identity, whose cotangents are clipped."""
    f = fnn.custom_vjp(lambda v: v * 1.0)
    f.defvjp(lambda v: (v * 1.0, None), lambda _, ct: (fnp.clip(ct, -1.0, 1.0),))
    return f


def test_custom_jvp_in_every_mode() -> None:
    f = tenfold()
    agrees(f, np.sin(x), X)
    agrees(lambda v: fnn.jvp(f, (v,), (v,))[1], 10 * x, X)
    total = lambda v: fnp.sum(f(v))
    for g in (
        fnn.grad(total),
        fnn.grad(fnn.jit(total)),
        fnn.vmap(fnn.grad(f)),
        fnn.grad(lambda v: fnp.sum(fnn.vmap(f)(v))),
    ):
        agrees(g, np.full(3, 10.0), X)
    agrees(fnn.hessian(total), np.zeros((3, 3)), X)
    agrees(fnn.grad(lambda v: lax.scan(lambda c, _: (f(c), None), v, None, length=2)[0]), 100.0, 0.3)
    agrees(fnn.grad(lambda v: lax.cond(v > 0, f, lambda v: v, v)), 10.0, 0.3)
    agrees(fnn.grad(fnn.checkpoint(lambda v: f(v) * 2)), 20.0, 0.3)


def test_custom_vjp_in_every_mode() -> None:
    f = clipped()
    loss = lambda v: fnp.sum(f(v) * fnp.array([0.5, 5.0, -7.0]))
    want = np.array([0.5, 1.0, -1.0])
    for g in (fnn.grad(loss), fnn.grad(fnn.jit(loss)), fnn.grad(fnn.checkpoint(loss)), fnn.jacrev(loss)):
        agrees(g, want, X)
    agrees(fnn.vmap(fnn.grad(loss)), np.stack([want, want]), fnp.stack([X, X]))
    agrees(fnn.grad(lambda v: lax.scan(lambda c, _: (f(c) * 3, None), v, None, length=2)[0]), 1.0, 0.3)
    agrees(fnn.grad(lambda v: lax.cond(v > 0, lambda v: 5 * f(v), lambda v: v, v)), 1.0, 0.3)
    # Forward mode transposes the backward rule, here of a linear one.
    g = fnn.custom_vjp(lambda v: fnp.sin(v))
    g.defvjp(lambda v: (fnp.sin(v), v), lambda v, ct: (ct * v,))
    agrees(lambda v: fnn.jvp(g, (v,), (v,))[1], x * x, X)
    agrees(fnn.vmap(lambda v: fnn.jvp(g, (v,), (v,))[1]), x * x, X)
    agrees(fnn.jacfwd(g), np.diag(x), X)
    agrees(fnn.grad(lambda v: fnp.sum(fnn.jvp(g, (v,), (X,))[1])), x, X)


def test_second_derivatives_go_through_the_rules() -> None:
    f = fnn.custom_vjp(lambda v: v**3)
    f.defvjp(lambda v: (v**3, v), lambda v, ct: (ct * fnp.sin(v),))
    agrees(fnn.grad(fnn.grad(f)), np.cos(0.3), 0.3)
    agrees(fnn.grad(fnn.grad(fnn.grad(f))), -np.sin(0.3), 0.3)
    h = fnn.custom_jvp(lambda v: v**3)
    h.defjvp(lambda primals, tangents: (h(*primals), fnp.sin(primals[0]) * tangents[0]))
    agrees(fnn.grad(fnn.grad(h)), np.cos(0.3), 0.3)
    agrees(lambda v: fnn.jvp(fnn.grad(h), (v,), (1.0,))[1], np.cos(0.3), 0.3)


def test_defjvps() -> None:
    f = fnn.custom_jvp(lambda a, b: a * b)
    f.defjvps(lambda t, out, a, b: t * b * 2, None)
    agrees(fnn.grad(f, (0, 1)), (8.0, 0.0), 3.0, 4.0)
    zero = fnn.custom_jvp(lambda a: a * 3)
    zero.defjvps(None)
    agrees(fnn.grad(zero), 0.0, 2.0)


@pytest.mark.parametrize("kind", [fnn.custom_jvp, fnn.custom_vjp])
def test_arguments_that_are_not_differentiated(kind: Any) -> None:
    """nondiff_argnums: a function and a Python number, which come first in the rules."""
    calls: list[Any] = []

    def apply(f: Any, v: Any, power: int) -> Any:
        return f(v) ** power

    h = kind(apply, nondiff_argnums=(0, 2))
    if kind is fnn.custom_jvp:

        @h.defjvp
        def rule(f: Any, power: int, primals: Any, tangents: Any) -> Any:
            calls.append((f, power))
            return h(f, *primals, power), 100.0 * tangents[0]

    else:

        def backward(f: Any, power: int, saved: Any, ct: Any) -> Any:
            calls.append((f, power))
            return (100.0 * ct,)

        h.defvjp(lambda f, v, power: (h(f, v, power), None), backward)
    agrees(lambda v: fnn.grad(lambda v: h(fnp.sin, v, 2))(v), 100.0, 0.5)
    assert calls
    assert all(c == (fnp.sin, 2) for c in calls)
    agrees(fnn.vmap(lambda v: h(fnp.sin, v, 2)), np.sin(x) ** 2, X)
    agrees(fnn.vmap(fnn.grad(lambda v: h(fnp.sin, v, 2))), np.full(3, 100.0), X)


@pytest.mark.parametrize("kind", [fnn.custom_jvp, fnn.custom_vjp])
def test_keywords_and_defaults(kind: Any) -> None:
    def f(a: Any, b: Any = 2.0, c: Any = 5.0) -> Any:
        return a * b * c

    h = kind(f)
    if kind is fnn.custom_jvp:
        h.defjvp(lambda primals, tangents: (f(*primals), tangents[0] + 2 * tangents[1] + 3 * tangents[2]))
    else:
        h.defvjp(lambda a, b, c: (f(a, b, c), None), lambda _, ct: (ct, 2 * ct, 3 * ct))
    assert h(1.0) == 10
    assert h(1.0, c=1.0) == 2
    assert h(c=1.0, a=3.0, b=1.0) == 3
    agrees(fnn.grad(lambda a, b: h(b=b, a=a), (0, 1)), (1.0, 2.0), 3.0, 4.0)
    agrees(fnn.grad(lambda a: h(1.0, c=a)), 3.0, 3.0)


def test_trees_and_cotangents_that_are_none() -> None:
    @fnn.custom_vjp
    def f(p: Any, q: Any, n: Any) -> Any:
        return {"out": p["w"] * q, "more": (fnp.sum(p["b"]),)}

    f.defvjp(
        lambda p, q, n: (f(p, q, n), (p, n)),
        lambda saved, ct: ({"w": ct["out"] * 7, "b": ct["more"][0] * fnp.ones(2)}, None, None),
    )
    p = {"w": X, "b": fnp.ones(2)}
    loss = lambda p, q: fnp.sum(f(p, q, 3)["out"]) + 2 * f(p, q, 3)["more"][0]
    for g in (fnn.grad(loss, (0, 1)), fnn.jit(fnn.grad(loss, (0, 1)))):
        dp, dq = g(p, X)
        close(dp, {"b": np.full(2, 2.0), "w": np.full(3, 7.0)})
        close(dq, np.zeros(3))
    batched = fnn.vmap(fnn.grad(loss, (0, 1)), in_axes=(None, 0))(p, fnp.stack([X, X]))
    close(batched[0]["w"], np.full((2, 3), 7.0))
    close(batched[1], np.zeros((2, 3)))


def test_an_unbatched_argument_of_a_batched_custom_vjp_gets_the_sum() -> None:
    f = fnn.custom_vjp(lambda w, v: w * v)
    f.defvjp(lambda w, v: (w * v, (w, v)), lambda s, ct: (ct * s[1], ct * s[0]))
    agrees(fnn.grad(lambda w: fnp.sum(fnn.vmap(f, (None, 0))(w, X))), x.sum(), 2.0)
    agrees(fnn.grad(lambda w: fnn.grad(lambda w: fnp.sum(fnn.vmap(f, (None, 0))(w, X)))(w) * w), x.sum(), 2.0)


def test_integer_arguments() -> None:
    f = fnn.custom_vjp(lambda v, i: v[i] * 2.0)
    f.defvjp(lambda v, i: (v[i] * 2.0, i), lambda i, ct: (ct * fnp.ones(3) * i, None))
    agrees(fnn.grad(lambda v: f(v, fnp.array(2))), np.full(3, 2.0), X)
    h = fnn.custom_jvp(lambda v, n: v * n)
    h.defjvp(lambda primals, tangents: (primals[0] * primals[1], 50.0 * tangents[0]))
    agrees(fnn.grad(lambda v: fnp.sum(h(v, 3))), np.full(3, 50.0), X)


def test_methods() -> None:
    class Model:
        scale = 3.0

        @fnn.custom_vjp
        def __call__(self, v: Any) -> Any:  # the object itself has to be a leaf or fixed
            return v * self.scale

    f = fnn.custom_vjp(Model.__call__.f, nondiff_argnums=(0,))
    f.defvjp(lambda self, v: (v * self.scale, None), lambda self, _, ct: (ct * self.scale * 2,))
    model = Model()
    agrees(fnn.grad(lambda v: f(model, v)), 6.0, 1.0)


def test_custom_gradient() -> None:
    @fnn.custom_gradient
    def f(v: Any) -> Any:
        return v * v, lambda ct: 100.0 * ct * v

    agrees(f, 9.0, 3.0)
    agrees(fnn.grad(f), 300.0, 3.0)
    agrees(fnn.vmap(fnn.grad(f)), 100 * x, X)


def test_rules_that_return_the_wrong_things() -> None:
    f = fnn.custom_jvp(lambda v: v * 2)
    f.defjvp(lambda primals, tangents: primals[0])
    with pytest.raises(ArgumentError, match="out, tangent"):
        fnn.grad(f)(1.0)
    f.defjvp(lambda primals, tangents: (primals[0], fnp.ones(3)))
    with pytest.raises(DifferentiationError, match=r"f32\[3\]"):
        fnn.jvp(f, (1.0,), (1.0,))
    g = fnn.custom_vjp(lambda p: p["a"] * 2)
    g.defvjp(lambda p: (p["a"] * 2, None), lambda _, ct: ((ct,),))
    with pytest.raises(TreeError, match="argument 0"):
        fnn.grad(g)({"a": 1.0})
    g.defvjp(lambda p: (p["a"] * 2, None), lambda _, ct: ({"a": fnp.ones(4)},))
    with pytest.raises(DifferentiationError, match=r"f32\[4\]"):
        fnn.grad(g)({"a": 1.0})
    g.defvjp(lambda p: p["a"] * 2, lambda _, ct: ({"a": ct},))
    with pytest.raises(ArgumentError, match="out, saved"):
        fnn.grad(g)({"a": 1.0})


# -- closing over traced arrays ---------------------------------------------------------------------------------------


@functools.partial(fnn.custom_vjp, nondiff_argnums=(0,))
def applied(f, x):
    return f(x)


applied.defvjp(lambda f, x: (f(x), x), lambda f, x, ct: (fnn.vjp(f, x)[1](ct)[0] * 10.0,))


@functools.partial(fnn.custom_jvp, nondiff_argnums=(0,))
def applied_forward(f, x):
    return f(x)


@applied_forward.defjvp
def _(f, primals, tangents):
    out, tangent = fnn.jvp(f, primals, tangents)
    return out, 10.0 * tangent


@pytest.mark.parametrize("call", [applied, applied_forward])
def test_functions_close_over_traced_arrays(call):
    def f(scale, x):
        return fnp.sum(call(lambda y: scale * fnp.sin(y), x) ** 2)

    expected = 20.0 * 4.0 * np.sin(0.5) * np.cos(0.5)
    x, scales = fnp.full(3, 0.5), fnp.array([2.0, 2.0])
    for g in (fnn.grad(f, 1), fnn.jit(fnn.grad(f, 1))):
        np.testing.assert_allclose(g(2.0, x), expected, rtol=1e-6)
    mapped = fnn.vmap(fnn.grad(f, 1), (0, None))
    for g in (mapped, fnn.jit(mapped), fnn.vmap(fnn.jit(fnn.grad(f, 1)), (0, None))):
        np.testing.assert_allclose(g(scales, x), np.full((2, 3), expected), rtol=1e-6)

    def looped(scale, x):
        return fnn.lax.scan(lambda c, _: (call(lambda y: scale * y, c), None), x, None, length=2)[0].sum()

    np.testing.assert_allclose(fnn.jit(fnn.grad(looped, 1))(0.5, x), 25.0, rtol=1e-6)


@pytest.mark.parametrize("call", [applied, applied_forward])
def test_what_is_closed_over_is_not_differentiated(call):
    with pytest.raises(DifferentiationError, match=r"closes over a traced f32.*pass it as an argument"):
        fnn.grad(fnn.jit(lambda s: call(lambda y: s * y, 1.0)))(2.0)


def test_closure_convert():
    def f(a, x):
        g, extra = fnn.closure_convert(lambda y: {"out": a * y["in"]}, {"in": x})
        assert len(extra) == 1 and extra[0] is a
        return g({"in": x + 1.0}, *extra)["out"]

    np.testing.assert_allclose(fnn.jit(f)(2.0, 3.0), 8.0)
    np.testing.assert_allclose(fnn.jit(fnn.grad(f))(2.0, 3.0), 4.0)


def test_a_function_with_a_batching_rule_of_its_own() -> None:
    seen = []

    @custom_vmap
    def product(x, y):
        return x * y

    @product.def_vmap
    def rule(size, batched, x, y):
        seen.append((size, batched))
        return product(x, y) + 100.0, True

    x = fnp.arange(3.0)
    assert float(product(2.0, 3.0)) == 6.0 and float(fnn.grad(product)(2.0, 3.0)) == 3.0
    assert np.array_equal(fnn.vmap(product)(x, x), x * x + 100)
    assert np.array_equal(fnn.jit(fnn.vmap(product, (0, None)))(x, 2.0), 2 * x + 100)
    assert np.array_equal(fnn.vmap(fnn.jit(product), (None, 0))(2.0, x), 2 * x + 100)
    assert seen == [(3, [True, True]), (3, [True, False]), (3, [False, True])]
    one_by_one = sequential_vmap(lambda x, y: (x + y, y))
    assert np.array_equal(fnn.vmap(one_by_one, (0, None))(x, 1.0)[0], x + 1)
    with pytest.raises(MissingRuleError, match="def_vmap"):
        fnn.vmap(custom_vmap(lambda x: x))(x)
