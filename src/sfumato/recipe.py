"""A recipe says everything about a run; it is plain data and imports no torch.

A recipe is a YAML file, `--set a.b=c` on top, defaults below; the resolved one is written into the run and into the
header of every model. A wrong key is refused with the nearest right one, a wrong value with its path and bounds.
"""

import difflib
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from sfumato.errors import UsageError

MAX_RECIPE_BYTES = 1_000_000

TAGS = {
    "gaussian",
    "vp",
    "ve",
    "edm",
    "sdd",
    "categorical",
    "none",
    "unet",
    "diffusers",
    "word",
    "ranges",
    "non_leaking",
}
"""Names of the forms of a section; no key has one of them."""


def _count(value: object) -> object:
    """500, "500", "20k" and "1.5M" are counts."""
    if isinstance(value, str) and value[-1:] in {"k", "M"}:
        try:
            return int(float(value[:-1]) * {"k": 1_000, "M": 1_000_000}[value[-1]])
        except ValueError:
            return value
    return value


Count = Annotated[int, BeforeValidator(_count), Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Auto = Literal["auto"]
TaskKind = Literal["segment", "generate"]
SamplerName = Literal[
    "ancestral",
    "ddim",
    "euler",
    "euler_ancestral",
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "dpm_fast",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "unipc",
    "dpm_multistep",
    "deis",
    "lms",
]
Modality = Literal["auto", "ct", "mr", "xray", "ultrasound", "photo", "microscopy", "unknown"]
GridName = Literal[
    "uniform", "trailing", "leading", "linspace", "karras", "polyexponential", "log_snr", "critical", "geometric"
]
DivergenceName = Literal[
    "klub", "elbo", "hkd", "klub_marginal", "klub_conditional", "elbo_marginal", "elbo_conditional"
]


class Part(BaseModel):
    """A section of a recipe: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Columns(Part):
    """Names of a table's columns, where they cannot be told from their names."""

    image: str | None = Field(None, description="file or id of the image")
    mask: str | None = Field(None, description="file of the mask")
    label: str | None = Field(None, description="class")
    patient: str | None = Field(None, description="whose image it is; a patient is never in two splits")
    split: str | None = Field(None, description="train, validation or test")


class Source(Part):
    """Where the files of a source leave a choice."""

    masks: str | None = Field(None, description="folder of the masks, if they are not below the source")
    table: str | None = Field(None, description="CSV or TSV file about the images of a folder")
    columns: Columns = Columns()
    drop_unpaired: bool = Field(False, description="leave out images without mask and masks without image")
    group_by: str | None = Field(
        None, description="column, or regular expression with one group on the id, that keeps cases in one split"
    )
    class_level: int = Field(0, ge=0, description="which folder names the class, from 1; 0: the first that differs")
    slice_axis: Literal["auto", "axial", "coronal", "sagittal"] = Field(
        "auto", description="along which volumes are cut; auto: across the thickest slices"
    )
    component: Annotated[int, Field(ge=0)] | None = Field(
        None, description="which component of volumes with several is the image"
    )


class Split(Part):
    """Shares of the cases (whole patients); a split that the source has already is kept."""

    train: Fraction = Field(0.7, description="share of the cases to train on")
    validation: Fraction = Field(0.15, description="share to choose the best checkpoint by")
    test: Fraction = Field(0.15, description="share that training never sees")
    seed: int = Field(0, description="decides which case goes where")
    folds: Annotated[int, Field(ge=0)] = Field(
        0, description="divide what is not for testing into folds for cross-validation"
    )
    fold: Annotated[int, Field(ge=0)] = Field(0, description="the fold to validate on")


class Augmentation(Part):
    """A preset with some numbers of your own, each drawn between its negative and itself unless said otherwise."""

    base: Literal["none", "light", "medium", "heavy"] = Field("none", description="preset of what is left out below")
    mirror: Fraction | None = Field(None, description="probability of a left-right flip")
    upend: Fraction | None = Field(None, description="probability of an up-down flip")
    angle: Annotated[float, Field(ge=0, le=180)] | None = Field(None, description="rotation in degrees")
    scale: Fraction | None = Field(None, description="logarithm of the magnification")
    aspect: Fraction | None = Field(None, description="logarithm of the ratio of width to height")
    shift: Annotated[float, Field(ge=0, le=0.5)] | None = Field(None, description="shift as a share of the side")
    crop: Annotated[float, Field(ge=0, le=0.9)] | None = Field(
        None, description="largest share of the side that is cut away, from 0; the rest is enlarged"
    )
    elastic: Annotated[float, Field(ge=0, le=64)] | None = Field(
        None, description="elastic displacement in pixels; folds when above an eighth of the side"
    )
    brightness: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="added to the image, which is in [-1, 1]"
    )
    contrast: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="logarithm of the contrast factor")
    gamma: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="logarithm of the exponent")
    blur: Annotated[float, Field(ge=0, le=8)] | None = Field(
        None, description="largest standard deviation of the blur in pixels, from 0, for half of the images"
    )
    noise: Fraction | None = Field(
        None, description="largest standard deviation of the noise, from 0, for half of the images in [-1, 1]"
    )


