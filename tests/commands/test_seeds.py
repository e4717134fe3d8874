"""The same bytes for a seed and class: in any batch, order and company. The network sees batches of one size alone."""

from pathlib import Path

import numpy as np
import pytest
from tests.commands.flagged import as_flags

from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.data.manifest import read_manifest
from sfumato.errors import UsageError
from sfumato.experiment.inference import predict
from sfumato.experiment.run import load_model
from sfumato.experiment.sample_requests import parse_seeds, plan_images

Pictures = dict[tuple[str, str | None], bytes]


def made(folder: Path) -> Pictures:
    """The bytes of each image by seed and class."""
    cases = read_manifest(folder / "manifest.csv")
    return {(case.more["seed"], case.label): Path(case.image).read_bytes() for case in cases}


@pytest.fixture(scope="module")
def reference(generate_run: Path) -> Pictures:
    out = generate_run.parent / "seeds"
    generating.generate(generate_run, out=out, seeds="0-10", count=11, sampling=SamplingFlags(guidance=1.5))
    return made(out)


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 9])
def test_any_batch(generate_run: Path, reference: Pictures, tmp_path: Path, batch: int) -> None:
    generating.generate(
        generate_run, out=tmp_path / "out", seeds="0-10", count=11, batch=batch, sampling=SamplingFlags(guidance=1.5)
    )
    assert made(tmp_path / "out") == reference


def test_any_order_and_company(generate_run: Path, reference: Pictures, tmp_path: Path) -> None:
    """Half of the seeds, backwards, one class at a time, as shards of several processes would make them."""
    for label in {label for _, label in reference}:
        seeds = sorted((int(seed) for seed, other in reference if other == label), reverse=True)[::2]
        asked = {"seeds": ",".join(map(str, seeds)), "count": len(seeds), "class_": label, "guidance": 1.5}
        generating.generate(generate_run, out=tmp_path / str(label), batch=4, **as_flags(asked))
        found = made(tmp_path / str(label))
        assert len(found) == len(seeds) and found.items() <= reference.items()


def test_seeds_and_classes_differ(generate_run: Path, reference: Pictures, tmp_path: Path) -> None:
    assert len(set(reference.values())) == len(reference)
    generating.generate(generate_run, out=tmp_path / "none", seeds="0", count=1, class_="unconditional")
    assert not set(made(tmp_path / "none").values()) & set(reference.values())


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_members_of_a_case(segment_run: Path, dataset: Path, batch: int) -> None:
    model = load_model(segment_run)
    cases = [case for case in Dataset.open(dataset).cases if case.split != "train"][:4]
    sampler = model.sampler(steps=2)
    together = {each.case.id: each.members for each in predict(model, sampler, cases, count=3, seed=1, batch=16)}
    for each in predict(model, sampler, cases[::-1], count=3, seed=1, batch=batch):
        assert np.array_equal(each.members, together[each.case.id])
    fewer = next(predict(model, sampler, cases[1:2], count=2, seed=1, batch=batch))
    assert np.array_equal(fewer.members, together[cases[1].id][:2])


def test_masks_of_a_case_have_the_same_bytes(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, batch in zip(folders, (1, 7), strict=True):
        segmenting.segment(
            segment_run, dataset, out=folder, split="test", samples=3, sampling=SamplingFlags(steps=2), batch=batch
        )
    kinds = ("masks", "probability", "uncertainty", "members")
    files = [path.relative_to(folders[0]) for kind in kinds for path in (folders[0] / kind).glob("*.png")]
    assert len(files) > 4
    assert all((folders[0] / file).read_bytes() == (folders[1] / file).read_bytes() for file in files)


def test_the_order_of_seeds_is_kept() -> None:
    assert parse_seeds("0-63,100") == [*range(64), 100]
    assert parse_seeds("5,0-2") == [5, 0, 1, 2]
    plan = plan_images(["a", "b"], count=3, label="b", per_class=None, seeds=[9, 3, 4])
    assert [(image.number, image.seed, image.label) for image in plan] == [(0, 9, "b"), (1, 3, "b"), (2, 4, "b")]


@pytest.mark.parametrize(
    ("text", "finding"),
    [("3-1", "backwards"), ("1,2,1", "twice: 1"), ("0-3,2-5", "twice: 2, 3"), ("", "--seeds"), ("1,,2", "--seeds")],
)
def test_wrong_seeds_are_refused(text: str, finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        parse_seeds(text)
