"""custom_kernel: a person's own Numba function as an operation that every transformation knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.aval import Aval
from fnn.core.lowering import NativeCall
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, function_place, here
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, DifferentiationError, DtypeError, KernelFailedError, ShapeError
from fnn.kernels.cpu import numba_functions as native
from fnn.primitives.rules import lift
from fnn.transforms.autodiff import fill, vjp_flat
from fnn.transforms.custom import mapped
from fnn.transforms.flattening import ShapeDtypeStruct

Batches = native.Batches


class custom_kernel:  # called like a function
    """A `@numba.njit` function as an operation: it takes part in jit, grad, vmap and scan, and compiled programs call
    its machine code directly, without Python and without the interpreter's lock.

    kernel(*inputs, *outputs, **static): fills the output arrays. Inputs are C-contiguous arrays that must not be
    written; an input without axes arrives as a number, a result without axes is an array of one element. Arguments
    passed by name are constants of the program (numbers and bools). out(*inputs, **static) -> what has the shape and
    dtype of the result (an input, or `fnn.ShapeDtypeStruct`), or a tuple of such. Without `out` the kernel is a function
    of numbers that returns one, applied to every element of its operands, which broadcast.

    vjp(*inputs, *outputs, *cotangents, **static) -> a cotangent for each input, or None (for one input: itself).
    jvp(*inputs, *outputs, *tangents, **static) -> a tangent for each output. Either is a function over arrays, or itself
    a `@numba.njit` kernel that fills its results (cotangents of all inexact inputs; tangents of all outputs). With a
    jvp alone reverse mode transposes it, and the other way round, where it is written with fnn's operations.
    batch(axis_size, in_batched, *inputs, **static) -> (outputs, out_batched) replaces the loop over a batch, whose
    elements may run on several threads. cost: nanoseconds of one call, roughly. cuda: the `@numba.cuda.jit` version, for
    machines that have one.

    >>> import fnn, fnn.numpy as fnp, numba
    >>> @numba.njit
    ... def running_maximum(x, out):
    ...     best = x[0]
    ...     for i in range(x.size):
    ...         best = max(best, x[i])
    ...         out[i] = best
    >>> f = fnn.custom_kernel(running_maximum, out=lambda x: x)
    >>> print(fnn.jit(f)(fnp.array([1.0, 3.0, 2.0])))
    [1. 3. 3.]
    """

    def __init__(
        self,
        kernel: Callable[..., Any],
        out: Callable[..., Any] | None = None,
        *,
        jvp: Callable[..., Any] | None = None,
        vjp: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | None = None,
        cuda: Callable[..., Any] | None = None,
        cost: float | None = None,
        name: str | None = None,
    ):
        if not callable(kernel):
            raise ArgumentError(
                f"custom_kernel takes a function, not {type(kernel).__name__}, at {describe(here())}"
            )
        self.kernel, self.out, self.batch, self.cuda, self.cost = kernel, out, batch, cuda, cost
        self.jvp, self.vjp = jvp, vjp
        self.__name__ = name or getattr(kernel, "__name__", "kernel")
        self.__wrapped__ = getattr(kernel, "py_func", kernel)
        self._compiled: dict[Any, native.Compiled] = {}
        self._function: Any = None
        self._loops: dict[int, Any] = {}
        self._rules: dict[tuple[int, int, bool], custom_kernel] = {}

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Give the forward derivative; see the class."""
        self.jvp = jvp
        return jvp

    def defvjp(self, vjp: Callable[..., Any]) -> Callable[..., Any]:
        """Give the reverse derivative; see the class."""
        self.vjp = vjp
        return vjp

    def tangents(
        self, ins: Sequence[Any], outs: Sequence[Any], given: Sequence[Any], static: dict[str, Any]
    ) -> list[Any]:
        """The tangents of the outputs, by the user's rule, for those of the floating inputs."""
        rule = self.jvp
        assert rule is not None
        if native.is_jitted(rule):
            rule = self._kernel_of(rule, len(ins), len(outs), True)
        return _results(rule(*ins, *outs, *given, **static), len(outs))

    def cotangents(
        self, ins: Sequence[Any], outs: Sequence[Any], given: Sequence[Any], static: dict[str, Any]
    ) -> list[Any]:
        """The cotangents of the inputs, by the user's rule."""
        rule = self.vjp
        assert rule is not None
        if not native.is_jitted(rule):
            return _results(rule(*ins, *outs, *given, **static), len(ins))
        found = iter(self._kernel_of(rule, len(ins), len(outs), False)(*ins, *outs, *given, **static))
        return [next(found) if aval_of(x).is_inexact else None for x in ins]

    def _kernel_of(self, rule: Any, inputs: int, outputs: int, tangents: bool) -> custom_kernel:
        """A rule that is itself a kernel, as an operation."""

        def out(*xs: Any, **static: Any) -> tuple:
            if tangents:
                return xs[inputs : inputs + outputs]
            return tuple(x for x in xs[:inputs] if np.dtype(x.dtype).kind in "fc")

        key = inputs, outputs, tangents
        if key not in self._rules:
            self._rules[key] = custom_kernel(rule, out)
        return self._rules[key]

    # -- types
    def results(self, avals: Sequence[Aval], static: dict[str, Any]) -> tuple[list[Aval], bool]:
        """The types of the results for inputs of these types; whether they are returned as a tuple."""
        if self.out is None:
            return [self._number_type(avals)], False
        found = self.out(*[ShapeDtypeStruct(a.shape, a.dtype) for a in avals], **static)
        several = isinstance(found, (tuple, list))
        try:
            return [
                Aval(tuple(x.shape), dtypes.as_dtype(x.dtype)) for x in (found if several else [found])
            ], several
        except AttributeError:
            raise ArgumentError(
                f"custom_kernel {self.__name__}: out returned {found!r}; it must return what has a shape and a dtype: one of "
                "its arguments, or fnn.ShapeDtypeStruct(shape, dtype)"
            ) from None

    def _number_type(self, avals: Sequence[Aval]) -> Aval:
        shape = next((a.shape for a in avals if a.shape), ())
        strong = [a.dtype for a in avals if not a.weak_type] or [a.dtype for a in avals]
        return Aval(shape, np.dtype(dtypes.promote_types(*strong) if len(strong) > 1 else strong[0]))

    # -- running
    def function(self) -> Any:
        """The kernel as a Numba function."""
        if self._function is None:
            self._function = native.jitted(self.kernel)
        return self._function

    def loop(self, count: int) -> Any:
        """The loop over elements around a function of `count` numbers."""
        if count not in self._loops:
            self._loops[count] = native.elementwise(self.kernel, count)
        return self._loops[count]

    def compiled(
        self, ins: Sequence[Aval], outs: Sequence[Aval], batches: Batches, static: tuple[tuple[str, Any], ...]
    ) -> native.Compiled:
        """The machine code for operands of these types, made once."""
        key = (tuple(ins), tuple(outs), batches, static)
        found = self._compiled.get(key)
        if found is None:
            if self.out is None:
                found = native.compile_elementwise(self.loop(len(ins)), ins, outs[0])
            else:
                found = native.compile_function(self.function(), ins, outs, batches, dict(static))
            self._compiled[key] = found
        return found

    @filtered
    def __call__(self, *args: Any, **static: Any) -> Any:
        arrays = [x if isinstance(x, Array) else as_array(x) for x in args]
        for name, value in static.items():
            if not isinstance(value, (bool, int, float)):
                raise ArgumentError(
                    f"custom_kernel {self.__name__}: the argument {name!r} is a {type(value).__name__}; what is passed by "
                    f"name is a number that is part of the program, at {describe(here())}; pass arrays by position"
                )
        if self.out is None:
            arrays = _broadcast(self.__name__, arrays)
        outs = custom_kernel_p(
            *arrays, kernel=self, batches=(), static=tuple(sorted(static.items())), name=self.__name__
        )
        several = self.results([aval_of(x) for x in arrays], static)[1]
        return tuple(outs) if several else outs[0]

    def __repr__(self) -> str:
        return f"<custom_kernel {function_place(self)}>"


