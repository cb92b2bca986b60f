"""Graph -> Graph: each pass returns an equivalent graph and leaves its argument alone; `pipeline.optimize`
runs them."""
