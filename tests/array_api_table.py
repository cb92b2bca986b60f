"""The Python array API standard 2024.12 in tables: signatures, special values, dtypes of results.

Written from the standard's text (https://data-apis.org/array-api/2024.12).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

# Names: arguments. "/" ends those that go by position, "*" begins those that go by keyword.
SIGNATURES = """
abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log: x, /
log1p: x, /
log2 log10 logical_not negative positive real reciprocal round sign signbit sin sinh sqrt square tan tanh trunc: x, /
add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide equal: x1, x2, /
floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or logical_xor maximum: x1, x2, /
minimum multiply nextafter not_equal pow remainder subtract: x1, x2, /
clip: x, /, min=None, max=None
arange: start, /, stop=None, step=1, *, dtype=None, device=None
asarray: obj, /, *, dtype=None, device=None, copy=None
empty ones zeros: shape, *, dtype=None, device=None
empty_like ones_like zeros_like: x, /, *, dtype=None, device=None
eye: n_rows, n_cols=None, /, *, k=0, dtype=None, device=None
from_dlpack: x, /, *, device=None, copy=None
full: shape, fill_value, *, dtype=None, device=None
full_like: x, /, fill_value, *, dtype=None, device=None
linspace: start, stop, /, num, *, dtype=None, device=None, endpoint=True
meshgrid: *arrays, indexing='xy'
tril triu: x, /, *, k=0
astype: x, dtype, /, *, copy=True, device=None
broadcast_arrays: *arrays
broadcast_to: x, /, shape
can_cast: from_, to, /
finfo iinfo: type, /
isdtype: dtype, kind
result_type: *arrays_and_dtypes
take: x, indices, /, *, axis=None
take_along_axis: x, indices, /, *, axis=-1
matmul: x1, x2, /
matrix_transpose: x, /
tensordot: x1, x2, /, *, axes=2
vecdot: x1, x2, /, *, axis=-1
concat: arrays, /, *, axis=0
expand_dims: x, /, *, axis=0
flip: x, /, *, axis=None
moveaxis: x, source, destination, /
permute_dims: x, /, axes
repeat: x, repeats, /, *, axis=None
reshape: x, /, shape, *, copy=None
roll: x, /, shift, *, axis=None
squeeze: x, /, axis
stack: arrays, /, *, axis=0
tile: x, repetitions, /
unstack: x, /, *, axis=0
argmax argmin: x, /, *, axis=None, keepdims=False
count_nonzero: x, /, *, axis=None, keepdims=False
nonzero: x, /
searchsorted: x1, x2, /, *, side='left', sorter=None
where: condition, x1, x2, /
unique_all unique_counts unique_inverse unique_values: x, /
argsort sort: x, /, *, axis=-1, descending=False, stable=True
cumulative_prod cumulative_sum: x, /, *, axis=None, dtype=None, include_initial=False
max mean min: x, /, *, axis=None, keepdims=False
prod sum: x, /, *, axis=None, dtype=None, keepdims=False
std var: x, /, *, axis=None, correction=0.0, keepdims=False
all any: x, /, *, axis=None, keepdims=False
diff: x, /, *, axis=-1, n=1, prepend=None, append=None
"""

LINALG = """
cholesky: x, /, *, upper=False
cross vecdot: x1, x2, /, *, axis=-1
det eigh eigvalsh inv matrix_transpose slogdet svdvals: x, /
diagonal: x, /, *, offset=0
matmul outer solve: x1, x2, /
matrix_norm: x, /, *, keepdims=False, ord='fro'
matrix_power: x, n, /
matrix_rank pinv: x, /, *, rtol=None
qr: x, /, *, mode='reduced'
svd: x, /, *, full_matrices=True
tensordot: x1, x2, /, *, axes=2
trace: x, /, *, offset=0, dtype=None
vector_norm: x, /, *, axis=None, keepdims=False, ord=2
"""

FFT = """
fft ifft rfft irfft hfft ihfft: x, /, *, n=None, axis=-1, norm='backward'
fftn ifftn rfftn irfftn: x, /, *, s=None, axes=None, norm='backward'
fftfreq rfftfreq: n, /, *, d=1.0, dtype=None, device=None
fftshift ifftshift: x, /, *, axes=None
"""

INFO = """
capabilities default_device devices:
default_dtypes: *, device=None
dtypes: *, device=None, kind=None
"""

METHODS = """
__array_namespace__: *, api_version=None
__dlpack__: *, stream=None, max_version=None, dl_device=None, copy=None
__dlpack_device__ __bool__ __int__ __float__ __complex__ __index__ __abs__ __invert__ __neg__ __pos__:
__add__ __and__ __eq__ __floordiv__ __ge__ __gt__ __le__ __lshift__ __lt__ __matmul__ __mod__ __mul__ __ne__ __or__: other, /
__pow__ __rshift__ __sub__ __truediv__ __xor__ __radd__ __rand__ __rfloordiv__ __rlshift__ __rmatmul__ __rmod__: other, /
__rmul__ __ror__ __rpow__ __rrshift__ __rsub__ __rtruediv__ __rxor__: other, /
__getitem__: key, /
__setitem__: key, value, /
to_device: device, /, *, stream=None
"""
ATTRIBUTES = ("dtype", "device", "mT", "ndim", "shape", "size", "T")
CONSTANTS = ("e", "inf", "nan", "newaxis", "pi")
DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
]

# "If x is A, the result is B." Words: a number, "+0", "-0", "inf", "-inf", "nan", "finite" and "<-1" etc. (a few of those),
# "x" (as a result: the operand). Results without a sign are compared with it.
UNARY_CASES = """
abs: nan nan | -0 +0 | -inf inf
acos: nan nan | >1 nan | <-1 nan | 1 +0
acosh: nan nan | <1 nan | 1 +0 | inf inf
asin: nan nan | >1 nan | <-1 nan | +0 +0 | -0 -0
asinh: nan nan | +0 +0 | -0 -0 | inf inf | -inf -inf
atan: nan nan | +0 +0 | -0 -0 | inf pi/2 | -inf -pi/2
atanh: nan nan | <-1 nan | >1 nan | -1 -inf | 1 inf | +0 +0 | -0 -0
ceil: whole x | inf inf | -inf -inf | +0 +0 | -0 -0 | nan nan
cos: nan nan | +0 1 | -0 1 | inf nan | -inf nan
cosh: nan nan | +0 1 | -0 1 | inf inf | -inf inf
exp: nan nan | +0 1 | -0 1 | inf inf | -inf +0
expm1: nan nan | +0 +0 | -0 -0 | inf inf | -inf -1
floor: whole x | inf inf | -inf -inf | +0 +0 | -0 -0 | nan nan
log: nan nan | <0 nan | +0 -inf | -0 -inf | 1 +0 | inf inf
log1p: nan nan | <-1 nan | -1 -inf | -0 -0 | +0 +0 | inf inf
log2: nan nan | <0 nan | +0 -inf | -0 -inf | 1 +0 | inf inf
log10: nan nan | <0 nan | +0 -inf | -0 -inf | 1 +0 | inf inf
round: whole x | inf inf | -inf -inf | +0 +0 | -0 -0 | nan nan | 0.5 +0 | 1.5 2 | 2.5 2 | -0.5 -0
sign: <0 -1 | -0 0 | +0 0 | >0 1 | nan nan
sin: nan nan | +0 +0 | -0 -0 | inf nan | -inf nan
sinh: nan nan | +0 +0 | -0 -0 | inf inf | -inf -inf
sqrt: nan nan | <0 nan | +0 +0 | -0 -0 | inf inf
square: nan nan | inf inf | -inf inf
tan: nan nan | +0 +0 | -0 -0 | inf nan | -inf nan
tanh: nan nan | +0 +0 | -0 -0 | inf 1 | -inf -1
trunc: whole x | inf inf | -inf -inf | +0 +0 | -0 -0 | nan nan
signbit: +0 false | -0 true | inf false | -inf true | >0 false | <0 true
isfinite: inf false | -inf false | nan false | finite true
isinf: inf true | -inf true | nan false | finite false
isnan: nan true | inf false | finite false
"""

BINARY_CASES = """
add: nan any nan | any nan nan | inf -inf nan | -inf inf nan | inf inf inf | -inf -inf -inf | inf finite inf
add: -inf finite -inf | finite inf inf | finite -inf -inf | -0 -0 -0 | -0 +0 +0 | +0 -0 +0 | +0 +0 +0
subtract: nan any nan | any nan nan | inf inf nan | -inf -inf nan | inf -inf inf | +0 -0 +0 | -0 +0 -0 | finite inf -inf
multiply: nan any nan | any nan nan | inf +0 nan | inf -0 nan | -0 inf nan | inf inf inf | inf -inf -inf | -inf -inf inf
multiply: inf >0 inf | inf <0 -inf | -inf <0 inf | +0 <0 -0 | -0 <0 +0
divide: nan any nan | any nan nan | inf inf nan | -inf inf nan | +0 +0 nan | -0 +0 nan | +0 >0 +0 | -0 >0 -0 | +0 <0 -0
divide: -0 <0 +0 | >0 +0 inf | >0 -0 -inf | <0 +0 -inf | <0 -0 inf | inf >0 inf | inf <0 -inf | >0 inf +0 | >0 -inf -0
floor_divide: nan any nan | any nan nan | inf inf nan | +0 +0 nan | +0 >0 +0 | -0 >0 -0 | +0 <0 -0 | -0 <0 +0 | >0 inf +0
floor_divide: <0 -inf +0 | >0 +0 inf | <0 +0 -inf
remainder: nan any nan | any nan nan | inf any nan | -inf finite nan | +0 +0 nan | +0 >0 +0 | -0 >0 +0 | +0 <0 -0 | -0 <0 -0
remainder: >0 +0 nan | >0 inf x | <0 -inf x | >0 -inf -inf | <0 inf inf
pow: any +0 1 | any -0 1 | nan nonzero nan | 1 any 1 | >1 inf inf | >1 -inf +0 | 1 inf 1 | -1 inf 1 | -1 -inf 1
pow: 0.5 inf +0 | 0.5 -inf inf | inf >0 inf | inf <0 +0 | -inf 3 -inf | -inf 2 inf | -inf -3 -0 | -inf -2 +0 | +0 >0 +0
pow: +0 <0 inf | -0 3 -0 | -0 2 +0 | -0 -3 -inf | -0 -2 inf | <0 0.5 nan
atan2: nan any nan | any nan nan | >0 +0 pi/2 | >0 -0 pi/2 | +0 >0 +0 | +0 +0 +0 | +0 -0 pi | +0 <0 pi | -0 >0 -0 | -0 +0 -0
atan2: -0 -0 -pi | -0 <0 -pi | <0 +0 -pi/2 | <0 -0 -pi/2 | >0 inf +0 | >0 -inf pi | <0 inf -0 | <0 -inf -pi | inf finite pi/2
atan2: -inf finite -pi/2 | inf inf pi/4 | inf -inf 3pi/4 | -inf inf -pi/4 | -inf -inf -3pi/4
copysign: >0 -0 -x | <0 +0 -x | >0 inf x
hypot: inf any inf | -inf any inf | any inf inf | any -inf inf | nan finite nan | finite nan nan
logaddexp: nan any nan | any nan nan | inf finite inf | finite inf inf
maximum: nan any nan | any nan nan
minimum: nan any nan | any nan nan
nextafter: nan any nan | any nan nan | -0 +0 +0 | +0 -0 -0
equal: nan any false | any nan false | inf inf true | -inf -inf true | -0 +0 true
not_equal: nan any true | any nan true | -0 +0 false
less: nan any false | any nan false | -inf finite true
less_equal: nan any false | any nan false | -0 +0 true
greater: nan any false | any nan false | inf finite true
greater_equal: nan any false | any nan false | -0 +0 true
logical_and: nan 1 true | nan +0 false
logical_or: nan +0 true
logical_xor: nan +0 true | nan 1 false
"""

# Complex numbers, after C99's Annex G: "real,imaginary" parts of the operand, then of the result; a result marked with ~ has
# either sign, "x*cis" is x (cos b + i sin b). Where the standard's text has sqrt's cases swapped, C99's are meant.
COMPLEX_CASES = """
acos: 0,+0 pi/2,-0 | 0,nan pi/2,nan | fin,inf pi/2,-inf | nz,nan nan,nan | -inf,pfin pi,-inf
acos: inf,pfin +0,-inf | -inf,inf 3pi/4,-inf | inf,inf pi/4,-inf | +-inf,nan nan,~inf | nan,fin nan,nan
acos: nan,inf nan,-inf | nan,nan nan,nan
acosh: 0,+0 +0,pi/2 | fin,inf inf,pi/2 | nz,nan nan,nan | +0,nan nan,~pi/2 | -inf,pfin inf,pi
acosh: inf,pfin inf,+0 | -inf,inf inf,3pi/4 | inf,inf inf,pi/4 | +-inf,nan inf,nan | nan,fin nan,nan
acosh: nan,inf inf,nan | nan,nan nan,nan
asinh: +0,+0 +0,+0 | pfin,inf inf,pi/2 | fin,nan nan,nan | inf,pfin inf,+0 | inf,inf inf,pi/4
asinh: nan,+0 nan,+0 | nan,nz nan,nan | nan,inf ~inf,nan | nan,nan nan,nan
atanh: +0,+0 +0,+0 | +0,nan +0,nan | 1,+0 inf,+0 | pfin,inf +0,pi/2 | nz,nan nan,nan | inf,pfin +0,pi/2
atanh: inf,inf +0,pi/2 | inf,nan +0,nan | nan,fin nan,nan | nan,inf ~0,pi/2 | nan,nan nan,nan
cosh: +0,+0 1,+0 | +0,inf nan,~0 | +0,nan nan,~0 | nz,inf nan,nan | nz,nan nan,nan | inf,+0 inf,+0
cosh: inf,nz inf*cis | inf,inf ~inf,nan | inf,nan inf,nan | nan,0 nan,~0 | nan,nz nan,nan | nan,nan nan,nan
exp: 0,+0 1,+0 | fin,inf nan,nan | fin,nan nan,nan | inf,+0 inf,+0 | -inf,fin 0*cis | inf,nz inf*cis
exp: -inf,inf ~0,~0 | inf,inf ~inf,nan | -inf,nan ~0,~0 | inf,nan ~inf,nan | nan,+0 nan,+0 | nan,nz nan,nan
exp: nan,nan nan,nan
expm1: 0,+0 ~0,+0 | fin,inf nan,nan | fin,nan nan,nan | inf,+0 inf,+0 | -inf,fin 0*cis-1 | inf,nz inf*cis
expm1: -inf,inf -1,~0 | inf,inf ~inf,nan | -inf,nan -1,~0 | inf,nan ~inf,nan | nan,+0 nan,+0
expm1: nan,nz nan,nan | nan,nan nan,nan
log: -0,+0 -inf,pi | +0,+0 -inf,+0 | fin,inf inf,pi/2 | fin,nan nan,nan | -inf,pfin inf,pi | inf,pfin inf,+0
log: -inf,inf inf,3pi/4 | inf,inf inf,pi/4 | +-inf,nan inf,nan | nan,fin nan,nan | nan,inf inf,nan
log: nan,nan nan,nan
log1p: -1,+0 -inf,+0 | fin,inf inf,pi/2 | fin,nan nan,nan | -inf,pfin inf,pi | inf,pfin inf,+0
log1p: -inf,inf inf,3pi/4 | inf,inf inf,pi/4 | +-inf,nan inf,nan | nan,fin nan,nan | nan,inf inf,nan
log1p: nan,nan nan,nan
sinh: +0,+0 +0,+0 | +0,inf ~0,nan | +0,nan ~0,nan | pfin,inf nan,nan | pfin,nan nan,nan | inf,+0 inf,+0
sinh: inf,pfin inf*cis | inf,inf ~inf,nan | inf,nan ~inf,nan | nan,+0 nan,+0 | nan,nz nan,nan
sinh: nan,nan nan,nan
sqrt: 0,+0 +0,+0 | any,inf inf,inf | fin,nan nan,nan | -inf,pfin +0,inf | inf,pfin inf,+0
sqrt: -inf,nan nan,~inf | inf,nan inf,nan | nan,fin nan,nan | nan,nan nan,nan
tanh: +0,+0 +0,+0 | nz,inf nan,nan | +0,inf +0,nan | nz,nan nan,nan | +0,nan +0,nan | inf,pfin 1,~0
tanh: inf,inf 1,~0 | inf,nan 1,~0 | nan,+0 nan,+0 | nan,nz nan,nan | nan,nan nan,nan
sign: 0,0 +0,+0 | nan,any nan,nan | any,nan nan,nan
"""

# The kinds of operands a function takes, and the dtype of its result: "same", "bool", or "promoted".
RESULTS = {
    "numeric": "abs ceil floor negative positive round sign square trunc",
    "bool from numeric": "isfinite isinf isnan",
    "floating": """acos acosh asin asinh atan atanh cos cosh exp expm1 log log1p log2 log10 reciprocal sin sinh sqrt tan
        tanh""",
    "pairs, numeric": "add multiply subtract",
    "pairs, real": "floor_divide maximum minimum remainder",
    "pairs, floating": "divide pow",
    "pairs, real floating": "atan2 copysign hypot logaddexp nextafter",
    "pairs, bool": "equal not_equal less less_equal greater greater_equal",
    "pairs, integer": "bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift",
}
# The standard's promotion within a kind: every other pair of it follows by symmetry.
PROMOTION = """
int8 int16 int16|int8 int32 int32|int8 int64 int64|int16 int32 int32|int16 int64 int64|int32 int64 int64
uint8 uint16 uint16|uint8 uint32 uint32|uint8 uint64 uint64|uint16 uint32 uint32|uint16 uint64 uint64|uint32 uint64 uint64
int8 uint8 int16|int8 uint16 int32|int8 uint32 int64|int16 uint8 int16|int16 uint16 int32|int16 uint32 int64
int32 uint8 int32|int32 uint16 int32|int32 uint32 int64|int64 uint8 int64|int64 uint16 int64|int64 uint32 int64
float32 float64 float64|complex64 complex128 complex128|float32 complex64 complex64|float32 complex128 complex128
float64 complex64 complex128|float64 complex128 complex128|bool bool bool
"""

# -- the cases' words ----------------------------------------------------------------------------------------------

WORDS: dict[str, tuple[float, ...]] = {
    "+0": (0.0,), "-0": (-0.0,), "0": (0.0,), "inf": (math.inf,), "-inf": (-math.inf,), "nan": (math.nan,),
    ">1": (1.5, 7.0, 1e30),
    "<-1": (-1.5, -7.0), "<1": (0.5, 0.0, -3.0), ">0": (0.5, 1.0, 3.0, 40.0), "<0": (-0.5, -1.0, -3.0),
    "finite": (-2.5, -1.0, 0.0, 1e-3, 2.0), "whole": (-3.0, 1.0, 5.0, 1e6), "nonzero": (-2.0, 0.5, math.inf, -math.inf),
    "any": (-math.inf, -2.5, -0.0, 0.0, 1.0, 3.0, math.inf), "pi": (math.pi,), "-pi": (-math.pi,), "pi/2": (math.pi / 2,),
    "-pi/2": (-math.pi / 2,), "pi/4": (math.pi / 4,), "-pi/4": (-math.pi / 4,), "3pi/4": (3 * math.pi / 4,),
    "-3pi/4": (-3 * math.pi / 4,),
}  # fmt: skip


def values(word: str) -> tuple[float, ...]:
    return WORDS[word] if word in WORDS else (float(word),)


COMPLEX_WORDS: dict[str, tuple[float, ...]] = {
    "0": (0.0, -0.0), "+-inf": (math.inf, -math.inf), "fin": (0.0, -0.0, 1.5, -2.0, 1e-3, 1e5),
    "nz": (1.5, -2.0, 1e-3, 700.0, -1e5), "pfin": (1.5, 1e-3, 30.0), "any": (0.0, 1.0, -3.0, math.inf, -math.inf, math.nan),
}  # fmt: skip


def part_holds(found: float, word: str) -> bool:
    wanted = values(word.lstrip("~"))[0]
    if math.isnan(wanted):
        return math.isnan(found)
    same_sign = word.startswith("~") or math.copysign(1, found) == math.copysign(1, wanted)
    return same_sign and math.isclose(abs(found), abs(wanted), rel_tol=1e-6)


def turned_holds(found: complex, word: str, angle: float) -> bool:
    """Whether a result is one "x*cis", of that angle; the sign of a zero is left open."""
    size, _, less = word.partition("*cis")
    re, im = values(size)[0] * math.cos(angle), values(size)[0] * math.sin(angle)
    return found.real == (re + float(less) if less else re) and found.imag == im


def complex_operands(given: str, dtype: str) -> np.ndarray:
    """What the operand's words of a case mean, all pairs."""
    parts = [COMPLEX_WORDS.get(word) or values(word) for word in given.split(",")]
    return np.asarray([complex(a, b) for a, b in itertools.product(*parts)], dtype)


def complex_holds(found: complex, operand: complex, wanted: str) -> bool:
    """Whether a result is the case's."""
    if "*" in wanted:
        return turned_holds(found, wanted, float(operand.imag))
    re, im = wanted.split(",")
    return part_holds(found.real, re) and part_holds(found.imag, im)
