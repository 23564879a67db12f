"""Record tensor programs: calls on abstract tensors → functional ATen graph (and the torch-level graph beside it).

In:  Python code that calls torch, run natively under a `Recorder`, on stand-ins made by `Recorder.add_input`.
Out: `AtenGraph` (`ir/aten.py`), the torch-level `torch.fx.Graph`, and the shape guards that were taken on the way.

    with Recorder(location=current_line) as recorder:
        x = recorder.add_input(real_x, name="l_x_", dynamic_dims={0: "s77"})   # an AbstractTensor
        y = torch.relu(x @ weight)      # a real tensor that was not added goes to `on_real_tensor`
        graph = recorder.finish([y])    # outputs may be inputs, views of inputs, or the same tensor twice
    recorder.shape_guards               # what the symbolic sizes were compared with
    recorder.torch_graph                # built on demand; ends with the outputs once `finish` was called

Outside the `with` block an abstract tensor still knows its shape, dtype and strides, but computes nothing. Reading
data (`.item()`, `bool(t)`, `.numpy()`, `.tolist()`, `data_ptr()`) raises `graphwright.base.errors.Unsupported`.
`Recorder.paused()` suspends recording, so that real tensors can be worked with.

Read first: `recorder.py` (the life of a recording), `functional.py` (storages, views and in-place ops).
"""

from __future__ import annotations

from graphwright.record.abstract import (
    GRADIENTS_OF_STAND_INS,
    REFUSED,
    AbstractTensor,
    Gradients,
    NeedsValues,
)
from graphwright.record.floats import Number, SymbolicNumber, calculate
from graphwright.record.joint import (
    JointGraph,
    Recorded,
    record_backward,
    record_function,
    record_joint,
    try_finish_joint,
)
from graphwright.record.lazy_flags import has_flags
from graphwright.record.recorder import Recorder, RecordingMark
from graphwright.record.sizes import (
    Extent,
    dim_of,
    fits_64_bits,
    greatest,
    hint_of,
    least,
)
from graphwright.record.specs import TensorSpec
from graphwright.record.symbol_names import size_symbol
from graphwright.record.symnodes import is_settled, number_of, to_extent, to_torch
from graphwright.record.torch_level import CallRef, TorchCall, TorchTrace

__all__ = [
    "GRADIENTS_OF_STAND_INS",
    "REFUSED",
    "AbstractTensor",
    "CallRef",
    "Extent",
    "Gradients",
    "JointGraph",
    "NeedsValues",
    "Number",
    "Recorded",
    "Recorder",
    "RecordingMark",
    "SymbolicNumber",
    "TensorSpec",
    "TorchCall",
    "TorchTrace",
    "calculate",
    "dim_of",
    "fits_64_bits",
    "greatest",
    "has_flags",
    "hint_of",
    "is_settled",
    "least",
    "number_of",
    "record_backward",
    "record_function",
    "record_joint",
    "size_symbol",
    "to_extent",
    "to_torch",
    "try_finish_joint",
]
