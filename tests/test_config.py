"""Settings: environment variables, updates, overrides."""

import threading
from pathlib import Path

import pytest

from fnn.config import SETTINGS, Config, cache_folder, config, disable_jit, enable_x64, usable_cpus
from fnn.errors import ArgumentError, UnsupportedError


def test_defaults():
    fresh = Config({})
    assert (fresh.enable_x64, fresh.disable_jit, fresh.check_graphs) == (False, False, False)
    assert (fresh.traceback, fresh.printer, fresh.log) == ("filtered", "vector", "off")
    assert fresh.num_threads == usable_cpus() >= 1
    assert fresh.cache_dir is None
    assert fresh.cache_size == 2**30


@pytest.mark.parametrize(
    "variable, text, name, value",
    [
        ("FNN_ENABLE_X64", "1", "enable_x64", True),
        ("FNN_DISABLE_JIT", "off", "disable_jit", False),
        ("FNN_TRACEBACK", "Full", "traceback", "full"),
        ("FNN_PRINTER", "numba", "printer", "numba"),
        ("FNN_NUM_THREADS", " 3 ", "num_threads", 3),
        ("FNN_NUM_THREADS", "", "num_threads", usable_cpus()),
        ("FNN_CACHE_DIR", "", "cache_dir", ""),
        ("FNN_CACHE_DIR", "/a/b", "cache_dir", "/a/b"),
        ("FNN_CACHE_SIZE", "1000", "cache_size", 1000),
        ("FNN_CACHE_SIZE", "1.5 GB", "cache_size", 3 * 2**29),
        ("FNN_CACHE_SIZE", "2MiB", "cache_size", 2**21),
        ("FNN_CHECK", "yes", "check_graphs", True),
    ],
)
def test_environment(variable, text, name, value):
    assert getattr(Config({variable: text}), name) == value


def test_jaxs_environment_counts_where_fnns_own_says_nothing():
    own = Config({"FNN_DEBUG_NANS": "0"})
    own.take_jax_environment(
        {"FNN_DEBUG_NANS": "0"} | {f"JAX_{name}": "True" for name in ("ENABLE_X64", "DEBUG_NANS")}
    )
    own.take_jax_environment(
        {"JAX_TRACEBACK_FILTERING": "off", "JAX_PLATFORMS": "tpu", "JAX_DISABLE_JIT": ""}
    )
    assert own.enable_x64
    assert not own.debug_nans
    assert not own.disable_jit
    assert own.traceback == "full"
    with pytest.raises(ArgumentError, match="jax_enable_x64"):
        own.take_jax_environment({"JAX_ENABLE_X64": "maybe"})


@pytest.mark.parametrize(
    "variable, text",
    [
        ("FNN_ENABLE_X64", "maybe"),
        ("FNN_NUM_THREADS", "0"),
        ("FNN_NUM_THREADS", "two"),
        ("FNN_PRINTER", "c"),
        ("FNN_CACHE_SIZE", "-1"),
        ("FNN_CACHE_SIZE", "1PB"),
        ("FNN_CACHE_SIZE", "infGB"),
    ],
)
def test_malformed_environment_is_named(variable, text):
    with pytest.raises(ArgumentError, match=f"{variable} is '{text}'; it must be"):
        Config({variable: text})


def test_update_by_either_spelling():
    own = Config({})
    own.update("jax_enable_x64", True)
    assert own.enable_x64 is own.jax_enable_x64 is own.x64_enabled is own.read("jax_enable_x64") is True
    own.update("enable_x64", False)
    assert own.enable_x64 is False
    own.printer = "numba"
    assert own.printer == "numba"
    own.update("jax_traceback_filtering", "off")
    assert own.traceback == "full"


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ArgumentError, match=r"'enable_x65'; did you mean 'enable_x64'\?") as caught:
        config.update("enable_x65", True)
    assert all(name in str(caught.value) for name in SETTINGS)
    with pytest.raises(AttributeError, match="num_threads"):
        _ = config.nonsense
    with pytest.raises(ArgumentError), config.using(nonsense=1):
        pass


def test_options_of_jax_that_hold_already_are_accepted_and_others_refused():
    config.update("jax_threefry_partitionable", True)
    config.update("jax_platform_name", "cpu")
    with pytest.raises(UnsupportedError, match="partitionable"):
        config.update("jax_threefry_partitionable", False)


def test_using_nests_and_restores_even_after_an_error():
    own = Config({"FNN_NUM_THREADS": "4"})
    with own.using(num_threads=3, enable_x64=True):
        with pytest.raises(ZeroDivisionError), own.using(num_threads=2):
            assert (own.num_threads, own.enable_x64) == (2, True)
            raise ZeroDivisionError
        assert (own.num_threads, own.enable_x64) == (3, True)
        own.update("num_threads", 8)  # the process's; this thread's is overridden
        assert own.num_threads == 3
    assert (own.num_threads, own.enable_x64) == (8, False)
    assert repr(own).count("FNN_") == len(SETTINGS)


def test_a_rejected_value_changes_nothing():
    own = Config({"FNN_NUM_THREADS": "4"})
    with pytest.raises(ArgumentError), own.using(enable_x64=True, num_threads=0):
        pass
    assert (own.num_threads, own.enable_x64) == (4, False)


def test_overrides_belong_to_their_thread():
    own = Config({})
    inside, seen = threading.Barrier(2), []

    def other():
        inside.wait()
        seen.append(own.enable_x64)
        with own.using(enable_x64=False):
            seen.append(own.enable_x64)
        inside.wait()

    thread = threading.Thread(target=other)
    thread.start()
    with own.using(enable_x64=True):
        inside.wait()
        inside.wait()
        assert own.enable_x64 is True
    thread.join()
    assert seen == [False, False]
    assert own.enable_x64 is False


def test_context_managers():
    with enable_x64(), disable_jit():
        assert (config.enable_x64, config.disable_jit) == (True, True)
        with enable_x64(False):
            assert config.enable_x64 is False


def test_cache_folder(monkeypatch):
    with config.using(cache_dir=""):
        assert cache_folder() is None
    with config.using(cache_dir=Path("/a/b")):
        assert cache_folder() == str(Path("/a/b"))
    with config.using(cache_dir=None):
        folder = cache_folder()
        assert folder is not None
        assert "fnn" in Path(folder).parts
