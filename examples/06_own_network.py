"""A network of one's own: any module network(x, level, condition), named by a recipe, saved and loaded by its name."""

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from sfumato import Preparation, Training, load_model, network_factory, prepare, train
from sfumato.data.toys.toy import make_toy
from sfumato.diffusion.process import Condition

sys.modules["mine"] = sys.modules[__name__]  # an installed package needs no such line


class Plain(nn.Module):
    """Three convolutions over the state, the image beside it and the noise level."""

    def __init__(self, channels_in: int, channels_out: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels_in + 1, width, 3, padding=1)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, channels_out, 3, padding=1)

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        beside = [] if condition.image is None else [condition.image]
        x = torch.cat([x, *beside, level.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)
        return self.leave(torch.relu(self.middle(torch.relu(self.enter(x)))))


@network_factory
def build(*, channels_in: int, channels_out: int, channels_condition: int, width: int = 8, **_: object) -> Plain:
    """What the recipe names; sizes come from the data, `width` from `network.options`."""
    return Plain(channels_in + channels_condition, channels_out, width)


build.__module__ = "mine"
network_factory(build)

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    make_toy(folder / "scans", cases=20, size=16)
    data = prepare(folder / "scans", out=folder / "dataset", preparation=Preparation(size=16)).folder
    network = {"kind": "own", "factory": "mine:build", "options": {"width": 6}}
    changes = {"network": network, "train.steps": 4, "validate.cases": 2, "sample.steps": 2}
    run = train("segment", data, out=folder / "run", training=Training(changes=changes))
    model = load_model(run.folder)
    assert isinstance(model.network, Plain) and model.network.enter.out_channels == 6
