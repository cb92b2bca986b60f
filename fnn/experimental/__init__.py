"""What JAX keeps under `jax.experimental`, by the same names."""

from __future__ import annotations

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.experimental import checkify, ode, sparse
    from fnn.transforms.callbacks import io_callback

__all__ = ["checkify", "io_callback", "ode", "sparse"]
