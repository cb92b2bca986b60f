"""Lowering: a Graph goes in, a compiled callable over Numba kernels comes out.

The directory lies at the top of the repository but is imported as ``fnn.kernels``, never by its bare name:
a bare ``kernels`` would be a second copy of these modules, with registries and caches of its own.
"""

if not __name__.startswith("fnn."):  # pragma: no cover
    raise ImportError(f"{__name__!r} is part of fnn: import it as 'fnn.kernels'")

from fnn.kernels.cpu.buffers import sole_view
from fnn.kernels.executable import Executable, compile_graph

__all__ = ["Executable", "compile_graph", "sole_view"]
