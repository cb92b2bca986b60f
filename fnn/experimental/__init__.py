"""What JAX keeps under `jax.experimental`, by the same names."""

from __future__ import annotations

from fnn.transforms.callbacks import io_callback

__all__ = ["io_callback"]
