"""einsum and einsum_path, and products that are built from the others."""

from __future__ import annotations

from typing import Any

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, to_shape
from fnn.operations.products import contract, matmul
from fnn.operations.reductions import any as any_of
from fnn.operations.reductions import sum
from fnn.operations.selection import diagonal
from fnn.operations.shaping import concatenate, expand_dims, moveaxis, permuted, to


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    _dot_general: Any = None,
    out_sharding: Any = None,
) -> Any:
    """Sums of products by Einstein's convention: a letter per axis, those not in the result are summed over.

    With three operands or more the order of products is chosen to need few operations (opt_einsum). Raises ShapeError where
    axes of one letter differ in size, ArgumentError for subscripts that do not fit the operands. _dot_general: a function
    like `fnn.lax.dot_general` that multiplies in its place.

    >>> import fnn.numpy as fnp
    >>> fnp.einsum("ij,kj->ik", fnp.ones((2, 3)), fnp.ones((4, 3))).shape
    (2, 4)
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists(subscripts, operands)
    xs = [array_of("einsum", x) for x in operands]
    terms, result = _parse(subscripts, xs)
    work = list(zip(xs, terms))
    _check_sizes(subscripts, work)
    for pair in _order(terms, result, xs, optimize):
        chosen = [work[i] for i in pair]
        for i in sorted(pair, reverse=True):
            del work[i]
        kept = set(result).union(*[t for _, t in work])
        multiply = contract if _dot_general is None else _through(_dot_general, precision)
        work.append(_product(chosen, kept, preferred_element_type, multiply))
    x, term = _reduced(*work[0], set(result))
    return permuted(x, [term.index(c) for c in result])


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: bool | str | list[Any] | tuple[Any, ...] = "auto"
) -> tuple[list[tuple[int, ...]], Any]:
    """(the order in which `einsum` would best multiply its operands, a description of it to print), by opt_einsum."""
    import opt_einsum

    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists(subscripts, operands)
    shapes = [aval_of(array_of("einsum_path", x)).shape for x in operands]
    kind: Any = "auto" if optimize is True else optimize
    path, description = opt_einsum.contract_path(subscripts, *shapes, shapes=True, optimize=kind)
    return list(path), description


def _from_lists(first: Any, others: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """einsum(x, [0, 1], y, [1, 2], [0, 2]) as letters."""
    given = (first, *others)
    letter = lambda k: "..." if k is Ellipsis else chr(ord("a") + k) if k < 26 else chr(ord("A") + k - 26)
    pairs = len(given) // 2
    text = ",".join("".join(map(letter, given[2 * k + 1])) for k in range(pairs))
    if len(given) % 2:
        text += "->" + "".join(map(letter, given[-1]))
    return text, tuple(given[2 * k] for k in range(pairs))


def _parse(subscripts: str, xs: list[Any]) -> tuple[list[str], str]:
    """(letters of each operand, of the result); an ellipsis becomes letters of its own."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(xs):
        raise ArgumentError(
            f"einsum: {subscripts!r} is for {len(terms)} operands, {len(xs)} are given, at {describe(here())}"
        )
    free = [c for c in map(chr, [*range(97, 123), *range(65, 91), *range(192, 592)]) if c not in text]
    widths = [aval_of(x).ndim - len(t.replace("...", "")) if "..." in t else 0 for x, t in zip(xs, terms)]
    widest = max(widths, default=0)
    dots = "".join(free[:widest])
    if arrow:
        result = right.replace("...", dots)
    else:
        once = [c for c in sorted(set(left) - set(",.")) if left.count(c) == 1]
        result = dots + "".join(once)
    out = []
    for x, term, width in zip(xs, terms, widths):
        full = term.replace("...", dots[widest - width :] if width > 0 else "")
        if len(full) != aval_of(x).ndim or "." in full:
            raise ArgumentError(
                f"einsum: the subscripts {term!r} do not fit {aval_of(x)}, at {describe(here())}: a letter per axis"
            )
        out.append(full)
    unknown = [c for c in result if not any(c in t for t in out)]
    if unknown or len(set(result)) != len(result):
        raise ArgumentError(
            f"einsum: the result {right!r} of {subscripts!r} must name axes of the operands, each once, at "
            f"{describe(here())}"
        )
    return out, result


def _check_sizes(subscripts: str, work: list[tuple[Any, str]]) -> None:
    sizes: dict[str, int] = {}
    for x, term in work:
        for c, n in zip(term, aval_of(x).shape):
            if n != 1 and sizes.setdefault(c, n) != n:
                raise ShapeError(
                    f"einsum: the axes {c!r} of {subscripts!r} have sizes {sizes[c]} and {n}, at {describe(here())}; "
                    f"the operands are {', '.join(str(aval_of(x)) for x, _ in work)}"
                )


