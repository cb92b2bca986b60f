"""Compiled complex programs: pairs of real values give what NumPy gives, in every construct and at every edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.config import config
from fnn.errors import UnsupportedError
from tests import array_api_table as table

FUNCTIONS = [
    "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh",
    "arctanh", "square", "reciprocal", "log1p", "expm1", "exp2",
]  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, -2.5, 0.75]


def normal(rng: np.random.Generator, *shape: int, dtype: str = "complex64") -> np.ndarray:
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def points(rng: np.random.Generator) -> np.ndarray:
    """Numbers of all sizes, and some next to the unit circle."""
    wide = 10.0 ** rng.uniform(-6, 1.4, (2, 400)) * rng.choice([-1, 1], (2, 400))
    circle = np.exp(1j * rng.uniform(-3.14, 3.14, 100)) * (1 + 10.0 ** rng.uniform(-6, -1, 100))
    return np.concatenate([wide[0] + 1j * wide[1], circle, normal(rng, 100)]).astype(np.complex64)


def errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The distance from wider results, in units of the last place of their modulus."""
    return np.abs(got - want) / np.spacing(np.maximum(np.abs(want), 1e-30).astype(np.float32))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_accurate(name: str, rng: np.random.Generator) -> None:
    z = points(rng)
    want = getattr(np, name)(z.astype(np.complex128))
    got = np.asarray(fnn.jit(getattr(fnp, name))(z))
    within = np.abs(want) < 1e30
    assert got.dtype == np.complex64
    # 2**z multiplies the angle first, whose rounding grows with it, in NumPy as here
    assert errors(got, want)[within].max() < (30 if name == "exp2" else 4)


@pytest.mark.parametrize("name", ["log", "arcsin", "arccosh", "arctanh", "sqrt", "tan"])
def test_functions_of_complex128_are_accurate(name: str, rng: np.random.Generator) -> None:
    z = points(rng)[::8].astype(np.complex128) * (1 + 1e-9)
    got = np.asarray(fnn.jit(getattr(fnp, name))(fnp.asarray(z, "complex128")))
    reference = {"arcsin": "asin", "arccosh": "acosh", "arctanh": "atanh"}.get(name, name)
    with mpmath.workdps(40):
        want = np.array([complex(getattr(mpmath, reference)(mpmath.mpc(x))) for x in z])
    assert (np.abs(got - want) <= 6 * np.spacing(np.abs(want))).all()
    if name == "log":  # which is small near the unit circle, and accurate there too
        assert (np.abs(got.real - want.real) <= 4 * np.spacing(np.abs(want.real))).all()


@pytest.mark.parametrize("name", [*FUNCTIONS[:-4], "abs", "angle"])
def test_cuts_and_zeros_are_numpys(name: str) -> None:
    """Signs of zero say on which side of a cut a number lies."""
    z = np.array([complex(a, b) for a in SPECIAL for b in SPECIAL], np.complex64)
    with np.errstate(all="ignore"):
        want = np.asarray(getattr(np, name)(z))
        got = np.asarray(fnn.jit(getattr(fnp, name))(z))
    finite = np.isfinite(want)
    if name == "reciprocal":
        finite = z != 0
    for part in (np.real, np.imag):
        np.testing.assert_allclose(part(got)[finite], part(want)[finite], 1e-6, 1e-6)
        apart = np.abs(part(want)) > 1e-6
        assert (np.sign(part(got)) == np.sign(part(want)))[finite & apart].all()


LEFT_OPEN = {
    ("cosh", "+0,inf"),
    ("cosh", "+0,nan"),
    ("sinh", "+0,inf"),
    ("sinh", "+0,nan"),
    ("tanh", "+0,inf"),
    ("tanh", "+0,nan"),
}


@pytest.mark.parametrize("line", table.COMPLEX_CASES.strip().splitlines())
def test_infinities_and_nan_are_the_array_apis(line: str) -> None:
    """But for those whose zero becomes NaN beside an angle that is none."""
    name, _, cases = line.partition(":")
    f = fnn.jit(getattr(fnp, name))
    for given, wanted in [case.split() for case in cases.split("|")]:
        z = table.complex_operands(given, "complex64")
        for each, out in zip(z, np.asarray(f(z)), strict=True):
            assert (name, given) in LEFT_OPEN or table.complex_holds(out, each, wanted), (each, out)


def test_infinities_and_large_numbers() -> None:
    z = np.array(
        [3e38 + 3e38j, 1e-38 + 1e-38j, complex(np.inf, 1), complex(1, -np.inf), complex(np.inf, np.nan)],
        np.complex64,
    )
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(np.asarray(fnn.jit(fnp.abs)(z))[1:], np.abs(z)[1:], 1e-6)
        np.testing.assert_allclose(np.asarray(fnn.jit(fnp.sqrt)(z)), np.sqrt(z), 1e-6)
        np.testing.assert_allclose(np.asarray(fnn.jit(fnp.log)(z)), np.log(z), 1e-6)
        big = np.array([1e38 + 1e38j, 1e-30 - 1e-30j], np.complex64)  # whose squares are beyond all numbers
        np.testing.assert_allclose(np.asarray(fnn.jit(lambda x: x / x)(big)), [1, 1], 1e-6)


