"""Cases that have broken systems of automatic differentiation before."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import DifferentiationError, TracerBoolConversionError
from tests.transform_checks import agrees, close, every_way

X = fnp.array([0.3, -0.7, 1.1])


def forward(f: Any) -> Any:
    """The derivative of a function of one number, by forward mode."""
    return lambda x: fnn.jvp(f, (x,), (1.0,))[1]


# -- nesting -----------------------------------------------------------------------------------------------------------


def test_perturbation_confusion() -> None:
    grad = fnn.grad
    assert grad(lambda x: x * grad(lambda y: x + y)(2.0))(3.0) == 1
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6
    assert forward(lambda x: x * forward(lambda y: x + y)(2.0))(3.0) == 1
    assert forward(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6
    assert grad(lambda x: x * forward(lambda y: x * y)(2.0))(3.0) == 6
    assert grad(lambda x: grad(lambda x: x * x)(x))(3.0) == 2
    assert fnn.jit(grad(lambda x: x * fnn.jit(grad(lambda y: x + y))(2.0)))(3.0) == 1


@pytest.mark.parametrize("inner", [fnn.grad, forward], ids=["reverse", "forward"])
@pytest.mark.parametrize("outer", [fnn.grad, forward], ids=["reverse", "forward"])
def test_perturbation_confusion_through_a_returned_function(outer: Any, inner: Any) -> None:
    """d/dx of (d/dy of a function that closes over x), where the inner derivative is a value of the outer."""

    def shifted(x: Any) -> Any:
        return lambda f: lambda y: f(x + y)

    slope = outer(lambda x: inner(shifted(x)(fnp.sin))(0.5))(0.2)
    close(slope, -np.sin(0.7))


def polynomial(x: Any) -> Any:
    return fnp.sin(x) * x**2


def fourth(x: float) -> float:
    return np.sin(x) * x**2 - 8 * x * np.cos(x) - 12 * np.sin(x)


def test_fourth_derivatives() -> None:
    grad, jit = fnn.grad, fnn.jit
    with fnn.enable_x64(True):
        x = fnp.asarray(0.7)
        want = fourth(0.7)
        for f in (
            grad(grad(grad(grad(polynomial)))),
            jit(grad(grad(grad(grad(polynomial))))),
            grad(jit(grad(jit(grad(jit(grad(polynomial))))))),
            forward(forward(forward(forward(polynomial)))),
            forward(grad(forward(grad(polynomial)))),
            jit(grad(forward(jit(grad(forward(jit(polynomial))))))),
        ):
            close(f(x), want, 1e-10)
        close(
            fnn.vmap(grad(forward(jit(grad(forward(polynomial))))))(fnp.stack([x, 2 * x])),
            np.array([want, fourth(1.4)]),
            1e-10,
        )


def test_five_transformations_deep() -> None:
    def f(x: Any) -> Any:
        return fnp.sum(fnp.sin(x) * x)

    x = fnp.stack([X, 2 * X])
    one = fnn.vmap(fnn.jit(fnn.grad(lambda v: fnn.jvp(fnn.jit(fnn.grad(f)), (v,), (v,))[1].sum())))
    a = np.asarray(x, np.float64)
    # f'' x summed has derivative f''' x + f''
    second = 2 * np.cos(a) - a * np.sin(a)
    third = -3 * np.sin(a) - a * np.cos(a)
    agrees(one, third * a + second, x, tolerance=1e-4)
    deeper = fnn.jit(fnn.vmap(fnn.jit(one)))
    close(deeper(fnp.stack([x, x]))[1], third * a + second, 1e-4)


def test_grad_of_a_jitted_function_closed_over_a_tracer() -> None:
    def f(t: Any) -> Any:
        return fnp.sum(fnn.jit(lambda x: fnp.sin(t) * x)(2.0))

    agrees(fnn.grad(f), 2 * np.cos(0.3), 0.3)
    agrees(fnn.grad(fnn.grad(f)), -2 * np.sin(0.3), 0.3)
    agrees(fnn.vmap(fnn.grad(f)), 2 * np.cos([0.3, 0.4]), fnp.array([0.3, 0.4]))


def test_a_jitted_closure_is_traced_again_for_every_tracer() -> None:
    kept: list[Any] = []

    @fnn.jit
    def g(x: Any) -> Any:
        return x * kept[-1]

    def f(t: Any) -> Any:
        kept.append(t)
        return g(t)

    assert [fnn.grad(f)(x) for x in (1.0, 2.0, 3.0)] == [2.0, 4.0, 6.0]
    kept.append(fnp.array(5.0))


def test_jit_inside_grad_inside_vmap() -> None:
    w = fnp.arange(9.0).reshape(3, 3) / 9
    f = fnn.vmap(fnn.grad(lambda x: fnp.sum(fnn.jit(lambda y: fnp.tanh(w @ y))(x))))
    xs = fnp.stack([X, 2 * X])
    a = np.asarray(w, np.float64)
    want = [a.T @ (1 - np.tanh(a @ row) ** 2) for row in np.asarray(xs, np.float64)]
    agrees(f, np.stack(want), xs)


def test_nested_vmap_of_grad_of_nested_vmap() -> None:
    def f(x: Any) -> Any:
        return fnp.sum(fnn.vmap(lambda a: fnn.vmap(lambda b: fnp.sin(a * b))(x))(x))

    x = np.asarray(X, np.float64)
    want = 2 * (np.cos(np.outer(x, x)) * x).sum(1)
    agrees(fnn.vmap(fnn.grad(f)), np.stack([want, want]), fnp.stack([X, X]))


# -- loops -------------------------------------------------------------------------------------------------------------


def test_vmap_of_a_while_with_a_batched_predicate() -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 100.0, lambda c: (c[0] * x, c[1] + 1), (x, 0))

    xs = fnp.array([1.5, 3.0, 200.0, 10.0])
    want = [], []
    for x in np.asarray(xs):
        y, n = x, 0
        while y < 100:
            y, n = y * x, n + 1
        want[0].append(y)
        want[1].append(n)
    agrees(fnn.vmap(f), tuple(map(np.array, want)), xs)


def test_the_counter_of_a_while_with_a_batched_body_stays_unbatched() -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 4, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]

    graph = fnn.make_ir(fnn.vmap(f))(X)
    loop = next(e for e in graph.equations if e.primitive.name == "while")
    assert [v.aval.shape for v in loop.outputs] == [(), (3,)]


def test_a_while_whose_finished_elements_must_not_spoil_the_others() -> None:
    """An element that is done keeps its carry although its body would give NaN or run on."""

    def f(x: Any) -> Any:
        return lax.while_loop(lambda c: c > 0.5, lambda c: fnp.where(c > 0.75, c * 0.5, fnp.sqrt(c - 0.6)), x)

    xs = fnp.array([0.4, 0.9, 3.0])
    want = []
    for x in np.asarray(xs):
        while x > 0.5:
            x = x * 0.5 if x > 0.75 else np.sqrt(x - np.float32(0.6))
        want.append(x)
    agrees(fnn.vmap(f), np.array(want), xs)


def test_grad_through_a_scan_of_a_scan() -> None:
    def nested(x: Any) -> Any:
        def outer(c: Any, i: Any) -> Any:
            d, ys = lax.scan(lambda d, j: (fnp.sin(d * x) + j, d * d), c, fnp.arange(3.0) * 0.1)
            return d * i, fnp.sum(ys)

        c, totals = lax.scan(outer, x, fnp.array([0.5, 1.5]))
        return c + fnp.sum(totals)

    def unrolled(x: Any) -> Any:
        c, total = x, 0.0
        for i in (0.5, 1.5):
            for j in range(3):
                total = total + c * c
                c = fnp.sin(c * x) + 0.1 * j
            c = c * i
        return c + total

    x = fnp.array(0.8)
    agrees(nested, unrolled(x), x)
    for f in (fnn.grad, lambda f: fnn.grad(fnn.grad(f)), forward, lambda f: forward(fnn.grad(f))):
        agrees(f(nested), f(unrolled)(x), x, tolerance=1e-4)
    agrees(fnn.vmap(fnn.grad(nested)), fnp.stack([fnn.grad(unrolled)(a) for a in X]), X, tolerance=1e-4)


# -- custom rules and rematerialisation --------------------------------------------------------------------------------


def test_hessian_of_a_function_with_a_custom_vjp() -> None:
    @fnn.custom_vjp
    def f(x: Any) -> Any:
        return fnp.sum(fnp.sin(x) ** 2)

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (ct * 2.0 * fnp.sin(x) * fnp.cos(x),))
    want = np.diag(2 * np.cos(2 * np.asarray(X, np.float64)))
    for make in (
        fnn.hessian,
        lambda f: fnn.jacrev(fnn.jacrev(f)),
        lambda f: fnn.jacrev(fnn.jacfwd(f)),
        lambda f: fnn.jacfwd(fnn.jacfwd(f)),
    ):
        agrees(make(f), want, X)


def test_remat_saves_memory() -> None:
    """The compiled program's arena: a deep chain keeps one value a layer without checkpoint, few with it."""
    layers, size = 24, 4096

    def layer(x: Any) -> Any:
        return fnp.sin(fnp.roll(fnp.sin(fnp.cumsum(x) * 1e-3), 1))

    def loss(wrap: Any) -> Any:
        def f(x: Any) -> Any:
            y, _ = lax.scan(lambda c, _: (wrap(layer)(c), None), x, None, length=layers)
            return fnp.sum(y)

        return fnn.jit(fnn.grad(f))

    x = fnp.linspace(0.0, 1.0, size)
    plain, saving = loss(lambda f: f), loss(fnn.checkpoint)
    close(plain(x), saving(x), 1e-4)
    bytes_plain = plain.lower(x).compile().memory().peak
    bytes_saving = saving.lower(x).compile().memory().peak
    assert bytes_saving < 0.75 * bytes_plain, (bytes_saving, bytes_plain)


