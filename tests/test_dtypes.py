"""Dtypes: names, what inputs become, promotion."""

import itertools
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest

from fnn import dtypes
from fnn.config import config
from fnn.errors import DtypeError

# The whole of JAX's promotion with 64 bits enabled: the row's dtype with the column's, columns in the same
# order. A star marks weak ones: Python's int, float and complex.
PROMOTION = """
bool  bool
u8    u8 u8
u16   u16 u16 u16
u32   u32 u32 u32 u32
u64   u64 u64 u64 u64 u64
i8    i8 i16 i32 i64 f* i8
i16   i16 i16 i32 i64 f* i16 i16
i32   i32 i32 i32 i64 f* i32 i32 i32
i64   i64 i64 i64 i64 f* i64 i64 i64 i64
bf16  bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16
f16   f16 f16 f16 f16 f16 f16 f16 f16 f16 f32 f16
f32   f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 f32
f64   f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64 f64
c64   c64 c64 c64 c64 c64 c64 c64 c64 c64 c64 c64 c64 c128 c64
c128  c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128 c128
i*    i* u8 u16 u32 u64 i8 i16 i32 i64 bf16 f16 f32 f64 c64 c128 i*
f*    f* f* f* f* f* f* f* f* f* bf16 f16 f32 f64 c64 c128 f* f*
c*    c* c* c* c* c* c* c* c* c* c64 c64 c64 c128 c64 c128 c* c* c*
"""
WIDE = {"i*": dtypes.int64, "f*": dtypes.float64, "c*": dtypes.complex128}
NARROW = {"i*": dtypes.int32, "f*": dtypes.float32, "c*": dtypes.complex64}
BY_NAME = {dtypes.short_name(dtype): dtype for dtype in dtypes.DTYPES}
NUMBERS = [dtype for dtype in dtypes.DTYPES if dtype is not dtypes.key_dtype]


class Typed(NamedTuple):
    dtype: dtypes.Dtype
    weak_type: bool


def table():
    rows = [line.split() for line in PROMOTION.split("\n") if line]
    names = [row[0] for row in rows]
    return {(row[0], names[n]): met for row in rows for n, met in enumerate(row[1:])}


def typed(name, stars):
    return Typed(stars[name], True) if name in stars else Typed(BY_NAME[name], False)


def test_the_table_is_complete():
    assert len(table()) == 18 * 19 // 2
    assert {name for pair in table() for name in pair} == {*map(dtypes.short_name, NUMBERS), *WIDE}


@pytest.mark.parametrize("a, b", table(), ids="+".join)
def test_two_operands_meet_where_jax_says(a, b):
    expected = table()[a, b]
    with config.using(enable_x64=True):
        for x, y in ((a, b), (b, a)):
            assert dtypes.result([typed(x, WIDE), typed(y, WIDE)]) == typed(expected, WIDE)


@pytest.mark.parametrize("a, b", table(), ids="+".join)
def test_without_x64_only_64_bit_operands_give_64_bits(a, b):
    got, weak = dtypes.result([typed(a, NARROW), typed(b, NARROW)])
    expected = typed(table()[a, b], NARROW)
    assert weak == expected.weak_type
    wide = {"u64", "i64", "f64", "c128"}
    if not {a, b} & wide and table()[a, b] in wide:  # u32 with i32
        expected = Typed({"i64": dtypes.int32, "c128": dtypes.complex64}[table()[a, b]], False)
    assert got is expected.dtype


def test_promotion_does_not_depend_on_order_or_grouping():
    operands = [typed(name, NARROW) for name in ["u8", "i16", "f16", "bf16", "bool", "i*", "f*"]]
    for triple in itertools.combinations(operands, 3):
        assert len({dtypes.result(order) for order in itertools.permutations(triple)}) == 1


def test_all_weak_operands_stay_weak_and_take_the_widest():
    with config.using(enable_x64=True):
        weak_int = [Typed(dtypes.int32, True), Typed(dtypes.int64, True)]
        assert dtypes.result(weak_int) == (dtypes.int64, True)
    assert dtypes.result([Typed(dtypes.int32, True), Typed(dtypes.float16, True)]) == (dtypes.float16, True)
    assert dtypes.result([Typed(dtypes.bool_, True)]) == (dtypes.bool_, False)


