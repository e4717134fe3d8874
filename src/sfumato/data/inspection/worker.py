"""What a worker process does for `inspect.measure_cases`; alone, since each worker loads what this module needs."""

from sfumato.data.facts import CaseFacts, case_sketch, finish
from sfumato.data.manifest import Case


def measure_chunk(_: None, chunk: tuple[int, list[Case]]) -> list[CaseFacts]:
    """The facts of some cases, in their order.

    Args:
        chunk: its number, and the cases.
    """
    return finish([case_sketch(case) for case in chunk[1]])
