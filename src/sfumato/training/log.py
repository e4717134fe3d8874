"""The run's diary: one JSON object per line, in the order of the steps.

Lines are flushed one by one, so a killed run loses at most the line it was writing. A resumed run first drops what was
written after the step it resumes from: the log of a killed and resumed run reads like that of an uninterrupted one.

A disk that refuses a line ends no training: lines wait, and are written in their order when it takes them again.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.errors import ModelError
from sfumato.files import append_to, read_file
from sfumato.plain import parse_json
from sfumato.shortage import raise_shortage


def _silent(warning: str) -> None:
    """For who has nobody to tell."""


class Log:
    """Append records to a log; a context manager.

    Args:
        path: the file, usually `RUN/log.jsonl`; made if it is not there.
        step: the step the run continues from; later records, and a cut last line, are dropped.
        warn: told once when lines cannot be written, and at the end if some never were.
    """

    def __init__(self, path: Path, *, step: int = 0, warn: Callable[[str], object] = _silent) -> None:
        kept = [record for record in read_log(path) if record["step"] <= step]
        write_atomic(path, "".join(_line(record) for record in kept))
        self._path, self._file = path, append_to(path)
        self._waiting, self._warn, self._warned = b"", warn, False

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; it needs a `step`, the number of steps done. Numbers that are not finite become null."""
        if "step" not in record:
            raise ValueError("a log record needs its step")
        self._waiting += _line(record).encode()
        self._hand_over()

    def close(self) -> None:
        """Close the file."""
        self._hand_over()
        if missing := self._waiting.count(b"\n"):
            self._warn(f"the last {missing} lines of {self._path.name} could never be written")
        self._file.close()

    def _hand_over(self) -> None:
        """Write what waits, as far as the disk takes it; a line that was cut is completed later."""
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as problem:
            if not self._warned:
                self._warn(f"{self._path.name} cannot be written for now ({problem.strerror}); training goes on")
            self._warned = True

    def __enter__(self) -> "Log":  # noqa: PYI034 - jaxtyping checks methods one by one, where Self has no meaning
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log, oldest first; none if there is no file yet.

    A last line without its line end was cut by a kill and is left out.

    Raises:
        ModelError: another line is damaged.
    """
    if not path.exists():
        return []
    try:
        *lines, _cut = read_file(path).split(b"\n")
    except OSError as error:
        raise_shortage(error, reading=path)
        raise ModelError(f"{path} cannot be read: {error.strerror}", expected="a log, a JSON record a line") from error
    return [_record(path, number, line) for number, line in enumerate(lines, start=1)]


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:

    def fault(_: str) -> ModelError:
        return ModelError(
            f"{path}: line {number} is damaged",
            expected="one JSON object with a step in each line, and numbers as numbers",
            remedy="delete this line",
        )

    record = parse_json(line, fault)
    if not isinstance(record, dict) or not isinstance(record.get("step"), int) or record["step"] < 0:
        raise fault("")
    if not all(isinstance(record.get(name), int | float | None) for name in ("seconds", "images", "loss", "score")):
        raise fault("")
    return record


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps({key: _finite(value) for key, value in record.items()}, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """`value`, or None where a number of it is NaN or infinite, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
