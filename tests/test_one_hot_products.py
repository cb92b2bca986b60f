"""Products with one-hot rows become reads and sums of rows; the results are the product's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax, nn
from fnn.transforms.passes import one_hot as rows

N, D = 40, 24
SHAPES: dict[str, Callable[[Any, Any], Any]] = {
    "left": lambda hot, w: hot @ w,
    "right": lambda hot, w: w.T @ hot.T,
    "columns": lambda hot, w: fnp.tensordot(hot, w.T, ((1,), (1,))),
    "classes first": lambda hot, w: fnp.einsum("nb,nd->bd", hot.T, w),
    "vector": lambda hot, w: hot @ w[:, 0],
    "free axes": lambda hot, w: fnp.tensordot(hot, w.reshape(N, 4, -1), 1),
}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are."""
    monkeypatch.setattr(rows, "READ", -1e9)
    monkeypatch.setattr(rows, "ADDED", -1e9)


def operands(kind: str, dtype: Any = np.float32, labels: Any = np.int32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((N, D))
    if kind != "finite":
        w[3, 0] = np.inf
        w[3, 1], w[5, 1] = -np.inf, np.nan
        w[N - 1, 2] = np.nan
        w[0, 4] = np.inf
        w[:, 5] = -0.0
    low, high = (0, N) if kind == "finite" or np.dtype(labels).kind == "u" else (-2, N + 3)
    names = rng.integers(low, high, 64).astype(labels)
    names[:8] = [3, 5, 3, N - 1, 0, 0, 3, N + 1]
    return names, w.astype(dtype)


def primitives_of(f: Callable, *args: Any) -> str:
    return str(fnn.jit(f).lower(*args).plan())


def agree(f: Callable, primitive: str, names: np.ndarray, x: np.ndarray, tolerance: float = 0.0) -> None:
    want = np.asarray(f(fnp.asarray(names), fnp.asarray(x)))
    assert primitive in primitives_of(f, names, x)
    got = np.asarray(fnn.jit(f)(names, x))
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_allclose(got.astype("f8"), want.astype("f8"), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["finite", "any"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_read(shape: str, kind: str) -> None:
    agree(lambda names, w: SHAPES[shape](nn.one_hot(names, N), w), "gather", *operands(kind))


@pytest.mark.parametrize("kind", ["finite", "any"])
@pytest.mark.parametrize("shape", ["left", "right", "more axes", "turned", "vector"])
def test_rows_are_added_up(shape: str, kind: str) -> None:
    names, x = operands(kind)
    g = np.resize(x, (64, D))

    def f(names: Any, g: Any) -> Any:
        hot = nn.one_hot(names, N)
        if shape == "more axes":
            return fnp.einsum("abn,abd->nd", nn.one_hot(names.reshape(2, -1), N), g.reshape(2, -1, D))
        if shape == "turned":
            return fnp.einsum(
                "bna,abd->nd", nn.one_hot(names.reshape(2, -1), N).transpose(1, 2, 0), g.reshape(2, -1, D)
            )
        return hot.T @ g if shape == "left" else g.T @ hot if shape == "right" else g[:, 1] @ hot

    agree(f, "scatter", names, g, 1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int32"])
def test_every_dtype(dtype: str) -> None:
    names, w = operands("finite" if dtype == "int32" else "any")
    w = fnp.asarray(w * 10, dtype=dtype)
    g = fnp.concatenate([w, w[:24]])
    hot = lambda names: nn.one_hot(names, N, dtype=dtype)
    agree(lambda names, w: hot(names) @ w, "gather", names, w)
    agree(lambda names, g: hot(names).T @ g, "scatter", names, g, 1e-12 if dtype == "float64" else 0.01)


@pytest.mark.parametrize("labels", ["int8", "uint8", "uint32", "int16"])
def test_every_type_of_labels(labels: str) -> None:
    names, w = operands("any", labels=labels)
    agree(lambda names, w: (names[:, None] == lax.iota(labels, N)).astype("float32") @ w, "gather", names, w)


def test_of_nothing() -> None:
    w = np.ones((N, 3), np.float32)
    assert np.asarray(fnn.jit(lambda n, w: nn.one_hot(n, N) @ w)(np.zeros(0, np.int32), w)).shape == (0, 3)
    got = fnn.jit(lambda n, g: nn.one_hot(n, N).T @ g)(np.zeros(0, np.int32), w[:0])
    assert np.array_equal(np.asarray(got), np.zeros((N, 3)))


def test_ways_to_write_it() -> None:
    names, w = operands("any")
    agree(lambda n, w: fnp.where(n[:, None] == fnp.arange(N), 1.0, 0.0) @ w, "gather", names, w)
    agree(lambda n, w: (fnp.arange(N)[None] == n.reshape(-1, 1)).astype(w.dtype) @ w, "gather", names, w)
    agree(lambda n, w: nn.one_hot(n, N, axis=0).T @ w, "gather", names, w)
    agree(lambda n, w: nn.one_hot(n.reshape(4, -1), N) @ w, "gather", names, w)
    agree(
        lambda n, w: w.T @ nn.one_hot(n.reshape(4, -1), N).transpose(2, 1, 0).reshape(N, -1),
        "dot",
        names,
        w,
        1e-6,
    )
    agree(
        lambda n, w: fnp.einsum("nba,nd->abd", nn.one_hot(n.reshape(4, -1), N).transpose(2, 1, 0), w),
        "gather",
        names,
        w,
    )
    agree(lambda n, w: fnn.vmap(lambda k: nn.one_hot(k, N) @ w)(n), "gather", names, w)
    agree(lambda n, w: fnp.stack([lax.scan(lambda c, n: (c, nn.one_hot(n, N) @ w), 0, n[None])[1][0]] * 2),
          "gather", names, w)  # fmt: skip


def test_what_only_looks_like_it_stays_a_product() -> None:
    names, w = operands("finite")
    for f in (
        lambda n, w: (n[:, None] == fnp.arange(1, N + 1)).astype("float32") @ w,
        lambda n, w: (n[:, None] >= fnp.arange(N)).astype("float32") @ w,
        lambda n, w: fnp.where(n[:, None] == fnp.arange(N), 2.0, 0.0) @ w,
        lambda n, w: (n.astype("float32")[:, None] == fnp.arange(N)).astype("float32") @ w,
        lambda n, w: (n[:40, None] == fnp.arange(N) * fnp.ones((N, 1), "int32").T).astype("float32") @ w,
        lambda n, w: (
            (n.astype("int8")[:, None] == lax.iota("int8", 300)).astype("float32") @ fnp.ones((300, 3))
        ),
    ):
        assert "gather" not in primitives_of(f, names, w)
        np.testing.assert_allclose(
            np.asarray(fnn.jit(f)(names, w)), np.asarray(f(fnp.asarray(names), fnp.asarray(w))), 1e-4, 1e-4
        )


def test_gradients_and_their_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    names, w = operands("finite")
    step = fnn.value_and_grad(lambda w, names: fnp.sum(fnp.tanh(nn.one_hot(names, N) @ w)))
    plan = primitives_of(step, w, names)
    assert "gather" in plan
    assert "scatter" in plan
    for got, want in zip(fnn.jit(step)(w, names), step(fnp.asarray(w), fnp.asarray(names)), strict=True):
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), 1e-5, 1e-5)
    monkeypatch.setattr(rows, "READ", 1e9)
    monkeypatch.setattr(rows, "ADDED", 1e9)
    fnn.cache.clear()
    plan = primitives_of(lambda names, w: step(w, names), names, w)
    assert "gather" not in plan
    assert "scatter" not in plan


def test_sums_of_many_rows_are_as_exact_as_the_product() -> None:
    rng = np.random.default_rng(0)
    g = rng.random((60_000, 3), np.float32)
    for names in (rng.integers(0, 4, 60_000), np.zeros(60_000, int)):
        f = fnn.jit(lambda names, g: nn.one_hot(names, 4).T @ g)
        want = np.stack([g[names == k].sum(0, dtype=np.float64) for k in range(4)])
        got = np.asarray(f(names.astype(np.int32), g), np.float64)
        assert np.all(np.abs(got - want) <= 8 * want * np.finfo(np.float32).eps)


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_an_explicit_float64_is_one(dtype: Any) -> None:
    assert nn.one_hot(2, 4, dtype=dtype).dtype == np.float64
    assert lax.convert_element_type(fnp.ones(2), dtype).dtype == np.float64
    assert lax.iota(dtype, 3).dtype == np.float64
    assert lax.convert_element_type(fnp.ones(2), float).dtype == np.float32
