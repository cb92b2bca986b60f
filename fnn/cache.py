"""The cache of compiled kernels and plans: statistics and clearing.

>>> import fnn.cache
>>> fnn.cache.statistics().compiled >= 0
True
"""

from fnn.kernels.cache import clear, disk_usage, statistics

__all__ = ["clear", "disk_usage", "statistics"]
