"""What PyTorch keeps for a thread, beside tensors: what a program may change for its own time only.

In: nothing.   Out: `thread_state`, names and texts, to compare before and after.
"""

import torch
from torch._C import (
    _autograd,
    _dispatch_tls_local_exclude_set,
    _dispatch_tls_local_include_set,
    _functorch,
    _is_fwd_grad_enabled,
    _is_multithreading_enabled,
    _is_torch_function_all_disabled,
    _is_torch_function_enabled,
    _is_view_replay_enabled,
    _len_torch_dispatch_stack,
    _len_torch_function_stack,
)

from graphwright.runtime import autocast_nesting


def thread_state() -> dict[str, object]:
    """Give the state of this thread."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "forward gradients": _is_fwd_grad_enabled(),
        "dual level": torch.autograd.forward_ad._current_level,
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "autocast": [
            (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in ("cpu", "cuda")
        ],
        "autocast cache": torch.is_autocast_cache_enabled(),
        "autocast nesting": autocast_nesting(),
        "keys included": str(_dispatch_tls_local_include_set()),
        "keys excluded": str(_dispatch_tls_local_exclude_set()),
        "dispatch modes": _len_torch_dispatch_stack(),
        "function modes": _len_torch_function_stack(),
        "functions of subclasses": (
            _is_torch_function_enabled(),
            _is_torch_function_all_disabled(),
        ),
        "functional transforms": _functorch.peek_interpreter_stack() is not None,
        "saved tensors' hooks": _autograd._top_saved_tensors_default_hooks(False) is not None,
        "anomaly detection": torch.is_anomaly_enabled(),
        "threads of backward": _is_multithreading_enabled(),
        "replay of views": _is_view_replay_enabled(),
    }
