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
    from sfumato.experiment.inference import predict_array as predict_array
    from sfumato.experiment.run import Model as Model
    from sfumato.experiment.run import load_model as load_model
    from sfumato.experiment.sampling import Sampling as Sampling
    from sfumato.experiment.source import Reading as Reading
    from sfumato.networks.factory import network_factory as network_factory
    from sfumato.outputs.predictions import Writing as Writing
    from sfumato.recipe import Recipe as Recipe
    from sfumato.recipe import load_recipe as load_recipe
    from sfumato.verbs.audit import audit as audit
    from sfumato.verbs.bench import bench as bench
    from sfumato.verbs.check import check as check
    from sfumato.verbs.convert import convert as convert
    from sfumato.verbs.ema import ema as ema
    from sfumato.verbs.evaluate_images import evaluate_images as evaluate_images
    from sfumato.verbs.evaluate_masks import evaluate_masks as evaluate_masks
    from sfumato.verbs.exchange import export_model as export_model
    from sfumato.verbs.exchange import import_model as import_model
    from sfumato.verbs.generate import generate as generate
    from sfumato.verbs.interpolate import interpolate as interpolate
    from sfumato.verbs.pair import pair as pair
    from sfumato.verbs.prepare import Preparation as Preparation
    from sfumato.verbs.prepare import prepare as prepare
    from sfumato.verbs.prove import prove as prove
    from sfumato.verbs.reconstruct import reconstruct as reconstruct
    from sfumato.verbs.reference import reference as reference
    from sfumato.verbs.report import report as report
    from sfumato.verbs.segment import segment as segment
    from sfumato.verbs.train import Length as Length
    from sfumato.verbs.train import Training as Training
    from sfumato.verbs.train import iter_training as iter_training
    from sfumato.verbs.train import resume as resume
    from sfumato.verbs.train import train as train
    from sfumato.verbs.tune import tune as tune

__version__ = "0.1.0"

_HOMES = {
    "Length": "sfumato.verbs.train",
    "Model": "sfumato.experiment.run",
    "Preparation": "sfumato.verbs.prepare",
    "Reading": "sfumato.experiment.source",
    "Recipe": "sfumato.recipe",
    "Sampling": "sfumato.experiment.sampling",
    "Training": "sfumato.verbs.train",
    "Writing": "sfumato.outputs.predictions",
    "audit": "sfumato.verbs.audit",
    "bench": "sfumato.verbs.bench",
    "check": "sfumato.verbs.check",
    "convert": "sfumato.verbs.convert",
    "ema": "sfumato.verbs.ema",
    "evaluate_images": "sfumato.verbs.evaluate_images",
    "evaluate_masks": "sfumato.verbs.evaluate_masks",
    "export_model": "sfumato.verbs.exchange",
    "find_cases": "sfumato.data.source",
    "generate": "sfumato.verbs.generate",
    "import_model": "sfumato.verbs.exchange",
    "in_original_size": "sfumato.experiment.inference",
    "interpolate": "sfumato.verbs.interpolate",
    "iter_training": "sfumato.verbs.train",
    "load_model": "sfumato.experiment.run",
    "load_recipe": "sfumato.recipe",
    "make": "sfumato.experiment.inference",
    "network_factory": "sfumato.networks.factory",
    "pair": "sfumato.verbs.pair",
    "predict": "sfumato.experiment.inference",
    "predict_array": "sfumato.experiment.inference",
    "prepare": "sfumato.verbs.prepare",
    "prove": "sfumato.verbs.prove",
    "reconstruct": "sfumato.verbs.reconstruct",
    "reference": "sfumato.verbs.reference",
    "report": "sfumato.verbs.report",
    "resume": "sfumato.verbs.train",
    "segment": "sfumato.verbs.segment",
    "train": "sfumato.verbs.train",
    "tune": "sfumato.verbs.tune",
}


def __getattr__(name: str) -> "Any":
    """Public names are imported when they are first used: `import sfumato` alone loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sfumato' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