def _broadcast(name: str, arrays: list[Any]) -> list[Any]:
    try:
        shape = np.broadcast_shapes(*[tuple(x.shape) for x in arrays])
    except ValueError:
        shapes = ", ".join(str(x.aval) for x in arrays)
        raise ShapeError(f"custom_kernel {name}: {shapes} do not broadcast, at {describe(here())}") from None
    return [
        x
        if tuple(x.shape) == shape
        else P.broadcast(
            P.reshape(x, shape=tuple(n for n in x.shape if n != 1)),
            shape=shape,
            axes=tuple(len(shape) - x.ndim + d for d, n in enumerate(x.shape) if n != 1),
        )
        for x in arrays
    ]


# -- the primitive -------------------------------------------------------------------------------------------


def _one(avals: Sequence[Aval], batches: Batches) -> list[Aval]:
    """The types of one element of a batch."""
    for a in avals:
        if a.dtype.name not in native.DTYPES:
            raise DtypeError(
                f"a custom_kernel was given {a}, at {describe(here())}; Numba has no such arrays: convert with .astype first"
            )
    return [
        a.update(shape=a.shape[sum(flags[k] for _, flags in batches) :], weak_type=False)
        for k, a in enumerate(avals)
    ]


def _shape(
    *avals: Aval, kernel: custom_kernel, batches: Batches, static: tuple, name: str
) -> tuple[Aval, ...]:
    sizes = tuple(n for n, _ in batches)
    one, _ = kernel.results(_one(avals, batches), dict(static))
    return tuple([a.update(shape=(*sizes, *a.shape)) for a in one])


