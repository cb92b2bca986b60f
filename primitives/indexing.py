"""Indexing: gather, scatter, dynamic_slice, dynamic_update_slice, each in a module of its own, all of them by
this one."""

from fnn.primitives.dynamic_slicing import dynamic_slice, dynamic_update_slice
from fnn.primitives.gathering import GatherDimensionNumbers, gather
from fnn.primitives.scattering import ScatterDimensionNumbers, scatter

__all__ = [
    "GatherDimensionNumbers",
    "ScatterDimensionNumbers",
    "dynamic_slice",
    "dynamic_update_slice",
    "gather",
    "scatter",
]