# -- shapes and types --------------------------------------------------------------------------------------------------


def test_in_axes_none_and_negative_axes() -> None:
    a, b = fnp.arange(6.0).reshape(2, 3), fnp.arange(2.0)
    x, y = np.asarray(a), np.asarray(b)
    agrees(fnn.vmap(lambda p, q: p * q, in_axes=(-1, None)), x.T * y, a, b)
    agrees(fnn.vmap(lambda p, q: p * q, in_axes=(-2, 0), out_axes=-1), (x * y[:, None]).T, a, b)
    agrees(fnn.vmap(lambda p, q: (p * 2, q), in_axes=(0, None), out_axes=(0, None)), (x * 2, y), a, b)
    agrees(fnn.vmap(fnn.vmap(lambda p: p + 1, in_axes=-1, out_axes=-1), in_axes=-1), (x + 1).T, a)


def test_empty_arrays() -> None:
    empty = fnp.zeros((0, 3))
    for got in every_way(fnn.vmap(lambda row: (fnp.sum(row), row * 2)), empty):
        assert [g.shape for g in got] == [(0,), (0, 3)]
    agrees(fnn.grad(lambda x: fnp.sum(x**2)), np.zeros((0, 3)), empty)
    agrees(
        fnn.grad(lambda x: fnp.sum(x @ fnp.ones((3, 2))) + fnp.sum(fnp.ones((2, 0)) @ x)),
        np.zeros((0, 3)),
        empty,
    )
    scan = lambda x: lax.scan(lambda c, r: (c + fnp.sum(r), r), 1.5, x)
    close(scan(empty), (1.5, np.zeros((0, 3))))
    close(fnn.jit(scan)(empty), (1.5, np.zeros((0, 3))))
    assert fnn.jacrev(lambda x: x * 2)(fnp.zeros(0)).shape == (0, 0)
    assert fnn.jacfwd(lambda x: x * 2)(fnp.zeros(0)).shape == (0, 0)


