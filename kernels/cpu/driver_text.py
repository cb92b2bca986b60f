"""The compiled table walker, as LLVM text; `table` says what it means."""

from __future__ import annotations

import hashlib
import re
import time

from fnn.kernels.cpu import pool
from fnn.kernels.cpu.buffers import ALIGNED, CONTIGUOUS, LAYOUT, WRITEABLE
from fnn.kernels.cpu.processor import AS_WRITTEN
from fnn.kernels.cpu.table import BASES, COPY, KERNEL, LOOP, PYTHON, SWAP, SWITCH, WHILE


class Head:
    """Words of a call's head: what the walker is told; the call's bases and argument list follow it."""

    (ROWS, COUNT, ARGS, MOVES, BASES, SCRATCH, CELL, PROFILE, ITEMS, SIZE, TYPE, DATA, FLAGS, INPUTS,
     OUTPUTS, FIRST_OUTPUT, ARRAY, SAVE, RESTORE, NUMBER) = range(20)  # fmt: skip
    WORDS = 24


class Status:
    """What a call of the driver returns; the program ran only if it is RAN, and to a call of Python that failed if
    it is FAILED."""

    RAN, INPUTS, OUTPUTS, FAILED = range(4)


_TEXT = """
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

define internal i64 @argument(ptr %args, ptr %bases, i64 %k) alwaysinline {
  %k2 = shl i64 %k, 1
  %base.at = getelementptr i64, ptr %args, i64 %k2
  %offset.at = getelementptr i64, ptr %base.at, i64 1
  %base = load i64, ptr %base.at
  %offset = load i64, ptr %offset.at
  %start.at = getelementptr i64, ptr %bases, i64 %base
  %start = load i64, ptr %start.at
  %address = add i64 %start, %offset
  ret i64 %address
}

; Stores the addresses of `count` arguments from `first` on at `to`.
define internal void @collect(ptr %args, ptr %bases, i64 %first, i64 %count, ptr %to) alwaysinline {
entry:
  br label %head
head:
  %j = phi i64 [0, %entry], [%j1, %one]
  %more = icmp slt i64 %j, %count
  br i1 %more, label %one, label %out
one:
  %k = add i64 %first, %j
  %address = call i64 @argument(ptr %args, ptr %bases, i64 %k)
  %to.at = getelementptr i64, ptr %to, i64 %j
  store i64 %address, ptr %to.at
  %j1 = add i64 %j, 1
  br label %head
out:
  ret void
}

; Adds `times` rounds of the moves to their bases.
define internal void @move(ptr %moves, ptr %bases, i64 %first, i64 %count, i64 %times) alwaysinline {
entry:
  br label %head
head:
  %j = phi i64 [0, %entry], [%j1, %one]
  %more = icmp slt i64 %j, %count
  br i1 %more, label %one, label %out
one:
  %k = add i64 %first, %j
  %k2 = shl i64 %k, 1
  %base.at = getelementptr i64, ptr %moves, i64 %k2
  %step.at = getelementptr i64, ptr %base.at, i64 1
  %base = load i64, ptr %base.at
  %step = load i64, ptr %step.at
  %by = mul i64 %step, %times
  %word = getelementptr i64, ptr %bases, i64 %base
  %old = load i64, ptr %word
  %new = add i64 %old, %by
  store i64 %new, ptr %word
  %j1 = add i64 %j, 1
  br label %head
out:
  ret void
}

define internal void @swap(ptr %moves, ptr %bases, i64 %first, i64 %count) alwaysinline {
entry:
  br label %head
head:
  %j = phi i64 [0, %entry], [%j1, %one]
  %more = icmp slt i64 %j, %count
  br i1 %more, label %one, label %out
one:
  %k = add i64 %first, %j
  %k2 = shl i64 %k, 1
  %a.at = getelementptr i64, ptr %moves, i64 %k2
  %b.at = getelementptr i64, ptr %a.at, i64 1
  %a = load i64, ptr %a.at
  %b = load i64, ptr %b.at
  %a.word = getelementptr i64, ptr %bases, i64 %a
  %b.word = getelementptr i64, ptr %bases, i64 %b
  %a.old = load i64, ptr %a.word
  %b.old = load i64, ptr %b.word
  store i64 %b.old, ptr %a.word
  store i64 %a.old, ptr %b.word
  %j1 = add i64 %j, 1
  br label %head
out:
  ret void
}

; Runs rows; false if a call of Python failed.
define internal i1 @rows(ptr %call, i64 %from, i64 %to) noinline {
entry:
  {LOAD:rows:ROWS:ptr}
  {LOAD:args:ARGS:ptr}
  {LOAD:moves:MOVES:ptr}
  {LOAD:bases:BASES:ptr}
  {LOAD:scratch:SCRATCH:ptr}
  {LOAD:cell:CELL:ptr}
  {LOAD:profile:PROFILE:ptr}
  br label %head
head:
  %q = phi i64 [%from, %entry], [%q1, %next], [%after, %skip]
  %more = icmp slt i64 %q, %to
  br i1 %more, label %row, label %out
out:
  ret i1 true
failed:
  ret i1 false
row:
  %q1 = add i64 %q, 1
  %at = mul i64 %q, 64
  %p = getelementptr i8, ptr %rows, i64 %at
  %first.at = getelementptr i64, ptr %p, i64 1
  %count.at = getelementptr i64, ptr %p, i64 2
  %tiles.at = getelementptr i64, ptr %p, i64 3
  %chunk.at = getelementptr i64, ptr %p, i64 4
  %kind.at = getelementptr i64, ptr %p, i64 5
  %body.at = getelementptr i64, ptr %p, i64 6
  %extra.at = getelementptr i64, ptr %p, i64 7
  %kernel = load ptr, ptr %p
  %first = load i64, ptr %first.at
  %count = load i64, ptr %count.at
  %tiles = load i64, ptr %tiles.at
  %chunk = load i64, ptr %chunk.at
  %kind = load i64, ptr %kind.at
  %body = load i64, ptr %body.at
  %extra = load i64, ptr %extra.at
  %after = add i64 %q1, %body
  switch i64 %kind, label %next [
    i64 {KERNEL}, label %kernel.row
    i64 {LOOP}, label %loop.row
    i64 {BASES}, label %bases.row
    i64 {SWITCH}, label %switch.row
    i64 {WHILE}, label %while.row
    i64 {SWAP}, label %swap.row
    i64 {COPY}, label %copy.row
    i64 {PYTHON}, label %python.row
  ]
next:
  br label %head
skip:
  br label %head

kernel.row:
  %some = icmp sgt i64 %tiles, 0
  br i1 %some, label %kernel.collect, label %next
kernel.collect:
  call void @collect(ptr %args, ptr %bases, i64 %first, i64 %count, ptr %scratch)
  %timed = icmp ne ptr %profile, null
  br i1 %timed, label %kernel.timed, label %kernel.plain
kernel.plain:
  call void @launch(ptr %cell, ptr %kernel, ptr %scratch, i64 %tiles, i64 %chunk)
  br label %next
kernel.timed:
  %start = call i64 @nanoseconds()
  call void @launch(ptr %cell, ptr %kernel, ptr %scratch, i64 %tiles, i64 %chunk)
  %end = call i64 @nanoseconds()
  %took = sub i64 %end, %start
  %spent.at = getelementptr i64, ptr %profile, i64 %q
  %spent = load i64, ptr %spent.at
  %spent1 = add i64 %spent, %took
  store i64 %spent1, ptr %spent.at
  br label %next

loop.row:
  %round = phi i64 [0, %row], [%round1, %loop.next]
  %again = icmp slt i64 %round, %tiles
  br i1 %again, label %loop.round, label %loop.end
loop.round:
  %loop.ran = call i1 @rows(ptr %call, i64 %q1, i64 %after)
  br i1 %loop.ran, label %loop.next, label %failed
loop.next:
  call void @move(ptr %moves, ptr %bases, i64 %first, i64 %count, i64 1)
  %round1 = add i64 %round, 1
  br label %loop.row
loop.end:
  %back = sub i64 0, %tiles
  call void @move(ptr %moves, ptr %bases, i64 %first, i64 %count, i64 %back)
  br label %skip

bases.row:
  %set = getelementptr i64, ptr %bases, i64 %extra
  call void @collect(ptr %args, ptr %bases, i64 %first, i64 %count, ptr %set)
  br label %next

switch.row:
  %index.address = call i64 @argument(ptr %args, ptr %bases, i64 %first)
  %index.at = inttoptr i64 %index.address to ptr
  switch i64 %tiles, label %switch.byte [i64 4, label %switch.four i64 8, label %switch.eight]
switch.byte:
  %byte = load i8, ptr %index.at
  %byte.index = zext i8 %byte to i64
  br label %switch.choose
switch.four:
  %four = load i32, ptr %index.at, align 4
  %four.index = sext i32 %four to i64
  br label %switch.choose
switch.eight:
  %eight.index = load i64, ptr %index.at, align 8
  br label %switch.choose
switch.choose:
  %index = phi i64 [%byte.index, %switch.byte], [%four.index, %switch.four], [%eight.index, %switch.eight]
  %last = sub i64 %count, 1
  %high = icmp sgt i64 %index, %last
  %index.below = select i1 %high, i64 %last, i64 %index
  %low = icmp slt i64 %index.below, 0
  %chosen = select i1 %low, i64 0, i64 %index.below
  br label %switch.walk
switch.walk:
  %branch = phi i64 [%q1, %switch.choose], [%branch.next, %switch.step]
  %number = phi i64 [0, %switch.choose], [%number1, %switch.step]
  %branch.row = mul i64 %branch, 64
  %branch.p = getelementptr i8, ptr %rows, i64 %branch.row
  %branch.body.at = getelementptr i64, ptr %branch.p, i64 6
  %branch.body = load i64, ptr %branch.body.at
  %branch.first = add i64 %branch, 1
  %branch.next = add i64 %branch.first, %branch.body
  %here = icmp eq i64 %number, %chosen
  br i1 %here, label %switch.run, label %switch.step
switch.step:
  %number1 = add i64 %number, 1
  br label %switch.walk
switch.run:
  %switch.ran = call i1 @rows(ptr %call, i64 %branch.first, i64 %branch.next)
  br i1 %switch.ran, label %skip, label %failed

while.row:
  %middle = add i64 %q1, %extra
  %test.ran = call i1 @rows(ptr %call, i64 %q1, i64 %middle)
  br i1 %test.ran, label %while.test, label %failed
while.test:
  %true.address = call i64 @argument(ptr %args, ptr %bases, i64 %first)
  %true.at = inttoptr i64 %true.address to ptr
  %true = load i8, ptr %true.at
  %holds = icmp ne i8 %true, 0
  br i1 %holds, label %while.body, label %skip
while.body:
  %while.ran = call i1 @rows(ptr %call, i64 %middle, i64 %after)
  br i1 %while.ran, label %while.row, label %failed

swap.row:
  call void @swap(ptr %moves, ptr %bases, i64 %first, i64 %count)
  br label %next

copy.row:
  %source.argument = add i64 %first, 1
  %target.address = call i64 @argument(ptr %args, ptr %bases, i64 %first)
  %source.address = call i64 @argument(ptr %args, ptr %bases, i64 %source.argument)
  %target = inttoptr i64 %target.address to ptr
  %source = inttoptr i64 %source.address to ptr
  call void @llvm.memmove.p0.p0.i64(ptr %target, ptr %source, i64 %tiles, i1 false)
  br label %next

python.row:
  call void @collect(ptr %args, ptr %bases, i64 %first, i64 %count, ptr %scratch)
  %python.timed = icmp ne ptr %profile, null
  br i1 %python.timed, label %python.clock, label %python.plain
python.plain:
  %python.status = call i64 %kernel(ptr %scratch)
  %python.ran = icmp eq i64 %python.status, 0
  br i1 %python.ran, label %next, label %failed
python.clock:
  %python.start = call i64 @nanoseconds()
  %timed.status = call i64 %kernel(ptr %scratch)
  %python.end = call i64 @nanoseconds()
  %python.took = sub i64 %python.end, %python.start
  %python.spent.at = getelementptr i64, ptr %profile, i64 %q
  %python.spent = load i64, ptr %python.spent.at
  %python.spent1 = add i64 %python.spent, %python.took
  store i64 %python.spent1, ptr %python.spent.at
  %timed.ran = icmp eq i64 %timed.status, 0
  br i1 %timed.ran, label %next, label %failed
}

; Stores the addresses of the arrays in a Python tuple as bases; false if one lacks a flag of `wanted` or is
; of a subclass.
define internal i1 @fetch(ptr %call, ptr %tuple, i64 %count, i64 %base, i32 %wanted) {
entry:
  {LOAD:bases:BASES:ptr}
  {LOAD:items:ITEMS:i64}
  {LOAD:size:SIZE:i64}
  {LOAD:type:TYPE:i64}
  {LOAD:data:DATA:i64}
  {LOAD:flags:FLAGS:i64}
  {LOAD:array:ARRAY:i64}
  %size.p = getelementptr i8, ptr %tuple, i64 %size
  %length = load i64, ptr %size.p
  %right = icmp eq i64 %length, %count
  br i1 %right, label %head, label %bad
head:
  %i = phi i64 [0, %entry], [%i1, %good]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %out
body:
  %at = shl i64 %i, 3
  %at1 = add i64 %at, %items
  %item.at = getelementptr i8, ptr %tuple, i64 %at1
  %item = load ptr, ptr %item.at
  %type.p = getelementptr i8, ptr %item, i64 %type
  %class = load i64, ptr %type.p
  %plain = icmp eq i64 %class, %array
  br i1 %plain, label %known, label %bad
known:
  %flags.p = getelementptr i8, ptr %item, i64 %flags
  %have = load i32, ptr %flags.p
  %common = and i32 %have, %wanted
  %fit = icmp eq i32 %common, %wanted
  br i1 %fit, label %good, label %bad
good:
  %data.p = getelementptr i8, ptr %item, i64 %data
  %address = load i64, ptr %data.p
  %number = add i64 %base, %i
  %word = getelementptr i64, ptr %bases, i64 %number
  store i64 %address, ptr %word
  %i1 = add i64 %i, 1
  br label %head
out:
  ret i1 true
bad:
  ret i1 false
}

; Runs a call whose bases hold all addresses; returns a status.
define internal i64 @drive(ptr %call) {
entry:
  {LOAD:count:COUNT:i64}
  %ran = call i1 @rows(ptr %call, i64 0, i64 %count)
  %status = select i1 %ran, i64 {RAN}, i64 {FAILED}
  ret i64 %status
}

; The same as a builtin function of Python (METH_FASTCALL), of the array that is a call's memory and the tuples of
; inputs and outputs: returns a status. Other threads may run Python meanwhile.
define internal ptr @enter(ptr %self, ptr %arguments, i64 %given) {
entry:
  %memory = load ptr, ptr %arguments
  %inputs.at = getelementptr ptr, ptr %arguments, i64 1
  %inputs = load ptr, ptr %inputs.at
  %outputs.at = getelementptr ptr, ptr %arguments, i64 2
  %outputs = load ptr, ptr %outputs.at
  %call.at = getelementptr i8, ptr %memory, i64 {MEMORY}
  %call = load ptr, ptr %call.at
  {LOAD:inputs.count:INPUTS:i64}
  {LOAD:outputs.count:OUTPUTS:i64}
  {LOAD:first.output:FIRST_OUTPUT:i64}
  {LOAD:save:SAVE:ptr}
  {LOAD:restore:RESTORE:ptr}
  {LOAD:number:NUMBER:ptr}
  %ok1 = call i1 @fetch(ptr %call, ptr %inputs, i64 %inputs.count, i64 1, i32 {READABLE})
  br i1 %ok1, label %fetch.outputs, label %end
fetch.outputs:
  %ok2 = call i1 @fetch(ptr %call, ptr %outputs, i64 %outputs.count, i64 %first.output, i32 {WRITABLE})
  br i1 %ok2, label %run, label %end
run:
  %thread = call ptr %save()
  %ended = call i64 @drive(ptr %call)
  call void %restore(ptr %thread)
  br label %end
end:
  %status = phi i64 [{BAD_INPUTS}, %entry], [{BAD_OUTPUTS}, %fetch.outputs], [%ended, %run]
  %result = call ptr %number(i64 %status)
  ret ptr %result
}

; The one symbol of the module: it hands out the addresses of the others.
define void @k{KEY}(ptr %out, i64 %lo, i64 %hi) {
  store ptr @drive, ptr %out
  %out1 = getelementptr ptr, ptr %out, i64 1
  store ptr @worker, ptr %out1
  %out2 = getelementptr ptr, ptr %out, i64 2
  store ptr @prepare, ptr %out2
  %out3 = getelementptr ptr, ptr %out, i64 3
  store ptr @enter, ptr %out3
  ret void
}
"""


