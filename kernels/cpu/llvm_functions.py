"""What a kernel's module defines beside the kernel: functions of mathematics that the kernel uses so often that
each of them is compiled once and called, and what is rare in them.

They are internal to the module; vectors are passed and returned in registers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fnn.kernels.cpu.llvm_text import module, register
from fnn.kernels.expansions import Expansion, expansion
from fnn.kernels.loops import MATHEMATICS, Block, Program, Statement, Value, Variable

if TYPE_CHECKING:
    from fnn.kernels.cpu.llvm_printer import Printer

# Operations that the uses of a function of mathematics in a kernel may amount to before it is called instead.
INLINED = 150


class Functions:
    """The functions of one module. called: blocks of expansions that are functions of their own."""

    def __init__(self, program: Program):
        self.declared: set[str] = set()
        self.texts: list[str] = []
        self.made: dict[
            tuple[Block, int], tuple[str, str]
        ] = {}  # (block, lanes) -> (name, type of its result)
        uses: Counter[Block] = Counter()
        parts: dict[Block, Expansion] = {}
        _count(program.body, uses, parts)
        self.called = {block for block, n in uses.items() if n * parts[block].weight > INLINED}

    def text(self) -> str:
        """The module's."""
        return module(self.texts, self.declared)

    def cost(self, block: Block) -> int:
        """How many operations are printed for a block."""
        count = len(block.items)
        for item in block.items:
            if isinstance(item, Statement):
                count += sum(map(self.cost, item.blocks)) if item.kind != "rarely" else 0
            elif item.op in MATHEMATICS:
                parts = expansion(item)
                count += 0 if parts.block in self.called else parts.weight
        return count


def _count(block: Block, uses: Counter[Block], parts: dict[Block, Expansion]) -> None:
    for item in block.items:
        if isinstance(item, Statement):
            for inner in item.blocks:
                _count(inner, uses, parts)
        elif item.op in MATHEMATICS:
            found = expansion(item)
            uses[found.block] += 1
            parts[found.block] = found


def call_expansion(printer: Printer, v: Value, parts: Expansion) -> str:
    """Call the function of mathematics that v is, as one of the module's own."""
    functions, lanes = printer.functions, printer.lanes if printer.is_vector(v) else 0
    operands = [(a, given) for a, given in zip(parts.operands, v.args, strict=True) if a.op != "const"]
    if (parts.block, lanes) not in functions.made:
        inner = printer.another(lanes)
        names = _parameters(inner, [a for a, _ in operands])
        inner.walk(parts.block)
        kind = register(v.dtype, lanes)
        inner.text.do(f"ret {kind} {inner.either(parts.result)}")
        _define(printer, (parts.block, lanes), inner, kind, names, "")
    name, kind = functions.made[parts.block, lanes]
    arguments = [_argument(printer, a, given) for a, given in operands]
    return printer.text.let(f"call {kind} @{name}({', '.join(arguments)})")


def rarely(printer: Printer, statement: Statement) -> None:
    """A branch around a call. In vectors, the called function goes through the lanes that are on one by one:
    scalar code is a fraction of what vectors of 64-bit integers take to compile."""
    functions, text = printer.functions, printer.text
    (condition,), (block,) = statement.args, statement.blocks
    lanes = printer.lanes if printer.is_vector(condition) else 0
    values, variables = _free(block)
    kinds = [register(variable.dtype, lanes) for variable in variables]
    if (block, lanes) not in functions.made:
        _define_rare(printer, block, lanes, values, variables)
    name, result = functions.made[block, lanes]
    on = printer.vector(condition) if lanes else printer.scalar(condition)
    arguments = [_argument(printer, v, v) for v in values]
    with text.when(printer.any(on) if lanes else on, rare=True):
        if lanes:
            arguments.append(f"{register('b1', lanes)} {on}")
        returned = text.let(f"call {result} @{name}({', '.join(arguments)})")
        for k, (variable, kind) in enumerate(zip(variables, kinds, strict=True)):
            new = text.let(f"extractvalue {result} {returned}, {k}")
            if lanes:
                old = printer.read(variable, lanes)
                new = text.let(f"select {register('b1', lanes)} {on}, {kind} {new}, {kind} {old}")
            printer.write(variable, lanes, new)


