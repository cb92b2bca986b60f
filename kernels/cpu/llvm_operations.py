"""What each operation of the loop IR means, in LLVM instructions, for scalars and vectors alike.

Floating point is IEEE, with one freedom: a product and a sum that are not `exact` may become a fused
multiply-add (`contract`). Sums into accumulators may besides be reassociated. Nothing assumes that NaN or
infinities do not occur. Integers wrap; no operation traps or has an undefined result: see `_divide`, `_shift`
and `cast`."""

from __future__ import annotations

from collections.abc import Callable

from fnn.errors import UnsupportedError
from fnn.kernels.cpu import machine
from fnn.kernels.cpu.llvm_text import BITS, REGISTER, Text, constant, overload, register, vector_of
from fnn.kernels.loops import COMPARISONS

_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "rem": "frem"}
_INTEGER = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_BOOLEAN = {
    "add": "or",
    "mul": "and",
    "max": "or",
    "min": "and",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "sub": "xor",
}
_FLOAT_CALLS = {
    "sqrt": "llvm.sqrt", "floor": "llvm.floor", "ceil": "llvm.ceil", "trunc": "llvm.trunc",
    "rint": "llvm.rint", "copysign": "llvm.copysign", "abs": "llvm.fabs", "fma": "llvm.fma",
    "min": "llvm.minimum", "max": "llvm.maximum",
}  # fmt: skip
IDENTITY: dict[str, Callable[[str], float]] = {
    "add": lambda dtype: -0.0 if dtype[0] == "f" else 0,
    "mul": lambda dtype: 1,
    "max": lambda dtype: lowest(dtype),
    "min": lambda dtype: highest(dtype),
    "and": lambda dtype: -1,
    "or": lambda dtype: 0,
    "xor": lambda dtype: 0,
}


def lowest(dtype: str) -> float:
    """The least value of an element type."""
    if dtype[0] == "f":
        return -float("inf")
    return -(1 << (BITS[dtype] - 1)) if dtype[0] == "i" else 0


def highest(dtype: str) -> float:
    """The greatest value of an element type."""
    if dtype[0] == "f":
        return float("inf")
    return (1 << (BITS[dtype] - (dtype[0] == "i"))) - 1


