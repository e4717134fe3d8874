"""sfumato: diffusion models for medical images, from a folder of scans to a number one can trust.

Nothing is imported here that Python has not imported before: under `python -m sfumato` the current folder, which may
hold anyone's files, comes first until `sfumato.__main__` leaves it out.
"""

from importlib import import_module

TYPE_CHECKING = False  # as type checkers read it; typing itself is not imported
if TYPE_CHECKING:
    from typing import Any

    from sfumato.data.source import find_cases as find_cases
    from sfumato.experiment.inference import in_original_size as in_original_size
    from sfumato.experiment.inference import make as make
    from sfumato.experiment.inference import predict as predict
    from sfumato.experiment.run import load_model as load_model
    from sfumato.experiment.source import Reading as Reading
    from sfumato.networks.factory import network_factory as network_factory
    from sfumato.verbs.check import check as check
    from sfumato.verbs.evaluate_masks import evaluate_masks as evaluate_masks
    from sfumato.verbs.prepare import Preparation as Preparation
    from sfumato.verbs.prepare import prepare as prepare
    from sfumato.verbs.report import report as report
    from sfumato.verbs.train import Length as Length
    from sfumato.verbs.train import Training as Training
    from sfumato.verbs.train import resume as resume
    from sfumato.verbs.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "Length": "sfumato.verbs.train",
    "Preparation": "sfumato.verbs.prepare",
    "Reading": "sfumato.experiment.source",
    "Training": "sfumato.verbs.train",
    "check": "sfumato.verbs.check",
    "evaluate_masks": "sfumato.verbs.evaluate_masks",
    "find_cases": "sfumato.data.source",
    "in_original_size": "sfumato.experiment.inference",
    "load_model": "sfumato.experiment.run",
    "make": "sfumato.experiment.inference",
    "network_factory": "sfumato.networks.factory",
    "predict": "sfumato.experiment.inference",
    "prepare": "sfumato.verbs.prepare",
    "report": "sfumato.verbs.report",
    "resume": "sfumato.verbs.train",
    "train": "sfumato.verbs.train",
}


def __getattr__(name: str) -> "Any":
    """Public names are imported when they are first used: `import sfumato` alone loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
