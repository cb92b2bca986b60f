"""Convolutions of any rank, layout, stride, padding, dilation and grouping.

>>> import numpy as np
>>> numbers = ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2))
>>> x, w = np.array([[[1, 2, 3, 4]]], np.float32), np.array([[[1, 1]]], np.float32)
>>> conv_general_dilated(
...     x, w, window_strides=(1,), padding=((0, 1),), lhs_dilation=(1,), rhs_dilation=(1,),
...     dimension_numbers=numbers, feature_group_count=1, batch_group_count=1,
... ).tolist()
[[[3.0, 5.0, 7.0, 4.0]]]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.lowering import Decompose, Kernel
from fnn.core.primitive import Primitive, Sample, Samples
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import ShapeError
from fnn.primitives import convolution_columns, convolution_geometry, convolution_kernels, convolution_sums
from fnn.primitives.contraction import dot_general
from fnn.primitives.convolution_shapes import (
    ConvDimensionNumbers,
    convolution_shape,
    convolution_value,
    dilated,
    summed_in,
)
from fnn.primitives.rules import HALVES, bilinear, moveaxis, of_dtype, zeros
from fnn.primitives.structural import pad, reshape, rev, transpose

FEW_FEATURES = 16  # an image of fewer features is padded in memory: its loops are too short to be clipped
TURNING = 1.5  # vector operations that an element costs when axes are transposed
MARGIN = 1.2  # by which another arrangement than output features in lanes must seem better


# -- axes ----------------------------------------------------------------------------------------------------


def _merge(x: Any, source: int, target: int) -> Any:
    """Axis `source` moved in front of `target` (as numbered without it), the two made one."""
    shape = list(shape_of(x))
    size = shape.pop(source)
    shape[target] *= size
    return reshape(moveaxis(x, source, target), shape=tuple(shape))


def _split(x: Any, axis: int, count: int) -> Any:
    """An axis as two, the first of `count`."""
    shape = shape_of(x)
    return reshape(x, shape=(*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :]))


# -- derivatives ---------------------------------------------------------------------------------------------


def _swapped(spec: tuple[int, ...]) -> tuple[int, ...]:
    return (spec[1], spec[0], *spec[2:])


def _extents(avals: Sequence[Aval], p: dict[str, Any], out: Aval) -> list[tuple[int, int, int]]:
    """Per spatial axis: of the dilated image, of the dilated kernel, and of the result dilated by the stride."""
    numbers = p["dimension_numbers"]
    return [
        (
            dilated(avals[0].shape[numbers.lhs_spec[d + 2]], p["lhs_dilation"][d]),
            dilated(avals[1].shape[numbers.rhs_spec[d + 2]], p["rhs_dilation"][d]),
            dilated(out.shape[numbers.out_spec[d + 2]], p["window_strides"][d]),
        )
        for d in range(len(numbers.lhs_spec) - 2)
    ]


def _common(ct: Any, other: Any) -> tuple[Any, Any]:
    dtype = dtypes.promote_types(aval_of(ct).dtype, aval_of(other).dtype)
    return of_dtype(ct, dtype), of_dtype(other, dtype)


def _gradient_of_image(ct: Any, rhs: Any, avals: Sequence[Aval], p: dict[str, Any]) -> Any:
    """The cotangent convolved with the kernel turned around, strides and dilations of the image swapped."""
    out = aval_of(ct)
    if 0 in (out.size, avals[0].size, avals[1].size):
        return zeros(avals[0].strong())
    numbers, by_feature, by_batch = p["dimension_numbers"], p["feature_group_count"], p["batch_group_count"]
    ls, rs, os = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    groups = max(by_feature, by_batch)
    ct, rhs = _common(ct, rhs)
    if rs[2:]:
        rhs = rev(rhs, axes=rs[2:])
    if groups > 1:  # output features of a group become input features, and the groups output features
        rhs = _split(rhs, rs[0], groups)
        rhs = _merge(rhs, rs[0], rs[1])
    padding = []
    for (lo, _), (image, window, result) in zip(p["padding"], _extents(avals, p, out)):
        before = window - lo - 1
        padding.append((before, image + window - 1 - result - before))
    grad = conv_general_dilated(
        ct,
        rhs,
        window_strides=p["lhs_dilation"],
        padding=tuple(padding),
        lhs_dilation=p["window_strides"],
        rhs_dilation=p["rhs_dilation"],
        dimension_numbers=ConvDimensionNumbers(os, _swapped(rs), ls),
        feature_group_count=groups,
        batch_group_count=1,
        out_dtype=None,
    )
    if by_batch > 1:
        grad = _merge(_split(grad, ls[1], by_batch), ls[1], ls[0])
    return of_dtype(grad, avals[0].dtype)


def _gradient_of_kernel(ct: Any, lhs: Any, avals: Sequence[Aval], p: dict[str, Any]) -> Any:
    """The image convolved with the cotangent: batch and features, and strides and dilations of the kernel,
    change places."""
    out = aval_of(ct)
    if 0 in (out.size, avals[0].size, avals[1].size):
        return zeros(avals[1].strong())
    numbers = p["dimension_numbers"]
    padding = tuple(
        [
            (lo, result - image + window - lo - 1)
            for (lo, _), (image, window, result) in zip(p["padding"], _extents(avals, p, out))
        ]
    )
    ct, lhs = _common(ct, lhs)
    grad = conv_general_dilated(
        lhs,
        ct,
        window_strides=p["rhs_dilation"],
        padding=padding,
        lhs_dilation=p["lhs_dilation"],
        rhs_dilation=p["window_strides"],
        dimension_numbers=ConvDimensionNumbers(
            _swapped(numbers.lhs_spec), _swapped(numbers.out_spec), _swapped(numbers.rhs_spec)
        ),
        feature_group_count=p["batch_group_count"],
        batch_group_count=p["feature_group_count"],
        out_dtype=None,
    )
    return of_dtype(grad, avals[1].dtype)


# -- batching ------------------------------------------------------------------------------------------------


def _batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, bool]:
    """The batch joins that of the image, or the features, or becomes groups."""
    lhs, rhs = args
    size, numbers = frame.size, p["dimension_numbers"]
    ls, rs, os = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    by_feature, by_batch = p["feature_group_count"], p["batch_group_count"]
    groups = max(by_feature, by_batch)
    if size == 0:
        single = tuple([aval_of(a).update(shape=shape_of(a)[f:]) for a, f in zip(args, flags)])
        out = conv_general_dilated.out_aval(single, p)
        return zeros(out.update(shape=(0, *out.shape))), True
    if all(flags):
        if by_batch > 1:
            lhs, counts = _merge(lhs, 0, ls[0]), {"batch_group_count": by_batch * size}
        else:
            lhs, counts = _merge(lhs, 0, ls[1]), {"feature_group_count": by_feature * size}
        out = conv_general_dilated(lhs, _merge(rhs, 0, rs[0]), **{**p, **counts})
        return moveaxis(_split(out, os[1], size), os[1], 0), True
    if flags[0]:
        if by_batch > 1:  # (groups, batch, rest)
            lhs = _split(lhs, ls[0] + 1, by_batch)
            lhs = _merge(lhs, 0, ls[0] + 1)
            lhs = _merge(lhs, ls[0], ls[0])
        else:
            lhs = _merge(lhs, 0, ls[0])
        out = conv_general_dilated(lhs, rhs, **p)
        return moveaxis(_split(out, os[0], size), os[0], 0), True
    if groups == 1:
        out = conv_general_dilated(lhs, _merge(rhs, 0, rs[0]), **p)
        return moveaxis(_split(out, os[1], size), os[1], 0), True
    rhs = _split(rhs, rs[0] + 1, groups)  # (groups, batch, rest)
    rhs = _merge(rhs, 0, rs[0] + 1)
    rhs = _merge(rhs, rs[0], rs[0])
    out = _split(conv_general_dilated(lhs, rhs, **p), os[1], groups)
    out = moveaxis(_split(out, os[1] + 1, size), os[1] + 1, 0)
    return _merge(out, os[1] + 1, os[1] + 1), True


# -- lowering ------------------------------------------------------------------------------------------------


def _written(lhs: Any, rhs: Any, **p: Any) -> Any:
    """With output features last in the kernel and in the result, for which there is a loop program; a kernel
    of one tap is a matrix product."""
    numbers: ConvDimensionNumbers = p["dimension_numbers"]
    ls, rs, os = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    n, size = len(ls) - 2, shape_of(rhs)
    groups = max(p["feature_group_count"], p["batch_group_count"])
    if (
        groups == 1
        and all(size[d] == 1 for d in rs[2:])
        and p["padding"] == ((0, 0),) * n
        and p["window_strides"] == p["lhs_dilation"] == (1,) * n
    ):
        return _product(lhs, rhs, numbers, p.get("out_dtype"))
    out = conv_general_dilated.out_aval((aval_of(lhs), aval_of(rhs)), p)
    conv = _loops((aval_of(lhs), aval_of(rhs)), out, p)
    lanes = _lanes(conv, numbers)
    if lanes == "columns":
        return direct_convolution(lhs, rhs, **p)
    if _wants_padding(conv, lanes, p):
        low, high = [0] * (n + 2), [0] * (n + 2)
        for d, (lo, hi) in zip(ls[2:], p["padding"]):
            low[d], high[d] = lo, hi
        zero = zeros(Aval((), aval_of(lhs).dtype))
        lhs = pad(lhs, zero, low=tuple(low), high=tuple(high), interior=(0,) * (n + 2))
        p = {**p, "padding": ((0, 0),) * n}
    if lanes == "inputs":
        lhs, ls = _ending(lhs, ls, 1)
        rhs, rs = _ending(rhs, rs, 1)
        return direct_convolution(lhs, rhs, **{**p, "dimension_numbers": ConvDimensionNumbers(ls, rs, os)})
    conv = _loops((aval_of(lhs), aval_of(rhs)), out, p)
    if convolution_kernels.copies_columns(conv):
        lhs, ls = _ending(lhs, ls, 1)
    rhs, rs = _ending(rhs, rs, 0)
    order = tuple([d for d in range(n + 2) if d != os[1]] + [os[1]])
    spec = tuple([order.index(d) for d in os])
    p = {**p, "dimension_numbers": ConvDimensionNumbers(ls, rs, spec)}
    result = direct_convolution(lhs, rhs, **p)
    return result if spec == os else transpose(result, perm=tuple([order.index(d) for d in range(n + 2)]))


def _ending(x: Any, spec: tuple[int, ...], which: int) -> tuple[Any, tuple[int, ...]]:
    """An array with axis spec[which] last, and its new spec."""
    if spec[which] == len(spec) - 1:
        return x, spec
    order = tuple([d for d in range(len(spec)) if d != spec[which]] + [spec[which]])
    return transpose(x, perm=order), tuple([order.index(d) for d in spec])


def _lanes(conv: convolution_geometry.Convolution, numbers: ConvDimensionNumbers) -> str:
    """What lies along vectors at the least effort: "columns", "inputs" or (output) "features"."""
    last, ls, os = len(numbers.lhs_spec) - 1, numbers.lhs_spec, numbers.out_spec
    turned = 0 if os[1] == last else conv.batch * conv.positions * conv.groups * conv.width * TURNING
    found = {"features": convolution_kernels.effort(conv) + turned}
    turned = 0 if ls[1] == last else conv.image * TURNING
    found["inputs"] = MARGIN * (convolution_sums.effort(conv) + turned)
    if last > 1 and ls[-1] == os[-1] == last and not conv.empty:
        found["columns"] = MARGIN * convolution_columns.effort(conv)
    return min(found, key=lambda name: found[name])


def _wants_padding(conv: convolution_geometry.Convolution, lanes: str, p: dict[str, Any]) -> bool:
    """Whether zeros are put around the image in memory: where there is little to do per tap, or most rows in
    registers are near an edge, clipped loops cost more."""
    pairs, last = p["padding"], conv.spatial[-1]
    if not any(map(any, pairs)) or any(lo < 0 or hi < 0 for lo, hi in pairs):
        return False
    if any(s.image_dilation > 1 for s in conv.spatial) or conv.empty:
        return False
    if lanes == "inputs":
        return False
    if conv.features < FEW_FEATURES:
        return True
    # few positions of few batch elements, as in the gradient of a kernel for few features
    few = conv.batch <= last.out < FEW_FEATURES < last.taps
    return few and conv.image * TURNING < 0.1 * convolution_kernels.effort(conv)


def _product(lhs: Any, rhs: Any, numbers: ConvDimensionNumbers, out_dtype: np.dtype | None) -> Any:
    """A convolution with a kernel of one tap."""
    ls, rs, os = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    shape = shape_of(rhs)
    kept = [d for d in range(len(rs)) if d in rs[:2]]
    rhs = reshape(rhs, shape=tuple([shape[d] for d in kept]))
    contract = ((ls[1],), (kept.index(rs[1]),))
    out = dot_general(lhs, rhs, contract=contract, batch=((), ()), out_dtype=out_dtype)
    # the product's axes: those of the image but its features, then the output features
    order = [d for d in range(len(ls)) if d != ls[1]]
    place = {os[0]: order.index(ls[0]), os[1]: len(order)}
    place |= {o: order.index(d) for o, d in zip(os[2:], ls[2:])}
    perm = tuple([place[d] for d in range(len(os))])
    return out if perm == tuple(range(len(perm))) else transpose(out, perm=perm)


def _loops(avals: Sequence[Any], out: Any, p: dict[str, Any]) -> convolution_geometry.Convolution:
    return convolution_geometry.Convolution.of(avals[0].shape, avals[1].shape, out.shape, p)


def _element(dtype: np.dtype) -> str:
    return f"{dtype.kind if dtype not in HALVES else 'f'}{dtype.itemsize}"


def _program(numbers: ConvDimensionNumbers) -> Any:
    """The module that writes the loops, by what lies along the last axes."""
    last = len(numbers.lhs_spec) - 1
    if numbers.rhs_spec[1] == numbers.lhs_spec[1] == last:
        return convolution_sums
    if last > 1 and numbers.lhs_spec[-1] == numbers.out_spec[-1] == last:
        return convolution_columns
    return convolution_kernels


def _tiles(in_avals: Sequence[Aval], out_avals: Sequence[Aval], p: dict[str, Any]) -> int:
    conv, program = _loops(in_avals, out_avals[0], p), _program(p["dimension_numbers"])
    if program is not convolution_kernels:
        return program.tiles(conv)
    wide = summed_in(in_avals[0].dtype, out_avals[0].dtype)
    return convolution_kernels.tiles(conv, _element(wide), wide == out_avals[0].dtype)


def _write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], p: dict[str, Any]) -> None:
    (lhs, rhs), (out,) = inputs, outputs
    dtype = {"bf": np.dtype(dtypes.bfloat16)}
    element = _element(summed_in(*[dtype.get(x.dtype) or np.dtype(x.dtype) for x in (lhs, out)]))
    program = _program(p["dimension_numbers"])
    program.write(b, _loops(inputs, out, p), lhs.buffer, rhs.buffer, out.buffer, element)


# -- the primitives ------------------------------------------------------------------------------------------


def _direct_shape(lhs: Aval, rhs: Aval, **p: Any) -> Aval:
    numbers, last = p["dimension_numbers"], lhs.ndim - 1
    features = numbers.rhs_spec[0] == numbers.out_spec[1] == last
    if _program(numbers) is convolution_kernels and not features:
        raise ShapeError(
            f"direct_convolution: neither features nor columns are last in {numbers}, at {describe(here())}; "
            "conv_general_dilated takes any order"
        )
    return convolution_shape(lhs, rhs, **p)


def _family(name: str, shape: Callable[..., Aval], lower: Any, samples: Samples) -> Primitive:
    return bilinear(
        name,
        shape=shape,
        evaluate=convolution_value,
        transposes=(_gradient_of_image, _gradient_of_kernel),
        batch=_batch,
        lower=lower,
        samples=samples,
    )


CHANNELS_LAST = ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
CHANNELS_FIRST = ConvDimensionNumbers((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3))


def _case(
    lhs: str,
    rhs: str,
    numbers: ConvDimensionNumbers | None = None,
    strides: Sequence[int] | None = None,
    padding: Sequence[tuple[int, int]] | None = None,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    feature_groups: int = 1,
    batch_groups: int = 1,
    **more: Any,
) -> Sample:
    n = lhs.count(",") - 1
    order = tuple(range(n + 2))
    ones = (1,) * n
    return Sample(
        (lhs, rhs),
        {
            "window_strides": tuple(strides or ones),
            "padding": tuple(padding or ((0, 0),) * n),
            "lhs_dilation": tuple(lhs_dilation or ones),
            "rhs_dilation": tuple(rhs_dilation or ones),
            "dimension_numbers": numbers or ConvDimensionNumbers(order, order, order),
            "feature_group_count": feature_groups,
            "batch_group_count": batch_groups,
            **more,
        },
        tolerance=4.0,
    )


_LAST = ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (0, 2, 1))
_MIXED = ConvDimensionNumbers((3, 0, 2, 1), (1, 3, 0, 2), (2, 1, 3, 0))
_SAME = ((1, 1), (1, 1))


def _samples() -> list[Sample]:
    return [
        _case("f4[2,5,4,3]", "f4[3,3,3,2]", CHANNELS_LAST, padding=_SAME),
        _case("f4[2,3,5,4]", "f4[2,3,3,3]", CHANNELS_FIRST, padding=_SAME),
        _case("f4[2,6,5,3]", "f4[3,2,3,4]", CHANNELS_LAST, (2, 2), ((1, 2), (0, 1))),
        _case("f4[1,2,7,6]", "f4[4,2,3,2]", None, (3, 2), ((1, 0), (-1, 2)), None, (2, 3)),
        _case("f4[2,2,4,3]", "f4[3,2,3,2]", None, (1, 1), ((2, 1), (1, 2)), (2, 3)),
        _case("f4[2,2,4,3]", "f4[3,2,3,4]", None, (2, 3), ((2, 3), (4, 2)), (3, 2), (2, 3)),
        _case("f4[3,4,2,2]", "f4[2,4,2,3]", _MIXED, padding=_SAME),
        _case("f4[2,5,5,6]", "f4[3,3,1,6]", CHANNELS_LAST, padding=_SAME, feature_groups=6),
        _case("f4[2,4,3,3]", "f4[6,2,2,2]", None, feature_groups=2),
        _case("f4[1,5,18]", "f4[2,9,18]", _LAST, feature_groups=2),
        _case("f4[4,3,4,3]", "f4[6,3,2,2]", None, padding=_SAME, batch_groups=2),
        _case("f4[3,4,2]", "f4[3,2,3]", _LAST, batch_groups=3),
        _case("f4[2,3,4,2,3]", "f4[2,3,2,2,3]", None, (2, 1, 1), ((1, 0), (1, 1), (0, 2))),
        _case("f4[2,9,3]", "f4[4,3,17]", _LAST, (2,), ((3, 2),)),
        _case("f4[2,3]", "f4[4,3]"),
        _case("f4[2,3,4,3]", "f4[1,1,3,5]", CHANNELS_LAST),
        _case("f4[2,3,4,3]", "f4[5,3,1,1]", None, (2, 2)),
        _case("f4[0,4,3]", "f4[2,3,2]", _LAST),
        _case("f4[2,1,3]", "f4[2,3,2]", _LAST),
        _case("f4[2,4,0]", "f4[2,0,2]", _LAST),
        _case("i4[2,5,3]", "i4[2,3,4]", _LAST, padding=((1, 1),)),
        _case("i1[2,5,3]", "i1[2,3,4]", _LAST, out_dtype=np.dtype("int32")),
        _case("bf[2,5,3]", "bf[2,3,4]", _LAST, out_dtype=np.dtype("float32")),
        _case("bf[2,5,3]", "bf[2,3,4]", _LAST, padding=((1, 1),)),
        _case("f4[2,5,3]", "f4[2,3,4]", _LAST, out_dtype=np.dtype("float64")),
    ]


# dimension_numbers: a ConvDimensionNumbers. padding: pairs per spatial axis, below 0 they cut; lhs_dilation,
# rhs_dilation: distance of the image's and the kernel's elements. The features of the image divide into
# feature_group_count groups, or its batch into batch_group_count, and the output features likewise. out_dtype:
# in which it is summed and returned (16-bit floats are summed in float32)
conv_general_dilated = _family("conv_general_dilated", convolution_shape, Decompose(_written), _samples)

# the same with output features last in rhs and out, or input features in lhs and rhs, or the last spatial axis
# in lhs and out: what there are loop programs for
direct_convolution = _family(
    "direct_convolution",
    _direct_shape,
    Kernel(_write, _tiles, lambda ins, outs, p: convolution_geometry.cost(_loops(ins, outs[0], p))),
    [
        _case("f4[2,5,17,3]", "f4[3,3,3,2]", CHANNELS_LAST, padding=_SAME),
        _case("f4[2,4,16]", "f4[3,16,33]", _LAST, (1,), ((2, 2),), (2,)),
        _case("f4[0,4,3]", "f4[2,3,2]", _LAST),
    ],
)