class NonLeaking(Part):
    """Augmentation of generators that does not appear in what they draw: multiples of a probability, and how far."""

    kind: Literal["non_leaking"] = "non_leaking"
    probability: Fraction | None = Field(None, description="of an operation with multiplier 1; 0.12 if left out")
    mirror: NonNegative | None = Field(None, description="multiplier of left-right flips; 1e8: half of the images; 0")
    upend: NonNegative | None = Field(None, description="multiplier of up-down flips; 0")
    scale: NonNegative | None = Field(None, description="multiplier of magnification; 1")
    angle: NonNegative | None = Field(None, description="multiplier of rotation; 1")
    stretch: NonNegative | None = Field(None, description="multiplier of stretching in one direction; 1")
    shift: NonNegative | None = Field(None, description="multiplier of shifts; 1")
    turn: NonNegative | None = Field(None, description="multiplier of quarter turns, for square images; 0")
    whole_shift: NonNegative | None = Field(None, description="multiplier of shifts by whole pixels; 0")
    brightness: NonNegative | None = Field(None, description="multiplier of brightness; 0")
    contrast: NonNegative | None = Field(None, description="multiplier of contrast; 0")
    inversion: NonNegative | None = Field(None, description="multiplier of black for white; 0")
    hue: NonNegative | None = Field(None, description="multiplier of hue; 0")
    saturation: NonNegative | None = Field(None, description="multiplier of saturation; 0")
    largest_angle: Annotated[float, Field(ge=0, le=180)] | None = Field(None, description="rotation in degrees; 15")


AugmentWord = Literal["auto", "none", "light", "medium", "heavy", "non_leaking"]


def _augment_form(value: object) -> str:
    """Which form of `data.augment` was written: a word, ranges, or the non-leaking pipe."""
    if isinstance(value, Mapping):
        return "non_leaking" if {"kind", "probability"} & value.keys() else "ranges"
    if isinstance(value, Augmentation):
        return "ranges"
    return "non_leaking" if isinstance(value, NonLeaking) else "word"


Augment = Annotated[
    Annotated[AugmentWord, Tag("word")]
    | Annotated[Augmentation, Tag("ranges")]
    | Annotated[NonLeaking, Tag("non_leaking")],
    Discriminator(_augment_form),
]


class Data(Part):
    """How images reach the network."""

    source: Source = Source()
    size: tuple[Count, Count] | Auto = Field("auto", description="height and width in pixels; auto: the images' own")
    keep_aspect: bool = Field(False, description="pad to the size instead of stretching")
    crop: bool = Field(False, description="cut the centre out in the shape of the size, instead of stretching")
    spacing: Positive | None = Field(
        None, description="resample to so many millimetres per pixel, then pad or cut to the size"
    )
    modality: Modality = Field("auto", description="what made the images; auto: what the files say, or a guess")
    intensity: Literal["auto", "unit", "window", "percentile", "zscore"] = Field(
        "auto",
        description="which stored numbers become black and white: the full range, the same numbers for all images, "
        "percentiles of each, or mean and deviation of each",
    )
    window: tuple[float, float] | None = Field(
        None, description="black and white in stored numbers, such as Hounsfield units; for intensity window"
    )
    keep_empty: Fraction = Field(1.0, description="share of the volumes' slices without foreground that are kept")
    augment: Augment = Field(
        "auto",
        description="how much images are varied: a word, ranges of your own, or {kind: non_leaking, ...}; "
        "auto: what suits the modality",
    )
    split: Split = Split()

    @model_validator(mode="after")
    def _window_opens(self) -> "Data":
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError(f"window {self.window[0]:g} to {self.window[1]:g} is empty: black must lie below white")
        return self


