"""The cache of compiled kernels: found by content, shared by processes, and never believed when damaged."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fnn.config import config
from fnn.errors import ArgumentError, CacheWarning
from fnn.kernels import cache
from fnn.kernels.cpu import compile_workers, loading, machine


def text(key: str, value: int) -> str:
    """A kernel that stores `value` at its first argument."""
    return f"""
define void @k{key}(ptr %p, i64 %lo, i64 %hi) {{
  %out = load ptr, ptr %p
  store i64 {value}, ptr %out
  ret void
}}
"""


def sources(prefix: str, count: int, start: int = 0) -> dict:
    return {f"{prefix}{i}": lambda i=i: text(f"{prefix}{i}", i) for i in range(start, start + count)}


def value_of(address: int) -> int:
    out = np.full(1, -1)
    arguments = np.array([out.ctypes.data])
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)(
        arguments.ctypes.data, 0, 1
    )
    return int(out[0])


def check(addresses: dict[str, int], prefix: str) -> None:
    assert all(value_of(address) == int(key.removeprefix(prefix)) for key, address in addresses.items())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, in a process that has loaded nothing and counted nothing."""
    before = config.cache_dir, config.cache_size
    config.update("cache_dir", str(tmp_path / "cache"))
    fresh(monkeypatch)
    yield tmp_path / "cache"
    config.update("cache_dir", before[0])
    config.update("cache_size", before[1])


def fresh(monkeypatch) -> None:
    """As a new process finds it."""
    monkeypatch.setattr(cache, "_addresses", {})
    monkeypatch.setattr(cache, "_statistics", cache.Statistics())
    monkeypatch.setattr(cache, "_unwritable", set())
    monkeypatch.setattr(cache, "_unchecked", float("inf"))


def counts() -> tuple[int, int, int]:
    s = cache.statistics()
    return s.compiled, s.loaded, s.found


def files(folder: Path, kind: str = "*") -> list[Path]:
    return sorted(path for path in folder.glob(f"fnn-*/{kind}/*") if path.is_file())


# Other processes find fnn and this file wherever this one was started, and write no bytecode beside them.
HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}", "PYTHONDONTWRITEBYTECODE": "1"}

# The processes of a test are of one mind about the sources, even while someone edits them.
PROCESS = """
import sys, json
import test_cache as t
from fnn.kernels import cache
cache._sources = list
found = cache.kernels(t.sources("p", int(sys.argv[1])), "program")
t.check(found, "p")
print(json.dumps(vars(cache.statistics())), "numba" in sys.modules)
"""