def _define_rare(
    printer: Printer, block: Block, lanes: int, values: list[Value], variables: list[Variable]
) -> None:
    kinds = [register(variable.dtype, lanes) for variable in variables]
    inner = printer.another(0)
    text = inner.text
    names = [f"%p{k}" for k in range(len(values))]
    parameters = [f"{_type(printer, v)} {name}" for v, name in zip(values, names, strict=True)]
    if not lanes:
        inner.scalars.update(zip(values, names, strict=True))
        inner.walk(block)
        results = [inner.read(variable, 0) for variable in variables]
    else:
        parameters.append(f"{register('b1', lanes)} %on")
        cells = [text.reserve(f"r{k}", kind) for k, kind in enumerate(kinds)]
        with text.loop("0", str(lanes), 1, runs=True) as i:
            on = text.let(f"extractelement {register('b1', lanes)} %on, i64 {i}")
            with text.when(on):
                for v, name in zip(values, names, strict=True):
                    if printer.is_vector(v):
                        name = text.let(f"extractelement {_type(printer, v)} {name}, i64 {i}")
                    inner.scalars[v] = name
                inner.walk(block)
                for variable, cell, kind in zip(variables, cells, kinds, strict=True):
                    old, new = text.let(f"load {kind}, ptr {cell}"), inner.read(variable, 0)
                    one = f"{register(variable.dtype, 0)} {new}"
                    new = text.let(f"insertelement {kind} {old}, {one}, i64 {i}")
                    text.do(f"store {kind} {new}, ptr {cell}")
        results = [text.let(f"load {kind}, ptr {cell}") for kind, cell in zip(kinds, cells, strict=True)]
    whole, returned = "{" + ", ".join(kinds) + "}", "poison"
    for k, (kind, result) in enumerate(zip(kinds, results, strict=True)):
        returned = text.let(f"insertvalue {whole} {returned}, {kind} {result}, {k}")
    text.do(f"ret {whole} {returned}")
    _define(printer, (block, lanes), inner, whole, parameters, " cold")


def _free(block: Block) -> tuple[list[Value], list[Variable]]:
    """The values that a block takes from outside, and the variables declared outside that it assigns to."""
    inside: set[Value | Variable] = set()
    values: dict[Value, None] = {}
    variables: dict[Variable, None] = {}

    def walk(block: Block) -> None:
        for item in block.items:
            for a in item.args:
                if isinstance(a, Value) and a not in inside and a.op not in ("const", "size"):
                    values[a] = None
            if isinstance(item, Value):
                inside.add(item)
                continue
            if item.kind == "declare":
                inside.add(item.args[0])
            elif item.kind == "assign" and item.args[0] not in inside:
                variables[item.args[0]] = None
            for more in item.blocks:
                walk(more)

    walk(block)
    return list(values), list(variables)


def _type(printer: Printer, v: Value) -> str:
    return register(v.dtype, printer.lanes if printer.is_vector(v) else 0)


def _argument(printer: Printer, parameter: Value, given: Value) -> str:
    vector = printer.is_vector(parameter)
    return f"{_type(printer, parameter)} {printer.vector(given) if vector else printer.scalar(given)}"


def _parameters(inner: Printer, values: list[Value]) -> list[str]:
    """The heads of parameters that stand for values."""
    heads = []
    for k, v in enumerate(values):
        inner.put(inner.vectors if inner.is_vector(v) else inner.scalars, v, f"%p{k}")
        heads.append(f"{_type(inner, v)} %p{k}")
    return heads


def _define(
    printer: Printer, key: tuple[Block, int], inner: Printer, result: str, parameters: list[str], more: str
) -> None:
    functions = printer.functions
    name = f"f{len(functions.made)}"
    functions.made[key] = name, result
    head = f"define internal {result} @{name}({', '.join(parameters)}) noinline nounwind{more}"
    functions.texts.append(inner.text.function(head))


def static_count(lo: Value, hi: Value) -> int | None:
    """How many iterations, where that follows from the program alone: bounds are constants, or lo and lo +
    constant."""
    if lo.op == hi.op == "const":
        return hi.payload - lo.payload
    if hi.op == "add":
        for base, more in (hi.args, hi.args[::-1]):
            if base is lo and more.op == "const":
                return more.payload
    return None
