"""`jax.interpreters.mlir`: how primitives are compiled. fnn writes no MLIR; it traces what `lower_fun` is given."""

from fnn.compat.jax.primitives import lower_fun, register_lowering

__all__ = ["lower_fun", "register_lowering"]
