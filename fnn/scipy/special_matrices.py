"""Matrices of a known form, as SciPy builds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError


def _constant(x: np.ndarray, dtype: Any = None) -> Any:
    return fnp.asarray(x, dtypes.default_float() if dtype is None else dtype)


def block_diag(*arrs: Any) -> Any:
    """Matrices along the diagonal of a larger one; vectors are rows.

    >>> from fnn.scipy import linalg
    >>> import fnn.numpy as fnp
    >>> linalg.block_diag(fnp.ones((1, 2)), fnp.ones((1, 1)))
    Array([[1., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    blocks = [fnp.atleast_2d(fnp.asarray(a)) for a in arrs] or [fnp.zeros((1, 0))]
    dtype = fnp.result_type(*blocks)
    columns = sum(b.shape[1] for b in blocks)
    rows, left = [], 0
    for b in blocks:
        if b.ndim != 2:
            raise ShapeError(f"block_diag: {b.aval} is no matrix, at {describe(here())}")
        rows.append(fnp.pad(b.astype(dtype), ((0, 0), (left, columns - left - b.shape[1]))))
        left += b.shape[1]
    return fnp.concatenate(rows, 0)


def toeplitz(c: Any, r: Any = None) -> Any:
    """Constant along diagonals, with first column c [m] and first row r [n] (conj(c) by default; its first is ignored)."""
    c = fnp.ravel(fnp.asarray(c))
    r = fnp.conj(c) if r is None else fnp.ravel(fnp.asarray(r))
    both = fnp.concatenate([r[:0:-1], c])
    m, n = c.shape[0], r.shape[0]
    return both[np.arange(m)[:, None] - np.arange(n)[None, :] + n - 1]


def hankel(c: Any, r: Any = None) -> Any:
    """Constant along antidiagonals, with first column c [m] and last row r [n] (zeros by default)."""
    c = fnp.ravel(fnp.asarray(c))
    r = fnp.zeros_like(c) if r is None else fnp.ravel(fnp.asarray(r))
    both = fnp.concatenate([c, r[1:]])
    return both[np.arange(c.shape[0])[:, None] + np.arange(r.shape[0])[None, :]]


def circulant(c: Any) -> Any:
    """Every column the one before, moved down by one; c [..., n] is the first."""
    c = fnp.asarray(c)
    n = c.shape[-1]
    return c[..., (np.arange(n)[:, None] - np.arange(n)[None, :]) % n]


def companion(a: Any) -> Any:
    """The companion matrix [..., n - 1, n - 1] of polynomials with coefficients a [..., n]."""
    a = fnp.asarray(a)
    n = a.shape[-1]
    if n < 2:
        raise ArgumentError(f"companion: {a.aval} has less than two coefficients, at {describe(here())}")
    first = -a[..., 1:] / a[..., :1]
    below = fnp.broadcast_to(fnp.eye(n - 2, n - 1, dtype=first.dtype), (*a.shape[:-1], n - 2, n - 1))
    return fnp.concatenate([first[..., None, :], below], -2)


def convolution_matrix(a: Any, n: int, mode: str = "full") -> Any:
    """The matrix whose product with v [n] is convolve(a, v, mode)."""
    a = fnp.asarray(a)
    if mode not in ("full", "same", "valid") or n < 1 or a.ndim != 1 or not a.shape[0]:
        raise ArgumentError(
            f"convolution_matrix: a {a.aval}, n={n}, mode={mode!r} do not fit, at {describe(here())}"
        )
    m = a.shape[0]
    full = toeplitz(fnp.pad(a, (0, n - 1)), fnp.pad(a[:1], (0, n - 1)))
    if mode == "full":
        return full
    rows = max(m, n) if mode == "same" else max(m, n) - min(m, n) + 1
    top = (m + n - 1 - rows) // 2
    return full[top : top + rows]


def dft(n: int, scale: str | None = None, *, dtype: Any = None) -> Any:
    """The matrix of the discrete Fourier transform of n points; scale: None, "sqrtn" or "n"."""
    divisor = {None: 1.0, "sqrtn": np.sqrt(n), "n": float(n)}
    if scale not in divisor:
        raise ArgumentError(
            f'dft: scale is {scale!r}, at {describe(here())}; None, "sqrtn" and "n" are there'
        )
    k = np.arange(n)
    turns = np.exp(-2j * np.pi * (np.outer(k, k) % n) / n) / divisor[scale]
    return fnp.asarray(turns, dtypes.complex_of(dtypes.default_float()) if dtype is None else dtype)


def fiedler(a: Any) -> Any:
    """abs(a[i] - a[j])."""
    a = fnp.asarray(a)
    return abs(a[..., :, None] - a[..., None, :])


def fiedler_companion(a: Any) -> Any:
    """The Fiedler companion matrix of a polynomial with coefficients a [n]."""
    a = fnp.asarray(a)
    n = a.shape[-1] - 1
    if a.ndim != 1 or n < 1:
        raise ArgumentError(f"fiedler_companion: {a.aval} holds no coefficients, at {describe(here())}")
    import scipy.linalg

    # Where SciPy puts which coefficient: of 1, 2, 3, ... number k comes out as -(k + 1).
    layout = scipy.linalg.fiedler_companion(np.arange(1.0, n + 2)) if n > 1 else np.array([[-2.0]])
    places = np.where(layout < 0, -layout - 1, 0).astype(np.int32)
    return fnp.where(layout < 0, -(a / a[0])[places], fnp.asarray((layout > 0) * 1.0, a.dtype))


def hadamard(n: int, dtype: Any = int) -> Any:
    """Sylvester's matrix of 1 and -1 with orthogonal rows; n is a power of 2."""
    if n < 1 or n & (n - 1):
        raise ArgumentError(f"hadamard: {n} is no power of 2, at {describe(here())}")
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return _constant(h, dtypes.default_int() if dtype is int else dtype)


def helmert(n: int, full: bool = False) -> Any:
    """Helmert's orthogonal matrix of order n, without its first row unless full."""
    h = np.tril(np.ones((n, n)), -1) - np.diag(np.arange(n))
    h[0] = 1
    d = np.arange(n) * np.arange(1, n + 1)
    d[0] = n
    h = h / np.sqrt(d)[:, None]
    return _constant(h if full else h[1:])


def hilbert(n: int) -> Any:
    """1 / (i + j + 1)."""
    i = np.arange(n)
    return _constant(1.0 / (i[:, None] + i + 1))


def _exactly(name: str, n: int, *args: Any) -> Any:
    import scipy.linalg  # whole numbers, exactly

    return _constant(np.asarray(getattr(scipy.linalg, name)(n, *args), np.float64))


def invhilbert(n: int) -> Any:
    """The inverse of `hilbert`."""
    return _exactly("invhilbert", n)


def pascal(n: int, kind: str | None = None) -> Any:
    """Binomial coefficients; kind: "symmetric" (the default), "lower" or "upper"."""
    return _exactly("pascal", n, kind or "symmetric")


def invpascal(n: int, kind: str | None = None) -> Any:
    """The inverse of `pascal`."""
    return _exactly("invpascal", n, kind or "symmetric")


def leslie(f: Any, s: Any) -> Any:
    """The Leslie matrix of fecundities f [..., n] and survivals s [..., n - 1]."""
    f, s = fnp.asarray(f), fnp.asarray(s)
    n = f.shape[-1]
    if s.shape[-1] != n - 1:
        raise ShapeError(
            f"leslie: {f.aval} and {s.aval} do not fit, at {describe(here())}; s is shorter by one"
        )
    below = s[..., :, None] * fnp.eye(n - 1, n, dtype=s.dtype)
    return fnp.concatenate([f[..., None, :], below], -2)
