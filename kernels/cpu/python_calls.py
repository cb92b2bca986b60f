"""Python functions that a compiled program calls: C functions around them, which take the interpreter's lock only
while they run."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn.core.source import describe
from fnn.errors import FnnError

if TYPE_CHECKING:
    from fnn.core.aval import Aval
    from fnn.kernels.calls import Foreign

_FUNCTION = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)  # ctypes takes the lock, and gives it back


class PythonCalls:
    """The functions of one program. addresses: key -> address of `i64 function(ptr arguments)`, which returns 0
    unless the function raised; `raise_failure` raises what it did."""

    def __init__(self, functions: Mapping[str, Foreign]) -> None:
        self._failed = threading.local()  # programs run on the thread that calls them
        self._functions = {key: _FUNCTION(self._around(f)) for key, f in functions.items()}
        self.addresses = {
            key: ctypes.cast(f, ctypes.c_void_p).value or 0 for key, f in self._functions.items()
        }

    def _around(self, foreign: Foreign) -> Callable[[int], int]:
        function, inputs, outputs = foreign.python, foreign.inputs, foreign.outputs
        assert function is not None
        count = len(inputs) + len(outputs)

        def call(arguments: int) -> int:
            try:
                places = (ctypes.c_int64 * count).from_address(arguments)
                given = [_array(p, a).copy() for p, a in zip(places, inputs)]
                for place, aval, value in zip(places[len(inputs) :], outputs, function(*given), strict=True):
                    np.copyto(_array(place, aval), value)
            except BaseException as error:  # of any kind: it goes on in the thread's own Python
                if foreign.source is not None and describe(foreign.source) not in str(error):
                    error.add_note(
                        f"raised by a callback in a compiled program, from {describe(foreign.source)}"
                    )
                self._failed.error = error
                return 1
            return 0

        return call

    def raise_failure(self) -> None:
        """Raise what a function of this program raised last in this thread."""
        error: BaseException | None = self._failed.__dict__.pop("error", None)
        raise error or FnnError("a callback ended a program without saying why")


def _array(place: int, aval: Aval) -> np.ndarray[Any, Any]:
    """The memory of an argument as an array."""
    if not aval.size:
        return np.zeros(aval.shape, aval.dtype)
    memory = (ctypes.c_uint8 * aval.nbytes).from_address(place)
    return np.ctypeslib.as_array(memory).view(aval.dtype).reshape(aval.shape)
