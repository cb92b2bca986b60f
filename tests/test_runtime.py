"""The CPU runtime below the driver: machine code, threads, forks and buffers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from driver_tables import AFFINE, I64, TEXTS, affine

from fnn.config import config
from fnn.kernels.cpu import buffers, driver_text, loading, machine, pool
from fnn.kernels.cpu import driver as d
from fnn.kernels.cpu.pool import POOL, Native, Pool

# Other processes find fnn and the helpers wherever this one was started.
HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}


@pytest.fixture(scope="module")
def addresses() -> dict[str, int]:
    return {name[1:]: address for name, address in machine.compile_text(TEXTS).items()}


# --------------------------------------------------------------------------------------------- machine code


def test_errors_of_llvm_name_the_kernel_and_the_line():
    with pytest.raises(machine.KernelError, match=r"kernel wrong: (.|\n)*undefined value '%y'"):
        machine.assemble("define void @k(ptr %a) {\n  %x = fadd float %y, 1.0\n  ret void\n}", "wrong")
    # Valid to the parser, refused by the verifier.
    with pytest.raises(machine.KernelError, match="kernel twice"):
        machine.assemble("define void @k(i1 %c) {\na:\n br label %a\n}", "twice")


def test_a_symbol_this_process_lacks_is_an_error_and_not_the_end_of_the_process():
    text = "declare void @fnn_no_such_function()\n"
    text += "define void @k() {\n call void @fnn_no_such_function()\n ret void\n}"
    with pytest.raises(machine.KernelError, match="kernel lonely calls fnn_no_such_function"):
        machine.assemble(text, "lonely")
    with pytest.raises(machine.KernelError, match="no such symbol"):
        loading.load([machine.assemble(AFFINE, "affine")], ["kother"])


@pytest.mark.parametrize(
    "name, features, lanes",
    [("x86-64", None, 16), ("haswell", None, 32), ("x86-64-v4", None, 64), ("x86-64-v4", "-avx512f", 32)],
)
def test_a_narrower_processor_can_be_chosen(name: str, features: str | None, lanes: int):
    if not machine.triple().startswith("x86_64"):
        pytest.skip("names of x86 processors")
    environment = ENVIRONMENT | {"FNN_CPU_NAME": name} | ({"FNN_CPU_FEATURES": features} if features else {})
    code = "from fnn.kernels.cpu import machine as m, processor as p; print(m.lanes(), p.identification())"
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert out.startswith(f"{lanes} ") and name in out


# -------------------------------------------------------------------------------------------------- threads


@pytest.fixture
def threads():
    """Sets the number of threads, and back."""
    before = config.num_threads
    yield lambda n: config.update("num_threads", n)
    config.update("num_threads", before)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_tiles_are_each_done_once_by_any_number_of_threads(addresses, threads, count: int):
    threads(count)
    x = np.arange(10_007)
    for chunk in (1, 64, 5000, 10_006, 20_000):
        runner, out = d.Runner(affine(len(x), chunk), addresses), np.zeros(len(x), I64)
        for _ in range(20):
            runner.run((x,), (out,))
            assert np.array_equal(out, 6 * x + 8)
            out[:] = 0
    assert POOL.threads == count


def busy(runner: d.Runner, x: np.ndarray, rounds: int, wrong: list[int]) -> None:
    for k in range(rounds):
        out = np.zeros(len(x), I64)
        runner.run((x + k,), (out,))
        if not np.array_equal(out, 6 * (x + k) + 8):
            wrong.append(k)


def test_python_threads_run_one_program_at_once(addresses, threads):
    threads(2)
    # Long enough that launches overlap.
    size = 300_000
    runner, wrong = d.Runner(affine(size, 4096), addresses), []
    workers = [
        threading.Thread(target=busy, args=(runner, np.arange(size) * i, 30, wrong), daemon=True)
        for i in range(4)
    ]
    for w in workers:
        w.start()
    for w in workers:
        w.join(20)
        assert not w.is_alive(), "a call of the driver never returned"
    assert not wrong
    assert 1 <= len(runner._calls) <= 4
    assert runner.memory > 0
    runner.release()
    assert runner.memory == 0
    busy(runner, np.arange(size), 2, wrong)
    assert not wrong


@pytest.mark.parametrize("processor", ["x86_64", "aarch64", "riscv64", "unheard-of"])
@pytest.mark.parametrize("wait", ["futex", "condition", "none"])
def test_the_pool_can_be_written_for_other_processors(monkeypatch, processor: str, wait: str):
    monkeypatch.setattr(pool.platform, "machine", lambda: processor)
    machine.lanes()  # LLVM is ready
    text = driver_text.text(wait)[1]
    assert ("x86" in text) == (processor == "x86_64" and wait != "none")
    with machine.llvm.parse_assembly(text) as module:
        module.verify()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX threads")
def test_workers_sleep_on_condition_variables_too(addresses, monkeypatch):
    key, text = driver_text.text("condition")
    native = Native(machine.compile_text({f"k{key}": text})[f"k{key}"])
    pool = Pool("condition")
    monkeypatch.setattr(d, "POOL", pool)
    monkeypatch.setattr(d, "native", lambda: native)
    with config.using(num_threads=3):
        runner, wrong = d.Runner(affine(20_000, 64), addresses), []
        for _ in range(20):  # workers fall asleep in between
            busy(runner, np.arange(20_000), 3, wrong)
            threading.Event().wait(0.002)
    assert not wrong and pool.threads == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_of_a_fork_starts_its_own_workers(addresses, threads):
    threads(2)
    runner, wrong = d.Runner(affine(20_000, 64), addresses), []
    busy(runner, np.arange(20_000), 3, wrong)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert POOL.threads == 0
            busy(runner, np.arange(20_000), 50, wrong)
            assert not wrong and POOL.threads == 2 and len(POOL._workers) == 1
            status = 0
        finally:
            os._exit(status)
    busy(runner, np.arange(20_000), 50, wrong)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not wrong


def test_workers_do_not_hold_up_the_end_of_the_process():
    code = """
