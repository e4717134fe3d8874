from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.encoding import storage
from sfumato.data.facts import (
    case_facts,
    facts_of,
    finish,
    image_facts,
    levels_of,
    mask_facts,
    sketch_of,
)
from sfumato.data.manifest import Case
from sfumato.data.statistics import statistics

RNG = np.random.default_rng(0)


def smooth(seed: int, *, side: int = 64) -> np.ndarray:
    """A picture with structure, grey, 0..255."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_statistics_are_those_of_numpy(dtype: type) -> None:
    values = RNG.normal(100, 20, (50, 40)).clip(0, 200).astype(dtype)
    stats = statistics(values)
    assert (stats.low, stats.high) == (values.min(), values.max())
    assert stats.mean == pytest.approx(float(values.mean()))
    assert stats.std == pytest.approx(float(values.std()), rel=1e-4)
    for share, found in ((0.5, stats.inner_low), (99.5, stats.inner_high)):
        low, high = (np.percentile(values, share, method=method) for method in ("lower", "higher"))
        assert low <= found <= high


def test_statistics_leave_out_what_is_not_finite() -> None:
    assert statistics(np.array([1.0, np.nan, 3.0, np.inf])).mean == 2
    assert statistics(np.full(3, np.nan)).high == 0


def test_levels_show_bits_that_are_not_used() -> None:
    picture = smooth(2)
    assert levels_of(picture.astype(np.uint16) * 257).step == 257
    assert levels_of((picture // 64 * 64)[..., None]) == (4, 64, pytest.approx((picture >= 192).mean()))
    assert levels_of(picture.astype(np.float32)) is None


def test_image_facts(tmp_path: Path) -> None:
    grey, colour = smooth(3), np.stack([smooth(3), smooth(4), smooth(5)], -1)
    facts = image_facts(str(tmp_path / "a.png"), grey[..., None])
    assert facts.size == (64, 64) and facts.channels == 1 and not facts.coloured and not facts.constant
    assert len(facts.thumbnail) == 1024 and facts.storage is None and facts.spacing is None
    assert image_facts("b.png", colour).coloured
    assert not image_facts("b.png", np.repeat(grey[..., None], 3, 2)).coloured


def test_a_constant_image_is_like_no_other() -> None:
    facts = image_facts("a.png", np.full((9, 9, 1), 7, np.uint8))
    assert facts.constant and not facts.digest and not facts.hash and not facts.thumbnail


def test_facts_of_many_cases_are_those_of_each(tmp_path: Path) -> None:
    bright = smooth(1, side=90)[..., None]
    mixed = [bright // 9, np.full((9, 7, 1), 3, np.uint8), bright.astype(np.uint16) * 200, bright[::-1, :50] / 3]
    colour = np.concatenate([bright, bright // 2, bright[::-1]], 2)
    cases = [Case(id=str(row), image=str(tmp_path / f"{row}.png")) for row in range(7)]
    sketches = [sketch_of(case, pixels, []) for case, pixels in zip(cases, [*mixed, None, colour, bright], strict=True)]
    assert finish(sketches) == [finish([sketch])[0] for sketch in sketches]
    images = [facts.image for facts in finish(sketches)]
    assert [image and image.channels for image in images] == [1, 1, 1, 1, None, 3, 1]
    assert images[0] is not None and images[0].stats.high == bright.max() // 9
    assert images[6] is not None and images[6].stats.high == bright.max()


def test_mask_facts() -> None:
    raw = np.zeros((20, 20), np.uint8)
    raw[2:6, 2:6], raw[10:14, 10:12], raw[6, 6] = 255, 255, 255  # the last touches the first by a corner
    facts = mask_facts(raw)
    assert facts.values == {0: 400 - 25, 255: 25} and facts.components == 2 and facts.rim == 0
    assert facts.outline == 16 + 12 + 4
    assert mask_facts(255 - raw).rim == 1


def test_numbers_of_objects_are_objects() -> None:
    raw = np.arange(400, dtype=np.uint16).reshape(20, 20)
    assert mask_facts(raw).components == 1 and len(mask_facts(raw).values) == 400


def test_shapes_are_measured_only_where_asked() -> None:
    raw, case = np.eye(8, dtype=np.uint8), Case(id="a", image="a.png", masks=("m.png",))
    sketches = [sketch_of(case, None, [raw], shapes=shapes) for shapes in (False, True)]
    (plain,), (shaped,) = (facts.masks for facts in finish(sketches))
    assert plain.values == shaped.values and shaped.components == 1
    assert (plain.components, plain.outline, plain.rim) == (None, None, None)


def test_jpeg_masks_are_cut_at_128(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(tmp_path / "m.jpg")
    faint = np.full((16, 16), 9, np.uint8)
    assert mask_facts(faint, storage=storage(str(tmp_path / "m.jpg"))).components == 0
    assert mask_facts(faint).components == 1


def test_a_mask_that_is_its_image() -> None:
    picture = smooth(6)
    assert mask_facts(picture, image=picture[..., None]).copies_image
    assert mask_facts(picture, image=np.repeat(picture[..., None], 3, 2)).copies_image
    assert not mask_facts(picture, image=picture[..., None] // 2).copies_image
    assert not mask_facts(picture, image=smooth(6, side=32)[..., None]).copies_image
    binary = (picture > 99).astype(np.uint8)
    assert not mask_facts(binary, image=binary[..., None]).copies_image  # a drawing may be its own mask


def test_agreement_of_readers() -> None:
    one, two = np.zeros((2, 10, 10), np.uint8)
    one[2:6, 2:6], two[2:6, 4:8] = 255, 1
    case = Case(id="a", image="a.png", masks=("m0", "m1"))
    agreement = facts_of(case, smooth(1)[..., None], [one, two]).agreement
    assert agreement is not None and agreement == ((0, 1), (16, 16), (16,), 100)
    assert (agreement.dice, agreement.mean_differing, agreement.is_partly_empty) == (0.5, 16, False)
    empty = facts_of(case, None, [np.zeros((10, 10), np.uint8)] * 2).agreement
    assert empty is not None and (empty.dice, empty.areas, empty.is_partly_empty) == (1, (0, 0), False)
    assert facts_of(case, None, [one, None]).agreement is None
    assert facts_of(case, None, [one, two[:5]]).agreement is None


def test_case_facts_collect_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(tmp_path / "m.png")
    case = Case(id="a", image=str(tmp_path / "a.png"), masks=(str(tmp_path / "m.png"), str(tmp_path / "gone.png")))
    facts = case_facts(case)
    assert facts.image is None and facts.masks[0] is not None and facts.masks[1] is None
    assert [problem.code for problem in facts.problems] == ["DATA-003", "DATA-001"]


def test_storage(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth(1))
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "A. Person"
    picture.save(tmp_path / "a.png", "JPEG", exif=exif)
    glass = picture.convert("RGBA")
    glass.putalpha(100)
    glass.save(tmp_path / "b.png")
    told, clear = storage(str(tmp_path / "a.png")), storage(str(tmp_path / "b.png"))
    assert told is not None and clear is not None
    assert told == ("JPEG", "L", False, 6, False, ("name of the author",))
    assert clear == ("PNG", "RGBA", True, 1, True, ())
    assert storage(f"{tmp_path / 'a.npz'}::images/0") is None and storage(str(tmp_path / "gone.png")) is None


def test_png_texts_that_name_a_person(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("PatientID", "123")
    info.add_text("Software", "x")
    Image.fromarray(smooth(1)).save(tmp_path / "a.png", pnginfo=info)
    told = storage(str(tmp_path / "a.png"))
    assert told is not None and told.private == ("text 'PatientID'",)
