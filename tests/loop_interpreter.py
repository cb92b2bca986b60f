"""Runs loop programs with NumPy: the oracle that printers and planners are compared with. A lanes loop is one
vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as special

from fnn import dtypes
from fnn.kernels.calls import Call
from fnn.kernels.loops import TURN, Block, Buffer, Program, Statement, Value, computed

TYPES = {"b1": np.dtype(bool), "bf": np.dtype(dtypes.bfloat16)} | {
    code: np.dtype(code) for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
}
FUNCTIONS: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
    "neg": np.negative,
    "not": np.invert,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "rint": np.rint,
    "copysign": np.copysign,
    "fma": lambda x, y, z: x * y + z,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "select": np.where,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": special.erf,
    "erfc": special.erfc,
    "erf_inv": special.erfinv,
    "lgamma": special.gammaln,
    "digamma": special.digamma,
    "pow": np.power,
    "cbrt": np.cbrt,
    "logistic": special.expit,
    "nextafter": np.nextafter,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}
UFUNCS: dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.bitwise_xor,
}


def divide(name: str, x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind == "f":
        return np.divide(x, y) if name == "div" else np.fmod(x, y)
    y = np.where(y == 0, np.ones_like(y), y)
    rest = np.fmod(x, y)
    return rest if name == "rem" else (x - rest) // y


def saturated(x: np.ndarray, dtype: np.dtype) -> Any:
    """Towards zero, into the type's range; NaN is 0."""
    info = np.iinfo(dtype)
    low, high = x <= float(info.min), x >= float(info.max)
    inside = np.where(low | high | np.isnan(x), 0, x).astype(dtype)
    return np.where(low, info.min, np.where(high, info.max, inside)).astype(dtype)[()]