class GaussianProcess(Part):
    """DDPM and relatives: discrete variance-preserving schedules."""

    kind: Literal["gaussian"] = "gaussian"
    schedule: Literal["linear", "cosine", "scaled_linear", "sigmoid"] = Field(
        "cosine", description="of the betas (Ho 2020; Nichol & Dhariwal 2021; Rombach 2022; Xu 2022)"
    )
    timesteps: Annotated[Count, Field(ge=2)] = Field(1000, description="length T of the table of betas")
    zero_terminal_snr: bool = Field(
        False, description="end the table with pure noise (Lin 2024); for prediction v, x0 and logits"
    )
    reference_side: Count | None = Field(
        None, description="side in pixels that suits the schedule; larger images get more noise (Hoogeboom 2023)"
    )
    prediction: Literal["eps", "x0", "v", "logits"] = Field(
        "eps", description="what the network predicts; logits for masks"
    )
    critical_log_snr: float | Auto | None = Field(
        None, description="centre of training noise and of the critical grid; auto measures it on the masks"
    )
    min_snr: Positive | None = Field(None, description="gamma of the min-SNR loss weight")
    variance: Literal["small", "large", "learned"] = Field(
        "small",
        description="of the ancestral step: with x0 known, that of the forward step, or learned in between "
        "(Nichol & Dhariwal 2021), for generate",
    )

    @model_validator(mode="after")
    def _settings_apply(self) -> "GaussianProcess":
        if self.zero_terminal_snr and self.prediction == "eps":
            raise ValueError("with zero_terminal_snr noise says nothing about the data at the end; predict v or x0")
        if self.reference_side is not None and self.critical_log_snr is not None:
            raise ValueError("critical_log_snr already follows the size of the images; leave reference_side out")
        if self.prediction == "logits" and (self.min_snr is not None or self.variance == "learned"):
            raise ValueError("logits are trained by cross-entropy: min_snr and a learned variance need squared errors")
        return self


class VPProcess(Part):
    """Variance preserving in continuous time, the network predicts noise (Song et al. 2021)."""

    kind: Literal["vp"] = "vp"
    beta_d: Positive = Field(19.9, description="slope of the noise rate")
    beta_min: Positive = Field(0.1, description="noise rate at the data")
    min_snr: Positive | None = Field(None, description="gamma of the min-SNR loss weight")


class VEProcess(Part):
    """Variance exploding, the network predicts the score (Song et al. 2021)."""

    kind: Literal["ve"] = "ve"
    sigma_min: Positive = Field(0.02, description="least noise of training and sampling")
    sigma_max: Positive = Field(100.0, description="most noise of training and sampling")
    min_snr: Positive | None = Field(None, description="gamma of the min-SNR loss weight")

    @model_validator(mode="after")
    def _range_opens(self) -> "VEProcess":
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min:g} must lie below sigma_max {self.sigma_max:g}")
        return self


class EDMProcess(Part):
    """EDM (Karras et al. 2022)."""

    kind: Literal["edm"] = "edm"
    prediction: Literal["F", "logits"] = Field("F", description="what the network predicts; logits for masks")
    sigma_data: Positive | Auto = Field("auto", description="standard deviation of the data; auto measures it")
    log_sigma_mean: float = Field(-0.8, description="P_mean; EDM2's for pixels, so that classes are learned early")
    log_sigma_std: Positive = Field(1.6, description="P_std")
    critical_log_snr: float | Auto | None = Field(None, description="replaces the log-normal law by a centred one")


