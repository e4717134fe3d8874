"""A recipe says everything about a run; it is plain data and imports no torch.

A recipe is a YAML file, `--set a.b=c` on top, defaults below; the resolved one is written into the run and into the
header of every model.
"""

from sfumato.recipe.data import NATIVE, Augment, Augmentation, DataSection, LabelKind, Modality, NonLeaking, Pairs
from sfumato.recipe.epochs import in_images
from sfumato.recipe.load import DEFAULTS, LEARNING_RATES, load_recipe, merge, parse_recipe, read_recipe
from sfumato.recipe.network import OwnNetwork, ToldSteps, Widths
from sfumato.recipe.part import TaskKind
from sfumato.recipe.process import CategoricalProcess, GaussianProcess, SDDProcess, SSNProcess
from sfumato.recipe.recipe import MASK_TERMS, PlanPreset, Recipe
from sfumato.recipe.sample import GridName, Sample, SamplePath, SamplerName
from sfumato.recipe.track import Track, public_words
from sfumato.recipe.train import LENGTHS, GenerateMetric, LossWeights, SegmentMetric

__all__ = [
    "DEFAULTS",
    "LEARNING_RATES",
    "LENGTHS",
    "MASK_TERMS",
    "NATIVE",
    "Augment",
    "Augmentation",
    "CategoricalProcess",
    "DataSection",
    "GaussianProcess",
    "GenerateMetric",
    "GridName",
    "LabelKind",
    "LossWeights",
    "Modality",
    "NonLeaking",
    "OwnNetwork",
    "Pairs",
    "PlanPreset",
    "Recipe",
    "SDDProcess",
    "SSNProcess",
    "Sample",
    "SamplePath",
    "SamplerName",
    "SegmentMetric",
    "TaskKind",
    "ToldSteps",
    "Track",
    "Widths",
    "in_images",
    "load_recipe",
    "merge",
    "parse_recipe",
    "public_words",
    "read_recipe",
]
