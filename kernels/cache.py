"""Compiled kernels and plans, found by content: in this process, on disk, or compiled now.

On disk, in `fnn.config.cache_folder()`, one folder for each processor, version and state of fnn's sources
holds

    kernels/<key>    object code of one kernel, shared by all programs that use it
    programs/<key>   the object code of all kernels of one program, so that a warm start reads one file
    plans/<key>      whatever a planner stores about a program

Every file is written under a temporary name and renamed, begins with what it is for and a checksum, and is
ignored if either is wrong: any number of processes may share the folder, die while writing, or find it
read-only, full or scribbled over; the worst that happens is that something is compiled again.  The least
recently used files are deleted when all of them together exceed `config.cache_size`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import stat
import struct
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType

from fnn import core, primitives
from fnn import kernels as _kernels_package
from fnn.config import cache_folder, config
from fnn.errors import ArgumentError, CacheWarning
from fnn.kernels.cpu import loading
from fnn.kernels.cpu.processor import LOCK, KernelError, identification
from fnn.records import record, replace
from fnn.version import __version__

__all__ = [
    "Statistics",
    "clear",
    "disk_usage",
    "find",
    "kernels",
    "load_plan",
    "save_plan",
    "sources_of",
    "statistics",
]

_MAGIC = b"fnncach1"
_HEAD = struct.Struct("<8s16s32s")  # magic, digest of what the file is for, digest of the rest
_KINDS = ("kernels", "programs", "plans")
_FORGOTTEN = 3600.0  # seconds after which a temporary file belongs to a process that died


@record()
class Statistics:
    """What the cache has done in this process."""

    compiled: int = 0  # kernels compiled
    loaded: int = 0  # kernels read from disk
    found: int = 0  # kernels that were in the process already
    plans_loaded: int = 0
    plans_saved: int = 0
    rejected: int = 0  # files ignored because they were damaged or meant for something else
    bytes_read: int = 0
    bytes_written: int = 0
    seconds_importing: float = 0.0  # the compiler
    seconds_writing_text: float = 0.0  # the emitters' time
    seconds_compiling: float = 0.0
    seconds_reading: float = 0.0
    seconds_loading: float = 0.0  # object code into the process


_statistics = Statistics()
_addresses: dict[str, int] = {}
_counter = itertools.count()
_unwritable: set[str] = set()
_unchecked = float("inf")  # bytes written since the size of the folder was last looked at; at first: unknown


def statistics() -> Statistics:
    """What the cache has done in this process so far: a copy of the counts.

    >>> statistics().compiled >= 0
    True
    """
    return replace(_statistics)


def kernels(sources: Mapping[str, Callable[[], str]], program: str | None = None) -> dict[str, int]:
    """The addresses of a program's kernels, compiling those that neither the process nor the disk has.

    Args:
        sources: for each kernel's key (a hash of all it depends on besides machine and version; letters,
        digits and _)
            a function that writes its LLVM text, which defines the symbol "k" + key.
        program: a key for the set of kernels, under which one file will hold them all.

    Raises:
        ArgumentError: a key has other characters.
        KernelError: a kernel does not compile.
    """
    with LOCK:
        _check_keys(sources, program)
        want = [key for key in sources if key not in _addresses]
        _statistics.found += len(sources) - len(want)
        if want:
            objects, packed = _read_kernels(want, program)
            if not _load(objects):
                objects, packed = {}, False
            texts = {key: sources[key] for key in want if key not in objects}
            compiled = _compile(texts)
            if not _load(compiled):
                raise KernelError(f"kernels {', '.join(compiled)}: LLVM cannot load what it compiled")
            _write_kernels(sources, compiled, {**objects, **compiled}, None if packed else program)
        return {key: _addresses[key] for key in sources}


def find(keys: Iterable[str], program: str | None = None) -> dict[str, int] | None:
    """The addresses of kernels if all can be had without compiling, else None.  Arguments as of `kernels`."""
    keys = list(keys)
    with LOCK:
        _check_keys(keys, program)
        want = [key for key in keys if key not in _addresses]
        if want:
            objects, _ = _read_kernels(want, program)
            if len(objects) < len(want) or not _load(objects):
                return None
        _statistics.found += len(keys) - len(want)
        return {key: _addresses[key] for key in keys}


def load_plan(key: str) -> bytes | None:
    """What `save_plan` stored under a key, on this kind of machine by this version of fnn; None if there is
    nothing."""
    _check_keys([key], None)
    with LOCK:
        data = _read("plans", key)
        _statistics.plans_loaded += data is not None
        return data


def save_plan(key: str, data: bytes) -> None:
    """Store bytes under a key.  The key must cover all they depend on, besides machine and version."""
    _check_keys([key], None)
    with LOCK:
        _statistics.plans_saved += _write("plans", key, data)
        _trim()


def clear() -> int:
    """Delete all that the cache has on disk, of all machines and versions; returns the bytes freed.

    Kernels that this process has loaded stay in it.
    """
    freed = 0
    for path, status in list(_files()):
        with contextlib.suppress(OSError):
            os.unlink(path)
            freed += status.st_size
    for folder in _folders():
        for part in [*(os.path.join(folder, kind) for kind in _KINDS), folder]:
            with contextlib.suppress(OSError):
                os.rmdir(part)
    return freed


def disk_usage() -> tuple[int, int]:
    """How many files the cache has on disk, and their bytes."""
    sizes = [status.st_size for _, status in _files()]
    return len(sizes), sum(sizes)


def _log(message: str, *values: object) -> None:
    import logging  # rarely needed, and not cheap to import

    logging.getLogger("fnn").warning(message, *values)


# -------------------------------------------------------------------------------------------------- kernels


def _check_keys(keys: Iterable[str], program: str | None) -> None:
    for key in [*keys, program]:
        if key is not None and not (len(key) <= 100 and key.isascii() and key.replace("_", "a").isalnum()):
            raise ArgumentError(f"cache: {key!r} is no key: up to 100 letters, digits and underscores")


def _compile(sources: Mapping[str, Callable[[], str]]) -> dict[str, bytes]:
    if not sources:
        return {}
    clock = time.perf_counter
    start = clock()
    # Here, because it brings LLVM along: a process that finds all kernels in the cache has none.
    from fnn.kernels.cpu import compile_workers

    imported = clock()
    texts = {key: write() for key, write in sources.items()}
    written = clock()
    compiled = compile_workers.assemble_all(texts, config.compile_workers)
    _statistics.seconds_importing += imported - start
    _statistics.seconds_writing_text += written - imported
    _statistics.seconds_compiling += clock() - written
    _statistics.compiled += len(compiled)
    return compiled


def _load(objects: Mapping[str, bytes]) -> bool:
    """Load object code into the process; False if LLVM will not."""
    if not objects:
        return True
    start = time.perf_counter()
    try:
        addresses = loading.load(objects.values(), ["k" + key for key in objects])
    except (KernelError, RuntimeError) as error:
        _log("cached kernels cannot be loaded and are compiled again: %s", error)
        return False
    _addresses.update((key, addresses["k" + key]) for key in objects)
    _statistics.seconds_loading += time.perf_counter() - start
    return True


def _read_kernels(want: list[str], program: str | None) -> tuple[dict[str, bytes], bool]:
    """Object code the disk has of the kernels wanted, and whether the program's own file had all."""
    start = time.perf_counter()
    objects = {}
    pack = _unpack(_read("programs", program)) if program is not None else {}
    for key in want:
        code = pack.get(key)
        if code is None:
            code = _read("kernels", key)
        if code is not None:
            objects[key] = code
    _statistics.loaded += len(objects)
    _statistics.seconds_reading += time.perf_counter() - start
    return objects, all(key in pack for key in want)


