"""Machine code that the process maps itself: what can be an image, what LLVM's loader is left, what is refused."""

import ctypes
import mmap
import os
import struct
import sys

import pytest

from fnn.kernels.cpu import linking, loading, machine
from fnn.kernels.cpu.processor import KernelError

pytestmark = pytest.mark.skipif(
    not (sys.platform.startswith("linux") and machine.triple().startswith("x86_64")),
    reason="images are for Linux on x86-64",
)

# A table of constants, a jump table, a call within and calls of the C library.
TEXT = """
@powers = private constant [4 x i64] [i64 1, i64 10, i64 100, i64 1000]
declare i32 @getpagesize()
declare i32 @getppid()
define internal i64 @twice(i64 %x) noinline {
  %y = shl i64 %x, 1
  ret i64 %y
}
define i64 @kchoose(i64 %which, i64 %x) nounwind {
  %at = getelementptr [4 x i64], ptr @powers, i64 0, i64 %which
  switch i64 %which, label %other [
    i64 0, label %a
    i64 1, label %b
    i64 2, label %c
    i64 3, label %d
  ]
a:
  %pid = call i32 @getppid()
  %ra = sext i32 %pid to i64
  ret i64 %ra
b:
  %rb = call i64 @twice(i64 %x)
  ret i64 %rb
c:
  %scale = load i64, ptr %at
  %rc = mul i64 %x, %scale
  ret i64 %rc
d:
  %page = call i32 @getpagesize()
  %rd = sext i32 %page to i64
  ret i64 %rd
other:
  ret i64 ptrtoint (ptr @getppid to i64)
}
"""
COUNTER = """
@count = internal global i64 5
define i64 @kcount(i64 %by) {
  %old = load i64, ptr @count
  %new = add i64 %old, %by
  store i64 %new, ptr @count
  ret i64 %new
}
"""


def function(address: int, arguments: int):
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(address)


def check(choose) -> None:
    assert [choose(k, -7) for k in range(4)] == [os.getppid(), -14, -700, mmap.PAGESIZE]
    assert choose(9, 0) == ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value


def test_code_with_constants_jumps_and_calls_is_an_image():
    image = machine.assemble(TEXT, "choose")
    assert loading.is_image(image)
    code, exports, imports = loading.unpack(image)
    assert list(exports) == ["kchoose"] and sorted(imports) == ["getpagesize", "getppid"] and len(code) < 1000
    # Two copies live in places of their own.
    first, second = (loading.load([image], ["kchoose"])["kchoose"] for _ in range(2))
    assert first != second
    check(function(first, 2))
    check(function(second, 2))


def test_loaded_code_can_be_run_and_not_written():
    found = loading.load([machine.assemble(TEXT, "choose")], ["kchoose"])
    with open("/proc/self/maps") as file:
        for line in file:
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if low <= found["kchoose"] < high:
                assert line.split()[1].startswith("r-x")
                break
        else:
            raise AssertionError("the code lies nowhere")


def test_what_an_image_cannot_hold_is_left_to_llvm():
    code = machine.assemble(COUNTER, "count")
    assert not loading.is_image(code) and linking.link(code) is None
    both = loading.load([code, machine.assemble(TEXT, "choose")], ["kcount", "kchoose"])
    count = function(both["kcount"], 1)
    assert [count(1), count(10)] == [6, 16]
    check(function(both["kchoose"], 2))
    for other in (b"", b"\x7fELF", code[:100], b"MZ" + code[2:], code[:18] + b"\xb7" + code[19:]):
        assert linking.link(other) is None


def test_damaged_images_are_refused():
    image = machine.assemble(TEXT, "choose")
    code, exports, imports = loading.unpack(image)
    damaged = [
        image[:-1], image[:20], image[:8], image + b"x", image.replace(b'"kchoose": ', b'"kchoose":,'),
        loading.pack(code, {"kchoose": len(code)}, imports), loading.pack(code, exports, {"getppid": -8}),
        loading.pack(code, exports, {"getppid": len(code)}), loading.pack(code, exports, {"getppid": 4}),
    ]  # fmt: skip
    for wrong in damaged:
        with pytest.raises(KernelError, match="damaged"):
            loading.load([wrong], ["kchoose"])
    with pytest.raises(KernelError, match="fnn_no_such_function"):
        loading.load([loading.pack(code, exports, {"fnn_no_such_function": 0})], ["kchoose"])
    with pytest.raises(KernelError, match="no such symbol"):
        loading.load([image], ["kother"])
    assert loading.load([], []) == {}


def test_relocations_of_other_kinds_are_not_guessed_at():
    triple = machine.llvm.Target.from_triple(machine.triple())
    with machine.llvm.parse_assembly(TEXT) as module:
        absolute = triple.create_target_machine(reloc="static", codemodel="large").emit_object(module)
    assert linking.link(absolute) is None  # 64-bit addresses
    with machine.llvm.parse_assembly(TEXT) as module:
        own = machine._compiler().emit_object(module)
    assert linking.link(own) is not None
    # The same object, the kind of one relocation of its machine code changed.
    (sections,) = struct.unpack_from("<Q", own, 40)
    for k in range(*struct.unpack_from("<H", own, 60)):
        _, kind, _, _, offset, _, _, home = struct.unpack_from("<IIQQQQII", own, sections + 64 * k)
        if kind == 4 and struct.unpack_from("<Q", own, sections + 64 * home + 8)[0] & 4:
            changed = bytearray(own)
            struct.pack_into("<I", changed, offset + 8, 23)  # R_X86_64_TPOFF32
            assert linking.link(bytes(changed)) is None
            break
    else:
        raise AssertionError("the code has no relocations")