Z = normal(np.random.default_rng(0), 4, 5)
W = normal(np.random.default_rng(1), 5, 3)
PROGRAMS: dict[str, Callable[..., Any]] = {
    "arithmetic": lambda z, w: (z * 2 + 1j, 1 / z - z.conj(), z**3, z**-2, z**0.5, 2.0**z, (z.real + 1j) * z, -z),
    "products": lambda z, w: (z @ w, fnp.einsum("ij,kj->ik", z, z.conj()), z.real @ w, z[0] @ w, fnp.vdot(z, z)),
    "large product": lambda z, w: (
        fnp.tile(z, (5, 4)) @ fnp.tile(w, (4, 6)), fnp.tile(z, (5, 4)).T @ fnp.tile(z, (5, 4)),
        fnp.einsum("bij,bkj->bik", *[fnp.tile(z, (2, 4, 4)).reshape(2, 16, 20)] * 2),
    ),
    "reductions": lambda z, w: (z.sum(), z.prod(0), z.mean(1), z.var(), fnp.cumsum(z, 1), fnp.cumprod(z, 0),
                                z.max(), abs(z).sum()),
    "structure": lambda z, w: (
        z.T.reshape(10, 2), z[::-1, 1:3], fnp.concatenate([z, w.T]), fnp.pad(z, 1), fnp.stack([z, z]), fnp.roll(z, 2, 1)),
    "indexing": lambda z, w: (z[:, [2, 0]], z.at[1].set(3j).at[:, 0].add(w[0, 0]), z.at[0].multiply(2j), fnp.take(z, 3, 1),
                              lax.dynamic_slice(z, (1, 2), (2, 2)), fnp.where(abs(z) > 1, z, 0)),
    "order": lambda z, w: (fnp.sort(z, 1), fnp.argsort(z, 0), fnp.maximum(z, z[::-1]), z < z[0], z == z,
                           fnp.unique(z.round(), size=4)),
    "scan": lambda z, w: lax.scan(lambda c, x: (c * x + 1, (c, x.real)), z[0], z),
    "while": lambda z, w: lax.while_loop(lambda c: abs(c[0]).sum() < 100, lambda c: (c[0] * (1.5 + 0.5j), c[1] + 1), (z, 0)),
    "cond": lambda z, w: lax.cond(z.real.sum() > 0, lambda z: z * 1j, lambda z: z.conj(), z),
    "fori": lambda z, w: lax.fori_loop(0, 5, lambda i, c: c * c + z * i, z * 0.1),
    "checkpoint": lambda z, w: fnn.grad(lambda z: abs(fnn.checkpoint(lambda z: fnp.sin(fnp.exp(z)))(z)).sum())(z),
    "gradient": lambda z, w: fnn.grad(lambda z, w: (abs(z @ w) ** 2).sum(), (0, 1))(z, w),
    "gradient of a scan": lambda z, w: fnn.grad(lambda z: lax.scan(lambda c, x: (c * x + 1, abs(c)), z[0], z)[1].sum())(z),
    "holomorphic": lambda z, w: fnn.jacrev(lambda r: fnp.exp(r) @ w, holomorphic=True)(z[0]),
    "batched": lambda z, w: fnn.vmap(lambda r: fnp.tanh(r) @ w)(z),
    "types": lambda z, w: (z.astype("float32"), z.astype(bool), z.real.astype("complex64"), z.astype("complex128") * 0.1,
                           z.view("float32"), lax.complex(z.imag, z.real), fnp.isfinite(z), lax.conj(z.real)),
    "constants": lambda z, w: (z, fnp.array([1j, 2]), fnp.zeros(3, "complex64"), z + Z, fnp.asarray(1j), fnp.full((2,), 2j)),
    "convolution": lambda z, w: (fnp.convolve(z[0], w[:, 0]),
                                 lax.conv_general_dilated(z[None, None], w[None, None, :3], (1, 1), "VALID")),
}  # fmt: skip