_CLOCK = f"""
declare i32 @clock_gettime(i32, ptr)
define internal i64 @nanoseconds() {{
  %time = alloca [2 x i64]
  %r = call i32 @clock_gettime(i32 {getattr(time, "CLOCK_MONOTONIC", 0)}, ptr %time)
  %fine.at = getelementptr i64, ptr %time, i64 1
  %seconds = load i64, ptr %time
  %fine = load i64, ptr %fine.at
  %coarse = mul i64 %seconds, 1000000000
  %sum = add i64 %coarse, %fine
  ret i64 %sum
}}
"""
_NO_CLOCK = """
define internal i64 @nanoseconds() {
  ret i64 0
}
"""
_LOAD = re.compile(r"\{LOAD:([a-z.]+):([A-Z_]+):(ptr|i64)\}")


def _load(match: re.Match[str]) -> str:
    name, word, kind = match.groups()
    at, number = f"%{name}.word", getattr(Head, word)
    return f"{at} = getelementptr i64, ptr %call, i64 {number}\n  %{name} = load {kind}, ptr {at}"


def text(wait: str | None = None) -> tuple[str, str]:
    """The key and the LLVM text of the driver and the pool (`wait` as in `pool.text`)."""
    named = {
        "KERNEL": KERNEL, "LOOP": LOOP, "BASES": BASES, "SWITCH": SWITCH, "WHILE": WHILE, "SWAP": SWAP,
        "COPY": COPY, "PYTHON": PYTHON, "FAILED": Status.FAILED,
        "RAN": Status.RAN, "BAD_INPUTS": Status.INPUTS, "BAD_OUTPUTS": Status.OUTPUTS,
        "MEMORY": LAYOUT.data, "READABLE": CONTIGUOUS | ALIGNED, "WRITABLE": CONTIGUOUS | ALIGNED | WRITEABLE,
    }  # fmt: skip
    clock = _CLOCK if hasattr(time, "clock_gettime") else _NO_CLOCK
    body = AS_WRITTEN + _LOAD.sub(_load, _TEXT) + clock + pool.text(wait)
    for name, value in named.items():
        body = body.replace("{" + name + "}", str(value))
    key = "driver_" + hashlib.sha256(body.encode()).hexdigest()[:24]
    return key, body.replace("{KEY}", key)
