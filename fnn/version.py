"""The version of fnn, in the one place that packaging, cache keys and ``fnn.__version__`` read it from."""

__version__ = "0.1.0.dev0"
