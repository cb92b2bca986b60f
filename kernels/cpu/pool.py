"""The threads that share a kernel's tiles: their machine code (as LLVM text) and the one pool of this
process.

A launch publishes a job (kernel, arguments, tiles, chunk) and takes chunks itself; workers that are awake
join, take chunks, and leave.  The launcher closes the job once no tiles are left and waits only for the
workers inside, so that a worker that is still asleep delays nobody.  Workers look for the next job for `SPIN`
pauses (long spinning hurts under a hypervisor), then sleep: in a futex on Linux, on a condition variable
elsewhere.  Only one launch has the pool at a time: another one at that moment runs on its own thread alone.

Where there is neither (Windows), kernels run on the calling thread.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading

import numpy as np

from fnn.kernels.cpu.buffers import aligned, builtin, immortal

SPIN = 1500

# Byte offsets in a pool's memory; what different threads write lies on different cache lines.
_OFFSETS = {
    "GENERATION": 0, "NEXT": 64, "JOB": 128, "SLEEPING": 192, "FUNCTION": 256, "ARGUMENTS": 264, "TILES": 272,
    "CHUNK": 280,
    "LOCK": 320, "WORKERS": 384, "MUTEX": 512, "CONDITION": 640,
}  # fmt: skip
_SIZE = 1024
_CLOSED = 1 << 32  # in JOB, beside the number of workers inside
_SYSCALL_FUTEX = {"x86_64": 202, "amd64": 202, "aarch64": 98, "arm64": 98, "riscv64": 98, "ppc64le": 221}


def how_to_wait() -> str:
    """How idle workers sleep here: "futex", "condition", or "none" where there is no pool."""
    if sys.platform.startswith("linux") and platform.machine().lower() in _SYSCALL_FUTEX:
        return "futex"
    return "condition" if os.name == "posix" else "none"


_ALONE = """
define internal void @launch(ptr %cell, ptr %kernel, ptr %arguments, i64 %tiles, i64 %chunk) noinline {
  call void %kernel(ptr %arguments, i64 0, i64 %tiles)
  ret void
}
define internal void @worker(ptr %pool, i64 %spin) {
  ret void
}
define internal void @prepare(ptr %pool) {
  ret void
}
"""

_PAUSES = {
    "x86": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "arm": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
    "other": ("", ""),
}

_FUTEX = """
declare i64 @syscall(i64, ...)
define internal void @prepare(ptr %pool) {
  ret void
}
define internal void @sleep(ptr %pool, i64 %seen) {
  %low = and i64 %seen, 4294967295
  %r = call i64 (i64, ...) @syscall(i64 {NUMBER}, ptr %pool, i64 128, i64 %low, i64 0)
  ret void
}
define internal void @wake(ptr %pool, i64 %count) {
  %r = call i64 (i64, ...) @syscall(i64 {NUMBER}, ptr %pool, i64 129, i64 %count, i64 0)
  ret void
}
"""

_CONDITION = """
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
define internal void @prepare(ptr %pool) {
  %mutex = getelementptr i8, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i8, ptr %pool, i64 {CONDITION}
  %r1 = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %r2 = call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}
define internal void @sleep(ptr %pool, i64 %seen) {
entry:
  %mutex = getelementptr i8, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i8, ptr %pool, i64 {CONDITION}
  %r1 = call i32 @pthread_mutex_lock(ptr %mutex)
  br label %look
look:
  %now = load atomic i64, ptr %pool seq_cst, align 8
  %same = icmp eq i64 %now, %seen
  br i1 %same, label %rest, label %out
rest:
  %r2 = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %look
out:
  %r3 = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}
define internal void @wake(ptr %pool, i64 %count) {
  %mutex = getelementptr i8, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i8, ptr %pool, i64 {CONDITION}
  %r1 = call i32 @pthread_mutex_lock(ptr %mutex)
  %r2 = call i32 @pthread_cond_broadcast(ptr %condition)
  %r3 = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}
"""

_POOL = """
{DECLARE_PAUSE}
declare i32 @sched_yield()

define internal void @work(ptr %pool) {
entry:
  %kernel.at = getelementptr i8, ptr %pool, i64 {FUNCTION}
  %kernel = load ptr, ptr %kernel.at
  %arguments.at = getelementptr i8, ptr %pool, i64 {ARGUMENTS}
  %arguments = load ptr, ptr %arguments.at
  %tiles.at = getelementptr i8, ptr %pool, i64 {TILES}
  %tiles = load i64, ptr %tiles.at
  %chunk.at = getelementptr i8, ptr %pool, i64 {CHUNK}
  %chunk = load i64, ptr %chunk.at
  %next = getelementptr i8, ptr %pool, i64 {NEXT}
  br label %take
take:
  %lo = atomicrmw add ptr %next, i64 %chunk seq_cst
  %some = icmp slt i64 %lo, %tiles
  br i1 %some, label %go, label %out
go:
  %end = add i64 %lo, %chunk
  %short = icmp slt i64 %end, %tiles
  %hi = select i1 %short, i64 %end, i64 %tiles
  call void %kernel(ptr %arguments, i64 %lo, i64 %hi)
  br label %take
out:
  ret void
}