def _evaluate(
    *args: Any, kernel: custom_kernel, batches: Batches, static: tuple, name: str
) -> list[np.ndarray]:
    values = [np.ascontiguousarray(a).reshape(np.shape(a)) for a in args]
    avals = [aval_of(a) for a in args]
    found, _ = kernel.results(_one(avals, batches), dict(static))
    sizes = tuple(n for n, _ in batches)
    outs = [np.zeros((*sizes, *a.shape), a.dtype) for a in found]
    if kernel.out is None:
        kernel.loop(len(values))(0, outs[0].size, *[v.reshape(-1) for v in values], outs[0].reshape(-1))
        return outs
    for index in np.ndindex(*sizes):
        given = []
        for k, x in enumerate(values):
            given.append(x[tuple(i for i, (_, flags) in zip(index, batches, strict=True) if flags[k])])
        given += [o[index] if a.shape else o[(*index, None)] for o, a in zip(outs, found, strict=True)]
        kernel.function()(*given, **dict(static))
    return outs


def _tangents(p: dict[str, Any], ins: Sequence[Any], outs: Sequence[Any], given: Sequence[Any]) -> list[Any]:
    """The tangents of the outputs, over the batches, for those of the floating inputs."""
    kernel, static, n, m = p["kernel"], dict(p["static"]), len(ins), len(outs)
    floats = [i for i, x in enumerate(ins) if aval_of(x).is_inexact]

    def rule(*xs: Any) -> list[Any]:
        return kernel.tangents(xs[:n], xs[n : n + m], xs[n + m :], static)

    for size, flags in reversed(p["batches"]):
        rule = mapped(rule, size, [*flags, *[True] * m, *(flags[i] for i in floats)])
    return rule(*ins, *outs, *given)


def _cotangents(
    p: dict[str, Any], ins: Sequence[Any], outs: Sequence[Any], given: Sequence[Any]
) -> list[Any]:
    """The cotangents of the inputs, over the batches: summed for what the elements of a batch share."""
    kernel, static, n, m = p["kernel"], dict(p["static"]), len(ins), len(outs)

    def rule(*xs: Any) -> list[Any]:
        return kernel.cotangents(xs[:n], xs[n : n + m], xs[n + m :], static)

    def summed(rule: Callable[..., Any], size: int, flags: Sequence[bool]) -> Callable[..., list[Any]]:
        every = mapped(rule, size, [*flags, *[True] * (2 * m)])

        def call(*xs: Any) -> list[Any]:
            pairs = zip(every(*xs), flags, strict=True)
            return [c if c is None or f else P.reduce_sum(c, axes=(0,)) for c, f in pairs]

        return call

    for size, flags in reversed(p["batches"]):
        rule = summed(rule, size, flags)
    return rule(*ins, *outs, *given)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> Any:
    kernel = p["kernel"]
    outs = custom_kernel_p(*primals, **p)
    floats = [i for i, x in enumerate(primals) if aval_of(x).is_inexact]
    if kernel.jvp is not None:
        return outs, _tangents(p, primals, outs, [fill(tangents[i], aval_of(primals[i])) for i in floats])
    if kernel.vjp is None:
        raise _no_derivative(kernel)

    def backward(*cts: Any) -> list[Any]:  # linear: its own vjp is its transpose, the forward derivative
        found = _cotangents(p, primals, outs, cts)
        return [fill(found[i], aval_of(primals[i])) for i in floats]

    avals = [aval_of(o) for o in outs]
    _, forward = vjp_flat(backward, [P.zeros(a.strong()) for a in avals], [a.is_inexact for a in avals])
    return outs, forward([tangents[i] for i in floats])


