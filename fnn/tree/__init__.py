"""Pytrees: nested containers of arrays, and functions over all their leaves at once.

A pytree is any nesting of dicts, lists, tuples, named tuples, modules and registered classes; whatever else
it holds is a leaf, and None is a node without leaves. A structure (`PyTreeDef`) is a pytree without its
leaves.

>>> import fnn.tree
>>> params = {"layer1": {"w": 1.0, "b": 2.0}, "scale": 3.0}
>>> fnn.tree.map(lambda x: 10 * x, params)
{'layer1': {'w': 10.0, 'b': 20.0}, 'scale': 30.0}
"""

from fnn.tree.interning import StructureKey, structure_key
from fnn.tree.keys import DictKey, FlattenedIndexKey, GetAttrKey, KeyEntry, KeyPath, SequenceKey, keystr
from fnn.tree.match import PyTreeDef, broadcast_prefix, check_structure, flatten_up_to, leaf_paths
from fnn.tree.ops import (
    all,
    all_leaves,
    broadcast,
    flatten,
    flatten_one_level,
    flatten_one_level_with_keys,
    flatten_with_path,
    is_tree_node,
    leaves,
    leaves_with_path,
    map,
    map_with_path,
    reduce,
    reduce_associative,
    structure,
    transpose,
    treedef_children,
    treedef_is_leaf,
    treedef_tuple,
    unflatten,
)
from fnn.tree.reading import reader
from fnn.tree.registry import (
    Partial,
    register_attributes,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
    static,
)
from fnn.tree.surgery import at

__all__ = [
    "KeyEntry",
    "static",
    "register_static",
    "reduce_associative",
    "is_tree_node",
    "flatten_one_level_with_keys",
    "flatten_one_level",
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "StructureKey",
    "all",
    "all_leaves",
    "at",
    "broadcast",
    "broadcast_prefix",
    "check_structure",
    "flatten",
    "flatten_up_to",
    "flatten_with_path",
    "keystr",
    "leaf_paths",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reader",
    "reduce",
    "register_attributes",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "structure",
    "structure_key",
    "transpose",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
    "unflatten",
]
