"""Large outputs are in memory that the system backs with large pages."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

import graphwright as gw

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LARGE, SMALL = 4 << 20, 1 << 20

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not SWITCH.exists() or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="the system has no large pages, or an allocator that does not say where it takes memory from",
)


M_MMAP_THRESHOLD = -3


@pytest.fixture(autouse=True, scope="module")
def outputs_in_mappings_of_their_own():
    """Keep glibc from handing out memory again for which an earlier output asked for large pages."""
    assert ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, SMALL)


def is_in_large_pages(tensor):
    """Tell whether the mapping that holds a tensor's middle is advised to have large pages."""
    middle = tensor.data_ptr() + tensor.nbytes // 2
    is_inside = False
    for line in Path("/proc/self/smaps").read_text("ascii").splitlines():
        head = line.split()[0]
        if "-" in head:
            start, end = (int(part, 16) for part in head.split("-"))
            is_inside = start <= middle < end
        elif is_inside and head == "VmFlags:":
            return "hg" in line.split()
    raise AssertionError(tensor)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(("numel", "expected"), [(LARGE, True), (SMALL, False)])
def test_only_large_outputs_ask_for_large_pages(dynamic, numel, expected):
    x = torch.rand(numel)

    y = gw.compile(lambda x: x * 2, dynamic=dynamic)(x)

    assert is_in_large_pages(y) is expected
    assert torch.equal(y, x * 2)


def test_output_that_is_large_only_at_some_sizes_is_in_large_pages_there():
    double = gw.compile(lambda x: x * 2, dynamic=True)

    found = [is_in_large_pages(double(torch.rand(numel))) for numel in (SMALL, LARGE)]

    assert found == [False, True]