; A worker's life: it never returns.
define internal void @worker(ptr %pool, i64 %spin) {
entry:
  %sleeping = getelementptr i8, ptr %pool, i64 {SLEEPING}
  %job = getelementptr i8, ptr %pool, i64 {JOB}
  %workers.at = getelementptr i8, ptr %pool, i64 {WORKERS}
  br label %wait
wait:
  %seen = phi i64 [0, %entry], [%now, %join], [%now, %inside]
  br label %look
look:
  %n = phi i64 [0, %wait], [%n1, %rest], [%n1, %slept]
  %now = load atomic i64, ptr %pool seq_cst, align 8
  %same = icmp eq i64 %now, %seen
  br i1 %same, label %idle, label %join
idle:
  %n1 = add i64 %n, 1
  %hot = icmp slt i64 %n1, %spin
  br i1 %hot, label %rest, label %slept
rest:
  {PAUSE}
  br label %look
slept:
  ; A launcher first raises the generation, then reads who sleeps: it sees us, or we see the generation.
  %s1 = atomicrmw add ptr %sleeping, i64 1 seq_cst
  call void @sleep(ptr %pool, i64 %seen)
  %s2 = atomicrmw sub ptr %sleeping, i64 1 seq_cst
  br label %look
join:
  ; A closed job is a number larger than any number of workers.
  %workers = load atomic i64, ptr %workers.at seq_cst, align 8
  %j = load atomic i64, ptr %job seq_cst, align 8
  %full = icmp uge i64 %j, %workers
  br i1 %full, label %wait, label %enter
enter:
  %j1 = add i64 %j, 1
  %pair = cmpxchg ptr %job, i64 %j, i64 %j1 seq_cst seq_cst
  %entered = extractvalue {i64, i1} %pair, 1
  br i1 %entered, label %inside, label %again
again:
  br label %join
inside:
  call void @work(ptr %pool)
  %left = atomicrmw sub ptr %job, i64 1 seq_cst
  br label %wait
}

define internal void @launch(ptr %cell, ptr %kernel, ptr %arguments, i64 %tiles, i64 %chunk) noinline {
entry:
  %divided = icmp sgt i64 %chunk, 0
  %several = icmp slt i64 %chunk, %tiles
  %shared = and i1 %divided, %several
  br i1 %shared, label %look, label %alone
look:
  %pool = load atomic ptr, ptr %cell seq_cst, align 8
  %missing = icmp eq ptr %pool, null
  br i1 %missing, label %alone, label %found
found:
  %workers.at = getelementptr i8, ptr %pool, i64 {WORKERS}
  %workers = load atomic i64, ptr %workers.at seq_cst, align 8
  %none = icmp eq i64 %workers, 0
  br i1 %none, label %alone, label %try
try:
  %lock = getelementptr i8, ptr %pool, i64 {LOCK}
  %pair = cmpxchg ptr %lock, i64 0, i64 1 seq_cst seq_cst
  %ours = extractvalue {i64, i1} %pair, 1
  br i1 %ours, label %publish, label %alone
alone:
  call void %kernel(ptr %arguments, i64 0, i64 %tiles)
  ret void
publish:
  %kernel.at = getelementptr i8, ptr %pool, i64 {FUNCTION}
  store ptr %kernel, ptr %kernel.at
  %arguments.at = getelementptr i8, ptr %pool, i64 {ARGUMENTS}
  store ptr %arguments, ptr %arguments.at
  %tiles.at = getelementptr i8, ptr %pool, i64 {TILES}
  store i64 %tiles, ptr %tiles.at
  %chunk.at = getelementptr i8, ptr %pool, i64 {CHUNK}
  store i64 %chunk, ptr %chunk.at
  %next = getelementptr i8, ptr %pool, i64 {NEXT}
  store atomic i64 0, ptr %next seq_cst, align 8
  %job = getelementptr i8, ptr %pool, i64 {JOB}
  store atomic i64 0, ptr %job seq_cst, align 8
  %generation = atomicrmw add ptr %pool, i64 1 seq_cst
  %sleeping.at = getelementptr i8, ptr %pool, i64 {SLEEPING}
  %sleeping = load atomic i64, ptr %sleeping.at seq_cst, align 8
  %asleep = icmp sgt i64 %sleeping, 0
  br i1 %asleep, label %rouse, label %run
rouse:
  %upto = add i64 %tiles, -1
  %helpers = sdiv i64 %upto, %chunk
  %few = icmp slt i64 %helpers, %workers
  %count = select i1 %few, i64 %helpers, i64 %workers
  call void @wake(ptr %pool, i64 %count)
  br label %run
run:
  call void @work(ptr %pool)
  %before = atomicrmw or ptr %job, i64 {CLOSED} seq_cst
  br label %drain
drain:
  %n = phi i64 [0, %run], [%n1, %spun], [0, %yielded]
  %inside = load atomic i64, ptr %job seq_cst, align 8
  %left = icmp eq i64 %inside, {CLOSED}
  br i1 %left, label %done, label %more
more:
  %n1 = add i64 %n, 1
  %brief = icmp slt i64 %n1, {SPIN}
  br i1 %brief, label %spun, label %yielded
spun:
  {PAUSE}
  br label %drain
yielded:
  %r = call i32 @sched_yield()
  br label %drain
done:
  store atomic i64 0, ptr %lock seq_cst, align 8
  ret void
}
"""


def text(wait: str | None = None) -> str:
    """LLVM text of `@launch`, `@worker` and `@prepare` for this machine's processor and system."""
    wait = how_to_wait() if wait is None else wait
    if wait == "none":
        return _ALONE
    processor = platform.machine().lower()
    family = (
        "x86" if processor in ("x86_64", "amd64") else "arm" if processor in ("aarch64", "arm64") else "other"
    )
    declare, pause = _PAUSES[family]
    named = {**_OFFSETS, "CLOSED": _CLOSED, "SPIN": SPIN, "DECLARE_PAUSE": declare, "PAUSE": pause}
    named["NUMBER"] = _SYSCALL_FUTEX.get(processor, 0)
    body = (_FUTEX if wait == "futex" else _CONDITION) + _POOL
    for name, value in named.items():
        body = body.replace("{" + name + "}", str(value))
    return body


