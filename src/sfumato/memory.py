"""Out of memory: how allocators say it, and work that then goes on in smaller portions."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sfumato.errors import ResourceError

_WORDS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch's allocators of CUDA, Metal and the CPU say, and cuBLAS, which allocates on its own."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how Python, torch or a driver says that memory ran out."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
    )


class AdaptiveBatchSize:
    """How many items are worked on at once: as many as asked for, and half of them whenever memory runs out.

    What is too many once is too many: the portions stay small for the items that follow.

    Args:
        size: the largest portion, at least 1.
        tell: told in words when portions get smaller.
    """

    def __init__(self, size: int, *, tell: Callable[[str], object]) -> None:
        self.size, self._tell = size, tell

    def each(
        self, items: Sequence[_Item], work: Callable[[Sequence[_Item]], _Result], *, at_most: int | None = None
    ) -> Iterator[_Result]:
        """The work on all items, in order, a portion at a time; `work` holds nothing when it fails.

        Args:
            items: what is worked on.
            work: on a portion.
            at_most: items in a portion, where these are larger than others.

        Raises:
            ResourceError: memory does not hold the work on one item.
        """
        start = 0
        while start < len(items):
            portion = items[start : start + min(self.size, at_most or self.size)]
            try:
                result = work(portion)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._halve(len(portion), error)
                continue
            start += len(portion)
            yield result
            del result  # it may be large, and whoever wanted it has it

    def _halve(self, count: int, error: BaseException) -> None:
        if count == 1:
            raise ResourceError(
                f"out of memory with one item at a time: {error}",
                remedy="close other programs that use the memory, or take a smaller model or --size",
            ) from error
        self.size = count // 2
        self._tell(f"out of memory with {count} at once: going on with {self.size}")
