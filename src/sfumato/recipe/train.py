"""How a network is trained: loss terms, optimiser, averages, validation, checkpoints."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sfumato.recipe.part import Auto, BatchSize, Count, Fraction, NonNegative, Part, Positive, Whole

NARROWEST, WIDEST = 0.01, 0.25
"""Widths of averages that a run can tell apart: a narrower one is one step's weights, a wider one their plain mean."""

LENGTHS = ("steps", "images", "epochs", "minutes", "least_steps")
"""Fields of `train` that say together how long a run is."""

SegmentMetric = Literal["dice", "iou"]
GenerateMetric = Literal["loss", "kid"]

AverageWidth = Annotated[float, Field(ge=NARROWEST, le=WIDEST)]
Decay = Annotated[float, Field(ge=0, lt=1)]


COUNTED = ("steps", "images", "epochs")
"""What the distance between two times is counted in, where it is not minutes."""


def _refuse_two(part: Part, *prefixes: str) -> None:
    """Something is due every so many steps, images or epochs, in one of these alone."""
    for prefix in prefixes:
        given = [f"{prefix}{unit}" for unit in COUNTED if getattr(part, f"{prefix}{unit}") is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; give one of them")


def _default(part: type[Part], name: str) -> object:
    return part.model_fields[name].default


class LossWeights(Part):
    """Weights of the loss terms; all but the process's own are of the estimated mask, for segment."""

    process: NonNegative = Field(1.0, description="the process's own loss")
    dice: NonNegative = Field(0.0, description="soft Dice; 0 to 1")
    generalised_dice: NonNegative = Field(
        0.0, description="Dice with classes weighted by 1 / size^2 (Sudre 2017); 0 to 1"
    )
    cross_entropy: NonNegative = Field(
        0.0, description="cross-entropy in nats, where the process's own loss is another one"
    )
    focal: NonNegative = Field(0.0, description="cross-entropy of the pixels not yet right (Lin 2017, gamma 2), nats")
    boundary: NonNegative = Field(
        0.0,
        description="probability times distance to the true border (Kervadec 2019), in image diagonals: -1 to 1; "
        "about 10 beside dice",
    )
    hausdorff: NonNegative = Field(
        0.0,
        description="errors times squared distances to both borders (Karimi 2019), in squared image diagonals: "
        "0 to 2; about 50 beside dice",
    )
    adversarial: NonNegative = Field(
        0.0,
        description="score of a patch discriminator of image and mask (Isola 2017, hinge loss), of order 1; "
        "0.01 to 0.1",
    )
    adversarial_learning_rate: Positive = Field(
        2e-4, description="of the discriminator at the peak; it follows the schedule of learning_rate"
    )
    uncertainty: bool = Field(
        False, description="learn how much each noise level counts (Karras 2024, EDM2), for generate"
    )


class Train(Part):
    """Length, optimiser and averages. The length: steps or images, or minutes, or both."""

    steps: Count | None = Field(None, description="length in optimiser steps; repeatable to the bit without minutes")
    images: Count | None = Field(None, description="length in images seen; repeatable to the bit without minutes")
    epochs: Positive | None = Field(
        None, description="length in walks through the training images; the plan turns it into images"
    )
    minutes: Positive | None = Field(
        None, description="length in minutes spent training; beside another length a ceiling. Follows the clock"
    )
    least_steps: Count | None = Field(
        None, description="floor beside minutes: so many steps are made whatever the clock says"
    )
    batch: BatchSize | Auto = Field(
        "auto", description="global batch, whatever the number of processes; auto: what memory and cases allow"
    )
    accumulate: BatchSize = Field(1, description="pieces a batch is cut into when memory is short; same mathematics")
    optimizer: Literal["adamw", "adam"] = Field(
        "adamw", description="adamw takes weight decay off the weights, adam adds it to the gradient"
    )
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="decay of the optimiser's two moments")
    epsilon: Positive = Field(1e-8, description="added to the root of the second moment")
    learning_rate: Positive | Auto = Field(
        3e-4,
        description="peak of the learning rate; the default is higher for amortised, and where generate trains a unet",
    )
    learning_rates: dict[str, NonNegative] = Field(
        {},
        description="pattern over parameter names -> factor on the learning rate, such as {'encoder.*': 0.1}; 0 "
        "freezes; the first pattern that matches counts",
    )
    warmup: Annotated[Whole, Field(ge=0)] = Field(100, description="steps of linear warm-up")
    schedule: Literal["cosine", "constant", "onecycle", "inverse_sqrt"] = Field(
        "cosine", description="of the learning rate after the warm-up; onecycle has its own and wants warmup=0"
    )
    decay_after: Count | None = Field(
        None, description="of inverse_sqrt: images until which the rate stays at its peak"
    )
    weight_decay: NonNegative = Field(0.0, description="of weights with two or more dimensions")
    clip: Positive = Field(1.0, description="largest norm of the gradient")
    ema_half_life: Count = Field(10_000, description="in images")
    ema_ramp: Positive | None = Field(
        0.05, description="half-life of a young run as a share of the images seen; null: no ramp"
    )
    ema_widths: tuple[AverageWidth, ...] = Field(
        (),
        description="instead of a half-life two widths as shares of the run, such as [0.05, 0.1]: the first is "
        "validated, and sfumato ema makes any other of what both leave in RUN/averages",
    )
    few_calls: Count | None = Field(
        None,
        description="calls that the end of the training teaches the model to draw images in, such as 2: generate, of a "
        "flow (Geng 2025, Zhang 2025); null: none",
    )
    few_calls_after: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5, description="share of the run after which that begins; 0 where a run starts from a flow that was trained"
    )
    drop_label: Fraction = Field(0.1, description="share of labels replaced by 'no class', for guidance")
    recycle: Fraction = Field(
        0.0, description="share of masks replaced by the network's estimate at pure noise before they are corrupted"
    )
    self_condition: Fraction = Field(
        0.0, description="share of items shown the network's last estimate (Chen 2023); above 0 it is shown in sampling"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: what the hardware gains from")
    compile: bool | Auto = Field(
        "auto",
        description="compile the network with torch.compile, which takes minutes; auto: on a GPU, for runs of half an "
        "hour or 10,000 steps",
    )
    tf32: bool = Field(True, description="let a GPU round the factors of float32 products to 10 bits: faster")
    shard: bool = Field(
        False,
        description="share weights, gradients, moments and averages out over the processes (FSDP2), for networks that "
        "one device does not hold",
    )
    bad_steps: Annotated[Whole, Field(ge=0)] = Field(
        10, description="steps whose loss is not finite that are passed over within 1,000 steps; one more ends the run"
    )
    seed: Whole = Field(0, description="of weights, data order and noise")

    @property
    def global_batch(self) -> int:
        """The batch, which the plan has resolved."""
        assert self.batch != "auto", "the plan resolves every auto before objects are built"
        return self.batch

    @model_validator(mode="after")
    def _one_length(self) -> "Train":
        given = [f"train.{name}" for name in ("steps", "images", "epochs") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; give one of them, train.minutes may stand beside")
        if self.least_steps is not None and self.minutes is None:
            raise ValueError("train.least_steps is a floor where the clock ends a run; give train.minutes too")
        if self.steps is not None and (self.least_steps or 0) > self.steps:
            raise ValueError(f"train.least_steps={self.least_steps} is more than train.steps={self.steps}")
        return self

    @model_validator(mode="after")
    def _schedule_is_whole(self) -> "Train":
        if self.schedule == "onecycle" and self.warmup > 0:
            raise ValueError("train.schedule=onecycle begins with a warm-up of its own; give train.warmup=0")
        if (self.schedule == "inverse_sqrt") != (self.decay_after is not None):
            raise ValueError("train.schedule=inverse_sqrt and train.decay_after=IMAGES belong together; give both")
        return self

    @model_validator(mode="after")
    def _one_memory(self) -> "Train":
        if not self.ema_widths:
            return self
        if len(self.ema_widths) != 2 or len(set(self.ema_widths)) != 2:
            raise ValueError("train.ema_widths is a pair of different widths, such as [0.05, 0.1], or empty")
        idle = [name for name in ("ema_half_life", "ema_ramp") if getattr(self, name) != _default(type(self), name)]
        if idle:
            raise ValueError(f"train.{' and train.'.join(idle)} would do nothing beside train.ema_widths")
        return self


class Validate(Part):
    """How often results are drawn on the validation split, and when that ends the run."""

    every_minutes: Positive = Field(2.0, description="time between two validations")
    every_steps: Count | None = Field(None, description="instead of minutes: repeatable")
    every_images: Count | None = Field(None, description="the same, counted in images")
    every_epochs: Positive | None = Field(None, description="the same, counted in walks through the training images")
    cases: BatchSize = Field(32, description="cases of the validation split that are scored")
    images: Annotated[Whole, Field(ge=0, le=1_000_000)] = Field(
        32, description="images that are drawn to be compared with held-out ones (generate); 0: none"
    )
    metric: Literal["auto", SegmentMetric, GenerateMetric] = Field(
        "auto",
        description="what decides which weights are best: dice or iou of drawn masks, loss on held-out images "
        "or kid of drawn ones; auto: dice, loss",
    )
    patience: Count | None = Field(None, description="validations without a better score before stopping")

    @model_validator(mode="after")
    def _one_interval(self) -> "Validate":
        _refuse_two(self, "every_")
        return self


class CheckpointInterval(Part):
    """How often everything is saved."""

    every_minutes: Positive = Field(5.0, description="time between two checkpoints")
    every_steps: Count | None = Field(None, description="instead of minutes: repeatable")
    every_images: Count | None = Field(None, description="the same, counted in images")
    every_epochs: Positive | None = Field(None, description="the same, counted in walks through the training images")
    keep: Whole = Field(2, ge=2, description="checkpoints to keep besides the best")
    keep_every_steps: Count | None = Field(None, description="also save every so many steps, and never throw it away")
    keep_every_images: Count | None = Field(None, description="the same, counted in images")
    keep_every_epochs: Positive | None = Field(
        None, description="the same, counted in walks through the training images"
    )
    snapshot_every_steps: Count | None = Field(
        None, description="keep the averaged weights of every so many steps in RUN/snapshots, for autoguidance"
    )
    snapshot_every_images: Count | None = Field(None, description="the same, counted in images")
    snapshot_every_epochs: Positive | None = Field(
        None, description="the same, counted in walks through the training images"
    )
    average_every_steps: Count | None = Field(
        None, description="with train.ema_widths: keep both averages of every so many steps; by default 24 times a run"
    )
    average_every_images: Count | None = Field(None, description="the same, counted in images")
    average_every_epochs: Positive | None = Field(
        None, description="the same, counted in walks through the training images"
    )

    @model_validator(mode="after")
    def _one_interval(self) -> "CheckpointInterval":
        _refuse_two(self, "every_", "keep_every_", "snapshot_every_", "average_every_")
        return self
