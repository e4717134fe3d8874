"""`sfumato audit`: does the diffusion part matter? One command, one table."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Index, Several
from sfumato.commands.output.layout import show_table
from sfumato.errors import UsageError
from sfumato.evaluation.audit.reading import ArmRow, bounds
from sfumato.evaluation.refusal import refuse_constant
from sfumato.metrics.interval import Interval
from sfumato.metrics.table import AUDITED
from sfumato.numerals import whole
from sfumato.progress import say
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import DASH
from sfumato.verbs.audit import CALLS_TO_AUDIT
from sfumato.verbs.audit import audit as _audit

_TITLE = "The same cases, segmented in other ways: mean [95 % interval]; calls and seconds for one image"


def audit(
    run: Path,
    source: Path | None = None,
    /,
    *,
    out: Path,
    split: Literal["validation", "test"] = "test",
    calls: str = ",".join(map(str, CALLS_TO_AUDIT)),
    members: Count | None = None,
    cases: Several = 50,
    seed: Index = 0,
    batch: Count = 16,
    device: Device = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Does the diffusion part matter? The model against fewer calls, its deterministic twin, and a state that misleads.

    All on the same cases, each with what it costs: the model as its recipe samples it; at other numbers of network
    calls; its twin; its twin over views of the image with as many calls; and the model when it is shown noise, or the
    state of another case, in place of its own state.

    Args:
        run: A run folder of train segment, with its twin if it has one (--twin).
        source: A prepared dataset of the same size and classes; else that of the run.
        out: The folder to write: scores.csv, summary.json.
        split: The cases that are segmented.
        calls: Network calls of one mask, for the model at other numbers of them.
        members: Members of each ensemble; else as the recipe says.
        cases: How many cases, equally spaced; the cost is about 100 to 200 network calls for each.
        seed: Decides the noise, which is the same for all ways of segmenting.
        batch: Masks drawn at once; bounds the memory.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
    """
    audited = _audit(
        run,
        source,
        out=out,
        split=split,
        calls=_numbers(calls),
        members=members,
        cases=cases,
        seed=seed,
        batch=batch,
        device=device,
        overwrite=overwrite,
    )
    result = {"audit": str(out), **audited.summary}
    _show(audited.rows, audited.summary["reading"])
    refuse_constant(audited.beside_constant, whom=f"the model {run}", result=result)
    return result


def _numbers(words: str) -> list[int]:
    numbers = [whole(word.strip()) or 0 for word in words.split(",")]
    if min(numbers) < 1:
        raise UsageError(f"--calls {words}", expected="numbers from 1 on, like 1,2,4,10,50")
    return numbers


def _show(lines: Sequence[ArmRow], reading: Sequence[str]) -> None:
    head = ("way", "network calls", "Dice", "minus recommended", *map(heading, AUDITED))
    show_table(head, list(map(_row, lines)), title=_TITLE)
    for sentence in reading:
        say(sentence)


def _row(line: ArmRow) -> list[str]:
    difference = "" if line.difference is None else _told(line.difference, sign="+")
    numbers = (_three(getattr(line.means, name)) for name in AUDITED)
    return [line.name, str(line.calls), _told(line.dice), difference, *numbers]


def _three(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:.3f}"


def _told(interval: Interval, *, sign: str = "") -> str:
    return f"{interval.mean:{sign}.3f} {bounds(interval.low, interval.high)}"
