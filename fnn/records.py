"""Classes of named fields, like those of `dataclasses`, but made in a thirtieth of the time: fnn has some eighty of
them, and a program that starts should not wait while Python compiles their methods.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from inspect import get_annotations
from typing import Any, TypeVar, dataclass_transform

__all__ = ["field", "is_record", "names_of", "record", "replace"]

T = TypeVar("T")
_MISSING: Any = object()


class _Field:
    __slots__ = ("compare", "default", "factory", "repr")

    def __init__(self, default: Any, factory: Callable[[], Any] | None, repr: bool, compare: bool) -> None:
        self.default, self.factory, self.repr, self.compare = default, factory, repr, compare


def field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | None = None,
    repr: bool = True,
    compare: bool = True,
) -> Any:
    """A field with more to say than its default, as `dataclasses.field`."""
    return _Field(default, default_factory, repr, compare)


@dataclass_transform(field_specifiers=(field,))
def record(*, frozen: bool = False, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """A decorator: the annotations of a class become its fields, in the order of `__init__`'s arguments.

    Defaults, `field`, `__post_init__` and methods the class has of its own mean what they mean to `dataclasses`.
    frozen: fields cannot be assigned. eq: records are equal where their fields are, and have a hash if frozen.

    >>> @record(frozen=True)
    ... class Point:
    ...     x: float
    ...     y: float = 0.0
    >>> Point(1.0), Point(1.0, 2.0) == Point(y=2.0, x=1.0), hash(Point(3.0)) == hash(Point(3.0))
    (Point(x=1.0, y=0.0), True, True)
    """
    return lambda cls: _make(cls, frozen, eq)


def _make(cls: type[T], frozen: bool, eq: bool) -> type[T]:
    fields: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        fields |= base.__dict__.get("_record_fields", {})
    for name, annotation in get_annotations(cls).items():
        if not str(annotation).startswith("ClassVar"):
            given = cls.__dict__.get(name, _MISSING)
            made = given if isinstance(given, _Field) else _Field(given, None, True, True)
            fields[name] = made
            if made.default is not _MISSING:
                setattr(cls, name, made.default)
            elif given is not _MISSING:
                delattr(cls, name)
    names = tuple(fields)
    methods: dict[str, Any] = {
        "__init__": _init(names, fields, hasattr(cls, "__post_init__")),
        "__repr__": _repr([n for n in names if fields[n].repr]),
        "__match_args__": names,
    }
    if eq:
        values = _values([n for n in names if fields[n].compare])
        methods["__eq__"] = _eq(values)
        methods["__hash__"] = (lambda self: hash(values(self))) if frozen else None
    if frozen:
        methods["__setattr__"] = methods["__delattr__"] = _refuse
    for name, method in methods.items():
        if cls.__dict__.get(name) is None:  # Python sets __hash__ to None where a class has __eq__
            setattr(cls, name, method)
    cls._record_fields = fields  # type: ignore[attr-defined]
    return cls


def _init(names: tuple[str, ...], fields: dict[str, _Field], post: bool) -> Callable[..., None]:
    count = len(names)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if kwargs or len(args) != count:
            args = _complete(type(self), names, fields, args, kwargs)
        self.__dict__.update(zip(names, args, strict=True))
        if post:
            self.__post_init__()

    return __init__


def _complete(
    cls: type,
    names: tuple[str, ...],
    fields: dict[str, _Field],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, ...]:
    """All fields' values, from what was given by position and by name and from defaults."""
    if len(args) > len(names):
        raise TypeError(f"{cls.__name__} has {len(names)} fields and was given {len(args)}")
    values = list(args)
    for name in names[len(args) :]:
        if name in kwargs:
            values.append(kwargs.pop(name))
            continue
        made = fields[name]
        if made.factory is not None:
            values.append(made.factory())
        elif made.default is not _MISSING:
            values.append(made.default)
        else:
            raise TypeError(f"{cls.__name__} lacks a value for its field {name!r}")
    for name in kwargs:
        raise TypeError(f"{cls.__name__} {'was given twice' if name in names else 'has no'} field {name!r}")
    return tuple(values)


def _values(names: list[str]) -> Callable[[Any], Any]:
    if len(names) == 1:
        get = operator.attrgetter(names[0])
        return lambda self: (get(self),)
    return operator.attrgetter(*names) if names else lambda _: ()


def _eq(values: Callable[[Any], Any]) -> Callable[[Any, object], Any]:
    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _repr(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"

    return __repr__


def _refuse(self: Any, name: str, value: Any = None) -> None:
    raise AttributeError(
        f"{type(self).__name__} is immutable: make another with `records.replace`, not by setting {name!r}"
    )


def is_record(x: Any) -> bool:
    """Whether x is a record."""
    return hasattr(type(x), "_record_fields")


def names_of(x: Any) -> tuple[str, ...]:
    """The names of a record's fields."""
    return tuple(type(x)._record_fields)


def replace(x: T, **changes: Any) -> T:
    """A record with some fields changed, as `dataclasses.replace`."""
    return type(x)(**{name: getattr(x, name) for name in names_of(x)} | changes)
