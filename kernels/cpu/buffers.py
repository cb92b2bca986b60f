"""Memory for programs: aligned buffers, output buffers that are used again, and how CPython lays out what
they live in."""

from __future__ import annotations

import ctypes
import functools
import math
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

ALIGNMENT = 64
# Very large buffers all begin with a page. A load that comes after a store waits for it where their addresses agree in
# the last twelve bits, which is all that processors compare at first: with an output a line or a few behind an input,
# as the allocator has them, every iteration of a loop would wait for the one before. Smaller ones lie as they come:
# were they all to begin with a page, those that one kernel reads would share the sets of the first cache.
PAGE, PAGED = 1 << 12, 1 << 25
# Buffers below this are cheaper to allocate than to look after.
SMALL = 1 << 14
LARGE = 1 << 26

T = TypeVar("T")


def aligned(nbytes: int) -> np.ndarray:
    """A fresh uint8 array of `nbytes` bytes (contents undefined) whose address is a multiple of 64, and of a page's
    size if it is very large."""
    raw, start = _raw(nbytes)
    return raw[start : start + nbytes]


def _raw(nbytes: int) -> tuple[np.ndarray, int]:
    """A fresh buffer, and where in it `nbytes` bytes are to begin."""
    alignment = ALIGNMENT if nbytes < PAGED else PAGE
    raw = np.empty(nbytes + alignment, np.uint8)
    return raw, -raw.ctypes.data % alignment


