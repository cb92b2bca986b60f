"""Pytrees: structures, maps, registration, key paths, messages."""

import collections
import copy
import dataclasses
import operator
import pickle
import re
from typing import Any

import numpy as np
import pytest

import fnn.tree as tree
from fnn import tree_util
from fnn.errors import ArgumentError, TreeError

Point = collections.namedtuple("Point", "y x")


class Pair:
    """A registered class without keys."""

    def __init__(self, a, b, note=None):
        self.a, self.b, self.note = a, b, note


def _pair(note, children):
    a, b = children
    return Pair(a, b, note)


tree.register_pytree_node(Pair, lambda p: ((p.a, p.b), p.note), _pair)


@tree_util.register_pytree_with_keys_class
class Keyed:
    def __init__(self, left, right):
        self.left, self.right = left, right

    def tree_flatten_with_keys(self):
        return ((tree.GetAttrKey("left"), self.left), ("any key", self.right)), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        assert aux is None
        return cls(*children)


@tree.register_dataclass
@dataclasses.dataclass
class Data:
    w: object
    size: object = dataclasses.field(default=3, metadata={"static": True})


TREES = [
    1,
    None,
    (),
    [],
    {},
    (1, [2, None], {"b": 3, "a": (4,)}),
    Point(1, [2]),
    collections.OrderedDict(b=1, a=2),
    collections.defaultdict(list, b=1, a=2),
    [Pair(1, (2, 3)), Data({"x": 4}), tree.Partial(operator.add, 5)],
]


# ------------------------------------------------------------------------------ taking apart and putting back


@pytest.mark.parametrize("t", TREES)
def test_round_trip(t):
    leaves, treedef = tree.flatten(t)
    assert leaves == tree.leaves(t)
    assert treedef == tree.structure(t)
    assert treedef.num_leaves == len(leaves)
    again, same = tree.flatten(tree.unflatten(treedef, iter(leaves)))
    assert (again, same) == (leaves, treedef)
    assert pickle.loads(pickle.dumps(treedef)) == copy.copy(treedef) == treedef
    assert len(tree.leaves_with_path(t)) == len(leaves)


@pytest.mark.parametrize(
    "t, leaves",
    [
        ({"b": 1, "a": None, "c": {}}, [1]),
        ({"b": 1, "a": 2}, [2, 1]),
        (collections.OrderedDict(b=1, a=2), [1, 2]),
        (collections.defaultdict(int, b=1, a=2), [2, 1]),
        (Point(1, 2), [1, 2]),
        ("text", ["text"]),
    ],
)
def test_order_of_leaves(t, leaves):
    assert tree.leaves(t) == leaves


def test_types_of_containers_are_part_of_the_structure():
    structures = [
        tree.structure(t) for t in ((1, 2), [1, 2], Point(1, 2), {0: 1, 1: 2}, Pair(1, 2), None, 1, ())
    ]
    assert len(set(structures)) == len(structures)
    assert tree.structure({"a": 1, "b": 2}) == tree.structure({"b": 3, "a": 4})
    default = tree.unflatten(tree.structure(collections.defaultdict(list, a=1)), [5])
    assert default["missing"] == []
    assert default["a"] == 5


def test_is_leaf_everywhere():
    t = {"a": (1, 2), "b": None}
    assert tree.leaves(t, is_leaf=lambda x: x is None) == [1, 2, None]
    assert tree.leaves(t, is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2)]
    assert tree.map(len, t, is_leaf=lambda x: isinstance(x, tuple)) == {"a": 2, "b": None}
    assert tree.reduce(operator.add, t, (), is_leaf=lambda x: isinstance(x, tuple)) == (1, 2)
    assert not tree.all(t, is_leaf=lambda x: x is None)
    assert tree.structure(t, is_leaf=lambda x: isinstance(x, dict)) == tree.structure(0)
    assert [tree.keystr(p) for p, _ in tree.leaves_with_path(t, is_leaf=lambda x: x is None)][-1] == "['b']"


def test_unflatten_checks():
    treedef = tree.structure((1, 2))
    for leaves in ([1], [1, 2, 3]):
        with pytest.raises(TreeError, match=f"{len(leaves)} leaves for a structure of 2"):
            tree.unflatten(treedef, leaves)
    swapped: Any = lambda a, b: tree.unflatten(b, a)
    with pytest.raises(ArgumentError, match="stands first"):
        swapped(treedef, [1, 2])


def test_map_and_prefixes():
    assert tree.map(operator.add, {"a": 1, "b": (2,)}, {"a": 10, "b": (20,)}) == {"a": 11, "b": (22,)}
    assert tree.map(lambda x, y: y, {"a": 1}, {"a": [2, None]}) == {"a": [2, None]}
    assert tree.map(lambda x, y: y, (1, 2), (None, 3)) == (None, 3)


