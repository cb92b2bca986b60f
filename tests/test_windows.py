"""Sliding windows against plain loops: reductions, selections, their loop programs, derivatives and errors."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from primitive_kernels import assert_same, jvp, run_kernel, vjp

from fnn import dtypes
from fnn.core.array import from_numpy
from fnn.errors import ArgumentError, DifferentiationError, DtypeError, ShapeError
from fnn.primitives import reduce_window, select_and_gather_add, select_and_scatter_add
from fnn.primitives.windows import window_reduction
from fnn.transforms.jit import jit

PRINTERS = ("interpreter", "vector64", "vector16", "numba")
COMBINE: dict[str, Callable[[list[Any]], Any]] = {
    "add": sum, "mul": math.prod, "max": lambda xs: np.max(xs), "min": lambda xs: np.min(xs),
}  # fmt: skip


def parameters(window: tuple[int, ...], **given: Any) -> dict[str, Any]:
    ones = (1,) * len(window)
    return {
        "window": window,
        "strides": ones,
        "padding": ((0, 0),) * len(window),
        "base_dilation": ones,
        "window_dilation": ones,
        **given,
    }


def windows(shape: tuple[int, ...], p: dict[str, Any]) -> tuple[tuple[int, ...], Callable[..., list[Any]]]:
    """(number of windows along each axis, place -> the positions of the elements in that window, in order)."""
    extents = []
    for d, n in enumerate(shape):
        whole = (n - 1) * p["base_dilation"][d] + 1 + sum(p["padding"][d])
        extents.append(
            max(0, (whole - (p["window"][d] - 1) * p["window_dilation"][d] - 1) // p["strides"][d] + 1)
        )

    def elements(place: tuple[int, ...]) -> list[Any]:
        found = []
        for tap in np.ndindex(*p["window"]):
            at = []
            for d, (o, k) in enumerate(zip(place, tap, strict=True)):
                moved = o * p["strides"][d] - p["padding"][d][0] + k * p["window_dilation"][d]
                if moved % p["base_dilation"][d] == 0 and 0 <= moved // p["base_dilation"][d] < shape[d]:
                    at.append(moved // p["base_dilation"][d])
            if len(at) == len(shape):
                found.append(tuple(at))
        return found

    return tuple(extents), elements


def reduced(x: np.ndarray, combine: str, empty: Any, p: dict[str, Any]) -> np.ndarray:
    extents, elements = windows(x.shape, p)
    out = np.full(extents, empty, x.dtype)
    for place in np.ndindex(*extents):
        values = [x[at] for at in elements(place)]
        if values:
            out[place] = COMBINE[combine](values)
    return out


def selected(x: np.ndarray, select: str, p: dict[str, Any]) -> dict[Any, Any]:
    """place -> position of the first largest (smallest) element of that window; none for a window without
    elements."""
    extents, elements = windows(x.shape, p)
    best = max if select == "ge" else min
    found = {place: elements(place) for place in np.ndindex(*extents)}
    return {place: best(inside, key=lambda at: x[at]) for place, inside in found.items() if inside}


# shape, parameters
CASES: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((2, 4, 6, 3), parameters((1, 2, 2, 1), strides=(1, 2, 2, 1))),  # channels last
    ((2, 5, 7, 20), parameters((1, 3, 3, 1), strides=(1, 2, 2, 1), padding=((0, 0), (1, 1), (1, 1), (0, 0)))),
    ((2, 3, 6, 8), parameters((1, 1, 2, 2), strides=(1, 1, 2, 2))),  # channels first
    ((2, 2, 5, 19), parameters((1, 1, 3, 3), padding=((0, 0), (0, 0), (1, 1), (1, 1)))),
    ((6, 20), parameters((2, 3), strides=(2, 3), padding=((1, 2), (-1, 3)), window_dilation=(2, 1))),
    ((4, 9, 2), parameters((3, 3, 1), base_dilation=(2, 1, 1), padding=((0, 0), (1, 2), (0, 0)))),
    ((4, 9), parameters((3, 3), base_dilation=(2, 3), strides=(1, 2), padding=((1, 0), (1, 5)))),
    ((1100,), parameters((3,), padding=((1, 1),))),  # several blocks of lanes
    ((3, 1100), parameters((2, 1))),
    ((2, 3, 2, 3, 2), parameters((1, 2, 1, 2, 1), padding=((0, 0), (1, 0), (0, 0), (0, 1), (0, 0)))),
    ((3, 4), parameters((1, 1), strides=(2, 2))),
    ((2, 3), parameters((1, 2), padding=((0, 0), (4, 3)))),  # some windows are empty
    ((5,), parameters((1,))),
    ((), parameters(())),
    ((2, 0), parameters((2, 1))),
    ((2, 2100), parameters((1, 2), strides=(1, 2))),  # windows divide the array
    ((2, 5, 8, 3), parameters((1, 2, 2, 1), strides=(1, 2, 3, 1), padding=((0, 0), (0, 0), (-1, 0), (0, 0)))),
    ((3, 700), parameters((2, 3), base_dilation=(1, 2), padding=((0, 0), (2, 1)))),
    ((2, 40), parameters((1, 4), base_dilation=(1, 3), strides=(1, 2), padding=((0, 0), (2, 1)))),
]


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small integers, with many ties; sums and products of a few are exact."""
    return rng.integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("case", "printer"),
    [
        (case, printer)
        for case in range(len(CASES))
        for printer in PRINTERS
        if printer != "numba" or case in (1, 6)
    ],
)
def test_selections(case: int, printer: str, rng: np.random.Generator) -> None:
    """Of equal elements the first one in the window is selected."""
    shape, p = CASES[case]
    x = drawn(rng, *shape)
    extents, _ = windows(shape, p)
    source, given = drawn(rng, *extents), drawn(rng, *shape)
    for select in ("ge", "le"):
        scattered, gathered = np.zeros_like(x), np.zeros_like(source)
        for place, at in selected(x, select, p).items():
            scattered[at] += source[place]
            gathered[place] = given[at]
        q = {**p, "select": select}
        assert_same(run_kernel(select_and_scatter_add, [source, x], q, printer)[0], scattered)
        assert_same(run_kernel(select_and_gather_add, [given, x], q, printer)[0], gathered)
        assert_same(select_and_scatter_add(source, x, **q).value, scattered)
        assert_same(select_and_gather_add(given, x, **q).value, gathered)


