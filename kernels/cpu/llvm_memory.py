"""Loads and stores of the loop IR in LLVM instructions: single elements, runs of them, and scattered ones."""

from __future__ import annotations

from fnn.kernels.cpu import machine
from fnn.kernels.cpu.buffers import PAGE
from fnn.kernels.cpu.llvm_operations import Operations
from fnn.kernels.cpu.llvm_text import MEMORY, MEMORY_BITS, STREAMED, register, vector_of
from fnn.kernels.loops import TURN, computed


class Memory(Operations):
    """Operations with memory. `dtype` is the buffer's; values are what is computed with (see `decode`)."""

    def _kinds(self, dtype: str, lanes: int) -> tuple[str, str, str, int]:
        """The types of a vector and of its mask, what intrinsics call it, and the alignment."""
        bits = MEMORY_BITS[dtype]
        name = f"v{lanes}{'f' if dtype in ('f4', 'f8') else 'i'}{bits}"
        return vector_of(MEMORY[dtype], lanes), vector_of("i1", lanes), name, bits // 8

    def reverse(self, kind: str, lanes: int, vector: str) -> str:
        """The lanes of a vector in reverse order; kind: the type of one."""
        vectors, order = vector_of(kind, lanes), ", ".join(f"i32 {k}" for k in reversed(range(lanes)))
        return self.let(f"shufflevector {vectors} {vector}, {vectors} poison, <{lanes} x i32> <{order}>")

    def turned(self, dtype: str, rows: list[str]) -> list[str]:
        """The columns of TURN vectors of TURN lanes. Of pairs of rows every other element, then every other
        pair, then every other four: the orders in which x86 has instructions, and LLVM knows them soonest."""
        kind = register(dtype, TURN)

        def pick(a: str, b: str, lanes: tuple[int, ...], more: int) -> str:
            order = ", ".join(f"i32 {k + more}" for k in lanes)
            return self.let(f"shufflevector {kind} {a}, {kind} {b}, <{TURN} x i32> <{order}>")

        ones, twos, fours = (0, 8, 1, 9, 4, 12, 5, 13), (0, 1, 8, 9, 4, 5, 12, 13), (0, 1, 2, 3, 8, 9, 10, 11)
        a = [pick(rows[i], rows[i + 1], ones, more) for i in (0, 2, 4, 6) for more in (0, 2)]
        b = [pick(a[i], a[i + 2], twos, more) for i in (0, 1, 4, 5) for more in (0, 2)]
        return [pick(b[i], b[i + 4], fours, more) for more in (0, 4) for i in range(4)]

    def turn(self, source: str, at: str, step: str, target: str, to: str, target_step: str) -> None:
        """A block's rows, `step` elements apart from an address on, as vectors; stored as its columns."""
        rows = []
        for j in range(TURN):
            rows.append(self.load_run(source, TURN, at, None, False))
            if j < TURN - 1:
                at = self.let(f"getelementptr {MEMORY[source]}, ptr {at}, i64 {step}")
        for j, column in enumerate(self.turned(computed(target), rows)):
            self.store_run(target, TURN, column, to, None, False)
            if j < TURN - 1:
                to = self.let(f"getelementptr {MEMORY[target]}, ptr {to}, i64 {target_step}")

    def prefetch(self, address: str, writes: bool) -> None:
        """Bring a line of memory to all caches."""
        arguments = f"ptr {address}, i32 {int(writes)}, i32 3, i32 1"
        self.call_void("llvm.prefetch.p0", arguments, "ptr, i32, i32, i32")

    def load_one(self, dtype: str, address: str) -> str:
        """The element at an address."""
        raw = self.let(f"load {MEMORY[dtype]}, ptr {address}, align {MEMORY_BITS[dtype] // 8}")
        return self.decode(dtype, 0, raw)

    def store_one(self, dtype: str, value: str, address: str) -> None:
        """Write an element."""
        raw = self.encode(dtype, 0, value)
        self.do(f"store {MEMORY[dtype]} {raw}, ptr {address}, align {MEMORY_BITS[dtype] // 8}")

    def load_run(self, dtype: str, lanes: int, address: str, mask: str | None, backward: bool) -> str:
        """Elements side by side from an address on; backward: the last first. mask: the lanes to read."""
        kind, flags, name, align = self._kinds(dtype, lanes)
        if mask is None:
            raw = self.let(f"load {kind}, ptr {address}, align {align}")
        else:
            mask = self.reverse("i1", lanes, mask) if backward else mask
            arguments = f"ptr {address}, i32 {align}, {flags} {mask}, {kind} zeroinitializer"
            raw = self.call(f"llvm.masked.load.{name}.p0", kind, arguments, f"ptr, i32, {flags}, {kind}")
        if backward:
            raw = self.reverse(MEMORY[dtype], lanes, raw)
        return self.decode(dtype, lanes, raw)

    def store_run(
        self, dtype: str, lanes: int, value: str, address: str, mask: str | None, backward: bool
    ) -> None:
        """Write elements side by side."""
        kind, flags, name, align = self._kinds(dtype, lanes)
        raw = self.encode(dtype, lanes, value)
        if backward:
            raw = self.reverse(MEMORY[dtype], lanes, raw)
        if mask is None:
            self.do(f"store {kind} {raw}, ptr {address}, align {align}")
            return
        mask = self.reverse("i1", lanes, mask) if backward else mask
        raw = self.kept_narrow(dtype, lanes, raw)
        arguments = f"{kind} {raw}, ptr {address}, i32 {align}, {flags} {mask}"
        self.call_void(f"llvm.masked.store.{name}.p0", arguments, f"{kind}, ptr, i32, {flags}")

    def may_stream(self, output: str, inputs: list[str]) -> str:
        """Whether an output is written past the caches beside these inputs. Not where it lies a little behind one of
        them in a page: loads would wait for such stores, every iteration for the one before (see `buffers.PAGE`).
        Nor in the place of one: its lines are in the caches already."""
        place, flag = self.let(f"ptrtoint ptr {output} to i64"), "true"
        for other in inputs:
            behind = self.let(f"sub i64 {place}, {self.let(f'ptrtoint ptr {other} to i64')}")
            behind = self.let(f"and i64 {self.let(f'sub i64 {behind}, 1')}, {PAGE - 1}")
            flag = self.let(f"and i1 {flag}, {self.let(f'icmp uge i64 {behind}, {PAGE // 4}')}")
            flag = self.let(f"and i1 {flag}, {self.let(f'icmp ne ptr {output}, {other}')}")
        return flag

    def stream_run(self, dtype: str, lanes: int, value: str, address: str, may: str) -> None:
        """Write elements side by side past the caches, where `may` (see `may_stream`) and the address allow it."""
        kind = vector_of(MEMORY[dtype], lanes)
        raw, size = self.encode(dtype, lanes, value), MEMORY_BITS[dtype] // 8 * lanes
        align = min(size, 64)
        number, place = self.fresh(), self.let(f"ptrtoint ptr {address} to i64")
        aligned = self.let(f"icmp eq i64 {self.let(f'and i64 {place}, {align - 1}')}, 0")
        aligned = self.let(f"and i1 {aligned}, {may}")
        self.do(f"br i1 {aligned}, label %past{number}, label %plain{number}")
        self.label(f"past{number}")
        self.do(f"store {kind} {raw}, ptr {address}, align {align}{STREAMED}")
        self.do(f"br label %stored{number}")
        self.label(f"plain{number}")
        self.do(f"store {kind} {raw}, ptr {address}, align {MEMORY_BITS[dtype] // 8}")
        self.do(f"br label %stored{number}")
        self.label(f"stored{number}")

    def end_streams(self) -> None:
        """What was written past the caches is in order with all that is written later. x86 has an instruction of
        its own for that, which LLVM's fences are not."""
        if machine.triple().startswith(("x86_64", "i386", "i686")):
            self.call_void("llvm.x86.sse.sfence", "", "")
        else:
            self.do("fence seq_cst")

    def _spaced(self, lanes: int, step: int, mask: str | None) -> str:
        """The mask of every step-th lane of a vector `step` times as long, of those that `mask` has."""
        if mask is None:
            return "<" + ", ".join(f"i1 {'false' if k % step else 'true'}" for k in range(lanes * step)) + ">"
        flags = vector_of("i1", lanes)
        order = ", ".join(f"i32 {lanes if k % step else k // step}" for k in range(lanes * step))
        order = f"<{lanes * step} x i32> <{order}>"
        return self.let(f"shufflevector {flags} {mask}, {flags} zeroinitializer, {order}")

    def load_spaced(self, dtype: str, lanes: int, address: str, step: int, mask: str | None) -> str:
        """Every step-th element from an address on: those between are in the same vectors, but not read."""
        kind, flags, name, align = self._kinds(dtype, lanes * step)
        arguments = (
            f"ptr {address}, i32 {align}, {flags} {self._spaced(lanes, step, mask)}, {kind} zeroinitializer"
        )
        raw = self.call(f"llvm.masked.load.{name}.p0", kind, arguments, f"ptr, i32, {flags}, {kind}")
        order = ", ".join(f"i32 {k * step}" for k in range(lanes))
        raw = self.let(f"shufflevector {kind} {raw}, {kind} poison, <{lanes} x i32> <{order}>")
        return self.decode(dtype, lanes, raw)

    def store_spaced(
        self, dtype: str, lanes: int, value: str, address: str, step: int, mask: str | None
    ) -> None:
        """Write every step-th element from an address on."""
        kind, flags, name, align = self._kinds(dtype, lanes * step)
        narrow, raw = vector_of(MEMORY[dtype], lanes), self.encode(dtype, lanes, value)
        order = ", ".join(f"i32 {k // step}" for k in range(lanes * step))
        raw = self.let(f"shufflevector {narrow} {raw}, {narrow} poison, <{lanes * step} x i32> <{order}>")
        raw = self.kept_narrow(dtype, lanes * step, raw)
        arguments = f"{kind} {raw}, ptr {address}, i32 {align}, {flags} {self._spaced(lanes, step, mask)}"
        self.call_void(f"llvm.masked.store.{name}.p0", arguments, f"{kind}, ptr, i32, {flags}")

    def kept_narrow(self, dtype: str, lanes: int, raw: str) -> str:
        """A vector for a masked store, so that the store itself narrows nothing. Where LLVM 22 finds that the mask of
        a store of what was narrowed holds one lane, it writes all bits that lane had before, over its neighbours. So
        the vector is combined with zeros that LLVM does not know to be zeros: of an address of words, the lowest
        bits."""
        kind = MEMORY[dtype]
        if kind not in ("i8", "i16", "i32"):
            return raw
        vectors, name = vector_of(kind, lanes), f"%zeros_{kind}_{lanes}"
        lines = [
            f"  {name}_w = ptrtoint ptr %table to i64",
            f"  {name}_b = and i64 {name}_w, 1",
            f"  {name}_n = trunc i64 {name}_b to {kind}",
            f"  {name}_v = insertelement {vectors} poison, {kind} {name}_n, i32 0",
            f"  {name} = shufflevector {vectors} {name}_v, {vectors} poison, <{lanes} x i32> zeroinitializer",
        ]
        if lines[0] not in self.entry:
            self.entry += lines
        return self.let(f"or {vectors} {raw}, {name}")

    def gather(self, dtype: str, lanes: int, pointers: str, mask: str | None) -> str:
        """The element at each lane's pointer."""
        kind, flags, name, align = self._kinds(dtype, lanes)
        places, mask = vector_of("ptr", lanes), mask or "splat (i1 true)"
        arguments = f"{places} {pointers}, i32 {align}, {flags} {mask}, {kind} zeroinitializer"
        types = f"{places}, i32, {flags}, {kind}"
        raw = self.call(f"llvm.masked.gather.{name}.v{lanes}p0", kind, arguments, types)
        return self.decode(dtype, lanes, raw)

    def scatter(self, dtype: str, lanes: int, value: str, pointers: str, mask: str | None) -> None:
        """Write each lane's element. Lanes that meet write in their order: the last one stays."""
        kind, flags, name, align = self._kinds(dtype, lanes)
        places, raw = vector_of("ptr", lanes), self.encode(dtype, lanes, value)
        arguments = f"{kind} {raw}, {places} {pointers}, i32 {align}, {flags} {mask or 'splat (i1 true)'}"
        self.call_void(f"llvm.masked.scatter.{name}.v{lanes}p0", arguments, f"{kind}, {places}, i32, {flags}")
