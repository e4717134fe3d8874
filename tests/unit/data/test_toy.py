import json
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.image import read_image, read_mask
from sfumato.data.source import find_cases
from sfumato.data.toy import make_toy
from sfumato.errors import UsageError


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "toy"
    make_toy(folder, cases=30, size=32)
    return folder


def test_toy_data_is_a_source(toy: Path) -> None:
    found = find_cases(toy)
    assert found.kind == "segment" and found.classes == ("grade 0", "grade 1", "grade 2") and not found.notes
    assert len(found.cases) == 30 and {len(case.masks) for case in found.cases} == {4}
    assert {case.origin for case in found.cases} == {"synthetic"}
    assert 15 <= len({case.patient for case in found.cases}) <= 20


def test_a_picture_depends_on_its_number_and_seed(toy: Path, tmp_path: Path) -> None:
    make_toy(tmp_path / "few", cases=3, size=32)
    make_toy(tmp_path / "other", cases=3, size=32, seed=1)
    first = read_image(str(toy / "images/000002.png"))
    assert np.array_equal(read_image(str(tmp_path / "few/images/000002.png")), first)
    assert not np.array_equal(read_image(str(tmp_path / "other/images/000002.png")), first)


def test_readers_disagree_as_the_truth_says(toy: Path) -> None:
    truth = json.loads((toy / "truth.json").read_text())
    assert [reader["probability"] for reader in truth["readers"]] == [0.1, 0.3667, 0.6333, 0.9]
    areas = {True: [], False: []}
    for known in truth["cases"]:
        masks = [read_mask(str(toy / f"masks/reader_{reader}/{known['id']}.png")) > 0 for reader in range(4)]
        sure = read_image(str(toy / f"truth/{known['id']}.png"))[..., 0]
        assert all(mask[sure == 255].all() and not mask[sure == 0].any() for mask in masks)
        for mask, halo in zip(masks, known["included"], strict=True):
            if known["halo"] > 0.15:
                areas[halo].append(mask.sum() / (sure == 255).sum())
    assert np.mean(areas[True]) > 1.25 * np.mean(areas[False])


def test_readers_are_tight_or_generous_at_the_edge(toy: Path) -> None:
    for known in json.loads((toy / "truth.json").read_text())["cases"]:
        if known["included"][0] == known["included"][3]:
            tight, wide = (read_mask(str(toy / f"masks/reader_{reader}/{known['id']}.png")) > 0 for reader in (0, 3))
            assert not (tight & ~wide).any() and tight.sum() < wide.sum()


def test_generous_readers_include_the_halo_more_often(tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", cases=60, size=16, readers=2)
    included = np.array([case["included"] for case in json.loads((tmp_path / "toy/truth.json").read_text())["cases"]])
    assert included[:, 0].mean() < 0.3 < 0.7 < included[:, 1].mean()


def test_grades_can_be_seen(toy: Path) -> None:
    """Darker, and with more variation of colour inside the lesion."""
    darkness, variety = np.zeros(3), np.zeros(3)
    for case in json.loads((toy / "truth.json").read_text())["cases"]:
        pixels = read_image(str(toy / f"images/{case['id']}.png")).astype(float)
        sure = read_image(str(toy / f"truth/{case['id']}.png"))[..., 0]
        darkness[case["grade"]] += (pixels[sure == 0].mean() - pixels[sure == 255].mean()) / 10
        variety[case["grade"]] += pixels[sure == 255].std(0).mean() / 10
    assert darkness[0] + 10 < darkness[1] and variety[0] < variety[1] < variety[2]


def test_one_class_and_one_reader(tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", cases=2, size=16, classes=1, readers=1)
    assert find_cases(tmp_path / "toy").classes == ("grade 0",)


def test_impossible_toys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least"):
        make_toy(tmp_path / "toy", cases=0)
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        make_toy(tmp_path)
