"""The text of a kernel, by the setting `printer`: LLVM text with explicit vectors, or Python for Numba."""

from __future__ import annotations

from fnn.errors import ArgumentError
from fnn.kernels.cpu import llvm_printer, machine, numba_printer
from fnn.kernels.loops import Program


def source(program: Program, name: str, printer: str) -> str:
    """What people read: printer "vector" gives LLVM text, "numba" Python.

    Raises:
        ArgumentError: there is no such printer.

    >>> from fnn.kernels.loops import Builder
    >>> b = Builder()
    >>> x, out = b.argument("f4"), b.argument("f4", output=True)
    >>> n = b.size(1000)
    >>> with b.tiles() as row:
    ...     with b.lanes(0, n) as i:
    ...         b.store(out, row * n + i, b.load(x, row * n + i) * 2.0)
    >>> print(source(b.program, "twice", "numba"))
    def twice(a0, a1, s0, lo, hi):
        \"\"\"a0: float32, a1: float32 (output); sizes s0\"\"\"
        for t0 in range(lo, hi):
            for i0 in range(s0):
                a1[(t0 * s0) + i0] = a0[(t0 * s0) + i0] * float32(2.0)
    """
    if printer == "vector":
        return llvm_printer.emit(program, name, machine.lanes())
    if printer == "numba":
        return numba_printer.emit(program, name)
    raise ArgumentError(f'a printer is "vector" or "numba", not {printer!r}')


def llvm_text(program: Program, name: str, printer: str) -> str:
    """What is compiled: a module that defines `void name(table, lo, hi)`. Numba translates the Python.

    Raises:
        ArgumentError: there is no such printer.
    """
    text = source(program, name, printer)
    if printer == "vector":
        return text
    from fnn.kernels.cpu import numba_lean  # takes a third of a second

    return numba_lean.llvm_text(text, name, program)
