"""What distributions are made with: the functions of a standard form, moved and scaled, under SciPy's names.

A distribution is described by what its standard form (loc 0, scale 1) needs; the rest follows: pdf from logpdf, logcdf from
cdf, sf and logsf from each other, isf from ppf. A function is there where what it needs is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from fnn import numpy as fnp
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError
from fnn.scipy.special import promoted

Function = Callable[..., Array]

_TEXTS = {
    "logpdf": "The logarithm of the probability density at x.",
    "pdf": "The probability density at x.",
    "logpmf": "The logarithm of the probability of k.",
    "pmf": "The probability of k.",
    "cdf": "The probability of at most that much.",
    "logcdf": "The logarithm of the probability of at most that much.",
    "sf": "The probability of more than that: 1 - cdf.",
    "logsf": "The logarithm of the probability of more than that.",
    "ppf": "The quantile: the inverse of cdf.",
    "isf": "The inverse of sf.",
    "entropy": "The differential entropy, or the entropy of the probabilities.",
}


class Distribution:
    """Functions of one distribution: `norm.logpdf(x, loc=0, scale=1)`. They broadcast, and have derivatives in every
    argument of which they are smooth functions.

    >>> from fnn.scipy.stats import norm
    >>> print(norm.cdf(0.0))
    0.5
    """

    def __init__(self, name: str, parameters: Sequence[str], discrete: bool, functions: dict[str, Function]):
        self.name, self.parameters = name, tuple(parameters)
        for key, function in _completed(functions).items():
            if key == "entropy":
                setattr(self, key, _entropy(name, self.parameters, function))
            else:
                moved = () if discrete else ("scale",)
                setattr(self, key, _moved(name, key, self.parameters, ("loc", *moved), function))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"fnn.scipy.stats.{self.__dict__.get('name', '?')} has no function {name!r}")

    def __repr__(self) -> str:
        return f"fnn.scipy.stats.{self.name}"


def continuous(name: str, parameters: str = "", **functions: Function) -> Distribution:
    """A continuous distribution. parameters: the names of its shape parameters."""
    return Distribution(name, parameters.split(), False, functions)


def discrete(name: str, parameters: str = "", **functions: Function) -> Distribution:
    """A distribution over the integers."""
    return Distribution(name, parameters.split(), True, functions)


def _completed(given: dict[str, Function]) -> dict[str, Function]:
    """The functions that follow from those given."""
    out = dict(given)

    def add(key: str, source: str, make: Callable[[Function], Function]) -> None:
        if key not in out and source in out:
            out[key] = make(out[source])

    exponential = lambda f: lambda *a: fnp.exp(f(*a))
    logarithm = lambda f: lambda *a: fnp.log(f(*a))
    rest = lambda f: lambda *a: 1 - f(*a)
    add("pdf", "logpdf", exponential)
    add("pmf", "logpmf", exponential)
    add("cdf", "logcdf", exponential)
    add("sf", "logsf", exponential)
    add("sf", "cdf", rest)
    add("logcdf", "cdf", logarithm)
    add("logsf", "sf", logarithm)
    add("isf", "ppf", lambda f: lambda q, *a: f(1 - q, *a))
    return out


def _bound(name: str, key: str, names: Sequence[str], args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name; an error that says what there is."""
    found = dict(zip(names, args))
    wrong = [k for k in kwargs if k not in names or k in found]
    if len(args) > len(names) or wrong:
        raise ArgumentError(
            f"stats.{name}.{key} takes {', '.join(names)}; got {len(args)} arguments"
            f"{' and ' + ', '.join(wrong) if wrong else ''}, at {describe(here())}"
        )
    return found | kwargs


def _moved(
    name: str, key: str, shapes: tuple[str, ...], moves: tuple[str, ...], function: Function
) -> Function:
    """The function of any location and scale."""
    first = "q" if key in ("ppf", "isf") else "k" if "scale" not in moves else "x"
    names = (first, *shapes, *moves)

    def call(*args: Any, **kwargs: Any) -> Array:
        given = _bound(name, key, names, args, kwargs)
        missing = [n for n in (first, *shapes) if n not in given]
        if missing:
            raise ArgumentError(f"stats.{name}.{key} needs {', '.join(missing)}, at {describe(here())}")
        order = [n for n in names if n in given]
        values = dict(zip(order, promoted(*[given[n] for n in order]), strict=True))
        x, own = values[first], [values[n] for n in shapes]
        loc, scale = values.get("loc"), values.get("scale")
        if first == "q":
            out = function(x, *own)
            out = out if scale is None else out * scale
            return out if loc is None else out + loc
        x = x if loc is None else x - loc
        out = function(x if scale is None else x / scale, *own)
        if scale is not None and key in ("logpdf", "pdf"):
            out = out - fnp.log(scale) if key == "logpdf" else out / scale
        return out

    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in (first, *shapes)]
    parameters += [
        inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=int(n == "scale"))
        for n in moves
    ]
    return _documented(call, name, key, parameters)


def _entropy(name: str, shapes: tuple[str, ...], function: Function) -> Function:
    names = (*shapes, "loc")

    def call(*args: Any, **kwargs: Any) -> Array:
        given = _bound(name, "entropy", names, args, kwargs)
        return function(*promoted(*[given[n] for n in names if n in given])[: len(shapes)])

    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in shapes]
    parameters.append(inspect.Parameter("loc", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0))
    return _documented(call, name, "entropy", parameters)


def _documented(call: Any, name: str, key: str, parameters: list[inspect.Parameter]) -> Function:
    call.__name__, call.__qualname__ = key, f"{name}.{key}"
    call.__doc__ = _TEXTS[key]
    call.__signature__ = inspect.Signature(parameters)
    return call
