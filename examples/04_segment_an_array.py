"""A mask for an image in memory: mean, members, uncertainty, in the array's own size."""

import tempfile
from pathlib import Path

import numpy as np

from sfumato import Preparation, Training, predict_array, prepare, train
from sfumato.data.formats.image import read_image
from sfumato.data.toys.toy import make_toy

SMALL = {"network.channels": 8, "network.multipliers": (1, 2), "network.blocks": 1, "network.attention": ()}

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    make_toy(folder / "scans", cases=30, size=40)
    data = prepare(folder / "scans", out=folder / "dataset", preparation=Preparation(size=16)).folder
    changes = {**SMALL, "train.steps": 60, "train.learning_rate": 1e-2, "validate.cases": 4}
    model = train("segment", data, out=folder / "run", training=Training(changes=changes)).model()

    image = read_image(str(min((folder / "scans" / "images").iterdir())))  # or from a camera, a notebook
    assert image.shape[:2] == (40, 40)
    found = predict_array(model, image, count=8, seed=3)
    assert found.mask.shape == found.entropy.shape == (40, 40) and found.members.shape == (8, 40, 40)
    assert np.allclose(found.probability.sum(0), 1, atol=1e-5)

    again = predict_array(model, image, count=8, seed=3, batch=3)
    assert np.array_equal(again.members, found.members), "a seed and a name are one ensemble, however it is drawn"
    print(f"area {found.mask.mean():.3f}, mean entropy {found.entropy.mean():.3f}")