def immortal(thing: T) -> T:
    """Keep an object until the process ends, also while the interpreter shuts down and native threads still
    run."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    return thing


class Slot:
    """The buffers of one output of a program, used again once nobody can see their old contents.

    Every array handed out is a new view of a buffer, and NumPy makes each view of a view, memoryview or other
    exporter hold either that array or the buffer itself: when the buffer's reference count is back at its
    lowest, nobody is left.
    """

    __slots__ = ("_buffers", "_keep", "_small", "dtype", "nbytes", "shape")

    def __init__(self, shape: Sequence[int], dtype: np.dtype) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        self._buffers: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._small = not _RECYCLING or self.nbytes < SMALL
        self._keep = 4 if self.nbytes < LARGE else 2

    def take(self, getrefcount: Callable[[object], int] = sys.getrefcount) -> np.ndarray:
        """An array of the slot's shape and dtype, C contiguous, contents undefined, that only the caller
        holds."""
        if self._small:
            return np.empty(self.shape, self.dtype)
        buffers = self._buffers
        # A pair is out of the deque while it is looked at, so that no other thread can take it too.
        for _ in range(len(buffers)):
            try:
                pair = buffers.popleft()
            except IndexError:
                break
            if getrefcount(pair[0]) == _FREE:
                array = pair[1][...]
                buffers.append(pair)
                return array
            buffers.append(pair)
        pair = _fresh(self.shape, self.dtype, self.nbytes)
        array = pair[1][...]
        buffers.append(pair)
        if len(buffers) > self._keep:
            buffers.popleft()
        return array

    def taking(self) -> Callable[[], np.ndarray]:
        """`take`, as directly as it can be called."""
        return functools.partial(np.empty, self.shape, self.dtype) if self._small else self.take

    def clear(self) -> None:
        """Give the buffers that are not in use back to the system."""
        self._buffers.clear()


def _fresh(shape: tuple[int, ...], dtype: np.dtype, nbytes: int) -> tuple[np.ndarray, np.ndarray]:
    """A buffer, and the view of it that is the template of what is handed out."""
    raw, start = _raw(nbytes)
    number = id(raw)
    _recycled[number] = weakref.ref(raw, lambda _: _recycled.pop(number, None))
    return raw, raw[start : start + nbytes].view(dtype).reshape(shape)


_recycled: dict[int, weakref.ref[np.ndarray]] = {}  # the buffers of all slots, by identity


def sole_view(
    array: np.ndarray, holders: int, getrefcount: Callable[[object], int] = sys.getrefcount
) -> bool:
    """Is this array the only way to see its memory? `holders`: how many references to it the caller knows of.

    What overwrites an operand's memory (donation) must ask this first: eager results may be views of their operands.
    """
    if not _RECYCLING or getrefcount(array) > holders + 2:  # this function's argument and getrefcount's
        return False
    base = array.base
    if base is None:
        return True
    # A slot's buffer is known to the slot's pair and its template besides the array itself.
    known = 3 if id(base) in _recycled else 1
    return isinstance(base, np.ndarray) and base.base is None and getrefcount(base) <= known + 2


def _calibrate(getrefcount: Callable[[object], int] = sys.getrefcount) -> tuple[int, bool]:
    """The reference count of a buffer nobody else holds, and whether it shows everyone who does."""
    buffers = deque([_fresh((4, 4), np.dtype(np.float32), 64)])

    def look() -> int:
        pair = buffers.popleft()
        holders = getrefcount(pair[0])
        buffers.append(pair)
        return holders

    free = look()
    handed_out = buffers[0][1][...]
    seen = look() > free
    view = handed_out[1:].T
    del handed_out
    seen &= look() > free
    exported = memoryview(view)  # type: ignore[arg-type]  # arrays are buffers on 3.11 too
    del view
    seen &= look() > free
    del exported
    enabled = getattr(sys, "_is_gil_enabled", None)  # without the GIL counts may lag behind
    return free, seen and look() == free and (enabled is None or enabled())


_FREE, _RECYCLING = _calibrate()


class Layout(NamedTuple):
    """Byte offsets the compiled driver reads addresses of arrays by; all 0 where they do not hold."""

    items: int  # of a tuple's items
    size: int  # of a tuple's length
    type: int  # of an object's type
    data: int  # of an array's data
    flags: int  # of an array's flags


UNKNOWN = Layout(0, 0, 0, 0, 0)


def builtin(address: int, name: bytes) -> Callable[..., Any] | None:
    """Machine code of the signature METH_FASTCALL as a builtin function of Python; None where layouts are unknown."""
    if not LAYOUT.items:
        return None
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return make(ctypes.addressof(immortal(_Method(name, address, 0x80, None))), None, None)


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("code", ctypes.c_void_p), ("flags", ctypes.c_int), ("text", ctypes.c_char_p),
    )  # fmt: skip


def api(name: str) -> int:
    """The address of a function of CPython's API."""
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _discover() -> Layout:
    """The layout of tuples and arrays, believed only if it finds what NumPy itself says."""
    if (
        sys.implementation.name != "cpython"
        or ctypes.sizeof(ctypes.c_void_p) != 8
        or hasattr(sys, "gettotalrefcount")
    ):
        return UNKNOWN
    header = object.__basicsize__
    layout = Layout(tuple.__basicsize__, header, header - 8, header, header + 48)
    arrays = (
        np.zeros(3, np.float32), np.zeros((), np.int64), np.zeros((4, 6), np.uint8)[:, 1:],
        np.zeros((2, 3, 4)).T, np.frombuffer(b"12345678", np.int32),
        np.frombuffer(bytearray(9), np.int32, 2, 1),
    )  # fmt: skip
    address = id(arrays)
    if _word(address + layout.size) != len(arrays) or _word(id(()) + layout.size) != 0:
        return UNKNOWN
    for i, array in enumerate(arrays):
        at = id(array)
        if _word(address + layout.items + 8 * i) != at or _word(at + layout.type) != id(np.ndarray):
            return UNKNOWN
        if _word(at + layout.data) != array.ctypes.data:
            return UNKNOWN
        if _word(at + layout.flags) & FLAGS != flags_of(array):
            return UNKNOWN
    return layout


CONTIGUOUS, ALIGNED, WRITEABLE = 0x0001, 0x0100, 0x0400
FLAGS = CONTIGUOUS | ALIGNED | WRITEABLE


def flags_of(array: np.ndarray) -> int:
    """NumPy's flag bits of an array, of those the driver looks at."""
    f = array.flags
    return CONTIGUOUS * f.c_contiguous | ALIGNED * f.aligned | WRITEABLE * f.writeable


LAYOUT = _discover()
