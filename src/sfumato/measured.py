"""What was measured of a model, in a file beside it: the model itself stays as it was written.

    RUN/measured.json   {sha256 of the weights: {"curve": ..., "review": {way of drawing: ...},
                                             "postprocess": {way of drawing: ...}}}

A measurement counts for the weights with its hash alone, so it does no harm beside others, nor after more training.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.errors import DataError
from sfumato.plain import ours, read_object

MEASURED_FILE = "measured.json"


def read_measured(model: Path, sha256: str) -> dict[str, Any]:
    """What was measured of some weights; nothing where nobody measured, or the file is damaged.

    Args:
        model: a run folder, or a file of weights.
        sha256: of the weights.
    """
    known = _all(_beside(model)).get(sha256)
    return known if isinstance(known, dict) else {}


def keep_measured(model: Path, sha256: str, measured: Mapping[str, Any]) -> Path:
    """Lay measurements over those that are known of some weights; the file written.

    Args:
        model: a run folder, or a file of weights.
        sha256: of the weights.
        measured: plain data.
    """
    file = _beside(model)
    known = _all(file)
    write_atomic(file, json.dumps({**known, sha256: {**read_measured(model, sha256), **measured}}, indent=1) + "\n")
    return file


def _beside(model: Path) -> Path:
    return (model if model.is_dir() else model.parent) / MEASURED_FILE


def _all(file: Path) -> dict[str, Any]:
    try:
        return read_object(file, ours(file))
    except DataError:
        return {}
