"""What the array API standard asks of a namespace about itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn.array import CPU, Device, devices
from fnn.core.source import describe, here
from fnn.errors import ArgumentError

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


class __array_namespace_info__:
    """The standard's inspection of a namespace: what it can do, its devices and its dtypes.

    >>> import fnn.numpy as fnp
    >>> info = fnp.__array_namespace_info__()
    >>> info.default_dtypes()["real floating"], info.devices()
    (dtype('float32'), [CpuDevice(id=0)])
    """

    def capabilities(self) -> dict[str, Any]:
        """Masks as indices and shapes that depend on values work (outside of `jit`); arrays have 64 axes at most."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """The device new arrays live on."""
        return CPU

    def devices(self) -> list[Device]:
        """The devices there are."""
        return devices()

    def default_dtypes(self, *, device: Any = None) -> dict[str, np.dtype]:
        """The dtypes of new arrays: 32 bits, or 64 with `enable_x64`."""
        return {
            "real floating": dtypes.default_float(),
            "complex floating": dtypes.canonicalize(complex),
            "integral": dtypes.default_int(),
            "indexing": dtypes.default_int(),
        }

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, np.dtype]:
        """The standard's dtypes by name, all or those of a kind: "bool", "integral", "real floating", ... or several."""
        kinds = ("bool", "numeric") if kind is None else kind if isinstance(kind, tuple) else (kind,)
        unknown = [k for k in kinds if k not in _KINDS]
        if unknown:
            raise ArgumentError(
                f"dtypes: {unknown[0]!r} is none of the kinds {', '.join(_KINDS)}, at {describe(here())}"
            )
        return {name: dtypes.as_dtype(name) for k in kinds for name in _KINDS[k]}
