"""Discrete Fourier transforms along the last axis, by NumPy's compiled copy of pocketfft.

In a compiled program the inner loop of NumPy's function is called by address; it takes any number of lines at once.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.lowering import Library
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from fnn.primitives import arithmetic, complex_numbers, structural
from fnn.primitives.lapack import REALS, Routine, code, register_addresses
from fnn.primitives.rules import of_dtype

KINDS = ("fft", "ifft", "rfft", "irfft")


def _shape(x: Aval, kind: str, n: int) -> Aval:
    if kind not in KINDS:
        raise ArgumentError(f"fft: {kind!r} is none of {', '.join(KINDS)}, at {describe(here())}")
    wanted = ("f4", "f8") if kind == "rfft" else ("c8", "c16")
    if code(x.dtype) not in wanted:
        raise DtypeError(
            f"{kind} takes {'float32 and float64' if kind == 'rfft' else 'complex64 and complex128'}, not {x}, at "
            f"{describe(here())}; convert it first"
        )
    have = n // 2 + 1 if kind == "irfft" else n
    if n < 1 or not x.ndim or x.shape[-1] != have:
        raise ShapeError(
            f"{kind} of {n} points needs {have} numbers along the last axis, {x} is given, at {describe(here())}"
        )
    if kind == "irfft":
        return Aval((*x.shape[:-1], n), dtypes.real_of(x.dtype))
    if kind == "rfft":
        return Aval((*x.shape[:-1], n // 2 + 1), dtypes.complex_of(x.dtype))
    return x.strong()


def _evaluate(x: Any, kind: str, n: int) -> np.ndarray:
    x = np.asarray(x)
    if not x.size:
        return np.zeros(
            (*x.shape[:-1], n // 2 + 1 if kind == "rfft" else n),
            _shape(Aval(x.shape, x.dtype), kind, n).dtype,
        )
    return getattr(np.fft, kind)(x, n)


def _write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (source,), (target,), kind, n = r.inputs, r.outputs, params["kind"], params["n"]
    name = kind if kind != "rfft" else f"rfft_n_{'odd' if n % 2 else 'even'}"
    real = REALS[source.code]
    factor = 1.0 / n if kind in ("ifft", "irfft") else 1.0
    r.lines(f"pocketfft {name} {real}", source, target, factor)
    r.flops = 2.5 * (1 if kind in ("rfft", "irfft") else 2) * n * math.log2(max(n, 2))


def _edges_once(n: int, dtype: np.dtype, inner: float) -> np.ndarray:
    """What the n // 2 + 1 numbers of half a spectrum are weighed with: 1 for those that stand for themselves."""
    weights = np.full(n // 2 + 1, inner, dtype)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


def _weighed(x: Any, weights: np.ndarray) -> Any:
    rank = len(shape_of(x))
    spread = structural.broadcast(weights, shape=shape_of(x), axes=(rank - 1,))
    return arithmetic.mul(x, of_dtype(spread, aval_of(x).dtype))


def _transpose(ct: Any, kind: str, n: int) -> Any:
    """The transform's transpose, without conjugation."""
    if kind in ("fft", "ifft"):
        return fft(ct, kind=kind, n=n)
    if kind == "rfft":
        weights = _edges_once(n, dtypes.real_of(aval_of(ct).dtype), 0.5) * n
        return fft(_weighed(complex_numbers.conj(ct), weights), kind="irfft", n=n)
    weights = _edges_once(n, aval_of(ct).dtype, 2.0) / n
    return _weighed(complex_numbers.conj(fft(ct, kind="rfft", n=n)), weights.astype(aval_of(ct).dtype))


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    return fft(x, **params), None if t is None else fft(t, **params)


def _vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = fft(*args, **params)
    return out, (lambda ct: [_transpose(ct, **params)]) if needs[0] else None


# x -> its transform along the last axis. kind fft, ifft: n complex numbers; rfft: n real numbers to half a spectrum, n //
# 2 + 1 complex ones; irfft: back. Inverse transforms divide by n
fft = Primitive(
    "fft",
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=lambda frame, flags, args, params: (fft(*args, **params), True),
    lower=Library(_write, rank=1),
    samples=lambda: [
        Sample(("f4[2,8]",), {"kind": "rfft", "n": 8}, tolerance=2),
        Sample(("f4[7]",), {"kind": "rfft", "n": 7}, tolerance=2),
        Sample(("c8[2,6]",), {"kind": "fft", "n": 6}, tolerance=2),
        Sample(("c16[5]",), {"kind": "ifft", "n": 5}, tolerance=2),
        Sample(("c8[3,4]",), {"kind": "irfft", "n": 6}, tolerance=2),
        Sample(("c8[4]",), {"kind": "irfft", "n": 7}, tolerance=2),
        Sample(("f4[0,4]",), {"kind": "rfft", "n": 4}),
    ],
)


# -- NumPy's loops ---------------------------------------------------------------------------------------------------


class _Ufunc(ctypes.Structure):
    """The beginning of NumPy's PyUFuncObject, which its C interface declares."""

    _fields_ = [
        ("references", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    ]


@functools.cache
def _loop(name: str, real: str) -> tuple[int, int]:
    """The address of one of NumPy's inner loops, and of the data that belong to it."""
    from numpy.fft import _pocketfft_umath as loops  # pyright: ignore[reportAttributeAccessIssue]

    function = getattr(loops, name, None)
    letters = {"f4": "fF", "f8": "dD"}[real]
    if not isinstance(function, np.ufunc):
        raise UnsupportedError(f"this NumPy ({np.__version__}) has no compiled {name}")
    found = [k for k, types in enumerate(function.types) if types[0] in letters]
    head = _Ufunc.from_address(id(function))
    if not found or (head.nin, head.nout, head.ntypes) != (2, 1, function.ntypes):
        raise UnsupportedError(f"NumPy's {name} is not what it was when this was written")
    data = head.data[found[0]] if head.data else None
    return head.functions[found[0]] or 0, data or 0


def _address(name: str) -> int:
    """Of "pocketfft fft f4" or, with " data" at its end, of the loop's data."""
    _, function, real, *data = name.split()
    return _loop(function, real)[bool(data)]


register_addresses("pocketfft", _address)
