"""LLVM text -> object code -> addresses in this process, through llvmlite alone.

Only what compiles imports this module; `processor` says for which processor, and `loading` maps what was
compiled.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Mapping

import llvmlite.binding as llvm

from fnn.kernels.cpu import linking, loading
from fnn.kernels.cpu.buffers import immortal
from fnn.kernels.cpu.processor import AS_WRITTEN, LOCK, KernelError, chosen

# What kernels gain from of LLVM's passes. They are written as vectors and unrolled where that pays, so these
# give the speed of LLVM's whole -O2, within a few per cent, in a sixth of its time.
PASSES = ("sroa", "simplify_cfg", "instruction_combine", "new_gvn", "simplify_cfg")


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def host() -> tuple[str, str]:
    """LLVM's name of this machine's processor, and its features."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@functools.cache
def processor() -> tuple[str, str]:
    """LLVM's name of the processor compiled for, and its features ("+avx2,+fma,...")."""
    name, features = chosen()
    # A name alone brings its own features; features alone change the host's.
    if name is not None:
        return name, features or ""
    name, own = host()
    return name, own if features is None else f"{own},{features}"


@functools.cache
def triple() -> str:
    """What machine code is made for, e.g. "x86_64-unknown-linux-gnu"."""
    return llvm.get_process_triple()


def _target_machine() -> llvm.TargetMachine:
    _initialize()
    name, features = processor()
    # Code that finds itself relative to its instructions needs next to nothing done when it is loaded.
    own = triple().startswith("x86_64") and "linux" in triple()
    reloc, model = ("pic", "small") if own else ("static", "jitdefault")
    return llvm.Target.from_triple(triple()).create_target_machine(
        cpu=name, features=features, opt=2, reloc=reloc, codemodel=model, jit=True
    )


@functools.cache
def _compiler() -> llvm.TargetMachine:
    return _target_machine()


def _optimise(module: llvm.ModuleRef, passes: Iterable[str]) -> None:
    builder = llvm.create_pass_builder(_compiler(), llvm.create_pipeline_tuning_options())
    manager = llvm.create_new_module_pass_manager()
    for name in passes:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, builder)
    manager.close()
    builder.close()


@functools.cache
def _open_process() -> None:
    """Let LLVM find the functions of this process: it does so when it makes its first engine."""
    llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine()).close()


@functools.cache
def lanes() -> int:
    """Bytes of a vector register of the processor compiled for: 64 (AVX-512), 32 (AVX2) or 16 (SSE2, NEON).

    Asked of LLVM itself: what it makes of an addition of 64 bytes.
    """
    assembly = _assembly("""define void @probe(ptr %a) {
      %x = load <16 x float>, ptr %a
      %y = fadd <16 x float> %x, %x
      store <16 x float> %y, ptr %a
      ret void
    }""")
    return 64 if "zmm" in assembly else 32 if "ymm" in assembly else 16


@functools.cache
def registers() -> int:
    """How many vector registers there are: 32 with AVX-512 and on 64-bit ARM, 16 on other x86, else 8."""
    name = triple()
    if name.startswith(("aarch64", "arm64")) or lanes() == 64:
        return 32
    return 16 if name.startswith("x86_64") else 8


@functools.cache
def _caches() -> dict[int, int]:
    """Bytes of the caches that Linux says the first processor has, by their level."""
    found: dict[int, int] = {}
    for index in range(8):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}/"
        try:
            with open(folder + "level") as level, open(folder + "size") as size:
                number, text = level.read().strip(), size.read().strip()
        except OSError:
            break
        if number.isdigit() and text[:-1].isdigit() and text.endswith("K"):
            found[int(number)] = int(text[:-1]) << 10
    return found


def second_cache() -> int:
    """Bytes of a processor's own second cache: what Linux says, elsewhere what is common."""
    return _caches().get(2, 1 << 20)


def last_cache() -> int:
    """Bytes of the cache next to memory: what Linux says, elsewhere what is common."""
    caches = _caches()
    return max(caches[max(caches)] if caches else 0, 1 << 24)


@functools.cache
def converts_halves() -> bool:
    """Whether instructions convert between float16 and float32, so that LLVM needs no function for it."""
    assembly = _assembly("""define half @probe(float %x) {
      %y = fptrunc float %x to half
      ret half %y
    }""")
    return "__truncsfhf2" not in assembly


def _assembly(text: str) -> str:
    """What the processor is given for a text, as it is written."""
    with LOCK:
        return _compiler().emit_assembly(llvm.parse_assembly(text))


def assemble(text: str, name: str) -> bytes:
    """Machine code of a module of LLVM text: an image, or where there is none object code; `name` is the kernel that
    errors speak of.

    A text that begins with `AS_WRITTEN` is spared LLVM's optimising passes (functions marked `alwaysinline`
    still are inlined), which for branches and loads alone take as long as all the rest and gain nothing.

    Raises:
        KernelError: the text is not valid, or needs a function that this process does not have.
    """
    with LOCK:
        try:
            with llvm.parse_assembly(text) as module:
                module.verify()
                _optimise(module, ("always_inliner",) if text.startswith(AS_WRITTEN) else PASSES)
                code = _compiler().emit_object(module)
        except RuntimeError as error:
            raise KernelError(f"kernel {name}: LLVM refuses its text: {str(error).strip()}") from error
        image = linking.link(code)
        if image is not None:
            needed = loading.unpack(image)[2]
            if all(map(loading.address, needed)):
                return image
        # Loading code with an unknown symbol would end the process.
        needed = undefined(code)
        if needed:
            _open_process()
        unknown = [symbol for symbol in needed if llvm.address_of_symbol(symbol) is None]
    if unknown:
        raise KernelError(
            f"kernel {name} calls {', '.join(unknown)}, which this process does not have; LLVM falls back on "
            f"such functions for operations that {processor()[0]} lacks: the emitter must write them out"
        )
    return code


def load_objects(objects: Iterable[bytes], symbols: Iterable[str]) -> dict[str, int]:
    """Load object code by LLVM's own loader and give the addresses of those symbols that are there.

    The code stays until the process ends, as threads may be running it until then.
    """
    with LOCK:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
        for code in objects:
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        immortal(engine)
        return {symbol: engine.get_function_address(symbol) for symbol in symbols}


def compile_text(texts: Mapping[str, str]) -> dict[str, int]:
    """Compile and load at once, without any cache: symbol -> text of the module that defines it; gives
    addresses."""
    return loading.load([assemble(text, symbol) for symbol, text in texts.items()], texts)


def undefined(code: bytes) -> list[str]:
    """The symbols an ELF object needs from elsewhere; none are found in other formats."""
    if code[:6] != b"\x7fELF\x02\x01":
        return []
    (sections_at,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, sections_at + size * i) for i in range(count)]
    found = []
    for _, kind, _, _, at, length, link, _, _, width in sections:
        if kind != 2:  # the table of symbols
            continue
        names = sections[link][4]
        for symbol in range(at + width, at + length, width):  # the first is a blank
            name, _, _, section = struct.unpack_from("<IBBH", code, symbol)
            if section == 0 and name:
                end = code.index(b"\0", names + name)
                found.append(code[names + name : end].decode())
    return found