def _order(terms: list[str], result: str, xs: list[Any], optimize: Any) -> list[tuple[int, ...]]:
    """Which operands meet in each step: positions in the list of what is left."""
    if len(terms) < 3:
        return [tuple(range(len(terms)))] if len(terms) == 2 else []
    if optimize is False:
        return [(0, 1)] * (len(terms) - 1)
    import opt_einsum

    text = ",".join(terms) + "->" + result
    kind: Any = optimize if isinstance(optimize, (str, list, tuple)) else "auto"
    path, _ = opt_einsum.contract_path(text, *[aval_of(x).shape for x in xs], shapes=True, optimize=kind)
    steps: list[tuple[int, ...]] = []
    for pair in path:  # a step of more than two is several of two
        pair = tuple(sorted(pair))
        steps += [pair[:2]] if len(pair) > 1 else []
        for _ in pair[2:]:
            raise ArgumentError(
                "einsum: an order with steps of more than two operands; use optimize='greedy'"
            )
    return steps


def _reduced(x: Any, term: str, kept: set[str]) -> tuple[Any, str]:
    """Repeated letters as diagonals, and letters no one needs summed over."""
    for c in sorted(set(term)):
        while term.count(c) > 1:
            a = term.index(c)
            b = term.index(c, a + 1)
            x, term = diagonal(x, 0, a, b), term[:a] + term[a + 1 : b] + term[b + 1 :] + c
    gone = tuple(d for d, c in enumerate(term) if c not in kept)
    if not gone:
        return x, term
    total = any_of(x, gone) if dtypes.is_bool(aval_of(x).dtype) else sum(x, gone, promote_integers=False)
    return total, "".join(c for c in term if c in kept)


def _through(dot_general: Any, precision: Any) -> Any:
    """`contract` by a function of the caller's."""
    return lambda name, x, y, over, batch, dtype: dot_general(
        x, y, (over, batch), precision=precision, preferred_element_type=dtype
    )


def _product(pair: list[tuple[Any, str]], kept: set[str], dtype: Any, multiply: Any) -> tuple[Any, str]:
    (x, a), (y, b) = pair
    x, a = _reduced(x, a, kept | set(b))
    y, b = _reduced(y, b, kept | set(a))
    # an axis of size 1 that meets a longer one is broadcast
    for c in set(a) & set(b):
        i, j = a.index(c), b.index(c)
        n, m = aval_of(x).shape[i], aval_of(y).shape[j]
        if n != m:
            spread = lambda v, d, size: to_shape(
                v, tuple(size if k == d else s for k, s in enumerate(aval_of(v).shape))
            )
            x, y = (spread(x, i, m), y) if n == 1 else (x, spread(y, j, n))
    both = [c for c in a if c in b]
    batch, over = [c for c in both if c in kept], [c for c in both if c not in kept]
    out = multiply(
        "einsum",
        x,
        y,
        ([a.index(c) for c in over], [b.index(c) for c in over]),
        ([a.index(c) for c in batch], [b.index(c) for c in batch]),
        dtype,
    )
    return out, "".join([*batch, *[c for c in a if c not in both], *[c for c in b if c not in both]])


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: `b` at every element of `a`, multiplied by it."""
    a, b = array_of("kron", a), array_of("kron", b)
    rank = max(aval_of(a).ndim, aval_of(b).ndim)
    xs, ys = ((1,) * (rank - aval_of(v).ndim) + aval_of(v).shape for v in (a, b))
    apart = BINARY["multiply"](to(a, [n for s in xs for n in (s, 1)]), to(b, [n for s in ys for n in (1, s)]))
    return to(apart, [left * right for left, right in zip(xs, ys)])


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors of 3 (or 2) components along an axis."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(array_of("cross", a), axisa, -1), moveaxis(array_of("cross", b), axisb, -1)
    sizes = aval_of(a).shape[-1], aval_of(b).shape[-1]
    if not set(sizes) <= {2, 3}:
        raise ShapeError(
            f"cross: the vectors have {sizes[0]} and {sizes[1]} components, at {describe(here())}; 2 or 3 are needed"
        )
    mul, sub = BINARY["multiply"], BINARY["subtract"]
    left, right = [a[..., k] for k in range(sizes[0])], [b[..., k] for k in range(sizes[1])]
    last = sub(mul(left[0], right[1]), mul(left[1], right[0]))
    if sizes == (2, 2):
        return last
    left, right = (v if len(v) == 3 else [*v, 0] for v in (left, right))
    first, second = (
        sub(mul(left[1], right[2]), mul(left[2], right[1])),
        sub(mul(left[2], right[0]), mul(left[0], right[2])),
    )
    parts = [
        expand_dims(to_shape(array_of("cross", p), aval_of(last).shape), -1) for p in (first, second, last)
    ]
    return moveaxis(concatenate(parts, -1), -1, axisc)


def matrix_power(a: Any, n: int) -> Any:
    """A square matrix times itself, n times in all (n >= 0), by repeated squaring."""
    from fnn.numpy.creation import eye

    x = array_of("matrix_power", a)
    if aval_of(x).ndim < 2 or aval_of(x).shape[-1] != aval_of(x).shape[-2]:
        raise ShapeError(f"matrix_power: {aval_of(x)} is no square matrix, at {describe(here())}")
    if n < 0:
        from fnn.numpy.linalg import inv

        x, n = inv(x), -n
    out = None
    while n:
        if n & 1:
            out = x if out is None else matmul(out, x)
        n >>= 1
        x = matmul(x, x) if n else x
    return (
        to_shape(eye(aval_of(x).shape[-1], dtype=aval_of(x).dtype), aval_of(x).shape) if out is None else out
    )
