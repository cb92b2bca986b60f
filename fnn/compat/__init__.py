"""Running programs that were written for other libraries: `fnn.compat.jax`."""
