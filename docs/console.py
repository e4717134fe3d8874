"""Runs the commands that pages show with their output: those of ```console blocks, behind `$`.

python docs/console.py              run the commands of every page
python docs/console.py docs/start.md    of these pages

The commands of a page run one after the other in one empty folder. One that fails fails the build, and so does output
that is not the page's: its lines must come in their order, and a line `...` stands for any others. Numbers that another
machine or another day may change are not compared: those with a decimal point, percentages, seconds, minutes and bytes.
Other blocks are not run; the tests see to it that their commands exist.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGING = re.compile(r"[-+]?\d+\.\d+(?:e-?\d+)?|\d+ ?%|\b\d+(?= (?:s|seconds?|minutes?|GiB|MiB|KiB)\b)")
RULE = re.compile(r"-{3,}")
ANY = "..."
LONGEST = 600
"""Seconds that a command may take."""

ENVIRONMENT = {"COLUMNS": "120", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
"""One thread each: as fast for models as small as these, on a busy machine faster."""


class Shown(NamedTuple):
    """A command with the lines that a page shows of its output."""

    command: str
    lines: tuple[str, ...]


def commands_of(text: str) -> Iterator[Shown]:
    """The commands of a page, in order; a command that ends in a backslash goes on in the next line."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, lines = [], part.splitlines()
            while lines and (not command or command[-1].endswith("\\")):
                command.append(lines.pop(0))
            yield Shown("\n".join(command), tuple(line.rstrip() for line in lines))


def missing(expected: Sequence[str], came: Sequence[str]) -> str | None:
    """The first line of a page that the output does not have where it should; None if all came."""
    wanted = [*map(settled, expected)]
    left, loose = [settled(line) for line in came], False
    for line in wanted:
        if line == ANY:
            loose = True
            continue
        while loose and left and left[0] != line:
            left.pop(0)
        if not left or left.pop(0) != line:
            return line
        loose = False
    return None if loose or not left else f"the end of the output, and not: {left[0]}"


def settled(line: str) -> str:
    """A line without the numbers that change, and without the widths of columns, which follow them."""
    return CHANGING.sub("#", RULE.sub("---", " ".join(line.split())))


def output_of(command: str, folder: Path) -> tuple[int, list[str]]:
    """Exit code and lines, with the folder's own path left out."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env={**os.environ, **ENVIRONMENT, "PATH": beside},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST, check=False,
    )  # fmt: skip
    text = done.stdout.replace(f"{folder}/", "").replace(str(folder), ".")
    return done.returncode, [line.rstrip() for line in text.splitlines()]


def run(page: Path) -> list[str]:
    """What is wrong with the commands of a page; those after one that fails are not run."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        for shown in commands_of(page.read_text(encoding="utf-8")):
            code, lines = output_of(shown.command, folder)
            absent = missing(shown.lines, lines)
            if code or absent:
                what = f"exit code {code}" if code else f"the page shows another output: {absent}"
                return [f"{page.relative_to(ROOT)}: $ {shown.command}", f"  {what}", *(f"  | {line}" for line in lines)]
    return []


def main(arguments: Sequence[str]) -> int:
    """Run the pages; the exit code."""
    pages = [Path(argument).resolve() for argument in arguments] or sorted((ROOT / "docs").glob("*.md"))
    complaints = [complaint for page in pages for complaint in run(page)]
    sys.stderr.writelines(f"{complaint}\n" for complaint in complaints)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
