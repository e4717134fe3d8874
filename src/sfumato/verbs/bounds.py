"""Bounds of what Python may be given; the command line states the same as annotations of its flags."""

from sfumato.errors import UsageError


def check_workers(workers: int | None) -> None:
    """Processes are counted from one; None leaves their number to the machine.

    Raises:
        UsageError: there are fewer.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers", expected="at least one; by default as many as there is work for")
