"""Object code as data, and in the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from loop_kernels import call, load

from graphwright.base.errors import InternalError
from graphwright.codegen.llvm import ObjectCode, compile_kernels, load_object
from graphwright.ir.loops_parse import parse_kernel

TEXT = """\
kernel sine(in0: f32 read, out0: f32 write):
  parallel i in 0..1000 grain 10:
    v0 = load in0[i]
    v1 = sin(v0): f32
    store out0[i] = v1
"""


def test_code_survives_bytes_and_another_process(tmp_path):
    code = compile_kernels([parse_kernel(TEXT)], num_threads=2)
    path = tmp_path / "code"
    path.write_bytes(msgspec.msgpack.encode(code))
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "support")!r})
import msgspec, torch
from loop_kernels import call
from graphwright.codegen.llvm import ObjectCode, load_object
code = load_object(msgspec.msgpack.decode(open({str(path)!r}, "rb").read(), type=ObjectCode))
x = torch.linspace(-1e6, 1e6, 1000)
y = torch.empty_like(x)
call(code, "sine", [x, y])
assert torch.allclose(y, x.sin(), atol=1e-6)
print("equal")
"""

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stdout == "equal\n", done.stderr
    assert msgspec.msgpack.decode(path.read_bytes(), type=ObjectCode) == code


CROWDED = """
import ctypes, sys
sys.path.insert(0, {support!r})
import torch
from loop_kernels import call, load
from graphwright.codegen.llvm import compile_kernels, load_object
from graphwright.ir.loops_parse import parse_kernel

code = compile_kernels([parse_kernel({text!r})], num_threads=2)
load_object(code)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)

def reserve(size):
    return libc.mmap(None, size, 0, 0x4022, -1, 0)  # nothing may touch it, and it takes no memory

wall = reserve(3 << 30)
size, last = 1 << 30, None
while size >= 4096:
    address = reserve(size)
    if address > wall:
        last = address
    else:
        libc.munmap(address, size)
        size //= 2
libc.munmap(last, 4096)
loaded = load_object(code)
x = torch.linspace(-1e6, 1e6, 1000)
y = torch.empty_like(x)
call(loaded, "sine", [x, y])
assert torch.allclose(y, x.sin(), atol=1e-6)
print("equal")
"""
"""Leaves one page free above three gigabytes that are taken, and all below them."""


def test_code_is_loaded_where_memory_near_it_is_taken():
    script = CROWDED.format(support=str(Path(__file__).parents[2] / "support"), text=TEXT)

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.stdout == "equal\n", done.stderr


def test_equal_kernels_give_equal_bytes():
    first = compile_kernels([parse_kernel(TEXT)], num_threads=2)
    second = compile_kernels([parse_kernel(TEXT)], num_threads=2)

    assert first == second


def test_one_of_several_equal_kernels_is_compiled():
    kernel = parse_kernel(TEXT)

    code = compile_kernels([kernel, parse_kernel(TEXT)], num_threads=2)

    assert code.symbols == ("sine",)
    assert code == compile_kernels([kernel], num_threads=2)


def test_one_name_for_two_kernels_is_refused():
    with pytest.raises(InternalError, match="two kernels have the name sine"):
        compile_kernels(
            [parse_kernel(TEXT), parse_kernel(TEXT.replace("sin(", "cos("))], num_threads=2
        )


def test_kernels_named_like_functions_of_the_c_library_do_not_collide():
    code = load(parse_kernel(TEXT.replace("kernel sine", "kernel sinf")))
    x, y = torch.randn(1000) * 1e9, torch.empty(1000)

    call(code, "sinf", [x, y])

    torch.testing.assert_close(y, x.sin(), rtol=1e-6, atol=1e-6)


def test_several_kernels_in_one_module_are_all_found():
    kernels = [parse_kernel(TEXT.replace("sine", name)) for name in ("one", "two", "three")]

    code = load(*kernels)

    assert len({code.address(name) for name in ("one", "two", "three")}) == 3
    with pytest.raises(KeyError):
        code.address("four")


def test_code_for_another_processor_is_refused():
    code = compile_kernels([parse_kernel(TEXT)], num_threads=2)
    other = msgspec.structs.replace(code.target, cpu="core2")

    with pytest.raises(InternalError, match="core2"):
        load_object(msgspec.structs.replace(code, target=other))


def test_a_malformed_kernel_is_refused_where_asked():
    broken = parse_kernel(TEXT.replace("sin(v0)", "sin(v9)"))

    with pytest.raises(InternalError, match="v9 is not defined"):
        compile_kernels([broken], num_threads=2, verify=True)


def test_too_much_scratch_is_refused():
    text = TEXT.replace("  parallel", "  scratch big: f64[200000]\n  parallel")

    with pytest.raises(InternalError, match="1600000 bytes of scratch"):
        compile_kernels([parse_kernel(text)], num_threads=2)


def test_an_element_type_without_machine_code_is_refused():
    with pytest.raises(InternalError, match="in0 is of complex64"):
        compile_kernels([parse_kernel("kernel k(in0: c64 read):\n")], num_threads=2)
