"""fnn.scipy.spatial: rotations, in `transform`."""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.scipy.spatial import transform

__all__ = ["transform"]
