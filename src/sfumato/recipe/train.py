"""How a network is trained: loss terms, optimiser, averages, validation, checkpoints."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from sfumato.recipe.part import Auto, Count, Fraction, NonNegative, Part, Positive, count


class Loss(Part):
    """Weights of the loss terms."""

    process: NonNegative = Field(1.0, description="the process's own loss")
    dice: NonNegative = Field(0.0, description="soft Dice on the estimated mask")
    uncertainty: bool = Field(
        False, description="learn how much each noise level counts (Karras 2024, EDM2), for generate"
    )


class Train(Part):
    """Length, optimiser and averages. Exactly one of steps, images and minutes ends the run."""

    steps: Count | None = Field(None, description="length in optimiser steps; repeatable to the bit")
    images: Count | None = Field(None, description="length in images seen; repeatable to the bit")
    minutes: Positive | None = Field(None, description="length in minutes spent training; follows the clock")
    batch: Count | Auto = Field(
        "auto", description="global batch, whatever the number of processes; auto: what memory and cases allow"
    )
    accumulate: Count = Field(1, description="pieces a batch is cut into when memory is short; same mathematics")
    learning_rate: Positive = Field(3e-4, description="peak of the learning rate (AdamW)")
    warmup: Annotated[int, BeforeValidator(count), Field(ge=0)] = Field(100, description="steps of linear warm-up")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="of the learning rate after the warm-up")
    weight_decay: NonNegative = Field(0.0, description="of AdamW")
    clip: Positive = Field(1.0, description="largest norm of the gradient")
    ema_half_life: Count = Field(10_000, description="in images")
    drop_label: Fraction = Field(0.1, description="share of labels replaced by 'no class', for guidance")
    recycle: Fraction = Field(
        0.0, description="share of masks replaced by the network's estimate at pure noise before they are corrupted"
    )
    self_condition: Fraction = Field(
        0.0, description="share of items shown the network's last estimate (Chen 2023); above 0 it is shown in sampling"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: what the hardware gains from")
    compile: bool = Field(False, description="compile the network with torch.compile; takes minutes")
    seed: int = Field(0, description="of weights, data order and noise")

    @property
    def global_batch(self) -> int:
        """The batch, which the plan has resolved."""
        assert self.batch != "auto", "the plan resolves every auto before objects are built"
        return self.batch

    @model_validator(mode="after")
    def _one_length(self) -> "Train":
        given = [name for name in ("steps", "images", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; give one of steps, images, minutes")
        return self


class Validate(Part):
    """How often results are drawn on the validation split, and when that ends the run."""

    every_minutes: Positive = Field(2.0, description="time between two validations")
    every_steps: Count | None = Field(None, description="instead of minutes: repeatable")
    cases: Count = Field(32, description="cases of the validation split that are scored")
    patience: Count | None = Field(None, description="validations without a better score before stopping")


class Checkpoint(Part):
    """How often everything is saved."""

    every_minutes: Positive = Field(5.0, description="time between two checkpoints")
    every_steps: Count | None = Field(None, description="instead of minutes: repeatable")
    keep: int = Field(2, ge=2, description="checkpoints to keep besides the best")
    snapshot_every_steps: Count | None = Field(
        None, description="keep the averaged weights of every so many steps in RUN/snapshots, for autoguidance"
    )
    snapshot_every_images: Count | None = Field(None, description="the same, counted in images")

    @model_validator(mode="after")
    def _one_interval(self) -> "Checkpoint":
        if self.snapshot_every_steps is not None and self.snapshot_every_images is not None:
            raise ValueError("snapshot_every_steps and snapshot_every_images are given; give one of them")
        return self
