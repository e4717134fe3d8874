"""Data in a form that nobody knows: a few lines bring them into arrays, and all that follows knows arrays."""

import json
import tempfile
from pathlib import Path

import numpy as np

from sfumato import Preparation, check, prepare

noise = np.random.default_rng(0)


def write_strange(folder: Path) -> None:
    """Raw bytes with a header of their own, and a circle for a mask, twice for each patient."""
    folder.mkdir()
    for number in range(24):
        y, x, radius = (int(each) for each in noise.integers((8, 8, 3), (24, 24, 7)))
        pixels = noise.integers(0, 80, (32, 32), np.uint8)
        pixels[np.hypot(*(np.indices((32, 32)) - np.array([y, x])[:, None, None])) < radius] += 120
        about = json.dumps({"who": f"patient {number // 2}", "circle": [y, x, radius]}).encode()
        (folder / f"{number:02}.odd").write_bytes(len(about).to_bytes(4, "big") + about + pixels.tobytes())


def read_strange(file: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Image, mask and patient of a file."""
    data = file.read_bytes()
    start = 4 + int.from_bytes(data[:4], "big")
    about = json.loads(data[4:start])
    *centre, radius = about["circle"]
    mask = np.hypot(*(np.indices((32, 32)) - np.array(centre)[:, None, None])) < radius
    return np.frombuffer(data[start:], np.uint8).reshape(32, 32), mask.astype(np.uint8), about["who"]


with tempfile.TemporaryDirectory() as name:
    write_strange(Path(name) / "strange")
    images, masks, patients = zip(*map(read_strange, sorted((Path(name) / "strange").iterdir())), strict=True)
    np.savez(Path(name) / "mine.npz", images=np.stack(images), masks=np.stack(masks), patients=np.array(patients))

    assert not check(Path(name) / "mine.npz").errors
    made = prepare(Path(name) / "mine.npz", out=Path(name) / "dataset", preparation=Preparation(size=32)).dataset
    splits = {(case.patient, case.split) for case in made.cases}
    assert len(splits) == 12, "each patient in one split, with both images"
    assert np.array_equal(made.masks([0])[0].numpy(), masks[[case.id for case in made.cases].index("00")])
