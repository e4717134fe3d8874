"""Work goes on in smaller portions when memory runs out, with the same results."""

import weakref
from collections.abc import Sequence

import pytest
import torch

from sfumato.errors import ResourceError
from sfumato.memory import AdaptiveBatchSize, out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_memory_runs_out_in_many_words(error):
    assert out_of_memory(error)


def test_the_allocator_of_the_cpu_says_what_is_expected():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_none_of_it(error):
    assert not out_of_memory(error)


def limited(most: int, seen: list[int]):
    def work(items: Sequence[int]) -> list[int]:
        seen.append(len(items))
        if len(items) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [10 * item for item in items]

    return work


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8])
def test_portions_are_halved_once_for_all_and_nothing_is_lost(most):
    seen, told = list[int](), list[str]()
    portions = AdaptiveBatchSize(8, tell=told.append)
    for start in (0, 20):
        items = list(range(start, start + 20))
        assert [done for part in portions.each(items, limited(most, seen)) for done in part] == [10 * k for k in items]
    assert portions.size == {1: 1, 2: 2, 3: 2, 5: 4, 8: 8}[most]
    assert sum(count > most for count in seen) == len(told) == {1: 3, 2: 2, 3: 2, 5: 1, 8: 0}[most]
    assert not told or told[0] == "out of memory with 8 at once: going on with 4"


def test_one_item_that_does_not_fit_is_an_error_with_a_remedy():
    with pytest.raises(ResourceError, match="one item at a time") as caught:
        list(AdaptiveBatchSize(4, tell=print).each([1, 2], limited(0, [])))
    assert caught.value.exit_code == 4


def test_another_error_goes_on():
    def work(items: Sequence[int]) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(AdaptiveBatchSize(4, tell=print).each([1], work))


def test_portions_of_larger_items_are_smaller_and_grow_again():
    portions, seen = AdaptiveBatchSize(4, tell=lambda _: None), list[int]()
    for at_most in (3, None, 8):
        list(portions.each(range(6), lambda part: seen.append(len(part)), at_most=at_most))
    assert seen == [3, 3, 4, 2, 4, 2]


def test_a_result_that_was_handed_over_is_not_held():
    class Result:
        pass

    held: list[weakref.ref[Result]] = []

    def work(_: Sequence[int]) -> Result:
        assert all(each() is None for each in held), "the last one is still there"
        made = Result()
        held.append(weakref.ref(made))
        return made

    for result in AdaptiveBatchSize(1, tell=print).each([1, 2, 3], work):
        assert held[-1]() is result
        del result
    assert len(held) == 3
