"""Python functions called from traced and compiled programs."""

from __future__ import annotations

import io
import threading
import traceback
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.core.ir import effects_of
from fnn.debugger import Quit
from fnn.errors import ArgumentError, DifferentiationError, ShapeError, TreeError, UnsupportedError

LIKE = fnn.ShapeDtypeStruct((), "float32")
pytestmark = pytest.mark.filterwarnings("error")


def spy() -> tuple[list[float], Any]:
    seen: list[float] = []
    return seen, lambda x: seen.append(float(x))


@pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])
def test_a_print_appears_once_for_each_run(wrap: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        fnn.debug.print("x {} sum {s:.1f} {word}", x, s=x.sum(), word="here")
        return 2.0 * x

    g = wrap(f)
    for _ in range(3):
        g(fnp.arange(3.0))
    assert capsys.readouterr().out == "x [0. 1. 2.] sum 3.0 here\n" * 3


def test_an_effect_that_nothing_uses_is_kept_and_equal_ones_are_not_merged() -> None:
    seen, note = spy()

    @fnn.jit
    def f(x: Any) -> Any:
        fnn.debug.callback(note, x)
        fnn.debug.callback(note, x)
        return 1.0

    f(3.0)
    assert seen == [3.0, 3.0]
    assert effects_of(f.lower(3.0)._entry.graph)


def test_a_pure_callback_that_nothing_uses_is_left_out() -> None:
    seen, note = spy()
    fnn.jit(lambda x: (fnn.pure_callback(lambda v: (note(v), v)[1], LIKE, x), x)[1])(1.0)
    assert seen == []


def test_effects_keep_the_order_of_the_program() -> None:
    seen: list[str] = []

    @fnn.jit
    def f(x: Any) -> Any:
        late = fnp.exp(x) * 3.0
        fnn.debug.callback(lambda v: seen.append("one"), late)
        lax.scan(
            lambda c, i: (c, fnn.debug.callback(lambda v: seen.append(f"loop {int(v)}"), i)),
            0.0,
            fnp.arange(2),
        )
        fnn.debug.callback(lambda: seen.append("three"))
        return x

    f(1.0)
    assert seen == ["one", "loop 0", "loop 1", "three"]


def test_derivatives_call_what_the_function_calls() -> None:
    seen, note = spy()

    def f(x: Any) -> Any:
        fnn.debug.callback(note, x)
        return x * x * x

    assert float(fnn.grad(f)(2.0)) == 12.0
    assert float(fnn.jit(fnn.grad(fnn.grad(f)))(2.0)) == 12.0
    assert float(fnn.jit(lambda x: fnn.jvp(f, (x,), (1.0,))[1])(2.0)) == 12.0
    assert float(fnn.jit(fnn.grad(fnn.checkpoint(f)))(2.0)) == 12.0
    assert seen == [2.0] * 4


@pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])
def test_vmap_calls_for_each_element(wrap: Any) -> None:
    seen: list[tuple[float, float]] = []

    def f(x: Any, y: Any) -> Any:
        fnn.debug.callback(lambda a, b: seen.append((float(a), float(b))), x, y)
        return x + y

    wrap(fnn.vmap(fnn.vmap(f, in_axes=(None, 0)), in_axes=(0, None)))(fnp.arange(2.0), fnp.arange(3.0))
    assert seen == [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0, 2.0)]


def test_loops_and_branches() -> None:
    seen, note = spy()

    def branch(name: float) -> Any:
        return lambda x: (fnn.debug.callback(note, x + name), x)[1]

    @fnn.jit
    def f(n: Any, p: Any) -> Any:
        x = lax.while_loop(lambda c: c < n, lambda c: (fnn.debug.callback(note, c), c + 1.0)[1], 0.0)
        return lax.cond(p, branch(100.0), branch(200.0), x)

    assert float(f(3.0, True)) == 3.0 and seen == [0.0, 1.0, 2.0, 103.0]
    seen.clear()
    f(0.0, False)
    assert seen == [200.0]


