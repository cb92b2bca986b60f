"""jit: trace once for each type of arguments, compile, and call with as little Python as can be."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from fnn import tree
from fnn.config import config
from fnn.core.array import Array, ConcreteArray
from fnn.core.aval import Aval
from fnn.core.source import code_chain, describe, function_place, here
from fnn.core.trace import Tracer, state
from fnn.core.tracebacks import shortened
from fnn.errors import ArgumentError, UnsupportedError
from fnn.transforms import key_reuse
from fnn.transforms.calls import jit_call, staged
from fnn.transforms.dispatch import MISS, SHORT, Entry, Short
from fnn.transforms.flattening import abstract, flatten_arguments

if TYPE_CHECKING:  # only programs that look inside load them
    from fnn.transforms.lowered import Lowered
    from fnn.transforms.recompilation import Explanation, Signature

_ARRAYS = {ConcreteArray, Tracer}

LIMIT = 4096  # signatures kept per function, and functions whose applications are counted; beyond it the oldest is forgotten
_applications: dict[
    tuple[types.CodeType, ...], int
] = {}  # code of a function -> how many of its jits were traced


class Jitted:
    """What `jit` returns: call it like the function; `.lower(*args)` shows how it is compiled."""

    def __init__(
        self,
        f: Callable[..., Any],
        static_argnums: Sequence[int],
        static_argnames: Sequence[str],
        donate_argnums: Sequence[int],
        donate_argnames: Sequence[str],
    ):
        functools.update_wrapper(self, f, updated=())
        attributes = getattr(f, "__dict__", {}).items()
        self.__dict__.update({k: x for k, x in attributes if not hasattr(type(self), k)})
        self._f = f
        self._static_nums, self._static_names = _positions(f, static_argnums, static_argnames)
        self._donate_nums, self._donate_names = _positions(f, donate_argnums, donate_argnames)
        both = {*self._static_names} & {*self._donate_names} or {*self._static_nums} & {*self._donate_nums}
        if both:
            raise ArgumentError(f"jit of {function_place(f)}: {both} cannot be both static and donated")
        self._has_static = bool(self._static_nums or self._static_names)
        self._has_donated = bool(self._donate_nums or self._donate_names)
        self._cache: dict[Hashable, Entry] = {}
        self._short: list[Short] = []
        self._signatures: list[Any] = []  # of every trace, in order: what a Signature is made of, or it

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if not state.depth and not config.disable_jit:
                for call in self._short:
                    out = call(args, kwargs)
                    if out is not MISS:
                        return out
            return self._call(args, kwargs)
        except Exception as error:
            shortened(error)
            raise

    def _call(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The long way of a call."""
        if config.disable_jit:
            return self._f(*args, **kwargs)
        entry, leaves, traced = self._entry(args, kwargs)
        if traced or entry.inner or state.stage is not None:
            name = getattr(self._f, "__name__", "jit")
            return entry.result(jit_call(*leaves, *entry.captured, graph=entry.graph, name=name))
        if entry.keys:
            key_reuse.note_call(entry.keys, leaves)
        return entry.run(leaves)

    # -- signatures
    def _entry(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Entry, list[Any], bool]:
        """(the signature of a call, its leaves as arrays, whether one of them is traced)."""
        static: Any = ()  # a _Static, if there are such arguments
        dynamic, named = args, kwargs
        if self._has_static:
            dynamic, named, static = self._take_static(args, kwargs)
        leaves, structure = tree.flatten((dynamic, named))
        kinds = set(map(type, leaves))
        if not kinds <= _ARRAYS:
            names = self._leaf_names(structure, {i for i, _ in static[0]} if static else set())
            leaves = flatten_arguments(f"jit of {function_place(self._f)}", (dynamic, named), names)[0]
            kinds = set(map(type, leaves))
        avals = tuple([x.aval for x in leaves])
        axes = tuple([(name, trace.size) for name, trace in state.axes.items()]) if state.axes else ()  # type: ignore[attr-defined]
        key = tree.structure_key(structure), avals, static, axes, config.enable_x64, config.check_indices
        entry = self._cache.get(key)
        if entry is None or not entry.usable():
            entry = self._trace(dynamic, named, static, structure, avals, args)
            if len(self._cache) >= LIMIT:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = entry
            self._remember(structure, avals, static, axes)
        elif not (entry.quick or entry.inner):  # it is called again
            entry.quick = True
            self._short = [entry.short(structure, static), *self._short[: SHORT - 1]]
        return entry, leaves, Tracer in kinds

    def _trace(
        self, dynamic: tuple, named: dict, static: Any, structure: Any, avals: tuple[Aval, ...], args: tuple
    ) -> Entry:
        f = self._f

        @functools.wraps(f)
        def call(xs: tuple, keywords: dict[str, Any]) -> Any:
            if not static:
                return f(*xs, **keywords)
            fixed, fixed_names = static
            full = list(xs)
            for i, value in fixed:
                full.insert(i, value)
            return f(*full, **keywords, **dict(fixed_names))

        names = self._leaf_names(structure, {i for i, _ in static[0]} if static else set())
        graph, captured, out = staged(call, structure, avals, names)
        entry = Entry(graph, captured, out, self._donated(dynamic, named, args), function_place(f))
        if state.stage is None:  # a graph inside of another is checked with it
            key_reuse.check(graph)
            entry.keys = key_reuse.of_inputs(graph)
        return entry

    def _remember(self, structure: Any, avals: tuple[Aval, ...], static: Any, axes: tuple) -> None:
        """Keep what was traced, for whoever asks why."""
        if not self._signatures:
            code = code_chain(self._f)
            _applications[code] = _applications.pop(code, 0) + 1
            if len(_applications) > LIMIT:
                del _applications[next(iter(_applications))]
        name = self._leaf_names(structure, {i for i, _ in static[0]} if static else set())
        signature = structure, avals, static, axes, config.enable_x64, here(), name
        self._signatures = [*self._signatures[1 - LIMIT :], signature]
        if config.log == "compile":
            from fnn.transforms.recompilation import report

            report(self._f, self._traced())

    def _traced(self) -> list[Signature]:
        from fnn.transforms.recompilation import Signature

        self._signatures = [s if isinstance(s, Signature) else Signature(*s) for s in self._signatures]
        return self._signatures

    def _leaf_names(self, structure: Any, fixed: set[int]) -> Callable[[int], str]:
        """Number of a leaf -> how the user's function calls it: "params['w']"."""

        def name(i: int) -> str:
            path = tree.leaf_paths(structure)[i]
            if path[0].idx == 1:
                return f"{path[1].key}{tree.keystr(path[2:])}"
            position = path[1].idx
            for taken in sorted(fixed):
                position += taken <= position
            try:
                parameter = list(inspect.signature(self._f).parameters.values())[position]
                if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                    return f"{parameter.name}{tree.keystr(path[2:])}"
            except (TypeError, ValueError, IndexError):
                pass
            return f"args[{position}]{tree.keystr(path[2:])}"

        return name

    def _take_static(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any], Hashable]:
        places = sorted({i % len(args) for i in self._static_nums if -len(args) <= i < len(args)})
        fixed = tuple((i, args[i]) for i in places)
        names = tuple(sorted((k, kwargs[k]) for k in self._static_names if k in kwargs))
        for what, value in [
            *((f"argument {i}", v) for i, v in fixed),
            *((f"argument {k!r}", v) for k, v in names),
        ]:
            if type(value) is Tracer:
                raise ArgumentError(
                    f"jit of {function_place(self._f)}: static {what} is a traced {value.aval}, made at "
                    f"{describe(value.source)}; static arguments are plain Python values. Pass it as an ordinary "
                    "argument, or keep the outer function from tracing it."
                )
            try:
                hash(value)
            except TypeError:
                hint = (
                    "arrays are ordinary arguments; leave it out of static_argnums"
                    if isinstance(value, Array)
                    else "use a tuple for a list, a frozen dataclass for an object, or make it an ordinary argument"
                )
                raise ArgumentError(
                    f"jit of {function_place(self._f)}: static {what} is a {type(value).__name__}, which is not "
                    f"hashable, at {describe(here())}; {hint}"
                ) from None
        dynamic = tuple(a for i, a in enumerate(args) if i not in places)
        # Values that compare equal but differ in type (1 and 1.0 and True) are different programs.
        return (
            dynamic,
            {k: v for k, v in kwargs.items() if k not in self._static_names},
            _Static(fixed, names),
        )

    def _donated(self, dynamic: tuple, named: dict[str, Any], args: tuple) -> tuple[int, ...]:
        """Numbers of the leaves that are donated."""
        if not self._has_donated:
            return ()
        taken = {i % len(args) for i in self._static_nums if -len(args) <= i < len(args)}
        kept = [i for i in range(len(args)) if i not in taken]
        chosen = {i % len(args) for i in self._donate_nums if -len(args) <= i < len(args)}
        flags: list[bool] = []
        for i, x in zip(kept, dynamic, strict=True):
            flags += [i in chosen] * len(tree.leaves(x))
        for k in sorted(named):
            flags += [k in self._donate_names] * len(tree.leaves(named[k]))
        return tuple([i for i, f in enumerate(flags) if f])

    # -- looking inside
    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """How these arguments would be compiled; arrays or ShapeDtypeStruct. Nothing runs.

        >>> import fnn
        >>> print(fnn.jit(lambda x: x * 2.0).lower(1.0).graph())
        graph (a: f32[]*) {
          b: f32[]* = mul a 2.0
          return b
        }
        """
        dynamic, named, static = self._take_static(args, kwargs) if self._has_static else (args, kwargs, ())
        leaves, structure = tree.flatten((dynamic, named))
        avals = tuple([abstract(x) for x in leaves])
        entry = self._trace(dynamic, named, static, structure, avals, args)
        if entry.captured:
            raise ArgumentError(
                f"lower of {function_place(self._f)}: the function closes over a traced array, made at "
                f"{describe(entry.captured[0].source)}; lower the outermost jitted function"
            )
        from fnn.transforms.lowered import Lowered  # not every program looks

        return Lowered(entry, self, structure, static)

    def trace(self, *args: Any, **kwargs: Any) -> Lowered:
        """As `lower`."""
        return self.lower(*args, **kwargs)

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The types of the result, without computing it."""
        return self.lower(*args, **kwargs).out_info

    def clear_cache(self) -> None:
        """Forget all traced signatures."""
        self._cache.clear()
        self._short = []
        self._signatures = []

    def _cache_size(self) -> int:
        return len(self._cache)

    def __repr__(self) -> str:
        return f"<jit of {function_place(self._f)}>"


class _Static(tuple):
    """Static arguments as part of a key: equal where values and their types are."""

    def __new__(cls, fixed: tuple, names: tuple) -> _Static:
        return super().__new__(cls, (fixed, names))

    def _typed(self) -> tuple:
        return tuple(type(v) for part in self for _, v in part)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and tuple.__eq__(self, other) and self._typed() == other._typed()

    def __hash__(self) -> int:
        return tuple.__hash__(self)

    def __bool__(self) -> bool:
        return bool(self[0] or self[1])


def explain_recompile(f: Jitted) -> Explanation:
    """Why a jitted function was traced more than once: for every trace the line of the call, and how its
    arguments differ from those of the most similar trace before it. Print it. `FNN_LOG=compile` writes the same
    on stderr while it happens. Raises ArgumentError for a function that is not jitted.

    >>> import fnn, fnn.numpy as fnp
    >>> @fnn.jit
    ... def scaled(x, factor):
    ...     return x * factor
    >>> for size in (3, 4):
    ...     result = scaled(fnp.ones(size), 2.0)
    >>> fnn.explain_recompile(scaled).tracings[1].reasons[0]
    'x: f32[3] -> f32[4] (axis 0: pad to one size, or drop what does not fill it)'
    """
    if not isinstance(f, Jitted):
        raise ArgumentError(
            f"explain_recompile takes what jit returns, not {function_place(f)}; jit(f) is the function to call, too"
        )
    from fnn.transforms.recompilation import explain

    return explain(f._f, f._traced(), _applications.get(code_chain(f._f), 0))


def _listed(x: Any) -> tuple:
    return () if x is None else (x,) if isinstance(x, (int, str)) else tuple(x)


def _positions(
    f: Callable[..., Any], numbers: Sequence[int], names: Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and names of arguments, each completed by the other where the signature tells."""
    if not numbers and not names:
        return (), ()
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return tuple(numbers), tuple(names)
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    keywords = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for i in numbers:
        if not isinstance(i, int) or (not variadic and not -len(positional) <= i < len(positional)):
            raise ArgumentError(
                f"jit of {function_place(f)}: there is no argument {i!r}; positions run from 0 to "
                f"{len(positional) - 1}"
            )
    for n in names:
        if not isinstance(n, str) or (not keywords and n not in [p.name for p in parameters]):
            raise ArgumentError(
                f"jit of {function_place(f)}: there is no argument {n!r}; its arguments are "
                f"{', '.join(p.name for p in parameters)}"
            )
    if not variadic:  # a call may leave some arguments out: count from the front
        numbers = [i % len(positional) for i in numbers]
    more_names = [positional[i] for i in numbers if -len(positional) <= i < len(positional)]
    more_numbers = [positional.index(n) for n in names if n in positional]
    return tuple(dict.fromkeys([*numbers, *more_numbers])), tuple(dict.fromkeys([*names, *more_names]))


