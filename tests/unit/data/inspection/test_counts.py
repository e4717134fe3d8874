"""What a finding counts has the finding: soft masks among sharp ones, planes of volumes, inverted readers, classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sfumato.data.copies import Copies
from sfumato.data.encoding import Storage
from sfumato.data.facts import CaseFacts, facts_of, image_facts, mask_facts
from sfumato.data.inspection.finding import Finding, most_frequent, volume_files
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.inspection.inspect import inspect
from sfumato.data.inspection.splits import find_in_splits
from sfumato.data.manifest import Case
from sfumato.data.source import DiscoveredDataset

SIDE = 24
JPEG = Storage("JPEG", "L", True, 1, False, ())


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (SIDE, SIDE, 1), np.uint8)


def square(start: int = 4, stop: int = 12, *, value: int = 255) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[start:stop, start:stop] = value
    return mask


def soft(seed: int) -> np.ndarray:
    """A square whose edge has greys."""
    mask = square()
    mask[3, 4:12] = np.random.default_rng(seed).integers(1, 255, 8)
    return mask


def found_of(cases: Sequence[Case]) -> DiscoveredDataset:
    return DiscoveredDataset(tuple(cases), (), ())


def findings_of(masks: Sequence[Sequence[np.ndarray]]) -> tuple[Finding, ...]:
    """Of cases with these masks, one list for each case."""
    return inspect(*cases_of(masks)).findings


def cases_of(masks: Sequence[Sequence[np.ndarray]]) -> tuple[DiscoveredDataset, list[CaseFacts]]:
    cases = [
        Case(id=str(row), image=f"{row}.png", masks=tuple(f"{reader}/{row}.png" for reader in range(len(drawn))))
        for row, drawn in enumerate(masks)
    ]
    facts = [facts_of(case, picture(row), drawn) for row, (case, drawn) in enumerate(zip(cases, masks, strict=True))]
    return found_of(cases), facts


def one(findings: Sequence[Finding], code: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.code == code]
    return finding


def test_only_soft_masks_are_called_soft() -> None:
    masks = [[soft(row)] if row % 3 == 0 else [square(value=255 * (row % 5 > 0))] for row in range(30)]
    finding = one(findings_of(masks), "DATA-077")
    assert finding.text == "10 of 30 masks are resized or smoothed: greys at the edges"
    assert finding.files == tuple(f"0/{row}.png" for row in range(0, 30, 3))


def test_soft_and_jpeg_masks_are_told_apart() -> None:
    found, facts = cases_of([[soft(0)], [soft(1)], [square()], [square()]])
    facts[1] = replace(facts[1], masks=(mask_facts(soft(1), storage=JPEG),))
    finding = one(inspect(found, facts).findings, "DATA-077")
    jpeg, smooth = finding.text.split("; ")
    assert jpeg == "1 of 4 masks is stored as JPEG, which blurs values" and finding.files == ("0/1.png", "0/0.png")
    assert smooth == "1 of 4 masks is resized or smoothed: greys at the edges"


@pytest.mark.parametrize("inverted", [(0, 1), (0,), (1,)])
def test_readers_of_inverted_masks_agree_as_on_the_lesion(inverted: tuple[int, ...]) -> None:
    """Of a set that is inverted as a whole, or of one reader's masks; what is compared is the lesion."""
    apart = square() | square(16, 19)  # two regions, of which the turned mask shows one
    drawn = [[apart, square(6, 14)] for _ in range(9)] + [[square(0, 0), square()]]
    turned = [[255 - mask if reader in inverted else mask for reader, mask in enumerate(case)] for case in drawn]
    turned[9] = drawn[9] if len(inverted) == 1 else turned[9]  # a full mask alone is not taken for inverted
    plain, readers = (one(findings_of(masks), "DATA-096").text for masks in (drawn, turned))
    assert readers == plain.replace("; in", ", inverted masks put right; in", 1)
    assert "mean Dice of 0.47" in plain and "in 1 of 10 images" in plain
    expected, numbers = (fingerprint(*cases_of(masks)) for masks in (drawn, turned))
    assert numbers["disagreement"] == expected["disagreement"]
    assert numbers["mask_classes"] == expected["mask_classes"]
    assert numbers["masks"]["components"] == expected["masks"]["components"]


def test_what_is_stored_is_told_where_nothing_is_put_right() -> None:
    found, facts = cases_of([[255 - square(), 255 - square(6, 14)]] * 4)
    stored = fingerprint(found, facts, as_stored=True)
    assert stored["mask_classes"]["foreground"]["share"] == pytest.approx(1 - 64 / SIDE**2)
    assert stored["disagreement"]["dice"] > 0.9 > fingerprint(found, facts)["disagreement"]["dice"]


