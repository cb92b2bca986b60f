"""fnn.scipy's interpolation on grids, quantisation and integrals against SciPy, with derivatives, jit and vmap."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.integrate
import scipy.interpolate
import scipy.ndimage

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from fnn.scipy import cluster, integrate, interpolate, ndimage
from fnn.test_util import check_grads

RNG = np.random.default_rng(11)
MODES = {
    "constant": "grid-constant", "nearest": "nearest", "wrap": "grid-wrap", "mirror": "mirror", "reflect": "reflect",
    "grid-constant": "grid-constant", "grid-wrap": "grid-wrap", "grid-mirror": "grid-mirror",
}  # fmt: skip  # the name in SciPy
SHAPES = [(7,), (5, 6), (3, 4, 5), (1, 4)]


# -- ndimage.map_coordinates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [0, 1])
def test_map_coordinates(mode: str, order: int) -> None:
    for shape, dtype in itertools.product(SHAPES, ("float32", "float64", "int32", "uint8")):
        x = RNG.uniform(0, 100, shape).astype(dtype)
        at = [RNG.uniform(-2.2 * n, 3.2 * n, (4, 5)) for n in shape]
        want = scipy.ndimage.map_coordinates(x.astype(float), at, order=order, mode=MODES[mode], cval=3)
        if dtype in ("int32", "uint8"):
            want = np.floor(want + 0.5)
        got = ndimage.map_coordinates(
            fnp.asarray(x, dtype), [fnp.asarray(c, "float64") for c in at], order, mode, 3
        )
        assert got.dtype == dtype and got.shape == (4, 5)
        np.testing.assert_allclose(got, want, 2e-5, 1e-4)


@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
def test_map_coordinates_derivatives(mode: str) -> None:
    x = fnp.asarray(RNG.normal(size=(4, 5)), "float64")
    at = fnp.asarray(RNG.uniform(-3, 8, (2, 12)), "float64")
    f = lambda x, at, c: ndimage.map_coordinates(x, at, 1, mode, c)
    check_grads(f, (x, at, fnp.asarray(0.5, "float64")), 2, atol=1e-6, rtol=1e-6)
    batches = fnn.jit(fnn.vmap(f, (None, 1, None)))(x, at.reshape(2, 3, 4), 0.5)
    np.testing.assert_allclose(batches.reshape(12), f(x, at, 0.5), 1e-12)


def test_map_coordinates_at_the_nearest_element() -> None:
    x = fnp.arange(5)
    np.testing.assert_array_equal(
        ndimage.map_coordinates(x, [fnp.array([0.5, 1.5, 2.4, -0.5])], 0, "nearest"), [1, 2, 2, 0]
    )
    np.testing.assert_array_equal(ndimage.map_coordinates(x, [fnp.array([3, 1])], 0), [3, 1])
    out = ndimage.map_coordinates(x.astype(float), [fnp.array([np.nan, np.inf, 1.0])], 1)
    assert fnp.isnan(out[:2]).all() and out[2] == 1


def test_map_coordinates_refuses() -> None:
    x = fnp.ones((3, 3))
    with pytest.raises(ArgumentError, match="1 coordinates"):
        ndimage.map_coordinates(x, [fnp.ones(2)], 1)
    with pytest.raises(ArgumentError, match="'edge'"):
        ndimage.map_coordinates(x, fnp.ones((2, 2)), 1, "edge")
    with pytest.raises(UnsupportedError, match="splines"):
        ndimage.map_coordinates(x, fnp.ones((2, 2)), 3)
    with pytest.raises(ArgumentError, match="no elements"):
        ndimage.map_coordinates(fnp.ones((0, 3)), fnp.ones((2, 2)), 1)


# -- interpolate.RegularGridInterpolator -----------------------------------------------------------------------------


def grid(shape: tuple[int, ...], falling: bool = False) -> tuple[np.ndarray, ...]:
    points = [np.sort(RNG.uniform(0, 5, n)) for n in shape]
    return tuple(p[::-1] if falling else p for p in points)


@pytest.mark.parametrize("method", ["linear", "nearest"])
@pytest.mark.parametrize("fill", [np.nan, 7.0, None])
def test_interpolator(method: str, fill: float | None) -> None:
    for shape, rest, falling in [
        ((5,), (), False),
        ((4, 6), (2,), False),
        ((3, 4, 2), (), True),
        ((4, 1), (), False),
    ]:
        points, values = grid(shape, falling), RNG.normal(size=shape + rest)
        options: dict[str, Any] = {"method": method, "bounds_error": False, "fill_value": fill}
        want = scipy.interpolate.RegularGridInterpolator(points, values, **options)
        got = interpolate.RegularGridInterpolator(
            [fnp.asarray(p, "float64") for p in points], fnp.asarray(values, "float64"), **options
        )
        xi = RNG.uniform(-1, 6, (3, 8, len(shape)))
        for p in range(len(shape)):
            xi[0, p] = [q[p % len(q)] for q in points]  # on grid points
        inside = points[-1][0] if shape[-1] == 1 else None
        if inside is not None:
            xi[..., -1] = inside
        np.testing.assert_allclose(got(fnp.asarray(xi, "float64")), want(xi), 1e-10, 1e-12)
        if len(shape) == 1:
            continue  # SciPy takes a tuple of one for the array in it
        columns = tuple(fnp.asarray(xi[..., a], "float64") for a in range(len(shape)))
        np.testing.assert_allclose(got(columns), want(xi), 1e-10, 1e-12)


def test_interpolator_derivatives_and_transformations() -> None:
    points = [fnp.asarray(p, "float64") for p in grid((4, 5))]
    values = fnp.asarray(RNG.normal(size=(4, 5)), "float64")
    lows, highs = [float(p[0]) for p in points], [float(p[-1]) for p in points]
    xi = fnp.asarray(RNG.uniform(np.array(lows) + 0.1, np.array(highs) - 0.1, (6, 2)), "float64")
    f = lambda values, xi: interpolate.RegularGridInterpolator(points, values)(xi)
    check_grads(f, (values, xi), 2, atol=1e-6, rtol=1e-6)
    whole = interpolate.RegularGridInterpolator(points, values)
    want = whole(xi)
    np.testing.assert_allclose(fnn.jit(lambda g, x: g(x))(whole, xi), want, 1e-12)  # a pytree
    np.testing.assert_allclose(fnn.vmap(lambda x: whole(x)[0])(xi), want, 1e-12)
    traced = fnn.jit(lambda p, v, x: interpolate.RegularGridInterpolator(p, v)(x))
    np.testing.assert_allclose(traced(points, values, xi), want, 1e-12)


def test_interpolator_where_nothing_is_known() -> None:
    f = interpolate.RegularGridInterpolator([fnp.arange(3.0)], fnp.arange(3.0))
    assert fnp.isnan(f(fnp.array([np.nan, -1.0, 3.0]))).all()
    assert interpolate.RegularGridInterpolator([fnp.arange(3.0)], fnp.arange(3))([1.5])[0] == 1.5


def test_interpolator_refuses() -> None:
    make = interpolate.RegularGridInterpolator
    line, values = fnp.arange(3.0), fnp.ones((3, 4))
    with pytest.raises(ShapeError, match=r"points\[1\]"):
        make([line, line], values)
    with pytest.raises(ArgumentError, match="neither increases nor decreases"):
        make([fnp.array([0.0, 2.0, 1.0])], values)
    with pytest.raises(ArgumentError, match="cubic"):
        make([line], values, "cubic")
    with pytest.raises(ArgumentError, match="cubic"):
        make([line], values)(line, "cubic")
    with pytest.raises(UnsupportedError, match="bounds_error"):
        make([line], values, bounds_error=True)
    with pytest.raises(DtypeError, match="fill_value"):
        make([line], values, fill_value=1j)
    with pytest.raises(ShapeError, match="2 coordinates"):
        make([line], values)(fnp.ones((5, 2)))


# -- cluster.vq, integrate.trapezoid ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20, 3), (20,)])
def test_vq(shape: tuple[int, ...]) -> None:
    x, codes = RNG.normal(size=shape), RNG.normal(size=(4, *shape[1:]))
    want = scipy.cluster.vq.vq(x, codes)
    xs, cs = fnp.asarray(x, "float64"), fnp.asarray(codes, "float64")
    for got in (cluster.vq.vq(xs, cs), fnn.jit(cluster.vq.vq)(xs, cs)):
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_allclose(got[1], want[1], 1e-12)
    check_grads(lambda x, c: cluster.vq.vq(x, c)[1], (xs, cs), 1, atol=1e-6, rtol=1e-6)
    batches = fnn.vmap(cluster.vq.vq, (0, None))(fnp.stack([xs, 2 * xs]), cs)
    np.testing.assert_array_equal(batches[0][1], scipy.cluster.vq.vq(2 * x, codes)[0])
    assert cluster.vq.vq(fnp.ones((0, 2)), fnp.ones((3, 2)))[0].shape == (0,)
    with pytest.raises(ShapeError, match="rows"):
        cluster.vq.vq(fnp.ones((3, 2)), fnp.ones((3, 3)))


def test_trapezoid() -> None:
    y, x = RNG.normal(size=(3, 8)), np.sort(RNG.normal(size=8))
    np.testing.assert_allclose(integrate.trapezoid(y, dx=0.5), scipy.integrate.trapezoid(y, dx=0.5), 1e-5)
    np.testing.assert_allclose(integrate.trapezoid(y, x), scipy.integrate.trapezoid(y, x), 1e-4, 1e-5)
    np.testing.assert_allclose(integrate.trapezoid(y, axis=0), scipy.integrate.trapezoid(y, axis=0), 1e-5)
    check_grads(
        integrate.trapezoid, (fnp.asarray(y, "float64"), fnp.asarray(x, "float64")), 1, atol=1e-6, rtol=1e-6
    )
