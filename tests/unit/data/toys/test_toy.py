import json
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.source import find_cases
from sfumato.data.toys.toy import make_toy
from sfumato.errors import UsageError


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "toy"
    make_toy(folder, cases=30, size=32)
    return folder


def test_toy_data_is_a_source(toy: Path) -> None:
    found = find_cases(toy)
    assert found.has_masks and found.classes == ("grade 0", "grade 1", "grade 2")
    assert found.notes == ("classes of images: grade 0 (10), grade 1 (10), grade 2 (10)",)
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


def test_classes_of_pixels_are_nested_and_beside_each_other(tmp_path: Path) -> None:
    """Nuclei lie in the lesion, the halo beside it; with two classes the same readers draw the same outline."""
    make_toy(tmp_path / "five", cases=8, size=48, mask_classes=5, readers=2)
    make_toy(tmp_path / "two", cases=8, size=48, readers=2)
    assert json.loads((tmp_path / "five/truth.json").read_text())["mask_classes"] == [
        *("skin", "lesion", "nucleus 1", "nucleus 2", "halo")
    ]
    found = set()
    for case in range(8):
        for reader in range(2):
            name = f"masks/reader_{reader}/{case:06d}.png"
            mask, whole = read_mask(str(tmp_path / "five" / name)), read_mask(str(tmp_path / "two" / name))
            assert np.array_equal(mask > 0, whole > 0)
            found |= set(np.unique(mask).tolist())
            for inner, around in ((2, {1, 2, 3, 4}), (3, {2, 3})):
                neighbours = {int(mask[y, x]) for y, x in _beside(mask == inner)}
                assert neighbours <= around, (case, inner, neighbours)
    assert found == {0, 1, 2, 3, 4}


def _beside(region: np.ndarray) -> list[tuple[int, int]]:
    grown = region.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            grown |= np.roll(region, step, axis)
    return [(int(y), int(x)) for y, x in np.argwhere(grown)]


def test_nuclei_are_darker_than_the_lesion_around(tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", cases=12, size=48, mask_classes=4, classes=1, readers=1)
    darker = []
    for case in range(12):
        pixels = read_image(str(tmp_path / f"toy/images/{case:06d}.png")).mean(2)
        mask = read_mask(str(tmp_path / f"toy/masks/reader_0/{case:06d}.png"))
        darker.append(pixels[mask == 1].mean() - pixels[mask == 2].mean())
    assert np.mean(darker) > 15


def test_grey_pictures_show_the_same(tmp_path: Path) -> None:
    make_toy(tmp_path / "grey", cases=1, size=32, grey=True)
    make_toy(tmp_path / "rgb", cases=1, size=32)
    grey, colour = (read_image(str(tmp_path / name / "images/000000.png")) for name in ("grey", "rgb"))
    assert grey.shape == (32, 32, 1) and np.allclose(grey[..., 0], colour @ [0.299, 0.587, 0.114], atol=1)


def test_default_pictures_never_change(tmp_path: Path) -> None:
    """Other tests, pages and results rest on them."""
    make_toy(tmp_path / "toy", cases=8, size=32)
    assert np.allclose(
        read_image(str(tmp_path / "toy/images/000007.png")).mean((0, 1)), (170.14, 126.21, 109.0), atol=0.1
    )
    assert abs(int((read_mask(str(tmp_path / "toy/masks/reader_2/000007.png")) == 255).sum()) - 209) <= 2