_LATER: Any = object()  # jit was called for its options


def jit(
    fun: Callable[..., Any] = _LATER,
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    donate_argnames: str | Sequence[str] | None = None,
    keep_unused: bool = False,
    inline: bool = False,
    device: Any = None,
    backend: str | None = None,
    in_shardings: Any = None,
    out_shardings: Any = None,
    compiler_options: dict[str, Any] | None = None,
) -> Any:
    """The function, traced once for each structure, shapes and dtypes of its arguments, and compiled to kernels.

    Arguments are pytrees of arrays and numbers. static_argnums, static_argnames: arguments that are hashable
    Python values; each new value compiles anew. donate_argnums, donate_argnames: arguments whose memory the
    result may take; they cannot be used afterwards (DonatedError). keep_unused, inline, device, shardings and
    compiler_options are accepted and change nothing: unused arguments cost nothing, nested calls are always
    inlined, and there is one device.

    Raises:
        ConcretizationError: Python asks for a traced value.
        UnsupportedError: another backend than "cpu".

    >>> import fnn, fnn.numpy as fnp
    >>> @fnn.jit
    ... def f(x):
    ...     return fnp.sum(x * x)
    >>> print(f(fnp.arange(3.0)))
    5.0
    """
    if backend not in (None, "cpu"):
        raise UnsupportedError(
            f"jit, at {describe(here())}: there is no backend {backend!r}; programs run on the CPU"
        )
    if fun is _LATER:
        return functools.partial(
            jit,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
            donate_argnums=donate_argnums,
            donate_argnames=donate_argnames,
        )
    if not callable(fun):
        raise ArgumentError(f"jit takes a function, not {type(fun).__name__}")
    return Jitted(
        fun,
        _listed(static_argnums),
        _listed(static_argnames),
        _listed(donate_argnums),
        _listed(donate_argnames),
    )