def _write_kernels(
    keys: Iterable[str], compiled: Mapping[str, bytes], objects: Mapping[str, bytes], program: str | None
) -> None:
    """Store what was compiled, and (if `program` is given) all kernels of the program in one file."""
    if _folder() is None:
        return
    for key, code in compiled.items():
        _write("kernels", key, code)
    if program is not None:
        pack = {key: code for key in keys if (code := objects.get(key) or _read("kernels", key)) is not None}
        _write("programs", program, _pack(pack))
    _trim()


def _pack(objects: Mapping[str, bytes]) -> bytes:
    ends = itertools.accumulate(map(len, objects.values()))
    places = {key: (end - len(code), end) for (key, code), end in zip(objects.items(), ends, strict=True)}
    head = json.dumps(places).encode()
    return b"".join([struct.pack("<q", len(head)), head, *objects.values()])


def _unpack(data: bytes | None) -> dict[str, bytes]:
    if data is None:
        return {}
    (size,) = struct.unpack_from("<q", data)
    body = data[8 + size :]
    return {key: body[start:end] for key, (start, end) in json.loads(data[8 : 8 + size]).items()}


# ---------------------------------------------------------------------------------------------------- files


def _sources() -> list[str]:
    """The state of the sources below this room: whatever changes them may change every kernel."""
    return [line for package in (core, primitives, _kernels_package) for line in sources_of(package)]


