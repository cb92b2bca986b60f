"""Loop programs as LLVM text with explicit vectors: `void name(ptr table, i64 lo, i64 hi)`.

table holds the addresses of the arguments, then, if the program has sizes, the address of their int64 words.

Uniform values are scalars and varying ones vectors; an integer that grows by a constant from lane to lane
stays the scalar of lane 0 until something needs the vector. A lanes loop becomes a loop over whole vectors
and one masked remainder. Variables live on the stack; LLVM makes registers of them. Accumulators that lanes
loops update keep a vector of parts beside the scalar; a loop that does nothing but accumulate is walked
UNROLL vectors at a time, each with its own parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fnn.kernels.cpu.llvm_functions import Functions, call_expansion, rarely, static_count
from fnn.kernels.cpu.llvm_memory import Memory
from fnn.kernels.cpu.llvm_operations import IDENTITY
from fnn.kernels.cpu.llvm_text import MEMORY, MEMORY_BITS, constant, counting, leading, register, vector_of
from fnn.kernels.expansions import expansion
from fnn.kernels.loops import COMPARISONS, MATHEMATICS, Block, Buffer, Program, Statement, Value, Variable

UNROLL = 4
# Values in a body that is worth unrolling; statements under a varying condition that need no branch.
SHORT = 16
# Operations in a loop body that is printed once, masked throughout, instead of twice: half to compile, a
# tenth slower.
LONG = 400
SPACED = 4  # elements that lie no further apart than this are read and written as whole vectors


def emit(program: Program, name: str, lanes_bytes: int) -> str:
    """The module of one kernel, for vectors of `lanes_bytes` bytes (64, 32 or 16)."""
    return Printer(program, lanes_bytes // 4, Functions(program)).emit(name)


class Printer:
    """Writes one function of a module, as a rule the kernel itself."""

    def __init__(self, program: Program, machine_lanes: int, functions: Functions):
        self.program, self.machine_lanes, self.functions = program, machine_lanes, functions
        self.text = Memory(functions.declared)
        self.lanes = 0  # of the lanes loop in progress
        self.mask: str | None = None  # which lanes may touch memory
        self.condition: str | None = None  # which lanes the surrounding `when`s leave on
        self.part = 0  # which of the vectors in flight
        # A value is a scalar (lane 0 if it varies by a known step), a vector, or both; entries end with their
        # block.
        self.scalars: dict[Value, str] = {}
        self.vectors: dict[Value, str] = {}
        self.made: list[tuple[dict[Value, str], Value]] = []
        self.buffers: dict[Buffer, str] = {}
        self.streams: dict[Buffer, str] = {}  # whether an output that no cache holds is written past them
        self.cells: dict[tuple[Variable, int, int], str] = {}  # (variable, lanes, part); lanes 0: the scalar
        self.parts: dict[Variable, list[tuple[int, int]]] = {}

    def emit(self, name: str) -> str:
        text, program = self.text, self.program
        for k, buffer in enumerate(program.arguments):
            slot = text.let(f"getelementptr ptr, ptr %table, i64 {k}")
            self.buffers[buffer] = text.let(f"load ptr, ptr {slot}, align 8")
        if program.sizes:
            slot = text.let(f"getelementptr ptr, ptr %table, i64 {len(program.arguments)}")
            words = text.let(f"load ptr, ptr {slot}, align 8")
            for k in range(len(program.sizes)):
                word = text.let(f"getelementptr i64, ptr {words}, i64 {k}")
                text.do(f"%s{k} = load i64, ptr {word}, align 8")
        inputs = [name for buffer, name in self.buffers.items() if not buffer.output]
        streamed = [buffer for buffer in program.arguments if buffer.streamed]
        self.streams = {buffer: text.may_stream(self.buffers[buffer], inputs) for buffer in streamed}
        self.find_parts(program.body, 0)
        self.walk(program.body)
        if self.streams:
            text.end_streams()
        text.do("ret void")
        head = f"define void @{name}(ptr noalias readonly %table, i64 %lo, i64 %hi) nounwind"
        self.functions.texts.append(text.function(head))
        return self.functions.text()

    def another(self, lanes: int) -> Printer:
        """For another function of the module, of so many lanes."""
        printer = Printer(self.program, self.machine_lanes, self.functions)
        printer.lanes = lanes
        return printer

    # -- values
    def scalar(self, v: Value) -> str:
        """A uniform value, or lane 0 of one that has a step."""
        if v.op == "const":
            return constant(v.dtype, 0, v.payload)
        if v.op == "size":
            return f"%s{v.payload}"
        return self.scalars[v]

    def vector(self, v: Value) -> str:
        """Any value as a vector; in a function without lanes as it is."""
        if not self.lanes:
            return self.scalar(v)
        if v.op == "const":
            return constant(v.dtype, self.lanes, v.payload)
        known = self.vectors.get(v)
        if known is None:
            known = self.text.splat(v.dtype, self.lanes, self.scalar(v))
            if v.varying:
                assert v.step is not None
                kind = register(v.dtype, self.lanes)
                known = self.text.let(f"add {kind} {known}, {counting(v.dtype, self.lanes, v.step)}")
            self.put(self.vectors, v, known)
        return known

    def either(self, v: Value) -> str:
        """A value as what it is."""
        return self.vector(v) if self.is_vector(v) else self.scalar(v)

    def put(self, names: dict[Value, str], v: Value, name: str) -> None:
        names[v] = name
        self.made.append((names, v))

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Names given inside end here: their instructions need not have run."""
        before = len(self.made)
        yield
        for names, v in self.made[before:]:
            names.pop(v, None)
        del self.made[before:]

    def is_vector(self, v: Value) -> bool:
        return v.varying and v.step is None and self.lanes > 0

    # -- blocks
    def walk(self, block: Block) -> None:
        for item in block.items:
            if isinstance(item, Value):
                self.value(item)
            else:
                getattr(self, "do_" + item.kind)(item)

    def value(self, v: Value) -> None:
        lanes = self.lanes if self.is_vector(v) else 0
        op, text = v.op, self.text
        if op in MATHEMATICS:
            self.expand(v)
            return
        if op == "load":
            result = self.load(v.payload, v.args[0], lanes)
        elif op == "get":
            result = self.get(v.payload, lanes)
        elif op == "select":
            condition = v.args[0]
            uniform = not self.is_vector(condition)
            chosen = self.scalar(condition) if uniform else self.vector(condition)
            yes, no = [self.vector(a) if lanes else self.scalar(a) for a in v.args[1:]]
            result = text.select(v.dtype, lanes, chosen, yes, no, uniform)
        else:
            args = [self.vector(a) if lanes else self.scalar(a) for a in v.args]
            if op == "cast":
                result = text.cast(v.args[0].dtype, v.dtype, lanes, args[0])
            elif op == "bitcast":
                result = text.bitcast(v.payload[0], v.payload[1], lanes, args[0])
            elif op == "round":
                result = text.decode(v.payload, lanes, text.encode(v.payload, lanes, args[0]))
            else:
                dtype = v.args[0].dtype if op in COMPARISONS else v.dtype
                result = text.arithmetic(op, dtype, lanes, args, "" if v.exact else "contract ")
        self.put(self.vectors if lanes else self.scalars, v, result)

    def expand(self, v: Value) -> None:
        """Print the arithmetic that a function of mathematics consists of."""
        parts = expansion(v)
        names = self.vectors if self.is_vector(v) else self.scalars
        if parts.block in self.functions.called:
            self.put(names, v, call_expansion(self, v, parts))
            return
        with self.scope():
            for operand, given in zip(parts.operands, v.args, strict=True):
                if self.is_vector(operand):
                    self.put(self.vectors, operand, self.vector(given))
                elif operand.op != "const":
                    self.put(self.scalars, operand, self.scalar(given))
            self.walk(parts.block)
            result = self.vector(parts.result) if self.is_vector(v) else self.scalar(parts.result)
        self.put(names, v, result)

    # -- memory
    def address(self, buffer: Buffer, index: str) -> str:
        base, kind = self.buffers[buffer], MEMORY[buffer.dtype]
        return base if index == "0" else self.text.let(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def pointers(self, buffer: Buffer, index: Value) -> str:
        """Each lane's address."""
        kind = MEMORY[buffer.dtype]
        if index.step is not None:
            base = self.address(buffer, self.scalar(index))
            steps = counting("i8", self.lanes, index.step)
            return self.text.let(f"getelementptr {kind}, ptr {base}, {register('i8', self.lanes)} {steps}")
        places = f"{register('i8', self.lanes)} {self.vector(index)}"
        return self.text.let(f"getelementptr {kind}, ptr {self.buffers[buffer]}, {places}")

    def run_address(self, buffer: Buffer, index: Value) -> str:
        """Of a run of elements; for step -1, of the lowest, which is the last lane's."""
        first = self.scalar(index)
        if index.step == -1:
            first = self.text.let(f"sub i64 {first}, {self.lanes - 1}")
        return self.address(buffer, first)

    def load(self, buffer: Buffer, index: Value, lanes: int) -> str:
        if not lanes:
            return self.text.load_one(buffer.dtype, self.address(buffer, self.scalar(index)))
        if index.step in (1, -1):
            address = self.run_address(buffer, index)
            return self.text.load_run(buffer.dtype, lanes, address, self.mask, index.step == -1)
        if spaced(buffer, index):
            address = self.address(buffer, self.scalar(index))
            return self.text.load_spaced(buffer.dtype, lanes, address, index.step or 0, self.mask)
        return self.text.gather(buffer.dtype, lanes, self.pointers(buffer, index), self.mask)

    def do_store(self, statement: Statement) -> None:
        buffer, index, value = statement.args
        dtype, lanes = buffer.dtype, self.lanes
        if not index.varying and not value.varying:
            self.text.store_one(dtype, self.scalar(value), self.address(buffer, self.scalar(index)))
        elif buffer in self.streams and index.varying and index.step == 1 and self.mask is None:
            vector, address = self.vector(value), self.run_address(buffer, index)
            self.text.stream_run(dtype, lanes, vector, address, self.streams[buffer])
        elif index.varying and index.step in (1, -1):
            vector, address = self.vector(value), self.run_address(buffer, index)
            self.text.store_run(dtype, lanes, vector, address, self.mask, index.step == -1)
        elif spaced(buffer, index):
            vector, address = self.vector(value), self.address(buffer, self.scalar(index))
            self.text.store_spaced(dtype, lanes, vector, address, index.step or 0, self.mask)
        else:
            self.text.scatter(dtype, lanes, self.vector(value), self.pointers(buffer, index), self.mask)

    def do_turn(self, statement: Statement) -> None:
        target, to, step, source, at, other = statement.args
        here, there = self.address(source, self.scalar(at)), self.address(target, self.scalar(to))
        self.text.turn(source.dtype, here, self.scalar(other), target.dtype, there, self.scalar(step))

    def do_prefetch(self, statement: Statement) -> None:
        buffer, index = statement.args
        self.text.prefetch(self.address(buffer, self.scalar(index)), buffer.output)

    def do_local(self, statement: Statement) -> None:
        (buffer,) = statement.args
        number = self.text.fresh()
        what = f"[{buffer.length} x {MEMORY[buffer.dtype]}], align 64"
        self.buffers[buffer] = self.text.reserve(f"array{number}", what)

    # -- state
    def find_parts(self, block: Block, lanes: int, unroll: int = 1) -> None:
        """Which vectors of parts each accumulator needs."""
        for item in block.items:
            if isinstance(item, Value):
                continue
            if item.kind == "accumulate" and lanes and not item.args[0].varying:
                parts = self.parts.setdefault(item.args[0], [])
                parts += [(lanes, u) for u in range(unroll) if (lanes, u) not in parts]
            for inner in item.blocks:
                if item.kind == "lanes":
                    self.find_parts(inner, self.machine_lanes * item.args[3], self.unrolled(item))
                else:
                    self.find_parts(inner, lanes, unroll)

    def cell(self, variable: Variable, lanes: int, part: int = 0) -> str:
        """Where a variable lives: as a scalar, a vector, or as one of the vectors of parts of an
        accumulator."""
        key = (variable, lanes, part)
        if key not in self.cells:
            number = self.text.fresh()
            self.cells[key] = self.text.reserve(f"m{number}", register(variable.dtype, lanes))
        return self.cells[key]

    def read(self, variable: Variable, lanes: int, part: int = 0) -> str:
        kind = register(variable.dtype, lanes)
        return self.text.let(f"load {kind}, ptr {self.cell(variable, lanes, part)}")

    def write(self, variable: Variable, lanes: int, value: str, part: int = 0) -> None:
        kind = register(variable.dtype, lanes)
        self.text.do(f"store {kind} {value}, ptr {self.cell(variable, lanes, part)}")

    def reset(self, variable: Variable, value: Value) -> None:
        if variable.varying:
            self.write(variable, self.lanes, self.vector(value))
            return
        self.write(variable, 0, self.scalar(value))
        for lanes, part in self.parts.get(variable, ()):
            nothing = IDENTITY[variable.combine or ""](variable.dtype)
            self.write(variable, lanes, constant(variable.dtype, lanes, nothing), part)

    def do_declare(self, statement: Statement) -> None:
        self.reset(*statement.args)

    def do_assign(self, statement: Statement) -> None:
        variable, value = statement.args
        if self.condition is None:
            self.reset(variable, value)
        elif variable.varying:
            old = self.read(variable, self.lanes)
            new = self.text.select(variable.dtype, self.lanes, self.condition, self.vector(value), old)
            self.write(variable, self.lanes, new)
        else:
            self.reset(variable, value)  # the branch of a varying `when` was taken: some lane is on

    def get(self, variable: Variable, lanes: int) -> str:
        if lanes:
            return self.read(variable, lanes)
        result = self.read(variable, 0)
        for width in dict.fromkeys(lanes for lanes, _ in self.parts.get(variable, ())):
            combine, dtype = variable.combine or "", variable.dtype
            parts = [self.read(variable, width, part) for w, part in self.parts[variable] if w == width]
            while len(parts) > 1:
                pairs = zip(parts[::2], parts[1::2], strict=True)
                parts = [self.text.arithmetic(combine, dtype, width, list(pair)) for pair in pairs]
            whole = self.text.reduce(combine, dtype, width, parts[0])
            result = self.text.arithmetic(combine, dtype, 0, [result, whole])
        return result

    def do_accumulate(self, statement: Statement) -> None:
        variable, value = statement.args
        combine, dtype = variable.combine, variable.dtype
        flags = "reassoc contract "
        if not self.lanes:
            new = self.text.arithmetic(combine, dtype, 0, [self.read(variable, 0), self.scalar(value)], flags)
            self.write(variable, 0, new)
            return
        mask, part = (self.condition, 0) if variable.varying else (self.mask, self.part)
        old = self.read(variable, self.lanes, part)
        new = self.text.arithmetic(combine, dtype, self.lanes, [old, self.vector(value)], flags)
        if mask is not None:
            new = self.text.select(dtype, self.lanes, mask, new, old)
        self.write(variable, self.lanes, new, part)

    # -- control
    def do_tiles(self, statement: Statement) -> None:
        with self.text.loop("%lo", "%hi", 1) as i, self.scope():
            self.put(self.scalars, statement.args[0], i)
            self.walk(statement.blocks[0])

    def do_loop(self, statement: Statement) -> None:
        index, lo, hi, step = statement.args
        runs = False
        if lo.op == hi.op == "const":
            runs = lo.payload < hi.payload if step > 0 else lo.payload > hi.payload
            if not runs:
                return
        with self.text.loop(self.scalar(lo), self.scalar(hi), step, runs) as i, self.scope():
            self.put(self.scalars, index, i)
            self.walk(statement.blocks[0])

    def do_while(self, statement: Statement) -> None:
        """As long as any lane goes on; those that do not are masked."""
        text, number, outer = self.text, self.text.fresh(), (self.mask, self.condition)
        (condition,) = statement.args
        text.do(f"br label %test{number}")
        text.label(f"test{number}")
        with self.scope():
            self.walk(statement.blocks[0])
            go_on = self.any(self.narrow(condition)) if self.is_vector(condition) else self.scalar(condition)
            text.do(f"br i1 {go_on}, label %body{number}, label %over{number}")
            text.label(f"body{number}")
            self.walk(statement.blocks[1])
            text.do(f"br label %test{number}")
        text.label(f"over{number}")
        self.mask, self.condition = outer

    def narrow(self, condition: Value) -> str:
        """From here on only lanes for which a varying condition holds: those that are still on."""
        flags, mask = vector_of("i1", self.lanes), self.vector(condition)
        inner = mask if self.condition is None else self.text.let(f"and {flags} {self.condition}, {mask}")
        both = inner if self.mask is None else self.text.let(f"and {flags} {self.mask}, {mask}")
        self.mask, self.condition = both, inner
        return both

    def any(self, mask: str) -> str:
        """Is any lane on?"""
        bits = self.text.let(f"bitcast {vector_of('i1', self.lanes)} {mask} to i{self.lanes}")
        return self.text.let(f"icmp ne i{self.lanes} {bits}, 0")

    def do_when(self, statement: Statement) -> None:
        (condition,), (block,) = statement.args, statement.blocks
        if not self.is_vector(condition):
            with self.text.when(self.scalar(condition)), self.scope():
                self.walk(block)
            return
        outer = self.mask, self.condition
        both = self.narrow(condition)
        with self.scope():
            if self.wants_branch(block):
                with self.text.when(self.any(both)), self.scope():
                    self.walk(block)
            else:
                self.walk(block)
        self.mask, self.condition = outer

    def do_rarely(self, statement: Statement) -> None:
        rarely(self, statement)

    def wants_branch(self, block: Block) -> bool:
        """Whether a block is left out where no lane wants it: it is long, or something in it happens once for
        all."""
        for item in block.items:
            if isinstance(item, Value):
                once = item.op in MATHEMATICS or (item.op == "load" and not item.varying)
            elif item.kind in ("assign", "accumulate", "declare"):
                once = not item.args[0].varying and item.kind == "assign"
            else:
                once = item.kind != "store" or not item.args[1].varying
            if once:
                return True
        return len(block.items) > SHORT

    # -- lanes
    def unrolled(self, statement: Statement) -> int:
        """How many vectors of a lanes loop are in flight at once."""
        items = statement.blocks[0].items
        counts = static_count(statement.args[1], statement.args[2])
        if (counts is not None and counts < UNROLL * self.machine_lanes * statement.args[3]) or len(
            items
        ) > SHORT:
            return 1
        simple = all(
            item.op not in MATHEMATICS if isinstance(item, Value) else item.kind == "accumulate"
            for item in items
        )
        return UNROLL if simple and any(isinstance(item, Statement) for item in items) else 1

    def do_lanes(self, statement: Statement) -> None:
        index, lo, hi, width = statement.args
        block, lanes, unroll = statement.blocks[0], self.machine_lanes * width, self.unrolled(statement)
        text, start, stop = self.text, self.scalar(lo), self.scalar(hi)
        count = static_count(lo, hi)
        if count is not None and count <= 0:
            return
        self.lanes = lanes

        def body(at: str, mask: str | None, part: int = 0) -> None:
            with self.scope():
                self.put(self.scalars, index, at)
                self.mask, self.part = mask, part
                self.walk(block)
                self.mask, self.part = None, 0

        def forward(base: str, elements: int) -> str:
            if not elements:
                return base
            return str(int(base) + elements) if lo.op == "const" else text.let(f"add i64 {base}, {elements}")

        def whole(base: str, end: str, vectors: int, trips: int | None) -> None:
            """Rounds of so many vectors from base to end; trips: how many, if that is known."""
            if trips == 0:
                return
            if trips == 1:
                for part in range(vectors):
                    body(forward(base, part * lanes), None, part)
                return
            with text.loop(base, end, lanes * vectors, trips is not None) as i:
                for part in range(vectors):
                    body(i if not part else text.let(f"add i64 {i}, {part * lanes}"), None, part)

        def remainder(base: str) -> None:
            """The lanes from base to the end, a vector at most."""
            left = text.arithmetic("min", "i8", 0, [text.let(f"sub i64 {stop}, {base}"), str(lanes)])
            limit = text.splat("i4", lanes, text.cast("i8", "i4", 0, left))
            mask = text.let(f"icmp slt {register('i4', lanes)} {counting('i4', lanes, 1)}, {limit}")
            body(base, mask)

        if count is not None:
            done = 0
            for vectors in (unroll, 1) if unroll > 1 else (1,):
                trips = (count - done) // (lanes * vectors)
                end = done + trips * lanes * vectors
                if trips:
                    whole(forward(start, done), forward(start, end), vectors, trips)
                done = end
            if done < count:
                body(forward(start, done), leading(lanes, count - done))
        elif self.functions.cost(block) > LONG:
            with text.loop(start, stop, lanes) as i:
                remainder(i)
        else:
            extent = text.let(f"sub i64 {stop}, {start}")
            extent = text.arithmetic("max", "i8", 0, [extent, "0"])
            base = start
            for vectors in (unroll, 1) if unroll > 1 else (1,):
                rest = text.let(f"urem i64 {extent}, {lanes * vectors}")
                end = text.let(f"sub i64 {text.let(f'add i64 {start}, {extent}')}, {rest}")
                whole(base, end, vectors, None)
                base = end
            with text.when(text.let(f"icmp slt i64 {base}, {stop}")):
                remainder(base)
        self.lanes = 0


def spaced(buffer: Buffer, index: Value) -> bool:
    """Do lanes touch every second, third or fourth element, of 4 or 8 bytes?"""
    return index.step is not None and 1 < index.step <= SPACED and MEMORY_BITS[buffer.dtype] >= 32
