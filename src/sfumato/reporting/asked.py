"""What was asked of a folder, in words: from the command, the inputs and the time that its provenance holds.

Inputs are told by their names where sfumato wrote them: a page that is passed on need not say how a hospital sorts its
disks, nor what it calls a folder of scans.
"""

import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sfumato.local import MARK
from sfumato.reporting.reading import read_optional_json

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
    record = read_optional_json(folder / "provenance.json")
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
    roles = {role.replace("_", " "): _name(about) for role, about in inputs.items() if about is not None}
    told = [f"{role} \u201c{name}\u201d" if name else role for role, name in roles.items()]
    return f" from {', '.join(told)}" if told else ""


def _name(about: object) -> str:
    """What an input is called; nothing where that may not be told, as of what sfumato 0.1 wrote whole paths of."""
    path = str(about.get("path") or "") if isinstance(about, Mapping) else str(about or "")
    return "" if path.startswith(MARK) or Path(path).is_absolute() else Path(path).name


def _when(time: Any) -> str:
    try:
        return f" on {datetime.fromisoformat(str(time)):%d %B %Y}"
    except ValueError:
        return ""
