"""checkpoint: what is saved, what is computed again, and that derivatives stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError
from fnn.transforms.remat import checkpoint_name, saved_residuals
from tests.transform_checks import agrees, close

X = fnp.array([0.3, -0.7, 1.1])
W = fnp.linspace(-1.0, 1.0, 9).reshape(3, 3)
policies = fnn.checkpoint_policies


def layer(w: Any, v: Any) -> Any:
    return fnp.sin(fnp.tanh(checkpoint_name(w @ v, "hidden")))


def deep(wrap: Any) -> Any:
    return lambda w, v: fnp.sum(wrap(layer)(w, wrap(layer)(w, v)))


POLICIES = {
    "nothing": None,
    "everything": policies.everything_saveable,
    "dots": policies.dots_saveable,
    "dots without batch": policies.dots_with_no_batch_dims_saveable,
    "hidden": policies.save_only_these_names("hidden"),
    "all but hidden": policies.save_anything_except_these_names("hidden"),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policies_change_no_derivative(name: str) -> None:
    wrap = lambda f: fnn.checkpoint(f, policy=POLICIES[name])
    want = fnn.grad(deep(lambda f: f), (0, 1))(W, X)
    agrees(fnn.grad(deep(wrap), (0, 1)), want, W, X)
    agrees(
        fnn.vmap(fnn.grad(deep(wrap), 1), (None, 0)),
        np.stack([np.asarray(want[1])] * 2),
        W,
        fnp.stack([X, X]),
    )
    hessian = fnn.hessian(deep(lambda f: f), 1)(W, X)
    agrees(fnn.hessian(deep(wrap), 1), hessian, W, X, tolerance=1e-4)
    agrees(
        lambda w, v: fnn.jvp(deep(wrap), (w, v), (w, v))[1],
        fnn.jvp(deep(lambda f: f), (W, X), (W, X))[1],
        W,
        X,
    )


def counted(policy: Any, *names: str) -> list[int]:
    """How often the operations run in the forward and backward pass together."""
    graph = (
        fnn.jit(fnn.grad(deep(lambda f: fnn.checkpoint(f, policy=policy)))).lower(W, X).graph(optimized=True)
    )

    def count(graph: Any, name: str) -> int:
        inner = [g for e in graph.equations for _, g in fnn.core.ir.subgraphs(e.params)]
        return sum(e.primitive.name == name for e in graph.equations) + sum(count(g, name) for g in inner)

    return [count(graph, name) for name in names]


def test_what_is_computed_again() -> None:
    """Matrix products: two forward, three backward (v needs none), and those of the forward pass that run again."""
    assert counted(policies.everything_saveable, "tanh", "dot_general") == [2, 5]
    assert counted(policies.dots_saveable, "tanh", "dot_general") == [3, 5]
    assert counted(policies.save_only_these_names("hidden"), "tanh", "dot_general") == [3, 5]
    assert counted(policies.save_anything_except_these_names("hidden"), "tanh") == [2]
    again = counted(None, "tanh", "dot_general")
    assert again[0] == 3
    assert again[1] > 5


def test_saved_residuals() -> None:
    plain = saved_residuals(lambda v: fnp.sin(fnp.sin(fnp.sin(v))), X)
    saving = saved_residuals(fnn.checkpoint(lambda v: fnp.sin(fnp.sin(fnp.sin(v)))), X)
    assert len(saving) < len(plain)
    assert any("argument" in line for line in saving)


def test_arguments() -> None:
    @fnn.checkpoint
    def f(p: Any, *, scale: Any = 2.0) -> Any:
        return {"y": fnp.sin(p["a"]) * scale}

    agrees(fnn.grad(lambda p: fnp.sum(f(p, scale=3.0)["y"])), {"a": 3 * np.cos(np.asarray(X))}, {"a": X})

    power = fnn.checkpoint(lambda v, n: v**n if n > 1 else v, static_argnums=1)
    agrees(fnn.grad(lambda v: power(v, 3)), 12.0, 2.0)
    close(fnn.remat(lambda v: v * 2)(X), 2 * np.asarray(X))
    with pytest.raises(ArgumentError, match="string"):
        checkpoint_name(X, 3)  # type: ignore[arg-type]  # the mistake tested


def test_a_closure_over_traced_values() -> None:
    def f(w: Any) -> Any:
        return fnp.sum(fnn.checkpoint(lambda v: fnp.sin(w * v))(X))

    x = np.asarray(X)
    agrees(fnn.grad(f), (np.cos(2 * x) * x).sum(), 2.0)


def test_inside_loops() -> None:
    def f(wrap: Any) -> Any:
        return lambda v: fnp.sum(
            lax.scan(lambda c, _: (wrap(lambda c: fnp.sin(fnp.sin(c)))(c), None), v, None, length=3)[0]
        )

    agrees(fnn.grad(f(fnn.checkpoint)), fnn.grad(f(lambda g: g))(X), X)


def test_names_are_seen_through() -> None:
    agrees(lambda v: checkpoint_name({"a": v}, "n")["a"] * 2, 2 * np.asarray(X), X)
    agrees(fnn.grad(lambda v: fnp.sum(checkpoint_name(v, "n") ** 2)), 2 * np.asarray(X), X)
    agrees(fnn.vmap(lambda v: checkpoint_name(v, "n") + 1), np.asarray(X) + 1, X)
