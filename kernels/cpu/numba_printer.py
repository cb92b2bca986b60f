"""Loop programs as readable Python: `def name(a0, ..., s0, ..., lo, hi)`, the arguments flat arrays, then the
sizes.

The source is plain scalar loops.  It runs in the interpreter on NumPy arrays as well as compiled by Numba;
what its names mean (`divide_int32`, `fma`, ...) is in `numba_operations`.  bool is passed as uint8, bfloat16
and float16 as their bits in uint16.  A value that is used once, in the block that computes it, is written
where it is used."""

from __future__ import annotations

import numpy as np

from fnn.kernels.expansions import expansion
from fnn.kernels.loops import (
    COMPARISONS,
    MATHEMATICS,
    TURN,
    Block,
    Buffer,
    Program,
    Statement,
    Value,
    Variable,
)

SCALAR = {
    "b1": "bool_", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16",
    "u4": "uint32", "u8": "uint64", "f4": "float32", "f8": "float64",
}  # fmt: skip
MEMORY = {**SCALAR, "b1": "uint8", "f2": "uint16", "bf": "uint16"}
BITS = {"i1": 8, "i2": 16, "i4": 32, "i8": 64, "u1": 8, "u2": 16, "u4": 32, "u8": 64}
INFIX = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^"}
RELATION = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
BOOLEAN = {
    "and": "{} and {}", "or": "{} or {}", "xor": "{} != {}", "not": "not {}", "add": "{} or {}",
    "mul": "{} and {}", "max": "{} or {}", "min": "{} and {}", "sub": "{} != {}",
}  # fmt: skip
# Mathematics that the target has; the rest is printed as the arithmetic it consists of.
FUNCTIONS = {
    "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "log2": "log2", "sin": "sin",
    "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "atan2": "atan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh",
    "erf": "erf", "erfc": "erfc", "pow": "power",
}  # fmt: skip
LONGEST = 80  # characters of an expression that is still written into another


def emit(program: Program, name: str) -> str:
    """The source of one kernel."""
    return _Printer(program).emit(name)


class _Expression:
    """The text of a value. atom: it needs no brackets and may be repeated; reads: it looks at memory or
    variables."""

    __slots__ = ("text", "atom", "reads")

    def __init__(self, text: str, atom: bool = False, reads: bool = False):
        self.text, self.atom, self.reads = text, atom, reads