import numpy as np, driver_tables as t
from fnn.config import config
from fnn.kernels.cpu import machine
config.update("num_threads", 4)
found = {k[1:]: a for k, a in machine.compile_text(t.TEXTS).items()}
x, out = np.arange(10_000), np.zeros(10_000, np.int64)
t.d.Runner(t.affine(10_000, 16), found).run((x,), (out,))
assert np.array_equal(out, 6 * x + 8)
print("done")
"""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=30
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# -------------------------------------------------------------------------------------------------- buffers


def big(slot: buffers.Slot) -> int:
    array = slot.take()
    assert array.shape == slot.shape and array.dtype == slot.dtype and array.ctypes.data % 64 == 0
    return array.ctypes.data


def test_a_buffer_is_used_again_once_nobody_holds_it():
    slot = buffers.Slot((64, 100), np.dtype(np.float32))
    first = big(slot)
    assert big(slot) == first
    array = slot.take()
    assert array.ctypes.data == first
    assert big(slot) != first


@pytest.mark.parametrize("hold", [
    lambda a: a, lambda a: a[3:, ::2], lambda a: a.T[5:6], memoryview, lambda a: memoryview(a[1:]),
    lambda a: np.asarray(memoryview(a)), lambda a: a.view(np.uint8).view(np.recarray), lambda a: a[2].flat,
    lambda a: iter(a), lambda a: {"deep": [a[0]]}, lambda a: np.lib.stride_tricks.as_strided(a, (4,), (4,)),
    lambda a: a.__dlpack__(), lambda a: a.ctypes, lambda a: a.data,
    lambda a: np.broadcast_to(a, (2, *a.shape)),
])  # fmt: skip
def test_a_buffer_someone_can_see_is_not_used_again(hold):
    slot = buffers.Slot((64, 100), np.dtype(np.float32))
    array = slot.take()
    at = array.ctypes.data
    held = hold(array)
    del array
    assert all(big(slot) != at for _ in range(8))
    del held


def test_changing_a_result_in_place_does_not_reach_the_next_one():
    slot = buffers.Slot((64, 100), np.dtype(np.float32))
    array = slot.take()
    at = array.ctypes.data
    array.flags.writeable = False
    array.shape = (6400,)
    del array
    again = slot.take()
    assert again.ctypes.data == at and again.shape == (64, 100) and again.flags.writeable


def test_threads_never_share_a_buffer():
    slot, clashes = buffers.Slot((64, 100), np.dtype(np.float32)), []

    def use(mark: int) -> None:
        for _ in range(3000):
            array = slot.take()
            array[0, 0] = mark
            array[-1, -1] = mark
            if array[0, 0] != mark or array[-1, -1] != mark:
                clashes.append(mark)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=use, args=(i,)) for i in range(4)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
    finally:
        sys.setswitchinterval(before)
    assert not clashes


def test_small_empty_and_scalar_slots():
    for shape in ((), (0,), (3, 0, 2), (5,)):
        slot = buffers.Slot(shape, np.dtype(np.float64))
        a, b = slot.take(), slot.take()
        assert a.shape == b.shape == shape and a is not b
