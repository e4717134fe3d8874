"""The networks, a tagged union by `kind`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from sfumato.recipe.part import MOST, Auto, Count, Fraction, Part, count

NetworkWidth = Annotated[int, Field(ge=4, le=MOST), BeforeValidator(count)]
Levelwise = Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)]
Sides = Annotated[tuple[Count, ...], Field(max_length=64)]


class Checkpointable(Part):
    """What every network of ours has."""

    gradient_checkpointing: bool = Field(
        False,
        description="compute activations again in the backward pass instead of keeping them: less memory, slower",
    )


class Resolutions(Part):
    """What every network of several resolutions has; auto fits it to the size of the images and the device."""

    channels: Count | Auto = Field("auto", description="channels at full resolution")
    multipliers: Levelwise | Auto = Field("auto", description="of the channels, one for each resolution")
    blocks: Count | Auto = Field("auto", description="residual blocks at each resolution")


class Widths(Resolutions):
    """The shape of a U-Net; auto fits it to the size of the images and the device."""

    attention: Sides | Auto = Field((8,), description="side lengths in pixels at which attention is used")


class UNetNetwork(Widths, Checkpointable):
    """Our U-Net."""

    kind: Literal["unet"] = "unet"
    dropout: Fraction = Field(0.0, description="share of activations dropped inside residual blocks")


class PlannedNetwork(UNetNetwork):
    """Whichever suits the data: amortised for volumes and for what is seen at more than 128 pixels, else our U-Net."""

    kind: Literal["auto"] = "auto"  # type: ignore[assignment] # of the two that it becomes, this has their fields


class ScoreNetwork(Widths, Checkpointable):
    """DDPM++ and NCSN++ (Song et al. 2021) or ADM (Dhariwal & Nichol 2021), as in Karras et al. 2022."""

    kind: Literal["ddpmpp", "ncsnpp", "adm"]
    attention: Sides | Auto = Field("auto", description="side lengths in pixels at which attention is used")
    dropout: Fraction = Field(0.1, description="share of activations dropped inside residual blocks")


class MagnitudeNetwork(Widths, Checkpointable):
    """The magnitude-preserving U-Net of EDM2 (Karras et al. 2024)."""

    kind: Literal["edm2"] = "edm2"
    attention: Sides | Auto = Field("auto", description="side lengths in pixels at which attention is used")
    dropout: Fraction = Field(0.0, description="share of activations dropped inside residual blocks")


class OwnNetwork(Part):
    """A network of your own: a function marked with `@sfumato.network_factory` builds it."""

    kind: Literal["own"] = "own"
    factory: str = Field(max_length=200, description="module:function, installed or named with --allow-code")
    options: dict[str, Any] = Field({}, description="keywords for the function")


class DiTNetwork(Checkpointable):
    """A diffusion transformer (Peebles & Xie 2023)."""

    kind: Literal["dit"] = "dit"
    patch: Count | Auto = Field("auto", description="side in pixels of a patch, which becomes a token")
    width: NetworkWidth | Auto = Field("auto", description="channels of a token")
    depth: Count | Auto = Field("auto", description="number of blocks")
    head_channels: Count = Field(64, description="width of an attention head, at most")


class SwinNetwork(Resolutions, Checkpointable):
    """A U-Net of transformers that look within shifted windows (Liu et al. 2021, Cao et al. 2021)."""

    kind: Literal["swin"] = "swin"
    channels: Count | Auto = Field("auto", description="channels of a token at the first resolution")
    blocks: Count | Auto = Field("auto", description="transformer blocks at each resolution, every second one shifted")
    patch: Count | Auto = Field("auto", description="side in pixels of a patch, which becomes a token")
    window: Count = Field(8, description="side of a window in tokens")
    head_channels: Count = Field(32, description="width of an attention head, at most")


class MaskHeadNetwork(Resolutions, Checkpointable):
    """Masks from queries behind the encoder of our U-Net (Cheng et al. 2022, Mask2Former), for segment with logits."""

    kind: Literal["maskhead"] = "maskhead"
    queries: Count | Auto = Field("auto", description="number of queries, each with a mask and a class")
    width: NetworkWidth | Auto = Field("auto", description="channels of a query")
    layers: Count | Auto = Field("auto", description="transformer layers of the queries")
    head_channels: Count = Field(64, description="width of an attention head, at most")


class AmortisedNetwork(Resolutions, Checkpointable):
    """An encoder that sees an image once, and a small network that draws masks of it at a stride, for segment."""

    kind: Literal["amortised"] = "amortised"
    channels: Count | Auto = Field("auto", description="channels of the encoder at its first resolution")
    multipliers: Levelwise | Auto = Field("auto", description="of the channels, one for each resolution of the encoder")
    blocks: Count | Auto = Field("auto", description="residual blocks at each resolution of the encoder")
    stem: Literal[1, 2, 4] | Auto = Field("auto", description="side in pixels of the encoder's finest features")
    stride: Count | Auto = Field(
        "auto", description="side in pixels of a block that is one pixel of the state: 1, 2, 4, ..."
    )
    draw_channels: NetworkWidth | Auto = Field("auto", description="channels of the network that draws")
    features: bool = Field(
        True,
        description="whether the network that draws sees the encoder's features; false: of the image it knows the "
        "prior alone (process.prior=learnt)",
    )
    draws: Count | Auto = Field(
        "auto", description="masks drawn of each image in a training step; its encoding is made once"
    )


class ForeignNetwork(Widths):
    """A U-Net of diffusers or MONAI behind our call."""

    kind: Literal["diffusers", "monai"]


class PretrainedNetwork(Checkpointable):
    """A `UNet2DModel` of diffusers with all settings of its config.json; channels and classes are those of the data."""

    kind: Literal["pretrained"] = "pretrained"
    config: dict[str, Any] = Field(description="settings of UNet2DModel, as --init and import read them")


ToldSteps = ForeignNetwork | PretrainedNetwork
"""Networks from elsewhere: told the noise level as a step of a table."""

NetworkSection = Annotated[
    UNetNetwork
    | PlannedNetwork
    | ScoreNetwork
    | MagnitudeNetwork
    | DiTNetwork
    | SwinNetwork
    | MaskHeadNetwork
    | AmortisedNetwork
    | ForeignNetwork
    | PretrainedNetwork
    | OwnNetwork,
    Field(discriminator="kind"),
]
