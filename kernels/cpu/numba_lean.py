"""Kernels printed as Python become LLVM text, with the same entry as vector kernels: `void name(table, lo,
hi)`.

This is the only module that knows Numba's private API: `llvm_text` runs Numba's compiler without argument
unboxing, reference counting and wrappers, and optimises once.  What it gives is compiled, cached and loaded
like any other kernel. `compile_public` goes through `numba.njit` and `numba.cfunc` alone, two to four times
slower, into this process; it is what remains should the private API change."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba import types
from numba.core import compiler
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu_options import FastMathOptions
from numba.core.llvm_bindings import create_pass_builder
from numba.core.registry import cpu_target
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic

from fnn.kernels.cpu.buffers import immortal
from fnn.kernels.cpu.numba_operations import numba_scope
from fnn.kernels.cpu.numba_printer import MEMORY
from fnn.kernels.loops import Program

FLAGS = {"contract"}  # of floating-point arithmetic: a product and a sum may be rounded once


def _elements(program: Program) -> list[Any]:
    """Numba's type of the elements of each argument."""
    return [numba.from_dtype(np.dtype(MEMORY[a.dtype])) for a in program.arguments]


def _function(source: str, name: str) -> Any:
    scope = numba_scope()
    exec(compile(source, f"<kernel {name}>", "exec"), scope)
    return scope[name]


class _Library(JITCodeLibrary):
    """Optimises the linked module once, links nothing of Numba's runtime, and makes no machine code."""

    def add_linking_library(self, library: Any) -> None:
        if library is not rtsys.library:
            super().add_linking_library(library)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        builder = create_pass_builder(self._codegen._tm, opt=2, loop_vectorize=True, slp_vectorize=False)
        builder.getModulePassManager().run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _Pipeline(compiler.CompilerBase):
    def define_pipelines(self) -> list[Any]:
        return [compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)]


def _flags() -> Any:
    flags: Any = compiler.Flags()
    flags.nrt, flags.no_cpython_wrapper, flags.no_cfunc_wrapper = False, True, True
    flags.error_model, flags.boundscheck, flags.noalias = "numpy", False, False  # arguments may share memory
    flags.fastmath = FastMathOptions(FLAGS)
    flags.enable_looplift, flags.enable_pyobject, flags.release_gil = False, False, True
    flags.no_rewrites, flags.no_compile = True, True
    return flags


@global_compiler_lock
def llvm_text(source: str, name: str, program: Program) -> str:
    """LLVM text of the kernel whose source `numba_printer` wrote."""
    context: Any = (
        cpu_target  # its contexts are made on demand by descriptors that type checkers do not see through
    )
    typing, target = context.typing_context, context.target_context
    typing.refresh()
    target.refresh()
    library = _Library(target.codegen(), f"{name}_library")
    pointers = [types.CPointer(element) for element in _elements(program)]
    signature = (*pointers, *[types.int64] * len(program.sizes), types.int64, types.int64)
    pipeline: Any = _Pipeline
    found = compiler.compile_extra(
        typing, target, _function(source, name), signature, types.void, _flags(), {}, library, pipeline
    ).fndesc
    module = ir.Module(f"{name}_entry")
    pointer, word = ir.IntType(8).as_pointer(), ir.IntType(64)
    kind = target.call_conv.get_function_type(found.restype, found.argtypes)
    callee = ir.Function(module, kind, found.llvm_func_name)
    outer = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer.as_pointer(), word, word]), name)
    b = ir.IRBuilder(outer.append_basic_block())

    def slot(k: int) -> Any:
        return b.load(b.gep(outer.args[0], [word(k)], source_etype=pointer), typ=pointer)

    args = [b.bitcast(slot(k), target.get_value_type(kind)) for k, kind in enumerate(pointers)]
    if program.sizes:
        words = b.bitcast(slot(len(pointers)), word.as_pointer())
        args += [
            b.load(b.gep(words, [word(k)], source_etype=word), typ=word) for k in range(len(program.sizes))
        ]
    target.call_conv.call_function(
        b, callee, found.restype, found.argtypes, [*args, outer.args[1], outer.args[2]]
    )
    b.ret_void()
    library.add_ir_module(module)
    library.finalize()
    return library.get_llvm_str()


def compile_public(source: str, name: str, program: Program) -> int:
    """The address of the same kernel, through Numba's public interface; the code stays until the process
    ends."""

    def pointer_to(element: Any) -> Any:
        @intrinsic
        def convert(typing, address):
            def write(context, builder, signature, args):
                return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

            return types.CPointer(element)(address), write

        return convert

    options = {"fastmath": FLAGS, "error_model": "numpy"}
    scope: dict[str, Any] = {
        "kernel": numba.njit(**options)(_function(source, name)),
        "words": pointer_to(types.int64),
    }
    scope.update({f"p{k}": pointer_to(element) for k, element in enumerate(_elements(program))})
    count = len(program.arguments)
    arguments = [f"p{k}(table[{k}])" for k in range(count)]
    arguments += [f"words(table[{count}])[{k}]" for k in range(len(program.sizes))]
    exec(f"def entry(table, lo, hi):\n    kernel({', '.join([*arguments, 'lo', 'hi'])})\n", scope)
    signature = types.void(types.CPointer(types.int64), types.int64, types.int64)
    compiled: Any = immortal(numba.cfunc(signature, **options)(scope["entry"]))
    return compiled.address
