"""fnn.lax: the operations that everything else is written with, under JAX's names, and control flow.

Strict where fnn.numpy is lenient: dtypes are not promoted (but for Python numbers) and shapes are not
broadcast."""

from fnn.lax import linalg
from fnn.lax.convolution import *
from fnn.lax.elementwise import *
from fnn.lax.padding import padtype_to_pads
from fnn.lax.slicing import *  # the same
from fnn.lax.structure import (
    Precision,
    approx_max_k,
    argmax,
    argmin,
    batch_matmul,
    broadcast,
    broadcast_in_dim,
    broadcast_shapes,
    broadcasted_iota,
    concatenate,
    cumlogsumexp,
    cummax,
    cummin,
    cumprod,
    cumsum,
    dot,
    dot_general,
    expand_dims,
    full,
    full_like,
    iota,
    pad,
    reduce,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_or,
    reduce_prod,
    reduce_sum,
    reduce_xor,
    reshape,
    rev,
    sort,
    sort_key_val,
    squeeze,
    top_k,
    transpose,
)
from fnn.lax.windows import reduce_window
from fnn.transforms.associative_scan import associative_scan
from fnn.transforms.collectives import (
    all_gather,
    axis_index,
    axis_size,
    pmax,
    pmean,
    pmin,
    ppermute,
    pshuffle,
    psum,
)
from fnn.transforms.control import cond, switch
from fnn.transforms.scan import fori_loop, scan
from fnn.transforms.sequential_map import map
from fnn.transforms.while_loop import while_loop