class CategoricalProcess(Part):
    """Noise that replaces classes, for masks (Hoogeboom et al. 2021); Bernoulli noise where there are two."""

    kind: Literal["categorical"] = "categorical"
    schedule: Literal["linear", "cosine"] = Field("cosine", description="of the betas; alpha is the share that stays")
    timesteps: Annotated[Count, Field(ge=2)] = Field(1000, description="length T of the table of betas")
    critical_log_snr: float | Auto | None = Field(
        "auto", description="centre of training noise and of the critical grid; auto measures it on the masks"
    )
    loss: Literal["cross_entropy", "posterior_kl"] = Field(
        "cross_entropy", description="of the clean mask, or the divergence of the reverse step (Austin 2021)"
    )


class SDDProcess(Part):
    """Smoothed Dirichlet diffusion: Beta noise that multiplies, for images; Dirichlet noise for masks."""

    kind: Literal["sdd"] = "sdd"
    loss: Literal["auto", "cross_entropy"] | DivergenceName = Field(
        "auto", description="what is minimised; auto: cross_entropy for masks, klub for images"
    )
    eta: Positive | Auto = Field(
        "auto", description="concentration, less is noisier; auto: 30 for masks, 10000 for images"
    )
    shift: Positive | Auto = Field(
        "auto", description="share that black or 'not this class' gets; auto: 0.09, else 0.6"
    )
    scale: Positive | Auto = Field(
        "auto", description="what white or 'this class' gets beside it; auto: 0.9, else 0.39"
    )
    sigmoid_start: float = Field(10.0, description="logit of the signal at the data")
    sigmoid_end: float | Auto = Field(
        "auto", description="logit of the signal at noise; auto: nothing of a mask is left, else -13"
    )
    sigmoid_power: Positive = Field(1.0, description="of the time between them")
    skip: Literal["unit", "log_odds"] = Field(
        "unit", description="what the network's answer is added to: its input, or a pixel's exact log-odds (masks)"
    )
    smoothing: Literal["none", "reference"] = Field("none", description="across channels, as published (images)")
    classes: Count | Auto = Field("auto", description="of the masks, with the background; auto: those of the data")
    intensities: tuple[Annotated[float, Field(ge=-1, le=1)], ...] | Auto = Field(
        "auto", description="mean intensities to start images from; auto: quantiles of those of the training images"
    )
    critical_log_snr: float | Auto | None = Field(
        None, description="centre of the critical grid; auto measures it on the masks"
    )


class NoProcess(Part):
    """The deterministic twin: the same network without the noisy state."""

    kind: Literal["none"] = "none"
    prediction: Literal["logits", "x0"] = Field("logits", description="what the network predicts; logits for masks")


class Widths(Part):
    """The shape of a U-Net; auto fits it to the size of the images and the device."""

    channels: Count | Auto = Field("auto", description="channels at full resolution")
    multipliers: tuple[Count, ...] | Auto = Field("auto", description="of the channels, one for each resolution")
    blocks: Count | Auto = Field("auto", description="residual blocks at each resolution")
    attention: tuple[Count, ...] = Field((8,), description="side lengths in pixels at which attention is used")


class UNetNetwork(Widths):
    """Our U-Net."""

    kind: Literal["unet"] = "unet"
    dropout: Fraction = Field(0.0, description="share of activations dropped inside residual blocks")


class ForeignNetwork(Widths):
    """A U-Net of diffusers or MONAI behind our call."""

    kind: Literal["diffusers", "monai"]


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
    warmup: Annotated[int, BeforeValidator(_count), Field(ge=0)] = Field(100, description="steps of linear warm-up")
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


class SampleChurn(Part):
    """Noise added before each step of euler, heun and dpm_2 (Karras et al. 2022, alg. 2)."""

    amount: NonNegative = Field(0.0, description="S_churn, spread over the steps; 0: none")
    low: NonNegative = Field(0.0, description="S_min, noise-to-signal ratio below which there is none")
    high: Positive | None = Field(None, description="S_max, ratio above which there is none; null: no limit")
    scale: Positive = Field(1.0, description="S_noise, standard deviation of what is added")

    @model_validator(mode="after")
    def _has_amount(self) -> "SampleChurn":
        if self.amount == 0 and (self.low, self.high, self.scale) != (0, None, 1):
            raise ValueError("churn without an amount does nothing")
        return self