class _Printer:
    def __init__(self, program: Program):
        self.program = program
        self.lines: list[str] = []
        self.depth = 1
        self.known: dict[Value, _Expression] = {}
        self.pending: dict[Value, _Expression] = {}  # used once, and not written yet
        self.uses: dict[Value, int] = {}
        self.counted: set[Block] = set()
        self.state: dict[Variable | Buffer, str] = {a: a.name for a in program.arguments}
        self.counts: dict[str, int] = {}
        self.reading = False  # whether the expression being written looks at memory

    def emit(self, name: str) -> str:
        program = self.program
        sizes = [f"s{k}" for k in range(len(program.sizes))]
        described = [
            f"{a.name}: {MEMORY[a.dtype]}{_stands_for(a)}{' (output)' if a.output else ''}"
            for a in program.arguments
        ]
        self.put('"""' + ", ".join(described) + ("; sizes " + ", ".join(sizes) if sizes else "") + '"""')
        self.count(program.body)
        self.walk(program.body)
        names = [a.name for a in program.arguments] + sizes
        return f"def {name}({', '.join([*names, 'lo', 'hi'])}):\n" + "\n".join(self.lines) + "\n"

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def fresh(self, prefix: str) -> str:
        number = self.counts.get(prefix, 0)
        self.counts[prefix] = number + 1
        return f"{prefix}{number}"

    def count(self, block: Block) -> None:
        """How often each value is used. What waits for one in an inner block is written before it begins."""
        if block in self.counted:
            return
        self.counted.add(block)
        for item in block.items:
            for a in item.args:
                if isinstance(a, Value):
                    self.uses[a] = self.uses.get(a, 0) + 1
            if isinstance(item, Statement):
                for inner in item.blocks:
                    self.count(inner)

    # -- values
    def use(self, v: Value) -> _Expression:
        """The text of a value, at the place of its only use if it has one."""
        if v.op == "const":
            return _Expression(_constant(v.dtype, v.payload), True)
        if v.op == "size":
            return _Expression(f"s{v.payload}", True)
        found = self.pending.pop(v, None)
        return found if found is not None else self.known[v]

    def inside(self, v: Value) -> str:
        """A value as an operand."""
        x = self.use(v)
        self.reading |= x.reads
        return x.text if x.atom else f"({x.text})"

    def bare(self, v: Value) -> str:
        """A value where no brackets are needed."""
        x = self.use(v)
        self.reading |= x.reads
        return x.text

    def atom(self, v: Value) -> str:
        """A value as something that may be repeated."""
        if v in self.pending:
            self.write(v, self.pending.pop(v).text)
        return self.use(v).text

    def write(self, v: Value, text: str) -> None:
        name = self.fresh("v")
        self.put(f"{name} = {text}")
        self.known[v] = _Expression(name, True)

    def flush(self, everything: bool = False) -> None:
        """Write what must be computed before memory changes, or before a block."""
        for v, x in list(self.pending.items()):
            if everything or x.reads:
                del self.pending[v]
                self.write(v, x.text)

    def value(self, v: Value) -> None:
        if not self.uses.get(v):
            return
        self.reading = False
        if v.op in MATHEMATICS and v.op not in FUNCTIONS:
            parts = expansion(v)
            self.count(parts.block)
            for operand, given in zip(parts.operands, v.args, strict=True):
                if operand.op != "const":
                    self.known[operand] = _Expression(self.atom(given), True)
            self.uses[parts.result] = self.uses.get(parts.result, 0) + 1
            self.walk(parts.block)
            self.known[v] = _Expression(self.atom(parts.result), True)
            return
        x = _Expression(*self.operation(v))
        x.reads = self.reading or v.op in ("load", "get")
        if self.uses[v] == 1 and len(x.text) <= LONGEST:
            self.pending[v] = x
        else:
            self.write(v, x.text)

    def operation(self, v: Value) -> tuple[str, bool]:
        """The text, and whether it needs no brackets."""
        op, dtype, args = v.op, v.dtype, v.args
        kind = SCALAR[dtype]
        if op == "load":
            return _decoded(v.payload, f"{self.state[v.payload]}[{self.bare(args[0])}]")
        if op == "get":
            return self.state[v.payload], False
        if op == "select":
            condition, yes, no = [self.inside(a) for a in args]
            return f"{yes} if {condition} else {no}", False
        if op == "cast":
            if dtype == "b1":
                return f"{self.inside(args[0])} != 0", False
            saturates = args[0].dtype[0] == "f" and dtype[0] != "f"
            return f"{'saturate_' * saturates}{kind}({self.bare(args[0])})", True
        if op == "round":
            return f"from_{v.payload}(to_{v.payload}({self.bare(args[0])}))", True
        if op == "bitcast":
            return self.bitcast(v.payload[0], v.payload[1], self.bare(args[0])), True
        if op in FUNCTIONS:
            call = f"{FUNCTIONS[op]}({', '.join([self.bare(a) for a in args])})"
            return (f"float32({call})" if op in ("erf", "erfc") and dtype == "f4" else call), True
        operands = args[0].dtype
        if op in COMPARISONS:
            return f"{self.inside(args[0])} {RELATION[op]} {self.inside(args[1])}", False
        if op in ("min", "max") and dtype != "b1":
            return self.extreme(op, dtype, self.atom(args[0]), self.atom(args[1])), False
        if op == "fma" and dtype[0] != "f":
            return _wrapped(kind, "{} * {} + {}".format(*[self.inside(a) for a in args]))
        if op in ("shl", "shr") and args[1].op == "const" and 0 <= args[1].payload < BITS[dtype]:
            return _wrapped(
                kind, f"{self.inside(args[0])} {'<<' if op == 'shl' else '>>'} {self.inside(args[1])}"
            )
        return _arithmetic(op, operands, [self.inside(a) for a in args])

    def bitcast(self, source: str, target: str, x: str) -> str:
        if target in ("f2", "bf"):
            return f"from_{target}({x})"
        if source in ("f2", "bf"):
            return f"to_{source}({x})" if target == "u2" else f"{SCALAR[target]}(to_{source}({x}))"
        if source == "b1" or target == "b1":
            return f"{SCALAR[target]}({x})" if target != "b1" else f"({x} != 0)"
        return f"{SCALAR[source]}({x}).view({SCALAR[target]})"

    @staticmethod
    def extreme(op: str, dtype: str, x: str, y: str) -> str:
        passes = f" or {x} != {x}" if dtype[0] == "f" else ""
        return f"{x} if {x} {'<' if op == 'min' else '>'} {y}{passes} else {y}"

    # -- blocks
    def walk(self, block: Block) -> None:
        for item in block.items:
            if isinstance(item, Value):
                self.value(item)
            else:
                getattr(self, "do_" + item.kind)(item)

    def inner(self, head: str, block: Block) -> None:
        self.put(head)
        self.depth += 1
        before = len(self.lines)
        self.walk(block)
        self.flush(True)
        if len(self.lines) == before:
            self.put("pass")
        self.depth -= 1

    def do_tiles(self, statement: Statement) -> None:
        self.flush(True)
        self.inner(f"for {self.index(statement.args[0])} in range(lo, hi):", statement.blocks[0])

    def do_loop(self, statement: Statement) -> None:
        index, lo, hi, step = statement.args
        bounds = (
            [self.bare(hi)]
            if lo.op == "const" and lo.payload == 0 and step == 1
            else [self.bare(lo), self.bare(hi)]
        )
        self.flush(True)
        self.inner(
            f"for {self.index(index)} in range({', '.join(bounds + [str(step)] * (step != 1))}):",
            statement.blocks[0],
        )

    def do_lanes(self, statement: Statement) -> None:
        index, lo, hi, _ = statement.args
        self.do_loop(Statement("loop", (index, lo, hi, 1), statement.blocks))

    def index(self, v: Value) -> str:
        name = self.fresh(str(v.payload)[0])
        self.known[v] = _Expression(name, True)
        return name

    def do_when(self, statement: Statement) -> None:
        condition = self.bare(statement.args[0])
        self.flush(True)
        self.inner(f"if {condition}:", statement.blocks[0])

    do_rarely = do_when

    def do_while(self, statement: Statement) -> None:
        self.flush(True)
        self.put("while True:")
        self.depth += 1
        self.walk(statement.blocks[0])
        condition = self.inside(statement.args[0])
        self.flush(True)
        self.put(f"if not {condition}:")
        self.put("    break")
        self.walk(statement.blocks[1])
        self.flush(True)
        self.depth -= 1

    def do_store(self, statement: Statement) -> None:
        buffer, index, value = statement.args
        place, text = self.bare(index), _encoded(buffer, self.bare(value))
        self.flush()
        self.put(f"{self.state[buffer]}[{place}] = {text}")

    def do_prefetch(self, statement: Statement) -> None:
        """Nothing: Numba has no word for it."""
        self.bare(statement.args[1])

    def do_turn(self, statement: Statement) -> None:
        target, to, step, source, at, source_step = statement.args
        to, step, at, source_step = [self.atom(x) for x in (to, step, at, source_step)]
        self.flush(True)
        i, j = self.fresh("k"), self.fresh("k")
        text, _ = _decoded(source, f"{self.state[source]}[{at} + {j} * {source_step} + {i}]")
        self.put(f"for {i} in range({TURN}):")
        self.put(f"    for {j} in range({TURN}):")
        self.put(f"        {self.state[target]}[{to} + {i} * {step} + {j}] = {_encoded(target, text)}")

    def do_local(self, statement: Statement) -> None:
        (buffer,) = statement.args
        self.state[buffer] = self.fresh("l")
        self.put(f"{self.state[buffer]} = local_{MEMORY[buffer.dtype]}({buffer.length})")

    def do_declare(self, statement: Statement) -> None:
        variable, value = statement.args
        self.state[variable] = self.fresh("m")
        self.do_assign(statement, value.dtype if value.op == "const" and value.dtype == "i8" else None)

    def do_assign(self, statement: Statement, typed: str | None = None) -> None:
        variable, value = statement.args
        text = self.bare(value)
        self.flush()
        # a number that is written bare is typed where its variable is declared
        self.put(f"{self.state[variable]} = " + (f"{SCALAR[typed]}({text})" if typed else text))

    def do_accumulate(self, statement: Statement) -> None:
        variable, value = statement.args
        name, dtype, op = self.state[variable], variable.dtype, variable.combine or ""
        if op in ("min", "max") and dtype != "b1":
            text = self.extreme(op, dtype, self.atom(value), name)
        else:
            text, _ = _arithmetic(op, dtype, [name, self.inside(value)])
        self.flush()
        self.put(f"{name} = {text}")


