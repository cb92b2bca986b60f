"""`jax.interpreters`: the rules of primitives that libraries define, as far as fnn's transformations ask for
them."""
