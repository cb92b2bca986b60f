"""Images of machine code (see `linking`) into this process: copied, completed, and only then made executable."""

from __future__ import annotations

import ctypes
import functools
import json
import mmap
import struct
from collections.abc import Iterable

from fnn.kernels.cpu.buffers import immortal
from fnn.kernels.cpu.processor import LOCK, KernelError

ALIGNMENT = 64  # of an image, and the most that something in it may ask for
_MAGIC = b"fnnimage"
_HEAD = struct.Struct("<8sII")  # magic, bytes of the names, bytes of the code


def pack(code: bytes, exports: dict[str, int], imports: dict[str, int]) -> bytes:
    """An image: its code, where its symbols are, and the words that take the addresses of others."""
    names = json.dumps([exports, imports]).encode()
    return _HEAD.pack(_MAGIC, len(names), len(code)) + names + code


def is_image(data: bytes) -> bool:
    """Whether these bytes are an image, rather than an object file for LLVM's loader."""
    return data.startswith(_MAGIC)


def unpack(image: bytes) -> tuple[bytes, dict[str, int], dict[str, int]]:
    """Code, exports and imports, as `pack` had them.

    Raises:
        KernelError: the image contradicts itself.
    """
    try:
        _, names, size = _HEAD.unpack_from(image)
        exports, imports = json.loads(image[_HEAD.size : _HEAD.size + names])
    except (ValueError, struct.error) as error:
        raise KernelError(f"an image of machine code is damaged: {error}") from None
    code = image[_HEAD.size + names :]
    sound = len(code) == size
    sound = sound and all(0 <= at < size for at in exports.values())
    if not (sound and all(0 <= at <= size - 8 and at % 8 == 0 for at in imports.values())):
        raise KernelError("an image of machine code is damaged: it names places outside of it")
    return code, exports, imports


@functools.cache
def address(name: str) -> int | None:
    """The address of a function of the C library or of Python itself; None if there is none."""
    try:
        return ctypes.cast(getattr(_process(), name), ctypes.c_void_p).value
    except (AttributeError, OSError, ValueError):
        return None


@functools.cache
def _process() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def load(codes: Iterable[bytes], symbols: Iterable[str]) -> dict[str, int]:
    """Load what `machine.assemble` made, on this machine, and give the addresses of symbols in it.

    The code stays until the process ends, as threads may be running it until then.

    Raises:
        KernelError: one of the symbols is not there, an image is damaged or needs a function that is not
        there, or memory may not be run here.
    """
    codes, symbols = list(codes), list(symbols)
    with LOCK:
        found = _load_images([code for code in codes if is_image(code)])
        objects = [code for code in codes if not is_image(code)]
        if objects:
            from fnn.kernels.cpu import machine  # brings LLVM along

            found |= machine.load_objects(objects, [s for s in symbols if s not in found])
    missing = [symbol for symbol in symbols if not found.get(symbol)]
    if missing:
        raise KernelError(f"kernel {missing[0]}: its object code holds no such symbol")
    return {symbol: found[symbol] for symbol in symbols}


def _load_images(images: list[bytes]) -> dict[str, int]:
    """Copy images into memory of their own, which is executable and not writable from then on."""
    parts, size = [], 0
    for image in images:
        part = unpack(image)
        parts.append((size, part))
        size += -(-len(part[0]) // ALIGNMENT) * ALIGNMENT
    if not size:
        return {}
    memory = immortal(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    start = ctypes.addressof(immortal(ctypes.c_char.from_buffer(memory)))
    found = {}
    for at, (code, exports, imports) in parts:
        memory[at : at + len(code)] = code
        for name, slot in imports.items():
            target = address(name)
            if target is None:
                raise KernelError(f"machine code calls {name}, which this process does not have")
            struct.pack_into("<Q", memory, at + slot, target)
        found.update((name, start + at + place) for name, place in exports.items())
    if _process().mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_EXEC):
        raise KernelError(f"the system lets no memory be run (error {ctypes.get_errno()})")
    return found
