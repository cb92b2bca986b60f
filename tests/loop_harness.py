"""Runs loop programs on NumPy arrays: as vectors of any length, through Numba both ways, and in the
interpreter."""

import ctypes
import itertools
from collections.abc import Sequence

import numpy as np

from fnn.kernels.cpu import llvm_printer, machine, numba_printer, printers
from fnn.kernels.cpu.numba_operations import interpreter_scope
from fnn.kernels.loops import Program

VECTORS = ("vector64", "vector32", "vector16")
PRINTERS = (*VECTORS, "numba", "interpreter")
_names = (f"kernel{k}" for k in itertools.count())


def compiled(program: Program, printer: str) -> int:
    """The address of `void kernel(table, lo, hi)`."""
    name = next(_names)
    if printer.startswith("vector"):
        text = llvm_printer.emit(program, name, int(printer.removeprefix("vector")))
    elif printer == "numba":
        text = printers.llvm_text(program, name, "numba")
    else:
        from fnn.kernels.cpu import numba_lean

        return numba_lean.compile_public(numba_printer.emit(program, name), name, program)
    return machine.compile_text({name: text})[name]


def interpret(program: Program, arrays: Sequence[np.ndarray], tiles: tuple[int, int]) -> None:
    """Run the Python source itself."""
    scope = interpreter_scope()
    exec(numba_printer.emit(program, "kernel"), scope)
    flat = [a.reshape(-1) for a in arrays]
    assert all(np.shares_memory(a, b) or not a.size for a, b in zip(flat, arrays, strict=True))
    views = [
        a.view(numba_printer.MEMORY[buffer.dtype]) for a, buffer in zip(flat, program.arguments, strict=True)
    ]
    with np.errstate(all="ignore"):
        scope["kernel"](*views, *[np.int64(s) for s in program.sizes], *tiles)


def run(
    program: Program,
    arrays: Sequence[np.ndarray],
    tiles: int | tuple[int, int] = 1,
    printer: str = "vector64",
) -> None:
    """Run a program on contiguous arrays, which it changes."""
    lo, hi = tiles if isinstance(tiles, tuple) else (0, tiles)
    assert all(a.flags.c_contiguous for a in arrays) and len(arrays) == len(program.arguments)
    if printer == "interpreter":
        interpret(program, arrays, (lo, hi))
        return
    words = np.array([*program.sizes, 0], np.int64)
    shared = {a.ctypes.data: Fenced(a) for a in arrays}  # one fence for what is passed twice
    table = np.array([*[shared[a.ctypes.data].address for a in arrays], words.ctypes.data], np.uint64)
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        compiled(program, printer)
    )
    kernel(table.ctypes.data, lo, hi)
    for fenced in shared.values():
        fenced.leave(program)


FENCE = 256  # bytes on either side of an array that no kernel may write


class Fenced:
    """A copy of an array between two fences; `leave` looks at them and copies the array back."""

    def __init__(self, array: np.ndarray):
        self.array, n = array, array.nbytes
        self.memory = np.full(FENCE + n + FENCE + 64, 0xA5, np.uint8)
        start = FENCE + (-self.memory.ctypes.data % 64)
        self.inside = self.memory[start : start + n]
        self.inside[:] = np.frombuffer(array.tobytes(), np.uint8)
        self.address = self.inside.ctypes.data

    def leave(self, program: Program) -> None:
        inside = self.inside.copy()
        self.inside[:] = 0xA5
        assert (self.memory == 0xA5).all(), f"a kernel wrote outside of its arrays:\n{program}"
        self.array[...] = inside.view(self.array.dtype).reshape(self.array.shape)
