"""What a set lacks is planned, made, compared with real images, and laid beside them as a dataset."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.commands.conftest import TINY
from tests.commands.test_shards import begun, content

from sfumato.commands import generate as generating
from sfumato.commands import prepare as preparing
from sfumato.commands import report, train
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_image
from sfumato.data.manifest import read_manifest
from sfumato.data.source import find_cases
from sfumato.errors import UsageError
from sfumato.evaluation.balance import ClassShortage, plan_balance
from sfumato.evaluation.copies import CopyDetector, CopyVerdict
from sfumato.evaluation.copies import rejection as judging
from sfumato.evaluation.prove.mixture import synthetic_cases
from sfumato.experiment.inference import GeneratedImage, SampleRequest
from sfumato.provenance import digest
from sfumato.tasks.task import to_uint8
from sfumato.verbs import generate as generation


def verdict(*, copy: bool | None) -> CopyVerdict:
    return CopyVerdict(score=0.5, nearest="case_1", view="as it is", copy=copy, lead=0.1)


class Mirror(CopyDetector):
    """Calls every image a copy whose first pixel is even, or gives no verdict."""

    def __init__(self, threshold: float | None = 0.9) -> None:
        vars(self).update(threshold=threshold, rate=None, why="no held-out images")

    def find_copies(self, images: np.ndarray) -> list[CopyVerdict]:
        return [verdict(copy=None if self.threshold is None else int(each.flat[0]) % 2 == 0) for each in images]


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "build_detector", lambda *_, **__: Mirror())


def rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_class_gets_what_it_lacks() -> None:
    labels = ["b"] * 5 + ["a"] * 2 + [None] * 9
    assert plan_balance(labels) == (ClassShortage("a", 2, 3), ClassShortage("b", 5, 0))
    assert [need.wanted for need in plan_balance(labels, to=4)] == [2, 0]
    assert plan_balance([None]) == ()


@pytest.fixture(scope="module")
def mixed(generate_run: Path, dataset: Path) -> Path:
    out = dataset.parent / "mixed"
    generating.generate(generate_run, out=out, balance=dataset, to=12)
    return out


def test_a_mixed_folder_is_a_balanced_dataset(mixed: Path, dataset: Path, tmp_path: Path) -> None:
    opened, cases = Dataset.open(dataset), read_manifest(mixed / "manifest.csv")
    real, made = cases[: len(opened)], cases[len(opened) :]
    assert {case.origin for case in made} == {"synthetic"} and all(case.id.startswith("synthetic/") for case in made)
    for case, other, picture in zip(real, opened.cases, to_uint8(opened.images(range(len(opened)))), strict=True):
        assert (case.id, case.label, case.patient, case.split) == (other.id, other.label, other.patient, other.split)
        assert (read_image(case.image) == picture).all() and b"tEXt" not in Path(case.image).read_bytes()
    assert {case.split for case in made} == {"train"} and {case.patient for case in made} == {None}
    assert set(Counter(case.label for case in cases if case.split == "train").values()) == {12}
    assert str(dataset) not in (mixed / "manifest.csv").read_text()
    told = {row["copy"] for row in rows(mixed / "manifest.csv")[len(opened) :]}
    assert told == {"no"}, "it is compared with the dataset without being told"
    preparing.prepare(mixed, out=tmp_path / "dataset", size="16")
    prepared = Dataset.open(tmp_path / "dataset")
    assert len(prepared) == len(cases) and len(prepared.rows("test")) == len(opened.rows("test"))
    assert [case.id for case in prepared.cases] == [case.id for case in cases]
    train.generate(mixed, out=tmp_path / "run", size="16", steps=1, batch=4, set=TINY)


def test_what_a_mixture_took_from_a_dataset_is_real_to_a_proof(mixed: Path, dataset: Path) -> None:
    """Also where the dataset is made up itself, as toys are: its test images are no samples."""
    made = synthetic_cases(mixed, digest(dataset) or "")
    taken = {case.source for case in find_cases(mixed).cases} - {case.source for case in made.cases}
    assert (
        taken == {digest(dataset)} and made.cases and all("real" not in Path(case.image).parts for case in made.cases)
    )
    assert made.notes == (f"{len(Dataset.open(dataset))} of {len(find_cases(mixed).cases)} images of SAMPLES are real: "
                          "they were left out",)  # fmt: skip


def test_the_report_counts_real_and_synthetic(mixed: Path, tmp_path: Path) -> None:
    report.report(mixed, out=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Synthetic and real images" in page and "real, validation" in page and "scores as a copy" in page


def test_a_mix_stopped_and_continued_is_the_same(mixed: Path, generate_run: Path, dataset: Path) -> None:
    out = mixed.with_name("again")
    generating.generate(generate_run, out=out, balance=dataset, to=12, shard="1/2", batch=2)
    assert not out.exists() and begun(out)
    generating.generate(generate_run, out=out, balance=dataset, to=12, batch=5)
    assert content(out) == content(mixed)


def test_plans_that_cannot_be_made(
    generate_run: Path, dataset: Path, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def plan(data: Path, **flags: object) -> None:
        generating.generate(generate_run, out=tmp_path / "out", balance=data, dry_run=True, **flags)  # type: ignore[arg-type]

    plan(dataset, to=30)
    counts = Counter(case.label for case in Dataset.open(dataset).cases if case.split == "train")
    said = capsys.readouterr().err
    assert all(f"{label}: {n} for training, {30 - n} to be made, 30 then" in said for label, n in counts.items())
    with pytest.raises(UsageError, match="needs nothing"):
        plan(dataset, to=1)
    with pytest.raises(UsageError, match="--count with --balance"):
        plan(dataset, to=30, count=3)
    with pytest.raises(UsageError, match="expected: a prepared dataset"):
        plan(tmp_path)
    with pytest.raises(UsageError, match="without --balance"):
        generating.generate(generate_run, out=tmp_path / "out", to=5, dry_run=True)
    preparing.prepare(mixed, out=tmp_path / "again", size="16")
    with pytest.raises(UsageError, match="was balanced already"):
        plan(tmp_path / "again", to=30)
    preparing.prepare(dataset.parent / "toy", out=tmp_path / "large", size="20")
    with pytest.raises(UsageError, match=r"size: \(20, 20\), not \(16, 16\)"):
        plan(tmp_path / "large", to=30)


def item(number: int) -> SampleRequest:
    return SampleRequest(number, "a", number)


def draw(wanted: list[SampleRequest]) -> list[GeneratedImage]:
    return [GeneratedImage(each, np.full((2, 2, 1), each.seed % 251, np.uint8)) for each in wanted]


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_copies_are_drawn_again_whatever_the_batch(batch: int) -> None:
    drawn = list(judging.draw_kept(draw, [item(k) for k in range(40)], Mirror(), batch=batch))
    outcomes = {each.outcome.wanted.number: each.outcome for each in drawn}
    again = [outcome for outcome in outcomes.values() if outcome.rejected]
    assert len(outcomes) == 40 and len(again) == 20
    assert all(outcome.rejected[0].seed == outcome.wanted.number for outcome in again)
    assert all(outcome.kept == (outcome.wanted.seed % 251 % 2 == 1) for outcome in outcomes.values())
    seeds = [seen.seed for outcome in again for seen in outcome.rejected]
    assert len(set(seeds)) == len(seeds) and outcomes[1].wanted.seed == 1
    one = next(iter(judging.draw_kept(draw, [item(6)], Mirror(), batch=1))).outcome
    assert one == outcomes[6]
    assert judging.Outcome.of(item(6), json.loads(json.dumps(one.facts()))) == one


def test_an_image_that_only_gives_copies_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mirror, "find_copies", lambda _, images: [verdict(copy=True)] * len(images))
    outcomes = [each.outcome for each in judging.draw_kept(draw, [item(3)], Mirror(), batch=4)]
    assert not outcomes[0].kept and len(judging.rejections(outcomes)) == judging.SEEDS_TRIED
    assert "1 is left out: all their 10 seeds gave copies (000003)" in judging.rejection_sentence(outcomes, Mirror())


def test_without_held_out_images_there_is_no_verdict() -> None:
    mirror = Mirror(threshold=None)
    outcomes = [each.outcome for each in judging.draw_kept(draw, [item(2)], mirror, batch=4)]
    assert outcomes[0].kept and outcomes[0].said["copy"] == "" and outcomes[0].wanted.seed == 2
    assert "no verdict is possible: no held-out images" in judging.rejection_sentence(outcomes, mirror)


@pytest.mark.usefixtures("mirror")
def test_rejected_images_are_listed_and_the_rest_is_the_same_in_shares(
    generate_run: Path, dataset: Path, tmp_path: Path
) -> None:
    whole, shares = tmp_path / "whole", tmp_path / "shares"
    result = generating.generate(generate_run, out=whole, count=18, reject_copies=dataset)
    for shard in ("1/2", "0/2"):
        generating.generate(generate_run, out=shares, count=18, reject_copies=dataset, shard=shard, batch=4)
    assert content(shares) == content(whole)
    listed = rows(whole / "rejected.csv")
    assert result["rejected"] == len(listed) > 0 and {row["copy"] for row in listed} == {"yes"}
    kept = rows(whole / "manifest.csv")
    assert len(kept) + len(result["left_out"]) == 18
    for row in kept:
        assert row["copy"] == "no" and row["nearest_real"] == "case_1" and row["copy_score"] == "0.5000"
        assert read_image(str(whole / row["file"])).flat[0] % 2 == 1
    seeds = {row["seed"] for row in kept} | {row["seed"] for row in listed}
    assert len(seeds) == len(kept) + len(listed)
    plain = generating.generate(generate_run, out=tmp_path / "plain", count=2)
    assert plain["rejected"] == 0 and "copy" not in rows(tmp_path / "plain" / "manifest.csv")[0]