@pytest.mark.parametrize("printer", ["vector", "numba"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_what_they_give_uncompiled(name: str, printer: str) -> None:
    if printer == "numba" and name not in ("arithmetic", "products", "scan", "indexing"):
        return  # the same passes; Numba compiles slowly
    f = PROGRAMS[name]
    z, w = fnp.array(Z), fnp.array(W)
    want = fnn.tree.leaves(f(z, w))
    with config.using(printer=printer, check_graphs=True):
        got = fnn.tree.leaves(fnn.jit(lambda z, w: f(z, w))(z, w))
    assert len(got) == len(want)
    for g, v in zip(got, want, strict=True):
        assert g.dtype == v.dtype and g.shape == v.shape
        np.testing.assert_allclose(np.asarray(g), np.asarray(v), 3e-5, 3e-5)


def test_memory_is_interleaved() -> None:
    """No copies at the edges: parts are strided views, and a product of large operands is one product."""
    z = fnp.array(Z)
    plan = fnn.jit(lambda z, w: z * w).lower(z, z).plan()
    assert plan.startswith("1 calls of 1 kernels") and "arena 0 bytes" in plan
    a = fnp.zeros((32, 32), "complex64")
    assert fnn.jit(lambda a, b: a @ b).lower(a, a).plan().count("dot 32x64x64") == 1


def test_numbers_keep_their_digits_beside_float64() -> None:
    """Python's numbers are weak, not narrow."""
    x = fnp.ones(2, "float64")
    assert np.asarray(fnn.jit(lambda x: x * 0.1)(x)).tolist() == [0.1, 0.1]
    z = fnp.ones(2, "complex128")
    assert np.asarray(fnn.jit(lambda z: z * (0.1 + 0.3j))(z)).tolist() == [0.1 + 0.3j] * 2


def test_donation_and_captured_constants() -> None:
    z = fnp.array(Z)
    f = fnn.jit(lambda z: z * 2 + Z, donate_argnums=0)
    np.testing.assert_allclose(np.asarray(f(z)), 3 * Z, 1e-6)


def test_what_cannot_be_compiled_says_so() -> None:
    z = fnp.array(Z[0])
    indices = np.array([[1], [1]])
    numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    f = lambda z: lax.scatter_mul(z, indices, z[:2], numbers)
    np.testing.assert_allclose(np.asarray(f(z))[1], np.prod(Z[0, [0, 1, 1]]), 1e-5)
    with pytest.raises(UnsupportedError, match="unique_indices=True"):
        fnn.jit(f)(z)


# -- random programs -----------------------------------------------------------------------------------------

STEPS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y, lambda x, y: x - 2j * y, lambda x, y: x * y, lambda x, y: x / (abs(y) + 1), lambda x, y: x / (y + 4),
    lambda x, y: fnp.exp(1j * y.real) * x, lambda x, y: fnp.sin(x / (1 + abs(x))), lambda x, y: x.conj() + y.imag,
    lambda x, y: fnp.where(x.real > y.real, x, y), lambda x, y: x @ y.T, lambda x, y: x - x.mean(0),
    lambda x, y: x[::-1] + y[:, :1],
    lambda x, y: fnp.concatenate([x[:1], y[1:]]), lambda x, y: fnp.cumsum(x, 1) / 4 + y, lambda x, y: x.at[0].add(y[1]),
    lambda x, y: fnp.sqrt(x + 5) * y, lambda x, y: fnn.vmap(lambda a, b: a * b.sum())(x, y),
    lambda x, y: lax.scan(lambda c, r: (0.5 * c + r, c * 1j), x[0], y)[1],
    lambda x, y: lax.cond(abs(x[0, 0]) > 1, lambda v: v * 1j, lambda v: v + 1, y), lambda x, y: lax.complex(x.real, y.real),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int) -> None:
    """Compiled, differentiated and both, in either order, programs give what they give uncompiled."""
    rng = np.random.default_rng(seed)
    chosen = [(int(rng.integers(len(STEPS))), int(rng.integers(3))) for _ in range(6)]

    def program(x: Any, y: Any) -> Any:
        values = [x, y, x * 0.5]
        for step, k in chosen:
            out = STEPS[step](values[-1], values[k])
            values = [*values[1:], out / (1 + abs(out).max())]
        return values[-1]

    def loss(x: Any, y: Any) -> Any:
        out = program(x, y)
        return (abs(out) ** 2).sum() + out.imag.sum()

    x, y, t = (fnp.asarray(normal(rng, 3, 3, dtype="complex128"), "complex128") for _ in range(3))
    for f in (program, fnn.grad(loss, (0, 1)), lambda x, y: fnn.jvp(lambda x: program(x, y), (x,), (t,))):
        want, got = fnn.tree.leaves(f(x, y)), fnn.tree.leaves(fnn.jit(lambda x, y, f=f: f(x, y))(x, y))
        for g, w in zip(got, want, strict=True):
            assert g.dtype == w.dtype and g.shape == w.shape
            np.testing.assert_allclose(np.asarray(g), np.asarray(w), 1e-9, 1e-9)
    gradient, h = fnn.grad(loss)(x, y), 2.0**-18  # along t the loss changes by Re(gradient t)
    ahead, behind = (float(loss(x + s * h * t, y)) for s in (1, -1))
    np.testing.assert_allclose((gradient * t).sum().real, (ahead - behind) / (2 * h), 1e-5, 1e-6)