def test_gradients_of_a_scan_with_a_callback() -> None:
    seen, note = spy()

    def step(c: Any, x: Any) -> Any:
        fnn.debug.callback(note, c)
        return fnp.sin(c * x), c

    def f(xs: Any) -> Any:
        return lax.scan(step, 1.0, xs)[0]

    def plain(xs: Any) -> Any:
        return lax.scan(lambda c, x: (fnp.sin(c * x), None), 1.0, xs)[0]

    xs = fnp.array([0.5, 1.5, 2.0])
    np.testing.assert_allclose(fnn.jit(fnn.grad(f))(xs), fnn.grad(plain)(xs), rtol=1e-6)
    assert len(seen) == 3


@pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])
def test_pure_callback_returns_a_tree(wrap: Any) -> None:
    shapes = {"q": fnn.ShapeDtypeStruct((3, 3), "float32"), "n": fnn.ShapeDtypeStruct((), "int32")}

    def host(x: Any, k: Any) -> Any:
        assert isinstance(x, fnn.Array)
        return {"q": np.outer(x, x) * k, "n": x.size}

    f = wrap(lambda x: fnn.pure_callback(host, shapes, x, k=2.0))
    out = f(fnp.arange(3.0))
    np.testing.assert_array_equal(out["q"], 2 * np.outer(range(3), range(3)))
    assert int(out["n"]) == 3 and out["n"].dtype == np.int32


@pytest.mark.parametrize(
    "method, shapes",
    [
        ("sequential", [((3,), ())] * 2),
        ("sequential_unrolled", [((3,), ())] * 2),
        ("expand_dims", [((2, 3), (1,))]),
        ("broadcast_all", [((2, 3), (2,))]),
        ("legacy_vectorized", [((2, 3), ())]),
    ],
)
@pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])
def test_ways_to_vmap_a_pure_callback(wrap: Any, method: str, shapes: list) -> None:
    seen = []

    def host(x: Any, y: Any) -> Any:
        seen.append((x.shape, y.shape))
        return np.asarray(x) * np.reshape(y, (*np.shape(y), *(1,) * (np.ndim(x) - np.ndim(y))))

    def f(x: Any, y: Any) -> Any:
        return fnn.pure_callback(host, x, x, y, vmap_method=method)

    x = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(wrap(fnn.vmap(f, in_axes=(0, None)))(x, 2.0), 2 * x)
    assert seen == shapes


def test_refusals_say_what_to_do() -> None:
    def f(x: Any) -> Any:
        return fnn.pure_callback(np.sin, LIKE, x)

    with pytest.raises(UnsupportedError, match="vmap_method"):
        fnn.vmap(f)(fnp.arange(3.0))
    with pytest.raises(DifferentiationError, match="custom_jvp"):
        fnn.grad(f)(1.0)
    with pytest.raises(UnsupportedError, match="scan"):
        fnn.vmap(lambda x: fnn.io_callback(lambda v: None, None, x, ordered=True))(fnp.arange(3.0))
    with pytest.raises(ArgumentError, match="vmap_method is 'loop'"):
        fnn.pure_callback(np.sin, LIKE, 1.0, vmap_method="loop")
    with pytest.raises(ArgumentError, match=r"does not use the argument.* 1, 'y'"):
        fnn.debug.print("{}", 1.0, 2.0, y=3.0)
    with pytest.raises(ArgumentError, match="no shape and dtype"):
        fnn.pure_callback(np.sin, "float32", 1.0)
    assert float(fnn.grad(lambda x: f(lax.stop_gradient(x)) * x)(1.0)) == pytest.approx(np.sin(1.0))


def test_a_custom_derivative_makes_a_callback_differentiable() -> None:
    @fnn.custom_jvp
    def f(x: Any) -> Any:
        return fnn.pure_callback(np.sin, x, x, vmap_method="expand_dims")

    f.defjvp(lambda primals, tangents: (f(*primals), fnp.cos(primals[0]) * tangents[0]))
    x = fnp.arange(3.0)
    np.testing.assert_allclose(fnn.jit(fnn.vmap(fnn.grad(f)))(x), np.cos(x), rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, fnn.jit], ids=["eager", "jit"])
