"""The diffusion processes, a tagged union by `kind`."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from sfumato.recipe.part import Auto, Count, Part, Positive, count

Timesteps = Annotated[int, Field(ge=2, le=100_000), BeforeValidator(count)]
MaskClasses = Annotated[int, Field(gt=0, le=255), BeforeValidator(count)]
Betas = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(max_length=100_000)]
Intensities = Annotated[tuple[Annotated[float, Field(ge=-1, le=1)], ...], Field(max_length=4096)]
DivergenceName = Literal[
    "klub", "elbo", "hkd", "klub_marginal", "klub_conditional", "elbo_marginal", "elbo_conditional"
]


class GaussianProcess(Part):
    """DDPM and relatives: discrete variance-preserving schedules."""

    kind: Literal["gaussian"] = "gaussian"
    schedule: Literal["linear", "cosine", "scaled_linear", "sigmoid", "table"] = Field(
        "cosine", description="of the betas (Ho 2020; Nichol & Dhariwal 2021; Rombach 2022; Xu 2022); table: as given"
    )
    timesteps: Timesteps = Field(1000, description="length T of the table of betas")
    betas: Betas | None = Field(
        None,
        description="the first and the last of a linear, scaled_linear or sigmoid schedule (null: 0.0001 and 0.02 "
        "times 1000 / T), or all T of a table",
    )
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
    def _betas_fit(self) -> "GaussianProcess":
        wanted = {"table": self.timesteps, "cosine": 0}.get(self.schedule, 2)
        if self.betas is None and self.schedule == "table":
            raise ValueError("schedule table needs betas, one for each of the timesteps")
        if self.betas is not None and len(self.betas) != wanted:
            raise ValueError(f"schedule {self.schedule} takes {wanted or 'no'} betas, {len(self.betas)} are given")
        return self

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
    timesteps: Timesteps = Field(1000, description="length T of the table of betas")
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
    classes: MaskClasses | Auto = Field(
        "auto", description="of the masks, with the background; auto: those of the data"
    )
    intensities: Intensities | Auto = Field(
        "auto", description="mean intensities to start images from; auto: quantiles of those of the training images"
    )
    critical_log_snr: float | Auto | None = Field(
        None, description="centre of the critical grid; auto measures it on the masks"
    )


class FlowProcess(Part):
    """Straight paths from noise to data (Liu et al. 2023, Lipman et al. 2023)."""

    kind: Literal["flow"] = "flow"
    prediction: Literal["v", "x0", "logits"] = Field(
        "v",
        description="what the network predicts: the velocity, noise minus data; the data, their errors weighed as "
        "those of the velocity; logits for masks",
    )
    logit_mean: float | None = Field(
        None, description="training times: mean of ln(t / (1 - t)) (Esser 2024); null: uniform times"
    )
    logit_std: Positive = Field(1.0, description="its standard deviation")
    reference_side: Count | None = Field(
        None, description="side in pixels that suits these times; larger images get more noise (Esser 2024)"
    )
    prior: Literal["normal", "learnt"] = Field(
        "normal", description="what the noise lies around: zero, or the network's answer to the image (amortised)"
    )
    critical_log_snr: float | Auto | None = Field(
        None, description="centre of training noise and of the critical grid; auto measures it on the masks"
    )

    @model_validator(mode="after")
    def _settings_apply(self) -> "FlowProcess":
        if self.logit_mean is None and self.logit_std != 1.0:
            raise ValueError("logit_std would do nothing: without logit_mean times are uniform")
        if self.critical_log_snr is not None and (self.logit_mean is not None or self.reference_side is not None):
            raise ValueError("critical_log_snr decides the times; leave logit_mean and reference_side out")
        return self


class SSNProcess(Part):
    """Normally distributed logits of low rank: whole readings of masks in one call (Monteiro et al. 2020)."""

    kind: Literal["ssn"] = "ssn"
    rank: Annotated[int, Field(ge=0, le=256), BeforeValidator(count)] = Field(
        8, description="factors that move all pixels together; 0 leaves each by itself"
    )
    pairs: Annotated[int, Field(ge=1, le=1024), BeforeValidator(count)] = Field(
        4, description="antithetic pairs of draws by which the likelihood of a mask is estimated in training"
    )
    classes: MaskClasses | Auto = Field(
        "auto", description="of the masks, with the background; auto: those of the data"
    )


class NoProcess(Part):
    """The deterministic twin: the same network without the noisy state."""

    kind: Literal["none"] = "none"
    prediction: Literal["logits", "x0"] = Field("logits", description="what the network predicts; logits for masks")


ProcessSection = Annotated[
    GaussianProcess
    | VPProcess
    | VEProcess
    | EDMProcess
    | FlowProcess
    | SDDProcess
    | CategoricalProcess
    | SSNProcess
    | NoProcess,
    Field(discriminator="kind"),
]
