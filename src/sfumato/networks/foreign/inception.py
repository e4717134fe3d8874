"""The Inception-v3 of the Fréchet inception distance, from a file that the user has.

The network of Szegedy et al. (CVPR 2016) with the weights that TensorFlow published on 5 December 2015, as the FID of
Heusel et al. (2017) takes them: 1008 classes, and two differences from the usual network, both in pooling branches:

    Mixed_5b ... 5d, 6b ... 6e, 7b    the mean of 3 x 3 pixels does not count the padding
    Mixed_7c                          the largest of 3 x 3 pixels instead of their mean

Two kinds of file hold these weights: a dictionary of tensors (`pt_inception-2015-12-05-....pth`, with the names of
pytorch-fid), and a TorchScript program (`inception-2015-12-05.pt`), which resizes images itself. No pickle is executed.

Images reach the network in colour (grey is repeated), at 299 x 299 pixels by bilinear interpolation without smoothing,
from -1 to 1, as the published distances were computed. Small images are enlarged: distances of images of 32 and of 256
pixels cannot be compared.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.errors import ModelError, listed
from sfumato.finite import unusable
from sfumato.shortage import raise_shortage
from sfumato.typing import Data

_SIDE, _CLASSES, _FEATURES = 299, 1008, 2048

_Features = Float[Tensor, "n d"]


class _Layer(NamedTuple):
    """A convolution: its name in the file, its width, its kernel (height, width); padded unless it halves the image."""

    name: str
    wide: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


_Branch = Sequence[Sequence[_Layer]]
"""Steps one after another; the layers of one step stand side by side."""

_Pooling = Literal["mean", "largest", "halving"]

ROW, COLUMN, THREE, FIVE = (1, 7), (7, 1), (3, 3), (5, 5)


class Inception(nn.Module):
    """Images (n, 3, 299, 299) in [-1, 1] -> features (n, 2048)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, _Layer("", 32, THREE, stride=2))
        self.Conv2d_2a_3x3 = _Convolution(32, _Layer("", 32, THREE, padded=False))
        self.Conv2d_2b_3x3 = _Convolution(32, _Layer("", 64, THREE))
        self.Conv2d_3b_1x1 = _Convolution(64, _Layer("", 80))
        self.Conv2d_4a_3x3 = _Convolution(80, _Layer("", 192, THREE, padded=False))
        self.Mixed_5b = _Mixed(192, _fine(32), "mean")
        self.Mixed_5c = _Mixed(256, _fine(64), "mean")
        self.Mixed_5d = _Mixed(288, _fine(64), "mean")
        self.Mixed_6a = _Mixed(288, _FINE_TO_MIDDLE, "halving")
        self.Mixed_6b = _Mixed(768, _middle(128), "mean")
        self.Mixed_6c = _Mixed(768, _middle(160), "mean")
        self.Mixed_6d = _Mixed(768, _middle(160), "mean")
        self.Mixed_6e = _Mixed(768, _middle(192), "mean")
        self.Mixed_7a = _Mixed(768, _MIDDLE_TO_COARSE, "halving")
        self.Mixed_7b = _Mixed(1280, _COARSE, "mean")
        self.Mixed_7c = _Mixed(2048, _COARSE, "largest")
        self.fc = nn.Linear(_FEATURES, _CLASSES)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> _Features:
        """The features before the last matrix."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(functional.max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        features: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
        return features


class InceptionFile(NamedTuple):
    """Inception of a dictionary of tensors.

    Attributes:
        network: with its weights, in evaluation mode.
        file: where they are from.
    """

    network: Inception
    file: Path
    preprocessing: str = "grey repeated, 299 x 299 bilinear without smoothing, -1 to 1"

    def features(self, images: Data) -> _Features:
        """The 2048 features of images (n, 1 or 3, h, w) in [-1, 1]."""
        large = functional.interpolate(in_colour(images), (_SIDE, _SIDE), mode="bilinear", align_corners=False)
        features: Tensor = self.network(large)
        return features

    def probabilities(self, features: _Features) -> Float[Tensor, "n classes"]:
        """Of the 1008 classes, without the bias of the last layer, as the inception score takes them."""
        return (features @ self.network.fc.weight.T).softmax(1)


class InceptionProgram(NamedTuple):
    """Inception of a TorchScript program that is given colour from 0 to 255 and resizes images itself."""

    program: torch.jit.ScriptModule
    file: Path
    preprocessing: str = "grey repeated, 0 to 255 in whole numbers; resized to 299 x 299 by the program"

    def features(self, images: Data) -> _Features:
        """The 2048 features of images (n, 1 or 3, h, w) in [-1, 1]."""
        bytes_ = (in_colour(images) * 127.5 + 128).clamp(0, 255).to(torch.uint8)
        features: Tensor = self.program(bytes_, return_features=True)
        return features.flatten(1).float()


def load_inception(file: str, *, device: str = "cpu") -> InceptionFile | InceptionProgram:
    """The network of a file, ready for use.

    Raises:
        ModelError: there is no such file, or it is of neither kind.
    """
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"{path} is no file", expected="a file of Inception weights", remedy=_REMEDY)
    program = _program(path, device)
    if program is not None:
        return InceptionProgram(program, path)
    network = Inception()
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(tensors)
    except Exception as error:  # torch raises many kinds
        raise_shortage(error, reading=path)
        found = " ".join(str(error).split())[:300]
        raise ModelError(f"{path} holds other weights: {found}", expected=_EXPECTED, remedy=_REMEDY) from error
    refuse_broken(tensors, network, str(path))
    return InceptionFile(network.eval().requires_grad_(requires_grad=False).to(device), path)


def refuse_broken(tensors: Mapping[str, Tensor], network: nn.Module, source: str) -> None:
    """Refuse weights of a network that give no features.

    Raises:
        ModelError: some are NaN, infinite, or stored as whole numbers.
    """
    if broken := list(unusable(tensors, network.state_dict())):
        raise ModelError(f"{source}: {len(broken)} tensors are no weights\n{listed(broken)}", expected="finite numbers")


def in_colour(images: Data) -> Float[Tensor, "n 3 h w"]:
    """Grey images with their channel repeated; colour as it is.

    Raises:
        ModelError: images of another number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise ModelError(f"images of {images.shape[1]} channels", expected="grey or colour, as it learned")
    return images.expand(-1, 3, -1, -1)


