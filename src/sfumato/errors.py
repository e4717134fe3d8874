"""Errors for the person at the keyboard: what was found, where, what was expected, what to do.

The faces (command line, web page) print `str(error)` and leave with `error.exit_code`; nobody sees a traceback unless
they ask for it. Names of files and other words of strangers stand in these texts: shown as `sfumato.escape` makes them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sfumato.escape import for_terminal, visible
from sfumato.shortening import shortened


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
    details: str = ""
    """What a command has said in short, in full."""

    def __init__(self, finding: str, *, expected: str = "", remedy: str = "", code: str = "") -> None:
        super().__init__(finding)
        self.finding, self.expected, self.remedy, self.code = finding, expected, remedy, code

    def __str__(self) -> str:
        return shortened(self._told())

    def in_full(self) -> str:
        """All of it: what is shown has five items of each long list, and no details."""
        return "\n".join(filter(None, (self._told(), for_terminal(self.details))))

    def _told(self) -> str:
        told = {f"error {self.code}".strip(): self.finding, "  expected": self.expected, "  fix": self.remedy}
        return "\n".join(f"{head}: {for_terminal(text)}" for head, text in told.items() if text)


class UsageError(SfumatoError):
    """A wrong command, recipe or combination of settings."""

    exit_code = 2


class AbsentError(UsageError):
    """Code that is needed and not there, or not allowed: what asks for it may be right."""


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


def listed(names: Sequence[str]) -> str:
    """Names one a line, indented; what is shown of many, see `sfumato.shortening`."""
    return "\n".join(f"    {visible(name)}" for name in names)


@contextmanager
def collected(problems: list[DataError]) -> Iterator[None]:
    """What is wrong with data in the block joins the problems: the next block goes on."""
    try:
        yield
    except DataError as problem:
        problems.append(problem)


def raise_together(problems: Sequence[DataError]) -> None:
    """Nothing without problems; else one error that lists them all, each once: planes share the fault of their volume.

    Raises:
        DataError: with the code of the problems, or DATA-022 where they are of several kinds.
    """
    often = Counter((problem.code, problem.finding) for problem in problems)
    if len(often) == 1:
        problems[0].finding = _with_count(problems[0].finding, len(problems))
        raise problems[0]
    if problems:
        codes = sorted({problem.code for problem in problems})
        alone = len(codes) == 1
        kinds = [[problem for problem in problems if problem.code == code] for code in codes]
        parts = [_kind(kind, often, named=not alone) for kind in kinds]
        raise DataError(
            f"{len(often)} files cannot be used:\n" + "\n".join(parts),
            expected=problems[0].expected if alone else "whole images, each with a mask of its size",
            remedy=problems[0].remedy if alone else "mend these files or take them out of the folder",
            code=problems[0].code if alone else "DATA-022",
        )


def _kind(problems: Sequence[DataError], often: Mapping[tuple[str, str], int], *, named: bool) -> str:
    """Problems of one code, one below the other, with what to do."""
    findings = dict.fromkeys(problem.finding for problem in problems)
    told = [_with_count(finding, often[problems[0].code, finding]) for finding in findings]
    lines = [f"    {for_terminal(text)}".replace("\n", "\n    ") for text in told]
    if named:
        fix = next((f"; fix: {problem.remedy}" for problem in problems if problem.remedy), "")
        lines.insert(0, f"  {problems[0].code}, {len(told)} of them{fix}")
    return "\n".join(lines)


def _with_count(finding: str, count: int) -> str:
    return f"{finding} ({count} cases)" if count > 1 else finding
