"""Guidance from the command line: its flags, snapshots of a run, and which models may guide which."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.commands.flagged import as_flags

from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags, parse_interval
from sfumato.errors import UsageError
from sfumato.experiment.run import Run, load_guide, load_model

from .conftest import TINY


@pytest.fixture(scope="module")
def kept(dataset: Path) -> Path:
    """A run with snapshots after 4 and 8 steps, stopped at 6 and resumed."""
    folder = dataset.parent / "kept"
    settings = [*TINY, "sample.steps=4", "checkpoint.snapshot_every_images=32"]
    train.generate(dataset, out=folder, steps=6, batch=8, set=settings)
    assert [path.name for path in Run(folder).snapshots.iterdir()] == ["step-00000004.safetensors"]
    train.resume(folder, until_steps=10)
    return folder


def pictures(folder: Path) -> list[bytes]:
    """The pixels; guidance stands in the text of the files."""
    return [Image.open(path).tobytes() for path in sorted(folder.glob("*/0*.png"))]


def draw(run: Path, out: Path, **words: object) -> list[bytes]:
    generating.generate(run, out=out, count=3, **as_flags(words))
    return pictures(out)


def test_snapshots_are_models_and_survive_a_resume(kept: Path) -> None:
    files = sorted(Run(kept).snapshots.iterdir())
    assert [file.name for file in files] == ["step-00000004.safetensors", "step-00000008.safetensors"]
    assert [load_model(file).step for file in files] == [4, 8]


def test_a_guide_is_named_by_path_or_step(kept: Path, tmp_path: Path) -> None:
    names = ["4", "step-4", "step-00000004", str(Run(kept).snapshots / "step-00000004.safetensors")]
    first, *others = (draw(kept, tmp_path / str(k), guidance=2.0, guide=name) for k, name in enumerate(names))
    assert all(other == first for other in others)
    assert first != draw(kept, tmp_path / "plain")
    assert first != draw(kept, tmp_path / "cfg", guidance=2.0)
    assert load_guide("10", kept).step == 10, "a checkpoint"
    assert load_guide(str(Run(kept).checkpoints / "step-00000010"), kept).step == 10


def test_guidance_doubles_the_calls_that_are_told(kept: Path, tmp_path: Path) -> None:
    def calls(**words: object) -> int:
        made = generating.generate(kept, out=tmp_path / "out", count=3, dry_run=True, **as_flags(words))
        return int(made["network_calls"])

    assert calls() == calls(guidance=1.0) == 4
    assert calls(guidance=2.0) == calls(guidance=2.0, guide="4") == calls(guidance=0.0) == 8
    assert (
        generating.generate(kept, out=tmp_path / "out", count=3, sampling=SamplingFlags(guidance=2.0))["network_calls"]
        == 8
    )


def test_outside_its_interval_guidance_changes_nothing(kept: Path, tmp_path: Path) -> None:
    plain = draw(kept, tmp_path / "plain")
    changed = draw(kept, tmp_path / "inside", guidance=3.0, guidance_interval="0,inf")
    assert draw(kept, tmp_path / "all", guidance=3.0) == changed != plain
    assert draw(kept, tmp_path / "outside", guidance=3.0, guidance_interval="200,300") == plain


def test_masks_are_guided_by_an_earlier_checkpoint(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    guide = tmp_path / "twin.safetensors"
    shutil.copy(Run(segment_run).weights(), guide)
    result = segmenting.segment(
        segment_run,
        dataset,
        out=tmp_path / "out",
        split="test",
        sampling=SamplingFlags(steps=2, guidance=2.0, guide=str(guide)),
    )
    assert result["guidance"] == 2.0
    with pytest.raises(UsageError, match="without classes"):
        segmenting.segment(
            segment_run, dataset, out=tmp_path / "none", split="test", sampling=SamplingFlags(guidance=2.0)
        )


def test_another_model_is_no_guide(kept: Path, segment_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot guide(.|\n)*task: segment instead of generate"):
        draw(kept, tmp_path / "out", guidance=2.0, guide=str(segment_run))
    with pytest.raises(UsageError, match=r"process.kind: none instead of gaussian"):
        load_model(segment_run).guidance(load_model(segment_run / "twin"), guidance=2.0)


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ({"guide": "4"}, "--guide without guidance"),
        ({"guidance_interval": "0.2,3"}, "--guidance-interval without guidance"),
        ({"guidance": 2.0, "guide": "5"}, "no snapshot or checkpoint of step 5"),
        ({"guidance": 2.0, "guidance_interval": "3,0.2"}, "--guidance-interval 3,0.2"),
        ({"guidance": 2.0, "guidance_interval": "-1,2"}, "--guidance-interval -1,2"),
    ],
)
def test_wrong_words(kept: Path, tmp_path: Path, words: dict[str, object], finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        draw(kept, tmp_path / "out", **words)


def test_intervals() -> None:
    assert parse_interval("0.2,3") == (0.2, 3.0)
    assert parse_interval("0, inf") == (0.0, float("inf"))
    for wrong in ("1", "1,2,3", "a,b", "nan,2"):
        with pytest.raises(UsageError, match="two noise-to-signal ratios"):
            parse_interval(wrong)
