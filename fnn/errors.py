"""Every exception fnn raises on purpose.

Each class derives from `FnnError`, so `except fnn.errors.FnnError` catches all of them, and from the builtin
a person would expect, so code written for `TypeError` or `IndexError` keeps working. The docstring of each
class shows code that raises it, why it does, and how to write it instead.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "AxisError",
    "AxisNameError",
    "CacheWarning",
    "CheckError",
    "ConcretizationError",
    "ConcretizationTypeError",
    "DifferentiationError",
    "DonatedError",
    "DtypeError",
    "FnnError",
    "GraphError",
    "ImmutableError",
    "IndexingError",
    "KernelFailedError",
    "KeyReuseError",
    "KeyReuseWarning",
    "LeakError",
    "MismatchError",
    "MissingDependency",
    "MissingRuleError",
    "NonConcreteBooleanIndexError",
    "NonFiniteError",
    "ShapeError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TracerSliceError",
    "TreeError",
    "UnexpectedTracerError",
    "UnsupportedError",
]


class FnnError(Exception):
    """The base of every exception fnn raises on purpose."""


# --------------------------------------------------------------------- values that do not exist while tracing


class ConcretizationError(FnnError, TypeError):
    """Python asked for the value of an array that has none while a function is traced.

    Broken::

        @fnn.jit
        def f(x):
            return float(x.sum())      # the sum is not computed yet

    Inside `jit`, `vmap` and the bodies of `scan`, `cond` and `while_loop` an array stands for a result that is
    computed later, so its value cannot leave the program. Keep it an array, or read it outside::

        @fnn.jit
        def f(x):
            return x.sum()

        float(f(x))

    A Python number that shapes the program (a length, an axis, a flag) is passed as a static argument
    instead: `fnn.jit(f, static_argnums=1)`.
    """


ConcretizationTypeError = ConcretizationError
"""JAX's name of `ConcretizationError`."""


class TracerBoolConversionError(ConcretizationError):
    """Python's `if`, `while`, `and`, `or`, `not` or `bool()` met an array whose value is not known while
    tracing.

    Broken::

        @fnn.jit
        def f(x):
            if x > 0:
                return x
            return -x

    Which branch runs depends on a value that exists only when the compiled program runs. Choose by value with
    `where`, or keep both branches in the program with `cond`::

        @fnn.jit
        def f(x):
            return fnp.where(x > 0, x, -x)

    A loop until a condition holds is `fnn.lax.while_loop`; `a and b` over arrays is `a & b`.
    """


class TracerArrayConversionError(ConcretizationError):
    """NumPy was handed an array whose value is not known while tracing.

    Broken::

        @fnn.jit
        def f(x):
            return np.sin(x)           # np: plain NumPy

    NumPy computes at once and needs numbers. Use the function of the same name from `fnn.numpy`::

        @fnn.jit
        def f(x):
            return fnp.sin(x)
    """


class TracerIntegerConversionError(ConcretizationError):
    """Python needed an integer (an index of a list, a `range`, a shape) and got an array unknown while
    tracing.

    Broken::

        @fnn.jit
        def f(i):
            return [1.0, 2.0, 3.0][i]

    A Python list can only be indexed by a number that is known now. Index an array, or make the argument
    static::

        @fnn.jit
        def f(i):
            return fnp.array([1.0, 2.0, 3.0])[i]
    """


class LeakError(FnnError, RuntimeError, TypeError):
    """An array that belongs to a trace was used after the trace had ended, or in another thread.

    Broken::

        seen = []

        @fnn.jit
        def f(x):
            seen.append(x)             # outlives the call
            return x * 2

        f(1.0)
        seen[0] + 1

    While a function is traced its arrays are placeholders that mean nothing outside it. Return what is
    needed::

        @fnn.jit
        def f(x):
            return x * 2, x
    """


UnexpectedTracerError = LeakError
"""JAX's name of `LeakError`."""


# --------------------------------------------------------------------------------------------------- operands


class ShapeError(FnnError, TypeError, ValueError):
    """The shapes of the operands do not fit the operation.

    Broken::

        fnp.ones((2, 3)) @ fnp.ones((2, 3))

    The last axis of the first operand (3) must equal the first axis of the second (2)::

        fnp.ones((2, 3)) @ fnp.ones((2, 3)).T
    """


