"""Modules: fields, freezing, inheritance, printing, equality."""

import abc
import copy
import dataclasses
import itertools
import pickle
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import pytest

import fnn.tree as tree
from fnn.errors import ArgumentError, ImmutableError, TreeError
from fnn.module import Module, field, format_tree, static_field

T = TypeVar("T")


class Linear(Module):
    weight: np.ndarray
    bias: np.ndarray | None = None
    name: str = static_field(default="linear")

    def __call__(self, x):
        out = x @ self.weight
        return out if self.bias is None else out + self.bias


class MLP(Module):
    layers: tuple
    activation: Callable = static_field(default=np.tanh)

    def __init__(self, sizes):
        self.layers = tuple(
            Linear(np.ones((m, n), np.float32), np.zeros(n, np.float32)) for m, n in itertools.pairwise(sizes)
        )

    def __call__(self, x):
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


def test_a_module_is_a_frozen_dataclass_and_a_pytree():
    layer = Linear(np.ones((2, 3)))
    assert dataclasses.is_dataclass(layer)
    assert [leaf.shape for leaf in tree.leaves(layer)] == [(2, 3)]
    doubled = tree.map(lambda x: 2 * x, layer)
    assert isinstance(doubled, Linear)
    assert doubled(np.ones(2)).tolist() == [4, 4, 4]
    assert (doubled.name, doubled.bias) == ("linear", None)


def test_a_written_init_assigns_the_fields():
    model = MLP([3, 4, 2])
    assert model.activation is np.tanh  # a default the __init__ leaves alone
    assert model(np.ones(3, np.float32)).shape == (2,)
    assert len(tree.leaves(model)) == 4
    leaves, treedef = tree.flatten(model)
    assert tree.unflatten(treedef, leaves) == model


def test_paths_are_attribute_names():
    paths = [tree.keystr(path) for path, _ in tree.leaves_with_path({"model": MLP([1, 1, 1])})]
    assert paths[0] == "['model'].layers[0].weight"
    assert paths[-1] == "['model'].layers[1].bias"


def test_static_fields_belong_to_the_structure():
    a, b = Linear(np.ones(2), name="a"), Linear(np.ones(2), name="b")
    assert tree.structure(a) != tree.structure(b)
    assert tree.structure(a) == tree.structure(b.replace(name="a"))
    with pytest.raises(
        TreeError, match=r"at \[0\]: a Linear with static field name = 'a' expected, 'b' given"
    ):
        tree.map(lambda x, y: x, [a], [b])


def test_assignment_afterwards_is_refused_with_the_way_out():
    layer = Linear(np.ones(2))
    with pytest.raises(ImmutableError, match=r"model\.replace\(bias=\.\.\.\).*fnn\.tree\.at"):
        layer.bias = np.ones(2)
    with pytest.raises(ImmutableError, match="cannot be deleted"):
        del layer.bias
    with pytest.raises(AttributeError):  # what Python raises for frozen things
        layer.name = "other"
    assert layer.bias is None


def test_replace_and_at_make_changed_copies():
    model = MLP([2, 2, 2])
    one = model.replace(activation=np.sin)
    assert one.activation is np.sin
    assert one.layers is model.layers
    two = tree.at(lambda m: m.layers[1].bias, model, np.ones(2, np.float32))
    assert two.layers[1].bias.tolist() == [1, 1]
    assert model.layers[1].bias.tolist() == [0, 0]
    assert two.layers[0].weight is model.layers[0].weight
    three = tree.at(lambda m: [layer.weight for layer in m.layers], model, replace_fn=lambda w: -w)
    assert [layer.weight.sum() for layer in three.layers] == [-4, -4]
    with pytest.raises(ArgumentError, match="no field 'wieght'; the fields are layers, activation"):
        model.replace(wieght=1)


