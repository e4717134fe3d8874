"""A recipe says everything about a run; it is plain data and imports no torch.

A recipe is a YAML file, `--set a.b=c` on top, defaults below; the resolved one is written into the run and into the
header of every model.
"""

from sfumato.recipe.data import Augment, Augmentation, Data, Labels, Modality, NonLeaking, Pairs
from sfumato.recipe.epochs import in_images
from sfumato.recipe.load import DEFAULTS, load_recipe, merge, parse_recipe, read_recipe
from sfumato.recipe.network import (
    DiTNetwork,
    ForeignNetwork,
    Levels,
    MagnitudeNetwork,
    MaskHeadNetwork,
    OwnNetwork,
    PretrainedNetwork,
    ScoreNetwork,
    SwinNetwork,
    ToldSteps,
    UNetNetwork,
    Widths,
)
from sfumato.recipe.part import TaskKind
from sfumato.recipe.process import (
    CategoricalProcess,
    EDMProcess,
    GaussianProcess,
    NoProcess,
    SDDProcess,
    VEProcess,
    VPProcess,
)
from sfumato.recipe.recipe import Recipe
from sfumato.recipe.sample import GridName, Sample, SamplePath, SamplerName
from sfumato.recipe.track import Track, public_words
from sfumato.recipe.train import LENGTHS, GenerateMetric, SegmentMetric

__all__ = [
    "DEFAULTS",
    "LENGTHS",
    "Augment",
    "Augmentation",
    "CategoricalProcess",
    "Data",
    "DiTNetwork",
    "EDMProcess",
    "ForeignNetwork",
    "GaussianProcess",
    "GenerateMetric",
    "GridName",
    "Labels",
    "Levels",
    "MagnitudeNetwork",
    "MaskHeadNetwork",
    "Modality",
    "NoProcess",
    "NonLeaking",
    "OwnNetwork",
    "Pairs",
    "PretrainedNetwork",
    "Recipe",
    "SDDProcess",
    "Sample",
    "SamplePath",
    "SamplerName",
    "ScoreNetwork",
    "SegmentMetric",
    "SwinNetwork",
    "TaskKind",
    "ToldSteps",
    "Track",
    "UNetNetwork",
    "VEProcess",
    "VPProcess",
    "Widths",
    "in_images",
    "load_recipe",
    "merge",
    "parse_recipe",
    "public_words",
    "read_recipe",
]
