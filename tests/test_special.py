"""fnn.scipy.special: values against SciPy over their ranges, compiled and not, in both precisions; derivatives against
SciPy's and mpmath's values; edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as reference

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, DifferentiationError, DtypeError
from fnn.scipy import special

RNG = np.random.default_rng(7)
Span = tuple[float, float]
# ranges of the operands; a third number: they are spread by their logarithms
POSITIVE = (1e-3, 1e3, 1)
VALUES: dict[str, tuple[tuple[float, ...], ...]] = {
    "gammaln": (POSITIVE,), "digamma": (POSITIVE,), "gammainc": (POSITIVE, POSITIVE), "gammaincc": (POSITIVE, POSITIVE),
    "betaln": (POSITIVE, POSITIVE), "betainc": ((0.05, 200, 1), (0.05, 200, 1), (0, 1)), "gamma": ((-4.9, 10),),
    "beta": ((0.1, 20), (0.1, 20)), "gammasgn": ((-6, 3),), "factorial": ((0, 12),), "comb": ((10, 20), (0, 8)),
    "poch": ((0.5, 5), (0, 4)), "erf": ((-4, 4),), "erfc": ((-3, 8),), "erfinv": ((-0.999, 0.999),), "erfcx": ((-5, 60),),
    "dawsn": ((-12, 12),), "ndtr": ((-9, 5),), "ndtri": ((1e-6, 0.999),), "log_ndtr": ((-40, 6),), "expit": ((-20, 20),),
    "logit": ((0.01, 0.99),), "xlogy": ((0, 4), (0.1, 4)), "xlog1py": ((0, 4), (-0.9, 4)), "entr": ((0, 3),),
    "rel_entr": ((0.1, 3), (0.1, 3)), "kl_div": ((0.1, 3), (0.1, 3)), "boxcox": ((0.1, 4), (-2, 2)),
    "boxcox1p": ((-0.9, 4), (-2, 2)), "i0e": ((-50, 50),), "i1e": ((-50, 50),), "i0": ((-20, 20),), "i1": ((-20, 20),),
    "expi": ((-10, 60),), "exp1": (POSITIVE[:2],), "spence": ((0, 20),), "zeta": ((1.2, 20), (0.1, 50)),
}  # fmt: skip
# where a result near 0 has cancelled, or a large power has been rounded, only so much is asked for (f4, f8)
LOOSE = {
    "comb": (2e-5, 1e-13), "poch": (2e-5, 1e-12), "gamma": (1e-5, 1e-13), "beta": (2e-6, 1e-12),
    "factorial": (1e-5, 1e-13), "i0": (2e-6, 1e-13), "i1": (2e-6, 1e-13), "xlog1py": (1e-5, 1e-12),
    "kl_div": (2e-5, 1e-12), "rel_entr": (2e-5, 1e-12), "boxcox": (1e-5, 1e-12), "boxcox1p": (1e-5, 1e-12),
    "betaln": (1e-6, 5e-12), "log_ndtr": (2e-6, 1e-12), "ndtr": (4e-6, 1e-13), "logit": (1e-5, 1e-12),
}  # fmt: skip


def drawn(spans: tuple[tuple[float, ...], ...], dtype: str, count: int = 400) -> list[np.ndarray]:
    out, rng = [], np.random.default_rng(len(spans) + count)
    for low, high, *log in spans:
        x = np.exp(rng.uniform(np.log(low), np.log(high), count)) if log else rng.uniform(low, high, count)
        out.append(x.astype(dtype))
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", VALUES)
def test_values(name: str, dtype: str) -> None:
    with fnn.config.using(enable_x64=True):
        f: Callable[..., Any] = getattr(special, name)
        xs = drawn(VALUES[name], dtype)
        with np.errstate(all="ignore"):
            want = np.asarray(getattr(reference, name)(*[x.astype("float64") for x in xs]))
        relative = LOOSE.get(name, (1e-6, 1e-13))[dtype == "float64"]
        tiny = (1e-6 if name in LOOSE else 2e-7) if dtype == "float32" else 3e-15
        for got in (f(*xs), fnn.jit(f)(*xs)):
            assert got.dtype == dtype
            np.testing.assert_allclose(np.asarray(got, "float64"), want, relative, tiny, err_msg=name)


SMOOTH = [n for n in VALUES if n not in ("gammasgn",)]


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name: str) -> None:
    """In every operand, by central differences in float64; batched and in reverse alike."""
    with fnn.config.using(enable_x64=True):
        f: Callable[..., Any] = getattr(special, name)
        xs = [
            np.clip(x, 0.02, 0.98) if span == (0, 1) else x
            for x, span in zip(drawn(VALUES[name], "float64", 40), VALUES[name])
        ]
        if name in ("gamma", "expi", "spence"):
            xs = [np.abs(x) + 0.5 for x in xs]
        if name in ("boxcox", "boxcox1p"):
            xs[1] = np.where(np.abs(xs[1]) < 0.1, 0.5, xs[1])
        for i in range(len(xs)):
            step = 1e-6 * np.maximum(np.abs(xs[i]), 1e-2)
            moved = [[x + s * step if k == i else x for k, x in enumerate(xs)] for s in (1, -1)]
            ends = [np.asarray(f(*m)) for m in moved]
            differences = (ends[0] - ends[1]) / (2 * step)
            noise = 1e-15 * np.maximum(np.abs(ends[0]), np.abs(xs[i])) / step + 1e-9
            grad = fnn.grad(lambda *v: fnp.sum(f(*v)), i)
            mapped = fnn.vmap(fnn.grad(f, i))
            for got in (grad(*xs), fnn.jit(grad)(*xs), mapped(*xs)):
                wrong = np.abs(np.asarray(got) - differences) > 2e-5 * np.abs(differences) + 40 * noise
                assert not wrong.any(), (
                    name,
                    i,
                    [x[wrong][:3] for x in xs],
                    np.asarray(got)[wrong][:3],
                    differences[wrong][:3],
                )


def lower_gamma(a: Any, x: Any) -> Any:
    """By its series, all of whose terms are positive."""
    term = total = mpmath.mpf(1)
    n = 0
    while term > total * mpmath.mpf(10) ** -45 or n < x - a:
        n += 1
        term *= x / (a + n)
        total += term
    return mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a + 1)) * total


def test_incomplete_gamma_and_its_derivative_are_exact() -> None:
    """Against mpmath, beside x = a as well, where the expansion for large a is used."""
    with fnn.config.using(enable_x64=True), mpmath.workdps(50):
        a = np.concatenate([10 ** RNG.uniform(-2, 3, 60), RNG.uniform(150, 5000, 20)])
        x = a * np.exp(RNG.normal(0, 1, a.size) / np.sqrt(np.maximum(a, 1)))
        pairs = [(mpmath.mpf(float(p)), mpmath.mpf(float(q))) for p, q in zip(a, x, strict=True)]
        low = [lower_gamma(p, q) for p, q in pairs]
        slope = [
            (
                lower_gamma(p * (1 + mpmath.mpf(10) ** -15), q)
                - lower_gamma(p * (1 - mpmath.mpf(10) ** -15), q)
            )
            / (2 * p * mpmath.mpf(10) ** -15)
            for p, q in pairs
        ]
        np.testing.assert_allclose(fnn.jit(special.gammainc)(a, x), [float(v) for v in low], 1e-13)
        np.testing.assert_allclose(fnn.jit(special.gammaincc)(a, x), [float(1 - v) for v in low], 1e-12)
        got = fnn.jit(fnn.grad(lambda a: fnp.sum(special.gammainc(a, x))))(a)
        np.testing.assert_allclose(got, [float(v) for v in slope], 1e-12)
        place = [mpmath.exp((p - 1) * mpmath.log(q) - q - mpmath.loggamma(p)) for p, q in pairs]
        want = [float(-s / d) for s, d in zip(slope, place, strict=True)]
        np.testing.assert_allclose(lax.random_gamma_grad(a, x), want, 1e-12)


def test_derivatives_of_the_incomplete_beta_function() -> None:
    """In a and b, which JAX does not have."""
    cases = [(0.5, 0.7, 0.3), (2.0, 3.0, 0.9), (20.0, 5.0, 0.8), (0.1, 40.0, 0.01)]
    with fnn.config.using(enable_x64=True), mpmath.workdps(30):
        value = lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True)
        for a, b, x in cases:
            got = fnn.grad(special.betainc, (0, 1))(a, b, x)
            want = [mpmath.diff(value, (a, b, x), n) for n in ((1, 0, 0), (0, 1, 0))]
            np.testing.assert_allclose(got, [float(w) for w in want], 1e-10)


def test_polygamma() -> None:
    x = np.linspace(0.2, 9, 40).astype("float32")
    for n in range(4):
        np.testing.assert_allclose(special.polygamma(n, x), reference.polygamma(n, x.astype(float)), 2e-6)
    np.testing.assert_allclose(special.polygamma(1, np.float32(-1.5)), reference.polygamma(1, -1.5), 1e-5)
    np.testing.assert_allclose(
        fnn.grad(lambda x: special.polygamma(2, x))(1.5), reference.polygamma(3, 1.5), 1e-5
    )
    with pytest.raises(DtypeError, match="integer"):
        special.polygamma(1.0, x)


def test_exponential_integrals_of_every_order() -> None:
    x = np.array([0.1, 0.9, 1.1, 5.0, 30.0])
    for n in (0, 1, 2, 7, 60):
        np.testing.assert_allclose(special.expn(n, x.astype("float32")), reference.expn(n, x), 2e-6)
    slope = fnn.vmap(fnn.grad(lambda x: special.expn(2.0, x)))(x.astype("float32"))
    np.testing.assert_allclose(slope, -reference.expn(1, x), 2e-6)


def test_bessel_functions_of_integer_order() -> None:
    z = np.array([0.0, 0.5, 3.0, 10.0], "float32")
    out = special.bessel_jn(z, v=4)
    want = np.stack([reference.jv(n, z.astype(float)) for n in range(5)])
    np.testing.assert_allclose(out, want, 2e-5, 2e-6)


def test_tails_keep_their_digits() -> None:
    np.testing.assert_allclose(special.log_ndtr(np.float32(-30)), reference.log_ndtr(-30.0), 1e-6)
    np.testing.assert_allclose(fnn.grad(special.log_ndtr)(-30.0), 30.0332596, 1e-5)
    np.testing.assert_allclose(
        special.betainc(np.float32(1e3), np.float32(1e3), np.float32(0.45)), 3.6e-6, 0.1
    )
    assert float(special.gammaincc(1e-3, 0.5)) == pytest.approx(reference.gammaincc(1e-3, 0.5), rel=1e-6)


def test_edges() -> None:
    assert float(special.gammainc(0.0, 1.0)) == 1 and float(special.gammaincc(0.0, 1.0)) == 0
    assert np.isnan(special.gammainc(0.0, 0.0)) and np.isnan(special.gammainc(-1.0, 1.0))
    assert float(special.gammainc(2.0, np.inf)) == 1
    assert float(special.betainc(1.0, 2.0, 0.0)) == 0 and float(special.betainc(1.0, 2.0, 1.0)) == 1
    assert np.isnan(special.betainc(1.0, 2.0, 1.5))
    assert float(special.xlogy(0.0, 0.0)) == 0 and float(special.xlog1py(0.0, -1.0)) == 0
    assert float(fnn.grad(special.xlogy)(0.0, 2.0)) == pytest.approx(0.0)
    assert float(special.entr(-1.0)) == -np.inf and float(special.entr(0.0)) == 0
    assert float(special.rel_entr(0.0, 0.0)) == 0 and float(special.rel_entr(1.0, 0.0)) == np.inf
    assert float(special.zeta(2)) == pytest.approx(np.pi**2 / 6)
    assert special.gammainc(np.zeros((0, 3), "float32"), 1.0).shape == (0, 3)
    assert special.gammainc(2, 3).dtype == np.float32
    np.testing.assert_allclose(special.bernoulli(6), reference.bernoulli(6), 1e-6)
    np.testing.assert_allclose(special.multigammaln(3.5, 2), reference.multigammaln(3.5, 2), 1e-6)
    np.testing.assert_allclose(
        special.logsumexp(np.ones(3, "float32")), reference.logsumexp(np.ones(3)), 1e-6
    )


def test_what_has_no_derivative_says_so() -> None:
    with pytest.raises(DifferentiationError, match="first derivatives"):
        fnn.grad(fnn.grad(special.gammainc))(2.0, 1.0)
    with pytest.raises(ArgumentError, match=r"math\.factorial"):
        special.factorial(3, exact=True)