class DtypeError(FnnError, TypeError):
    """The dtype of an operand does not fit the operation, or two dtypes have no common one.

    Broken::

        fnn.lax.add(fnp.ones(3), fnp.arange(3))    # float32 and int32; fnn.lax does not promote

    Convert first, or use `fnn.numpy` and the operators, which promote::

        fnn.lax.add(fnp.ones(3), fnp.arange(3).astype(fnp.float32))
    """


class ArgumentError(FnnError, TypeError, ValueError):
    """An argument is missing, of the wrong type, or outside what the function accepts.

    Broken::

        fnn.config.update("enable_x65", True)

    Correct::

        fnn.config.update("enable_x64", True)
    """


class AxisError(ArgumentError, IndexError):
    """An axis was named that the array does not have.

    Broken::

        fnp.sum(fnp.ones((2, 3)), axis=2)   # its axes are 0 and 1

    Correct::

        fnp.sum(fnp.ones((2, 3)), axis=1)
    """


class IndexingError(FnnError, IndexError):
    """An index does not fit the array: too many, out of range where that is known, or of a type that is none.

    Broken::

        fnp.ones((2, 3))[0, 1, 2]      # three indices, two axes

    Correct::

        fnp.ones((2, 3))[0, 1]
    """


class NonConcreteBooleanIndexError(ConcretizationError, IndexingError):
    """A boolean mask was used as an index while tracing: the length of the result would depend on its values.

    Broken::

        @fnn.jit
        def f(x):
            return x[x > 0].sum()

    Keep the shape and let the mask choose::

        @fnn.jit
        def f(x):
            return fnp.where(x > 0, x, 0).sum()
    """


class TracerSliceError(TracerIntegerConversionError, IndexingError):
    """A slice has a traced bound: the length of the result would depend on its value.

    Broken::

        fnn.jit(lambda x, n: x[n:])(x, 3)

    A traced start with a fixed length::

        fnn.jit(lambda x, n: fnn.lax.dynamic_slice_in_dim(x, n, 4))(x, 3)
    """


class ImmutableError(FnnError, TypeError, AttributeError):
    """An array, a module or another value that never changes was assigned to.

    Broken::

        x[0] = 1.0
        model.weight = w

    Values are never changed in place; a changed copy is made::

        x = x.at[0].set(1.0)
        model = model.replace(weight=w)
    """


class DonatedError(FnnError, RuntimeError):
    """An array was used after it had been donated: its memory now holds something else.

    Broken::

        step = fnn.jit(f, donate_argnums=0)
        new = step(state)
        state.sum()

    Use what the call returned::

        state = step(state)
        state.sum()
    """


# ---------------------------------------------------------------------------------- trees, graphs, transforms


class TreeError(FnnError, ValueError, TypeError):
    """Two pytrees that should have one structure have not, or a node cannot be taken apart or put together.

    Broken::

        fnn.tree.map(operator.add, {"w": 1, "b": 2}, {"w": 1})

    The message names the paths that are missing, extra or of another kind. Give both the same structure::

        fnn.tree.map(operator.add, {"w": 1, "b": 2}, {"w": 1, "b": 0})
    """


class GraphError(FnnError, ValueError):
    """A graph breaks a rule of the intermediate representation: a rule or a pass is wrong.

    Met when a primitive of your own states a shape it does not produce::

        Primitive("double", shape=lambda x: x.update(shape=()), ...)      # says: a scalar; is: shaped like x

    State what the operation returns::

        Primitive("double", shape=lambda x: x, ...)
    """


class AxisNameError(FnnError, NameError):
    """A collective names an axis that no surrounding `vmap` binds.

    Broken::

        fnn.vmap(lambda x: fnn.lax.psum(x, "batch"))(xs)

    Name the axis where it is made::

        fnn.vmap(lambda x: fnn.lax.psum(x, "batch"), axis_name="batch")(xs)
    """


class DifferentiationError(FnnError, TypeError):
    """A derivative was asked of something that has none in the mode it was asked for.

    Broken::

        fnn.grad(lambda x: x * 2)(fnp.ones(3))     # three outputs; grad wants one number

    Reduce to a scalar, or ask for the whole matrix::

        fnn.grad(lambda x: (x * 2).sum())(fnp.ones(3))
        fnn.jacobian(lambda x: x * 2)(fnp.ones(3))
    """


