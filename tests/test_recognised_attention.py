"""Attention written by hand becomes the attention primitive where all of it is there, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.checker import check
from fnn.core.ir import Graph
from fnn.transforms.passes import attention_patterns, pipeline
from tests.tolerances import assert_close

rng = np.random.default_rng(3)


def real(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def softmax_by_hand(scores: Any) -> Any:
    powers = fnp.exp(scores - fnn.lax.stop_gradient(fnp.max(scores, -1, keepdims=True)))
    return powers / fnp.sum(powers, -1, keepdims=True)


def triangle(scores: Any, fill: float = -1e30, right: int = 0) -> Any:
    queries, keys = scores.shape[-2:]
    return fnp.where(fnp.arange(queries)[:, None] + right >= fnp.arange(keys), scores, fill)


def by_einsum(q: Any, k: Any, v: Any) -> Any:
    """As in the transformer of many a tutorial: heads in the middle, transposed for the products."""
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = triangle(fnp.einsum("nhqd,nhkd->nhqk", q, k) * q.shape[-1] ** -0.5)
    return fnp.einsum("nhqk,nhkd->nhqd", fnn.nn.softmax(scores, -1), v).transpose(0, 2, 1, 3)


def by_matmul(q: Any, k: Any, v: Any) -> Any:
    scores = q @ fnp.swapaxes(k, -1, -2) / 6.0
    mask = fnp.tril(fnp.ones(scores.shape[-2:], bool), 2)
    return softmax_by_hand(fnp.where(mask, scores, -fnp.inf)) @ v


def unscaled(q: Any, k: Any, v: Any) -> Any:
    return fnn.nn.softmax(triangle(fnp.einsum("nqd,nkd->nqk", q, k), -1e9, 1)) @ v


def unmasked(q: Any, k: Any, v: Any) -> Any:
    return fnn.nn.softmax(fnp.einsum("nqd,nkd->nqk", q, k) * 0.2) @ v


FORMS: dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[int, ...]]] = {
    "einsum": (by_einsum, (2, 80, 3, 32), (2, 80, 3, 32)),
    "matmul of 4 axes": (by_matmul, (2, 3, 80, 32), (2, 3, 96, 32)),
    "matmul of 3 axes": (by_matmul, (3, 80, 32), (3, 64, 32)),
    "matmul of 2 axes": (by_matmul, (80, 32), (96, 32)),
    "unscaled": (unscaled, (3, 80, 16), (3, 90, 16)),
    "unmasked": (unmasked, (3, 80, 32), (3, 90, 32)),
}


def operands(name: str) -> tuple[Callable[..., Any], tuple[np.ndarray, ...]]:
    f, query, key = FORMS[name]
    return f, (real(*query), real(*key), real(*key))


def with_gradient(f: Callable[..., Any], ct: np.ndarray) -> Callable[..., Any]:
    def both(*xs: Any) -> Any:
        out, pull = fnn.vjp(f, *xs)
        return out, pull(ct)

    return both


def primitives(f: Callable[..., Any], *args: Any) -> list[str]:
    graph: Graph = fnn.jit(f).lower(*args).graph()
    done = pipeline.optimize(graph)
    check(done, "recognised")
    return [e.primitive.name for e in done.equations]


@pytest.mark.parametrize("name", FORMS)
def test_forward(name: str) -> None:
    f, args = operands(name)
    names = primitives(f, *args)
    assert names.count("attention") == 1 and "dot_general" not in names
    assert_close(fnn.jit(f)(*args), f(*args), 4)


@pytest.mark.parametrize("name", FORMS)
def test_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_patterns, "MANY", 0)
    f, args = operands(name)
    both = with_gradient(f, real(*f(*args).shape))
    names = primitives(both, *args)
    assert names.count("attention") == names.count("attention_gradient") == 1
    assert "dot_general" not in names and "exp" not in names
    for got, want in zip(fnn.tree.leaves(fnn.jit(both)(*args)), fnn.tree.leaves(both(*args)), strict=True):
        assert_close(got, want, 16)


def test_a_gradient_without_a_triangle_needs_many_scores() -> None:
    f, args = operands("unmasked")
    both = with_gradient(f, real(*f(*args).shape))
    assert "attention" not in primitives(both, *args)
    large = [np.zeros((8, 1024, 32), np.float32)] * 3
    assert "attention_gradient" in primitives(with_gradient(f, np.zeros((8, 1024, 32), np.float32)), *large)


def test_layers_of_a_model() -> None:
    """Each layer's attention is found, with its gradient, among everything else."""

    def loss(weights: Any, x: Any) -> Any:
        for w in weights:
            q, k, v = (a.reshape(2, 64, 2, 16) for a in fnp.split(x @ w, 3, -1))
            x = x + by_einsum(q, k, v).reshape(2, 64, 32)
        return fnp.mean(x * x)

    weights, x = [0.2 * real(32, 96) for _ in range(3)], real(2, 64, 32)
    step = fnn.value_and_grad(loss)
    names = primitives(step, weights, x)
    assert names.count("attention") == names.count("attention_gradient") == 3
    for got, want in zip(
        fnn.tree.leaves(fnn.jit(step)(weights, x)), fnn.tree.leaves(step(weights, x)), strict=True
    ):
        assert_close(got, want, 16)


