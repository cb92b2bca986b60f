"""Lowering: a Graph goes in, a compiled callable over Numba kernels comes out.

The directory lies at the top of the repository but is imported as ``fnn.kernels``, never by its bare name:
a bare ``kernels`` would be a second copy of these modules, with registries and caches of its own.
"""

if not __name__.startswith("fnn."):  # pragma: no cover
    raise ImportError(f"{__name__!r} is part of fnn: import it as 'fnn.kernels'")

from typing import TYPE_CHECKING, Any

from fnn.kernels.cpu.buffers import sole_view

if TYPE_CHECKING:
    from fnn.kernels.executable import Executable, compile_graph

__all__ = ["Executable", "compile_graph", "sole_view"]


def __getattr__(name: str) -> Any:
    """What compiles is imported by the first program that does: it brings LLVM along, 40 MB of memory."""
    if name not in ("Executable", "compile_graph"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fnn.kernels import executable

    globals().update(Executable=executable.Executable, compile_graph=executable.compile_graph)
    return globals()[name]