class Worker(threading.Thread):
    """A thread of a pool. It runs kernels and never Python: it holds no lock a fork could leave locked."""


class Pool:
    """The pool of this process.  `cell` is the address of a word that holds the address of the pool's memory,
    or 0.

    Launches read the cell each time, so that the pool can be dropped (in the child of a fork, where no worker
    lives) without touching the programs that use it.
    """

    def __init__(self, wait: str | None = None) -> None:
        self._cell = immortal(aligned(64)).view(np.int64)
        self._cell[:] = 0
        self.cell = int(self._cell.ctypes.data)
        self.wait = how_to_wait() if wait is None else wait
        self.threads = 0  # as last asked of `fit`; 0: never, in this process
        self._memory: np.ndarray | None = None
        self._workers: list[Worker] = []
        self._lock = threading.Lock()

    def fit(self, native: Native, threads: int) -> None:
        """From now on launches use `threads` threads, the caller's included (fewer if no more can be
        started)."""
        with self._lock:
            if self._memory is None:
                # Workers look at this memory until the process ends, after Python has freed everything else.
                self._memory = immortal(aligned(_SIZE)).view(np.int64)
                self._memory[:] = 0
                self._memory[_OFFSETS["JOB"] // 8] = _CLOSED
                native.prepare(self._memory.ctypes.data)
            wanted = 0 if self.wait == "none" else threads - 1
            while len(self._workers) < wanted:
                arguments = self._memory.ctypes.data, SPIN
                name = f"fnn-worker-{len(self._workers)}"
                worker = Worker(target=native.worker, args=arguments, daemon=True, name=name)
                try:
                    worker.start()
                except RuntimeError:  # no more threads, or the interpreter is ending: fewer will do
                    break
                self._workers.append(worker)
            self._memory[_OFFSETS["WORKERS"] // 8] = min(wanted, len(self._workers))
            self._cell[0] = self._memory.ctypes.data
            self.threads = threads

    def forget(self) -> None:
        """In the child of a fork: the workers live on in the parent only."""
        self._cell[0] = 0
        self.threads, self._memory, self._workers, self._lock = 0, None, [], threading.Lock()


class Native:
    """The machine code of the driver and the pool: ctypes functions, and what a call enters by (the GIL is free while
    one runs)."""

    def __init__(self, table: int) -> None:
        pointer, word = ctypes.c_void_p, ctypes.c_int64
        fill = ctypes.CFUNCTYPE(None, pointer, word, word)(table)
        addresses = (ctypes.c_int64 * 4)()
        fill(ctypes.addressof(addresses), 0, 0)
        self.drive = ctypes.CFUNCTYPE(word, pointer)(addresses[0])
        self.worker = ctypes.CFUNCTYPE(None, pointer, word)(addresses[1])
        self.prepare = ctypes.CFUNCTYPE(None, pointer)(addresses[2])
        self.enter = builtin(addresses[3], b"drive")  # keeps the GIL until it has read its arguments


POOL = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
