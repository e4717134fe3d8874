"""The run's diary: one JSON object per line, in the order of the steps.

Lines are flushed one by one, so a killed run loses at most the line it was writing. A resumed run first drops what was
written after the step it resumes from: the log of a killed and resumed run reads like that of an uninterrupted one.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.errors import ModelError
from sfumato.files import read_file


class Log:
    """Append records to a log; a context manager.

    Args:
        path: the file, usually `RUN/log.jsonl`; made if it is not there.
        step: the step the run continues from; later records, and a cut last line, are dropped.
    """

    def __init__(self, path: Path, *, step: int = 0) -> None:
        kept = [record for record in read_log(path) if record["step"] <= step]
        write_atomic(path, "".join(_line(record) for record in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; it needs a `step`, the number of steps done. Numbers that are not finite become null."""
        if "step" not in record:
            raise ValueError("a log record needs its step")
        self._file.write(_line(record))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

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
        raise ModelError(f"{path} cannot be read: {error.strerror}", expected="a log, a JSON record a line") from error
    return [_record(path, number, line) for number, line in enumerate(lines, start=1)]


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if isinstance(record, dict) and "step" in record:
            return record
    except ValueError:
        pass
    raise ModelError(
        f"{path}: line {number} is damaged",
        expected="one JSON object with a step in each line",
        remedy="delete this line",
    )


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
