"""Optimisers: the published formulas step by step in float64, schedules, pytrees, and use under jit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import optim
from fnn.errors import ArgumentError

SHAPES = {"w": (3, 2), "b": (4,)}


def gradients(rng: np.random.Generator, steps: int = 6) -> list[dict[str, np.ndarray]]:
    return [{k: rng.normal(size=s).astype(np.float32) for k, s in SHAPES.items()} for _ in range(steps)]


def run(optimizer: optim.GradientTransformation, grads: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Parameters after the steps, starting from ones; each step compiled."""
    params = {k: fnp.ones(s) for k, s in SHAPES.items()}
    state = optimizer.init(params)

    def step(params: Any, state: Any, g: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(g, state, params)
        return optim.apply_updates(params, updates), state

    for g in grads:
        params, state = step(params, state, g)
    return {k: np.asarray(v) for k, v in params.items()}


def expect(update: Any, grads: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The same with update(g, p, memory, step number from 1) -> change, in float64."""
    out = {}
    for k, s in SHAPES.items():
        p, memory = np.ones(s), {}
        for i, g in enumerate(grads):
            p = p + update(g[k].astype(float), p, memory, i + 1)
        out[k] = p
    return out


def adam(
    rate: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
    nesterov: bool = False,
):
    def update(g: Any, p: Any, memory: dict, t: int) -> Any:
        memory["m"] = b1 * memory.get("m", 0) + (1 - b1) * g
        memory["v"] = b2 * memory.get("v", 0) + (1 - b2) * g * g
        m = memory["m"] / (1 - b1**t)
        if nesterov:
            m = b1 * memory["m"] / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        v = memory["v"] / (1 - b2**t)
        return -rate * (m / (np.sqrt(v) + eps) + decay * p)

    return update


def momentum(rate: float, beta: float, nesterov: bool):
    def update(g: Any, p: Any, memory: dict, t: int) -> Any:
        memory["t"] = g + beta * memory.get("t", 0)
        return -rate * (g + beta * memory["t"] if nesterov else memory["t"])

    return update


def rms(rate: float, decay: float, eps: float):
    def update(g: Any, p: Any, memory: dict, t: int) -> Any:
        memory["v"] = decay * memory.get("v", 0) + (1 - decay) * g * g
        return -rate * g / np.sqrt(memory["v"] + eps)

    return update


@pytest.mark.parametrize(
    ("optimizer", "formula"),
    [
        (optim.sgd(0.1), lambda g, p, memory, t: -0.1 * g),
        (optim.sgd(0.1, momentum=0.9), momentum(0.1, 0.9, False)),
        (optim.sgd(0.1, momentum=0.9, nesterov=True), momentum(0.1, 0.9, True)),
        (optim.adam(1e-2), adam(1e-2)),
        (optim.adam(1e-2, 0.8, 0.95, 1e-4), adam(1e-2, 0.8, 0.95, 1e-4)),
        (optim.adam(1e-2, nesterov=True), adam(1e-2, nesterov=True)),
        (optim.adamw(1e-2, weight_decay=0.1), adam(1e-2, decay=0.1)),
        (optim.rmsprop(1e-2), rms(1e-2, 0.9, 1e-8)),
        (optim.sgd(lambda count: 0.1 / (1 + count)), lambda g, p, memory, t: -0.1 / t * g),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adam-settings", "nadam", "adamw", "rmsprop", "schedule"],
)
def test_updates_follow_the_formulas(optimizer: Any, formula: Any, rng: np.random.Generator) -> None:
    grads = gradients(rng)
    got, want = run(optimizer, grads), expect(formula, grads)
    for k in SHAPES:
        assert got[k].dtype == np.float32
        np.testing.assert_allclose(got[k], want[k], rtol=2e-5, atol=2e-6)


def test_under_jit_with_donation_the_numbers_are_the_same(rng: np.random.Generator) -> None:
    optimizer, grads = optim.adam(optim.cosine_decay_schedule(0.1, 10)), gradients(rng, 3)
    want = run(optimizer, grads)
    params = {k: fnp.ones(s) for k, s in SHAPES.items()}
    state = optimizer.init(params)

    @fnn.jit
    def step(params: Any, state: Any, g: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(g, state, params)
        return optim.apply_updates(params, updates), state

    for g in grads:
        params, state = step(params, state, g)
    for k in SHAPES:
        np.testing.assert_allclose(params[k], want[k], rtol=1e-5, atol=1e-6)
    assert int(state[0].count) == 3


def test_clipping_by_global_norm() -> None:
    clip = optim.clip_by_global_norm(1.0)
    small, large = (
        {"a": np.float32([0.3]), "b": np.float32([0.4])},
        {"a": np.float32([3]), "b": np.float32([4])},
    )
    assert float(optim.global_norm(large)) == 5.0
    for given, want in ((small, (0.3, 0.4)), (large, (0.6, 0.8))):
        out, _ = clip.update(given, clip.init(given))
        np.testing.assert_allclose([out["a"][0], out["b"][0]], want, rtol=1e-6)


def test_updates_keep_the_parameters_dtype() -> None:
    params = {"w": fnp.ones(3, "bfloat16")}
    optimizer = optim.adam(1e-1)
    updates, _ = optimizer.update({"w": fnp.ones(3, "bfloat16")}, optimizer.init(params), params)
    out = optim.apply_updates(params, {"w": updates["w"].astype("float32")})
    assert out["w"].dtype == params["w"].dtype


def test_schedules() -> None:
    line = optim.linear_schedule(1.0, 0.0, 4, transition_begin=2)
    np.testing.assert_allclose([line(i) for i in (0, 2, 3, 4, 6, 9)], [1, 1, 0.75, 0.5, 0, 0])
    fall = optim.exponential_decay(2.0, 10, 0.5)
    np.testing.assert_allclose([fall(i) for i in (0, 5, 20)], [2, 2 * 0.5**0.5, 0.5], rtol=1e-6)
    stairs = optim.exponential_decay(2.0, 10, 0.5, staircase=True, end_value=0.6)
    np.testing.assert_allclose([stairs(i) for i in (9, 10, 19, 40)], [2, 1, 1, 0.6], rtol=1e-6)
    wave = optim.cosine_decay_schedule(3.0, 8, alpha=0.1)
    want = [3 * (0.9 * 0.5 * (1 + math.cos(math.pi * min(i, 8) / 8)) + 0.1) for i in range(11)]
    np.testing.assert_allclose([wave(i) for i in range(11)], want, rtol=1e-5)
    rise = optim.warmup_cosine_decay_schedule(0.0, 1.0, 5, 15)
    np.testing.assert_allclose([rise(i) for i in (0, 1, 5, 10, 15, 30)], [0, 0.2, 1, 0.5, 0, 0], atol=1e-6)


def test_the_chain_hands_updates_on_and_counts_its_states() -> None:
    both = optim.chain(optim.scale(2.0), optim.chain(optim.scale(3.0), optim.identity()))
    out, state = both.update(np.float32([1.0]), both.init(np.float32([0.0])))
    np.testing.assert_array_equal(out, [6.0])
    with pytest.raises(ArgumentError, match="init"):
        both.update(np.float32([1.0]), state[:1])
    with pytest.raises(ArgumentError, match="params"):
        optim.add_decayed_weights(0.1).update(np.float32([1.0]), optim.EmptyState())
    with pytest.raises(ArgumentError, match="positive number of steps"):
        optim.cosine_decay_schedule(1.0, 0)


def test_the_step_count_does_not_overflow() -> None:
    most = np.int32(2**31 - 1)
    scaled = optim.scale_by_schedule(lambda count: 1.0)
    _, state = scaled.update(np.float32([1.0]), optim.ScheduleState(fnp.asarray(most)))
    assert int(state.count) == most


def test_modules_are_trained_as_they_are() -> None:
    layer = fnn.nn.Linear(2, 1, key=fnn.random.key(0))
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = x @ np.float32([[2.0], [-1.0]]) + 0.5
    optimizer = optim.adam(0.1)
    loss = lambda layer: fnp.mean((layer(x) - y) ** 2)
    state = optimizer.init(layer)

    @fnn.jit
    def step(layer: Any, state: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(fnn.grad(loss)(layer), state, layer)
        return optim.apply_updates(layer, updates), state

    for _ in range(300):
        layer, state = step(layer, state)
    assert isinstance(layer, fnn.nn.Linear)
    np.testing.assert_allclose(layer.weight, [[2.0], [-1.0]], atol=1e-2)
    np.testing.assert_allclose(layer.bias, [0.5], atol=1e-2)
