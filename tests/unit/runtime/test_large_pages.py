"""Large outputs are in memory that the system backs with large pages.

A process of its own makes them: the advice stays with memory that is given back to the C library and handed out again, so what an
output of this process lies in depends on which tests have run before.
"""

import ctypes
import sys
from pathlib import Path

import pytest
from processes import ask_process

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
LARGE, SMALL = 4 << 20, 1 << 20

PROCESS = """
import json
import sys
from pathlib import Path

import torch

import graphwright as gw


def is_in_large_pages(tensor):
    "Tell whether the mapping that holds a tensor's middle is advised to have large pages."
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


dynamic, *sizes = json.load(sys.stdin)
double = gw.compile(lambda x: x * 2, dynamic=dynamic)
found = []
for x in map(torch.rand, sizes):
    y = double(x)
    assert torch.equal(y, x * 2)
    found.append(is_in_large_pages(y))
json.dump(found, sys.stdout)
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not SWITCH.exists() or not hasattr(ctypes.CDLL(None), "mallopt"),
    reason="the system has no large pages, or an allocator that does not say where it takes memory from",
)


@pytest.mark.parametrize(
    ("dynamic", "sizes"),
    [(False, [SMALL]), (False, [LARGE]), (True, [SMALL, LARGE])],
    ids=["small", "large", "large at some sizes only"],
)
def test_only_large_outputs_ask_for_large_pages(dynamic, sizes):
    # What is as large as the small output is in a mapping of its own, not in one that a freed large one has left.
    found = ask_process(PROCESS, [dynamic, *sizes], MALLOC_MMAP_THRESHOLD_=str(SMALL))

    assert found == [size == LARGE for size in sizes]
