"""A person's own Numba function as an operation."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, DifferentiationError, DtypeError, KernelFailedError, ShapeError


@numba.njit
def sliding_median(x: Any, out: Any, width: Any) -> None:
    half = width // 2
    for i in range(x.size):
        low, high = max(0, i - half), min(x.size, i + half + 1)
        out[i] = np.sort(x[low:high])[(high - low) // 2]


@numba.njit
def to_the_median(x: Any, out: Any, ct: Any, x_ct: Any, width: Any) -> None:
    half = width // 2
    x_ct[:] = 0.0
    for i in range(x.size):
        for j in range(max(0, i - half), min(x.size, i + half + 1)):
            if x[j] == out[i]:
                x_ct[j] += ct[i]
                break


median = fnn.custom_kernel(sliding_median, out=lambda x, width: x, vjp=to_the_median)
X = np.random.default_rng(3).normal(size=(4, 12)).astype("float32")


def plain(x: Any, width: int) -> Any:
    """The same with fnn's operations."""
    half, n = width // 2, x.shape[0]
    rows = [x[max(0, i - half) : min(n, i + half + 1)] for i in range(n)]
    return fnp.stack([fnp.sort(r)[r.shape[0] // 2] for r in rows])


def loss(f: Any) -> Any:
    return lambda x: (f(x, width=5) ** 2 * fnp.arange(12.0)).sum()


def test_a_kernel_under_every_transformation() -> None:
    want = np.stack([plain(fnp.asarray(x), 5) for x in X])
    slopes = np.stack([fnn.grad(loss(plain))(x) for x in X])
    f, g = lambda x: median(x, width=5), fnn.grad(loss(median))
    for wrap in (lambda h: h, fnn.jit):
        np.testing.assert_array_equal(wrap(f)(X[0]), want[0])
        np.testing.assert_array_equal(wrap(fnn.vmap(f))(X), want)
        np.testing.assert_allclose(wrap(g)(X[0]), slopes[0], rtol=1e-6)
        np.testing.assert_allclose(wrap(fnn.vmap(g))(X), slopes, rtol=1e-6)
        whole = fnn.grad(lambda x: fnn.vmap(fnn.jit(loss(median)))(x).sum())
        np.testing.assert_allclose(wrap(whole)(X), slopes, rtol=1e-6)
    with fnn.disable_jit():
        np.testing.assert_array_equal(fnn.vmap(f)(X), want)


def test_a_kernel_inside_a_scan_and_its_gradient() -> None:
    def f(h: Any) -> Any:
        return lambda x: (
            lax.scan(lambda c, w: (h(c, width=3) * w, c.sum()), x, fnp.array([1.0, 2.0, 3.0]))[0] ** 2
        ).sum()

    np.testing.assert_allclose(fnn.jit(f(median))(X[0]), f(plain)(X[0]), rtol=1e-5)
    np.testing.assert_allclose(fnn.jit(fnn.grad(f(median)))(X[0]), fnn.grad(f(plain))(X[0]), rtol=1e-5)


@numba.njit
def weighted(x: Any, w: Any, scale: Any, total: Any, products: Any) -> None:
    total[0] = 0.0
    for i in range(x.size):
        products[i] = x[i] * w[i] * scale
        total[0] += products[i]


def weighted_out(x: Any, w: Any, scale: Any) -> Any:
    return fnn.ShapeDtypeStruct((), x.dtype), x


def weighted_vjp(x: Any, w: Any, scale: Any, total: Any, products: Any, t: Any, p: Any) -> Any:
    ct = t + p
    return ct * w * scale, ct * x * scale, (ct * x * w).sum()


def weighted_jvp(x: Any, w: Any, s: Any, total: Any, products: Any, dx: Any, dw: Any, ds: Any) -> Any:
    d = dx * w * s + x * dw * s + x * w * ds
    return d.sum(), d


def reference(x: Any, w: Any, scale: Any) -> Any:
    products = x * w * scale
    return products.sum(), products


def mixed(f: Any) -> Any:
    def scalar(x: Any, w: Any, scale: Any) -> Any:
        total, products = f(x, w, scale)
        return total * total + (products**3).sum()

    return scalar


@pytest.mark.parametrize(
    "rules", [{"vjp": weighted_vjp}, {"jvp": weighted_jvp}, {"vjp": weighted_vjp, "jvp": weighted_jvp}]
)
def test_several_outputs_scalars_and_either_derivative(rules: dict[str, Any]) -> None:
    f = fnn.custom_kernel(weighted, weighted_out, **rules)
    x, w = X[0], X[1]
    given = (x, w, np.float32(1.5))
    total, products = fnn.jit(f)(*given)
    np.testing.assert_allclose(total, (x * w * 1.5).sum(), rtol=1e-5)
    np.testing.assert_allclose(products, x * w * 1.5, rtol=1e-6)
    ours, theirs = fnn.grad(mixed(f), argnums=(0, 1, 2)), fnn.grad(mixed(reference), argnums=(0, 1, 2))
    for wrap in (lambda h: h, fnn.jit):
        for a, b in zip(wrap(ours)(*given), theirs(*given), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5)
        _, tangent = wrap(lambda *p: fnn.jvp(mixed(f), p, (w, x, np.float32(1.0))))(*given)
        _, expected = fnn.jvp(mixed(reference), given, (w, x, np.float32(1.0)))
        np.testing.assert_allclose(tangent, expected, rtol=2e-5)


def test_operands_that_a_batch_shares() -> None:
    f = fnn.custom_kernel(weighted, weighted_out, vjp=weighted_vjp)
    scales = fnp.array([0.5, 2.0, 3.0])

    def both(h: Any) -> Any:  # x is mapped by the outer vmap, the scale by the inner one, w by none
        inner = fnn.vmap(mixed(h), in_axes=(None, None, 0))
        outer = fnn.vmap(inner, in_axes=(0, None, None))
        return lambda x, w, s: outer(x, w, s).sum()

    given = (X[:2], X[3], scales)
    for wrap in (lambda h: h, fnn.jit):
        np.testing.assert_allclose(wrap(both(f))(*given), both(reference)(*given), rtol=1e-5)
        ours = wrap(fnn.grad(both(f), argnums=(0, 1, 2)))(*given)
        for a, b in zip(ours, fnn.grad(both(reference), argnums=(0, 1, 2))(*given), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5)


def test_a_function_of_numbers() -> None:
    f = fnn.custom_kernel(
        lambda a, b: (a * a + b * b) ** 0.5, jvp=lambda a, b, out, da, db: (a * da + b * db) / out
    )
    a, b = fnp.ones((3, 1)), fnp.arange(1.0, 5.0)
    np.testing.assert_allclose(f(a, b), np.hypot(np.ones((3, 1)), np.arange(1.0, 5.0)), rtol=1e-6)
    np.testing.assert_allclose(fnn.jit(fnn.vmap(f, in_axes=(0, None)))(a, b), np.hypot(a, b), rtol=1e-6)
    np.testing.assert_allclose(fnn.jit(fnn.grad(f, argnums=(0, 1)))(3.0, 4.0), [0.6, 0.8], rtol=1e-6)
    with pytest.raises(ShapeError, match="do not broadcast"):
        f(fnp.ones(3), fnp.ones(2))


def test_a_batching_rule_of_ones_own() -> None:
    calls = []

    def batch(size: int, batched: list[bool], x: Any, *, width: int) -> Any:
        calls.append((size, batched, width))
        return fnn.lax.map(lambda row: median(row, width=width), x), True

    f = fnn.custom_kernel(sliding_median, out=lambda x, width: x, batch=batch)
    np.testing.assert_array_equal(
        fnn.vmap(lambda x: f(x, width=3))(X), fnn.vmap(lambda x: median(x, width=3))(X)
    )
    assert calls == [(4, [True], 3)]


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint8", "bool", "int64"])
def test_dtypes(dtype: str) -> None:
    @numba.njit
    def reverse(x: Any, out: Any) -> None:
        for i in range(x.size):
            out[i] = x[x.size - 1 - i]

    x = (X[0] > 0 if dtype == "bool" else np.abs(X[0] * 100)).astype(dtype)
    out = fnn.jit(fnn.custom_kernel(reverse, out=lambda x: x))(fnp.asarray(x, dtype=dtype))
    assert out.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(out, x[::-1])


def test_mistakes() -> None:
    no_rule = fnn.custom_kernel(sliding_median, out=lambda x, width: x)
    with pytest.raises(DifferentiationError, match=r"sliding_median has no derivative.*vjp="):
        fnn.grad(lambda x: no_rule(x, width=3).sum())(X[0])
    with pytest.raises(ArgumentError, match="'width' is a"):
        median(X[0], width=fnp.ones(()))
    with pytest.raises(ArgumentError, match="out returned 3"):
        fnn.custom_kernel(sliding_median, out=lambda x: 3)(X[0])
    with pytest.raises(DtypeError, match="bf16"):
        fnn.jit(lambda x: median(x, width=3))(fnp.ones(3, "bfloat16"))

    @numba.njit
    def picky(x: Any, out: Any) -> None:
        if x[0] < 0:
            raise ValueError("negative")
        out[:] = x

    f = fnn.custom_kernel(picky, out=lambda x: x)
    g = fnn.jit(lambda x: f(x) + 1.0)
    np.testing.assert_array_equal(g(fnp.ones(2)), [2.0, 2.0])
    with pytest.raises(KernelFailedError, match="picky"):
        g(-fnp.ones(2))
    np.testing.assert_array_equal(g(fnp.ones(2)), [2.0, 2.0])
    with pytest.raises(ValueError, match="negative"), fnn.disable_jit():
        g(-fnp.ones(2))


def test_machine_code_is_made_once() -> None:
    f = fnn.custom_kernel(sliding_median, out=lambda x, width: x)
    fnn.jit(lambda x: f(x, width=3) + 1.0)(X[0])
    fnn.jit(lambda x: f(f(x, width=3), width=3) * 2.0)(X[0])
    assert len(f._compiled) == 1


def test_complex_numbers() -> None:
    @numba.njit
    def turned(x: Any, out: Any) -> None:
        for i in range(x.shape[0]):
            out[i] = x[i] * 1j

    f = fnn.custom_kernel(turned, out=lambda x: x, vjp=lambda x, y, ct: (ct * 1j,))
    square = fnn.custom_kernel(numba.njit(lambda x: x * x))
    z = fnp.array([1 + 2j, 3j])
    loss = lambda z: fnp.sum(f(z) ** 2).real
    for wrap in (lambda h: h, fnn.jit):
        np.testing.assert_allclose(wrap(f)(z), z * 1j, rtol=1e-6)
        np.testing.assert_allclose(wrap(square)(z), z * z, rtol=1e-6)
        np.testing.assert_allclose(
            wrap(fnn.vmap(f))(fnp.stack([z, 2 * z])), np.stack([z, 2 * z]) * 1j, rtol=1e-6
        )
        np.testing.assert_allclose(wrap(fnn.grad(loss))(z), -2 * z, rtol=1e-6)
        looped = wrap(lambda z: fnn.lax.scan(lambda c, _: (f(c), None), z, None, 3)[0])
        np.testing.assert_allclose(looped(z), z * -1j, rtol=1e-6)