def _vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    kernel = p["kernel"]
    if kernel.vjp is None and kernel.jvp is None:
        raise _no_derivative(kernel)
    outs = custom_kernel_p(*args, **p)
    avals = [aval_of(o) for o in outs]

    def back(cts: Sequence[Any]) -> list[Any]:
        cts = [fill(c, a) for c, a in zip(cts, avals, strict=True)]
        if kernel.vjp is not None:
            found = _cotangents(p, args, outs, cts)
            return [c if n else None for c, n in zip(found, needs, strict=True)]
        floats = [i for i, x in enumerate(args) if aval_of(x).is_inexact]
        zeros = [P.zeros(aval_of(args[i]).strong()) for i in floats]
        _, pull = vjp_flat(lambda *ts: _tangents(p, args, outs, ts), zeros, [True] * len(floats))
        given = dict(zip(floats, pull(cts), strict=True))
        return [given.get(i) if n else None for i, n in enumerate(needs)]

    return outs, back, [a.is_inexact for a in avals]


def _results(found: Any, count: int) -> list[Any]:
    """What a rule returned, one for each."""
    items = list(found) if isinstance(found, (tuple, list)) else [found]
    if len(items) != count:
        raise ArgumentError(f"the derivative of a custom_kernel returned {len(items)} results for {count}")
    return [None if x is None else x if isinstance(x, Array) else as_array(x) for x in items]


def _no_derivative(kernel: custom_kernel) -> DifferentiationError:
    return DifferentiationError(
        f"the custom_kernel {kernel.__name__} has no derivative, at {describe(here())}: give it one with vjp= or jvp= "
        "(fnn.custom_kernel(f, out=..., vjp=lambda x, out, ct: ...)), or stop it with fnn.lax.stop_gradient"
    )


def _batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    kernel, batches = p["kernel"], p["batches"]
    if kernel.out is None:
        full = [lift(frame.size, a, f) for a, f in zip(args, flags, strict=True)]
        return custom_kernel_p(*full, **p), [True]
    if kernel.batch is not None and not batches:
        found, mine = kernel.batch(frame.size, list(flags), *args, **dict(p["static"]))
        types, _ = kernel.results([_inner(a, f) for a, f in zip(args, flags, strict=True)], dict(p["static"]))
        outs = _results(found, len(types))
        marks = list(mine) if isinstance(mine, (tuple, list)) else [mine] * len(outs)
        return outs, marks
    outs = custom_kernel_p(*args, **{**p, "batches": ((frame.size, tuple(flags)), *batches)})
    return outs, [True] * len(outs)


def _inner(x: Any, batched: bool) -> Aval:
    a = aval_of(x)
    return a.update(shape=a.shape[1:]) if batched else a


def _compile(ins: tuple[Aval, ...], outs: tuple[Aval, ...], p: dict[str, Any]) -> int:
    kernel, batches = p["kernel"], p["batches"]
    one = [a.update(shape=a.shape[len(batches) :]) for a in outs]
    return kernel.compiled(_one(ins, batches), one, batches, p["static"]).address


def _tiles(ins: tuple[Aval, ...], outs: tuple[Aval, ...], p: dict[str, Any]) -> int:
    return outs[0].size if p["kernel"].out is None else math.prod(n for n, _ in p["batches"])


def _cost(ins: tuple[Aval, ...], outs: tuple[Aval, ...], p: dict[str, Any]) -> float:
    """Nanoseconds: as the user says, or a few per element. A kernel with threads of its own gets one of ours."""
    kernel = p["kernel"]
    options = getattr(kernel.function() if kernel.out is not None else None, "targetoptions", {})
    if options.get("parallel"):
        return 0.0
    each = kernel.cost or 5.0 * sum(a.size for a in _one(ins, p["batches"]))
    return each * (1 if kernel.out is None else max(1, math.prod(n for n, _ in p["batches"])))


def _failed(p: dict[str, Any]) -> Exception | None:
    kernel = p["kernel"]
    raised = [c for c in kernel._compiled.values() if c.flag[0]]
    for c in raised:
        c.flag[0] = 0
    if not raised:
        return None
    return KernelFailedError(
        f"the custom_kernel {kernel.__name__} raised an exception in a compiled program, which has no place for it; "
        "`with fnn.disable_jit():` shows it"
    )


def _cumulate(x: Any, out: Any) -> None:
    total = 0.0
    for i in range(x.size):
        total += x[i]
        out[i] = total


def _samples() -> list[Sample]:
    kernel = custom_kernel(_cumulate, lambda x: x, vjp=lambda x, out, ct: P.cumsum(ct, axis=0, reverse=True))
    params = {"kernel": kernel, "batches": (), "static": (), "name": "cumulate"}
    return [Sample(("f4[5]",), params), Sample(("f4[0]",), params)]


custom_kernel_p = Primitive(
    "custom_kernel",
    multiple=True,
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    lower=NativeCall(_compile, _tiles, _cost, _failed),
    samples=_samples,
)