class SamplePath(Part):
    """What euler and heun take straight steps in (Karras et al. 2022, table 1); as it is, EDM's."""

    schedule: Literal["linear", "ve", "vp"] = Field("linear", description="noise level over the solver's time")
    scaling: Literal["none", "vp"] = Field("none", description="scale of the state; vp keeps its variance")


class Sample(Part):
    """How results are drawn."""

    sampler: SamplerName = Field("dpmpp_2m", description="how the process is reversed")
    steps: Count = Field(18, description="steps of the sampler")
    grid: GridName = Field("log_snr", description="where its steps lie; critical is for masks")
    start: Literal["noise", "twin"] = Field(
        "noise", description="twin: the deterministic twin's mask, corrupted to the critical log-SNR (segment)"
    )
    guidance: NonNegative = Field(1.0, description="1 is none")
    guidance_interval: tuple[NonNegative, Positive] | None = Field(
        None, description="guide only at noise-to-signal ratios above the first and up to the second"
    )
    samples: Count = Field(1, description="members of an ensemble (segment)")
    eta: Fraction | None = Field(
        None, description="share of the posterior's noise in ddim, ancestral and SDE samplers; null: their own"
    )
    order: Annotated[int, Field(ge=1, le=4)] | None = Field(
        None, description="estimates that a step of unipc, dpm_multistep, deis or lms combines; null: their own"
    )
    alpha: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="second call of heun, as a share of the step: 1 Heun (null), 0.5 midpoint, 2/3 Ralston"
    )
    churn: SampleChurn = SampleChurn()
    path: SamplePath = SamplePath()

    @model_validator(mode="after")
    def _interval_opens(self) -> "Sample":
        if self.guidance_interval is not None and self.guidance_interval[0] >= self.guidance_interval[1]:
            low, high = self.guidance_interval
            raise ValueError(f"guidance_interval {low:g} to {high:g} is empty: the first must lie below the second")
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


