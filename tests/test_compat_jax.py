"""`import jax` answered by fnn: the import hook, the names of jax itself, stax, optimizers, pmap and shardings."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.compat import jax as compat
from fnn.errors import ArgumentError, UnsupportedError
from fnn.test_util import check_grads

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def jax() -> Any:
    """The module that `import jax` gives; whatever was imported as jax before comes back afterwards."""
    before = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("jax", "jaxlib")
    }
    compat.install()
    try:
        yield importlib.import_module("jax")
    finally:
        compat.uninstall()
        sys.modules.update(before)


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fnn.compat.jax", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


# -- the import hook --------------------------------------------------------------------------------------------------


def test_modules_are_fnns(jax: ModuleType) -> None:
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
    from jax import lax, random, tree_util  # pyright: ignore[reportMissingImports,reportAttributeAccessIssue]
    from jax.nn.initializers import lecun_normal  # pyright: ignore[reportMissingImports]

    assert jnp.sin is fnp.sin and lax.scan is fnn.lax.scan and random.normal is fnn.random.normal
    assert tree_util.tree_map is fnn.tree_util.tree_map and lecun_normal is fnn.nn.initializers.lecun_normal
    assert jax.jit is fnn.jit and jax.Array is fnn.Array and jax.nn.relu is fnn.nn.relu


def test_what_is_missing_is_said(jax: ModuleType) -> None:
    with pytest.raises(AttributeError, match=r"'jax\.numpy' has no attribute 'no_such'.*compatibility\.md"):
        getattr(jax.numpy, "no_such")  # noqa: B009
    with pytest.raises(AttributeError, match="module 'jax' has no attribute 'optim'"):
        getattr(jax, "optim")  # noqa: B009
    assert not hasattr(jax, "no_such")
    with pytest.raises(
        ModuleNotFoundError, match=r"No module named 'jax\.experimental\.pallas'.*no counterpart"
    ):
        importlib.import_module("jax.experimental.pallas")
    with pytest.raises(ImportError):
        exec("from jax.lax import no_such", {})


def test_star_imports(jax: ModuleType) -> None:
    names: dict[str, Any] = {}
    exec("from jax.numpy import *", names)
    assert names["sin"] is fnp.sin and len(names) > 300


def test_installing_twice_and_too_late(jax: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    compat.install()
    assert (
        sum(
            type(finder).__name__ == "Finder" and finder.__module__ == "fnn.compat.jax.modules"
            for finder in sys.meta_path
        )
        == 1
    )
    compat.uninstall()
    assert "jax" not in sys.modules
    monkeypatch.setitem(sys.modules, "jax", ModuleType("jax"))
    with pytest.raises(ArgumentError, match="jax itself is imported already"):
        compat.install()


def test_a_script_runs(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent("""
        import sys
        import jax, jax.numpy as jnp
        import beside
        if __name__ == "__main__":
            print(sys.argv[1:], jax.jit(jax.grad(lambda x: jnp.sum(x**2)))(jnp.arange(beside.N)))
    """)
    )
    (tmp_path / "beside.py").write_text("N = 3.0")
    done = run(script, "--lr", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['--lr', '1'] [0. 2. 4.]"


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path / "absent.py")
    assert done.returncode == 2 and "there is no file" in done.stderr
    assert (
        subprocess.run([sys.executable, "-m", "fnn.compat.jax"], capture_output=True, cwd=ROOT).returncode
        == 2
    )


# -- the names of jax itself ------------------------------------------------------------------------------------------


def test_devices_and_settings(jax: ModuleType) -> None:
    assert jax.device_count() == jax.local_device_count() == jax.process_count() == 1
    assert jax.default_backend() == "cpu" and jax.process_index() == 0
    assert jax.__version__ == ".".join(map(str, jax.__version_info__))
    assert jax.config.jax_enable_x64 is False
    jax.config.update("jax_enable_x64", True)
    try:
        assert jax.numpy.ones(1).dtype == np.float64 and jax.config.read("jax_enable_x64")
    finally:
        jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_log_compiles", True)  # without effect
    assert jax.config.jax_log_compiles is True
    with pytest.raises(ArgumentError, match="no setting 'jax_no_such'"):
        jax.config.update("jax_no_such", 1)


def test_clearing_caches_traces_anew(jax: ModuleType) -> None:
    traced = []
    f = jax.jit(lambda x: traced.append(1) or x + 1)
    f(1.0), f(2.0)
    assert len(traced) == 1
    jax.clear_caches()
    assert float(f(3.0)) == 4.0 and len(traced) == 2


def test_what_fnn_cannot_do_is_refused(jax: ModuleType) -> None:
    jax.config.update("jax_platforms", "cpu")
    with pytest.raises(UnsupportedError, match="programs run on the CPU"):
        jax.config.update("jax_platforms", "gpu")
    with pytest.raises(UnsupportedError, match="operands of unequal rank always broadcast"):
        jax.config.update("jax_numpy_rank_promotion", "raise")


def test_what_is_known_is_computed_while_tracing(jax: ModuleType) -> None:
    def f(x: Any) -> Any:
        with jax.ensure_compile_time_eval(), jax.checking_leaks():
            size = int(jax.numpy.arange(3).sum())
        assert isinstance(x + 1, jax.core.Tracer)
        return jax.numpy.full(size, x)

    assert jax.jit(f)(1.0).shape == (3,)


def test_types_of_arrays(jax: ModuleType) -> None:
    aval = jax.typeof(jax.numpy.ones((2, 3)))
    assert (aval.shape, aval.dtype, aval.str_short(), aval.str_short(True)) == (
        (2, 3),
        np.float32,
        "float32[2,3]",
        "f32[2,3]",
    )
    assert isinstance(aval, jax.core.ShapedArray) and aval.sharding.is_fully_replicated
    assert jax.eval_shape(lambda x: x @ x.T, aval).shape == (2, 2)
    assert jax.core.get_aval(1.0).weak_type and not jax.core.get_aval(1.0).strip_weak_type().weak_type
    seen = []
    jax.make_jaxpr(lambda x: seen.append(isinstance(x, jax.core.Tracer)) or x)(1.0)
    assert seen == [True]


# -- one device -------------------------------------------------------------------------------------------------------


def test_pmap(jax: ModuleType) -> None:
    @jax.pmap
    def double(x: Any) -> Any:
        return 2 * x

    np.testing.assert_array_equal(double(np.ones((1, 3), np.float32)), 2 * np.ones((1, 3)))
    mean = jax.pmap(
        lambda x, n: (jax.lax.pmean(x, "i") * n, jax.lax.axis_index("i")), "i", static_broadcasted_argnums=1
    )
    out, index = mean(np.ones((1, 2), np.float32), 3)
    assert out.shape == (1, 2) and float(out[0, 0]) == 3.0 and index.shape == (1,)
    with pytest.raises(ArgumentError, match=r"argument 0 has 2 elements along axis 0.*one device"):
        double(np.ones((2, 3), np.float32))
    replicated = jax.device_put_replicated({"w": np.ones(2)}, jax.local_devices())
    assert replicated["w"].shape == (1, 2)


def test_shardings(jax: ModuleType) -> None:
    from jax.sharding import Mesh, NamedSharding, PartitionSpec  # pyright: ignore[reportMissingImports]

    mesh = Mesh(np.array(jax.devices()), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec("data", None))
    x = jax.device_put(np.ones((4, 2)), sharding)
    assert (
        x.shape == (4, 2)
        and x.sharding.device_set == set(jax.devices())
        and sharding.shard_shape((4, 2)) == (4, 2)
    )
    assert mesh.shape == {"data": 1} and hash(sharding) == hash(
        NamedSharding(mesh, PartitionSpec("data", None))
    )
    with mesh:
        assert jax.sharding.get_mesh() is mesh
    assert jax.sharding.get_mesh().empty
    with jax.set_mesh(mesh):
        assert jax.sharding.get_abstract_mesh().axis_names == ("data",)
    total = jax.shard_map(
        lambda x: jax.lax.psum(x, "data"),
        mesh=mesh,
        in_specs=PartitionSpec("data"),
        out_specs=PartitionSpec(),
    )
    np.testing.assert_array_equal(total(x), x)
    assert jax.jit(lambda x: jax.lax.with_sharding_constraint(x, sharding))(x).shape == (4, 2)
    with pytest.raises(ArgumentError, match=r"has the axes .*'data'.*not 'model'"):
        NamedSharding(mesh, PartitionSpec("model"))
    with pytest.raises(UnsupportedError, match="needs 8 devices; there is one"):
        jax.make_mesh((8,), ("data",))
    leaves = jax.tree_util.tree_leaves(PartitionSpec("data", None))
    assert leaves == []  # a node without leaves


# -- the example libraries, and checking gradients --------------------------------------------------------------------


def test_stax(jax: ModuleType) -> None:
    from jax.example_libraries import stax  # pyright: ignore[reportMissingImports]

    block = stax.serial(
        stax.FanOut(2),
        stax.parallel(stax.serial(stax.Conv(3, (3, 3), padding="SAME"), stax.BatchNorm(), stax.Tanh), stax.Identity),
        stax.FanInConcat(-1),
    )  # fmt: skip
    init, apply = stax.serial(
        block,
        stax.AvgPool((2, 2), (2, 2)),
        stax.MaxPool((2, 2)),
        stax.Flatten,
        stax.Dropout(0.5),
        stax.Dense(3),
        stax.LogSoftmax,
    )
    shape, params = init(jax.random.PRNGKey(0), (-1, 8, 8, 2))
    x = jax.random.normal(jax.random.PRNGKey(1), (4, 8, 8, 2))
    out = jax.jit(lambda p, x, k: apply(p, x, rng=k))(params, x, jax.random.PRNGKey(2))
    assert shape == (-1, 3) and out.shape == (4, 3)
    np.testing.assert_allclose(np.exp(out).sum(1), 1.0, rtol=1e-5)
    with pytest.raises(ArgumentError, match="rng=key"):
        apply(params, x)


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [  # after three steps on the gradient 2x from x = 1: computed with JAX 0.10.2
        ("sgd", (0.1,), 0.512), ("momentum", (0.1, 0.9), 0.062), ("nesterov", (0.1, 0.9), -0.10835198),
        ("adagrad", (0.1,), 0.95384145), ("rmsprop", (0.1,), 0.36918053), ("rmsprop_momentum", (0.1,), -0.26825672),
        ("adam", (0.1,), 0.70158923), ("adamax", (0.1,), 0.71549958), ("sm3", (0.1,), 0.95384145),
    ],
)  # fmt: skip
def test_optimizers(jax: ModuleType, name: str, arguments: tuple, value: float) -> None:
    from jax.example_libraries import optimizers  # pyright: ignore[reportMissingImports]

    init, update, params = getattr(optimizers, name)(*arguments)
    state = init({"x": jax.numpy.ones(2)})
    for i in range(3):
        state = jax.jit(update)(i, jax.tree.map(lambda x: 2 * x, params(state)), state)
    np.testing.assert_allclose(params(state)["x"], value, rtol=2e-4)
    again = optimizers.pack_optimizer_state(optimizers.unpack_optimizer_state(state))
    np.testing.assert_array_equal(params(again)["x"], params(state)["x"])


def test_schedules(jax: ModuleType) -> None:
    from jax.example_libraries import optimizers  # pyright: ignore[reportMissingImports]

    assert optimizers.make_schedule(0.5)(7) == 0.5
    assert optimizers.exponential_decay(1.0, 10, 0.5)(20) == pytest.approx(0.25)
    assert optimizers.inverse_time_decay(1.0, 10, 1.0, staircase=True)(19) == pytest.approx(0.5)
    assert optimizers.polynomial_decay(1.0, 10, 0.1)(50) == pytest.approx(0.1)
    assert float(optimizers.piecewise_constant([2, 4], [1.0, 0.5, 0.1])(3)) == 0.5
    clipped = optimizers.clip_grads({"a": fnp.full(4, 3.0)}, 1.5)
    assert float(optimizers.l2_norm(clipped)) == pytest.approx(1.5)


def test_checking_gradients() -> None:
    check_grads(lambda x, n: fnp.sum(fnp.tanh(x["a"]) * n), ({"a": fnp.ones(3)}, 2), order=2)

    @fnn.custom_jvp
    def wrong(x: Any) -> Any:
        return fnp.sin(x)

    wrong.defjvp(lambda primals, tangents: (fnp.sin(*primals), 1.1 * fnp.cos(*primals) * tangents[0]))
    for mode in ("fwd", "rev"):
        with pytest.raises(AssertionError, match="not the finite difference"):
            check_grads(wrong, (0.5,), 1, modes=(mode,))
    with pytest.raises(ArgumentError, match="'fwd' and 'rev'"):
        check_grads(wrong, (0.5,), 1, modes=("forward",))