def test_a_masked_pair_counts_for_nothing_whatever_stands_there() -> None:
    q, k, v = operands("unscaled")[1]
    q, k = 100 * q, 100 * k  # scores of ten thousands
    assert_close(fnn.jit(unscaled)(q, k, v), unscaled(q, k, v), 4)


ANY_MASK = rng.random((80, 90)) < 0.5
NEARLY = np.tri(80, 90, dtype=bool)
NEARLY[40, 2] = False


def scores_of(q: Any, k: Any) -> Any:
    return fnp.einsum("nqd,nkd->nqk", q, k)


OTHERS: dict[str, Callable[..., Any]] = {
    "the weights are a result too": lambda q, k, v: (w := softmax_by_hand(scores_of(q, k)), w @ v),
    "the scores are a result too": lambda q, k, v: (s := scores_of(q, k), softmax_by_hand(s) @ v),
    "a small number for masked pairs": lambda q, k, v: softmax_by_hand(triangle(scores_of(q, k), -30.0)) @ v,
    "another mask": lambda q, k, v: softmax_by_hand(fnp.where(ANY_MASK, scores_of(q, k), -1e30)) @ v,
    "nearly a triangle": lambda q, k, v: softmax_by_hand(fnp.where(NEARLY, scores_of(q, k), -1e30)) @ v,
    "a mask from data": lambda q, k, v: softmax_by_hand(fnp.where(k[:, None, :, 0] > 0, scores_of(q, k), -1e30)) @ v,
    "a query without keys": lambda q, k, v: softmax_by_hand(triangle(scores_of(q, k), right=-1)) @ v,
    "something between": lambda q, k, v: (softmax_by_hand(scores_of(q, k)) * (v[:, None, :, 0] > 0)) @ v,
    "another axis": lambda q, k, v: fnn.nn.softmax(scores_of(q, k), 1) @ v,
    "another maximum": lambda q, k, v: (
        (e := fnp.exp((s := scores_of(q, k)) - fnp.max(s, 1, keepdims=True))) / fnp.sum(e, -1, keepdims=True)
    ) @ v,
    "a sum of something else": lambda q, k, v: (
        (e := fnp.exp((s := scores_of(q, k)) - fnp.max(s, -1, keepdims=True))) / fnp.sum(e * e, -1, keepdims=True)
    ) @ v,
    "summed over queries": lambda q, k, v: fnp.einsum("nqk,nqd->nkd", softmax_by_hand(scores_of(q, k)), q),
    "half precision": lambda q, k, v: softmax_by_hand(
        scores_of(q.astype(fnp.bfloat16), k.astype(fnp.bfloat16))
    ) @ v.astype(fnp.bfloat16),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_something_else_stays(name: str) -> None:
    args = real(3, 80, 32), real(3, 90, 32), real(3, 90, 32)
    assert "attention" not in primitives(OTHERS[name], *args)


def test_short_sequences_stay() -> None:
    args = real(3, 20, 32), real(3, 20, 32), real(3, 20, 32)
    assert "attention" not in primitives(unmasked, *args)


def test_a_gradient_that_is_read_twice_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more than the gradient reads the weights, they are needed in any case."""
    monkeypatch.setattr(attention_patterns, "MANY", 0)
    q, k, v = operands("unmasked")[1]

    def entropy(q: Any, k: Any, v: Any) -> Any:
        w = softmax_by_hand(scores_of(q, k))
        return fnp.sum(w @ v) - fnp.sum(w * w)

    step = fnn.value_and_grad(entropy, (0, 1, 2))
    assert "attention" not in primitives(step, q, k, v)
    for got, want in zip(
        fnn.tree.leaves(fnn.jit(step)(q, k, v)), fnn.tree.leaves(step(q, k, v)), strict=True
    ):
        assert_close(got, want, 16)


def test_under_vmap_and_twice_differentiated() -> None:
    f, _ = operands("matmul of 2 axes")
    args = real(3, 80, 32), real(3, 96, 32), real(3, 96, 32)
    assert "attention" in primitives(fnn.vmap(f), *args)

    def loss(q: Any, k: Any, v: Any) -> Any:
        return fnp.sum(f(q, k, v) ** 2)

    one = [a[0] for a in args]
    product = fnn.jvp(fnn.grad(loss), tuple(one), tuple(one))[1]
    compiled = fnn.jit(lambda *xs: fnn.jvp(fnn.grad(loss), xs, xs)[1])(*one)
    assert_close(compiled, product, 64)