def test_stop_iteration_in_a_mapped_function_is_not_swallowed():
    def stop(x):
        raise StopIteration

    with pytest.raises(StopIteration):
        tree.map(stop, [1])


def test_reduce_all_and_leaf_predicates():
    assert tree.reduce(operator.add, [1, (2, 3)]) == 6
    assert tree.reduce(operator.add, [], 0) == 0
    with pytest.raises(TreeError, match="initializer"):
        tree.reduce(operator.add, [])
    assert tree.all([]) is True
    assert tree.all([1, (True,)]) is True
    assert tree.all([1, (0,)]) is False
    assert tree.all_leaves([1, "a", np.zeros(2)])
    assert not tree.all_leaves([1, None])
    assert not tree.all_leaves([1, (2,)])


def test_transpose():
    inner, outer = tree.structure({"a": 0, "b": 0}), tree.structure((0, 0, 0))
    t = tuple({"a": n, "b": -n} for n in range(3))
    assert tree.transpose(outer, inner, t) == {"a": (0, 1, 2), "b": (0, -1, -2)}
    assert tree.transpose(outer, None, t) == tree.transpose(outer, inner, t)
    assert tree.transpose(tree.structure([]), inner, []) == {"a": [], "b": []}
    with pytest.raises(TreeError, match=r"at \[1\]\['b'\]: missing"):
        tree.transpose(outer, inner, ({"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 1}))


def test_broadcast():
    assert tree.broadcast(1, {"a": [0, None], "b": 0}) == {"a": [1, None], "b": 1}
    with pytest.raises(TreeError, match="at the root"):
        tree.broadcast((1, 2), [0, 0])


def test_treedefs_of_parts():
    treedef = tree.structure(({"a": 1}, 2))
    assert tree_util.treedef_tuple(tree_util.treedef_children(treedef)) == treedef
    assert [tree_util.treedef_is_leaf(child) for child in treedef.children()] == [False, True]
    assert tree_util.treedef_is_leaf(tree.structure(None))  # a single node, as JAX counts


# -------------------------------------------------------------------------------------------------- key paths


def test_paths_are_named_as_python_reaches_them():
    t = {
        "d": {"x": 1},
        "k": Keyed(2, 3),
        "o": collections.OrderedDict(z=4),
        "p": Pair(5, 6),
        "s": [7, (8,)],
        "t": Point(9, 10),
        "u": Data(11),
    }
    paths = [tree.keystr(path) for path, _ in tree.leaves_with_path(t)]
    assert paths == [
        "['d']['x']",
        "['k'].left",
        "['k']any key",
        "['o']['z']",
        "['p'][<flat index 0>]",
        "['p'][<flat index 1>]",
        "['s'][0]",
        "['s'][1][0]",
        "['t'].y",
        "['t'].x",
        "['u'].w",
    ]
    assert tree.map_with_path(lambda path, x, y: (len(path), x + y), (1, [2]), (3, [4])) == ((1, 4), [(2, 6)])


def test_keys_have_their_fields_and_compare():
    path = tree.leaves_with_path({"a": [Data(1)]})[0][0]
    assert path == (tree.DictKey("a"), tree.SequenceKey(0), tree.GetAttrKey("w"))
    assert (path[0].key, path[1].idx, path[2].name) == ("a", 0, "w")
    assert tree.keystr(path, simple=True, separator=".") == "a.0.w"
    assert len({*path, *path}) == 3


# ------------------------------------------------------------------------------------ registration and static


def test_registering_twice_or_wrongly_is_refused():
    node: Any = lambda aux, children: None
    with pytest.raises(TreeError, match="Pair is already"):
        tree.register_pytree_node(Pair, lambda p: ((), None), node)
    with pytest.raises(TreeError, match="dict is already"):
        tree.register_pytree_node(dict, lambda p: ((), None), node)
    with pytest.raises(ArgumentError, match="not a dataclass"):
        tree.register_dataclass(Point)
    with pytest.raises(ArgumentError, match="tree_unflatten"):
        tree.register_pytree_node_class(type("Unready", (), {}))

    @dataclasses.dataclass
    class Three:
        a: int
        b: int
        c: int = 7

    with pytest.raises(ArgumentError, match="name \\['a'\\]"):
        tree.register_dataclass(Three, ["a"], [])
    with pytest.raises(ArgumentError, match="together"):
        tree.register_dataclass(Three, ["a"])
    tree.register_dataclass(Three, ["b"], ["a"], drop_fields=["c"])
    assert tree.map(operator.neg, Three(1, 2, 3)) == Three(1, -2, 7)


def test_partial_is_a_node():
    add = tree.Partial(lambda a, b, c: a + b * c, 1, c=2)
    assert tree.leaves(add) == [1, 2]
    assert tree.map(lambda x: 10 * x, add)(5) == 110


EQUAL = [(1, 1), ((1, 2), (1, 2)), ("a", "a"), (float("nan"), float("nan")), (operator.add, operator.add)]
UNEQUAL = [(1, 1.0), (1, True), (0.0, -0.0), ((1,), (1.0,)), ((1, (True,)), (1, (1,))), ("a", "b"), (None, 0)]


@pytest.mark.parametrize("make", [lambda s: Data(1, s), lambda s: [Pair(1, 2, s)]])
def test_static_values_are_compared_exactly_types_included(make):
    for a, b in EQUAL:
        assert tree.structure(make(a)) == tree.structure(make(b))
        assert tree.structure_key(tree.structure(make(a))) is tree.structure_key(tree.structure(make(b)))
    for a, b in UNEQUAL:
        assert tree.structure(make(a)) != tree.structure(make(b))
        assert tree.structure_key(tree.structure(make(a))) != tree.structure_key(tree.structure(make(b)))


def test_structure_keys_hash_static_fields_and_outlive_their_table():
    keys = [tree.structure_key(tree.structure(Data(1, n))) for n in range(50)]
    assert len({hash(key) for key in keys}) == 50
    first = tree.structure_key(tree.structure(Data(1, "kept")))
    for n in range(4200):  # more than the table holds
        tree.structure_key(tree.structure({n: 0}))
    again = tree.structure_key(tree.structure(Data(1, "kept")))
    assert again is not first
    assert (again, hash(again)) == (first, hash(first))


def test_static_values_that_cannot_be_keys_are_named():
    with pytest.raises(TreeError, match="static field 'size' of Data, a list, is not hashable"):
        tree.structure_key(tree.structure((1, Data(1, [2]))))
    with pytest.raises(TreeError, match="auxiliary data of Pair"):
        tree.structure_key(tree.structure(Pair(1, 2, {})))
    a, b = tree.structure(Data(1, np.zeros(2))), tree.structure(Data(1, np.zeros(2)))
    with pytest.raises(TreeError, match="static field 'size' of Data, a ndarray, cannot be compared"):
        _ = a == b


# --------------------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    "first, second, parts",
    [
        (
            {"layer1": {"w": 1, "b": 2}},
            {"layer1": {"w": 1, "q": 2}},
            [
                "at ['layer1']['b']: missing",
                "at ['layer1']['q']: not expected",
                "tree 1: {'layer1'",
                "tree 2: {'layer1'",
            ],
        ),
        ([1, (2, 3)], [1, [2, 3]], ["at [1]: expected a tuple of 2, got a list of 2"]),
        ([1, 2], [1, 2, 3], ["at [2]: not expected"]),
        ({"a": (1,)}, {"a": np.zeros(2)}, ["at ['a']: expected a tuple of 1, got a leaf of type ndarray"]),
        ({"a": None}, {"a": 3}, ["at ['a']: expected None, got a leaf of type int"]),
        ([Data(1)], [Pair(1, 2)], ["at [0]: expected a Data, got a Pair"]),
        ([Data(1, 3)], [Data(1, 4)], ["at [0]: a Data with static field size = 3 expected, 4 given"]),
        (
            Pair(1, 2, "m"),
            Pair(1, 2, "n"),
            ["at the root: a Pair with auxiliary data 'm' expected, 'n' given"],
        ),
        ({}, {"a": 1}, ["at ['a']: not expected"]),
        (Point(1, (2,)), Point(1, 2), ["at .x: expected a tuple of 1, got a leaf of type int"]),
    ],
)
def test_map_names_the_paths_that_differ(first, second, parts):
    with pytest.raises(TreeError) as caught:
        tree.map(lambda *leaves: leaves, first, second)
    assert all(part in str(caught.value) for part in ["fnn.tree.map", *parts]), str(caught.value)


def test_the_third_tree_is_named_and_long_lists_are_cut():
    with pytest.raises(TreeError, match="tree 3"):
        tree.map(lambda *leaves: leaves, (1,), (1,), (1, 2))
    many = {f"key{n}": n for n in range(500)}
    with pytest.raises(TreeError, match="and 492 more differences") as caught:
        tree.map(lambda *leaves: leaves, many, {})
    assert len(str(caught.value)) < 2000


def test_errors_of_registered_classes_are_not_disguised():
    class Broken:
        pass

    def flatten(node):
        raise ValueError("their own")

    tree.register_pytree_node(Broken, flatten, lambda aux, children: Broken())
    with pytest.raises(ValueError, match="their own") as caught:
        tree.leaves(Broken())
    assert not isinstance(caught.value, TreeError)


def test_check_structure_is_exact_and_takes_trees_or_treedefs():
    expected = tree.structure((1, {"a": 2}))
    tree.check_structure(expected, (3, {"a": 4}), "scan")
    tree.check_structure(expected, expected, "scan")
    for given in ((1, {"a": [2]}), tree.structure((1, {"a": [2]}))):
        with pytest.raises(
            TreeError,
            match=re.escape("scan: the structures differ:\n  at [1]['a']: expected a leaf, got a list of 1"),
        ):
            tree.check_structure(expected, given, "scan", ("the carry in", "the carry out"))
    with pytest.raises(TreeError, match="the carry out: OrderedDict"):
        tree.check_structure(
            tree.structure({"a": 1}), collections.OrderedDict(a=1), "scan", ("the carry in", "the carry out")
        )
    tree.check_structure(tree.structure({"a": 1}), {"a": 5}, "scan")


@pytest.mark.parametrize(
    "prefix, full, leaves",
    [
        (0, ({"a": 1, "b": 2}, 3), [0, 0, 0]),
        (None, (1, 2), [None, None]),
        ((0, None), ({"a": 1, "b": 2}, 3), [0, 0, None]),
        (({"a": 1, "b": None}, 0), ({"a": 1, "b": (2, 3)}, None), [1, None, None]),
        ((0, 1), (None, 5), [1]),
        (Data(-1), Data((1, 2)), [-1, -1]),
    ],
)
def test_broadcast_prefix(prefix, full, leaves):
    assert tree.broadcast_prefix(prefix, full) == leaves
    assert tree.broadcast_prefix(prefix, tree.structure(full)) == leaves


def test_broadcast_prefix_names_the_path():
    with pytest.raises(TreeError) as caught:
        tree.broadcast_prefix(
            ({"w": 0}, 0), ({"w": 1, "b": 2}, 3), where="vmap", names=("in_axes", "the arguments")
        )
    assert str(caught.value).startswith(
        "vmap: the structures differ:\n  at [0]['b']: not expected\n  in_axes "
    )
    with pytest.raises(TreeError, match=r"at \[1\]: missing"):
        tree.broadcast_prefix((0, 0), (1,))


# --------------------------------------------------------------------------------------------------------- at


def test_at_replaces_leaves_and_subtrees_and_shares_the_rest():
    shared = [1, 2]
    t = {"a": shared, "b": {"c": 3, "d": 4}}
    new = tree.at(lambda t: t["b"]["c"], t, 30)
    assert new == {"a": [1, 2], "b": {"c": 30, "d": 4}}
    assert t["b"]["c"] == 3
    assert tree.at(lambda t: t["b"], t, "gone") == {"a": [1, 2], "b": "gone"}
    assert tree.at(lambda t: t, t, 5) == 5
    assert tree.at(lambda t: (t["a"][0], t["b"]), t, (10, 20)) == {"a": [10, 2], "b": 20}
    assert tree.at(lambda t: t["a"], t, replace_fn=sum) == {"a": 3, "b": {"c": 3, "d": 4}}
    assert tree.at(lambda t: t["x"], {"x": (1, 2)}, (5, 6)) == {"x": (5, 6)}
    assert tree.at(lambda t: t["n"], {"n": None, "m": 1}, 7, is_leaf=lambda x: x is None) == {"n": 7, "m": 1}
    assert tree.at(lambda t: t[0], [1, None, 3], replace=None) == [None, None, 3]


@pytest.mark.parametrize(
    "where, error, match",
    [
        (lambda t: t["d"].size, TreeError, "Static fields"),
        (lambda t: (t["a"], t["a"]), TreeError, "more than once"),
        (lambda t: (t["a"], t["a"][0]), TreeError, "within one another"),
        (lambda t: t["n"], TreeError, "is_leaf=lambda x: x is None"),
        (lambda t: t["a"][0].T, ArgumentError, r"asked a leaf \(a int\) for .T"),
        (lambda t: (t["a"][0], t["a"][1]), ArgumentError, "points at 2 nodes, `replace` gives one"),
    ],
)
def test_at_says_what_it_cannot_do(where, error, match):
    with pytest.raises(error, match=match):
        tree.at(where, {"a": [1, 2], "d": Data(1), "n": None}, replace=0)


def test_at_takes_one_of_replace_and_replace_fn():
    for options in ({}, {"replace": 1, "replace_fn": abs}):
        with pytest.raises(ArgumentError, match="one of"):
            tree.at(lambda t: t, 1, **options)


def test_the_names_of_tree_util_are_the_same_functions():
    for name in (
        "map",
        "leaves",
        "flatten",
        "unflatten",
        "structure",
        "reduce",
        "all",
        "transpose",
        "broadcast",
    ):
        assert getattr(tree_util, f"tree_{name}") is getattr(tree, name)
    for name in ("map_with_path", "flatten_with_path", "leaves_with_path"):
        assert getattr(tree_util, f"tree_{name}") is getattr(tree, name)