def test_zero_size_dimensions_under_every_transformation() -> None:
    x = fnp.zeros((2, 0))
    f = lambda x: fnp.sum(fnp.sin(x) * 2.0)
    assert fnn.grad(f)(x).shape == (2, 0)
    assert fnn.vmap(fnn.grad(f))(x).shape == (2, 0)
    assert fnn.jvp(lambda x: x * x, (x,), (x,))[1].shape == (2, 0)
    assert fnn.jit(fnn.hessian(f))(x).shape == (2, 0, 2, 0)
    assert fnn.vmap(lambda a: a * 2, axis_size=0)(fnp.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("x", [np.arange(3), np.array([True, False]), 3, True])
def test_integers_and_booleans_have_no_gradient(x: Any) -> None:
    with pytest.raises(DifferentiationError, match=r"args\[0\].*astype"):
        fnn.grad(lambda v: fnp.sum(v * 1.0))(x)


def test_integers_get_float0_where_they_are_allowed() -> None:
    g = fnn.grad(lambda v, i: v[i] ** 2, argnums=(0, 1), allow_int=True)(X, fnp.array(1))
    close(g[0], np.array([0.0, 2 * -0.7, 0.0]))
    assert g[1].dtype == fnn.dtypes.float0
    _, pull = fnn.vjp(lambda v, i: v[i] * 2.0, X, fnp.array(1))
    assert pull(1.0)[1].dtype == fnn.dtypes.float0


def test_python_control_flow_on_values_without_jit() -> None:
    def f(x: Any) -> Any:
        y = x
        while y < 10:
            y = y * x
        return y * 2 if y > 20 else y

    assert fnn.grad(f)(3.0) == 2 * 3 * 9.0
    assert fnn.grad(fnn.grad(f))(3.0) == 2 * 6 * 3.0
    assert fnn.jvp(f, (3.0,), (1.0,))[1] == 54.0
    assert fnn.grad(lambda x: float(lax.stop_gradient(x)) * x)(3.0) == 3
    close(fnn.vmap(lambda b: fnn.grad(f)(3.0) * b)(X), 54 * np.asarray(X))
    with pytest.raises(TracerBoolConversionError):
        fnn.jit(fnn.grad(f))(3.0)
    with pytest.raises(TracerBoolConversionError):
        fnn.vmap(fnn.grad(f))(X)


# -- state -------------------------------------------------------------------------------------------------------------


def test_threads_agree() -> None:
    """Eight threads that trace, compile and call one function."""
    f = fnn.jit(lambda x: fnp.sum(fnn.vmap(fnn.grad(polynomial))(x)))
    wants = {
        n: float(np.sum(np.cos(a) * a**2 + 2 * a * np.sin(a)))
        for n in (3, 5)
        for a in [np.linspace(0.1, 1, n)]
    }
    failures: list[Any] = []
    start = threading.Barrier(8)

    def work(n: int) -> None:
        try:
            x = fnp.asarray(np.linspace(0.1, 1, n), dtype=fnp.float32)
            start.wait()
            for _ in range(30):
                close(f(x), wants[n], 1e-4)
                close(
                    fnn.grad(f)(x)[0], 2 * 0.1 * np.cos(0.1) * 2 - 0.01 * np.sin(0.1) + 2 * np.sin(0.1), 1e-4
                )
        except BaseException as error:  # whatever it is, the test must say it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(3 if i % 2 else 5,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures


def test_an_error_while_tracing_leaves_nothing_behind() -> None:
    def broken(x: Any) -> Any:
        raise KeyError("mine")

    for transform in (fnn.jit, fnn.grad, fnn.vmap, lambda f: fnn.jit(fnn.vmap(fnn.grad(f), axis_name="i"))):
        with pytest.raises(KeyError, match="mine"):
            transform(broken)(X)
        assert fnn.core.trace.state.depth == 0
        assert fnn.core.trace.state.stage is None
        assert not fnn.core.trace.state.axes
    close(fnp.sin(X), np.sin(np.asarray(X)))
