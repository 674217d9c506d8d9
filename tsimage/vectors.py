"""Four float64 in one register of the processor, for the compiled loops (`tsimage.kernels`).

numba turns loops into vector instructions only where neighbours in memory go the same way for long. The means of
short segments do not, and these few functions say it outright: each is one instruction of LLVM, or a few, and runs on
any processor. They are called from compiled code alone. `Four` lives in registers; it cannot be returned to Python.

numba's cache on disk knows the file of a loop, not of what it calls: change `tsimage/kernels.py` with this file.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

_intrinsic: Any = intrinsic  # its type hints count the arguments that numba itself gives
_FOUR = ir.VectorType(ir.DoubleType(), 4)


class Four(types.Type):
    """The type of four float64 side by side."""

    def __init__(self) -> None:
        super().__init__(name="Four")


four = Four()


@register_model(Four)
class _Model(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FOUR)


def _address(context: Any, builder: Any, array: Any, value: Any, index: Any) -> Any:
    """Return where four neighbours in a C-contiguous array begin; nothing looks whether they lie inside."""
    data = context.make_array(array)(context, builder, value).data
    element = context.get_value_type(array.dtype)
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(element, 4).as_pointer())


@_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return array[index..index+3] of float32 or float64 as four float64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        size = kind.dtype.bitwidth // 8
        value = builder.load(_address(context, builder, kind, *args), align=size)
        return value if size == 8 else builder.fpext(value, _FOUR)

    return four(array, types.intp), generate


@_intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write four float64 to array[index..index+3]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, signature.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, four), generate


@_intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b, one by one."""
    return four(four, four), lambda context, builder, signature, args: builder.fadd(*args)


@_intrinsic
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """Return a * b, one by one."""
    return four(four, four), lambda context, builder, signature, args: builder.fmul(*args)


@_intrinsic
def divide(typing: Any, a: Any, b: Any) -> Any:
    """Return a / b, one by one."""
    return four(four, four), lambda context, builder, signature, args: builder.fdiv(*args)


@_intrinsic
def totals(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the sums of the elements of a, of b, of c and of d: (first + second) + (third + fourth) of each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def picked(left: Any, right: Any, places: list[int]) -> Any:
            return builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(ir.IntType(32), 4), places))

        def halves(left: Any, right: Any) -> Any:
            return builder.fadd(picked(left, right, [0, 4, 2, 6]), picked(left, right, [1, 5, 3, 7]))

        ab, cd = halves(args[0], args[1]), halves(args[2], args[3])
        return builder.fadd(picked(ab, cd, [0, 1, 4, 5]), picked(ab, cd, [2, 3, 6, 7]))

    return four(four, four, four, four), generate
