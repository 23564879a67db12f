"""Let the tests of this folder import what `tests/support` holds, and check that programs leave PyTorch's state as it was."""

import sys
from pathlib import Path

import pytest

SUPPORT = str(Path(__file__).parents[1] / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)


@pytest.fixture(autouse=True)
def thread_state_kept():
    """Fail a test that leaves the thread's state changed, so that the one after it is not blamed."""
    from thread_state import thread_state

    before = thread_state()
    yield
    assert thread_state() == before, "the test has changed what PyTorch keeps for the thread"
