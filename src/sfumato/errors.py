"""Errors for the person at the keyboard: what was found, where, what was expected, what to do.

The faces (command line, web page) print `str(error)` and leave with `error.exit_code`; nobody sees a traceback unless
they ask for it.
"""

from collections import Counter
from collections.abc import Sequence


class SfumatoError(Exception):
    """A finding that the user can mend.

    Args:
        finding: what is wrong, with the file (row, slice) it is about.
        expected: what was expected instead.
        remedy: what to do, preferably a command.
        code: stable code such as `DATA-014`; `docs/errors.md` lists them all.
    """

    exit_code = 1
    result: object = None
    """What a command found out nevertheless, for `--json`."""

    def __init__(self, finding: str, *, expected: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(finding)
        self.finding, self.expected, self.remedy, self.code = finding, expected, remedy, code

    def __str__(self) -> str:
        lines = [f"error {self.code}: {self.finding}" if self.code else f"error: {self.finding}"]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  fix: {self.remedy}")
        return "\n".join(lines)


class UsageError(SfumatoError):
    """A wrong command, recipe or combination of settings."""

    exit_code = 2


class DataError(SfumatoError):
    """Data that cannot be used as it is."""

    exit_code = 3


class ResourceError(SfumatoError):
    """Out of memory or disk."""

    exit_code = 4


class ModelError(SfumatoError):
    """A checkpoint or model that cannot be used."""

    exit_code = 5


class Stopped(SfumatoError):  # noqa: N818 - not a fault: work was saved
    """Stopped by a signal after saving; schedulers requeue on exit code 75."""

    exit_code = 75


def listed(names: Sequence[str], *, limit: int = 20) -> str:
    """Names one a line, indented, at most `limit`, with the number left out."""
    shown = [f"    {name}" for name in names[:limit]]
    if len(names) > limit:
        shown.append(f"    ... and {len(names) - limit} more")
    return "\n".join(shown)


def raise_together(problems: Sequence[DataError]) -> None:
    """Nothing without problems; else one error that lists them all, each once: planes share the fault of their volume.

    Raises:
        DataError: with the code of the problems, or DATA-022 where they are of several kinds.
    """
    often = Counter(problem.finding for problem in problems)
    told = [f"{finding} ({count} cases)" if count > 1 else finding for finding, count in often.items()]
    if len(told) == 1:
        problems[0].finding = told[0]
        raise problems[0]
    if problems:
        codes = sorted({problem.code for problem in problems})
        raise DataError(
            f"{len(told)} files cannot be used:\n{listed(told, limit=100)}",
            expected=problems[0].expected if len(codes) == 1 else "whole images, each with a mask of its size",
            remedy=problems[0].remedy if len(codes) == 1 else "mend these files or take them out of the folder",
            code=codes[0] if len(codes) == 1 else "DATA-022",
        )
