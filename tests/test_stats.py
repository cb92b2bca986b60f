"""fnn.scipy.stats: every function of every distribution against SciPy, moved and scaled; derivatives; statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats as reference

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.scipy import stats

RNG = np.random.default_rng(3)
CONTINUOUS: dict[str, tuple[float, ...]] = {
    "norm": (), "expon": (), "cauchy": (), "laplace": (), "logistic": (), "uniform": (), "gumbel_r": (), "gumbel_l": (),
    "gamma": (2.5,), "chi2": (3.0,), "beta": (2.0, 3.0), "t": (4.0,), "pareto": (2.5,), "gennorm": (1.5,),
    "truncnorm": (-1.0, 2.0),
}  # fmt: skip
DISCRETE: dict[str, tuple[float, ...]] = {
    "bernoulli": (0.3,), "binom": (10, 0.3), "betabinom": (10, 2.0, 3.0), "nbinom": (5.0, 0.4), "geom": (0.3,),
    "poisson": (3.0,),
}  # fmt: skip
# what jax.scipy.stats has
NAMES = {
    "norm": "cdf isf logcdf logpdf logsf pdf ppf sf", "cauchy": "cdf isf logcdf logpdf logsf pdf ppf sf",
    "expon": "cdf logcdf logpdf logsf pdf ppf sf", "gamma": "cdf logcdf logpdf logsf pdf sf",
    "beta": "cdf logcdf logpdf logsf pdf sf", "chi2": "cdf logcdf logpdf logsf pdf sf", "gennorm": "cdf logpdf pdf",
    "gumbel_l": "cdf logcdf logpdf logsf pdf ppf sf", "gumbel_r": "cdf logcdf logpdf logsf pdf ppf sf",
    "laplace": "cdf logpdf pdf", "logistic": "cdf isf logpdf pdf ppf sf", "pareto": "cdf logcdf logpdf logsf pdf ppf sf",
    "t": "logpdf pdf", "truncnorm": "cdf logcdf logpdf logsf pdf sf", "uniform": "cdf logpdf pdf ppf",
    "vonmises": "logpdf pdf", "wrapcauchy": "logpdf pdf", "bernoulli": "cdf logpmf pmf ppf", "betabinom": "logpmf pmf",
    "binom": "logpmf pmf", "geom": "logpmf pmf", "nbinom": "logpmf pmf", "poisson": "cdf entropy logpmf pmf",
    "dirichlet": "logpdf pdf", "multinomial": "logpmf pmf", "multivariate_normal": "logpdf pdf",
}  # fmt: skip


def test_what_jax_has_is_there() -> None:
    for name, functions in NAMES.items():
        for function in functions.split():
            assert callable(getattr(getattr(stats, name), function)), (name, function)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(name: str) -> None:
    x = np.append(RNG.normal(0, 2, 60), [0.25, 1.75]).astype("float32")
    q = np.append(RNG.uniform(0.01, 0.99, 60), [0.0, 1.0, -0.5]).astype("float32")
    checked = 0
    for function in ("logpdf", "pdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf"):
        f = getattr(getattr(stats, name), function, None)
        if f is None:
            continue
        at = q if function in ("ppf", "isf") else x
        with np.errstate(all="ignore"):
            want = getattr(getattr(reference, name), function)(at.astype(float), *CONTINUOUS[name], 0.25, 1.5)
        got = f(at, *CONTINUOUS[name], 0.25, scale=1.5)
        np.testing.assert_allclose(got, want, 3e-5, 3e-6, err_msg=function)
        checked += 1
    assert checked >= 6
    compiled = fnn.jit(getattr(stats, name).logpdf)(x, *CONTINUOUS[name])
    np.testing.assert_allclose(compiled, getattr(stats, name).logpdf(x, *CONTINUOUS[name]), 2e-5, 2e-6)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(name: str) -> None:
    k = np.arange(-2, 14, dtype="int32")
    for function in ("logpmf", "pmf", "cdf"):
        f = getattr(getattr(stats, name), function, None)
        if f is None:
            continue
        with np.errstate(all="ignore"):
            want = getattr(getattr(reference, name), function)(k, *DISCRETE[name], 1)
        np.testing.assert_allclose(f(k, *DISCRETE[name], loc=1), want, 3e-5, 3e-6, err_msg=function)


@pytest.mark.parametrize("name", [*CONTINUOUS, "vonmises", "wrapcauchy"])
def test_derivatives_of_log_densities(name: str) -> None:
    """In x, the shape parameters, loc and scale, inside of the support and on its edges."""
    shapes = CONTINUOUS.get(name, (0.4,))
    with fnn.config.using(enable_x64=True):
        f = getattr(stats, name).logpdf
        place = [1.7 if name == "pareto" else 0.4, *shapes, 0.1, 0.9]
        grads = fnn.grad(f, tuple(range(len(place))))(*place)
        for i, got in enumerate(grads):
            moved = [[v + s * 1e-6 if j == i else v for j, v in enumerate(place)] for s in (1, -1)]
            want = (float(f(*moved[0])) - float(f(*moved[1]))) / 2e-6
            assert float(got) == pytest.approx(want, rel=1e-5, abs=1e-7), i
    outside = fnn.grad(f, tuple(range(len(place))))(-50.0, *place[1:])
    assert all(np.isfinite(g) for g in outside), outside


def test_vectors() -> None:
    cov, mean, x = np.eye(3) * 2 + 0.5, np.arange(3.0), RNG.normal(size=(5, 3))
    want = reference.multivariate_normal.logpdf(x, mean, cov)
    np.testing.assert_allclose(stats.multivariate_normal.logpdf(x, mean, cov), want, 1e-5)
    np.testing.assert_allclose(stats.multivariate_normal.logpdf(x, mean, np.stack([cov] * 5)), want, 1e-5)
    np.testing.assert_allclose(
        stats.multivariate_normal.pdf(0.5, 0.0, 2.0), reference.norm.pdf(0.5, 0, 2**0.5), 1e-5
    )
    slope = fnn.grad(lambda m: stats.multivariate_normal.logpdf(x[0], m, cov))(mean)
    np.testing.assert_allclose(slope, np.linalg.solve(cov, x[0] - mean), 1e-4, 1e-5)
    p = np.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(stats.dirichlet.logpdf(p, p * 4), reference.dirichlet.logpdf(p, p * 4), 1e-5)
    np.testing.assert_allclose(
        stats.dirichlet.logpdf(p[:2], p * 4), reference.dirichlet.logpdf(p, p * 4), 1e-5
    )
    counts = np.array([[1, 2, 3], [0, 0, 5]])
    want = reference.multinomial.logpmf(counts, 6, p)
    np.testing.assert_allclose(stats.multinomial.logpmf(counts, 6, p), want, 1e-5)
    with pytest.raises(ShapeError, match="covariance"):
        stats.multivariate_normal.logpdf(x, mean, np.eye(2))
    with pytest.raises(DtypeError, match="integers"):
        stats.multinomial.logpmf(p, 6, p)


def test_tails_and_entropies() -> None:
    np.testing.assert_allclose(stats.norm.logsf(20.0), reference.norm.logsf(20), 1e-6)
    np.testing.assert_allclose(
        stats.truncnorm.logcdf(4.1, 4.0, 6.0), reference.truncnorm.logcdf(4.1, 4, 6), 1e-3
    )
    mu = np.array([0, 0.5, 20, 500.0])
    np.testing.assert_allclose(stats.poisson.entropy(mu), reference.poisson.entropy(mu), 1e-5)
    np.testing.assert_allclose(stats.vonmises.logpdf(0.5, 2.0), reference.vonmises.logpdf(0.5, 2), 1e-5)
    np.testing.assert_allclose(stats.wrapcauchy.pdf(0.5, 0.3), reference.wrapcauchy.pdf(0.5, 0.3), 1e-5)


def test_statistics_of_samples() -> None:
    a = RNG.integers(0, 4, (6, 5))
    for method in ("average", "min", "max", "dense", "ordinal"):
        np.testing.assert_array_equal(
            stats.rankdata(a, method, axis=1), reference.rankdata(a, method, axis=1)
        )
        np.testing.assert_array_equal(stats.rankdata(a, method), reference.rankdata(a, method).reshape(-1))
    for axis in (0, 1, None):
        got, want = stats.mode(a, axis), reference.mode(a, axis)
        np.testing.assert_array_equal(got.mode, want.mode)
        np.testing.assert_array_equal(got.count, want.count)
    np.testing.assert_allclose(stats.sem(a * 1.0), reference.sem(a * 1.0), 1e-6)
    with pytest.raises(ArgumentError, match="method"):
        stats.rankdata(a, "mean")


def test_kernel_density() -> None:
    points = RNG.normal(size=(2, 50))
    at = points[:, :7]
    for method in (None, "silverman", 0.5):
        ours, theirs = stats.gaussian_kde(points, method), reference.gaussian_kde(points, method)
        np.testing.assert_allclose(ours(at), theirs(at), 1e-4)
    weighted = stats.gaussian_kde(points, weights=np.arange(50.0))
    np.testing.assert_allclose(
        weighted(at), reference.gaussian_kde(points, weights=np.arange(50.0))(at), 1e-4
    )
    drawn = fnn.jit(lambda kde: kde.resample(fnn.random.key(0), (1000,)))(ours)
    assert drawn.shape == (2, 1000) and abs(float(fnp.mean(drawn))) < 0.3


def test_calls_that_cannot_be() -> None:
    wrong: Any = stats.norm
    with pytest.raises(ArgumentError, match="takes x, loc, scale"):
        wrong.logpdf(0.0, mean=1.0)
    with pytest.raises(ArgumentError, match="needs a"):
        stats.gamma.logpdf(1.0)
    with pytest.raises(AttributeError, match="logpmf"):
        wrong.logpmf(1)