def _arithmetic(op: str, dtype: str, args: list[str]) -> tuple[str, bool]:
    """The text of a plain operation on operands, and whether it needs no brackets."""
    kind = SCALAR[dtype]
    if dtype == "b1" and op in BOOLEAN:
        return BOOLEAN[op].format(*args), False
    if dtype[0] == "f":
        if op in INFIX or op == "div":
            return f"{args[0]} {INFIX.get(op, '/')} {args[1]}", False
        if op == "neg":
            return f"-{args[0]}", False
        return f"{'fmod' if op == 'rem' else op}({', '.join(args)})", True
    if op in INFIX:
        return _wrapped(kind, f"{args[0]} {INFIX[op]} {args[1]}")
    if op in ("neg", "not"):
        return _wrapped(kind, f"{'-' if op == 'neg' else '~'}{args[0]}")
    if op == "abs":
        return _wrapped(kind, f"abs({args[0]})")
    name = {"div": "divide", "rem": "remainder", "shl": "shift_left", "shr": "shift_right"}.get(op, op)
    return f"{name}_{kind}({', '.join(args)})", True


def _wrapped(kind: str, text: str) -> tuple[str, bool]:
    """Numba computes integers in 64 bits; shorter ones are cut to their size."""
    return (text, False) if kind == "int64" else (f"{kind}({text})", True)


def _constant(dtype: str, value: float) -> str:
    if dtype == "b1":
        return repr(bool(value))
    if dtype == "i8":
        return str(value) if value >= 0 else f"({value})"
    if dtype == "f8":
        return f"float64({value!r})"
    if dtype == "f4":
        with np.errstate(over="ignore"):
            short = str(np.float32(value))  # as few digits as tell it from its neighbours
            return f"float32({short if np.float32(float(short)) == np.float32(value) else repr(value)})"
    return f"{SCALAR[dtype]}({value!r})"


def _stands_for(buffer: Buffer) -> str:
    what = {"b1": "bool", "f2": "float16", "bf": "bfloat16"}.get(buffer.dtype)
    return f" for {what}" if what else ""


def _decoded(buffer: Buffer, text: str) -> tuple[str, bool]:
    if buffer.dtype == "b1":
        return f"{text} != 0", False
    if buffer.dtype in ("f2", "bf"):
        return f"from_{buffer.dtype}({text})", True
    return text, True


def _encoded(buffer: Buffer, text: str) -> str:
    if buffer.dtype == "b1":
        return f"uint8({text})"
    if buffer.dtype in ("f2", "bf"):
        return f"to_{buffer.dtype}({text})"
    return text
