"""Which steps of a plan may refuse values, and whether they come before all that changes something.

In: the steps of a plan.   Out: `refuses_first`; and the checks that come first, marked.
Keeps: an operator that is not known here may refuse. A kernel refuses nothing: what it looks up is checked by a call before it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
import torch

from graphwright.ir.aten import LiteralArg
from graphwright.ir.overloads import find_overload, is_random, schema_of
from graphwright.ir.plan import CallExtern, ExternKind, NamedArg, Plan, Release, RunKernel, Step
from graphwright.ir.plan_text import iter_tensor_args

_PRODUCTS: Final = "mm addmm bmm baddbmm mv addmv dot vdot convolution convolution_backward"
_ATTENTION: Final = (
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention_for_cpu_backward "
    "_scaled_dot_product_attention_math"
)
_LAYERS: Final = (
    "native_layer_norm native_layer_norm_backward native_group_norm native_group_norm_backward native_batch_norm "
    "native_batch_norm_backward _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data native_dropout "
    "native_dropout_backward mkldnn_rnn_layer mkldnn_rnn_layer_backward lstm gru"
)
_IMAGES: Final = (
    "avg_pool2d avg_pool2d_backward avg_pool3d avg_pool3d_backward max_pool2d_with_indices max_pool2d_with_indices_backward "
    "max_pool3d_with_indices _adaptive_avg_pool2d _adaptive_avg_pool2d_backward _adaptive_avg_pool3d adaptive_max_pool2d "
    "upsample_nearest1d upsample_nearest2d upsample_nearest2d_backward upsample_nearest3d upsample_bilinear2d "
    "upsample_bilinear2d_backward _upsample_bilinear2d_aa upsample_bicubic2d upsample_bicubic2d_backward _upsample_bicubic2d_aa "
    "upsample_linear1d upsample_trilinear3d reflection_pad1d reflection_pad2d reflection_pad2d_backward reflection_pad3d "
    "replication_pad1d replication_pad2d replication_pad3d grid_sampler_2d grid_sampler_2d_backward grid_sampler_3d im2col col2im"
)
_REST: Final = (
    "copy_ copy clone _to_copy cat stack flip roll sort topk median cumsum cumprod cummax cummin logcumsumexp sum mean amax amin "
    "_fft_r2c _fft_c2c _fft_c2r conj_physical empty_like fill constant_pad_nd "
    "repeat glu glu_backward log_sigmoid_forward pixel_shuffle pixel_unshuffle channel_shuffle rot90 block_diag diag_embed "
    "diagonal_scatter slice_scatter select_scatter select_backward slice_backward diagonal_backward unfold_backward tril triu trace "
    "isin bucketize searchsorted linspace logspace alias_copy detach_copy diagonal_copy expand_copy narrow_copy permute_copy "
    "select_copy slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unfold_copy "
    "unsqueeze_copy view_copy "
    "rand randn rand_like randn_like randint randint_like randperm uniform normal_functional exponential"
)
_TAKES_ALL: Final = frozenset(" ".join((_PRODUCTS, _ATTENTION, _LAYERS, _IMAGES, _REST)).split())
"""Operators of PyTorch that refuse shapes and dtypes only, which capture has seen."""
_OVERLOADS: Final = frozenset({"aten.bernoulli.p", "aten.normal.float_float"})
"""Such overloads of operators whose other overloads refuse values."""
_DIVISIONS: Final = frozenset({"div", "floor_divide", "remainder", "fmod"})
"""Operators on elements that refuse to divide integers by zero."""


def with_first_checks_marked(steps: Sequence[Step], mutated_inputs: Collection[int]) -> list[Step]:
    """Let the checks that come before all changes say so where they raise."""
    num_first = _num_first(steps, mutated_inputs)
    mark = NamedArg("is_first", LiteralArg(value=True))
    marked: list[Step] = []
    for number, step in enumerate(steps):
        is_check = isinstance(step, CallExtern) and step.kind is ExternKind.CHECK
        is_first = is_check and number < num_first
        marked.append(msgspec.structs.replace(step, kwargs=(mark,)) if is_first else step)
    return marked


def refuses_first(plan: Plan) -> bool:
    """Tell whether no step that may refuse values comes after one that changes an input or a random generator.

    A call whose plan raises has changed nothing then.
    """
    rest = plan.steps[_num_first(plan.steps, plan.mutated_inputs) :]
    return not any(isinstance(step, CallExtern) and may_refuse(step.op) for step in rest)


def _num_first(steps: Sequence[Step], mutated_inputs: Collection[int]) -> int:
    """Count the steps before the first that changes something. What users' own operators change, nobody knows."""
    written = frozenset(mutated_inputs)
    for number, step in enumerate(steps):
        if _uses(step, written):
            return number
        if isinstance(step, CallExtern) and (draws(step.op) or not is_own(step.op)):
            return number
    return len(steps)


def is_own(op: str) -> bool:
    """Tell whether an overload is PyTorch's or ours, and not a user's."""
    return op.startswith(("aten.", "prims.", "graphwright."))


@functools.cache
def draws(op: str) -> bool:
    """Tell whether an overload draws random numbers."""
    return is_random(find_overload(op))


@functools.cache
def changes(op: str) -> bool:
    """Tell whether an overload draws random numbers, writes to its operands, or does what only its user knows."""
    return draws(op) or not is_own(op) or schema_of(find_overload(op)).is_mutable


@functools.cache
def may_refuse(op: str) -> bool:
    """Tell whether an overload may raise for the values of its operands."""
    namespace, name, _ = op.split(".")
    if namespace != "aten":
        return True
    is_known = name in _TAKES_ALL or op in _OVERLOADS
    is_of_elements = torch.Tag.pointwise in find_overload(op).tags and name not in _DIVISIONS
    return not (is_known or (is_of_elements and not draws(op)))


def _uses(step: Step, inputs: frozenset[int]) -> bool:
    """Tell whether a step may write to one of the inputs: it takes their buffers."""
    match step:
        case RunKernel(_, buffers):
            return not inputs.isdisjoint(buffers)
        case Release() | CallExtern(kind=ExternKind.CHECK | ExternKind.FUNCTIONAL):
            return False
        case CallExtern():
            args = [*step.args, *(kwarg.value for kwarg in step.kwargs), *filter(None, step.outs)]
            return any(tensor.buffer in inputs for arg in args for tensor in iter_tensor_args(arg))
