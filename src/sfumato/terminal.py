"""Output that outlives its reader: a pipe that nobody reads any more, a terminal that was closed, a full disk of a log.

What a command says is no part of its work: when a stream is lost, the work goes on, and nothing of it fails later, not
even the flush when the interpreter ends. Standard output in a file is another matter: there a result would be lost.
"""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

STREAMS = ("stdin", "stdout", "stderr")


@contextmanager
def lasting_streams() -> Iterator[None]:
    """While a command runs, `sys.stdout` and `sys.stderr` outlive their readers, and all three streams are open.

    A closed descriptor would be given to the next file that is opened, which whoever writes to the stream would damage.
    """
    _open_descriptors()
    before = {name: getattr(sys, name) for name in STREAMS}
    for name, stream in before.items():
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    out, error = _Lasting(sys.stdout, is_result=True), _Lasting(sys.stderr, is_result=False)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", error)
    try:
        yield
    finally:
        for stream in (out, error):
            stream.close_quietly()
        for name, stream in before.items():
            setattr(sys, name, stream)


def _open_descriptors() -> None:
    for number in range(len(STREAMS)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


class _Lasting:
    """A text stream whose writes do not fail when its reader is gone.

    Args:
        stream: where it writes.
        is_result: a file that cannot be written is an error.
    """

    def __init__(self, stream: Any, *, is_result: bool) -> None:
        self._stream, self._is_result = stream, is_result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """All of it is taken, whatever becomes of it."""
        with self._surviving():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As `write`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As `write`."""
        with self._surviving():
            self._stream.flush()

    def close_quietly(self) -> None:
        """At the end: what cannot be written is given up, so that the interpreter does not try again."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._let_go()

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:  # its reader is slow
            pass
        except OSError:
            if self._is_result and self._is_file():
                raise
            if not self._is_file():
                self._let_go()
        except ValueError:
            if not self._stream.closed:
                raise

    def _is_file(self) -> bool:
        try:
            return stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode)
        except (OSError, ValueError):
            return False

    def _let_go(self) -> None:
        """From now on everything goes nowhere, also what is still in buffers and what libraries in C write."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
