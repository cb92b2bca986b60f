"""Compiling many kernels at once, in forked processes: LLVM under llvmlite holds a lock, so threads gain
nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
import threading
import time
import warnings
from collections.abc import Mapping

from fnn.kernels.cpu import machine
from fnn.kernels.cpu.pool import Worker

_FEWEST = 4  # kernels, below which a fork costs more than it saves
_PATIENCE = 60.0  # seconds a worker may take longer than this process did
_RECORD = struct.Struct("<qq")


def assemble_all(texts: Mapping[str, str], workers: int) -> dict[str, bytes]:
    """The object code of every text, compiled by up to `workers` processes, this one among them.

    What a worker does not deliver is compiled here, so that its errors are raised here.

    Raises:
        KernelError: a text does not compile.
    """
    workers = min(workers, len(texts) // 2)
    if workers < 2 or len(texts) < _FEWEST or not may_fork():
        return {key: machine.assemble(text, key) for key, text in texts.items()}
    # The longest first, each to the worker with the least so far.
    shares: list[list[str]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for key in sorted(texts, key=lambda key: -len(texts[key])):
        least = loads.index(min(loads))
        shares[least].append(key)
        loads[least] += len(texts[key])
    children = []
    try:
        with machine.LOCK:
            for share in shares[1:]:
                child = _fork(texts, share)
                if child is not None:
                    children.append(child)
        start = time.monotonic()
        done = {key: machine.assemble(texts[key], key) for key in shares[0]}
        deadline = time.monotonic() + 2 * (time.monotonic() - start) + _PATIENCE
        for pid, file in children:
            if _finished(pid, deadline):
                done.update(_results(file))
    finally:
        for pid, file in children:
            _end(pid)
            os.close(file)
    for key in texts:
        if key not in done:
            done[key] = machine.assemble(texts[key], key)
    return {key: done[key] for key in texts}


def may_fork() -> bool:
    """Whether a child may be forked: on Linux, while no other Python thread runs that could hold some
    lock."""
    if not sys.platform.startswith("linux") or not hasattr(os, "memfd_create"):
        return False
    mine = threading.current_thread()
    return all(thread is mine or isinstance(thread, Worker) for thread in threading.enumerate())


def _fork(texts: Mapping[str, str], share: list[str]) -> tuple[int, int] | None:
    """Start a child that compiles a share: its process id, and a file in memory with what it has done."""
    try:
        file = os.memfd_create("fnn-kernels")
    except OSError:
        return None
    try:
        # Python and others warn that threads and forks do not mix; the child only runs LLVM, whose lock we
        # hold.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
    except OSError:
        os.close(file)
        return None
    if pid:
        return pid, file
    status = 1
    try:
        for key in share:
            code = machine.assemble(texts[key], key)
            record = _RECORD.pack(len(key), len(code)) + key.encode() + code
            while record:
                record = record[os.write(file, record) :]
        status = 0
    finally:
        os._exit(status)


def _finished(pid: int, deadline: float) -> bool:
    """Wait until a child has ended; False if it does not."""
    pause = 0.0002
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return True
        except ChildProcessError:  # somebody else has waited for it
            return True
        time.sleep(pause)
        pause = min(2 * pause, 0.005)
    import logging

    logging.getLogger("fnn").warning("a compile worker does not answer; its kernels are compiled here")
    return False


def _end(pid: int) -> None:
    """End a child that may still be running (a child that was waited for is left alone)."""
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _results(file: int) -> dict[str, bytes]:
    """What a child wrote; the last record may be cut short if it died."""
    size = os.fstat(file).st_size
    data = os.pread(file, size, 0)
    found, at = {}, 0
    while at + _RECORD.size <= len(data):
        name, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + name + length > len(data):
            break
        found[data[at : at + name].decode()] = data[at + name : at + name + length]
        at += name + length
    return found