@pytest.mark.parametrize(
    "a, b, met",
    [
        (int, "int8", "int8"),
        (int, "bool", "int32"),
        (float, "int64", "float32"),
        (float, "bfloat16", "bfloat16"),
        ("uint32", "int32", "int32"),
        ("uint32", "int64", "int64"),
        ("int64", "float32", "float32"),
        ("float64", "float32", "float64"),
        (float, int, "float32"),
    ],
)
def test_promote_types_without_x64(a, b, met):
    assert dtypes.promote_types(a, b) is dtypes.promote_types(b, a) is np.dtype(met)


def test_result_type_of_arrays_numbers_and_dtypes():
    assert dtypes.result_type(np.zeros(2)) is dtypes.float32  # a NumPy array says nothing on purpose
    assert dtypes.result_type("float64") is dtypes.float64
    assert dtypes.result_type(np.int8(1), 2, 3.5) is dtypes.float32
    assert dtypes.result_type(np.zeros(1, "float16"), 2, 3.5) is dtypes.float16
    assert dtypes.result_type(Typed(dtypes.float64, False), 1) is dtypes.float64
    assert dtypes.result_type(True) is dtypes.bool_
    with pytest.raises(DtypeError, match="at least one"):
        dtypes.result_type()


def test_keys_meet_keys_only():
    key = Typed(dtypes.key_dtype, False)
    assert dtypes.result([key, key]) == (dtypes.key_dtype, False)
    with pytest.raises(DtypeError, match="key_data"):
        dtypes.result([key, Typed(dtypes.uint32, False)])


# ----------------------------------------------------------------------------------------- what inputs become


@pytest.mark.parametrize("given, narrow", [(np.float64, "float32"), ("int64", "int32"), ("u8", "uint32")])
def test_64_bits_enter_as_32_unless_written_down_or_enabled(given, narrow):
    wide = np.dtype(given)
    assert dtypes.canonicalize(given) is np.dtype(narrow)
    assert dtypes.canonicalize(given, explicit=True) is wide
    with config.using(enable_x64=True):
        assert dtypes.canonicalize(given) is wide


@pytest.mark.parametrize(
    "cls, narrow, wide", [(bool, "bool", "bool"), (int, "int32", "int64"), (float, "float32", "float64")]
)
def test_python_types_follow_x64_even_when_written_down(cls, narrow, wide):
    for explicit in (False, True):
        assert dtypes.canonicalize(cls, explicit) is np.dtype(narrow)
        with config.using(enable_x64=True):
            assert dtypes.canonicalize(cls, explicit) is np.dtype(wide)
    assert dtypes.of_python(cls) == (np.dtype(narrow), cls is not bool)


def test_an_explicit_float64_dtype_is_not_taken_for_pythons_float():
    assert np.dtype("float64") == float  # NumPy's equality
    assert dtypes.canonicalize(np.dtype("float64"), explicit=True) is dtypes.float64
    assert dtypes.promote_types(np.dtype("float64"), "float32") is dtypes.float64


@pytest.mark.parametrize("dtype", NUMBERS)
def test_narrow_dtypes_are_left_alone_and_are_the_one_object(dtype):
    for same in (dtype, dtype.type, dtype.name):
        assert dtypes.as_dtype(same) is dtype


def test_dtypes_are_the_one_object_whatever_they_came_as():
    assert dtypes.as_dtype(np.dtype("longlong")) is dtypes.int64
    assert dtypes.as_dtype(">f4") is dtypes.float32
    assert dtypes.as_dtype("bfloat16") is dtypes.as_dtype(ml_dtypes.bfloat16) is dtypes.bfloat16
    assert dtypes.as_dtype(np.dtype([("key<fry>", "<u8")])) is dtypes.key_dtype