class Interpreter:
    """One kernel on its buffers: flat arrays that start where the arguments do, and the index of their first
    element."""

    def __init__(self, program: Program, arrays: list[tuple[np.ndarray, int]], sizes: list[int]):
        self.sizes, self.env, self.mask = sizes, {}, None
        self.memory: dict[Buffer, tuple[np.ndarray, int]] = dict(zip(program.arguments, arrays, strict=True))
        self.program, self.lanes = program, 1

    def run(self, lo: int, hi: int) -> None:
        with np.errstate(all="ignore"):
            for item in self.program.body.items:
                if isinstance(item, Statement) and item.kind == "tiles":
                    for tile in range(lo, hi):
                        self.env[item.args[0]] = np.int64(tile)
                        self.block(item.blocks[0])
                else:
                    self.item(item)

    def get(self, v: Value) -> Any:
        if v.op == "const":
            return np.asarray(v.payload).astype(TYPES[computed(v.dtype)])[()]
        return np.int64(self.sizes[v.payload]) if v.op == "size" else self.env[v]

    def at(self, buffer: Buffer, index: Any) -> tuple[np.ndarray, Any]:
        array, start = self.memory[buffer]
        index = np.asarray(index)
        if self.mask is not None:
            index = np.where(self.mask, index, -start if start else 0)
        where = index + start
        if np.any(where < 0) or np.any(where >= array.size):
            raise IndexError(f"{buffer.name}: {where} of {array.size}")
        return array, where

    def block(self, block: Block) -> None:
        for item in block.items:
            self.item(item)

    def item(self, item: Any) -> None:
        if isinstance(item, Value):
            value = self.compute(item)
            dtype = TYPES[item.dtype]
            if np.asarray(value).dtype != dtype:  # special functions widen
                value = np.asarray(value).astype(dtype)[()]
            self.env[item] = value
            return
        getattr(self, "do_" + item.kind)(item, *item.args)

    def compute(self, v: Value) -> Any:
        args = [self.get(a) for a in v.args]
        if v.op == "get":
            value = self.env[v.payload]
            return value.copy() if isinstance(value, np.ndarray) else value
        if v.op == "load":
            array, index = self.at(v.payload, args[0])
            return array[index].astype(TYPES[v.dtype])
        if v.op == "cast":
            if args[0].dtype.kind == "f" and v.dtype[0] in "iu":
                return saturated(np.asarray(args[0]), TYPES[v.dtype])
            return args[0].astype(TYPES[v.dtype])
        if v.op == "bitcast":
            return np.asarray(args[0]).view(TYPES[v.dtype])[()]
        if v.op in ("div", "rem"):
            return divide(v.op, *args)
        return FUNCTIONS[v.op](*args)

    def do_loop(self, s: Statement, index: Value, lo: Value, hi: Value, step: int) -> None:
        for k in range(int(self.get(lo)), int(self.get(hi)), step):
            self.env[index] = np.int64(k)
            self.block(s.blocks[0])

    def do_lanes(self, s: Statement, index: Value, lo: Value, hi: Value, width: int) -> None:
        if self.get(hi) > self.get(lo):
            self.env[index] = np.arange(self.get(lo), self.get(hi))
            self.lanes = len(self.env[index])
            self.block(s.blocks[0])
            self.lanes = 1

    def do_when(self, s: Statement, condition: Value) -> None:
        value, before = self.get(condition), self.mask
        if condition.varying:
            self.mask = value if before is None else value & before
            if self.mask.any():
                self.block(s.blocks[0])
            self.mask = before
        elif value:
            self.block(s.blocks[0])

    do_rarely = do_when

    def do_while(self, s: Statement, condition: Value) -> None:
        before = self.mask
        while True:
            self.block(s.blocks[0])
            value = self.get(condition)
            if condition.varying:
                self.mask = value if self.mask is None else value & self.mask
            if not np.any(value if self.mask is None else self.mask if condition.varying else value):
                break
            self.block(s.blocks[1])
        self.mask = before

    def do_store(self, s: Statement, buffer: Buffer, index: Value, value: Value) -> None:
        array, where = self.at(buffer, self.get(index))
        number = np.broadcast_to(np.asarray(self.get(value)).astype(array.dtype), where.shape)
        if self.mask is not None and where.ndim:
            where, number = where[self.mask], number[self.mask]
        array[where] = number

    def do_turn(
        self, s: Statement, target: Buffer, to: Value, step: Value, source: Buffer, at: Value, other: Value
    ) -> None:
        k = np.arange(TURN)
        array, where = self.at(source, self.get(at) + k[:, None] * self.get(other) + k)
        block = array[where].T
        array, where = self.at(target, self.get(to) + k[:, None] * self.get(step) + k)
        array[where] = block.astype(array.dtype)

    def do_prefetch(self, s: Statement, buffer: Buffer, index: Value) -> None:
        pass

    def do_declare(self, s: Statement, variable: Any, value: Value) -> None:
        self.env[variable] = self.get(value)

    def do_assign(self, s: Statement, variable: Any, value: Value) -> None:
        new = self.get(value)
        self.env[variable] = (
            new if self.mask is None or not variable.varying else np.where(self.mask, new, self.env[variable])
        )

    def do_accumulate(self, s: Statement, variable: Any, value: Value) -> None:
        new, ufunc = (
            self.get(value),
            UFUNCS[variable.combine] if variable.dtype == "b1" else FUNCTIONS[variable.combine],
        )
        lanes = self.lanes
        new = np.broadcast_to(new, (lanes,))
        if self.mask is not None:
            new = new[np.broadcast_to(self.mask, (lanes,))]
        if new.size:
            dtype = TYPES[variable.dtype]
            self.env[variable] = np.asarray(ufunc(self.env[variable], ufunc.reduce(new, dtype=dtype))).astype(
                dtype
            )[()]

    def do_local(self, s: Statement, buffer: Buffer) -> None:
        # type: ignore[arg-type]
        self.memory[buffer] = np.zeros(buffer.length or 0, TYPES[computed(buffer.dtype)]), 0


def run_call(call: Call, memory: dict[Any, np.ndarray], order: np.random.Generator | None = None) -> None:
    """Run a call on flat arrays, its tiles in any order."""
    assert call.program is not None
    program = call.program()
    assert program.sizes == call.sizes
    arrays = []
    for (value, offset), buffer in zip(call.args, program.arguments, strict=True):
        array = memory[value].view(TYPES[buffer.dtype])
        assert offset % array.itemsize == 0
        arrays.append((array, offset // array.itemsize))
    interpreter = Interpreter(program, arrays, call.sizes)
    tiles = np.arange(call.tiles) if order is None else order.permutation(call.tiles)
    for t in tiles:
        interpreter.run(int(t), int(t) + 1)
