"""Programs that differ in outer extents only share their kernels; large kernels do not grow out of proportion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.kernels.executable import Executable

DEPTH = 2


def kernels_of(f: Callable[..., Any], *args: Any) -> set[str]:
    program = fnn.jit(f).lower(*args)._program()
    assert isinstance(program, Executable)
    return {key for key in program.table.kernels if key}


def mlp(batch: int) -> set[str]:
    shapes = [(784, 128), (128,), (128, 10), (10,)]
    params = [fnn.ShapeDtypeStruct(shape, fnp.float32) for shape in shapes]

    def loss(params: list[Any], x: Any, y: Any) -> Any:
        w, b, v, c = params
        logits = fnp.tanh(x @ w + b) @ v + c
        chosen = fnp.take_along_axis(fnn.nn.log_softmax(logits), y[:, None], -1)
        return -fnp.mean(chosen)

    def step(params: list[Any], x: Any, y: Any) -> list[Any]:
        return fnn.tree.map(lambda p, g: p - 0.1 * g, params, fnn.grad(loss)(params, x, y))

    x, y = fnn.ShapeDtypeStruct((batch, 784), fnp.float32), fnn.ShapeDtypeStruct((batch,), fnp.int32)
    return kernels_of(step, params, x, y)


def transformer(batch: int, length: int) -> set[str]:
    width, heads = 64, 4

    def norm(x: Any) -> Any:
        centred = x - fnp.mean(x, -1, keepdims=True)
        return centred * fnn.lax.rsqrt(fnp.mean(centred * centred, -1, keepdims=True) + 1e-5)

    def block(x: Any, p: dict[str, Any]) -> Any:
        n, t, _ = x.shape
        q, k, v = fnp.split((norm(x) @ p["qkv"]).reshape(n, t, 3 * heads, -1).transpose(0, 2, 1, 3), 3, 1)
        scores = fnn.nn.softmax(q @ k.transpose(0, 1, 3, 2) / 4.0)
        x = x + (scores @ v).transpose(0, 2, 1, 3).reshape(n, t, width) @ p["out"]
        return x + fnn.nn.gelu(norm(x) @ p["up"]) @ p["down"]

    def loss(params: list[dict[str, Any]], x: Any) -> Any:
        for p in params:
            x = block(x, p)
        return fnp.mean(x * x)

    def step(params: list[dict[str, Any]], x: Any) -> Any:
        return fnn.tree.map(lambda p, g: p - 0.1 * g, params, fnn.grad(loss)(params, x))

    shapes = {"qkv": (64, 192), "out": (64, 64), "up": (64, 256), "down": (256, 64)}
    layer = {name: fnn.ShapeDtypeStruct(shape, fnp.float32) for name, shape in shapes.items()}
    return kernels_of(step, [layer] * DEPTH, fnn.ShapeDtypeStruct((batch, length, width), fnp.float32))


def test_another_batch_size_needs_hardly_any_new_kernel() -> None:
    assert len(mlp(64) - mlp(128)) <= 1
    assert len(transformer(4, 48) - transformer(8, 48)) <= 3


def test_another_length_needs_a_handful_of_new_kernels() -> None:
    first = transformer(4, 48)
    assert len(transformer(4, 80) - first) <= 5 < len(first)


@pytest.mark.parametrize("passes", [8, 14])
def test_passes_over_a_row_do_not_start_from_the_beginning(passes: int) -> None:
    """Were each pass to compute all that it needs, this would be 5 + 10 + 15 + ... products."""

    def f(x: Any) -> Any:
        for k in range(passes):
            for _ in range(5):
                x = x * 0.5 + float(k)
            x = x - fnp.mean(x, -1, keepdims=True)
        return x

    x = fnp.asarray(np.random.default_rng(0).standard_normal((6, 128)).astype("f4"))
    (source,) = fnn.jit(f).lower(x).kernels().values()
    assert source.count("float32(0.5)") <= 12 * passes
    wanted = np.asarray(x, np.float64)
    for k in range(passes):
        for _ in range(5):
            wanted = wanted * 0.5 + k
        wanted = wanted - wanted.mean(-1, keepdims=True)
    np.testing.assert_allclose(fnn.jit(f)(x), wanted, atol=1e-5)