def test_what_speaks_for_inverted_masks_is_true_of_all_that_are_counted() -> None:
    single = findings_of([[255 - square()], *[[square()]] * 9])
    assert one(single, "DATA-076").text == "1 of 10 masks is more than 80% foreground: is it inverted?"
    large = square(0, 16)  # 56 % of a mask is left when it is turned
    whole = findings_of([[255 - large], *[[255 - square(4, 8)]] * 9])
    assert one(whole, "DATA-076").text == "93% of the pixels of 10 masks are foreground: are the masks inverted?"


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"a": 4}, "the classes are small: 4 images of a"),
        ({"a": 4, "b": 4}, "the classes are small: 4 images each of a, b"),
        ({"a": 22, "b": 2}, "the classes are uneven: 22 images of a, 2 of b"),
        ({"a": 9, "b": 1, "c": 1}, "the classes are uneven: 9 images of a, 1 each of b, c"),
        (dict.fromkeys("abcdefg", 1), "the classes are small: 1 image each of a, b, c, d, e ..."),
        ({"a": 10, "b": 50}, None),
    ],
)
def test_classes_are_named_once(counts: dict[str, int], told: str | None) -> None:
    cases = [Case(id=f"{name}{n}", image=f"{name}/{n}.png", label=name) for name in counts for n in range(counts[name])]
    findings = list(find_in_splits(found_of(cases), Copies((), ())))
    assert [finding.text for finding in findings if finding.code == "DATA-091"] == ([told] if told else [])


def planes_of(volumes: int, **known: object) -> tuple[DiscoveredDataset, list[CaseFacts]]:
    """Volumes of four planes each."""
    base = replace(image_facts("a.png", picture(0)), orientation="RAS", **known)
    rows = [(volume, plane) for volume in range(volumes) for plane in range(4)]
    cases = [
        Case(id=f"{volume}-{plane}", image=f"{volume}.nii::axial/{plane}", masks=(f"m{volume}.nii::axial/{plane}",),
             volume=str(volume))
        for volume, plane in rows
    ]  # fmt: skip
    drawn = [square(4, 4 + plane) for _, plane in rows]
    facts = [
        CaseFacts(id=case.id, image=replace(base, digest=case.id), masks=(mask_facts(mask),))
        for case, mask in zip(cases, drawn, strict=True)
    ]
    return found_of(cases), facts


def test_volumes_are_counted_once_and_planes_are_called_planes() -> None:
    found, facts = planes_of(3)
    for row in range(4):
        plain = replace(facts[row].image, dtype="int16", stats=facts[0].image.stats._replace(low=7, high=7))
        facts[row] = replace(facts[row], image=plain)
    findings = inspect(found, facts).findings
    assert one(findings, "DATA-009").text.endswith("2 uint8, 1 int16")
    assert one(findings, "DATA-085").text == "1 image has one value everywhere"
    assert one(findings, "DATA-085").files == one(findings, "DATA-009").files == ("0.nii",)
    assert one(findings, "DATA-084").text == "3 of 12 planes of 3 masks are empty, in 3 cases"


def test_rows_of_an_archive_are_images_of_their_own() -> None:
    base = image_facts("a.png", picture(1))
    stats = [base.stats._replace(high=high) for high in (300, 310, 1.7e6, 290)]
    facts = [
        CaseFacts(id=str(row), image=replace(base, digest=str(row), dtype="float32", stats=of))
        for row, of in enumerate(stats)
    ]
    cases = [Case(id=str(row), image=f"a.npz::images/{row}") for row in range(4)]
    finding = one(inspect(found_of(cases), facts).findings, "DATA-097")
    assert finding.files == ("a.npz::images/2",) and finding.text.startswith("1 image has numbers of another scale")


def test_a_picture_that_is_there_exactly_and_nearly_is_one() -> None:
    splits = ("train", "test", "validation", "train")
    cases = [Case(id=str(row), image=f"{row}.png", split=split) for row, split in enumerate(splits)]
    findings = list(find_in_splits(found_of(cases), Copies(exact=((0, 1),), near=((0, 2),))))
    assert one(findings, "DATA-081").text.startswith("1 picture is in several splits")
    assert one(findings, "DATA-081").files == ("0.png", "1.png", "2.png")


def test_kinds_that_are_not_named_are_told() -> None:
    from collections import Counter

    assert most_frequent(Counter("aab")) == "2 a, 1 b"
    assert most_frequent(Counter("abcdefghi")).endswith("1 h ...")


def test_files_of_locators() -> None:
    assert volume_files(["a.nii.gz::axial/0", "a.nii.gz::axial/1", "b.png", "c.npz::images/0", "c.npz::images/1"]) == (
        "a.nii.gz", "b.png", "c.npz::images/0", "c.npz::images/1",
    )  # fmt: skip
