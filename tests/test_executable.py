"""Compiled graphs: what they compute, what they show of themselves, and how they come back from the cache."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fnn.config import config
from fnn.core.aval import Aval
from fnn.core.ir import Equation, Graph, Literal, Var
from fnn.core.lowering import Elementwise
from fnn.core.primitive import Primitive, registry
from fnn.core.trace import closed_stage
from fnn.errors import ArgumentError, MissingDependency
from fnn.kernels import Executable, cache, compile_graph, ownership, plan_cache
from fnn.kernels.cost import cost_of
from fnn.kernels.cpu.peaks import Peaks
from fnn.kernels.profile import profile_of
from fnn.primitives import arithmetic, linalg, reductions, structural, transcendental
from fnn.primitives.contraction import dot_general
from fnn.records import replace
from fnn.transforms.control import cond
from fnn.transforms.scan import scan
from fnn.transforms.while_loop import while_loop

F4, I4 = np.dtype("float32"), np.dtype("int32")


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), F4)


def graph_of(f: Callable[..., Any], *arrays: np.ndarray) -> Graph:
    return closed_stage(lambda *xs: list(f(*xs)), [Aval(x.shape, x.dtype) for x in arrays])


def agree(
    f: Callable[..., Any], *arrays: np.ndarray, reference: Callable[..., Any] | None = None
) -> Executable:
    """Compile f and compare with the reference, or else with its graph run by NumPy."""
    graph = graph_of(f, *arrays)
    executable = compile_graph(graph)
    with config.using(disable_jit=True):
        results = (reference or graph)(*arrays)
    for found, expected, aval in zip(executable(arrays), results, graph.out_avals, strict=True):
        expected = np.asarray(expected)
        assert found.shape == expected.shape == aval.shape and found.dtype == aval.dtype
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    return executable


def matmul(x: Any, w: Any) -> Any:
    return dot_general(x, w, contract=((1,), (0,)), batch=((), ()), out_dtype=None)


def layer(x: Any, w: Any, b: Any) -> list[Any]:
    h = transcendental.tanh(arithmetic.add(matmul(x, w), structural.broadcast(b, shape=(8, 5), axes=(1,))))
    return [reductions.reduce_sum(h, axes=(0,)), h]


LAYER = array(8, 6), array(6, 5, seed=1), array(5, seed=2)


def test_straight_line() -> None:
    agree(layer, *LAYER)


def test_outputs_that_are_inputs_and_constants() -> None:
    c = np.arange(6, dtype=F4)
    agree(lambda x: [x, c, arithmetic.add(x, c), x, 3.0], array(6))


def test_scalars_and_empty_arrays() -> None:
    agree(lambda x, y: [arithmetic.mul(x, 2.0), arithmetic.add(y, x)], np.asarray(1.5, F4), array(0, 3))


def test_recurrence() -> None:
    def f(w: Any, h: Any, xs: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            h = transcendental.tanh(arithmetic.add(matmul(h, w), x))
            return h, arithmetic.mul(h, 2.0)

        return scan(step, h, xs)

    arguments = array(4, 4), array(2, 4, seed=1), array(9, 2, 4, seed=2)
    agree(f, *arguments)
    agree(lambda w, h, xs: scan(lambda h, x: (arithmetic.sub(x, h), h), h, xs, reverse=True), *arguments)


def test_loops_and_branches_within_each_other() -> None:
    def f(n: Any, x: Any) -> list[Any]:
        def body(carry: Any) -> Any:
            i, x, y = carry
            even = registry["eq"](registry["and"](i, np.int32(1)), np.int32(0))
            x, y = cond(
                even, lambda x, y: (y, x), lambda x, y: (arithmetic.add(x, y), arithmetic.mul(y, 0.5)), x, y
            )
            (_, y), _ = scan(lambda c, _: ((c[1], arithmetic.add(c[0], 1.0)), None), (x, y), None, length=3)
            return arithmetic.add(i, np.int32(1)), x, y

        return list(
            while_loop(lambda c: registry["lt"](c[0], n), body, (np.int32(0), x, arithmetic.mul(x, 2.0)))
        )

    def reference(n: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
        y = x * 2
        for i in range(int(n)):
            x, y = (x + y, y * 0.5) if i % 2 else (y, x)
            a = x
            for _ in range(3):
                a, y = y, a + 1
        return [n, x, y]

    for n in (0, 1, 6):
        agree(f, np.asarray(n, I4), array(5), reference=reference)
        agree(f, np.asarray(n, I4), array(1500), reference=reference)


def test_library_routines() -> None:
    x = array(3, 4, 4)
    a = x @ x.transpose(0, 2, 1) + 4 * np.eye(4, dtype=F4)

    def f(a: Any, b: Any) -> list[Any]:
        factor = linalg.cholesky(a)
        flags: dict[str, Any] = {
            "left_side": True,
            "lower": True,
            "transpose_a": False,
            "unit_diagonal": False,
        }
        return [factor, linalg.triangular_solve(factor, b, **flags)]

    executable = agree(f, a, array(3, 4, 2, seed=1))
    assert [c.flops for c in executable.cost().calls] == [3 * 4**3 / 3, 3 * 4 * 4 * 2]


# -- memory
# ---------------------------------------------------------------------------------------------------


def test_results_are_not_overwritten_while_they_are_held() -> None:
    executable = agree(lambda x: [arithmetic.add(x, 1.0)], array(10_000))
    held = [executable([np.full(10_000, k, F4)])[0] for k in range(8)]
    assert [float(h[0]) for h in held] == [k + 1 for k in range(8)]
    assert all((h == h[0]).all() for h in held)


def test_donated_memory_becomes_the_result() -> None:
    p, g = array(64), array(64, seed=1)
    executable = compile_graph(graph_of(lambda p, g: [arithmetic.sub(p, g)], p, g), donated=(0,))
    mine = p.copy()
    (new,) = executable([mine, g])
    assert np.shares_memory(new, mine)
    np.testing.assert_array_equal(new, p - g)
    assert executable.memory().donated == p.nbytes and executable.memory().outputs == p.nbytes


def test_donated_memory_that_may_not_be_written_is_copied() -> None:
    p = array(8, 8)
    executable = compile_graph(graph_of(lambda p, g: [arithmetic.sub(p, g)], p, p), donated=(0,))
    fixed = p.copy()
    fixed.flags.writeable = False
    for given in (fixed, p.T.copy().T):
        (new,) = executable([given, p])
        np.testing.assert_array_equal(new, np.zeros_like(p))
        np.testing.assert_array_equal(given, p)
    both = p.copy()
    np.testing.assert_array_equal(executable([both, both])[0], np.zeros_like(p))
    np.testing.assert_array_equal(both, p)


def test_donated_inputs_exist() -> None:
    with pytest.raises(ArgumentError):
        compile_graph(graph_of(layer, *LAYER), donated=(3,))


def test_threads_share_an_executable() -> None:
    w = array(16, 16) / 4

    def f(x: Any) -> Any:
        return [scan(lambda h, _: (transcendental.tanh(matmul(h, w)), None), x, None, length=20)[0]]

    inputs = [array(16, 16, seed=k) for k in range(4)]
    graph = graph_of(f, inputs[0])
    executable = compile_graph(graph)
    expected = [executable([x])[0].copy() for x in inputs]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(200):
            if not np.array_equal(executable([inputs[k]])[0], expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert wrong == []


# -- what it shows
# --------------------------------------------------------------------------------------------


def test_plan_kernels_cost_and_memory_are_told(tmp_path: Path) -> None:
    executable = agree(layer, *LAYER)
    plan = executable.plan()
    assert "dot" in plan and "f32[8,6]@input0" in plan and "test_executable.py" in plan
    sources = executable.kernels()
    assert set(sources) == {k for k in executable.table.kernels if k}
    for source in sources.values():
        compile(source, "kernel", "exec")
        assert (
            "f32[8,5]" in source and "test_executable.py" in source
        )  # what is computed, and for which lines
    assert any("def dot(a0, a1, a2," in source for source in sources.values())
    assert any("h = transcendental.tanh(" in source for source in sources.values())
    assert "#1 dot 8x5x6" in plan
    cost = executable.cost()
    assert cost.calls[0].flops == 2 * 8 * 6 * 5
    assert cost.flops >= 2 * 8 * 6 * 5 + 8 * 5 and cost.transcendentals == 8 * 5 and not cost.rounds_unknown
    memory = executable.memory()
    assert memory.inputs == 4 * (8 * 6 + 6 * 5 + 5) and memory.outputs == 4 * (8 * 5 + 5)
    assert memory.peak >= memory.inputs + memory.outputs
    assert str(memory) and str(cost)
    memory.plot(tmp_path / "memory.png")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_picture_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable = agree(layer, *LAYER)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependency, match="matplotlib"):
        executable.memory().plot(tmp_path / "memory.png")


def test_cost_multiplies_by_rounds() -> None:
    def step(h: Any, _: Any) -> Any:
        return arithmetic.mul(arithmetic.add(h, 1.0), 0.5), None

    assert agree(lambda h: [scan(step, h, None, length=7)[0]], array(30)).cost().flops == 7 * 2 * 30


def test_profile_names_every_call() -> None:
    executable = agree(layer, *LAYER)
    profile = executable.profile(LAYER)
    assert len(profile.calls) == sum(1 for k in executable.table.kernels if k)
    assert profile.seconds > 0 and all(c.seconds >= 0 for c in profile.calls)
    assert "dot" in str(profile)


def test_profile_sets_times_beside_the_peaks_of_the_machine(tmp_path: Path) -> None:
    peaks = Peaks(threads=2, flops_f32=100e9, flops_f64=50e9, copy_bandwidth=20e9, read_bandwidth=30e9)
    plan = agree(layer, *LAYER).planned()
    rows = np.full(len(plan.table.kernels), 1000.0)
    profile = profile_of(plan, rows, peaks)
    for call, cost in zip(profile.calls, cost_of(plan).calls, strict=True):
        assert (call.flops, call.bytes) == (cost.flops, cost.bytes)
        arithmetic, traffic = cost.flops / 100e9, cost.bytes / 20e9
        assert call.best == pytest.approx(max(arithmetic, traffic))
        assert call.limit == ("memory" if traffic > arithmetic else "compute")
        assert call.of_peak == pytest.approx(call.best / 1e-6)
    assert str(profile).splitlines()[-1] == f"of peak: {peaks}"
    profile.plot(tmp_path / "profile.svg")
    text = (tmp_path / "profile.svg").read_text()
    assert text.startswith("<?xml") and len(text) > 5000


# -- the plan cache
# -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with config.using(cache_dir=str(tmp_path)):
        yield tmp_path


def plans(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/plans/*"))


def test_plan_comes_back_without_lowering(folder: Path) -> None:
    first = compile_graph(graph_of(layer, *LAYER))
    before = cache.statistics()
    second = compile_graph(graph_of(layer, *LAYER))  # another graph that says the same
    assert cache.statistics().plans_loaded == before.plans_loaded + 1
    assert (
        first.times["lower"] > 0
        and second.times["lower"] == second.times["plan"] == second.times["compile"] == 0
    )
    for a, b in zip(first(LAYER), second(LAYER), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.plan() == second.plan() and first.kernels() == second.kernels()
    assert replace(first.memory(), pieces=str) == replace(second.memory(), pieces=str)


def test_passes_are_left_out_where_the_plan_is_known(folder: Path) -> None:
    calls: list[Graph] = []

    def passes(graph: Graph) -> Graph:
        calls.append(graph)
        return graph_of(lambda *xs: [arithmetic.neg(y) for y in layer(*xs)], *LAYER)  # something else

    first = compile_graph(graph_of(layer, *LAYER), (), passes, "1")
    second = compile_graph(graph_of(layer, *LAYER), (), passes, "1")
    assert len(calls) == 1 and second.times["lower"] == 0 and first.equations == second.equations
    plain = compile_graph(graph_of(layer, *LAYER))  # not the same as without passes
    for a, b, c in zip(first(LAYER), second(LAYER), plain(LAYER), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, -c)
    assert first.plan() == second.plan() and len(calls) == 2  # made again, of the graph that was lowered
    compile_graph(graph_of(layer, *LAYER), (), passes, "2")
    assert len(calls) == 3


def test_what_only_the_passes_give_a_name_is_found_by_their_result(folder: Path) -> None:
    strange, sound = one("neg", None, f=lambda x: x), one("neg", None)
    first, second = (compile_graph(strange, (), lambda _: sound, "1") for _ in range(2))
    assert first.times["lower"] > 0 and second.times["lower"] == 0


def test_damaged_plan_is_planned_again(folder: Path) -> None:
    expected = compile_graph(graph_of(layer, *LAYER))(LAYER)
    (path,) = plans(folder)
    sound = path.read_bytes()
    for damaged in (sound[:-9], b"", sound[:100] + bytes([sound[100] ^ 1]) + sound[101:]):
        path.write_bytes(damaged)
        again = compile_graph(graph_of(layer, *LAYER))
        assert again.times["lower"] > 0
        for a, b in zip(again(LAYER), expected, strict=True):
            np.testing.assert_array_equal(a, b)
        assert path.read_bytes() == sound


def test_plan_whose_content_makes_no_sense_is_planned_again(folder: Path) -> None:
    graph = graph_of(layer, *LAYER)
    table, record = compile_graph(graph).table, {"format": plan_cache.FORMAT}
    key = plan_cache.graph_key(graph, (), config.printer)
    assert key is not None
    for data in (b"", b"1234567812345678", json.dumps(record).encode()):
        cache.save_plan(key, data)
        assert plan_cache.load(key, 3) is None and compile_graph(graph_of(layer, *LAYER)).times["lower"] > 0
    outside = replace(table, args=table.args + [[100, 0]])
    cache.save_plan(key, outside.to_bytes(record))
    assert plan_cache.load(key, 3) is None
    cache.save_plan(key, table.to_bytes({"format": -1}))
    assert plan_cache.load(key, 3) is None
    cache.save_plan(key, table.to_bytes(record))
    assert plan_cache.load(key, 4) is None


SCRIPT = """
import json, sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_executable_program import make
graph, inputs = make()
from fnn.kernels import cache, compile_graph
executable = compile_graph(graph)
out = executable(inputs)
modules = [m for m in ("numba", "fnn.kernels.lower", "fnn.kernels.plan") if m in sys.modules]
print(json.dumps([cache.statistics().compiled, modules, float(out[0].sum()), len(executable.plan())]))
"""
PROGRAM = """
import numpy as np
from fnn.core.aval import Aval
from fnn.core.trace import closed_stage
from fnn.primitives import arithmetic, transcendental
def make():
    x = np.linspace(0, 1, 50, dtype="float32")
    f = lambda x: [arithmetic.mul(transcendental.sin(x), np.arange(50, dtype="float32"))]
    return closed_stage(f, [Aval(x.shape, x.dtype)]), [x]