@pytest.mark.parametrize("printer", PRINTERS)
@pytest.mark.parametrize("combine", COMBINE)
def test_reductions(combine: str, printer: str, rng: np.random.Generator) -> None:
    empty = {"add": 0, "mul": 1, "max": -np.inf, "min": np.inf}[combine]
    for shape, p in CASES[1:4] if printer == "numba" else CASES:
        x = drawn(rng, *shape)
        want = reduced(x, combine, empty, p)
        assert_same(run_kernel(window_reduction, [x], {**p, "combine": combine}, printer)[0], want)
        assert_same(reduce_window(x, np.float32(empty), combine=combine, **p).value, want)


@pytest.mark.parametrize("code", ["f8", "f2", dtypes.bfloat16, "i1", "i4", "u2", "b1"], ids=str)
@pytest.mark.parametrize("case", [1, 3, 6, 11])
def test_reductions_of_other_dtypes(case: int, code: Any, rng: np.random.Generator) -> None:
    shape, p = CASES[case]
    dtype = np.dtype(bool if code == "b1" else code)
    x = drawn(rng, *shape).astype(dtype) if dtype.kind != "u" else rng.integers(0, 9, shape).astype(dtype)
    limits: dict[str, Any]
    if dtype.kind == "b":
        limits = {"max": False, "min": True}
    elif dtype.kind in "iu":
        limits = {"add": 0, "max": np.iinfo(dtype.str).min, "min": np.iinfo(dtype.str).max}
    else:
        limits = {"add": 0, "max": -np.inf, "min": np.inf}
    for combine, empty in limits.items():
        want = reduced(x, combine, empty, p)
        assert_same(run_kernel(window_reduction, [x], {**p, "combine": combine}, "vector64")[0], want)


@pytest.mark.parametrize("case", [1, 3, 6, 8])
def test_tiles_are_independent(case: int, rng: np.random.Generator) -> None:
    shape, p = CASES[case]
    x = rng.standard_normal(shape).astype(np.float32)
    source = rng.standard_normal(windows(shape, p)[0]).astype(np.float32)
    for primitive, args, q in (
        (window_reduction, [x], {**p, "combine": "add"}),
        (select_and_scatter_add, [source, x], {**p, "select": "ge"}),
    ):
        forwards = run_kernel(primitive, args, q, "vector64")[0]
        assert_same(run_kernel(primitive, args, q, "vector64", backwards=True)[0], forwards)


