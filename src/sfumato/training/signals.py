"""Signals after which a run is saved and ends, to go on later."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""A scheduler's, the keyboard's, and the one that SLURM sends before the time is up where it is asked to."""


@contextmanager
def signals_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether a signal to stop has come; the handler does nothing else. A second one of its kind acts as usual."""
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        seen.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handler) for number in STOPPING}
    try:
        yield lambda: bool(seen)
    finally:
        for number, old in before.items():
            signal.signal(number, old)