def test_init_must_set_every_field_and_no_other():
    class Forgetful(Module):
        a: int
        b: int
        c: list = field(default_factory=list)

        def __init__(self, extra=False):
            self.a = 1
            if extra:
                setattr(self, "d", 2)  # noqa: B010  # not a field, which is the point

    with pytest.raises(ArgumentError, match="did not set b"):
        Forgetful()
    with pytest.raises(ArgumentError, match=r"no field 'd'.*`d: int = static_field\(\)`"):
        Forgetful(extra=True)


def test_a_failing_init_does_not_leave_others_open():
    class Failing(Module):
        a: int

        def __init__(self):
            self.a = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Failing()
    with pytest.raises(ImmutableError):
        Linear(np.ones(1)).name = "x"


def test_inheritance_adds_fields_and_keeps_a_written_init():
    class Scaled(Linear):
        scale: float = 2.0

        def __call__(self, x):
            return self.scale * super().__call__(x)

    scaled = Scaled(np.ones((2, 2)), name="s", scale=3.0)
    assert scaled(np.ones(2)).tolist() == [6, 6]
    assert tree.leaves(scaled)[-1] == 3.0

    class Deeper(MLP):
        extra: float = 0.5

    deeper = Deeper([1, 1])
    assert (deeper.extra, len(deeper.layers)) == (0.5, 1)

    class Own(MLP):
        bias: float = 0.0

        def __init__(self, sizes, bias):
            super().__init__(sizes)
            self.bias = bias

    assert Own([1, 1], 7.0).bias == 7.0
    assert tree.structure(deeper) != tree.structure(MLP([1, 1]))


def test_post_init_may_assign():
    class Counted(Module):
        items: tuple
        count: int = static_field(init=False)

        def __post_init__(self):
            self.count = len(self.items)

    assert Counted((1, 2)).count == 2
    assert tree.map(lambda x: x, Counted((1, 2))).count == 2


def test_abstract_methods_generics_and_properties_work():
    class Layer(Module, Generic[T]):
        @abc.abstractmethod
        def __call__(self, x: T) -> T: ...

        @property
        def size(self):
            return len(tree.leaves(self))

    class Identity(Layer[int]):
        def __call__(self, x):
            return x

    unready: Any = Layer
    with pytest.raises(TypeError, match="abstract"):
        unready()
    assert Identity()(3) == 3
    assert Identity().size == 0


def test_repr_shows_shapes_not_numbers():
    assert repr(Linear(np.ones((2, 3), np.float16))) == "Linear(weight=f16[2,3], bias=None, name='linear')"
    assert repr(MLP([784, 128, 10])) == (
        "MLP(\n"
        "  layers=(\n"
        "    Linear(weight=f32[784,128], bias=f32[128], name='linear'),\n"
        "    Linear(weight=f32[128,10], bias=f32[10], name='linear'),\n"
        "  ),\n"
        "  activation=tanh,\n"
        ")"
    )
    assert (
        repr(Linear(np.ones(()), name="x").replace(weight=object))
        == "Linear(weight=object, bias=None, name='x')"
    )


def test_format_tree_of_other_containers():
    t = {"f": (len,), "g": lambda x: x, "s": np.array(["a"]), "n": [1.5, None]}
    assert format_tree(t) == "{'f': (len,), 'g': <lambda>, 's': <U1[1], 'n': [1.5, None]}"
    assert format_tree([{"a": 1}], width=4) == "[\n  {\n    'a': 1,\n  },\n]"


def test_equality_is_of_structure_shape_dtype_and_elements():
    a, b = MLP([2, 3]), MLP([2, 3])
    assert a == b
    assert hash(a) == hash(b)
    assert a != MLP([2, 4])
    assert a != tree.at(lambda m: m.layers[0].bias, b, np.ones(3, np.float32))
    assert a != tree.map(lambda x: x.astype(np.float64), b)
    assert a != a.replace(activation=np.sin)
    assert a != 3
    nan = Linear(np.array([np.nan]))
    assert nan == nan


def test_copy_and_pickle():
    layer = Linear(np.arange(3.0), name="kept")
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin == layer
        with pytest.raises(ImmutableError):
            twin.name = "x"
