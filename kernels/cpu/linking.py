"""Object code made position independent: what the cache keeps and `loading` maps into a process, without LLVM.

An image is a run of machine code and constants in which every reference to itself is resolved, relative to
the instruction; only functions of the C library have slots that are filled when it is loaded. Understood are
ELF objects for x86-64 of the small code model; whatever has more than that (data that is written,
thread-local storage, other relocations) is None, and LLVM's own loader takes the object as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fnn.kernels.cpu import loading

_PC32, _PLT32, _GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX = 2, 4, 9, 41, 42
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_WRITE, _ALLOC, _EXECUTE, _THREAD = 1, 2, 4, 0x400
_STUB = b"\xff\x25"  # jmp *offset(%rip)


class _Section:
    def __init__(self, code: bytes, at: int) -> None:
        (self.name_at, self.kind, self.flags, _, self.offset, self.size, self.link, self.info, self.align,
         self.width) = struct.unpack_from("<IIQQQQIIQQ", code, at)  # fmt: skip
        self.data = b"" if self.kind == _NOBITS else code[self.offset : self.offset + self.size]
        self.name = b""
        self.place = -1  # where it lies in the image


class _NotUnderstood(Exception):
    pass


def link(code: bytes) -> bytes | None:
    """The image of an object file; None if it holds anything that an image cannot."""
    if code[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", code, 16) != (1, 62):
        return None
    try:
        return _link(code)
    except (_NotUnderstood, struct.error):
        return None


def _link(code: bytes) -> bytes:
    (sections_at,) = struct.unpack_from("<Q", code, 40)
    width, count, names = struct.unpack_from("<HHH", code, 58)
    sections = [_Section(code, sections_at + width * i) for i in range(count)]
    for section in sections:
        section.name = _string(sections[names].data, section.name_at)
    body = _placed(sections)
    symbols, exports = _symbols(sections)
    slots, stubs = _imports(sections, symbols)
    body += bytes(-len(body) % 8)
    imports = {name: len(body) + 8 * k for k, name in enumerate(slots)}
    body += bytes(8 * len(imports))
    jumps = {}
    for name in stubs:
        jumps[name] = len(body)
        body += _STUB + struct.pack("<i", imports[name] - len(body) - 6) + b"\0\0"
    for section, at, kind, number, addend in _relocations(sections):
        symbol = symbols[number]
        if isinstance(symbol, int):
            target = symbol
        else:
            target = jumps[symbol] if kind == _PLT32 else imports[symbol]
        place = section.place + at
        struct.pack_into("<i", body, place, target + addend - place)
    return loading.pack(bytes(body), exports, imports)


def _string(table: bytes, at: int) -> bytes:
    return table[at : table.index(b"\0", at)]


def _placed(sections: list[_Section]) -> bytearray:
    """The contents of all sections that a process needs, machine code first."""
    body = bytearray()
    kept = [s for s in sections if s.flags & _ALLOC and s.size and s.name != b".eh_frame"]
    for section in sorted(kept, key=lambda s: not s.flags & _EXECUTE):
        if (
            section.kind != _PROGBITS
            or section.flags & (_WRITE | _THREAD)
            or section.align > loading.ALIGNMENT
        ):
            raise _NotUnderstood
        body += bytes(-len(body) % max(section.align, 1))
        section.place = len(body)
        body += section.data
    return body


def _symbols(sections: list[_Section]) -> tuple[list[int | str], dict[str, int]]:
    """What each symbol's number means (a place in the image, or a name to be found elsewhere), and the names
    others may ask for."""
    symbols: list[int | str] = []
    exports = {}
    for table in sections:
        if table.kind != _SYMTAB:
            continue
        strings = sections[table.link].data
        for at in range(0, table.size, 24):
            name_at, info, _, home, value, _ = struct.unpack_from("<IBBHQQ", table.data, at)
            if home == 0:
                symbols.append(_string(strings, name_at).decode())
                continue
            placed = home < len(sections) and sections[home].place >= 0
            symbols.append(sections[home].place + value if placed else -1)
            if info >> 4 == 1 and placed:  # global
                exports[_string(strings, name_at).decode()] = sections[home].place + value
    return symbols, exports


def _relocations(sections: list[_Section]) -> Iterator[tuple[_Section, int, int, int, int]]:
    """What is to be completed: section, offset in it, kind, number of the symbol, addend."""
    for table in sections:
        if table.kind == _RELA and sections[table.info].place >= 0:
            for offset, info, addend in struct.iter_unpack("<QQq", table.data):
                yield sections[table.info], offset, info & 0xFFFFFFFF, info >> 32, addend


def _imports(sections: list[_Section], symbols: list[int | str]) -> tuple[list[str], list[str]]:
    """The names from elsewhere, and those of them that are called directly and want a jump within reach."""
    slots: dict[str, None] = {}
    stubs: dict[str, None] = {}
    for _, _, kind, number, _ in _relocations(sections):
        symbol = symbols[number]
        if isinstance(symbol, int):
            if symbol < 0 or kind not in (_PC32, _PLT32):
                raise _NotUnderstood
        elif kind in (_PLT32, _GOTPCREL, _GOTPCRELX, _REX_GOTPCRELX):
            slots[symbol] = None
            if kind == _PLT32:
                stubs[symbol] = None
        else:
            raise _NotUnderstood
    return list(slots), list(stubs)
