"""What this machine can do at best: multiply-adds a second out of registers, bytes a second between memory and
the processor. Measured with kernels that the same printer wrote, on the same threads, so that a share of a
peak is a statement about a kernel and not about the compiler."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from fnn.config import config
from fnn.kernels import cache
from fnn.kernels.cpu import llvm_printer, machine
from fnn.kernels.cpu.buffers import aligned
from fnn.kernels.cpu.driver import Runner, Table, kernel_row
from fnn.kernels.loops import BYTES, Builder, Program
from fnn.records import record

ROUNDS = 2_000  # steps of each chain of multiply-adds that one tile takes
TILES = 64  # of them to a thread
MEMORY = 1 << 26  # bytes of each array that is streamed: beyond the caches of most machines
PIECE = 1 << 16  # elements that a tile streams
SECONDS = 0.02  # spent on each figure


@record(frozen=True)
class Peaks:
    """Of `threads` threads at once. flops_f32, flops_f64: floating-point operations a second, of multiply-adds
    (each counts two) between registers. copy_bandwidth: bytes read and bytes written a second while one large
    array is copied into another; read_bandwidth: bytes a second while a large array is added up."""

    threads: int
    flops_f32: float
    flops_f64: float
    copy_bandwidth: float
    read_bandwidth: float

    def __str__(self) -> str:
        return (
            f"{self.threads} thread{'s' * (self.threads > 1)}: float32 {self.flops_f32 / 1e9:.0f} and float64 "
            f"{self.flops_f64 / 1e9:.0f} GFLOP/s, copy {self.copy_bandwidth / 1e9:.1f} and read "
            f"{self.read_bandwidth / 1e9:.1f} GB/s"
        )


_known: dict[int, Peaks] = {}
_lock = threading.Lock()


def measure() -> Peaks:
    """The peaks with as many threads as `config.num_threads` says; about 0.2 s the first time, then known.

    The best of several short runs: what else the machine is doing meanwhile lowers it.

    >>> measure().flops_f32 > 0
    True
    """
    threads = config.num_threads
    with _lock:
        if threads not in _known:
            size = MEMORY // 4
            source, target = aligned(MEMORY).view(np.float32), aligned(MEMORY).view(np.float32)
            source[:], target[:] = 1.0, 0.0
            sums = np.zeros(-(-size // PIECE), np.float32)
            chains = {code: np.zeros(16 * TILES * threads, code) for code in ("f4", "f8")}
            flops = {
                code: 2.0
                * ROUNDS
                * _chains(code)
                * out.size
                / _best(multiply_adds(code), (), out, out.size // 16)
                for code, out in chains.items()
            }
            copy = _best(streaming(size, copies=True), (source,), target, sums.size)
            read = _best(streaming(size, copies=False), (source,), sums, sums.size)
            _known[threads] = Peaks(threads, flops["f4"], flops["f8"], 2 * MEMORY / copy, MEMORY / read)
        return _known[threads]


def _chains(code: str) -> int:
    """How many independent sums fit into the registers, beside two operands."""
    each = BYTES[code] // 4  # a float64 vector of the printer's takes two registers
    return (machine.registers() - 2 * each - 1) // each


def multiply_adds(code: str) -> Program:
    """Every tile: chains of x = x * a + c that nothing but their own latency orders."""
    b = Builder()
    out = b.argument(code, output=True)
    rounds = b.size(ROUNDS)
    with b.tiles() as tile, b.lanes(0, 16) as lane:
        start = b.load(out, tile * 16 + lane)
        sums = [b.variable(code, start + float(k)) for k in range(_chains(code))]
        scale, shift = start + 0.5, start + 0.25  # known to the processor only
        with b.loop(0, rounds):
            for x in sums:
                x.set(x.value * scale + shift)
        total = sums[0].value
        for x in sums[1:]:
            total = total + x.value
        b.store(out, tile * 16 + lane, total * 0.0)
    return b.program


def streaming(size: int, copies: bool) -> Program:
    """Every tile copies a piece of an array, or adds it up."""
    b = Builder()
    source, out = b.argument("f4"), b.argument("f4", output=True, streamed=copies)
    n = b.size(size)
    with b.tiles() as tile:
        stop = b.op("min", tile * PIECE + PIECE, n)
        if copies:
            with b.lanes(tile * PIECE, stop) as i:
                b.store(out, i, b.load(source, i))
        else:
            total = b.accumulator("add", "f4", 0.0)
            with b.lanes(tile * PIECE, stop) as i:
                total.update(b.load(source, i))
            b.store(out, tile, total.value)
    return b.program


def _best(program: Program, inputs: tuple[np.ndarray, ...], out: np.ndarray, tiles: int) -> float:
    """Seconds of the fastest of several runs."""
    key, words = "peak_" + program.key, 2 + len(inputs)

    def text() -> str:
        return llvm_printer.emit(program, "k" + key, machine.lanes())

    table = Table(
        rows=np.array([kernel_row(0, words, tiles, 1)], np.int64),
        args=np.array([[1 + k, 0] for k in range(words)], np.int64),
        kernels=[key],
        inputs=len(inputs),
        outputs=1,
        first_output=1 + len(inputs),
        bases=1 + words,
        words=np.array(program.sizes, np.int64),
        words_base=words,
    )
    runner = Runner(table, cache.kernels({key: text}))
    return _fastest(lambda: runner.run(inputs, (out,)))


def _fastest(call: Callable[[], object]) -> float:
    clock = time.perf_counter
    call()
    best, end, rounds = float("inf"), clock() + SECONDS, 0
    while rounds < 3 or clock() < end:
        start = clock()
        call()
        best, rounds = min(best, clock() - start), rounds + 1
    return best
