"""The recipe as a whole, and what its sections say about each other."""

from collections.abc import Callable
from typing import Literal, get_args

import yaml
from pydantic import Field, model_validator

from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.recipe.data import DataSection
from sfumato.recipe.network import ForeignNetwork, NetworkSection, PretrainedNetwork, UNetNetwork
from sfumato.recipe.part import Part, TaskKind
from sfumato.recipe.process import CategoricalProcess, FlowProcess, NoProcess, ProcessSection, SDDProcess, SSNProcess
from sfumato.recipe.sample import Sample
from sfumato.recipe.track import Track
from sfumato.recipe.train import (
    COUNTED,
    CheckpointInterval,
    GenerateMetric,
    LossWeights,
    SegmentMetric,
    Train,
    Validate,
)

PlanPreset = Literal["fast", "auto", "best"]

MASK_TERMS = ("dice", "generalised_dice", "cross_entropy", "focal", "boundary", "hausdorff", "adversarial")
"""Weights of `loss` that need an estimated mask."""


class Recipe(Part):
    """Everything about a run."""

    task: TaskKind = Field(description="segment or generate")
    preset: PlanPreset = Field(
        "auto",
        description="how far the plan goes where nothing is said: fast: images of at most 64 pixels (128 on a GPU), "
        "volumes as planes, 10 minutes; auto: images in their own size where a small one would blur their masks, "
        "30 minutes; best: always in their own size, larger networks, 2 hours",
    )
    data: DataSection = DataSection()
    process: ProcessSection
    network: NetworkSection = UNetNetwork()
    loss: LossWeights = LossWeights()
    train: Train = Train()
    sample: Sample = Sample()
    validate_: Validate = Field(Validate(), alias="validate")
    checkpoint: CheckpointInterval = CheckpointInterval()
    track: Track = Track()

    @model_validator(mode="after")
    def _masks_are_for_segment(self) -> "Recipe":
        if self.task == "generate" and isinstance(self.process, CategoricalProcess):
            raise ValueError("process.kind=categorical is for masks: images have no classes; take edm or another kind")
        if self.task == "generate" and isinstance(self.process, SSNProcess):
            raise ValueError("process.kind=ssn is for masks: what it draws are classes; take edm or another kind")
        if self.task == "generate" and isinstance(self.process, FlowProcess) and self.process.prior == "learnt":
            raise ValueError("process.prior=learnt is for segment: it is learnt of the image")
        if self.task == "generate" and getattr(self.process, "critical_log_snr", None) == "auto":
            raise ValueError("process.critical_log_snr=auto is measured on masks; for generate give a number or none")
        return self

    @model_validator(mode="after")
    def _words_of_data_apply(self) -> "Recipe":
        pairs, process = self.data.pairs, self.process
        if self.data.labels == "none" and self.task != "generate":
            raise ValueError("data.labels=none is for generate: segment is told no class of an image as it is")
        if pairs != "none" and self.task != "generate":
            raise ValueError(f"data.pairs={pairs} is for generate: segment learns masks from images as it is")
        if pairs in ("joint", "mask") and isinstance(process, SDDProcess | NoProcess):
            raise ValueError(f"data.pairs={pairs} with process.kind={process.kind}: take edm or another Gaussian kind")
        if pairs == "joint" and getattr(process, "prediction", None) == "logits":
            raise ValueError("data.pairs=joint: logits are of the classes of masks, and the state holds an image too")
        if pairs == "mask" and self.validate_.metric == "kid":
            raise ValueError("validate.metric=kid compares images, and data.pairs=mask makes none")
        if pairs == "image_from_mask" and self.track.pictures:
            raise ValueError("track.pictures: previews show masks of patients, which are handed to no tracker")
        return self

    @model_validator(mode="after")
    def _jumps_apply(self) -> "Recipe":
        process, sampler = self.process, self.sample.sampler
        if self.train.few_calls is None:
            if SAMPLERS[sampler].jumps:
                raise ValueError(f"sample.sampler={sampler} is for models that were taught so: train.few_calls=2")
            return self
        if self.task != "generate" or not isinstance(process, FlowProcess) or process.prediction != "v":
            raise ValueError("train.few_calls is for generate with process.kind=flow and process.prediction=v")
        if isinstance(self.network, ForeignNetwork | PretrainedNetwork):
            raise ValueError(f"train.few_calls: a network of kind {self.network.kind} cannot be told how far to jump")
        if self.train.self_condition > 0 or self.loss.uncertainty:
            raise ValueError("train.few_calls has a loss of its own: leave self_condition and loss.uncertainty out")
        return self

    @model_validator(mode="after")
    def _bands_apply(self) -> "Recipe":
        if self.data.representation == "pixels":
            return self
        if self.task != "generate" or self.data.pairs != "none":
            what = f"data.pairs={self.data.pairs}" if self.task == "generate" else self.task
            raise ValueError(f"data.representation=haar is of images alone, and not for {what}; take pixels")
        if isinstance(self.process, SDDProcess | NoProcess):
            raise ValueError(
                f"data.representation=haar with process.kind={self.process.kind}: bands have no limits and are no "
                "shares; take edm or another Gaussian kind"
            )
        return self

    @model_validator(mode="after")
    def _shares_apply(self) -> "Recipe":
        if isinstance(self.process, SDDProcess):
            other = {"segment": ("smoothing", "intensities"), "generate": ("skip", "classes")}[self.task]
            defaults = SDDProcess()
            if given := [name for name in other if getattr(self.process, name) != getattr(defaults, name)]:
                raise ValueError(f"process.{' and process.'.join(given)} would do nothing for task {self.task}")
        return self

    @model_validator(mode="after")
    def _terms_apply(self) -> "Recipe":
        weights = {name: getattr(self.loss, name) for name in MASK_TERMS}
        given = [f"loss.{name}" for name, weight in weights.items() if weight > 0]
        if self.task == "generate" and given:
            raise ValueError(f"{' and '.join(given)}: estimates of masks are meant, images have none")
        if self.task == "generate" and self.loss.process != 1:
            raise ValueError("loss.process is the only term of generate; to learn faster, raise train.learning_rate")
        if self.loss.process == 0 and not given:
            raise ValueError("every weight of the loss is 0: nothing would be learned")
        if (
            self.loss.adversarial == 0
            and self.loss.adversarial_learning_rate != LossWeights().adversarial_learning_rate
        ):
            raise ValueError("loss.adversarial_learning_rate would do nothing: loss.adversarial is 0")
        return self

    @model_validator(mode="after")
    def _metric_applies(self) -> "Recipe":
        metric, known = self.validate_.metric, get_args(SegmentMetric if self.task == "segment" else GenerateMetric)
        if metric not in ("auto", *known):
            raise ValueError(f"validate.metric={metric} says nothing about {self.task}; take {' or '.join(known)}")
        if metric == "kid" and self.validate_.images < 2:
            raise ValueError(
                f"validate.metric=kid needs two images or more, validate.images is {self.validate_.images}"
            )
        return self

    @model_validator(mode="after")
    def _patients_stay(self) -> "Recipe":
        if self.task == "segment" and self.track.pictures:
            raise ValueError("track.pictures is for generate: pictures of patients are handed to no tracker")
        return self

    @model_validator(mode="after")
    def _averages_are_tracked(self) -> "Recipe":
        kept = [getattr(self.checkpoint, f"average_every_{unit}") for unit in COUNTED]
        if not self.train.ema_widths and any(kept):
            raise ValueError("checkpoint.average_every_... would do nothing without train.ema_widths=[0.05, 0.1]")
        return self

    def named(self, name: Callable[[str], str | None]) -> "Recipe":
        """The recipe with other words for the paths in it, which are those of the source's masks and table."""
        source = self.data.source
        said = {"masks": source.masks_folder, "table": source.table}
        paths = {key: path for key, path in said.items() if path is not None}
        words = {key: name(path) for key, path in paths.items()}
        data = self.data.model_copy(update={"source": source.model_copy(update=words)})
        return self.model_copy(update={"data": data})

    def to_yaml(self) -> str:
        """The recipe as YAML, every field written."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)