@pytest.mark.parametrize("wrong", [None, object, "U3", "datetime64[s]", "nonsense", "longdouble", 3, {}, [1]])
def test_other_dtypes_are_refused(wrong):
    with pytest.raises(DtypeError, match="float32"):
        dtypes.canonicalize(wrong)


@pytest.mark.parametrize(
    "given, narrow, wide",
    [
        ("bool", "float32", "float32"),
        ("int8", "float32", "float32"),
        ("int32", "float32", "float32"),
        ("uint64", "float32", "float64"),
        ("float16", "float16", "float16"),
        ("bfloat16", "bfloat16", "bfloat16"),
        ("float64", "float64", "float64"),
    ],
)
def test_to_inexact(given, narrow, wide):
    assert dtypes.to_inexact(np.dtype(given)) is np.dtype(narrow)
    with config.using(enable_x64=True):
        assert dtypes.to_inexact(np.dtype(given)) is np.dtype(wide)


def test_a_key_has_no_floating_dtype():
    with pytest.raises(DtypeError, match="key_data"):
        dtypes.to_inexact(dtypes.key_dtype)


# -------------------------------------------------------------------------------------------- what a dtype is


def test_kinds_and_short_names():
    kinds = {dtypes.short_name(dtype): dtypes.kind(dtype) for dtype in dtypes.DTYPES}
    assert "".join(kinds.values()) == "buuuuiiiiffffcck"
    assert " ".join(kinds) == "bool u8 u16 u32 u64 i8 i16 i32 i64 bf16 f16 f32 f64 c64 c128 key"
    assert [dtypes.bits(dtype) for dtype in dtypes.DTYPES] == [dtype.itemsize * 8 for dtype in dtypes.DTYPES]


@pytest.mark.parametrize("dtype", dtypes.DTYPES)
def test_exactly_one_category_holds(dtype):
    tests = [dtypes.is_bool, dtypes.is_integer, dtypes.is_float, dtypes.is_complex, dtypes.is_key]
    assert sum(test(dtype) for test in tests) == 1


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize(
    "category", [np.generic, np.number, np.integer, np.signedinteger, np.inexact, np.floating]
)
def test_issubdtype_follows_numpy(dtype, category):
    like = np.dtype("float16") if dtype is dtypes.bfloat16 else dtype  # NumPy knows no bfloat16
    assert dtypes.issubdtype(dtype, category) == np.issubdtype(like, category)


def test_issubdtype_of_keys_categories_and_names():
    assert dtypes.issubdtype(dtypes.key_dtype, dtypes.prng_key)
    assert dtypes.issubdtype(dtypes.key_dtype, dtypes.extended)
    assert not dtypes.issubdtype(dtypes.key_dtype, np.number)
    assert not dtypes.issubdtype(dtypes.uint64, dtypes.prng_key)
    assert dtypes.issubdtype(np.floating, np.inexact)
    assert not dtypes.issubdtype(np.inexact, np.floating)
    assert dtypes.issubdtype("float64", float)
    assert not dtypes.issubdtype("float32", float)
    with pytest.raises(DtypeError):
        dtypes.issubdtype("nonsense", np.floating)


def test_finfo_and_iinfo():
    assert float(dtypes.finfo("bfloat16").max) == 3.3895313892515355e38
    assert dtypes.finfo(np.float32).eps == np.finfo(np.float32).eps
    assert dtypes.iinfo("int8").min == -128
    assert dtypes.iinfo(int).max == np.iinfo(np.int64).max
    with pytest.raises(DtypeError, match="iinfo"):
        dtypes.finfo("int32")
    with pytest.raises(DtypeError, match="finfo"):
        dtypes.iinfo("float32")


def test_structural_numpy_works_on_keys():
    keys = np.zeros((2, 3), dtypes.key_dtype)
    keys["key<fry>"] = np.arange(6).reshape(2, 3)
    joined = np.concatenate([keys[:, 1:], keys[:, :1]], axis=1).T
    assert dtypes.is_key(joined.dtype)
    assert joined["key<fry>"].tolist() == [[1, 4], [2, 5], [0, 3]]
    with pytest.raises(TypeError):
        np.add(keys, keys)
