"""What becomes of an output when its path ends while the user still holds it.

In: an output tensor, and where it was made.   Out: a tensor that raises on every use.
Keeps: only that object is changed. A view that the user made of it stays as it was, data included: the memory under it
is left to the view (see `Block.give_away`).
"""

from __future__ import annotations

from typing import Any

import torch

from graphwright.base.errors import OverwrittenOutputError


class OverwrittenTensor(torch.Tensor):
    """An output whose memory belongs to a later run."""

    origin: str

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Raise, whatever was asked.

        Raises:
            OverwrittenOutputError: always.
        """
        operands = [*args, *(kwargs or {}).values()]
        nested = [item for each in operands if isinstance(each, (list, tuple)) for item in each]
        origins = {each.__dict__["origin"] for each in [*operands, *nested] if type(each) is cls}
        made = "\n".join(sorted(origins)) or "a compiled function"
        message = (
            "accessing tensor output of a recorded graph that has been overwritten by a subsequent run. "
            f"It was made by: {made}\n"
            "To keep an output, .clone() it outside of the compiled function, or call "
            "graphwright.mark_step_begin() before each iteration rather than inside of it."
        )
        raise OverwrittenOutputError(message)


def overwrite(tensor: torch.Tensor, origin: str) -> None:
    """Make `tensor` raise on every use from now on, and let go of its memory."""
    tensor.data = torch.empty(0, dtype=tensor.dtype)
    tensor.__dict__["origin"] = origin
    tensor.__class__ = OverwrittenTensor
