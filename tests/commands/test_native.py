"""Images of many sizes, each trained on and segmented in its own."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.preloaded import Preloaded

from sfumato import slabs
from sfumato.commands import audit, evaluate, info, prepare, train
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_mask, write_image
from sfumato.errors import UsageError
from sfumato.experiment import inference
from sfumato.experiment.inference import in_original_size, predict, predict_array
from sfumato.experiment.run import load_model
from sfumato.tables import read_rows
from sfumato.training.checkpoint import newest

SIZES = [(30, 44), (24, 24), (52, 20), (30, 44), (41, 37), (24, 60), (30, 44), (33, 33), (12, 70), (30, 44)]
SMALL = [
    "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}",
    "data.patch=[16, 16]",
    "process={kind: gaussian, prediction: logits, critical_log_snr: -5}",
    "sample.steps=2",
    "train.learning_rate=0.003",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright squares of three to nine pixels on noise."""
    folder, random = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for row in range(20):
        height, width = SIZES[row % len(SIZES)]
        image, mask = random.integers(0, 90, (height, width)).astype(np.uint8), np.zeros((height, width), np.uint8)
        for _ in range(3):
            side = int(random.integers(3, 10))
            down, across = random.integers(0, height - side), random.integers(0, width - side)
            mask[down : down + side, across : across + side] = 255
        write_image(folder / "images" / f"{row:02}.png", np.where(mask > 0, 200, image).astype(np.uint8))
        write_image(folder / "masks" / f"{row:02}.png", mask)
    return folder


