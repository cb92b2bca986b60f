"""fnn.scipy: functions of SciPy over fnn's arrays, under SciPy's names, as jax.scipy has them.

>>> import fnn
>>> print(fnn.scipy.special.gammaln(5.0))
3.1780539
"""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.scipy import (
        cluster,
        fft,
        integrate,
        interpolate,
        linalg,
        ndimage,
        optimize,
        signal,
        sparse,
        spatial,
        special,
        stats,
    )

__all__ = [
    "cluster",
    "fft",
    "integrate",
    "interpolate",
    "linalg",
    "ndimage",
    "optimize",
    "signal",
    "sparse",
    "spatial",
    "special",
    "stats",
]
