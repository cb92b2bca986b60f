"""The short way of calling a jitted function does what the long way does, and gives way to it where it must."""

from __future__ import annotations

import collections
import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fnn
import fnn.numpy as fnp
from fnn import kernels, tree
from fnn.core.array import ConcreteArray
from fnn.errors import ArgumentError, DonatedError, LeakError
from fnn.kernels.cpu import buffers
from fnn.kernels.cpu.driver_text import Status
from fnn.module import static_field

Pair = collections.namedtuple("Pair", "first second")


class Layer(fnn.Module):
    weight: Any
    extra: Any = None
    name: str = static_field(default="relu")


@tree.register_pytree_node_class
@dataclasses.dataclass
class Box:
    inside: Any
    label: Any = 0

    def tree_flatten(self) -> Any:
        return (self.inside,), self.label

    @classmethod
    def tree_unflatten(cls, label: Any, children: Any) -> Box:
        return cls(*children, label)


trees = st.recursive(
    st.one_of(st.integers(0, 9), st.none(), st.text(max_size=1)),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.lists(below, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), below, max_size=3),
        st.dictionaries(st.sampled_from("abc"), below, max_size=3).map(collections.OrderedDict),
        st.builds(Pair, below, below),
        st.builds(Layer, below, below, st.sampled_from(["relu", "tanh"])),
        st.builds(Box, below, st.sampled_from([0, 0.0, 1])),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(trees, trees)
def test_readers_know_their_structure(mine: Any, other: Any) -> None:
    read = tree.reader(tree.structure(mine))
    assert read(mine) == tuple(tree.leaves(mine))
    again = tree.map(lambda x: x, mine)
    assert read(again) == tuple(tree.leaves(mine))
    # Where the structure has a leaf a reader takes anything, so a tree that it knows begins with the structure.
    found = read(other)
    if tree.structure(mine) == tree.structure(other):
        assert found == tuple(tree.leaves(other))
    elif found is not None:
        assert tree.structure(tree.unflatten(tree.structure(mine), found)) == tree.structure(other)


def test_readers_compare_static_fields_exactly() -> None:
    for one, others in (
        (1, (1.0, True, 2)),
        (0.0, (-0.0, 0)),
        ("a", ("b", None)),
        ((1, 2), ((1, 2.0), [1, 2])),
    ):
        read = tree.reader(tree.structure(Layer(5, name=one)))  # type: ignore[arg-type]  # any static value
        assert read(Layer(6, name=one)) == (6,)  # type: ignore[arg-type]
        assert all(read(Layer(6, name=other)) is None for other in others)  # type: ignore[arg-type]


def counting(f: Any, **options: Any) -> tuple[Any, list]:
    """f jitted, and a list that grows each time it is traced."""
    traced: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        traced.append(1)
        return f(*args, **kwargs)

    return fnn.jit(counted, **options), traced


def test_repeated_calls_agree_and_trace_once() -> None:
    def f(params: Any, x: Any, *, scale: Any) -> Any:
        return {"y": params["layer"].weight * x + params["b"][0] * scale, "pair": Pair(x, None)}

    g, traced = counting(f)
    for k in range(5):
        params = {"layer": Layer(fnp.arange(3.0) + k), "b": [fnp.float32(k)]}
        out = g(params, fnp.ones(3) * k, scale=fnp.ones(()) * 2)
        np.testing.assert_array_equal(out["y"], np.asarray([k, k + 1, k + 2]) * k + 2 * k)
        assert type(out["pair"]) is Pair and out["pair"].second is None
        assert type(out["y"]) is ConcreteArray and list(out) == ["y", "pair"]
    assert len(traced) == 1
    g({"layer": Layer(fnp.arange(3.0), name="tanh"), "b": [fnp.float32(1)]}, fnp.ones(3), scale=fnp.ones(()))
    assert len(traced) == 2  # another static field


def test_types_choose_among_signatures() -> None:
    f, traced = counting(lambda x: x + 1)
    calls = [
        1,
        1.0,
        True,
        np.float32(1),
        np.ones(2),
        np.ones(2, np.int32),
        fnp.ones(2),
        fnp.ones(3),
        fnp.ones(2, "int8"),
    ]
    first = [f(x) for x in calls]
    count = len(traced)
    for _ in range(3):
        for x, y in zip(calls, first, strict=True):
            out = f(x)
            assert out.aval is y.aval
            np.testing.assert_array_equal(out, y)
    assert len(traced) == count
    assert f(1.0).weak_type and not f(np.float32(1)).weak_type
    with fnn.enable_x64():
        assert f(1.0).dtype == np.float64
        assert f(np.ones(2)).dtype == np.float64
    assert f(1.0).dtype == np.float32