class Recipe(Part):
    """Everything about a run."""

    task: TaskKind = Field(description="segment or generate")
    data: Data = Data()
    process: Annotated[
        GaussianProcess | VPProcess | VEProcess | EDMProcess | SDDProcess | CategoricalProcess | NoProcess,
        Field(discriminator="kind"),
    ]
    network: Annotated[UNetNetwork | ForeignNetwork, Field(discriminator="kind")] = UNetNetwork()
    loss: Loss = Loss()
    train: Train = Train()
    sample: Sample = Sample()
    validate_: Validate = Field(Validate(), alias="validate")
    checkpoint: Checkpoint = Checkpoint()

    @model_validator(mode="after")
    def _masks_are_for_segment(self) -> "Recipe":
        if self.task == "generate" and isinstance(self.process, CategoricalProcess):
            raise ValueError("process.kind=categorical is for masks: images have no classes; take edm or another kind")
        if self.task == "generate" and getattr(self.process, "critical_log_snr", None) == "auto":
            raise ValueError("process.critical_log_snr=auto is measured on masks; for generate give a number or none")
        return self

    @model_validator(mode="after")
    def _shares_apply(self) -> "Recipe":
        if isinstance(self.process, SDDProcess):
            other = {"segment": ("smoothing", "intensities"), "generate": ("skip", "classes")}[self.task]
            defaults = SDDProcess()
            if given := [name for name in other if getattr(self.process, name) != getattr(defaults, name)]:
                raise ValueError(f"process.{' and process.'.join(given)} would do nothing for task {self.task}")
        return self

    def to_yaml(self) -> str:
        """The recipe as YAML, every field written."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


DEFAULTS: Mapping[TaskKind, Mapping[str, Any]] = {
    "segment": {
        "task": "segment",
        "process": {"kind": "gaussian", "schedule": "cosine", "prediction": "logits", "critical_log_snr": "auto"},
        "network": {"kind": "unet"},
        "loss": {"process": 1.0, "dice": 1.0},
        "sample": {"sampler": "ddim", "steps": 4, "grid": "critical", "samples": 2},  # 8 network calls, see RESULTS.md
    },
    "generate": {
        "task": "generate",
        "process": {"kind": "edm"},
        "network": {"kind": "unet"},
        "sample": {"sampler": "dpmpp_2m", "steps": 18, "grid": "log_snr"},
    },
}


PROCESS_DEFAULTS: Mapping[tuple[TaskKind, str], Mapping[str, Any]] = {
    ("segment", "categorical"): {"sample": {"sampler": "ancestral"}},
    ("segment", "sdd"): {
        "process": {"kind": "sdd", "critical_log_snr": "auto"},
        "sample": {"sampler": "ancestral", "grid": "geometric"},
    },
    ("generate", "sdd"): {"sample": {"sampler": "ancestral", "grid": "geometric"}},
}
"""What a kind of process changes in the defaults of a task."""


def load_recipe(task: TaskKind, file: Path | None = None, *, settings: Sequence[str] = ()) -> Recipe:
    """The defaults of a task, a recipe file over them, `a.b=c` settings over both.

    Raises:
        UsageError: unreadable file, unknown key (the nearest one is named), wrong value (path and bounds are named).
    """
    layers = [_parse_setting(setting) for setting in settings]
    if file is not None:
        layers.insert(0, _read_yaml(file))
    raw = reduce(merge, layers, DEFAULTS[task])
    if (key := (task, _process_kind(raw))) in PROCESS_DEFAULTS:
        raw = reduce(merge, layers, merge(DEFAULTS[task], PROCESS_DEFAULTS[key]))
    return parse_recipe(raw, origin="the recipe" if file is None else str(file))


def _process_kind(raw: Mapping[str, Any]) -> str:
    process = raw.get("process")
    return str(process.get("kind")) if isinstance(process, Mapping) else ""


def parse_recipe(raw: Mapping[str, Any], *, origin: str) -> Recipe:
    """A checked recipe from plain data; `origin` is named in errors."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise _explained(error, origin) from None


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`; a section of another kind replaces it whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        same_kind = (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind")
        )
        merged[key] = merge(old, value) if same_kind and isinstance(old, Mapping) else value
    return merged


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_RECIPE_BYTES:
            raise UsageError(f"{file} is larger than 1 MB", expected="a recipe, a few lines of YAML")
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the recipe {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not YAML: {error}") from error
    if not isinstance(raw, Mapping):
        raise UsageError(f"{file} holds no sections", expected="YAML like 'train: {steps: 2000}'")
    return dict(raw)


def _parse_setting(setting: str) -> dict[str, Any]:
    path, equals, value = setting.partition("=")
    if not equals or not path:
        raise UsageError(f"--set {setting} is not of the form a.b=c", remedy="for example --set train.batch=8")
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {setting}: the value is not YAML: {error}") from error
    for key in reversed(path.split(".")):
        nested = {key: nested}
    assert isinstance(nested, dict)
    return nested


def _explained(error: ValidationError, origin: str) -> UsageError:
    """All findings of pydantic, each with its path; unknown keys with the nearest right one."""
    findings = []
    for finding in error.errors():
        # pydantic puts the tag of a discriminated union into the path; the user did not write it there.
        path = [str(part) for part in finding["loc"] if part not in TAGS]
        if finding["type"] == "extra_forbidden":
            findings.append(f"unknown key {'.'.join(path)}{_nearest(path[-1])}")
        elif path:
            findings.append(f"{'.'.join(path)}: {finding['msg']} (found {finding['input']!r})")
        else:
            findings.append(finding["msg"])
    return UsageError(
        f"{origin} has {len(findings)} mistake{'s' * (len(findings) > 1)}:\n    " + "\n    ".join(findings),
        remedy="see docs/recipe.md for every field",
    )


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, sorted({*_keys(Recipe)} - {key}), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _keys(model: type[BaseModel]) -> list[str]:
    """Every key of a model and of the models inside it."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(field.alias or name)
        forms = get_args(field.annotation)
        for kind in (field.annotation, *forms, *(inner for form in forms for inner in get_args(form))):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys.extend(_keys(kind))
    return keys
