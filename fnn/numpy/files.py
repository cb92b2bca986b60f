"""Arrays from files, buffers, iterators and other libraries, and arrays as files and text."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn.array import device_put
from fnn.core.array import from_numpy
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, UnsupportedError
from fnn.operations.creation import array, asarray
from fnn.operations.creation import copy as copy_of


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """The array in a .npy file (or the dict of an .npz one), as NumPy saved it; pickled objects are refused."""
    if kwargs.pop("allow_pickle", False):
        raise UnsupportedError(
            f"load: pickled objects are not read, at {describe(here())}; they can run code"
        )
    out = np.load(file, *args, allow_pickle=False, **kwargs)
    return asarray(out, out.dtype) if isinstance(out, np.ndarray) else out


def save(file: Any, arr: Any, allow_pickle: bool = True) -> None:
    """Writes an array to a .npy file; allow_pickle is accepted as in NumPy: arrays of numbers are never pickled."""
    np.save(file, np.asarray(arr), allow_pickle=False)


def savez(file: Any, *args: Any, allow_pickle: bool = True, **kwds: Any) -> None:
    """Writes several arrays to an .npz file, under their keywords, or arr_0, arr_1, ..."""
    named: dict[str, Any] = {k: np.asarray(v) for k, v in kwds.items()}
    np.savez(file, *map(np.asarray, args), **named)


def _given(dtype: Any) -> np.dtype:
    """The dtype of numbers in a file or buffer: what was asked for in full width, as it says how to read them."""
    return dtypes.as_dtype(dtype)


def _made(value: np.ndarray, dtype: Any) -> Any:
    return from_numpy(value, dtypes.canonicalize(dtype, explicit=True))


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Any:
    """The numbers in a buffer (bytes, memoryview, ...) as a vector; `float` means float64 in the buffer, as in NumPy."""
    return _made(np.frombuffer(buffer, _given(dtype), count, offset), dtype)


def fromfile(file: Any, dtype: Any = float, count: int = -1, sep: str = "", offset: int = 0) -> Any:
    """The numbers in a binary file (or a text one, if sep is not empty) as a vector, as numpy.fromfile reads them."""
    return _made(np.fromfile(file, _given(dtype), count, sep, offset), dtype)


def fromiter(iter: Any, dtype: Any, count: int = -1) -> Any:
    """The numbers an iterator gives as a vector."""
    return _made(np.fromiter(iter, _given(dtype), count), dtype)


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Any:
    """The numbers in a text, separated by sep, as a vector."""
    if not sep:
        raise ArgumentError(f"fromstring: sep is empty, at {describe(here())}; frombuffer reads binary data")
    return _made(np.fromstring(string, _given(dtype), count, sep=sep), dtype)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Any:
    """The array of another library, through the DLPack protocol; of its dtype, 64 bits too.

    copy: True for memory of its own; otherwise the memory is shared where it can be. Raises UnsupportedError for arrays
    that are not in the CPU's memory, or whose dtype fnn lacks."""
    if not (hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__")):
        raise ArgumentError(f"from_dlpack: {type(x).__name__} has no __dlpack__, at {describe(here())}")
    try:
        value = np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise UnsupportedError(f"from_dlpack of {type(x).__name__}, at {describe(here())}: {error}") from None
    out = from_numpy(value, dtypes.as_dtype(value.dtype), copy=bool(copy))
    return device_put(copy_of(out) if copy else out, device)


def array_repr(
    arr: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """An array as repr() writes it, with NumPy's options for printing given here."""
    with _printing(max_line_width, precision, suppress_small):
        return repr(array(arr))


def array_str(
    a: Any,
    max_line_width: int | None = None,
    precision: int | None = None,
    suppress_small: bool | None = None,
) -> str:
    """An array as str() writes it, with NumPy's options for printing given here."""
    with _printing(max_line_width, precision, suppress_small):
        return str(array(a))


def _printing(width: int | None, precision: int | None, small: bool | None) -> Any:
    options = {"linewidth": width, "precision": precision, "suppress": small}
    return np.printoptions(**{k: v for k, v in options.items() if v is not None})  # type: ignore[arg-type]  # by name


set_printoptions, get_printoptions, printoptions = np.set_printoptions, np.get_printoptions, np.printoptions
