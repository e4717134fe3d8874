"""Non-leaking augmentation against AugmentPipe of NVlabs/edm: its draws fed in, its images and matrices come out.

Their labels are those of the operations that are on; ours are always the nine of the geometry, so columns are compared.
Reached: images 1.5e-6, maps 1e-6, colour matrices 5e-7, labels 4e-7 (all float32).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from sfumato.data.augmentation.nonleaking import Numbers, RandomNumbers, apply_non_leaking, decide_parameters
from sfumato.data.augmentation.pipe import Pipe

GOLDEN = {name: torch.from_numpy(array) for name, array in np.load(Path(__file__).with_name("edm_augment.npz")).items()}
OFF = Pipe(probability=1.0, scale=0, angle=0, stretch=0, shift=0, largest_angle=180)


class Group(NamedTuple):
    """A run of theirs.

    Attributes:
        name: its prefix in the file.
        pipe: the same settings.
        draws: what each of their draws was for, in order: an operation's value or "?" and the operation for its gate.
        labels: our columns that are theirs.
    """

    name: str
    pipe: Pipe
    draws: str
    labels: list[int]


GEOMETRY = "mirror ?mirror upend ?upend scale ?scale angle ?angle stretch oblique ?stretch ?oblique shift ?shift"
EDM = Pipe(mirror=1e8, upend=1, largest_angle=180)
COLOUR = dict.fromkeys(("brightness", "contrast", "inversion", "hue", "saturation"), 1.0)
GROUPS = [
    Group("edm_default", EDM, GEOMETRY, list(range(9))),
    Group("all_p1", EDM._replace(probability=1.0), GEOMETRY, list(range(9))),
    Group("scale_only", OFF._replace(scale=1), "scale ?scale", [2]),
    Group("rot_only", OFF._replace(angle=1), "angle ?angle", [3, 4]),
    Group("aniso_only", OFF._replace(stretch=1), "stretch oblique ?stretch ?oblique", [5, 6]),
    Group("trans_only", OFF._replace(shift=1), "shift ?shift", [7, 8]),
    Group("flips", OFF._replace(mirror=1e8, upend=1), "mirror ?mirror upend ?upend", [0, 1]),
    Group("int_ops", OFF._replace(turn=1, whole_shift=1), "turn ?turn whole_shift ?whole_shift", [9, 10, 11, 12]),
    Group(
        "color", OFF._replace(**COLOUR),
        "brightness ?brightness contrast ?contrast inversion ?inversion hue ?hue saturation ?saturation",
        [9, 10, 11, 12, 13, 14],
    ),
]  # fmt: skip
LEVELS = {"mirror": 2, "upend": 2, "turn": 4, "inversion": 2}
"""They draw integers where we draw uniform numbers."""


def drawn(group: Group) -> RandomNumbers:
    """Their draws in our form."""
    still = {name: torch.zeros(6, 2) if "shift" in name else torch.zeros(6) for name in Numbers._fields}
    values, gates = dict(still), {name: torch.zeros(6) for name in Numbers._fields}
    files = sorted(name for name in GOLDEN if name.startswith(f"{group.name}/draw"))
    for name, file in zip(group.draws.split(), files, strict=True):
        numbers = GOLDEN[file].reshape(-1, 6).T.float()
        if name.startswith("?"):
            gates[name[1:]] = numbers[:, 0]
        else:
            numbers = numbers if "shift" in name else numbers[:, 0]
            values[name] = numbers / LEVELS.get(name, 1)
    return RandomNumbers(Numbers(**values), Numbers(**gates))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_like_edm(group: Group) -> None:
    def close(ours: Tensor, what: str, tolerance: float, rows: int = 16) -> None:
        golden = GOLDEN[f"{group.name}/{what}"][..., :rows, :]
        torch.testing.assert_close(ours, golden.expand_as(ours), atol=tolerance, rtol=0)

    images = GOLDEN["images"]
    parameters = decide_parameters(drawn(group), group.pipe, height=16, width=16)
    close(parameters.labels[:, group.labels], "labels", 1e-6)
    close(parameters.maps, "G_inv", 2e-6)
    close(parameters.colours[:, :3], "M", 1e-6, rows=3)  # their saturation scales the last row too, which is not used
    close(apply_non_leaking(images, parameters), "out", 3e-6)
    rest = sorted(set(range(parameters.labels.shape[1])) - set(group.labels))
    assert not parameters.labels[:, rest].any()
