"""The loop IR: what a kernel does, for any machine.

A kernel is a `Program`: buffers, run-time sizes, and a block of statements over SSA values, written through a
`Builder`. There is one kind of parallelism inside a kernel: a `lanes` loop, whose iterations are independent.
Inside of it a value is *varying* (one per lane) or *uniform* (the same for all lanes), which follows from how
it was computed: the loop's index is varying, a load at a varying index is varying, anything computed from
varying values is varying.  A printer for vector machines walks a lanes loop by whole vectors with a masked
tail; a scalar printer writes an ordinary loop; a printer for GPUs gives the lanes to threads.

An integer value that grows by a known constant from lane to lane carries that constant as `step`, so that
printers see which loads are contiguous (`step == 1`), the same for all lanes (uniform) or scattered.

    >>> b = Builder()
    >>> x, out = b.argument("f4"), b.argument("f4", output=True)
    >>> n = b.size(1000)
    >>> with b.tiles() as row:
    ...     with b.lanes(0, n) as i:
    ...         at = row * n + i
    ...         b.store(out, at, b.load(x, at) * 2.0)
    >>> print(b.program)
    arguments a0: f4, a1: f4 out; sizes s0
    tiles t0:
      lanes i0 in [0, s0):
        %0 = mul t0 s0
        %1 = add %0 i0
        %2 = load a0 %1
        %3 = mul %2 2.0
        store a1 %1 %3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fnn.kernels.loop_ir import (
    ARITHMETIC,
    BYTES,
    CODES,
    COMBINERS,
    COMPARISONS,
    INDEX,
    MATHEMATICS,
    TURN,
    Block,
    Buffer,
    Operand,
    Program,
    Statement,
    Value,
    Variable,
    code_of,
    computed,
)  # fmt: skip

__all__ = [
    "ARITHMETIC", "BYTES", "CODES", "COMBINERS", "COMPARISONS", "INDEX", "MATHEMATICS", "Block", "Buffer",
    "TURN", "Builder", "Operand", "Program", "Statement", "Value", "Variable", "WhileLoop", "code_of", "computed",
]  # fmt: skip


class Builder:
    """Writes a Program. Every operation is recorded where it is called, in order."""

    def __init__(self) -> None:
        self.program = Program()
        self.block = self.program.body
        self.in_lanes = 0
        self._exact = False
        self._touched: dict[Variable, str] = {}  # accumulators the lanes loop in progress has read or updated
        self._counts: dict[str, int] = {}

    def _fresh(self, prefix: str) -> str:
        number = self._counts.get(prefix, 0)
        self._counts[prefix] = number + 1
        return f"{prefix}{number}"

    # -- interface of the kernel
    def argument(self, dtype: str, output: bool = False, streamed: bool = False) -> Buffer:
        """The next buffer the kernel is called with. streamed: see Buffer."""
        buffer = Buffer(self._fresh("a"), dtype, output, streamed=streamed)
        self.program.arguments.append(buffer)
        return buffer

    def size(self, value: int) -> Value:
        """An int64 known when the program is planned, passed at run time so that other sizes use the same
        kernel."""
        self.program.sizes.append(int(value))
        return Value(self, "size", INDEX, (), len(self.program.sizes) - 1, False, 0)

    # -- control
    @contextmanager
    def _body(self, kind: str, args: tuple) -> Iterator[None]:
        outer, self.block = self.block, Block()
        outer.items.append(Statement(kind, args, (self.block,)))
        try:
            yield
        finally:
            self.block = outer

    @contextmanager
    def tiles(self) -> Iterator[Value]:
        """The outermost loop, over the tiles [lo, hi) this call is asked for; tiles are independent."""
        index = Value(self, "index", INDEX, (), self._fresh("t"), False, 0)
        with self._body("tiles", (index,)):
            yield index

    @contextmanager
    def loop(self, lo: Operand, hi: Operand, step: int = 1) -> Iterator[Value]:
        """An ordinary loop with a uniform index; step may be negative (then it runs while index > hi)."""
        self._check_bounds(lo, hi)
        index = Value(self, "index", INDEX, (), self._fresh("k"), False, 0)
        with self._body("loop", (index, self.as_value(lo, INDEX), self.as_value(hi, INDEX), step)):
            yield index

    @contextmanager
    def lanes(self, lo: Operand, hi: Operand, width: int = 1) -> Iterator[Value]:
        """A loop over independent iterations, walked `width` machine vectors at a time."""
        if self.in_lanes:
            raise ValueError("a lanes loop cannot be inside another")
        self._check_bounds(lo, hi)
        index = Value(self, "index", INDEX, (), self._fresh("i"), True, 1)
        self.in_lanes, self._touched = 1, {}
        try:
            with self._body("lanes", (index, self.as_value(lo, INDEX), self.as_value(hi, INDEX), width)):
                yield index
        finally:
            self.in_lanes = 0

    def _check_bounds(self, *bounds: Operand) -> None:
        for bound in bounds:
            if isinstance(bound, Value) and (bound.varying or bound.dtype != INDEX):
                raise TypeError(f"a loop's bounds are uniform integers of type {INDEX}, not a {bound.dtype}")

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Statements under a condition; a varying one masks stores and assignments (and the loads they
        need)."""
        if condition.dtype != "b1":
            raise TypeError(f"when: a condition of type {condition.dtype}; compare it with something")
        with self._body("when", (condition,)):
            yield

    @contextmanager
    def rarely(self, condition: Value) -> Iterator[None]:
        """As `when`, for what hardly ever happens: it may be slow where it does, and costs a test where it does
        not. What is inside reads no memory and stores nothing but the values of variables declared outside,
        to each of which it assigns once."""
        if condition.dtype != "b1":
            raise TypeError(f"rarely: a condition of type {condition.dtype}; compare it with something")
        with self._body("rarely", (condition,)):
            yield

    @contextmanager
    def repeat_while(self) -> Iterator[WhileLoop]:
        """`with b.repeat_while() as w: ...; w.test(condition); body...`: what is recorded before `test`
        computes the condition anew each round. Where the condition varies, every lane stops for good when its
        own is false: the body is as under `when(condition)`."""
        outer, test, body = self.block, Block(), Block()
        statement = Statement("while", (None,), (test, body))
        outer.items.append(statement)
        self.block = test
        try:
            yield WhileLoop(self, statement, body)
        finally:
            self.block = outer
        if statement.args[0] is None:
            raise ValueError("repeat_while: the loop has no test")

    @contextmanager
    def exact(self) -> Iterator[None]:
        """Operations recorded inside are rounded one by one, as IEEE has it.  Elsewhere a printer may fuse a
        product and a sum into one rounding (`contract`); it never reorders, and never assumes that there are
        no NaN or infinities."""
        outer, self._exact = self._exact, True
        try:
            yield
        finally:
            self._exact = outer

    # -- values
    def record(
        self, op: str, dtype: str, args: tuple[Value, ...], payload: Any, varying: bool, step: int | None
    ) -> Value:
        """Append a value. What grows by 0 from lane to lane is uniform."""
        value = Value(self, op, dtype, args, payload, varying and step != 0, step)
        value.exact = self._exact
        self.block.items.append(value)
        return value

    def const(self, value: int | float | bool, dtype: str) -> Value:
        """A constant of an element type that is computed with."""
        if dtype not in BYTES or computed(dtype) != dtype:
            raise TypeError(f"there are no values of type {dtype}: f2 and bf are computed as f4")
        plain = float(value) if dtype[0] == "f" else bool(value) if dtype == "b1" else int(value)
        return Value(self, "const", dtype, (), plain, False, 0)

    def as_value(self, x: Operand, dtype: str) -> Value:
        """A Python number as a constant; a value as it is."""
        return x if isinstance(x, Value) else self.const(x, dtype)

    def op(self, name: str, *args: Operand) -> Value:
        """Arithmetic, comparison or mathematics on operands of one type; Python numbers take the type of the
        others."""
        dtype = _type_of(name, args)
        operands = tuple([self.as_value(a, dtype) for a in args])
        for a in operands:
            if a.dtype != dtype:
                raise TypeError(f"{name}: operands of types {[o.dtype for o in operands]}; cast them first")
        if (
            name not in ARITHMETIC
            and name not in COMPARISONS
            and (name not in MATHEMATICS or dtype[0] != "f")
        ):
            raise TypeError(f"there is no operation {name} of {dtype}")
        folded = _fold(name, operands)
        if folded is not None:
            return folded if isinstance(folded, Value) else self.const(folded, dtype)
        varying = any(a.varying for a in operands)
        result = "b1" if name in COMPARISONS else dtype
        return self.record(name, result, operands, None, varying, _step(name, operands) if varying else 0)

    def math(self, name: str, *args: Operand) -> Value:
        """One of MATHEMATICS."""
        if name not in MATHEMATICS:
            raise ValueError(f"{name} is not one of {MATHEMATICS}")
        return self.op(name, *args)

    def select(self, condition: Value, yes: Operand, no: Operand) -> Value:
        """yes where the condition holds, no elsewhere; both are computed."""
        dtype = _type_of("select", (yes, no))
        operands = (condition, self.as_value(yes, dtype), self.as_value(no, dtype))
        if operands[1].dtype != operands[2].dtype or condition.dtype != "b1":
            raise TypeError(f"select: operands of types {[o.dtype for o in operands]}")
        varying = any(a.varying for a in operands)
        return self.record("select", dtype, operands, None, varying, None if varying else 0)

    def cast(self, x: Value, dtype: str) -> Value:
        """Conversion by value: integers wrap; floating to integer truncates and saturates, NaN becomes 0; to
        b1: is it not 0? To f2 or bf: an f4 of that precision (rounded to the nearest, ties to even)."""
        if dtype in ("f2", "bf"):
            x = self.cast(x, "f4")
            return self.record("round", "f4", (x,), dtype, x.varying, None if x.varying else 0)
        if x.dtype == dtype:
            return x
        if x.op == "const":
            return self.const(_cast_constant(x.payload, dtype), dtype)
        # reduction modulo 2**n keeps the step; a wider type does not, where the narrow one has wrapped
        keeps = x.dtype[0] in "iu" and dtype[0] in "iu" and BYTES[dtype] <= BYTES[x.dtype]
        step = (x.step if keeps else None) if x.varying else 0
        return self.record("cast", dtype, (x,), None, x.varying, step)

    def bitcast(self, x: Value, dtype: str, source: str | None = None) -> Value:
        """The same bits as another type of the same size. b1 is a byte. To f2 or bf: an f4 made of 16 bits;
        the other way the source says what the f4 is to be rounded to: bitcast(x, "u2", "bf")."""
        if BYTES[source or x.dtype] != BYTES[dtype] or computed(source or x.dtype) != x.dtype:
            raise TypeError(f"bitcast: {source or x.dtype} and {dtype} are not of one size")
        payload = (source or x.dtype, dtype)
        return self.record("bitcast", computed(dtype), (x,), payload, x.varying, None if x.varying else 0)

    def load(self, buffer: Buffer, index: Operand) -> Value:
        """The element at an index; f2 and bf arrive as f4."""
        index = self.as_value(index, INDEX)
        if index.dtype != INDEX:
            raise TypeError(f"load: an index of type {index.dtype}; cast it to {INDEX}")
        step = None if index.varying else 0
        return self.record("load", computed(buffer.dtype), (index,), buffer, index.varying, step)

    def store(self, buffer: Buffer, index: Operand, value: Operand) -> None:
        """Write an element; f4 is rounded to f2 and bf."""
        value, index = self.as_value(value, computed(buffer.dtype)), self.as_value(index, INDEX)
        if value.dtype != computed(buffer.dtype) or index.dtype != INDEX:
            raise TypeError(f"store: a {value.dtype} into {buffer.name}: {buffer.dtype} at an {index.dtype}")
        self.block.items.append(Statement("store", (buffer, index, value)))

    def turn(
        self, target: Buffer, to: Operand, step: Operand, source: Buffer, at: Operand, source_step: Operand
    ) -> None:
        """Copy a block, transposed: target[to + i step + j] = source[at + j source_step + i] for all i, j <
        TURN. All is read before anything is written. Not inside a lanes loop:
        it goes through vectors itself."""
        if self.in_lanes:
            raise ValueError("turn copies with vectors of its own: it cannot be inside a lanes loop")
        if computed(source.dtype) != computed(target.dtype):
            raise TypeError(f"turn: a {source.dtype} into a {target.dtype}")
        places = [self.as_value(x, INDEX) for x in (to, step, at, source_step)]
        if any(x.dtype != INDEX for x in places):
            raise TypeError(f"turn: indices of types {[x.dtype for x in places]}; cast them to {INDEX}")
        self.block.items.append(
            Statement("turn", (target, places[0], places[1], source, places[2], places[3]))
        )

    def prefetch(self, buffer: Buffer, index: Operand) -> None:
        """Bring what lies around an element nearer to the processor. It changes nothing: the index may lie
        outside of the buffer."""
        self.block.items.append(Statement("prefetch", (buffer, self.as_value(index, INDEX))))

    # -- state
    def variable(self, dtype: str, value: Operand) -> Variable:
        variable = Variable(self, self._fresh("m"), dtype, bool(self.in_lanes), None, self.in_lanes)
        self.block.items.append(Statement("declare", (variable, self.as_value(value, dtype))))
        return variable

    def accumulator(self, combine: str, dtype: str, value: Operand) -> Variable:
        """A uniform variable that lanes loops may `update`; combine: one of COMBINERS. Each lane keeps its
        own part, through any number of loops; the parts meet in a fixed order, the start value last, when it
        is read. (Declared inside a lanes loop it is a varying variable that each lane updates for itself.)"""
        if combine not in COMBINERS:
            raise ValueError(f"an accumulator combines with one of {COMBINERS}, not {combine}")
        variable = Variable(self, self._fresh("m"), dtype, bool(self.in_lanes), combine, self.in_lanes)
        self.block.items.append(Statement("declare", (variable, self.as_value(value, dtype))))
        return variable

    def local(self, dtype: str, length: int) -> Buffer:
        """An array on the kernel's stack, aligned to vectors."""
        buffer = Buffer(self._fresh("l"), dtype, True, length)
        self.block.items.append(Statement("local", (buffer,)))
        return buffer

    def assign(self, variable: Variable, value: Operand) -> None:
        value = self.as_value(value, variable.dtype)
        if value.dtype != variable.dtype:
            raise TypeError(f"assign: a {value.dtype} to {variable.name}: {variable.dtype}")
        if value.varying and not variable.varying:
            raise ValueError(
                f"a varying value is assigned to {variable.name}, which is the same for all lanes"
            )
        self.block.items.append(Statement("assign", (variable, value)))

    def accumulate(self, variable: Variable, value: Operand) -> None:
        value = self.as_value(value, variable.dtype)
        if variable.combine is None or value.dtype != variable.dtype:
            raise TypeError(f"update: {variable.name} is not an accumulator of {value.dtype}")
        if value.varying and not variable.varying and not self.in_lanes:
            raise ValueError(f"a varying value updates {variable.name} outside of its lanes loop")
        self.touch(variable, "updated")
        self.block.items.append(Statement("accumulate", (variable, value)))

    def touch(self, variable: Variable, how: str) -> None:
        """Check that no lanes loop both reads and fills an accumulator."""
        if self.in_lanes and variable.combine and not variable.varying:
            if self._touched.setdefault(variable, how) != how:
                raise ValueError(
                    f"{variable.name} is read in the lanes loop that updates it: read it after the loop"
                )


