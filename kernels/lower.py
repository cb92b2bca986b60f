"""Graph -> calls: structure becomes views, ops are fused into groups, groups become nests, nests become
calls.

    graph -> kernels.structure (ops on views) -> kernels.fuse (groups) -> kernels.nest_builder (nests) -> calls

Contractions run as `kernels.gemm`, a primitive's own loop program as it is, loops over small state as one
kernel each (`kernels.register_loops`); other control flow and library routines are left to the planner. A call's
program is written only when it is asked for: see `kernels.calls.Call`."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.ir import Equation, Graph
from fnn.core.lowering import Kernel, Library, Loop, NativeCall, PythonCall
from fnn.core.source import Source
from fnn.errors import UnsupportedError
from fnn.kernels import gemm
from fnn.kernels.calls import AnyCall, Call, ControlCall, Foreign, Lowered, Value
from fnn.kernels.contraction import Matrix
from fnn.kernels.cpu import machine
from fnn.kernels.fuse import Fusion, Group
from fnn.kernels.library import printed
from fnn.kernels.loops import Builder, code_of
from fnn.kernels.nest import BLOCK
from fnn.kernels.nest_builder import Built, NestBuilder, bytes_moved
from fnn.kernels.nest_program import last_loads, passes_of, program_of
from fnn.kernels.operand import Operand
from fnn.kernels.ops import Op
from fnn.kernels.register_loops import register_call
from fnn.kernels.structure import Structure, stored
from fnn.kernels.views import View
from fnn.primitives.lapack import routine

BYTES_PER_NS = 8.0  # memory traffic of one thread
WORK_PER_NS = 30.0  # additions of one thread
ELEMENTS_PER_HANDOUT = 2048


def lower(graph: Graph) -> Lowered:
    """The calls that compute a graph.

    Raises UnsupportedError for an equation whose primitive has no way into a kernel."""
    structure = Structure(graph)
    calls: list[AnyCall] = []
    fusion = Fusion(structure.ops, structure.writers, structure.outputs)
    for group in fusion.order():
        calls += _calls(group, fusion)
    return Lowered(
        structure.inputs,
        structure.outputs,
        [stored(a.aval)[0] for a in graph.outputs],
        calls,
        structure.constants,
    )


def _calls(group: Group, fusion: Fusion) -> list[AnyCall]:
    op = group.ops[0]
    if op.kind == "dot":
        return [_product(op)]
    if op.kind == "opaque":
        return [_opaque(op)]
    built = NestBuilder(group, fusion).build()
    return [] if built is None else _nests(built, group.ops)


def _nests(built: Built, ops: Sequence[Op]) -> list[AnyCall]:
    """The nest's call, and those that combine what it left in parts."""
    out: list[AnyCall] = [_nest(built, ops)]
    for op, parts in built.partial:
        value = View(parts, parts.shape)
        shape = (math.prod(op.out.shape),) if built.nest.kind == "col" else ()
        # the parts of a column reduction lie as (outer axes, part, columns)
        axes = (1,) if built.nest.kind == "col" else (0,)
        whole = View(op.out.memory, shape, op.out.offset) if built.nest.kind == "map" else op.out
        last = Op("reduce", [value], [whole], parts.shape, op.source, combine=op.combine, axes=axes)
        last.index = 0
        fusion = Fusion([last], {whole.memory: [last]}, [whole.memory])
        (group,) = fusion.order()
        if built.nest.kind == "map":
            group.kind = "all"  # one kernel for any number of parts
        again = NestBuilder(group, fusion).build()
        assert again is not None
        again.nest.of_parts = True
        out += _nests(again, [last])
    return out


