"""A person's own Numba functions as machine code that a compiled program calls: no Python, no lock.

`compile_function` writes a loop over the tiles of a batch around the function and compiles it with `numba.cfunc`,
through Numba's public interface only. The result has the signature of the kernels, `(ptr arguments, i64 lo, i64 hi)`.
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.errors import MissingDependency
from fnn.records import record

Batches = tuple[tuple[int, tuple[bool, ...]], ...]  # outermost first: size, and which inputs have that axis


@record(eq=False)
class Compiled:
    """address: of the machine code; flag[0] is set when the function raised; keep: what must stay alive."""

    address: int
    flag: np.ndarray
    keep: Any


def jitted(f: Callable[..., Any]) -> Any:
    """f as a Numba dispatcher."""
    numba = _numba()
    return f if isinstance(f, numba.core.dispatcher.Dispatcher) else numba.njit(f)


def is_jitted(f: Any) -> bool:
    """Whether f is a Numba function; does not import Numba."""
    return type(f).__module__.partition(".")[0] == "numba"


def elementwise(f: Callable[..., Any], count: int) -> Any:
    """A function of a range and arrays that applies a function of `count` numbers to their elements."""
    names = [f"x{k}" for k in range(count)]
    source = (
        f"def apply(lo, hi, {', '.join(names)}, out):\n"
        f"    for i in range(lo, hi):\n"
        f"        out[i] = f({', '.join(f'{n}[i]' for n in names)})\n"
    )
    return _numba().njit(_defined(source, "apply", {"f": jitted(f)}))


def compile_function(
    f: Any, ins: Sequence[Aval], outs: Sequence[Aval], batches: Batches, static: dict[str, Any]
) -> Compiled:
    """Machine code of f(*inputs, *outputs, **static) for every element of the batches, one a tile; ins and outs: the
    types of one element. Inputs without axes arrive as numbers, results without axes as arrays of one element."""
    sizes = [n for n, _ in batches]
    every = [tuple(flags[k] for _, flags in batches) for k in range(len(ins))] + [(True,) * len(sizes)] * len(
        outs
    )
    lines, given = [], []
    for k, (aval, flags) in enumerate(zip([*ins, *outs], every, strict=True)):
        known = aval.dtype.name
        count = math.prod(n for n, flag in zip(sizes, flags, strict=True) if flag)
        steps, step, stride = [], 1, 1
        for n, flag in reversed(list(zip(sizes, flags, strict=True))):
            if flag:
                steps.append(f"t // {stride} % {n} * {step}")
                step *= n
            stride *= n
        at = " + ".join(steps) or "0"
        lines.append(
            f"    w{k} = carray(arguments[{k}], ({count}, {''.join(f'{n}, ' for n in aval.shape)}), np.{known})"
        )
        single = k >= len(ins) and not aval.shape
        given.append(f"w{k}[{at}:{at} + 1]" if single else f"w{k}[{at}]")
    given += [f"{name}={value!r}" for name, value in static.items()]
    lines += ["    for t in range(lo, hi):", "        try:", f"            f({', '.join(given)})"]
    return _compiled("\n".join(lines), f)


def compile_elementwise(loop: Any, ins: Sequence[Aval], out: Aval) -> Compiled:
    """Machine code of what `elementwise` made, a tile for each element."""
    lines = []
    for k, aval in enumerate([*ins, out]):
        known = aval.dtype.name
        lines.append(f"    w{k} = carray(arguments[{k}], ({aval.size},), np.{known})")
    given = ", ".join(f"w{k}" for k in range(len(ins) + 1))
    lines += ["    for t in range(1):", "        try:", f"            f(lo, hi, {given})"]
    return _compiled("\n".join(lines), loop)


DTYPES = (  # of arrays in Numba
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
    "complex64", "complex128",
)  # fmt: skip


def _compiled(body: str, f: Any) -> Compiled:
    numba = _numba()
    types = numba.types
    flag = np.zeros(1, np.int64)
    source = (
        f"def call(arguments, lo, hi):\n{body}\n        except Exception:\n"
        f"            carray(pointer({flag.ctypes.data}), 1)[0] = 1\n"
    ).replace("np.bool)", "np.bool_)")
    names = {"f": f, "carray": numba.carray, "np": np, "pointer": _pointer()}
    signature = types.void(types.CPointer(types.voidptr), types.int64, types.int64)
    made = numba.cfunc(signature)(_defined(source, "call", names))
    return Compiled(made.address, flag, made)


def _pointer() -> Any:
    numba = _numba()
    types = numba.types

    @numba.extending.intrinsic
    def pointer(context: Any, address: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(types.int64)(types.int64), write

    return pointer


def _defined(source: str, name: str, names: dict[str, Any]) -> Any:
    """The function that the source defines; its lines are there for tracebacks."""
    place = f"<fnn: {name} of {getattr(names['f'], '__name__', 'a function')}>"
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    exec(compile(source, place, "exec"), names)
    return names[name]


def _numba() -> Any:
    try:
        import numba
        import numba.core.dispatcher
        import numba.extending
    except ImportError as error:
        raise MissingDependency.of("numba", "a kernel of your own") from error
    return numba