def sources_of(package: ModuleType) -> list[str]:
    """The state of a package's sources, by name, size and time."""
    lines: list[str] = []
    for root in package.__path__:
        _add_sources(root, package.__name__, lines)
    return sorted(lines)


def _add_sources(folder: str, name: str, lines: list[str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                lines.append(f"{name}/{entry.name} {status.st_size} {status.st_mtime_ns}")
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                _add_sources(entry.path, f"{name}/{entry.name}", lines)


@functools.cache
def _identity() -> str:
    """What everything in the cache depends on: machine, versions and sources."""
    lines = [identification(), f"fnn {__version__}", *_sources()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]


def _folder() -> str | None:
    root = cache_folder()
    return None if root is None else os.path.join(root, f"fnn-{_identity()}")


def _head(kind: str, key: str, data: bytes) -> bytes:
    purpose = hashlib.sha256(f"{_identity()} {kind} {key}".encode()).digest()[:16]
    return _HEAD.pack(_MAGIC, purpose, hashlib.sha256(data).digest())


def _read(kind: str, key: str) -> bytes | None:
    folder = _folder()
    if folder is None:
        return None
    path = os.path.join(folder, kind, key)
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    data = content[_HEAD.size :]
    if content[: _HEAD.size] != _head(kind, key, data):
        _statistics.rejected += 1
        _log("the cache's file %s is damaged and will be written anew", path)
        return None
    _statistics.bytes_read += len(content)
    with contextlib.suppress(OSError):  # the time of last use; a read-only folder keeps none
        os.utime(path)
    return data


def _write(kind: str, key: str, data: bytes) -> bool:
    global _unchecked
    folder = _folder()
    if folder is None or folder in _unwritable:
        return False
    home = os.path.join(folder, kind)
    temporary = os.path.join(home, f".{key}.{os.getpid()}.{next(_counter)}")
    try:
        # Only its owner may write what will be run.
        os.makedirs(home, mode=0o700, exist_ok=True)
        with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(_head(kind, key, data))
            file.write(data)
        os.replace(temporary, os.path.join(home, key))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        _unwritable.add(folder)
        warnings.warn(
            f"compiled programs cannot be kept in {os.path.dirname(folder)} ({error.strerror or error}) and will be "
            "compiled anew by every process; set FNN_CACHE_DIR to a folder that can be written, or to "
            "nothing to switch the cache off",
            CacheWarning,
            stacklevel=2,
        )
        return False
    _unchecked += _HEAD.size + len(data)
    _statistics.bytes_written += _HEAD.size + len(data)
    return True


def _folders() -> list[str]:
    """The folders of all machines and versions.  Whatever else lies beside them is not ours to touch."""
    root = cache_folder()
    try:
        names = os.listdir(root) if root else []
    except OSError:
        return []
    ours = [
        n for n in names if len(n) == 28 and n.startswith("fnn-") and set(n[4:]) <= set("0123456789abcdef")
    ]
    return [os.path.join(root, name) for name in ours if root]


def _files() -> Iterator[tuple[str, os.stat_result]]:
    for folder in _folders():
        for kind in _KINDS:
            with contextlib.suppress(OSError), os.scandir(os.path.join(folder, kind)) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield entry.path, status


def _trim() -> None:
    """Delete the least recently used files if there are too many bytes, from time to time."""
    global _unchecked
    limit = config.cache_size
    if _unchecked <= limit / 16:
        return
    _unchecked = 0
    now = time.time()
    kept = []
    for path, status in _files():
        if os.path.basename(path).startswith("."):  # being written, or left by a process that died
            if now - status.st_mtime > _FORGOTTEN:
                with contextlib.suppress(OSError):
                    os.unlink(path)
        else:
            kept.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in kept)
    if total <= limit:
        return
    # Somewhat below the limit, so that the next program does not start this again.
    for _, size, path in sorted(kept):
        if total <= 0.8 * limit:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            total -= size