def _nest(built: Built, ops: Sequence[Op]) -> Call:
    nest = built.nest
    moved = bytes_moved(built)
    points = math.prod(nest.outer) * math.prod(nest.inner)
    rows = (
        1 if nest.kind == "col" else max(1, min(nest.width, 1 << 14) if nest.static else ELEMENTS_PER_HANDOUT)
    )
    rows *= nest.band if nest.banded else BLOCK // nest.width if nest.grouped else 1
    unit = 1 if nest.kind == "col" or nest.turned else max(1, ELEMENTS_PER_HANDOUT // rows)
    return Call(
        label=_label(nest.operations()) or "copy",
        key=nest.key(),
        program=lambda: program_of(nest),
        args=[(v, offset * v.dtype.itemsize) for v, offset in built.arguments],
        reads=built.reads,
        writes=built.writes,
        tiles=nest.tiles,
        cost=20.0 + max(moved / BYTES_PER_NS, points * built.weight / WORK_PER_NS),
        sizes=nest.sizes(),
        unit=unit,
        in_place=_in_place(built),
        sources=_sources(ops),
        text=str(nest),
    )


def _label(names: list[str]) -> str:
    """The distinct names, the last ones if there are many."""
    distinct = list(dict.fromkeys(names))
    return (
        "+".join(distinct)
        if len(distinct) <= 5
        else f"{'+'.join(distinct[:2])}+...+{'+'.join(distinct[-2:])}"
    )


def _sources(ops: Sequence[Op]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys([o.source for o in ops if o.source is not None]))


def _in_place(built: Built) -> tuple[tuple[Value, Value], ...]:
    """(output, input) pairs that may share memory: every access to either goes to the same place at the same
    step, and nothing is read after the pass over the row that overwrites it."""
    nest = built.nest
    places: dict[Value, set[tuple]] = {}
    for a in nest.accesses:
        if a.argument >= 0:
            value, offset = built.arguments[a.argument]
            places.setdefault(value, set()).add((offset, a.outer, a.inner))
    last_read: dict[Value, int] = {}
    for access, p in last_loads(nest).items():
        value = built.arguments[nest.accesses[access].argument][0]
        last_read[value] = max(p, last_read.get(value, 0))
    level = passes_of(nest)
    final = max(level, default=0)
    pairs = []
    for node, access in nest.stores:
        out, _ = built.arguments[nest.accesses[access].argument]
        if out not in built.whole or len(places[out]) != 1:
            continue
        when = level[node] if nest.wide(access) or nest.kind != "row" else final
        if nest.kind == "col" and nest.nodes[node][0] == "reduce":
            continue
        for value in dict.fromkeys([v for v, _ in built.arguments if v in built.reads]):
            if (
                value is not out
                and value.const is None
                and value.size == out.size
                and value.dtype.itemsize == out.dtype.itemsize
                and places[value] == places[out]
                and last_read.get(value, 0) <= when
            ):
                pairs.append((out, value))
    return tuple(pairs)


def _product(op: Op) -> Call:
    """A contraction."""
    x, y = op.views
    matrix = Matrix.of(op)
    codes = code_of(x.dtype), code_of(y.dtype), code_of(op.out.dtype)
    made = gemm.plan(matrix, *codes, _room())
    left, right = (y, x) if made.swapped else (x, y)
    views = [left, right, op.out]
    return Call(
        label=f"dot {matrix.m}x{matrix.n}x{matrix.k}",
        key=made.kernel.key,
        program=lambda: gemm.program(made.kernel, made.sizes),
        args=[(v.memory, v.offset * v.dtype.itemsize) for v in views],
        reads={x.memory, y.memory},
        writes={op.out.memory},
        tiles=made.tiles,
        cost=made.cost + 50.0,
        sizes=list(made.sizes),
        sources=_sources([op]),
        flops=made.flops,
        text=f"dot m={matrix.m} n={matrix.n} k={matrix.k} batch={math.prod(a.size for a in matrix.axes[0])} "
        f"{codes[0]} {codes[1]} -> {codes[2]}{' (as its transpose)' if made.swapped else ''}",
    )


@functools.cache
def _room() -> gemm.Room:
    return gemm.Room(machine.registers(), machine.second_cache(), os.cpu_count() or 1)


def _opaque(op: Op) -> AnyCall:
    eqn: Equation = op.payload
    way = eqn.primitive.lower
    inputs: list[Value] = [v.memory for v in op.views]
    outputs: list[Value] = [o.memory for o in op.outs]
    if isinstance(way, Kernel):
        return _kernel(op, eqn, way, inputs, outputs)
    if isinstance(way, Library):
        return _library(op, eqn, way, inputs, outputs)
    if isinstance(way, Loop):
        call = register_call(way.kind, eqn.params, inputs, outputs, eqn.source)
        return call or ControlCall(way.kind, eqn.params, inputs, outputs, eqn.source)
    if isinstance(way, PythonCall | NativeCall):
        return _foreign(eqn, way, inputs, outputs)
    raise UnsupportedError(f"{eqn.primitive.name} has no way into a kernel")


_numbers = itertools.count(1)


def _foreign(eqn: Equation, way: PythonCall | NativeCall, inputs: list[Value], outputs: list[Value]) -> Call:
    """A function of the user's: its key names it in this process only."""
    ins, outs, params = tuple(a.aval for a in eqn.inputs), tuple(v.aval for v in eqn.outputs), eqn.params
    if isinstance(way, PythonCall):
        foreign = Foreign(way.function(params), ins, outs, source=eqn.source)
        kind, tiles, cost = "python", 1, 5_000.0
    else:
        native = way
        foreign = Foreign(
            inputs=ins,
            outputs=outs,
            address=lambda: native.compile(ins, outs, params),
            failed=lambda: native.failed(params),
            source=eqn.source,
        )
        kind, tiles, cost = "native", way.tiles(ins, outs, params), way.cost(ins, outs, params)
    return Call(
        label=f"{eqn.primitive.name} {params['name']}" if "name" in params else eqn.primitive.name,
        key=f"{kind}_{next(_numbers)}",
        program=_no_loops,
        args=[(v, 0) for v in (*inputs, *outputs)],
        reads=set(inputs),
        writes=set(outputs),
        tiles=tiles,
        cost=cost,
        sources=() if eqn.source is None else (eqn.source,),
        text="Python" if isinstance(way, PythonCall) else "machine code of the user's function",
        flops=0.0,
        foreign=foreign,
    )


def _no_loops() -> Any:
    raise UnsupportedError("a function of the user's has no loop program")


def _kernel(op: Op, eqn: Equation, way: Kernel, inputs: list[Value], outputs: list[Value]) -> Call:
    """A primitive's own loop program."""
    in_avals, out_avals, params = [a.aval for a in eqn.inputs], [v.aval for v in eqn.outputs], eqn.params
    ins = [(a.shape, code_of(a.dtype)) for a in in_avals]
    layouts = [v.strides if k in way.strided else None for k, v in enumerate(op.views)]
    outs = [(a.shape, code_of(a.dtype)) for a in out_avals]
    room = way.workspace(in_avals, out_avals, params) if way.workspace is not None else []
    scratch = [Value((length,), _dtype(code)) for code, length in room]
    outs += [((length,), code) for code, length in room]
    b = Builder()
    operands = [
        Operand(b.argument(code), shape, code, layout)
        for (shape, code), layout in zip(ins, layouts, strict=True)
    ]
    results = [Operand(b.argument(code, output=True), shape, code) for shape, code in outs]
    way.write(b, operands, results, params)  # now: only the loops know their run-time sizes
    program = b.program
    moved = sum(v.nbytes for v in {*inputs, *outputs, *scratch})
    return Call(
        label=eqn.primitive.name,
        key=program.key,
        program=lambda: program,
        args=[
            *[(v.memory, v.offset * v.dtype.itemsize) for v in op.views],
            *[(v, 0) for v in (*outputs, *scratch)],
        ],
        reads=set(inputs),
        writes={*outputs, *scratch},
        tiles=way.tiles(in_avals, out_avals, params),
        cost=20.0
        + (way.cost(in_avals, out_avals, params) if way.cost is not None else 2 * moved / BYTES_PER_NS),
        sizes=list(program.sizes),
        sources=_sources([op]),
        text=f"{eqn.primitive.name} {_words(ins)} -> {_words(outs)}",
    )


def _library(op: Op, eqn: Equation, way: Library, inputs: list[Value], outputs: list[Value]) -> Call:
    """A primitive that functions of BLAS and LAPACK compute."""
    in_avals, out_avals = [a.aval for a in eqn.inputs], [v.aval for v in eqn.outputs]
    tiles = way.tiles(in_avals)
    made = printed(eqn.primitive.name, routine(way, in_avals, out_avals, eqn.params), tiles)
    scratch = [Value((length,), np.dtype(code)) for code, length in made.scratch]
    types = [[(a.shape, dtypes.short_name(a.dtype)) for a in avals] for avals in (in_avals, out_avals)]
    return Call(
        label=eqn.primitive.name,
        key=made.key,
        program=None,
        functions=made.functions,
        llvm=made.text,
        args=[(v, 0) for v in (*inputs, *outputs, *scratch)],
        reads=set(inputs),
        writes={*outputs, *scratch},
        tiles=tiles,
        cost=made.cost,
        sizes=made.words,
        in_place=tuple([(outputs[new], inputs[old]) for new, old in made.in_place]),
        sources=_sources([op]),
        flops=made.flops,
        text=f"{eqn.primitive.name} {_words(types[0])} -> {_words(types[1])}, by {', '.join(made.functions)}",
    )


def _dtype(code: str) -> np.dtype:
    return dtypes.bfloat16 if code == "bf" else np.dtype("bool" if code == "b1" else code)


def _words(arrays: Sequence[tuple[tuple[int, ...], str]]) -> str:
    return ", ".join([f"{code}[{','.join(map(str, shape))}]" for shape, code in arrays])
