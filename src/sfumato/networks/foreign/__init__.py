"""Networks and files of other libraries, in our own forms; nothing else in sfumato imports diffusers or MONAI.

The networks take the keywords of `UNet` where they have the same thing, join the conditioning image to the state, know
'no class', and accept any image size. Two differences remain: `level` is the timestep index (a float is allowed), as
these networks expect it, and both have fixed sinusoidal embeddings made for 0 ... 1000.

diffusers and MONAI are imported when a network is built, not before.
"""

from sfumato.networks.foreign.diffusers_unet import DiffusersUNet, diffusers_unet
from sfumato.networks.foreign.monai_unet import MonaiUNet

__all__ = ["DiffusersUNet", "MonaiUNet", "diffusers_unet"]
