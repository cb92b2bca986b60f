"""Records mean what dataclasses mean."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from fnn import records
from fnn.records import field, is_record, names_of, record, replace


def definitions(make: Any, field: Any) -> list[type]:
    @make(frozen=True)
    class Point:
        x: float
        y: float = 0.0
        name: str = field(default="", compare=False)
        cache: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

        def norm(self) -> float:
            return self.x**2 + self.y**2

    @make(eq=False)
    class Counter:
        counts: list[int] = field(default_factory=list)

        def __post_init__(self) -> None:
            self.counts = [0, *self.counts]

    @make()
    class Box:
        side: int

        def __repr__(self) -> str:
            return f"a box of {self.side}"

    @make(frozen=True)
    class Solid(Point):
        z: float = 1.0

    return [Point, Counter, Box, Solid]


def dataclass(**options: bool) -> Any:
    return dataclasses.dataclass(**options)


def behaviour(classes: list[type]) -> list[Any]:
    """What can be seen of the classes, whoever made them."""
    Point, Counter, Box, Solid = classes
    p = Point(3.0, name="p")
    seen: list[Any] = [
        (p.x, p.y, p.name, p.cache, p.norm()), p == Point(3.0, 0.0, "other"), p == Point(3.0, 1.0),
        hash(p) == hash(Point(x=3.0, cache={"a": 1})), p.cache is Point(3.0).cache, p == Solid(3.0), p != 3.0,
        Counter().counts, Counter([5]).counts, Counter() == Counter(), Box(1) == Box(1), repr(Box(2)),
        Box.__hash__ is None, Solid(1.0, z=2.0).z, repr(Solid(1.0)).split(".")[-1], Solid.__match_args__,
        copy.deepcopy(p) == p, {Point(1.0): 1, Point(1.0, name="same"): 2},
    ]  # fmt: skip
    seen[-1] = list(seen[-1].values())
    for wrong in (
        lambda: Point(), lambda: Point(1.0, x=2.0), lambda: Point(1.0, w=2.0), lambda: Point(*range(5)),
        lambda: setattr(p, "x", 1.0), lambda: delattr(p, "x"), lambda: hash(Box(1)),
    ):  # fmt: skip
        with pytest.raises((TypeError, AttributeError)) as caught:
            wrong()
        seen.append(isinstance(caught.value, TypeError))
    box = Box(1)
    box.side = 4
    return [*seen, box.side]


def test_records_behave_as_dataclasses() -> None:
    assert behaviour(definitions(record, field)) == behaviour(definitions(dataclass, dataclasses.field))


def test_errors_name_the_field() -> None:
    Point = definitions(record, field)[0]
    with pytest.raises(TypeError, match="Point lacks a value for its field 'x'"):
        Point(y=1.0)
    with pytest.raises(TypeError, match="Point has no field 'w'"):
        Point(1.0, w=1.0)
    with pytest.raises(TypeError, match="Point was given twice field 'x'"):
        Point(1.0, x=1.0)
    with pytest.raises(AttributeError, match=r"Point is immutable.*'x'"):
        Point(1.0).x = 2.0


@record(frozen=True)
class Kept:
    a: int
    b: str = "b"


def test_records_can_be_replaced_listed_and_pickled() -> None:
    kept = Kept(1)
    assert replace(kept, a=2) == Kept(2, "b") and kept.a == 1
    assert names_of(kept) == ("a", "b") and is_record(kept) and not is_record(3) and not is_record(Kept)
    assert pickle.loads(pickle.dumps(kept)) == kept
    assert repr(kept) == "Kept(a=1, b='b')"
    with pytest.raises(TypeError, match="no field 'c'"):
        replace(kept, c=1)
    assert set(records.__all__) <= set(dir(records))
