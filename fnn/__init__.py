"""fnn: composable transformations of array programs, compiled to Numba kernels.

>>> import fnn
>>> import fnn.numpy as fnp
>>> loss = lambda w, x: fnp.sum((x @ w) ** 2)
>>> step = fnn.jit(fnn.grad(loss))
>>> print(step(fnp.ones(2), fnp.eye(2)))
[2. 2.]
"""

from __future__ import annotations

from fnn import array as _array  # noqa: F401  # installs the operators of arrays
from fnn.config import config, debug_infs, debug_nans, disable_jit, enable_x64
from fnn.lazy import names as _names

with _names(globals()):
    from fnn import (  # noqa: F401  # packages to look into, as fnn.core and fnn.primitives
        cache,
        compat,
        debug,
        dtypes,
        errors,
        experimental,
        flatten_util,
        image,
        kernels,
        lax,
        nn,
        numpy,
        ops,
        optim,
        random,
        scipy,
        sharding,
        test_util,
        transforms,
        tree,
        tree_util,
        typing,
    )
    from fnn.array import block_until_ready, device_get, device_put, devices
    from fnn.core.array import Array
    from fnn.core.ir import Graph
    from fnn.core.primitive import Primitive
    from fnn.core.source import named_call, named_scope
    from fnn.core.trace import ensure_compile_time_eval
    from fnn.errors import FnnError
    from fnn.lax import stop_gradient
    from fnn.module import Module
    from fnn.transforms.batching import vmap
    from fnn.transforms.callbacks import effects_barrier, io_callback, pure_callback
    from fnn.transforms.closures import closure_convert
    from fnn.transforms.custom import custom_gradient, custom_jvp, custom_vjp
    from fnn.transforms.custom_kernel import custom_kernel
    from fnn.transforms.differentiate import grad, jvp, linear_transpose, linearize, value_and_grad, vjp
    from fnn.transforms.flattening import ShapeDtypeStruct
    from fnn.transforms.jacobians import hessian, jacfwd, jacrev
    from fnn.transforms.jacobians import jacrev as jacobian
    from fnn.transforms.jit import explain_recompile, jit
    from fnn.transforms.remat import checkpoint, checkpoint_policies, remat
    from fnn.transforms.shapes import eval_shape, make_ir
    from fnn.transforms.shapes import make_ir as make_jaxpr
    from fnn.version import __version__

__all__ = [
    "typing",
    "ops",
    "image",
    "flatten_util",
    "Array",
    "FnnError",
    "Graph",
    "Module",
    "Primitive",
    "ShapeDtypeStruct",
    "__version__",
    "block_until_ready",
    "cache",
    "checkpoint",
    "checkpoint_policies",
    "closure_convert",
    "config",
    "custom_gradient",
    "custom_jvp",
    "custom_kernel",
    "custom_vjp",
    "debug",
    "debug_infs",
    "debug_nans",
    "device_get",
    "device_put",
    "devices",
    "disable_jit",
    "dtypes",
    "effects_barrier",
    "enable_x64",
    "ensure_compile_time_eval",
    "errors",
    "eval_shape",
    "experimental",
    "explain_recompile",
    "grad",
    "hessian",
    "io_callback",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "lax",
    "linear_transpose",
    "linearize",
    "make_ir",
    "make_jaxpr",
    "named_call",
    "named_scope",
    "nn",
    "numpy",
    "optim",
    "pure_callback",
    "random",
    "remat",
    "scipy",
    "stop_gradient",
    "tree",
    "tree_util",
    "value_and_grad",
    "vjp",
    "vmap",
]
