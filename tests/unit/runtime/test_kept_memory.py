"""Memory of large outputs is used again, and never while anybody can see it."""

import random
import threading

import pytest
import torch

import graphwright as gw
from graphwright.runtime.kept_memory import KEPT_MEMORY, LARGE_BYTES, KeptMemory

NUMEL = 1 << 10


def make(memory, numel=NUMEL):
    return memory.empty_strided((numel,), (1,), torch.float32, numel * 4)


def test_memory_of_a_dead_tensor_is_given_again():
    memory = KeptMemory()
    address = make(memory).data_ptr()

    assert make(memory).data_ptr() == address


def test_tensor_over_kept_memory_is_like_a_fresh_one():
    memory = KeptMemory()
    make(memory).add_(1)

    found = memory.empty_strided((4, 256), (1, 4), torch.float32, NUMEL * 4)

    assert (found.shape, found.stride(), found.dtype) == ((4, 256), (1, 4), torch.float32)
    assert (found._version, found._is_view(), found.requires_grad) == (0, False, False)
    assert found.untyped_storage().nbytes() == NUMEL * 4
    assert found.resize_(NUMEL * 2).numel() == NUMEL * 2


def test_tensor_over_kept_memory_is_an_inference_tensor_in_inference_mode_only():
    memory = KeptMemory()
    with torch.inference_mode():
        assert make(memory).is_inference()
    assert not make(memory).is_inference()


HOLDERS = {
    "tensor": lambda tensor: tensor,
    "view": lambda tensor: tensor[3:].view(-1),
    "detached": lambda tensor: tensor.detach(),
    "array": lambda tensor: tensor.numpy(),
    "storage": lambda tensor: tensor.untyped_storage(),
    "exported": lambda tensor: torch.utils.dlpack.to_dlpack(tensor),
    "saved for backward": lambda tensor: torch.ones(NUMEL, requires_grad=True) * tensor,
}


@pytest.mark.parametrize("name", HOLDERS)
def test_memory_that_anybody_holds_is_not_given_again(name):
    memory = KeptMemory()
    tensor = make(memory)
    address = tensor.data_ptr()
    holder = HOLDERS[name](tensor)
    del tensor

    others = [make(memory) for _ in range(8)]

    assert all(other.data_ptr() != address for other in others)
    del holder


def test_memory_that_was_resized_is_not_given_again():
    memory = KeptMemory()
    make(memory).resize_(NUMEL * 2)

    assert make(memory).untyped_storage().nbytes() == NUMEL * 4


def test_memory_that_another_process_may_see_is_not_given_again():
    memory = KeptMemory()
    shared = make(memory).share_memory_()
    address = shared.data_ptr()
    del shared

    assert all(not make(memory).is_shared() for _ in range(4))
    assert all(make(memory).data_ptr() != address for _ in range(4))


def test_kept_memory_is_bounded():
    memory = KeptMemory()
    for numel in range(1, 100):
        make(memory, numel)

    assert len(memory._kept) <= 4


def test_memory_beyond_the_bound_is_given_back():
    memory = KeptMemory()
    for size_bytes in (192 << 20, 128 << 20):  # nobody touches it
        memory.empty_strided((size_bytes,), (1,), torch.uint8, size_bytes)

    assert [kept.storage.nbytes() for kept in memory._kept] == [128 << 20]


def test_threads_never_get_the_memory_of_a_living_tensor():
    memory = KeptMemory()
    failures = []

    def use(number):
        chance = random.Random(number)
        living = []
        for turn in range(300):
            stamp = float(number * 1000 + turn)
            living.append((make(memory).fill_(stamp), stamp))
            if chance.random() < 0.6:
                living.pop(chance.randrange(len(living)))
            failures.extend(stamp for tensor, stamp in living if not bool((tensor == stamp).all()))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures


@pytest.mark.parametrize("dynamic", [False, True])
def test_large_outputs_of_compiled_functions_share_memory_only_in_turn(dynamic):
    numel = LARGE_BYTES // 4
    x = torch.rand(numel)
    double = gw.compile(lambda x: x * 2, dynamic=dynamic)

    first, second = double(x), double(x + 1)
    assert torch.equal(first, x * 2)
    assert torch.equal(second, (x + 1) * 2)
    address = first.data_ptr()
    del first
    third = double(x + 2)
    assert third.data_ptr() == address
    assert torch.equal(second, (x + 1) * 2)
    assert torch.equal(third, (x + 2) * 2)


def test_reset_gives_the_memory_back():
    gw.compile(lambda x: x * 2)(torch.rand(LARGE_BYTES // 4))
    assert KEPT_MEMORY._kept

    gw.reset()

    assert not KEPT_MEMORY._kept