class WhileLoop:
    """See Builder.repeat_while."""

    def __init__(self, builder: Builder, statement: Statement, body: Block):
        self.builder, self.statement, self.body = builder, statement, body

    def test(self, condition: Value) -> None:
        if condition.dtype != "b1":
            raise TypeError(f"a while loop's condition of type {condition.dtype}; compare it with something")
        self.statement.args = (condition,)
        self.builder.block = self.body


def _step(name: str, args: tuple[Value, ...]) -> int | None:
    """The step of an integer result, where it follows from the operands'."""
    steps = [a.step for a in args if a.step is not None]
    if args[0].dtype[0] not in "iu" or len(steps) < len(args):
        return None
    if name == "add":
        return steps[0] + steps[1]
    if name == "sub":
        return steps[0] - steps[1]
    if name == "neg":
        return -steps[0]
    if name == "mul":
        for step, other in ((steps[0], args[1]), (steps[1], args[0])):
            if other.op == "const":
                return step * other.payload
    return None


def _type_of(name: str, args: tuple[Operand, ...]) -> str:
    for a in args:
        if isinstance(a, Value):
            return a.dtype
    raise TypeError(f"{name}: none of the operands is a value, so they have no type: use Builder.const")


def _fold(name: str, args: tuple[Value, ...]) -> Value | int | float | None:
    """Index arithmetic on constants, and x + 0, x * 1, x * 0 of integers."""
    if args[0].dtype != INDEX or len(args) != 2:
        return None
    x, y = args
    if x.op == y.op == "const" and name in ("add", "sub", "mul"):
        return {"add": int.__add__, "sub": int.__sub__, "mul": int.__mul__}[name](x.payload, y.payload)
    if name == "mul" and any(a.op == "const" and a.payload == 0 for a in args):
        return 0
    for a, other, names in ((y, x, ("add", "sub")), (x, y, ("add",))):
        if a.op == "const" and a.payload == 0 and name in names:
            return other
    for a, other, names in ((y, x, ("mul", "div")), (x, y, ("mul",))):
        if a.op == "const" and a.payload == 1 and name in names:
            return other
    return None


def _cast_constant(value: int | float | bool, dtype: str) -> int | float | bool:
    if dtype[0] in "fb" and dtype != "b1":
        return float(value)
    if dtype == "b1":
        return bool(value)
    if value != value:
        return 0
    bits, signed = 8 * BYTES[dtype], dtype[0] == "i"
    lo, hi = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if isinstance(value, float):
        return max(lo, min(hi, int(value) if abs(value) != float("inf") else (hi if value > 0 else lo)))
    wrapped = int(value) & ((1 << bits) - 1)
    return wrapped - (1 << bits) if signed and wrapped >> bits - 1 else wrapped
