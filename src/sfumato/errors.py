"""Errors for the person at the keyboard: what was found, where, what was expected, what to do.

The faces (command line, web page) print `str(error)` and leave with `error.exit_code`; nobody sees a traceback unless
they ask for it. Names of files and other words of strangers stand in these texts: shown as `sfumato.escape` makes them.
"""

from collections import Counter
from collections.abc import Sequence

from sfumato.escape import for_terminal, visible

ALL_TOLD = 100
"""Faults that are listed when many files have one."""


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
        told = {f"error {self.code}".strip(): self.finding, "  expected": self.expected, "  fix": self.remedy}
        return "\n".join(f"{head}: {for_terminal(text)}" for head, text in told.items() if text)


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
    return _indented([visible(name) for name in names[:limit]], left_out=len(names) - limit)


def _indented(lines: Sequence[str], *, left_out: int) -> str:
    more = [f"... and {left_out} more"] if left_out > 0 else []
    return "\n".join(f"    {line}" for line in (*lines, *more))


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
            f"{len(told)} files cannot be used:\n{_indented(told[:ALL_TOLD], left_out=len(told) - ALL_TOLD)}",
            expected=problems[0].expected if len(codes) == 1 else "whole images, each with a mask of its size",
            remedy=problems[0].remedy if len(codes) == 1 else "mend these files or take them out of the folder",
            code=codes[0] if len(codes) == 1 else "DATA-022",
        )
