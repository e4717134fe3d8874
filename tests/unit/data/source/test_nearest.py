from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.inspection.inspect import inspect, measure_cases
from sfumato.data.source import ReadOptions, find_cases
from sfumato.data.source.nearest import MOST_NAMES, alike_among, with_nearest
from sfumato.errors import DataError


def test_a_name_is_shown_beside_the_one_that_is_much_like_it() -> None:
    shown = with_nearest(["images/case_007.png", "images/zebra.png"], ["masks/Case-007.png", "masks/case_12.png"])
    assert shown.split("\n") == ["    images/case_007.png (nearest: Case-007.png)", "    images/zebra.png"]
    assert with_nearest(["a/x.npz::images/7"], []) == "    a/x.npz::images/7"


def test_many_names_are_not_all_compared() -> None:
    names = [f"image{number:04}.png" for number in range(3 * MOST_NAMES)]
    shown = with_nearest(names, [name.replace("image", "imago") for name in names]).split("\n")
    assert len(shown) == 3 * MOST_NAMES and "nearest" in shown[0] and "nearest" not in shown[-1]


def test_pairs_among_files_without_a_partner() -> None:
    assert alike_among(["i/p_001.png", "i/zebra.png", "m/p001.png"]) == ["p_001.png and p001.png"]


def test_prepare_and_check_name_what_was_perhaps_meant(tmp_path: Path) -> None:
    for folder, names in (("images", ("ana01", "ben02", "cleo3")), ("masks", ("ana01", "ben02", "cloe3"))):
        (tmp_path / folder).mkdir()
        for name in names:
            mask = np.zeros((16, 16), np.uint8)
            mask[4:9, 4:9] = 255
            picture = mask if folder == "masks" else np.random.default_rng(len(name)).integers(0, 255, (16, 16))
            Image.fromarray(picture.astype(np.uint8)).save(tmp_path / folder / f"{name}.png")
    with pytest.raises(DataError, match=r"cleo3\.png \(nearest: cloe3\.png\)"):
        find_cases(tmp_path)
    found = find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    texts = [finding.text for finding in inspect(found, list(measure_cases(found.cases))).findings]
    assert any("much alike are cleo3.png and cloe3.png" in text for text in texts)