class MissingRuleError(DifferentiationError, AttributeError):
    """A function with custom derivatives was called before it was given any.

    Broken::

        @fnn.custom_jvp
        def f(x):
            return fnp.sin(x)

        f(1.0)

    Define them first::

        f.defjvp(lambda primals, tangents: (f(*primals), fnp.cos(*primals) * tangents[0]))
    """


class MismatchError(DifferentiationError, ValueError):
    """A tangent or cotangent has another shape or dtype than what it belongs to.

    Broken::

        fnn.jvp(fnp.sin, (fnp.ones(3),), (fnp.ones(4),))

    Give both one shape and dtype::

        fnn.jvp(fnp.sin, (fnp.ones(3),), (fnp.ones(3),))
    """


# ------------------------------------------------------------------------------------------ what is not there


class UnsupportedError(FnnError, NotImplementedError):
    """fnn does not do this; the message names the nearest thing it does.

    Broken::

        fnp.sum(fnp.ones(3), out=fnp.zeros(()))

    Arrays never change; use the result::

        total = fnp.sum(fnp.ones(3))
    """


class NonFiniteError(FnnError, FloatingPointError):
    """A NaN or an infinity was computed while `debug_nans` or `debug_infs` was on.

    Broken::

        with fnn.debug_nans():
            fnn.jit(lambda x: fnp.log(x).sum())(fnp.array([1.0, -1.0]))

    The message names the operation, the line, and the operands that gave the first one. Keep them in the range of
    the function::

        fnp.log(fnp.maximum(x, 1e-6))

    Where a derivative is at fault (that of `sqrt` at 0 is infinite, and 0 times it NaN), choose before the function
    and not after it: `fnp.sqrt(fnp.where(x > 0, x, 1.0))`.
    """


class CheckError(FnnError, ValueError):
    """A check of yours failed: `fnn.debug.check`, or `checkify.check`.

    Broken::

        fnn.debug.check(x > 0, "x must be positive, not {x}", x=x)     # and x is -1

    Give it what it asks for, or take the error as a value and decide yourself::

        error, out = checkify.checkify(f)(x)
        error.throw()
    """


class KernelFailedError(FnnError, RuntimeError):
    """A kernel of your own (`fnn.custom_kernel`) raised an exception inside of a compiled program.

    Broken::

        @numba.njit
        def first(x, out):
            if x.size == 0:
                raise ValueError("empty")
            out[0] = x[0]

    Machine code has no place for the exception itself. Run without compiling to see it::

        with fnn.disable_jit():
            f(x)
    """


class MissingDependency(FnnError, ImportError):
    """An optional package is needed and not installed; the message gives the command that installs it.

    Broken::

        fnn.core.drawing.draw(graph, "graph.svg")    # without matplotlib

    Install it::

        pip install matplotlib
    """

    @classmethod
    def of(cls, package: str, needed_for: str, module: str | None = None) -> MissingDependency:
        """The error for a missing `package` (its name on PyPI): `of("safetensors", "fnn.checkpoint")`."""
        message = f"{needed_for} needs the package {package!r}, which is not installed: pip install {package}"
        return cls(message, name=module or package)


class KeyReuseError(FnnError, ValueError):
    """A random key was used twice, and the setting `debug_key_reuse` is "error".

    Broken::

        with fnn.config.using(debug_key_reuse="error"):
            key = fnn.random.key(0)
            x, y = fnn.random.normal(key), fnn.random.normal(key)

    The same key gives the same numbers; split it::

        key, use = fnn.random.split(fnn.random.key(0))
        x = fnn.random.normal(use)
    """


class KeyReuseWarning(UserWarning):
    """A random key was used twice, by two draws or by a draw and a split: where independent numbers were meant, they are
    not. Split the key, or pass `fnn.random.clone(key)` where it is meant. The setting `debug_key_reuse` ("warn", "error",
    "off") says what happens; each pair of places is told once.
    """


class CacheWarning(UserWarning):
    """The cache of compiled programs cannot be used as asked; programs still run, compiled anew each time.

    Met when `FNN_CACHE_DIR` names a folder that cannot be written. Name one that can, or switch the cache off
    with `FNN_CACHE_DIR=`.
    """