@pytest.fixture(scope="module")
def native(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native") / "set"
    prepare.prepare(source, out=out, size="native")
    return out


def trained(native: Path, run: Path, steps: int = 80, extra: Sequence[str] = ()) -> Path:
    train.segment(native, out=run, steps=steps, batch=8, set=[*SMALL, "validate.every_steps=40", *extra])
    return run


@pytest.fixture(scope="module")
def run(native: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(native, tmp_path_factory.mktemp("native_run") / "run")


def test_masks_are_as_sharp_as_the_images(run: Path, native: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions"
    segmenting.segment(run, native, out=out, split="test", samples=2, sampling=SamplingFlags(steps=2))
    cases = [case for case in Dataset.open(native).cases if case.split == "test"]
    for case in cases:
        with Image.open(case.image) as image:
            assert read_mask(str(out / "masks" / f"{case.id}.png")).shape == image.size[::-1]
    scores = evaluate.masks(out, native, out=tmp_path / "scores")
    assert scores["arms"]["diffusion"]["dice"]["mean"] > 0.7, scores


def test_a_validation_scores_what_it_looks_at(run: Path) -> None:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    scores = [record for record in records if record["kind"] == "validate"]
    assert [record["step"] for record in scores] == [40, 80]
    assert all(0 <= record["dice"] <= 1 and record["loss_held_out"] > 0 for record in scores)
    assert (run / "samples" / "step-00000080.png").is_file()


def test_a_member_is_the_same_alone_and_among_others(run: Path, native: Path) -> None:
    model, opened = load_model(run), Dataset.open(native)
    cases = [opened.cases[row] for row in opened.rows("test")]
    sampler = model.sampler(steps=2)
    together = list(predict(model, sampler, cases, count=3, seed=1, batch=16))
    for case, ensemble in zip(cases, together, strict=True):
        (alone,) = predict(model, sampler, [case], count=3, seed=1, batch=1)
        assert np.array_equal(alone.members, ensemble.members)
        assert ensemble.members.shape[2:] == ensemble.picture.shape[:2]


def test_an_array_larger_than_any_image_is_segmented_in_its_size(run: Path) -> None:
    image = np.full((70, 90), 40, np.uint8)
    image[30:40, 50:58] = 200
    found = predict_array(load_model(run), image, count=1)
    assert found.mask.shape == (70, 90) and found.mask[32:38, 52:56].all() and found.mask.mean() < 0.2


def test_a_run_goes_on_to_the_same_bits(native: Path, tmp_path: Path) -> None:
    extra = ["data.augment=medium", "checkpoint.every_steps=5"]
    through = trained(native, tmp_path / "through", 10, extra)
    stopped = tmp_path / "stopped"
    shutil.copytree(through, stopped)
    shutil.rmtree(stopped / "checkpoints" / "step-00000010")
    train.resume(stopped)
    ends = [newest(each / "checkpoints") for each in (through, stopped)]
    assert ends[0] is not None and ends[1] is not None and ends[0].step == ends[1].step == 10
    assert all(tensor.equal(ends[1].tensors["ema"][name]) for name, tensor in ends[0].tensors["ema"].items())


@pytest.mark.slow
@pytest.mark.parametrize("network", ["unet", "amortised"])
def test_two_processes_cut_the_patches_of_one(native: Path, preloaded: Preloaded, tmp_path: Path, network: str) -> None:
    settings = [*SMALL, "data.augment=medium", "validate.every_steps=6", "validate.cases=2", "checkpoint.every_steps=6"]
    if network == "amortised":
        settings[0] = "network={kind: amortised, channels: 8, multipliers: [1, 2, 2], blocks: 1, stem: 1, stride: 1}"
    flags = [word for setting in settings for word in ("--set", setting)]
    runs = {}
    for processes in (1, 2):
        out = tmp_path / str(processes)
        command = ["train", "segment", native, "--out", out, "--steps", "6", "--batch", "4", *flags]
        done = preloaded.start(command, processes=processes)
        assert done.wait() == 0, done.stderr.read_text()
        runs[processes] = newest(out / "checkpoints")
    one, two = runs[1], runs[2]
    assert one is not None and two is not None and one.step == two.step == 6
    for name, tensor in one.tensors["ema"].items():
        assert tensor.allclose(two.tensors["ema"][name], atol=5e-5), name  # as in test_train: Adam on rounding


@pytest.mark.parametrize("kind", ["sdd", "categorical", "none", "ssn"])
def test_any_process_trains_on_patches(native: Path, tmp_path: Path, kind: str) -> None:
    settings = [word for word in SMALL if not word.startswith("process=")]
    train.segment(native, out=tmp_path / "run", steps=2, batch=4, set=[*settings, f"process.kind={kind}"])
    model = load_model(tmp_path / "run")
    mask = predict_array(model, np.zeros((40, 30), np.uint8), count=1, sampler=model.sampler(steps=2)).mask
    assert mask.shape == (40, 30)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data.patch=[128, 128]"], "exceeds every image"),
        (["data.patch=whole"], "make no batch"),
        (["data.size=[64, 64]"], "other settings"),
    ],
)
def test_patches_that_make_no_sense_are_refused(native: Path, tmp_path: Path, settings: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        train.segment(native, out=tmp_path / "run", steps=1, set=settings)
    assert refused.value.remedy and not (tmp_path / "run").exists()


def test_generators_want_images_of_one_size(native: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="own size") as refused:
        train.generate(native, out=tmp_path / "run", steps=1)
    assert "--size" in str(refused.value.remedy)


@pytest.mark.parametrize(("size", "words"), [("native", "each keeps its own"), ("24", "resized to 24 x 24, stretched")])
def test_a_dry_run_tells_what_becomes_of_the_sizes(source: Path, tmp_path: Path, capsys, size: str, words: str) -> None:
    told = prepare.prepare(source, out=tmp_path / "set", size=size, dry_run=True)
    said = capsys.readouterr().err
    assert words in said and "8 x 8" not in said
    assert told["size"] == ("native" if size == "native" else [24, 24])


def test_a_dry_run_refuses_what_the_real_one_would(source: Path, tmp_path: Path) -> None:
    flags = prepare.PreparationFlags(crop=True)
    with pytest.raises(UsageError, match="neither padded nor cut"):
        prepare.prepare(source, out=tmp_path / "set", size="native", preparation=flags, dry_run=True)


def test_an_audit_and_measured_steps_look_at_parts_of_one_size(
    run: Path, native: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.audit(run, native, out=tmp_path / "audit", calls="1,2", batch=4)
    told = capsys.readouterr().err
    assert "a part of 16 x 16 pixels around its foreground" in told
    arms = {row["arm"] for row in read_rows(tmp_path / "audit" / "scores.csv")}
    assert {"random state", "shuffled state"} <= arms
    segmenting.segment(run, native, out=tmp_path / "masks", split="test", sampling=SamplingFlags(steps="auto"))
    assert (run / "measured.json").is_file() and read_mask(str(next((tmp_path / "masks" / "masks").iterdir()))).any()


def test_info_tells_that_sizes_are_kept_and_what_the_network_sees(
    run: Path, native: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info.info(native)
    info.info(run)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("each in its own size") == 2 and "in windows of 16 x 16 pixels" in told
    card = " ".join((run / "model_card.md").read_text(encoding="utf-8").split())
    assert "It sees images in windows of 16 x 16 pixels" in card


def test_how_many_masks_are_drawn_at_once_changes_no_bit(
    run: Path, native: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, opened = load_model(run), Dataset.open(native)
    case = opened.cases[opened.rows("test")[0]]
    (together,) = predict(model, model.sampler(steps=2), [case], count=3, seed=1, batch=8)
    monkeypatch.setattr(inference, "DRAWN_AT_ONCE", 1)
    (alone,) = predict(model, model.sampler(steps=2), [case], count=3, seed=1, batch=8)
    assert np.array_equal(together.members, alone.members)
    whole = in_original_size(together)
    monkeypatch.setattr(slabs, "PIXELS_TOGETHER", 3 * together.picture.shape[1])
    for one, other in zip(whole, in_original_size(together), strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other), "band by band"
