"""Each defect, planted alone in a clean set, is found by its code; the clean set has no error and no warning."""

import io
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.copies import find_copies
from sfumato.data.facts import CaseFacts, case_facts, image_facts, mask_facts
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.fingerprint import fingerprint, guess_modality
from sfumato.data.inspection.fix import can_fix, fix
from sfumato.data.inspection.inspect import inspect, measure_cases
from sfumato.data.manifest import Case
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.statistics import Stats
from sfumato.errors import DataError, ResourceError

SIDE = 48
COUNT = 24


def picture(seed: int, *, side: int = SIDE) -> np.ndarray:
    """Structure that differs between seeds, 0..200."""
    coarse = np.random.default_rng(seed).integers(0, 200, (6, 6), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 200)


def disc(seed: int, *, value: int = 255) -> np.ndarray:
    rows, columns = np.indices((SIDE, SIDE)) - np.random.default_rng(seed).integers(16, 32, (2, 1, 1))
    return ((rows**2 + columns**2 < 64) * value).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Images with a disc each."""
    for seed in range(COUNT):
        save(tmp_path / "images" / f"case{seed:02d}.png", picture(seed))
        save(tmp_path / "masks" / f"case{seed:02d}.png", disc(seed))
    return tmp_path


def look(folder: Path, *, found: DiscoveredDataset | None = None) -> tuple[Finding, ...]:
    found = found or find_cases(folder)
    return inspect(found, list(measure_cases(found.cases))).findings


def codes(findings: Sequence[Finding]) -> set[str]:
    return {finding.code for finding in findings if finding.code}


def one(findings: Sequence[Finding], code: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.code == code]
    return finding


def names(finding: Finding) -> list[str]:
    return [Path(file).name for file in finding.files]


def test_a_clean_set_has_no_findings(clean: Path) -> None:
    assert codes(look(clean)) == set()


def plant_empty_file(folder: Path) -> None:
    (folder / "images" / "case03.png").write_bytes(b"")


def plant_pointer(folder: Path) -> None:
    (folder / "images" / "case03.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def plant_text(folder: Path) -> None:
    (folder / "images" / "case03.png").write_text("hello, this is no picture at all")


def plant_cut(folder: Path) -> None:
    file = folder / "images" / "case03.png"
    file.write_bytes(file.read_bytes()[:-40])


def plant_nan(folder: Path) -> None:
    import tifffile

    (folder / "images" / "case03.png").unlink()
    pixels = picture(3).astype(np.float32)
    pixels[4, 5] = np.nan
    tifffile.imwrite(folder / "images" / "case03.tif", pixels)


def plant_other_size(folder: Path) -> None:
    save(folder / "masks" / "case03.png", disc(3)[::2, ::2])


def plant_turned(folder: Path) -> None:
    save(folder / "images" / "case03.png", picture(3)[:40])
    save(folder / "masks" / "case03.png", disc(3)[:40].T)


def plant_palette_greys(folder: Path) -> None:
    for seed in range(COUNT):
        save(folder / "masks" / f"case{seed:02d}.png", disc(seed, value=(38, 75)[seed % 2]))


def plant_other_habit(folder: Path) -> None:
    save(folder / "masks" / "case03.png", disc(3, value=1))


def plant_strange_value(folder: Path) -> None:
    for seed in range(COUNT * 3):
        save(folder / "images" / f"case{seed:02d}.png", picture(seed))
        save(folder / "masks" / f"case{seed:02d}.png", disc(seed, value=1 + seed % 2))
    mask = disc(3, value=1)
    mask[0, :5] = 7
    save(folder / "masks" / "case03.png", mask)


def plant_inverted(folder: Path) -> None:
    save(folder / "masks" / "case03.png", 255 - disc(3))


def plant_jpeg(folder: Path) -> None:
    (folder / "masks" / "case03.png").unlink()
    save(folder / "masks" / "case03.jpg", disc(3), quality=60)


def plant_image_as_mask(folder: Path) -> None:
    (folder / "masks" / "case03.png").write_bytes((folder / "images" / "case03.png").read_bytes())


def plant_copy(folder: Path) -> None:
    save(folder / "images" / "case03.png", picture(9), compress_level=1)


def plant_near_copy(folder: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(9)).save(buffer, "JPEG", quality=85)
    save(folder / "images" / "case03.png", np.asarray(Image.open(buffer)))


def plant_empty_mask(folder: Path) -> None:
    save(folder / "masks" / "case03.png", disc(3) * 0)


def plant_constant(folder: Path) -> None:
    save(folder / "images" / "case03.png", np.full((SIDE, SIDE), 90, np.uint8))


def plant_larger(folder: Path) -> None:
    save(folder / "images" / "case03.png", picture(3, side=2 * SIDE))
    save(folder / "masks" / "case03.png", disc(3).repeat(2, 0).repeat(2, 1))


def plant_colour(folder: Path) -> None:
    save(folder / "images" / "case03.png", np.stack([picture(3), picture(40), picture(41)], -1))


def plant_deep(folder: Path) -> None:
    save(folder / "images" / "case03.png", picture(3).astype(np.uint16) * 300)


def plant_twelve_bits(folder: Path) -> None:
    for seed in range(COUNT):
        save(folder / "images" / f"case{seed:02d}.png", picture(seed).astype(np.uint16) * 20)


def plant_few_levels(folder: Path) -> None:
    for seed in range(COUNT):
        save(folder / "images" / f"case{seed:02d}.png", picture(seed) // 16)


def plant_clipped(folder: Path) -> None:
    for seed in range(COUNT):
        save(folder / "images" / f"case{seed:02d}.png", (picture(seed).astype(int) * 3).clip(0, 255).astype(np.uint8))


def plant_wrong_ending(folder: Path) -> None:
    (folder / "images" / "case03.png").rename(folder / "images" / "case03.jpg")


def plant_transparency(folder: Path) -> None:
    grey = picture(3)
    save(folder / "images" / "case03.png", np.stack([grey, grey, grey, np.full_like(grey, 200)], -1))


def plant_exif(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    save(folder / "images" / "case03.png", picture(3), exif=exif)


def plant_author(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "A. Person"
    save(folder / "images" / "case03.png", picture(3), exif=exif)


PLANTS = [
    (plant_empty_file, "DATA-003", "error", "case03.png"),
    (plant_pointer, "DATA-004", "error", "case03.png"),
    (plant_text, "DATA-005", "error", "case03.png"),
    (plant_cut, "DATA-006", "error", "case03.png"),
    (plant_nan, "DATA-015", "error", "case03.tif"),
    (plant_other_size, "DATA-012", "error", "case03.png"),
    (plant_turned, "DATA-072", "error", "case03.png"),
    (plant_palette_greys, "DATA-073", "error", "case00.png"),
    (plant_other_habit, "DATA-074", "error", "case03.png"),
    (plant_strange_value, "DATA-075", "error", "case03.png"),
    (plant_inverted, "DATA-076", "warning", "case03.png"),
    (plant_jpeg, "DATA-077", "warning", "case03.jpg"),
    (plant_image_as_mask, "DATA-078", "error", "case03.png"),
    (plant_copy, "DATA-079", "warning", "case03.png"),
    (plant_near_copy, "DATA-080", "warning", "case03.png"),
    (plant_empty_mask, "DATA-084", "note", "case03.png"),
    (plant_constant, "DATA-085", "warning", "case03.png"),
    (plant_larger, "DATA-086", "note", "case03.png"),
    (plant_colour, "DATA-087", "note", "case03.png"),
    (plant_deep, "DATA-009", "error", "case03.png"),
    (plant_twelve_bits, "DATA-088", "note", "case00.png"),
    (plant_few_levels, "DATA-088", "warning", "case00.png"),
    (plant_clipped, "DATA-088", "warning", "case00.png"),
    (plant_author, "DATA-092", "warning", "case03.png"),
    (plant_wrong_ending, "DATA-093", "warning", "case03.jpg"),
    (plant_transparency, "DATA-094", "warning", "case03.png"),
    (plant_exif, "DATA-095", "note", "case03.png"),
]


@pytest.mark.parametrize(
    ("plant", "code", "severity", "file"), PLANTS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_planted_defect_is_found(
    clean: Path, plant: Callable[[Path], None], code: str, severity: str, file: str
) -> None:
    plant(clean)
    findings = look(clean)
    finding = one(findings, code)
    assert finding.severity == severity and file in names(finding) and finding.text and finding.fix
    others = [other for other in findings if other.severity == "error" and other.code != code]
    assert codes(others) == set()


@pytest.mark.parametrize(
    "plant", [plant for plant, _, severity, _ in PLANTS if severity == "error"], ids=lambda plant: plant.__name__
)
def test_prepare_goes_on_with_no_error_and_the_corrected_copy_has_none(
    clean: Path, tmp_path_factory: pytest.TempPathFactory, plant: Callable[[Path], None]
) -> None:
    plant(clean)
    found = find_cases(clean)
    with pytest.raises(DataError):
        list(prepare_cases(found, tmp_path_factory.mktemp("prepared"), PreparationSettings(size=(16, 16))))
    inspection, copy = inspect(found, list(measure_cases(found.cases))), tmp_path_factory.mktemp("copy")
    assert can_fix(found, inspection)
    list(fix(found, inspection, copy, short=str))
    assert not [finding for finding in look(copy) if finding.severity == "error"]


def test_no_copy_is_offered_where_nothing_would_be_left(clean: Path) -> None:
    for seed in range(COUNT):
        (clean / "masks" / f"case{seed:02d}.png").write_bytes((clean / "images" / f"case{seed:02d}.png").read_bytes())
    found = find_cases(clean, masks=clean / "masks")
    assert not can_fix(found, inspect(found, list(measure_cases(found.cases))))
    for seed in range(COUNT):
        values = np.random.default_rng(seed).integers(1000, 60000, (SIDE, SIDE)).astype(np.uint16)
        save(clean / "masks" / f"case{seed:02d}.png", values)
    assert not can_fix(found, inspect(found, list(measure_cases(found.cases))))


def test_prepare_knows_an_image_among_the_masks_also_where_it_measures_no_shapes(
    clean: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_image_as_mask(clean)
    monkeypatch.setattr("sfumato.data.preparation.prepare.CASES_MEASURED", 1)
    with pytest.raises(DataError, match="masks that are the image itself"):
        list(prepare_cases(find_cases(clean), tmp_path_factory.mktemp("prepared"), PreparationSettings(size=(16, 16))))


def test_a_finding_names_the_one_file_and_no_other(clean: Path) -> None:
    plant_inverted(clean), plant_wrong_ending(clean)
    findings = look(clean)
    assert names(one(findings, "DATA-076")) == ["case03.png"] and names(one(findings, "DATA-093")) == ["case03.jpg"]
    assert [finding.severity for finding in findings] == sorted(
        (finding.severity for finding in findings), key=("error", "warning", "note").index
    )


def test_the_message_counts_values_and_pixels(clean: Path) -> None:
    plant_strange_value(clean)
    assert "1 of 72 masks has unexpected values (7) in 5 pixels" in one(look(clean), "DATA-075").text


def test_an_image_among_the_masks_does_not_change_their_rule(clean: Path) -> None:
    plant_image_as_mask(clean)
    assert any("two values: 0 is the background" in finding.text for finding in look(clean))


def test_a_large_object_is_not_called_inverted(clean: Path) -> None:
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[:, :3] = 0
    save(clean / "masks" / "case03.png", mask)
    assert "DATA-076" not in codes(look(clean))


def test_a_set_that_is_inverted_as_a_whole(clean: Path) -> None:
    for seed in range(COUNT):
        save(clean / "masks" / f"case{seed:02d}.png", 255 - disc(seed))
    found = find_cases(clean)
    inspection = inspect(found, list(measure_cases(found.cases)))
    assert len(one(inspection.findings, "DATA-076").files) == COUNT
    assert fingerprint(found, inspection.facts)["mask_classes"]["foreground"]["share"] < 0.2


def test_full_masks_are_not_called_inverted(clean: Path) -> None:
    save(clean / "masks" / "case03.png", np.full((SIDE, SIDE), 255, np.uint8))
    assert "DATA-076" not in codes(look(clean))


def test_numbers_of_objects(clean: Path) -> None:
    for seed in range(COUNT):
        mask = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 16
        save(clean / "masks" / f"case{seed:02d}.png", mask.astype(np.uint16))
    assert "numbers of objects" in one(look(clean), "DATA-014").text


def test_a_rare_class_that_continues_the_others_is_no_mistake(clean: Path) -> None:
    plant_strange_value(clean)
    mask = disc(3, value=1)
    mask[0, :5] = 3
    save(clean / "masks" / "case03.png", mask)
    assert "DATA-075" not in codes(look(clean))


def test_values_that_the_source_does_not_name(clean: Path) -> None:
    found = find_cases(clean)._replace(mask_names={0: "background", 255: "lesion"}, ignore=9)
    assert codes(look(clean, found=found)) == set()
    mask = disc(3)
    mask[0, 0], mask[0, 1] = 9, 8
    save(clean / "masks" / "case03.png", mask)
    assert "(8) in 1 pixel" in one(look(clean, found=found), "DATA-075").text


def test_dark_pictures_are_no_near_copies(tmp_path: Path) -> None:
    """Single bright pixels on black: their hashes are alike, their thumbnails are not."""
    for seed in range(30):
        pixels = np.zeros((SIDE, SIDE), np.uint8)
        pixels[tuple(np.random.default_rng(seed).integers(4, 44, 2))] = 255
        save(tmp_path / f"a{seed}.png", pixels)
    assert codes(look(tmp_path)) & {"DATA-079", "DATA-080"} == set()


def test_planes_of_one_volume_are_no_copies() -> None:
    base = picture(1)
    cases = [Case(id=str(row), image=f"{row}.png", volume=name) for row, name in enumerate("aab")]
    facts = [
        CaseFacts(id=str(row), image=image_facts(f"{row}.png", (base + row)[..., None].astype(np.uint8)))
        for row in range(3)
    ]
    copies = find_copies(cases, facts)
    assert copies.exact == () and copies.near == ((0, 1, 2),)  # the third links both
    assert find_copies(cases[:2], facts[:2]).near == ()


def test_long_rows_of_like_pictures_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.data.copies.PAIRS_AT_ONCE", 10)
    base = picture(1)
    images = [np.roll(base, 0) + (np.indices(base.shape)[0] == row) * 3 for row in range(45)]
    cases = [Case(id=str(row), image=f"{row}.png") for row in range(45)]
    facts = [
        CaseFacts(id=str(row), image=image_facts(f"{row}.png", image[..., None].astype(np.uint8)))
        for row, image in enumerate(images)
    ]
    assert find_copies(cases, facts).near == (tuple(range(45)),)


def test_splits_that_leak(clean: Path) -> None:
    plant_copy(clean)
    found = find_cases(clean)
    cases = [
        replace(case, split="test" if row % 2 else "train", patient=f"p{row // 3}" if row < 6 else f"q{row}")
        for row, case in enumerate(found.cases)
    ]
    cases[3], cases[9] = replace(cases[3], split="train"), replace(cases[9], split="test")
    findings = look(clean, found=found._replace(cases=tuple(cases)))
    assert one(findings, "DATA-081").severity == one(findings, "DATA-082").severity == "error"
    assert names(one(findings, "DATA-081")) == ["case03.png", "case09.png"]
    assert "2 patients" in one(findings, "DATA-082").text and "p0" in one(findings, "DATA-082").text
    kept = inspect(found._replace(cases=tuple(cases)), list(measure_cases(cases)), torn="warning").findings
    assert one(kept, "DATA-081").severity == one(kept, "DATA-082").severity == "warning"
    assert "--keep-split" in one(kept, "DATA-081").fix == one(kept, "DATA-082").fix
    by_fold = found._replace(problems=(DataError("1 torn", code="DATA-082"),))
    assert one(look(clean, found=by_fold), "DATA-082").text == "1 torn", "torn by a fold, not by a split"
    alone = [replace(case, split=None) for case in cases]
    assert codes(look(clean, found=found._replace(cases=tuple(alone)))) == {"DATA-079"}


def test_classes(clean: Path) -> None:
    plant_copy(clean)
    found = find_cases(clean)
    cases = tuple(
        replace(case, label="rare" if row in (3, 4) else "common", masks=()) for row, case in enumerate(found.cases)
    )
    findings = look(clean, found=found._replace(cases=cases, classes=("common", "rare")))
    assert "22 images of common, 2 of rare" in one(findings, "DATA-091").text
    assert one(findings, "DATA-083").severity == "warning"


def test_many_of_both_classes_may_be_uneven_all_the_same(clean: Path) -> None:
    found = find_cases(clean)
    facts = [case_facts(case) for case in found.cases] * 4
    cases = [replace(case, id=f"{row}", label="ab"[row >= 84]) for row, case in enumerate(found.cases * 4)]
    findings = inspect(found._replace(cases=tuple(cases)), facts).findings
    assert "84 images of a, 12 of b" in one(findings, "DATA-091").text


def test_files_without_partner_are_told(clean: Path) -> None:
    found = find_cases(clean)._replace(unpaired=("x/a.png", "x/b.png"))
    assert one(look(clean, found=found), "DATA-010").files == ("x/a.png", "x/b.png")
    allowed = inspect(found, list(measure_cases(found.cases)), unpaired="note")
    assert one(allowed.findings, "DATA-010").severity == "note"


def test_readers(tmp_path: Path) -> None:
    for seed in range(4):
        save(tmp_path / "images" / f"{seed}.png", picture(seed))
        save(tmp_path / "masks" / "0" / f"{seed}.png", disc(seed))
        save(tmp_path / "masks" / "1" / f"{seed}.png", disc(seed) * (seed > 0))
    found = find_cases(tmp_path)
    inspection = inspect(found, list(measure_cases(found.cases)))
    assert "mean Dice of 0.75; in 1 of 4 images" in one(inspection.findings, "DATA-096").text
    numbers = fingerprint(found, inspection.facts)
    assert numbers["disagreement"] == {"dice": 0.75, "pixels": 0, "some_empty": 0.25, "source": "readers"}
    assert numbers["masks"]["readers"] == 2 and numbers["masks"]["empty"] == 1


def test_geometry_of_volumes() -> None:
    base = image_facts("a.png", picture(1)[..., None])
    facts = [
        CaseFacts(id="a", image=replace(base, spacing=(0.5, 0.5), orientation="RAS")),
        CaseFacts(id="b", image=replace(base, digest="b", spacing=(1.5, 1.5), orientation="PSR~")),
    ]
    found = DiscoveredDataset(tuple(Case(id=name, image=f"{name}.png") for name in "ab"), (), ())
    findings = inspect(found, facts).findings
    assert "0.5 to 1.5 mm" in one(findings, "DATA-089").text and one(findings, "DATA-089").severity == "warning"
    assert "1 RAS, 1 PSR~" in one(findings, "DATA-090").text


def test_volumes_of_another_scale_or_kind_of_number() -> None:
    base = image_facts("a.png", picture(1)[..., None])
    stats = [Stats(0, high, 1, 1, 0, high) for high in (300, 310, 1.7e6, 290)]
    facts = [
        CaseFacts(id=str(row), image=replace(base, digest=str(row), dtype="float32", stats=of, orientation="RAS"))
        for row, of in enumerate(stats)
    ]
    cases = tuple(Case(id=str(row), image=f"{row}.nii::axial/0", volume="v") for row in range(4))
    findings = inspect(DiscoveredDataset(cases, (), ()), facts).findings
    assert one(findings, "DATA-097").files == ("2.nii",) and "usually 305, here 1.7e+06" in findings[0].text
    mixed = [replace(facts[0], image=replace(base, orientation="RAS")), *facts[1:]]
    assert one(inspect(DiscoveredDataset(cases, (), ()), mixed).findings, "DATA-009").severity == "warning"


def test_what_dicom_tells_of_the_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydicom")
    monkeypatch.setattr(
        "sfumato.data.formats.dicom.series.risks", lambda path: ("patient tags are present",) * (path.stem == "a")
    )
    cases = tuple(Case(id=name, image=f"{name}::axial/{row}") for row, name in enumerate(("a.dcm", "a.dcm", "b.nii")))
    base = image_facts("x.png", picture(1)[..., None])
    facts = [CaseFacts(id=case.id, image=replace(base, digest=str(row))) for row, case in enumerate(cases)]
    finding = one(inspect(DiscoveredDataset(cases, (), ()), facts).findings, "DATA-092")
    assert finding.files == ("a.dcm",) and "1 volume tells" in finding.text


def test_processes_measure_the_same(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.data.inspection.inspect.FILES_AT_ONCE", 2)
    (clean / "images" / "case05.png").write_bytes(b"")
    cases = find_cases(clean).cases
    alone, together = list(measure_cases(cases)), list(measure_cases(cases, workers=2))
    assert [fact.id for fact in together] == [case.id for case in cases]
    assert [str(problem) for problem in together[5].problems] == [str(problem) for problem in alone[5].problems]
    assert [replace(fact, problems=()) for fact in together] == [replace(fact, problems=()) for fact in alone]


def test_a_worker_loads_no_torch() -> None:
    import subprocess

    code = "import sys, sfumato.data.inspection.inspect; assert not {'torch', 'pandas', 'nibabel'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_killed_worker_is_told(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.data.inspection.inspect.FILES_AT_ONCE", 1)
    facts = measure_cases(
        find_cases(clean).cases * 50, workers=2
    )  # more than are under way at once, however fast they are
    next(facts)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(ResourceError, match="ended before its time"):
        list(facts)


def test_fingerprint(clean: Path) -> None:
    found = find_cases(clean)
    numbers = fingerprint(found, [case_facts(case) for case in found.cases])
    assert numbers["cases"] == COUNT and numbers["splits"] == {"": COUNT}
    assert numbers["sizes"] == {"min": [48, 48], "median": [48, 48], "max": [48, 48], "histogram": {"48x48": COUNT}}
    assert numbers["dtypes"] == {"uint8": COUNT} and numbers["colour"] == 0 and numbers["spacing"] is None
    assert numbers["mask_classes"]["foreground"]["share"] == pytest.approx(float((disc(0) > 0).mean()))
    assert numbers["masks"]["components"] == {"median": 1, "max": 1} and numbers["masks"]["rule_values"] == [0, 255]
    assert numbers["disagreement"]["source"] == "outline" and numbers["disagreement"]["pixels"] > 20
    assert numbers["modality"] == "unknown" and all(text.endswith(".") for text in numbers["recommendations"])
    assert fingerprint(found._replace(cases=(), modality="MR"), [])["modality"] == "mr"


@pytest.mark.parametrize(
    ("dtype", "low", "high", "coloured", "expected"),
    [
        ("int16", -1000, 1500, False, "ct"),
        ("float32", -1000, 1500, False, "ct"),
        ("float32", -1000.5, 1500.25, False, "unknown"),
        ("int16", -100, 1500, False, "unknown"),
        ("uint8", 0, 255, True, "photo"),
        ("uint8", 0, 255, False, "unknown"),
        ("uint16", 0, 4095, True, "unknown"),
    ],
)
def test_modality_is_guessed_only_where_the_numbers_tell(
    dtype: str, low: float, high: float, coloured: bool, expected: str
) -> None:
    base = image_facts("a.png", picture(1)[..., None])
    stats = Stats(low, high, 0.0, 1.0, low + 1, high - 1)
    image = replace(base, dtype=dtype, stats=stats, coloured=coloured, channels=3 if coloured else 1)
    assert guess_modality([CaseFacts(id="a", image=image)]).modality == expected


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    found = find_cases(tmp_path)
    inspection = inspect(found, list(measure_cases(found.cases)))
    assert codes(inspection.findings) == {"DATA-003"}
    numbers = fingerprint(found, inspection.facts)
    assert numbers["unreadable"] == 1 and numbers["sizes"] is None and numbers["masks"] is None


def test_masks_alone_that_cannot_be_read(clean: Path) -> None:
    for file in (clean / "masks").iterdir():
        file.write_bytes(b"")
    finding = one(look(clean), "DATA-003")
    assert len(finding.files) == COUNT and "23 more" in finding.text


def test_an_error_survives_the_way_from_a_process() -> None:
    import pickle

    problem = pickle.loads(pickle.dumps(DataError("a", expected="b", remedy="c", code="DATA-001")))
    assert str(problem) == str(DataError("a", expected="b", remedy="c", code="DATA-001"))


def test_mask_facts_of_an_empty_mask() -> None:
    facts = mask_facts(np.zeros((5, 5), np.uint8))
    assert facts.components == 0 and facts.outline == 0 and facts.values == {0: 25}


def test_what_the_usual_sizes_cost_is_told_and_small_objects_are_worth_a_warning(tmp_path: Path) -> None:
    speckled = np.zeros((160, 160), np.uint8)
    speckled[::12, ::16] = 255
    for seed in range(6):
        save(tmp_path / "images" / f"case{seed}.png", picture(seed, side=160))
        save(tmp_path / "masks" / f"case{seed}.png", speckled)
    (found,) = [finding for finding in look(tmp_path) if finding.code == "DATA-104"]
    assert found.severity == "warning" and "(6 masks measured)" in found.text and "--size" in found.fix
    assert "at 64 pixels" in found.text and "objects are lost" in found.text and " at 128 pixels" in found.text
    for seed in range(6):
        save(tmp_path / "masks" / f"case{seed}.png", np.pad(np.kron(disc(seed), np.ones((3, 3), np.uint8)), 8))
    (found,) = [finding for finding in look(tmp_path) if finding.code == "DATA-104"]
    assert found.severity == "note" and not found.fix


@pytest.mark.parametrize(("alpha", "told"), [(255, False), (254, True)])
def test_transparency_is_that_of_pixels_and_not_of_the_format(clean: Path, alpha: int, told: bool) -> None:
    opaque = np.full((SIDE, SIDE, 4), 255, np.uint8)
    opaque[..., :3] = picture(0)[..., None]
    opaque[3, 3, 3] = alpha
    save(clean / "images" / "case00.png", opaque)
    assert any(finding.code == "DATA-094" for finding in look(clean)) is told


def test_leaving_out_is_not_advised_where_it_was_asked_for(clean: Path) -> None:
    (clean / "masks" / "case03.png").unlink()
    found = find_cases(clean, hints=ReadOptions(drop_unpaired=True))
    for severity, advised in (("error", True), ("note", False)):
        findings = inspect(found, list(measure_cases(found.cases)), unpaired=severity).findings
        (finding,) = [one for one in findings if one.code == "DATA-010"]
        assert ("or leave them out with" in finding.fix) is advised
