"""`fnn.tree` and the registration of classes under the names of JAX's `tree_util`."""

from fnn.tree import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    KeyEntry,
    KeyPath,
    Partial,
    PyTreeDef,
    SequenceKey,
    all_leaves,
    flatten_one_level,
    flatten_one_level_with_keys,
    is_tree_node,
    keystr,
    register_dataclass,
    register_pytree_node,
    register_pytree_node_class,
    register_pytree_with_keys,
    register_pytree_with_keys_class,
    register_static,
    treedef_children,
    treedef_is_leaf,
    treedef_tuple,
)
from fnn.tree import all as tree_all
from fnn.tree import broadcast as tree_broadcast
from fnn.tree import flatten as tree_flatten
from fnn.tree import flatten_with_path as tree_flatten_with_path
from fnn.tree import leaves as tree_leaves
from fnn.tree import leaves_with_path as tree_leaves_with_path
from fnn.tree import map as tree_map
from fnn.tree import map_with_path as tree_map_with_path
from fnn.tree import reduce as tree_reduce
from fnn.tree import reduce_associative as tree_reduce_associative
from fnn.tree import structure as tree_structure
from fnn.tree import transpose as tree_transpose
from fnn.tree import unflatten as tree_unflatten

__all__ = [
    "tree_reduce_associative",
    "register_static",
    "is_tree_node",
    "flatten_one_level_with_keys",
    "flatten_one_level",
    "KeyEntry",
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]
