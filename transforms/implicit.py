"""Solutions of equations, with derivatives that follow from the equation and not from the steps that solved it.

custom_linear_solve: the derivative of x with A x = b solves A dx = db - dA x, and in reverse mode A' w = ct gives the
cotangent w of b and -w x' of A. custom_root: of x with f(x, p) = 0 by the implicit function theorem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.array import as_array
from fnn.core.ir import Graph
from fnn.core.source import describe, function_place, here
from fnn.core.trace import aval_of, closed_stage
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, ShapeError, TreeError
from fnn.records import record
from fnn.transforms.autodiff import fill, jvp_flat, vjp_flat
from fnn.transforms.calls import staged
from fnn.transforms.custom import custom_jvp_call, custom_vjp_call
from fnn.transforms.flattening import flatten_arguments


@record(frozen=True)
class _Solve:
    """A linear equation over flat arrays. Every graph takes the vector, then what its function captured: matvec and vecmat
    the first `shared` of the constants, solve and transpose_solve their own parts of the rest."""

    matvec: Graph
    vecmat: Graph
    solve: Graph
    transpose_solve: Graph | None
    shared: int
    own: tuple[int, int]  # how many constants solve has, and transpose_solve
    place: str

    def parts(self, xs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """(constants of matvec, of solve, of transpose_solve, the vector)."""
        cuts = [self.shared, self.shared + self.own[0], self.shared + sum(self.own)]
        return (
            list(xs[: cuts[0]]),
            list(xs[cuts[0] : cuts[1]]),
            list(xs[cuts[1] : cuts[2]]),
            list(xs[cuts[2] :]),
        )

    def transposed(self) -> _Solve:
        """The equation of the transposed matrix; its constants are in the order shared, transpose_solve, solve."""
        if self.transpose_solve is None:
            raise ArgumentError(
                f"the custom_linear_solve at {self.place} has no transpose_solve, so it has no reverse-mode derivative; pass "
                "one, or symmetric=True"
            )
        return _Solve(
            self.vecmat,
            self.matvec,
            self.transpose_solve,
            self.solve,
            self.shared,
            (self.own[1], self.own[0]),
            self.place,
        )

    def __call__(self, *xs: Any) -> list[Any]:
        """constants and vector -> solution, then what the solver returned beside it."""
        size = len(self.parts(xs)[3])

        def fun(*xs: Any) -> list[Any]:
            _, own, _, b = self.parts(xs)
            return self.solve(*b, *own)

        def forward(*xs: Any) -> tuple[list[Any], list[Any]]:
            outs = fun(*xs)
            return outs, [*xs, *outs[:size]]

        def backward(saved: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            xs, solution = saved[:-size], saved[-size:]
            shared, own, other, _ = self.parts(xs)
            turned = self.transposed()
            w = turned(*shared, *other, *own, *cts[:size])[:size]
            needs = [aval_of(c).is_inexact for c in shared]
            _, pull = vjp_flat(lambda *c: self.matvec(*solution, *c), shared, needs)
            by_matrix = [None if c is None else P.neg(c) for c in pull(w)]
            return [*by_matrix, *[None] * (len(own) + len(other)), *w]

        return custom_vjp_call(*xs, fun=fun, forward=forward, backward=backward, name="custom_linear_solve")


def _vecmat(matvec: Graph, size: int) -> Graph:
    """The transpose of a graph that is linear in its first `size` inputs."""

    def make() -> Graph:
        def turned(*xs: Any) -> list[Any]:
            zeros = [P.zeros(a) for a in matvec.in_avals[:size]]
            _, pull = vjp_flat(lambda *v: matvec(*v, *xs[size:]), zeros, [True] * size)
            return [fill(c, a) for c, a in zip(pull(xs[:size]), matvec.in_avals[:size], strict=True)]

        return closed_stage(turned, matvec.in_avals)

    return matvec.cached(("vecmat", size), make)


def _same_type(
    what: str, function: Any, graph: Graph, structure: Any, out: Any, avals: Sequence[Any]
) -> None:
    if out != structure:
        raise TreeError(
            f"{what} at {describe(here())}: {function_place(function)} returns {out} for {structure}; they must be the same"
        )
    for have, want in zip(graph.out_avals, avals, strict=True):
        if have.shape != want.shape or have.dtype != want.dtype:
            raise ShapeError(
                f"{what} at {describe(here())}: {function_place(function)} returns {have} for {want}; they must be the same"
            )


@filtered
def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """x with matvec(x) = b, found by solve(matvec, b); derivatives are those of the solution, not of the solver's steps.

    matvec: a linear function over pytrees of the structure of b; what it closes over gets derivatives. transpose_solve(
    vecmat, b): solves the transposed equation, for reverse mode; symmetric: solve does. has_aux: solve returns (x, more).

    >>> import fnn, fnn.numpy as fnp
    >>> scale = lambda a: fnn.lax.custom_linear_solve(lambda x: a * x, 6.0, lambda mv, b: b / mv(1.0), symmetric=True)
    >>> print(scale(3.0), fnn.grad(scale)(3.0))
    2.0 -0.6666667
    """
    leaves, structure = flatten_arguments("custom_linear_solve", b)
    leaves = [P.convert(x, dtype=x.dtype) if x.weak_type else x for x in leaves]
    avals, one = [x.aval for x in leaves], tree.structure((b,))
    size = len(leaves)
    matrix, shared, out = staged(matvec, one, avals)
    _same_type("custom_linear_solve", matvec, matrix, structure, out, avals)
    aux: list[Any] = []

    def recorded(solver: Any, product: Callable[[Any], Any]) -> tuple[Graph, list[Any]]:
        def call(v: Any) -> Any:
            return solver(product, v)

        graph, captured, found = staged(call, one, avals)
        if has_aux:
            pair = tree.unflatten(found, range(len(graph.outputs)))
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ArgumentError(
                    f"custom_linear_solve at {describe(here())}: with has_aux {function_place(solver)} returns (x, more)"
                )
            aux[:] = [tree.structure(pair[1])]
            found = tree.structure(pair[0])
        short = Graph(graph.inputs, graph.outputs[:size], graph.equations)
        _same_type("custom_linear_solve", solver, short, structure, found, avals)
        return graph, captured

    turned = matrix if symmetric else _vecmat(matrix, size)

    def vecmat(v: Any) -> Any:
        return tree.unflatten(structure, turned(*map(as_array, tree.leaves(v)), *shared))

    solver, own = recorded(solve, matvec)
    other: tuple[Graph | None, list[Any]] = (None, [])
    if symmetric:
        other = solver, own
    elif transpose_solve is not None:
        kept, has_aux = has_aux, False
        other = recorded(transpose_solve, vecmat)
        has_aux = kept
    equation = _Solve(
        matrix, turned, solver, other[0], len(shared), (len(own), len(other[1])), describe(here())
    )
    outs = equation(*shared, *own, *other[1], *leaves)
    x = tree.unflatten(structure, outs[:size])
    return (x, tree.unflatten(aux[0], outs[size:])) if has_aux else x


@filtered
def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """x with f(x) = 0, found by solve(f, initial_guess); derivatives are those of the root in what f closes over.

    tangent_solve(g, y): x with g(x) = y, where g is linear; it is differentiated in reverse mode, so it is made of linear
    operations or of custom_linear_solve. has_aux: solve returns (x, more).

    >>> import fnn, fnn.numpy as fnp
    >>> def root(a):
    ...     newton = lambda f, x: fnn.lax.fori_loop(0, 20, lambda _, x: x - f(x) / fnn.grad(f)(x), x)
    ...     return fnn.lax.custom_root(lambda x: x**2 - a, 1.0, newton, lambda g, y: y / g(1.0))
    >>> print(root(9.0), fnn.grad(root)(9.0))
    3.0 0.16666667
    """
    leaves, structure = flatten_arguments("custom_root", initial_guess)
    leaves = [P.convert(x, dtype=x.dtype) if x.weak_type else x for x in leaves]
    avals, one = [x.aval for x in leaves], tree.structure((initial_guess,))
    size = len(leaves)
    residual, shared, out = staged(f, one, avals)
    _same_type("custom_root", f, residual, structure, out, avals)

    def call(x: Any) -> Any:
        return solve(f, x)

    solver, own, found = staged(call, one, avals)
    aux = None
    if has_aux:
        pair = tree.unflatten(found, range(len(solver.outputs)))
        aux, found = tree.structure(pair[1]), tree.structure(pair[0])
    _same_type(
        "custom_root",
        solve,
        Graph(solver.inputs, solver.outputs[:size], solver.equations),
        structure,
        found,
        avals,
    )
    n = len(shared)

    def fun(*xs: Any) -> list[Any]:
        return solver(*xs[n + len(own) :], *xs[n : n + len(own)])

    def rule(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        outs = root(*primals)
        x, constants = outs[:size], list(primals[:n])
        along = [t if aval_of(c).is_inexact else None for c, t in zip(constants, tangents[:n], strict=True)]
        values, moved = jvp_flat(lambda *c: residual(*x, *c), constants, along)
        moved = [fill(t, aval_of(v)) for t, v in zip(moved, values, strict=True)]

        def linear(y: Any) -> Any:
            given = [as_array(v) for v in tree.leaves(y)]
            given = [P.convert(v, dtype=aval_of(u).dtype) for v, u in zip(given, x, strict=True)]
            _, out = jvp_flat(lambda *v: residual(*v, *constants), x, given)
            return tree.unflatten(structure, [fill(t, aval_of(v)) for t, v in zip(out, values, strict=True)])

        step = tree.leaves(tangent_solve(linear, tree.unflatten(structure, moved)))
        rest = [P.zeros(aval_of(o)) for o in outs[size:]]
        return outs, [*[P.neg(as_array(s)) for s in step], *rest]

    def root(*xs: Any) -> list[Any]:
        return custom_jvp_call(*xs, fun=fun, rule=rule, name="custom_root")

    outs = root(*shared, *own, *leaves)
    x = tree.unflatten(structure, outs[:size])
    return (x, tree.unflatten(aux, outs[size:])) if aux is not None else x
