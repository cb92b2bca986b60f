"""What to use instead of NumPy's names that are not in fnn.numpy."""

import difflib
from collections.abc import Sequence

_ELSEWHERE = {
    "random": "fnn.random draws numbers from keys: fnn.random.normal(fnn.random.key(0), (3,))",
    "matrix": "use arrays with two axes",
    "copyto": "arrays never change: use x.at[...].set(v)",
    "putmask": "arrays never change: use fnn.numpy.where(mask, values, x)",
    "asanyarray": "use fnn.numpy.asarray",
    "ascontiguousarray": "arrays are always contiguous to those who ask: use fnn.numpy.asarray",
    **dict.fromkeys(
        (
            "float8_e3m4",
            "float8_e4m3",
            "float8_e4m3b11fnuz",
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
            "float8_e8m0fnu",
            "float4_e2m1fn",
            "float6_e2m3fn",
            "float6_e3m2fn",
        ),
        "there are no arrays of floats narrower than 16 bits",
    ),
    **dict.fromkeys(
        ("int1", "int2", "int4", "uint1", "uint2", "uint4"),
        "there are no arrays of integers narrower than 8 bits",
    ),
    "float128": "there are no floats wider than float64",
    "trapz": "it is called trapezoid",
    "product": "it is called prod",
    "sometrue": "it is called any",
    "alltrue": "it is called all",
    "in1d": "it is called isin",
}


def missing(name: str, there: Sequence[str]) -> AttributeError:
    """The error for a name that is not there, which says what is."""
    if name in _ELSEWHERE:
        return AttributeError(f"fnn.numpy has no {name!r}: {_ELSEWHERE[name]}")
    near = difflib.get_close_matches(name, there, n=1)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else f"if NumPy has it, compute it outside of transformed functions: fnp.asarray(np.{name}(...))"
    )
    return AttributeError(f"fnn.numpy has no {name!r}; {hint}")
