"""fnn.scipy.sparse: iterative solvers of linear equations, in fnn.scipy.sparse.linalg."""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.scipy.sparse import linalg

__all__ = ["linalg"]
