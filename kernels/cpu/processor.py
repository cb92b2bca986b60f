"""Which processor and which compiler machine code is for, said without loading the compiler: a warm start needs
neither.

`FNN_CPU_NAME` and `FNN_CPU_FEATURES` (LLVM's names, e.g. `haswell`, `x86-64` and `+avx2,-avx512f`) choose a
narrower processor than the host's, to see what it would run; a wider one crashes on its first new
instruction. Where they are not set, Numba's own `NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` are heard.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import threading

from fnn.errors import GraphError

# LLVM through llvmlite is one thing at a time, and a child must not be forked while another thread is inside.
LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)

# A text that begins so is spared LLVM's optimising passes.
AS_WRITTEN = "; as written"

# What Linux says of a processor that is the same whenever and on whichever core it is asked.
_X86 = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")
_ARM = ("Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision")


class KernelError(GraphError):
    """A kernel's LLVM text does not compile, or calls a function this process does not have: an emitter is
    wrong."""


def chosen() -> tuple[str | None, str | None]:
    """The name and the features the environment asks for; None: the host's."""
    name = os.environ.get("FNN_CPU_NAME") or os.environ.get("NUMBA_CPU_NAME")
    features = os.environ.get("FNN_CPU_FEATURES") or os.environ.get("NUMBA_CPU_FEATURES")
    return None if name == "host" else name or None, features or None


@functools.cache
def identification() -> str:
    """Everything machine code depends on besides a kernel's own content: a part of every cache key."""
    return "\n".join([sys.platform, repr(chosen()), _hardware(), _compiler()])


def _hardware() -> str:
    """The host: what LLVM would make its name and features of, or these themselves where nothing else tells."""
    described = _described()
    if described is None:
        from fnn.kernels.cpu import machine

        return " ".join([machine.triple(), *machine.host()])
    # NumPy asks the processor itself, so that an emulator which shows its host's description is noticed.
    from numpy._core._multiarray_umath import __cpu_features__ as features

    return "\n".join([os.uname().machine, described, " ".join(k for k, has in features.items() if has)])


def _described() -> str | None:
    """The lines of /proc/cpuinfo about what the processor can do; None where there are none."""
    wanted = _ARM if os.name == "posix" and os.uname().machine.startswith(("aarch64", "arm")) else _X86
    found = {}  # each once, also where cores are of several kinds
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if wanted is _X86 and line == "\n":  # all cores are alike, and a server has hundreds
                    break
                if line.split("\t", 1)[0].split(":", 1)[0].rstrip() in wanted:
                    found[line.strip()] = None
    except OSError:
        return None
    said = {line.split(":", 1)[0].rstrip() for line in found}
    return "\n".join(found) if wanted[-1] in said and wanted[0] in said else None


def _compiler() -> str:
    """llvmlite by what lies on disk: the version file and the library that holds LLVM."""
    spec = importlib.util.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return "no llvmlite"
    root = os.path.dirname(spec.origin)
    files = [os.path.join(root, "_version.py")]
    with os.scandir(os.path.join(root, "binding")) as entries:
        files += sorted(entry.path for entry in entries if entry.name.endswith((".so", ".dylib", ".dll")))
    status = [(os.path.basename(file), os.stat(file)) for file in files if os.path.exists(file)]
    return "llvmlite " + " ".join(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in status)
