"""fnn.scipy.cluster: vector quantisation, in `vq`."""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.scipy.cluster import vq

__all__ = ["vq"]