def test_wrong_results_are_named(wrap: Any) -> None:
    with pytest.raises(ShapeError, match=r"returned float32\[2\] for result 0, .* f32\[\]"):
        wrap(lambda x: fnn.pure_callback(lambda v: np.float32([1, 2]), LIKE, x))(1.0)
    with pytest.raises(ShapeError, match="float64"):
        wrap(lambda x: fnn.pure_callback(lambda v: 1.5, fnn.ShapeDtypeStruct((), "int32"), x))(1.0)
    with pytest.raises(TreeError, match="returned the structure"):
        wrap(lambda x: fnn.pure_callback(lambda v: (v, v), LIKE, x))(1.0)


def test_an_exception_ends_the_program_and_names_its_line() -> None:
    class Mine(Exception):
        pass

    seen: list[float] = []

    def host(x: Any) -> Any:
        seen.append(float(x))
        if x >= 3:
            raise Mine("too far")
        return x

    @fnn.jit
    def f(x: Any) -> Any:  # it would run for ever
        return lax.while_loop(lambda c: c < fnp.inf, lambda c: fnn.pure_callback(host, LIKE, c) + 1.0, x)

    for _ in range(2):  # the program can be called again
        with pytest.raises(Mine, match="too far") as caught:
            f(0.0)
        assert any("test_callbacks.py" in note and "(<lambda>)" in note for note in caught.value.__notes__)
        assert "raise Mine" in "".join(traceback.format_exception(caught.value))
    assert seen == [0.0, 1.0, 2.0, 3.0] * 2


def test_io_callback_runs_each_time_and_gives_results() -> None:
    count = iter(range(100))
    f = fnn.jit(
        lambda: lax.scan(
            lambda c, _: (c + fnn.io_callback(lambda: np.int32(next(count)), np.int32(0)), None), 0, None, 4
        )
    )
    assert int(f()[0]) == 6 and int(f()[0]) == 22
    fnn.effects_barrier()
    assert fnn.experimental.io_callback is fnn.io_callback


def test_arguments_outlive_the_call_and_a_callback_may_call_programs() -> None:
    kept: list[Any] = []
    inner = fnn.jit(lambda x: x * x)

    @fnn.jit
    def f(x: Any) -> Any:
        y = fnp.cumsum(x)
        fnn.debug.callback(lambda v: kept.append(inner(v)), y)
        return fnn.pure_callback(lambda v: f_of(v), y, y) + 1.0

    def f_of(v: Any) -> Any:
        return inner(v) if float(v[0]) > 0.5 else f(v + 1.0)  # the same program, within itself

    np.testing.assert_array_equal(f(fnp.zeros(3)), np.array([1.0, 4.0, 9.0]) + 2.0)
    assert [list(map(float, k)) for k in kept] == [[0, 0, 0], [1, 4, 9]]


def test_threads_call_one_program_at_once() -> None:
    barrier = threading.Barrier(2, timeout=20)
    f = fnn.jit(lambda x: fnn.pure_callback(lambda v: (barrier.wait(), v)[1], LIKE, x) + 1.0)
    f.lower(0.0)
    results: dict[int, float] = {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: float(f(float(k)))})) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert results == {0: 1.0, 1: 2.0}


def test_the_plan_and_the_profile_show_the_call() -> None:
    compiled = fnn.jit(lambda x: fnn.pure_callback(np.sort, x, x)).lower(fnp.arange(3.0)).compile()
    assert "pure_callback sort" in compiled.plan() and "Python" in compiled.plan()
    assert compiled.profile(fnp.arange(3.0)).calls[0].seconds > 0


def test_a_breakpoint_reads_commands_and_shows_values() -> None:
    shown = io.StringIO()

    @fnn.jit
    def f(x: Any) -> Any:
        scale, state = 3.0, {"y": x * 2.0}  # noqa: F841  # the breakpoint shows it
        fnn.debug.breakpoint(stdin=io.StringIO("x\np state['y'] + scale\nnothing\nl\nbt\nc\n"), stdout=shown)
        return state["y"]

    assert float(f(2.0)) == 4.0
    text = shown.getvalue()
    assert (
        "test_callbacks.py" in text
        and "Array(2., dtype=float32)" in text
        and "Array(7., dtype=float32)" in text
    )
    assert "NameError" in text and "fnn.debug.breakpoint" in text

    def g(x: Any) -> Any:
        fnn.debug.breakpoint(stdin=io.StringIO("q\n"), stdout=shown)
        return x

    with pytest.raises(Quit):
        fnn.jit(g)(1.0)
