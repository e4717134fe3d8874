"""The networks, a tagged union by `kind`."""

from typing import Annotated, Literal

from pydantic import Field

from sfumato.recipe.part import Auto, Count, Fraction, Part


class Trained(Part):
    """What every network of ours has."""

    gradient_checkpointing: bool = Field(
        False,
        description="compute activations again in the backward pass instead of keeping them: less memory, slower",
    )


class Widths(Part):
    """The shape of a U-Net; auto fits it to the size of the images and the device."""

    channels: Count | Auto = Field("auto", description="channels at full resolution")
    multipliers: tuple[Count, ...] | Auto = Field("auto", description="of the channels, one for each resolution")
    blocks: Count | Auto = Field("auto", description="residual blocks at each resolution")
    attention: tuple[Count, ...] = Field((8,), description="side lengths in pixels at which attention is used")


class UNetNetwork(Widths, Trained):
    """Our U-Net."""

    kind: Literal["unet"] = "unet"
    dropout: Fraction = Field(0.0, description="share of activations dropped inside residual blocks")


class ForeignNetwork(Widths):
    """A U-Net of diffusers or MONAI behind our call."""

    kind: Literal["diffusers", "monai"]


Network = Annotated[UNetNetwork | ForeignNetwork, Field(discriminator="kind")]