class Operations(Text):
    """Text with arithmetic."""

    def intrinsic(self, name: str, dtype: str, lanes: int, args: list[str], flags: str = "") -> str:
        """A call of an intrinsic whose operands and result have one type."""
        kind = register(dtype, lanes)
        return self.call(f"{name}.{overload(dtype, lanes)}", kind, ", ".join([f"{kind} {a}" for a in args]),
                         ", ".join([kind] * len(args)), flags)  # fmt: skip

    def splat(self, dtype: str, lanes: int, scalar: str) -> str:
        """The vector of equal lanes."""
        kind = register(dtype, lanes)
        one = self.let(f"insertelement {kind} poison, {REGISTER[dtype]} {scalar}, i32 0")
        return self.let(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")

    def select(self, dtype: str, lanes: int, condition: str, yes: str, no: str, uniform: bool = False) -> str:
        """yes where the condition holds; uniform: the condition is a scalar."""
        kind = register(dtype, lanes)
        return self.let(
            f"select {vector_of('i1', 0 if uniform else lanes)} {condition}, {kind} {yes}, {kind} {no}"
        )

    def arithmetic(self, name: str, dtype: str, lanes: int, args: list[str], flags: str = "") -> str:
        """One of loops.ARITHMETIC or COMPARISONS; dtype is the operands'."""
        kind = register(dtype, lanes)
        if name in COMPARISONS:
            if dtype[0] == "f":
                relation = "fcmp une" if name == "ne" else f"fcmp o{name}"
            elif name in ("eq", "ne"):
                relation = f"icmp {name}"
            else:
                relation = f"icmp {'s' if dtype[0] == 'i' else 'u'}{name}"
            return self.let(f"{relation} {kind} {args[0]}, {args[1]}")
        if dtype[0] == "f":
            if name in _FLOAT:
                return self.let(f"{_FLOAT[name]} {flags}{kind} {args[0]}, {args[1]}")
            if name == "neg":
                return self.let(f"fneg {kind} {args[0]}")
            # min and max: a NaN is passed on; which of two zeros comes out is free, as in NumPy
            return self.intrinsic(
                _FLOAT_CALLS[name], dtype, lanes, args, "nsz " if name in ("min", "max") else ""
            )
        if dtype == "b1" and name in _BOOLEAN:
            return self.let(f"{_BOOLEAN[name]} {kind} {args[0]}, {args[1]}")
        if name in _INTEGER:
            return self.let(f"{_INTEGER[name]} {kind} {args[0]}, {args[1]}")
        if name in ("min", "max"):
            return self.intrinsic(f"llvm.{'s' if dtype[0] == 'i' else 'u'}{name}", dtype, lanes, args)
        if name in ("div", "rem"):
            return self._divide(name, dtype, lanes, args)
        if name in ("shl", "shr"):
            return self._shift(name, dtype, lanes, args)
        if name == "neg":
            return self.let(f"sub {kind} {constant(dtype, lanes, 0)}, {args[0]}")
        if name == "not":
            return self.let(f"xor {kind} {args[0]}, {constant(dtype, lanes, -1)}")
        if name == "abs":
            return self._counted("llvm.abs", dtype, lanes, args[0]) if dtype[0] == "i" else args[0]
        if name == "popcount":
            return self.intrinsic("llvm.ctpop", dtype, lanes, args)
        if name == "clz":
            return self._counted("llvm.ctlz", dtype, lanes, args[0])
        if name == "fma":
            return self.let(f"add {kind} {self.let(f'mul {kind} {args[0]}, {args[1]}')}, {args[2]}")
        raise UnsupportedError(f"kernels have no operation {name} of {dtype}")

    def _counted(self, name: str, dtype: str, lanes: int, x: str) -> str:
        """An intrinsic with a flag that says whether the odd case is undefined: it is not."""
        kind = register(dtype, lanes)
        return self.call(f"{name}.{overload(dtype, lanes)}", kind, f"{kind} {x}, i1 false", f"{kind}, i1")

    def _divide(self, name: str, dtype: str, lanes: int, args: list[str]) -> str:
        """Truncates. By zero: -1, and the dividend as remainder. The least integer by -1 wraps to itself."""
        kind, (x, y), signed = register(dtype, lanes), args, dtype[0] == "i"
        instruction = {"div": "sdiv" if signed else "udiv", "rem": "srem" if signed else "urem"}[name]
        known = y.removeprefix("splat (").removesuffix(")").split()[-1]
        if known.lstrip("-").isdigit() and known not in ("0", "-1"):
            return self.let(f"{instruction} {kind} {x}, {y}")
        zero = self.let(f"icmp eq {kind} {y}, {constant(dtype, lanes, 0)}")
        bad = zero
        if signed:
            least = self.let(f"icmp eq {kind} {x}, {constant(dtype, lanes, lowest(dtype))}")
            minus = self.let(f"icmp eq {kind} {y}, {constant(dtype, lanes, -1)}")
            flag = vector_of("i1", lanes)
            bad = self.let(f"or {flag} {zero}, {self.let(f'and {flag} {least}, {minus}')}")
        safe = self.select(dtype, lanes, bad, constant(dtype, lanes, 1), y)
        if lanes and BITS[dtype] <= 32:
            result = self._divide_by_floating_point(name, dtype, lanes, x, safe)
        else:
            result = self.let(f"{instruction} {kind} {x}, {safe}")
        return self.select(dtype, lanes, zero, constant(dtype, lanes, -1) if name == "div" else x, result)

    def _divide_by_floating_point(self, name: str, dtype: str, lanes: int, x: str, y: str) -> str:
        """Machines divide integers one by one, but vectors of floating point at once. The result is exact: a
        quotient that is no integer differs from every integer by 1/x of itself at least, which is more than
        it is rounded by."""
        kind, wide = register(dtype, lanes), "f8" if BITS[dtype] == 32 else "f4"
        dividend, divisor = (self.cast(dtype, wide, lanes, v) for v in (x, y))
        ratio = self.let(f"fdiv {register(wide, lanes)} {dividend}, {divisor}")
        convert = "fptosi" if dtype[0] == "i" else "fptoui"
        quotient = self.let(f"{convert} {register(wide, lanes)} {ratio} to {kind}")
        if name == "div":
            return quotient
        return self.let(f"sub {kind} {x}, {self.let(f'mul {kind} {quotient}, {y}')}")

    def _shift(self, name: str, dtype: str, lanes: int, args: list[str]) -> str:
        """By the width of the type or more (or a negative amount): 0, or copies of the sign."""
        kind, (x, y), bits = register(dtype, lanes), args, BITS[dtype]
        known = y.removeprefix("splat (").removesuffix(")").split()[-1]
        inside = known.isdigit() and int(known) < bits
        if name == "shr" and dtype[0] == "i":
            if not inside:
                y = self.intrinsic("llvm.umin", dtype, lanes, [y, constant(dtype, lanes, bits - 1)])
            return self.let(f"ashr {kind} {x}, {y}")
        shifted = self.let(f"{'shl' if name == 'shl' else 'lshr'} {kind} {x}, {y}")
        if inside:
            return shifted
        fits = self.let(f"icmp ult {kind} {y}, {constant(dtype, lanes, bits)}")
        return self.select(dtype, lanes, fits, shifted, constant(dtype, lanes, 0))

    def cast(self, source: str, target: str, lanes: int, x: str) -> str:
        """By value: integers wrap; floating to integer truncates and saturates, NaN becomes 0; to b1: is it
        not 0?"""
        if source == target:
            return x
        old, new = register(source, lanes), register(target, lanes)
        if target == "b1":
            if source[0] == "f":
                return self.let(f"fcmp une {old} {x}, {constant(source, lanes, 0.0)}")
            return self.let(f"icmp ne {old} {x}, {constant(source, lanes, 0)}")
        if source[0] == "f" and target[0] == "f":
            return self.let(f"{'fpext' if target == 'f8' else 'fptrunc'} {old} {x} to {new}")
        if target[0] == "f":
            return self.let(f"{'sitofp' if source[0] == 'i' else 'uitofp'} {old} {x} to {new}")
        if source[0] == "f":
            return self._saturate(source, target, lanes, x)
        if BITS[target] == BITS[source]:
            return x
        if BITS[target] < BITS[source]:
            return self.let(f"trunc {old} {x} to {new}")
        return self.let(f"{'sext' if source[0] == 'i' else 'zext'} {old} {x} to {new}")

    def _saturate(self, source: str, target: str, lanes: int, x: str) -> str:
        """Floating to integer: what lies beyond is the bound, NaN becomes 0. (LLVM's own saturating conversion takes
        vectors apart.)"""
        top = int(highest(target))
        beyond_digits = max(0, top.bit_length() - (24 if source == "f4" else 53))
        last = top >> beyond_digits << beyond_digits  # the greatest that source holds
        low, high = constant(source, lanes, float(lowest(target))), constant(source, lanes, float(last))
        kind = register(source, lanes)
        inside = self.select(source, lanes, self.let(f"fcmp ogt {kind} {x}, {low}"), x, low)
        inside = self.select(source, lanes, self.let(f"fcmp olt {kind} {inside}, {high}"), inside, high)
        sign = "s" if target[0] == "i" else "u"
        result = self.let(f"fpto{sign}i {kind} {inside} to {register(target, lanes)}")
        if last < top:
            beyond = self.let(f"fcmp ogt {kind} {x}, {high}")
            result = self.select(target, lanes, beyond, constant(target, lanes, top), result)
        if sign == "s":
            number = self.let(f"fcmp ord {kind} {x}, {x}")
            result = self.select(target, lanes, number, result, constant(target, lanes, 0))
        return result

    def bitcast(self, source: str, target: str, lanes: int, x: str) -> str:
        """The same bits as another type; b1 stands for a byte that is 0 or 1; f2 and bf for their bits,
        values being f4."""
        if target in ("f2", "bf"):
            return self.decode(target, lanes, x)
        if source in ("f2", "bf"):
            return self.encode(source, lanes, x)
        if "b1" in (source, target):
            return self.cast(source, target, lanes, x)
        if REGISTER[source] == REGISTER[target]:
            return x
        return self.let(f"bitcast {register(source, lanes)} {x} to {register(target, lanes)}")

    # -- what lies in memory, and what is computed with
    def decode(self, dtype: str, lanes: int, x: str) -> str:
        """From memory's type to the register's."""
        if dtype == "b1":
            byte = vector_of("i8", lanes)
            return self.let(f"icmp ne {byte} {x}, {constant('u1', lanes, 0)}")
        if dtype == "f2" and not machine.converts_halves():
            return self._widen_half(lanes, x)
        if dtype == "f2":
            half = self.let(f"bitcast {vector_of('i16', lanes)} {x} to {vector_of('half', lanes)}")
            return self.let(f"fpext {vector_of('half', lanes)} {half} to {register('f4', lanes)}")
        if dtype == "bf":
            word = register("u4", lanes)
            wide = self.let(f"zext {vector_of('i16', lanes)} {x} to {word}")
            high = self.let(f"shl {word} {wide}, {constant('u4', lanes, 16)}")
            return self.let(f"bitcast {word} {high} to {register('f4', lanes)}")
        return x

    def encode(self, dtype: str, lanes: int, x: str) -> str:
        """From the register's type to memory's; f4 rounds to the nearest, ties to even, and NaN stays NaN."""
        if dtype == "b1":
            return self.let(f"zext {register('b1', lanes)} {x} to {vector_of('i8', lanes)}")
        if dtype == "f2" and not machine.converts_halves():
            return self._narrow_to_half(lanes, x)
        if dtype == "f2":
            half = self.let(f"fptrunc {register('f4', lanes)} {x} to {vector_of('half', lanes)}")
            return self.let(f"bitcast {vector_of('half', lanes)} {half} to {vector_of('i16', lanes)}")
        if dtype == "bf":
            value, word = register("f4", lanes), register("u4", lanes)
            bits = self.let(f"bitcast {value} {x} to {word}")
            high = self.let(f"lshr {word} {bits}, {constant('u4', lanes, 16)}")
            odd = self.let(f"and {word} {high}, {constant('u4', lanes, 1)}")
            near = self.let(f"add {word} {bits}, {constant('u4', lanes, 0x7FFF)}")
            near = self.let(
                f"lshr {word} {self.let(f'add {word} {near}, {odd}')}, {constant('u4', lanes, 16)}"
            )
            quiet = self.let(f"or {word} {high}, {constant('u4', lanes, 0x40)}")
            nan = self.let(f"fcmp uno {value} {x}, {x}")
            chosen = self.select("u4", lanes, nan, quiet, near)
            return self.let(f"trunc {word} {chosen} to {vector_of('i16', lanes)}")
        return x

    def _widen_half(self, lanes: int, x: str) -> str:
        """The bits of float16 as float32, by integers: for processors without an instruction for it."""
        word, value = register("u4", lanes), register("f4", lanes)

        def u4(name: str, a: str, b: int | str) -> str:
            other = b if isinstance(b, str) else constant("u4", lanes, b)
            return self.let(f"{name} {word} {a}, {other}")

        bits = self.let(f"zext {vector_of('i16', lanes)} {x} to {word}")
        sign = u4("shl", u4("and", bits, 0x8000), 16)
        # Exponent and fraction in their new places, then 2**112 for the exponents' different zeros: exact,
        # also where float16 is subnormal.
        placed = u4("shl", u4("and", bits, 0x7FFF), 13)
        number = self.let(f"bitcast {word} {placed} to {value}")
        scaled = self.arithmetic("mul", "f4", lanes, [number, constant("f4", lanes, 2.0**112)])
        finite = self.let(f"bitcast {value} {scaled} to {word}")
        special = self.let(f"icmp uge {word} {placed}, {constant('u4', lanes, 31 << 23)}")
        chosen = self.select("u4", lanes, special, u4("or", placed, 0x7F800000), finite)
        return self.let(f"bitcast {word} {u4('or', chosen, sign)} to {value}")

    def _narrow_to_half(self, lanes: int, x: str) -> str:
        """The bits of the float16 nearest to a float32, ties to even, by integers."""
        word, value = register("u4", lanes), register("f4", lanes)

        def u4(name: str, a: str, b: int | str) -> str:
            other = b if isinstance(b, str) else constant("u4", lanes, b)
            return self.let(f"{name} {word} {a}, {other}")

        def at_least(a: str, least: int) -> str:
            return self.let(f"icmp uge {word} {a}, {constant('u4', lanes, least)}")

        bits = self.let(f"bitcast {value} {x} to {word}")
        size = u4("and", bits, 0x7FFFFFFF)
        odd = u4("and", u4("lshr", size, 13), 1)
        # The exponents' zeros differ by 112; half a unit less one, and one more where the last bit is odd
        normal = u4("lshr", u4("add", u4("add", size, 0xFFF - (112 << 23)), odd), 13)
        # Adding 1/2 leaves, rounded by the processor, the units of a subnormal float16 in the last bits.
        number = self.let(f"bitcast {word} {size} to {value}")
        shifted = self.arithmetic("add", "f4", lanes, [number, constant("f4", lanes, 0.5)])
        subnormal = u4("sub", self.let(f"bitcast {value} {shifted} to {word}"), 126 << 23)
        nan = u4("or", u4("and", u4("lshr", size, 13), 0x3FF), 0x7E00)
        out = self.select("u4", lanes, at_least(size, 113 << 23), normal, subnormal)
        out = self.select("u4", lanes, at_least(size, 143 << 23), constant("u4", lanes, 0x7C00), out)
        out = self.select("u4", lanes, at_least(size, 0x7F800001), nan, out)
        signed = u4("or", out, u4("and", u4("lshr", bits, 16), 0x8000))
        return self.let(f"trunc {word} {signed} to {vector_of('i16', lanes)}")

    def reduce(self, combine: str, dtype: str, lanes: int, vector: str) -> str:
        """All lanes to one scalar: the halves meet, then the quarters, and so on."""
        if lanes % 2 and lanes > 1:
            kind, even = register(dtype, lanes), lanes - 1
            last = self.let(f"extractelement {kind} {vector}, i32 {even}")
            places = ", ".join(f"i32 {k}" for k in range(even))
            rest = self.let(f"shufflevector {kind} {vector}, {kind} poison, <{even} x i32> <{places}>")
            return self.arithmetic(combine, dtype, 0, [self.reduce(combine, dtype, even, rest), last])
        if lanes > 1:
            kind, half = register(dtype, lanes), lanes // 2
            low, high = (
                self.let(
                    f"shufflevector {kind} {vector}, {kind} poison, "
                    f"<{half} x i32> <{', '.join(f'i32 {k + first}' for k in range(half))}>"
                )
                for first in (0, half)
            )
            return self.reduce(combine, dtype, half, self.arithmetic(combine, dtype, half, [low, high]))
        return self.let(f"extractelement {register(dtype, 1)} {vector}, i32 0")