def test_static_arguments_choose_too() -> None:
    f, traced = counting(
        lambda x, n=2, *, mode="a": x * n if mode == "a" else -x,
        static_argnums=(1,),
        static_argnames=("mode",),
    )
    x = fnp.ones(2)
    for _ in range(4):
        for n in (3, 3.0, True):
            assert f(x, n).dtype == np.float32
        assert float(f(x)[0]) == 2 and float(f(x, 3)[0]) == 3 and float(f(x, 4)[0]) == 4
        assert float(f(x, mode="b")[0]) == -1 and float(f(x, 3, mode="a")[0]) == 3
    assert len(traced) == 7
    with pytest.raises(ArgumentError, match="not hashable"):
        f(x, [3])


def test_settings_and_traces_around_a_call() -> None:
    ran = []

    def f(x: Any) -> Any:
        ran.append(type(x))
        return fnp.sin(x) * 2

    g = fnn.jit(f)
    x = fnp.ones(3)
    for _ in range(3):
        g(x)
    with fnn.disable_jit():
        g(x)
    assert ran[-1] is ConcreteArray and len(ran) == 2
    np.testing.assert_allclose(fnn.grad(lambda x: fnp.sum(g(x)))(x), 2 * np.cos(np.ones(3)), rtol=1e-6)
    np.testing.assert_allclose(fnn.vmap(g)(fnp.ones((2, 3))), 2 * np.sin(np.ones((2, 3))), rtol=1e-6)
    graph = str(fnn.make_ir(lambda y: g(x) + y)(x))  # inside a stage a call with arrays is recorded
    assert "sin" in graph
    leaked = []
    fnn.vmap(lambda y: leaked.append(y) or y)(x)
    with pytest.raises(LeakError):
        g(leaked[0])


def test_donation_on_the_short_way() -> None:
    f = fnn.jit(lambda x, y: x + y, donate_argnums=0)
    old, x, y = fnp.zeros(5000), fnp.zeros(5000), fnp.ones(5000)
    for k in range(5):
        old, view = x, np.asarray(x)[:1] if k == 3 else None
        x = f(x, y)
        with pytest.raises(DonatedError, match="donated"):
            f(old, y)
        assert view is None or view[0] == 3  # memory that somebody else sees is not overwritten
    assert float(x[0]) == 5
    g = fnn.jit(lambda x: x + 1)
    for _ in range(3):
        g(y)
    with pytest.raises(DonatedError):
        g(old)


def test_errors_name_the_argument_on_later_calls() -> None:
    f = fnn.jit(lambda params: params["w"] * 2)
    for _ in range(3):
        f({"w": fnp.ones(2)})
    for wrong in ("text", [1, "x"], np.array(["a"])):
        with pytest.raises(ArgumentError, match=r"params\['w'\]"):
            f({"w": wrong})


def test_arrays_of_any_layout_on_the_short_way() -> None:
    f = fnn.jit(lambda x: x * 2)
    for _ in range(3):
        f(fnp.ones((3, 4)))
    turned = fnp.arange(12.0).reshape(4, 3).T
    np.testing.assert_array_equal(f(turned), np.asarray(turned) * 2)
    np.testing.assert_array_equal(f(fnp.ones((6, 4))[::2]), np.full((3, 4), 2))


def test_calls_from_threads() -> None:
    f = fnn.jit(lambda x: fnp.cumsum(x) * 2)
    expected = {n: np.asarray(f(fnp.full(n, 1.0))) for n in (3, 700, 5000)}
    wrong = []

    def work(n: int) -> None:
        for _ in range(200):
            if not np.array_equal(f(fnp.full(n, 1.0)), expected[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in expected for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_without_a_known_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python's objects cannot be read from machine code, every call fills in addresses from Python."""
    f = fnn.jit(lambda x, y: (x + y, x * y))
    x, y = fnp.arange(4.0), fnp.ones(4)
    quick = f(x, y)
    (entry,) = f._cache.values()
    program = entry.compiled()
    monkeypatch.setattr(program._runner, "_enter", lambda *_: Status.INPUTS)
    for a, b in zip(quick, f(x, y), strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.setattr(buffers, "LAYOUT", buffers.UNKNOWN)
    assert buffers.builtin(0, b"nothing") is None


def test_programs_refuse_what_has_no_memory() -> None:
    f = fnn.jit(lambda x: x + 1)
    f(1.0)
    program: kernels.Executable = next(iter(f._cache.values())).compiled()
    with pytest.raises(ArgumentError, match="memory"):
        program([None])  # type: ignore[list-item]  # what a donated array holds
    assert len(program._runner._calls) == 1  # and keep what a call needs
