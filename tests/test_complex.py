"""Complex arrays: types, conversions, NumPy's values, and derivatives in JAX's convention."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import DifferentiationError, DtypeError

Z = np.array([[1 + 2j, -0.5 - 1j, 3], [0, -2j, -1.5 + 0.25j]], np.complex64)
W = np.array([0.5 - 1j, 2 + 1j, -1 + 1j], np.complex64)
NAMES = [
    "real", "imag", "conj", "angle", "abs", "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh",
    "tanh", "sign", "square", "isreal", "iscomplex", "isfinite", "isnan", "negative", "max", "min",
    "argmax", "argmin", "sum", "prod", "mean", "var", "std", "cumsum", "cumprod", "sort", "any", "all",
    "count_nonzero", "ptp",
]  # fmt: skip


def same(got: Any, want: Any, tolerance: float = 2e-6) -> None:
    value, want = np.asarray(got), np.asarray(want)
    if value.dtype.kind not in "fc":
        assert np.array_equal(value, want)
        return
    assert value.dtype == want.dtype and value.shape == want.shape
    np.testing.assert_allclose(value, want, tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", NAMES)
def test_functions_are_numpys(name: str, dtype: str) -> None:
    z = Z.astype(dtype)
    if name == "log":
        z = z + 1  # log 0 warns
    for x in (z, *([] if name == "sort" else [z[0, 0]])):  # a number has no axis to sort along
        same(getattr(fnp, name)(fnp.asarray(x, dtype)), getattr(np, name)(x))


@pytest.mark.parametrize(
    "name", ["less", "less_equal", "greater", "greater_equal", "equal", "maximum", "minimum"]
)
def test_order_is_lexicographic(name: str) -> None:
    x = np.array([1, 1, 1 + 1j, 2, -1j], np.complex64)
    same(getattr(fnp, name)(fnp.array(x)[:, None], x[None]), getattr(np, name)(x[:, None], x[None]))


def test_types() -> None:
    z, x = fnp.array(Z), fnp.ones(3)
    assert z.dtype == fnp.complex64 and fnp.array(1j).dtype == np.complex64 and fnp.asarray(1j).weak_type
    assert (x + 1j).dtype == np.complex64 and (x.astype("float64") * 1j).dtype == np.complex128
    assert (z * 2).dtype == (z * 2.5).dtype == (z * 2j).dtype == (z + x).dtype == np.complex64
    assert (fnp.arange(3) * 1j).dtype == np.complex64 and (z.astype(complex)).dtype == np.complex64
    assert z.real.dtype == abs(z).dtype == fnp.angle(z).dtype == np.float32
    assert fnp.array(Z.astype("complex128")).dtype == np.complex64
    assert fnp.array(Z, dtype="complex128").dtype == np.complex128
    assert fnp.finfo(fnp.complex64).eps == np.finfo(np.float32).eps
    assert fnp.iscomplexobj(z) and not fnp.iscomplexobj(x) and fnp.isrealobj(x)
    assert isinstance(fnp.complex64(1 + 2j), fnp.complex64)


def test_conversions() -> None:
    z = fnp.array(Z)
    assert complex(z[0, 0]) == 1 + 2j == z[0, 0].item() and z.tolist() == Z.tolist()
    same(np.from_dlpack(z), Z)
    same(pickle.loads(pickle.dumps(z)), Z)
    same(z.astype("float32"), Z.real)
    same(z.astype("int32"), Z.real.astype("int32"))
    same(z.astype(bool), Z.astype(bool))
    same(z.view("float32"), Z.view("float32"))
    same(z.view("float32").view("complex64"), Z)
    same(z.view("int32"), Z.view("int32"))
    same(lax.complex(fnp.array(Z.real), fnp.array(Z.imag)), Z)
    assert f"{z[0, 0]:.1f}" == "1.0+2.0j"
    assert repr(fnp.array(W)) == "Array([ 0.5-1.j,  2. +1.j, -1. +1.j], dtype=complex64)"
    for convert in (float, int):
        with pytest.raises(TypeError):
            convert(z[0, 0])


def test_products_and_indexing() -> None:
    z, w = fnp.array(Z), fnp.array(W)
    same(z @ w, Z @ W)
    same(fnp.einsum("ij,j,k->ik", z, w, w), np.einsum("ij,j,k->ik", Z, W, W))
    same(fnp.vdot(w, w), np.vdot(W, W))
    same(fnp.vecdot(w, w), np.vecdot(W, W))
    same(fnp.where(z == 0, 1, z), np.where(Z == 0, np.complex64(1), Z))
    same(z[:, [2, 0]], Z[:, [2, 0]])
    same(w.at[1].set(5j).at[0].add(1), np.array([1.5 - 1j, 5j, -1 + 1j], np.complex64))
    same(fnp.linspace(0, 1 + 1j, 3), np.linspace(0, 1 + 1j, 3).astype("complex64"))
    same(z**2, Z**2)
    same(z**0.5, Z**0.5)
    same(2.0**z, np.power(np.float32(2), Z))
    assert fnp.isclose(w, w * (1 + 1e-6)).all()


def test_what_has_no_meaning_is_refused() -> None:
    z = fnp.array(W)
    for f in (
        lambda: lax.ge(z, z),
        lambda: lax.lt(z, z),
        lambda: fnp.floor(z),
        lambda: lax.erf(z),
        lambda: z % 2,
    ):
        with pytest.raises(DtypeError, match="complex"):
            f()


# -- derivatives: the values are JAX's -----------------------------------------------------------------------

GRADIENTS: dict[str, tuple[Callable[[Any], Any], complex]] = {
    "abs": (fnp.abs, 0.6 - 0.8j),
    "real": (fnp.real, 1),
    "imag": (fnp.imag, -1j),
    "angle": (fnp.angle, -0.16 - 0.12j),
    "squared modulus": (lambda z: (z * z.conj()).real, 6 - 8j),
    "real of a square": (lambda z: (z**2).real, 6 + 8j),
    "imag of a square": (lambda z: (z**2).imag, 8 - 6j),
    "norm": (lambda z: fnp.sqrt(z.real**2 + z.imag**2), 0.6 - 0.8j),
    "converted": (lambda z: z.astype("float32") * 2, 2),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_of_a_real_function(name: str) -> None:
    f, want = GRADIENTS[name]
    same(fnn.grad(f)(3 + 4j), np.complex64(want))


HOLOMORPHIC: dict[str, Callable[[Any], Any]] = {
    "square": lambda z: z**2,
    "exp": fnp.exp,
    "log": fnp.log,
    "reciprocal": lambda z: 1 / z,
    "tan": fnp.tan,
    "power": lambda z: z ** (1 + 1j),
}


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_holomorphic_derivatives(name: str) -> None:
    f = HOLOMORPHIC[name]
    z, h = 0.5 - 1j, 2.0**-10
    got = complex(fnn.grad(f, holomorphic=True)(z))
    wide = lambda z: np.asarray(f(fnp.asarray(z, "complex128")))
    for step in (h, 1j * h):  # the same in every direction
        want = (wide(z + step) - wide(z - step)) / (2 * step)
        assert abs(got - want) < 1e-5 * max(1, abs(want))
    jacobian = fnn.jacfwd(f, holomorphic=True)(fnp.array([z, 1j + 1]))
    same(jacobian, fnn.jacrev(f, holomorphic=True)(fnp.array([z, 1j + 1])), 1e-5)
    assert jacobian.shape == (2, 2) and jacobian.dtype == np.complex64


def test_second_derivatives_and_linear_maps() -> None:
    z, t = fnp.array(W), fnp.array([1j, 1 - 1j, 0.5])
    same(fnn.hessian(lambda z: (z**3).sum(), holomorphic=True)(z), np.diag(6 * W), 1e-5)
    f = lambda z: abs(z) * z
    _, linear = fnn.linearize(f, z)
    same(linear(t), fnn.jvp(f, (z,), (t,))[1])
    same(fnn.linear_transpose(fnp.conj, z)(t)[0], np.conj(np.asarray(t)))
    out, pull = fnn.vjp(lambda x: x * 1j, fnp.ones(2))  # real in, complex out: the cotangent is real
    assert out.dtype == np.complex64 and pull(fnp.array([1j, 1 + 2j]))[0].tolist() == [-1.0, -2.0]


def test_wrong_kinds_of_derivatives_are_refused() -> None:
    with pytest.raises(DifferentiationError, match="holomorphic=True"):
        fnn.grad(lambda z: z**2)(1 + 2j)
    with pytest.raises(DifferentiationError, match="needs complex arguments"):
        fnn.grad(lambda z: z**2, holomorphic=True)(1.0)
    with pytest.raises(DifferentiationError, match="with holomorphic=True the result is complex"):
        fnn.grad(fnp.abs, holomorphic=True)(1j)
    with pytest.raises(DifferentiationError, match="real floating-point arguments"):
        fnn.jacfwd(fnp.abs)(fnp.array(W))
    with pytest.raises(DifferentiationError, match="real floating-point results"):
        fnn.jacrev(lambda z: z * 2)(fnp.array(W))


def test_vmap_and_trees() -> None:
    z = fnp.array(Z)
    same(fnn.vmap(lambda row: row @ fnp.array(W))(z), Z @ W)
    grads = fnn.grad(lambda p: (abs(p["a"] * p["b"]) ** 2).sum())({"a": fnp.array(W), "b": fnp.ones(3)})
    same(grads["a"], 2 * np.conj(W))
    same(grads["b"], 2 * np.abs(W) ** 2)
