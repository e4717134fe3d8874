import io
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from sfumato.data.facts import (
    case_facts,
    digest,
    facts_of,
    image_facts,
    levels_of,
    mask_facts,
    perceptual_hash,
    statistics,
    thumbnail,
)
from sfumato.data.manifest import Case
from sfumato.data.storage import storage

RNG = np.random.default_rng(0)


def smooth(seed: int, *, side: int = 64) -> np.ndarray:
    """A picture with structure, grey, 0..255."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return np.asarray(Image.open(buffer))


def bits(one: str, two: str) -> int:
    return (int(one, 16) ^ int(two, 16)).bit_count()


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


def test_near_duplicates_hash_alike_and_others_do_not() -> None:
    hashes = [perceptual_hash(thumbnail(smooth(seed)[..., None])) for seed in range(12)]
    again = perceptual_hash(thumbnail(as_jpeg(smooth(0))[..., None]))
    larger = perceptual_hash(thumbnail(smooth(0, side=90)[..., None]))
    deep = perceptual_hash(thumbnail((smooth(0).astype(np.uint16) * 16)[..., None]))
    assert max(bits(hashes[0], other) for other in (again, larger, deep)) <= 4
    assert min(bits(one, two) for row, one in enumerate(hashes) for two in hashes[:row]) > 8


def test_digest_knows_shape_and_pixels() -> None:
    picture, small = smooth(1), thumbnail(smooth(1)[..., None])
    other = picture.copy()
    other[40, 50] += 1
    seen = [digest(each, small) for each in (picture, other, picture.reshape(32, 128))]
    assert digest(picture.copy(), small) == seen[0] and len(set(seen)) == 3
    assert digest(np.asfortranarray(picture), small) == seen[0]


def test_perceptual_hash_is_that_of_imagehash() -> None:
    for seed in range(20):
        small = thumbnail(smooth(seed)[..., None])
        assert perceptual_hash(small) == np.packbits(imagehash.phash(Image.fromarray(small)).hash).tobytes().hex()


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
    (plain,), (shaped,) = (facts_of(case, None, [raw], shapes=shapes).masks for shapes in (False, True))
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
    assert agreement is not None and agreement == (0.5, 16, 0)
    empty = facts_of(case, None, [np.zeros((10, 10), np.uint8)] * 2).agreement
    assert empty is not None and empty == (1, 0, 2)
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
    picture.convert("RGBA").save(tmp_path / "b.png")
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
