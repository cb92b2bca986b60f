"""Key paths: how the place of a leaf in a pytree is named.

A path is a tuple of keys, one for each level. `keystr` prints it the way the leaf would be reached in Python:
`['layers'][0].weight`.
"""

from __future__ import annotations

from typing import Any

from fnn.records import record

__all__ = ["DictKey", "FlattenedIndexKey", "GetAttrKey", "KeyEntry", "KeyPath", "SequenceKey", "keystr"]


@record(frozen=True)
class DictKey:
    """A step into a dict: `['weight']`."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@record(frozen=True)
class SequenceKey:
    """A step into a list, tuple or deque: `[0]`."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@record(frozen=True)
class GetAttrKey:
    """A step to an attribute, of a module, a dataclass or a named tuple: `.weight`."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@record(frozen=True)
class FlattenedIndexKey:
    """A step to a child of a registered class that does not name its children: `[<flat index 0>]`."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


KeyEntry = Any  # a key of a path: one of the classes above, or what a registered class names its children by
KeyPath = tuple[Any, ...]

_PLAIN = {DictKey: "key", SequenceKey: "idx", GetAttrKey: "name", FlattenedIndexKey: "key"}


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """A path as text.

    Args:
        keys: the path, outermost first.
        simple: print each key bare (`layers`, `0`) instead of as Python (`['layers']`, `[0]`).
        separator: what stands between two keys.

    >>> path = (DictKey("layers"), SequenceKey(0), GetAttrKey("weight"))
    >>> keystr(path)
    "['layers'][0].weight"
    >>> keystr(path, simple=True, separator="/")
    'layers/0/weight'
    """
    if not simple:
        return separator.join([str(key) for key in keys])
    return separator.join(
        [str(getattr(key, _PLAIN[type(key)]) if type(key) in _PLAIN else key) for key in keys]
    )