@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("traced", [False, True])
def test_the_start_value_counts_once(combine: str, traced: bool, rng: np.random.Generator) -> None:
    x, p = drawn(rng, 6), parameters((3,), padding=((2, 2),))
    empty = {"add": 0, "mul": 1, "max": -np.inf, "min": np.inf}[combine]
    plain = reduced(x, combine, empty, p)
    want = np.array([COMBINE[combine]([value, np.float32(1.5)]) for value in plain], np.float32)

    def f(x: Any, init: Any) -> Any:
        return reduce_window(x, init, combine=combine, **p)

    got = (jit(f) if traced else f)(*[from_numpy(a, a.dtype) for a in (x, np.array(1.5, np.float32))])
    assert_same(got.value, want)


def test_nan_and_infinities() -> None:
    x = np.array([1, np.nan, 3, -np.inf, -np.inf, 2], np.float32)
    p = parameters((2,))
    for combine in ("max", "min"):
        want = {"max": np.maximum, "min": np.minimum}[combine](x[:-1], x[1:])
        for got in (
            window_reduction(x, combine=combine, **p).value,
            run_kernel(window_reduction, [x], {**p, "combine": combine}, "vector64")[0],
        ):
            assert_same(got, want)
    # minus infinity is selected where there is nothing more
    lowest, source = np.full(4, -np.inf, np.float32), np.array([1, 2, 4], np.float32)
    want = np.array([1, 2, 4, 0], np.float32)
    assert_same(
        run_kernel(select_and_scatter_add, [source, lowest], {**p, "select": "ge"}, "vector64")[0], want
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_the_derivative_of_a_maximum_goes_to_the_first(compiled: bool) -> None:
    x = from_numpy(np.array([2, 2, 1, 5, 5, 0], np.float32), np.dtype(np.float32))
    ct = from_numpy(np.array([1, 2, 4], np.float32), np.dtype(np.float32))
    p = {**parameters((2,), strides=(2,)), "combine": "max"}

    def back(x: Any, ct: Any) -> Any:
        return vjp(window_reduction, (True,), (x,), p)[1](ct)[0]

    def forward(x: Any, t: Any) -> Any:
        return jvp(window_reduction, (x,), (t,), p)[1]

    wrap = jit if compiled else lambda f: f
    assert wrap(back)(x, ct).value.tolist() == [1, 0, 0, 2, 4, 0]
    assert wrap(forward)(x, x).value.tolist() == [2, 5, 5]


def test_the_derivative_of_a_sum_counts_windows() -> None:
    x = np.zeros((3, 5), np.float32)
    p = {**parameters((2, 3), strides=(1, 2), padding=((1, 0), (1, 0))), "combine": "add"}
    out, pull = vjp(window_reduction, (True,), (x,), p)
    extents, elements = windows(x.shape, p)
    want = np.zeros_like(x)
    for place in np.ndindex(*extents):
        for at in elements(place):
            want[at] += 1
    np.testing.assert_array_equal(pull(np.ones(out.shape, np.float32))[0].value, want)


def test_products_refuse_derivatives() -> None:
    p = {**parameters((2,)), "combine": "mul"}
    with pytest.raises(DifferentiationError, match="no derivative"):
        vjp(window_reduction, (True,), (np.ones(3, np.float32),), p)


def test_errors() -> None:
    x, p = np.zeros((3, 4), np.float32), parameters((2, 2))
    with pytest.raises(ArgumentError, match="combine is one of"):
        reduce_window(x, 0.0, combine="mean", **p)
    with pytest.raises(ShapeError, match="window has 1 entries"):
        reduce_window(x, 0.0, combine="add", **{**p, "window": (2,)})
    with pytest.raises(ShapeError, match="entry below 1"):
        reduce_window(x, 0.0, combine="add", **{**p, "strides": (0, 1)})
    with pytest.raises(ShapeError, match="takes more away"):
        reduce_window(x, 0.0, combine="add", **{**p, "padding": ((-2, -2), (0, 0))})
    with pytest.raises(DtypeError):
        reduce_window(x > 0, 0.0, combine="add", **p)
    with pytest.raises(ShapeError, match="has windows"):
        select_and_scatter_add(x, x, select="ge", **p)
    with pytest.raises(ShapeError, match="differ in shape"):
        select_and_gather_add(x[1:], x, select="ge", **p)
    with pytest.raises(ArgumentError, match="select is"):
        select_and_gather_add(x, x, select="gt", **p)