def process(folder: Path, count: int = 6, **environment: str) -> subprocess.Popen:
    variables = ENVIRONMENT | {"FNN_CACHE_DIR": str(folder)} | environment
    command = [sys.executable, "-c", PROCESS, str(count)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outcome(running: subprocess.Popen) -> tuple[dict, str]:
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    line, _, numba = out.strip().rpartition(" ")
    assert numba == "False", "a compiler was imported"
    return json.loads(line), err


# ----------------------------------------------------------------------------------------------- by content


def test_a_kernel_is_compiled_once_in_a_process_and_once_on_a_disk(folder, monkeypatch):
    check(cache.kernels(sources("a", 3), "one"), "a")
    assert counts() == (3, 0, 0)
    check(cache.kernels(sources("a", 3), "one"), "a")
    assert counts() == (3, 0, 3)
    fresh(monkeypatch)
    check(cache.kernels(sources("a", 3), "one"), "a")
    assert counts() == (0, 3, 0)


def test_programs_share_kernels(folder, monkeypatch):
    cache.kernels(sources("a", 4), "one")
    fresh(monkeypatch)
    check(cache.kernels(sources("a", 4, start=2), "two"), "a")
    assert counts() == (2, 2, 0)
    fresh(monkeypatch)
    # The second program's own file holds all it needs, also what the first one compiled.
    for path in files(folder, "kernels") + [p for p in files(folder, "programs") if p.name == "one"]:
        path.unlink()
    check(cache.kernels(sources("a", 4, start=2), "two"), "a")
    assert counts() == (0, 4, 0)


def test_find_never_compiles(folder, monkeypatch):
    assert cache.find(["a0", "a1"], "one") is None
    cache.kernels(sources("a", 2), "one")
    assert cache.find(["a0", "a1"], "one") is not None
    fresh(monkeypatch)
    assert cache.find(["a0", "a1", "a2"], "one") is None
    found = cache.find(["a0", "a1"])
    assert found is not None
    check(found, "a")
    assert cache.statistics().compiled == 0


def test_without_a_folder_everything_works_and_nothing_is_written(folder, monkeypatch):
    config.update("cache_dir", "")
    check(cache.kernels(sources("a", 2), "one"), "a")
    cache.save_plan("plan", b"x")
    assert cache.load_plan("plan") is None
    assert not folder.exists() and cache.clear() == 0 and cache.disk_usage() == (0, 0)


def test_keys_are_checked(folder):
    for key in ("", "../up", "a b", "x" * 101, ".hidden"):
        with pytest.raises(ArgumentError, match="is no key"):
            cache.kernels({key: lambda: ""})
        with pytest.raises(ArgumentError, match="is no key"):
            cache.load_plan(key)
        with pytest.raises(ArgumentError, match="is no key"):
            cache.save_plan(key, b"")


def test_a_kernel_that_does_not_compile_is_named_and_leaves_the_others(folder):
    wrong = sources("a", 6) | {"bad": lambda: "define void @kbad() { nonsense }"}
    with pytest.raises(machine.KernelError, match="kernel bad"):
        cache.kernels(wrong, "one")
    check(cache.kernels(sources("a", 6), "one"), "a")


def test_plans_come_back_as_they_were(folder, monkeypatch):
    assert cache.load_plan("plan") is None
    for data in (b"", b"x" * 100_000):
        cache.save_plan("plan", data)
        fresh(monkeypatch)
        assert cache.load_plan("plan") == data
    assert (cache.statistics().plans_loaded, cache.statistics().plans_saved) == (1, 0)


# ------------------------------------------------------------------------------------------ damaged folders


DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "head only": lambda data: data[:56],
    "one bit": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "garbage": lambda data: os.urandom(len(data)),
    "longer": lambda data: data + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_replaced(folder, monkeypatch, damage: str):
    cache.kernels(sources("a", 3), "one")
    cache.save_plan("plan", b"plan" * 50)
    for path in files(folder):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    fresh(monkeypatch)
    assert cache.load_plan("plan") is None
    check(cache.kernels(sources("a", 3), "one"), "a")
    assert counts() == (3, 0, 0)
    assert cache.statistics().rejected == 5
    fresh(monkeypatch)
    check(cache.kernels(sources("a", 3), "one"), "a")
    assert counts() == (0, 3, 0) and cache.statistics().rejected == 0


def test_files_under_another_name_are_not_believed(folder, monkeypatch):
    cache.kernels(sources("a", 2), "one")
    a, b = files(folder, "kernels")
    a.write_bytes(b.read_bytes())
    next(p for p in files(folder, "programs")).unlink()
    fresh(monkeypatch)
    check(cache.kernels(sources("a", 2), "one"), "a")
    assert counts() == (1, 1, 0)


def test_files_of_another_machine_are_not_believed(folder, monkeypatch):
    cache.kernels(sources("a", 2), "one")
    (old,) = folder.iterdir()
    fresh(monkeypatch)
    monkeypatch.setattr(cache, "_identity", lambda: "0" * 24)
    check(cache.kernels(sources("a", 2), "one"), "a")
    assert counts() == (2, 0, 0)
    # Even when someone renames the folder.
    (folder / ("fnn-" + "0" * 24)).rename(folder / "aside")
    old.rename(folder / ("fnn-" + "0" * 24))
    fresh(monkeypatch)
    check(cache.kernels(sources("a", 2), "one"), "a")
    assert counts() == (2, 0, 0)


def test_files_of_other_sources_are_not_believed(folder, monkeypatch):
    assert any("fnn.kernels/cache.py " in line for line in cache._sources())
    monkeypatch.setattr(cache, "_identity", cache._identity.__wrapped__)
    cache.kernels(sources("a", 2), "one")
    fresh(monkeypatch)
    edited = cache._sources()[1:]
    monkeypatch.setattr(cache, "_sources", lambda: edited)
    check(cache.kernels(sources("a", 2), "one"), "a")
    assert counts() == (2, 0, 0)


def test_object_code_that_llvm_refuses_is_compiled_again(folder, monkeypatch):
    cache.kernels(sources("a", 2), "one")
    # Well sealed, but the kernel is another's: its symbol is missing.
    wrong = {"a0": machine.assemble(text("other", 5), "other"), "a1": machine.assemble(text("a1", 1), "a1")}
    cache._write("programs", "one", cache._pack(wrong))
    fresh(monkeypatch)
    check(cache.kernels(sources("a", 2), "one"), "a")
    assert counts()[0] == 2


@pytest.mark.parametrize("obstacle", ["a file in its place", "folders are files", "a missing disk"])
def test_a_folder_that_cannot_be_written_is_a_warning(folder, monkeypatch, obstacle: str):
    if obstacle == "a file in its place":
        folder.write_text("not a folder")
    elif obstacle == "folders are files":
        (folder / f"fnn-{cache._identity()}").mkdir(parents=True)
        for kind in ("kernels", "programs", "plans"):
            (folder / f"fnn-{cache._identity()}" / kind).write_text("")
    else:
        config.update("cache_dir", "/proc/no/such/place")
    with pytest.warns(CacheWarning, match="FNN_CACHE_DIR") as warned:
        check(cache.kernels(sources("a", 2), "one"), "a")
        cache.save_plan("plan", b"x")
        check(cache.kernels(sources("b", 2), "two"), "b")
    assert len(warned) == 1
    assert cache.load_plan("plan") is None
    cache.clear()


@pytest.mark.parametrize(
    "call, code", [("replace", errno.ENOSPC), ("open", errno.EROFS), ("open", errno.EACCES)]
)
def test_a_full_or_read_only_disk_is_still_read(folder, monkeypatch, call: str, code: int):
    cache.kernels(sources("a", 2), "one")
    fresh(monkeypatch)

    def refuse(*arguments, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(cache.os, call, refuse)
    monkeypatch.setattr(cache.os, "utime", refuse)
    check(cache.kernels(sources("a", 2), "one"), "a")  # nothing to write, no warning
    with pytest.warns(CacheWarning, match=os.strerror(code)):
        check(cache.kernels(sources("a", 3), "one"), "a")
    assert counts() == (1, 2, 2)
    assert not [p for p in files(folder) if p.name.startswith(".")], "a temporary file was left"


# ----------------------------------------------------------------------------------------------------- size


def test_the_least_recently_used_files_go_first(folder, monkeypatch):
    one = len(cache._head("plans", "p", b"")) + 10_000
    config.update("cache_size", 10 * one)
    stranger = folder / "notes.txt"
    cache.save_plan("p0", b"x" * 10_000)
    stranger.write_text("mine")
    for i in range(1, 10):
        cache.save_plan(f"p{i}", b"x" * 10_000)
    for path in files(folder, "plans"):
        age = 1000 - int(path.name[1:])
        os.utime(path, (time.time() - age, time.time() - age))
    assert cache.load_plan("p0") is not None  # used now
    cache.save_plan("new", b"x" * 10_000)
    left = {path.name for path in files(folder, "plans")}
    assert {"p0", "new"} < left and "p1" not in left and "p2" not in left
    assert cache.disk_usage()[1] <= 10 * one
    abandoned = files(folder, "plans")[0].with_name(".p9.1.1")
    abandoned.write_text("half")
    os.utime(abandoned, (0, 0))
    for i in range(20):
        cache.save_plan(f"q{i}", b"x" * 10_000)
    assert not abandoned.exists() and cache.disk_usage()[1] <= 10 * one
    assert cache.clear() > 0
    assert list(folder.iterdir()) == [stranger]


def test_a_size_of_zero_keeps_nothing(folder, monkeypatch):
    config.update("cache_size", 0)
    check(cache.kernels(sources("a", 2), "one"), "a")
    assert files(folder) == []


# ------------------------------------------------------------------------------------------------ processes


def test_a_second_process_compiles_nothing(folder):
    cold, _ = outcome(process(folder))
    warm, _ = outcome(process(folder))
    assert (cold["compiled"], cold["loaded"]) == (6, 0)
    assert (warm["compiled"], warm["loaded"], warm["bytes_written"]) == (0, 6, 0)


VICTIM = """
import os
from fnn.kernels import cache
cache._sources = list
print("ready", flush=True)
for i in range(10**9):
    cache.save_plan(f"plan{i % 5}", os.urandom(300_000))
"""


def test_processes_share_a_folder_while_others_die_in_it(folder, monkeypatch):
    variables = ENVIRONMENT | {"FNN_CACHE_DIR": str(folder)}
    victims = [
        subprocess.Popen([sys.executable, "-c", VICTIM], env=variables, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for victim in victims:
        assert victim.stdout is not None and victim.stdout.readline() == b"ready\n"
    sharers = [process(folder, 60) for _ in range(4)]
    time.sleep(0.1)
    for victim in victims:
        victim.kill()
        victim.communicate()
    for result, error in [outcome(sharer) for sharer in sharers]:
        assert result["compiled"] + result["loaded"] == 60
        assert error == "" and result["rejected"] == 0
    after, _ = outcome(process(folder, 60))
    assert (after["compiled"], after["loaded"]) == (0, 60)
    # A plan is there whole or not at all, whenever its writer died.
    monkeypatch.setattr(cache, "_sources", list)
    monkeypatch.setattr(cache, "_identity", cache._identity.__wrapped__)
    plans = [cache.load_plan(f"plan{i}") for i in range(5)]
    assert any(plans) and all(plan is None or len(plan) == 300_000 for plan in plans)
    assert cache.statistics().rejected == 0


def test_another_processor_has_its_own_kernels(folder):
    outcome(process(folder))
    name = "x86-64" if machine.triple().startswith("x86_64") else "generic"
    narrow, _ = outcome(process(folder, FNN_CPU_NAME=name))
    assert (narrow["compiled"], narrow["loaded"]) == (6, 0)
    again, _ = outcome(process(folder, FNN_CPU_NAME=name))
    assert (again["compiled"], again["loaded"]) == (0, 6)


# ------------------------------------------------------------------------------------------ compile workers


TEXTS = {f"w{i}": text(f"w{i}", i) for i in range(12)}


def loaded(objects: dict[str, bytes]) -> None:
    assert list(objects) == list(TEXTS)
    addresses = loading.load(objects.values(), ["k" + key for key in objects])
    check({key[1:]: address for key, address in addresses.items()}, "w")


needs_fork = pytest.mark.skipif(
    not compile_workers.may_fork(), reason="forks are for Linux and one Python thread"
)


@needs_fork
def test_workers_compile_their_share(monkeypatch):
    here = []
    assemble = machine.assemble
    monkeypatch.setattr(machine, "assemble", lambda text, key: here.append(key) or assemble(text, key))
    loaded(compile_workers.assemble_all(TEXTS, 3))
    assert len(here) == 4  # the other eight were compiled in two children


@needs_fork
@pytest.mark.parametrize("failure", ["dies", "hangs", "raises"])
def test_what_a_worker_does_not_deliver_is_compiled_here(monkeypatch, failure: str):
    parent, assemble = os.getpid(), machine.assemble

    def unreliable(text: str, key: str) -> bytes:
        if os.getpid() != parent and key in ("w5", "w6", "w7"):
            if failure == "dies":
                os.kill(os.getpid(), 9)
            if failure == "hangs":
                time.sleep(60)
            raise RuntimeError("a worker's trouble")
        return assemble(text, key)

    monkeypatch.setattr(machine, "assemble", unreliable)
    monkeypatch.setattr(compile_workers, "_PATIENCE", 0.3)
    loaded(compile_workers.assemble_all(TEXTS, 3))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # no child is left


@needs_fork
def test_a_record_cut_short_is_left_out():
    file = os.memfd_create("records")
    whole = b"".join(compile_workers._RECORD.pack(2, 5) + key + b"12345" for key in (b"w0", b"w1"))
    for cut, keys in ((0, ["w0", "w1"]), (1, ["w0"]), (6, ["w0"]), (10, ["w0"]), (22, ["w0"]), (24, [])):
        os.ftruncate(file, 0)
        os.pwrite(file, whole[: len(whole) - cut], 0)
        assert list(compile_workers._results(file)) == keys
    os.close(file)


@needs_fork
def test_a_text_that_does_not_compile_raises_whoever_compiled_it():
    for wrong in ("w0", "w5", "w11"):
        with pytest.raises(machine.KernelError, match=f"kernel {wrong}:"):
            compile_workers.assemble_all(TEXTS | {wrong: "nonsense"}, 3)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_nothing_is_forked_beside_other_threads():
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        assert not compile_workers.may_fork()
        loaded(compile_workers.assemble_all(TEXTS, 3))
    finally:
        stop.set()
        other.join()
