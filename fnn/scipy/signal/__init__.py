"""fnn.scipy.signal: convolutions, spectra, and what is left of a signal without its trend.

>>> import fnn.numpy as fnp
>>> from fnn.scipy import signal
>>> print(signal.convolve(fnp.ones(4), fnp.ones(2), mode="valid"))
[2. 2. 2.]
"""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.scipy.signal.convolutions import convolve, convolve2d, correlate, correlate2d
    from fnn.scipy.signal.fourier import fftconvolve
    from fnn.scipy.signal.spectra import csd, istft, stft, welch
    from fnn.scipy.signal.trends import detrend

__all__ = [
    "convolve", "convolve2d", "correlate", "correlate2d", "csd", "detrend", "fftconvolve", "istft", "stft", "welch",
]  # fmt: skip
