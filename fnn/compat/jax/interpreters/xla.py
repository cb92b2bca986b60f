"""`jax.interpreters.xla`."""

from fnn.compat.jax.primitives import apply_primitive

__all__ = ["apply_primitive"]
