"""jit: what is traced when, static and donated arguments, methods, and looking inside."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, DonatedError
from tests.transform_checks import close

X = fnp.array([0.3, -0.7, 1.1])
x = np.array([0.3, -0.7, 1.1])


class Counted:
    """A function that counts how often it is traced."""

    def __init__(self, f: Any) -> None:
        self.f, self.traces = f, 0
        functools.update_wrapper(self, f)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.traces += 1
        return self.f(*args, **kwargs)


def test_one_trace_for_each_type() -> None:
    counted = Counted(lambda v: v * 2.0)
    f = fnn.jit(counted)
    for _ in range(3):
        f(X)
        f(2 * X)
    assert counted.traces == 1
    f(np.zeros(3, np.float32))  # a NumPy array of that type
    assert counted.traces == 1
    f(fnp.ones(4))
    f(fnp.ones(3, dtype=fnp.int32))
    f(1.0)
    f(2.0)
    f(fnp.array(1.0, dtype=fnp.float32))
    assert counted.traces == 5  # a Python number is weakly typed, an array is not
    assert f._cache_size() == 5
    f.clear_cache()
    f(X)
    assert counted.traces == 6
    with fnn.enable_x64(True):
        f(1.0)
    assert counted.traces == 7


def test_one_trace_for_each_structure() -> None:
    class Model(fnn.Module):
        w: Any
        name: str = fnn.module.static_field(default="a")

    counted = Counted(lambda p: fnn.tree.map(lambda v: v * 2, p))
    f = fnn.jit(counted)
    f({"a": X, "b": None})
    f({"b": None, "a": 2 * X})
    assert counted.traces == 1
    f({"a": X, "b": X})
    f((X, None))
    f([X, None])
    assert counted.traces == 4
    assert f(Model(X)).name == "a"
    f(Model(2 * X))
    assert counted.traces == 5
    assert f(Model(X, "b")).name == "b"
    assert counted.traces == 6


def test_static_arguments_differ_by_type() -> None:
    counted = Counted(lambda v, n: v * n if n is True else v + n)
    counted.__wrapped__ = counted.f
    f = fnn.jit(counted, static_argnums=1)
    assert [float(f(2.0, n)) for n in (1, 1.0, True, 1, True)] == [3.0, 3.0, 2.0, 3.0, 2.0]
    assert counted.traces == 3


def test_static_arguments_by_number_and_name() -> None:
    def f(v: Any, n: int, mode: str = "sum") -> Any:
        return (fnp.sum(v) if mode == "sum" else fnp.max(v)) * n

    for options in (
        {"static_argnums": (1, 2)},
        {"static_argnames": ("n", "mode")},
        {"static_argnums": [-2, -1]},
    ):
        g = fnn.jit(f, **options)
        close(g(X, 2), 2 * x.sum())
        close(g(X, n=2, mode="max"), 2.2)
        close(g(X, 3, "max"), 3.3)
    assert fnn.jit(lambda shape: fnp.zeros(shape), static_argnums=0)((2, 3)).shape == (2, 3)
    decorated = fnn.jit(static_argnames="n")(f)
    close(decorated(X, n=1), x.sum())


def test_donation() -> None:
    f = fnn.jit(lambda s, v: (s + v, fnp.sum(v)), donate_argnums=0)
    s = fnp.zeros(3)
    new, _ = f(s, X)
    close(new, x)
    with pytest.raises(DonatedError):
        np.asarray(s)
    for _ in range(3):
        new, _ = f(new, X)
    close(new, 4 * x)
    close(X, x)
    g = fnn.jit(lambda p, *, lr: fnn.tree.map(lambda v: v * lr, p), donate_argnames="p")
    p = {"a": X * 1, "b": (X * 2,)}
    close(g(p, lr=2.0), {"a": 2 * x, "b": (4 * x,)})
    with pytest.raises(DonatedError):
        p["b"][0] + 1
    assert f.lower(fnn.ShapeDtypeStruct((3,), "float32"), X).compile().memory().donated > 0


def test_one_array_given_twice_is_not_donated_under_the_other() -> None:
    f = fnn.jit(lambda a, b: (a + 1.0, b * 2.0), donate_argnums=0)
    v = X * 1
    close(f(v, v), (x + 1, 2 * x))


def test_methods_and_partials() -> None:
    class Model:
        def __init__(self) -> None:
            self.scale = 3.0

        @functools.partial(fnn.jit, static_argnums=0)
        def scaled(self, v: Any) -> Any:
            return v * self.scale

        @fnn.jit
        @staticmethod
        def doubled(v: Any) -> Any:
            return v * 2

    model = Model()
    close(model.scaled(X), 3 * x)
    close(Model.scaled(model, X), 3 * x)

    class Tree(fnn.Module):
        w: Any

        @fnn.jit
        def __call__(self, v: Any) -> Any:
            return v * self.w

    close(Tree(X)(X), x * x)
    close(fnn.grad(lambda t: fnp.sum(t(X)))(Tree(X)).w, x)
    close(fnn.jit(functools.partial(lambda a, b: a * b, X))(2.0), 2 * x)
    assert fnn.jit(Tree.__call__).__name__ == "__call__"


def test_disable_jit() -> None:
    seen: list[Any] = []

    @fnn.jit
    def f(v: Any) -> Any:
        seen.append(type(v))
        if fnp.sum(v) > 0:
            return v * 2
        return v

    with fnn.disable_jit():
        close(f(X), 2 * x)
        close(fnn.grad(lambda v: fnp.sum(f(v)))(X), np.full(3, 2.0))
        assert lax.while_loop(lambda c: c < 10, lambda c: c * 2, 1) == 16
        total, ys = lax.scan(lambda c, v: (c + v, c), 0.0, X)
        close((total, ys), (x.sum(), np.cumsum(x) - x))
        assert lax.cond(True, lambda: 1, lambda: 2) == 1
    assert seen[0] is type(X)


def test_everything_inside_is_staged() -> None:
    """Constants too: what a function computes from no argument is computed by the program, not while tracing."""
    graph = fnn.make_ir(lambda v: v + fnp.sum(fnp.sin(X)))(1.0)
    names = [e.primitive.name for e in graph.equations]
    assert "sin" in names
    assert "reduce_sum" in names


def test_results() -> None:
    f = fnn.jit(lambda v: {"same": v, "twice": (v, v), "none": None, "number": 3, "constant": np.arange(2.0)})
    out = f(X)
    close(out["same"], x)
    close(out["twice"], (x, x))
    assert out["none"] is None
    assert out["number"].dtype == np.int32
    assert out["constant"].dtype == np.float32
    assert fnn.jit(lambda: 1.5)().shape == ()
    assert fnn.jit(lambda v: ())(X) == ()
    assert fnn.jit(lambda v: v)(2.0).weak_type


def test_results_are_not_shared() -> None:
    """Results of one call stay as they are when the function is called again."""
    f = fnn.jit(lambda v: (v + 1.0, v * 2.0))
    first = f(X)
    kept = [np.array(v) for v in first]
    for i in range(5):
        f(X + i)
    close(first, tuple(kept), 0.0)


def test_looking_inside() -> None:
    f = fnn.jit(lambda v, *, k: fnp.sum(fnp.sin(v) * k))
    lowered = f.lower(fnn.ShapeDtypeStruct((3,), "float32"), k=2.0)
    assert "sin" in str(lowered.graph())
    assert lowered.out_info == fnn.ShapeDtypeStruct((), "float32")
    compiled = lowered.compile()
    close(compiled(X, k=2.0), 2 * np.sin(x).sum())
    assert compiled.memory().outputs == 4
    assert compiled.cost() is not None
    assert "sin" in lowered.plan()
    assert lowered.kernels()
    with pytest.raises(ArgumentError, match="was compiled for"):
        compiled(fnp.ones(4), k=2.0)
    assert f.eval_shape(X, k=1.0).shape == ()
    assert fnn.eval_shape(lambda v: {"a": v @ v, "b": v > 0}, X)["b"].dtype == bool


def test_a_compiled_program_takes_what_it_was_compiled_for() -> None:
    compiled = fnn.jit(lambda p, n: p["a"] * n, static_argnums=1).lower({"a": X}, 2).compile()
    close(compiled({"a": X}), 2 * x)
    close(compiled({"a": X}, 2), 2 * x)
    close(compiled({"a": x}), 2 * x)
    with pytest.raises(ArgumentError, match=r"static .*2.* and called with .*3"):
        compiled({"a": X}, 3)
    with pytest.raises(ArgumentError, match=r"of the structure .*'a'.* and called with .*'b'"):
        compiled({"b": X})
    scalar = fnn.jit(lambda v: v * 2).lower(1.0).compile()
    close(scalar(3.0), 6.0)
    with pytest.raises(ArgumentError, match="cannot be transformed"):
        fnn.grad(scalar)(1.0)


def test_arguments_that_are_not_contiguous() -> None:
    v = np.arange(12, dtype=np.float32).reshape(3, 4)
    f = fnn.jit(lambda v: v * 2)
    close(f(v.T), 2 * v.T)
    close(f(v[::2, ::-1]), 2 * v[::2, ::-1])
    close(f(np.broadcast_to(np.float32(3), (2, 2))), np.full((2, 2), 6.0))


def test_the_cache_of_signatures_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fnn.transforms.jit.LIMIT", 3)
    f = fnn.jit(lambda v, n: v + n, static_argnums=1)
    for n in range(6):
        assert f(1.0, n) == 1 + n
    assert f._cache_size() == 3


def test_attributes_of_the_function_are_kept_and_hide_nothing():
    class Function:
        def __init__(self):
            self._call, self.lower, self.tag = "mine", "mine", "seen"

        def __call__(self, x):
            return 2 * x

    f = fnn.jit(Function())
    assert f(1.0) == 2.0 and f.tag == "seen" and callable(f.lower)