"""


def test_second_process_compiles_nothing_and_imports_no_compiler(tmp_path: Path) -> None:
    (tmp_path / "test_executable_program.py").write_text(PROGRAM)
    root = Path(__file__).resolve().parent.parent
    environment = {
        **os.environ,
        "FNN_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(root),
        "FNN_PRINTER": "vector",
    }
    said = []
    for _ in range(2):
        code = SCRIPT.format(tests=str(tmp_path))
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        said.append(json.loads(done.stdout))
    (compiled, _, total, length), (compiled_again, modules, total_again, length_again) = said
    assert compiled > 0 and compiled_again == 0 and modules == []
    assert total == total_again and length == length_again


# -- names of graphs
# ------------------------------------------------------------------------------------------


def one(primitive: str, *inputs: Any, **params: Any) -> Graph:
    """A graph of one equation, over f32[2] for each None and literals for the rest."""
    aval = Aval((2,), F4)
    atoms = [Var(aval) if x is None else Literal(x, Aval(np.shape(x), F4)) for x in inputs]
    out = Var(aval)
    variables = [a for a in atoms if isinstance(a, Var)]
    return Graph(variables, [out], [Equation(registry[primitive], atoms, [out], params)])


@dataclasses.dataclass(frozen=True)
class Numbers:
    a: tuple[int, ...]
    b: np.dtype


def test_equal_graphs_have_equal_keys() -> None:
    keys = {plan_cache.graph_key(graph_of(layer, *LAYER)) for _ in range(2)}
    assert len(keys) == 1 and None not in keys
    nan = {plan_cache.graph_key(one("add", None, float("nan"))) for _ in range(2)}
    assert len(nan) == 1


def test_unlike_graphs_have_unlike_keys() -> None:
    inner = one("add", None, 1.0), one("add", None, 2.0)
    big = np.zeros(1000, F4), np.zeros(1000, F4)
    big[1][500] = 1
    literals = (0.0, -0.0, float("nan"), 1e-9, np.ones(2, F4), np.ones(2, I4), *big)
    values = (
        1, 1.0, True, "1", b"1", None, (1,), ((1,),), (1, 2), F4, I4, np.float32, slice(1, 2), range(2),
        inner[0], inner[1], inner, inner[::-1], frozenset({1, 2}), frozenset({1}), Numbers((1,), F4),
        Numbers((2,), F4), Numbers((1,), I4), np.float32(1), Aval((2,), F4), Aval((2,), F4, True),
    )  # fmt: skip
    graphs = [one("add", None, None), one("sub", None, None), one("add", 0.0, None), one("add", None, m=1)]
    graphs += [one("add", None, x) for x in literals]
    graphs += [one("add", None, n=x) for x in values]
    keys = [plan_cache.graph_key(g) for g in graphs]
    keys += [plan_cache.graph_key(graphs[0], donated) for donated in ((0,), (1,), (0, 1))]
    keys += [plan_cache.graph_key(graphs[0], (), "numba")]
    assert None not in keys and len(set(keys)) == len(keys)


def test_graphs_with_functions_or_foreign_primitives_have_no_key() -> None:
    assert plan_cache.graph_key(one("add", None, f=lambda x: x)) is None
    assert plan_cache.graph_key(one("add", None, g=one("add", None, f=(print,)))) is None
    assert plan_cache.graph_key(one("add", None, o=object())) is None
    own = replace(registry["add"].lower, expr=lambda b, x, y: x)
    assert not ownership.is_own_function(own.expr)  # type: ignore[union-attr]


def test_kernels_of_the_users_own_primitives_are_named_by_what_they_do() -> None:
    """Another process may give the name another meaning, and both share the cache."""

    def kernels_of(expr: Callable[..., Any]) -> tuple[set[str], np.ndarray]:
        own = Primitive(
            "own_primitive", shape=lambda x: x, evaluate=lambda x: x, lower=Elementwise(expr)
        )  # fmt: skip
        del registry["own_primitive"]
        executable = compile_graph(graph_of(lambda x: [own(x)], array(4)))
        (found,) = executable([np.arange(4, dtype=F4)])
        return {k for k in executable.table.kernels if k}, found

    twice, doubled = kernels_of(lambda b, x: x * 2.0)
    again, _ = kernels_of(lambda b, x: x * 2.0)
    thrice, tripled = kernels_of(lambda b, x: x * 3.0)
    assert twice == again and not twice & thrice
    np.testing.assert_array_equal(doubled, [0, 2, 4, 6])
    np.testing.assert_array_equal(tripled, [0, 3, 6, 9])
