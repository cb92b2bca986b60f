"""Graph-to-graph transformations: jvp, vjp, vmap, jit, remat, custom rules, control flow and passes.

The directory lies at the top of the repository but is imported as ``fnn.transforms``, never by its bare name:
a bare ``transforms`` would be a second copy of these modules, with registries and caches of its own.
"""

if not __name__.startswith("fnn."):  # pragma: no cover
    raise ImportError(f"{__name__!r} is part of fnn: import it as 'fnn.transforms'")

from fnn.lazy import names as _names  # below the guard

with _names(globals()):
    from fnn.transforms import (
        associative_scan,
        autodiff,
        batching,
        bounded_while,
        callbacks,
        calls,
        checkify,
        checks,
        collectives,
        compiled,
        control,
        costs,
        custom,
        custom_kernel,
        differentiate,
        flattening,
        jacobians,
        jit,
        passes,
        remat,
        rewrite,
        scan,
        sequential_map,
        shapes,
        while_loop,
    )

__all__ = [
    "associative_scan",
    "autodiff",
    "batching",
    "bounded_while",
    "callbacks",
    "calls",
    "checkify",
    "checks",
    "collectives",
    "compiled",
    "control",
    "costs",
    "custom",
    "custom_kernel",
    "differentiate",
    "flattening",
    "jacobians",
    "jit",
    "passes",
    "remat",
    "rewrite",
    "scan",
    "sequential_map",
    "shapes",
    "while_loop",
]
