"""What was asked of a folder, in words: from the command, the inputs and the time that its provenance holds.

Inputs are told by the last part of their path: a page that is passed on need not say how a hospital sorts its disks.
"""

import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sfumato.report.reading import read_json

VERBS = {
    "train": "trained",
    "tune": "searched",
    "prepare": "prepared",
    "segment": "segmented",
    "generate": "made",
    "pair": "made",
    "reconstruct": "made",
    "interpolate": "made",
    "evaluate": "scored",
    "prove": "tested",
    "audit": "audited",
}
"""What a verb did, by the first word of the command."""


def asked_of(folder: Path) -> str:
    """A sentence about where a folder comes from; empty if it does not say."""
    record = read_json(folder / "provenance.json")
    if not isinstance(record, dict):
        return ""
    words = _words(record.get("command"))
    verb = VERBS.get(words[1] if len(words) > 1 else "", "written")
    sentence = f"{verb.capitalize()}{_inputs(record.get('inputs'))}{_when(record.get('time'))}"
    if len(words) > 1:
        sentence += f", by sfumato {words[1]}"
        sentence += f" {words[2]}" if words[1] in ("train", "tune", "evaluate") and len(words) > 2 else ""
    return f"{sentence}."


def _words(command: object) -> list[str]:
    """The words of a command, however it was noted down."""
    if isinstance(command, list):
        words = [str(word) for word in command]
    else:
        try:
            words = shlex.split(str(command or ""))
        except ValueError:  # a quote that is not closed
            words = str(command).split()
    return [word for word in words if not word.startswith("-")]


def _inputs(inputs: object) -> str:
    """From what, as far as it is known."""
    if not isinstance(inputs, dict):
        return ""
    named = [f"{role.replace('_', ' ')} \u201c{name}\u201d" for role, about in inputs.items() if (name := _name(about))]
    return f" from {', '.join(named)}" if named else ""


def _name(about: object) -> str:
    path = about.get("path") if isinstance(about, Mapping) else about
    return Path(str(path)).name if path else ""


def _when(time: Any) -> str:
    try:
        return f" on {datetime.fromisoformat(str(time)):%d %B %Y}"
    except ValueError:
        return ""