def _program(path: Path, device: str) -> torch.jit.ScriptModule | None:
    try:
        program: torch.jit.ScriptModule = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise_shortage(error, reading=path)
        return None
    return program.eval()


_EXPECTED = "pt_inception-2015-12-05-....pth of pytorch-fid, or the TorchScript file inception-2015-12-05.pt"
_REMEDY = "download it once on a machine with a network, and name it: --features inception:FILE"


class _Convolution(nn.Module):
    """Convolution, normalisation with the statistics of the training set, rectifier."""

    def __init__(self, channels: int, layer: _Layer) -> None:
        super().__init__()
        height, width = layer.kernel
        padding = (height // 2, width // 2) if layer.padded and layer.stride == 1 else (0, 0)
        self.conv = nn.Conv2d(channels, layer.wide, layer.kernel, layer.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(layer.wide, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches side by side; the last one, which may have no layers, is given the pooled image."""

    def __init__(self, channels: int, branches: Sequence[_Branch], pooling: _Pooling) -> None:
        super().__init__()
        self.branches, self.pooling = branches, pooling
        for branch in branches:
            inputs = channels
            for step in branch:
                for layer in step:
                    self.add_module(layer.name, _Convolution(inputs, layer))
                inputs = sum(layer.wide for layer in step)

    def forward(self, x: Tensor) -> Tensor:
        inputs = [x] * (len(self.branches) - 1) + [self._pooled(x)]
        return torch.cat([self._through(branch, each) for branch, each in zip(self.branches, inputs, strict=True)], 1)

    def _through(self, branch: _Branch, x: Tensor) -> Tensor:
        for step in branch:
            x = torch.cat([self.get_submodule(layer.name)(x) for layer in step], 1)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pooling == "mean":
            return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return functional.max_pool2d(x, 3, 2) if self.pooling == "halving" else functional.max_pool2d(x, 3, 1, 1)


def _chain(name: str, *layers: tuple[int, tuple[int, int]], halve: bool = False) -> _Branch:
    """Layers `name_1`, `name_2` ... of these widths and kernels; with `halve` the last one halves the image."""
    last = len(layers)
    return [
        [_Layer(f"{name}_{place}", wide, kernel, stride=2 if halve and place == last else 1)]
        for place, (wide, kernel) in enumerate(layers, start=1)
    ]


def _fine(pooled: int) -> list[_Branch]:
    return [
        [[_Layer("branch1x1", 64)]],
        _chain("branch5x5", (48, (1, 1)), (64, FIVE)),
        _chain("branch3x3dbl", (64, (1, 1)), (96, THREE), (96, THREE)),
        [[_Layer("branch_pool", pooled)]],
    ]


def _middle(narrow: int) -> list[_Branch]:
    deep = ((narrow, (1, 1)), (narrow, COLUMN), (narrow, ROW), (narrow, COLUMN), (192, ROW))
    return [
        [[_Layer("branch1x1", 192)]],
        _chain("branch7x7", (narrow, (1, 1)), (narrow, ROW), (192, COLUMN)),
        _chain("branch7x7dbl", *deep),
        [[_Layer("branch_pool", 192)]],
    ]


_FINE_TO_MIDDLE: list[_Branch] = [
    [[_Layer("branch3x3", 384, THREE, stride=2)]],
    _chain("branch3x3dbl", (64, (1, 1)), (96, THREE), (96, THREE), halve=True),
    [],
]
_MIDDLE_TO_COARSE: list[_Branch] = [
    _chain("branch3x3", (192, (1, 1)), (320, THREE), halve=True),
    _chain("branch7x7x3", (192, (1, 1)), (192, ROW), (192, COLUMN), (192, THREE), halve=True),
    [],
]
_COARSE: list[_Branch] = [
    [[_Layer("branch1x1", 320)]],
    [[_Layer("branch3x3_1", 384)], [_Layer("branch3x3_2a", 384, (1, 3)), _Layer("branch3x3_2b", 384, (3, 1))]],
    [
        [_Layer("branch3x3dbl_1", 448)],
        [_Layer("branch3x3dbl_2", 384, THREE)],
        [_Layer("branch3x3dbl_3a", 384, (1, 3)), _Layer("branch3x3dbl_3b", 384, (3, 1))],
    ],
    [[_Layer("branch_pool", 192)]],
]
