"""Runs, datasets and donors from anyone: each file of them is as we write it, or refused with the right exit code."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sfumato.builder.training import build_parts
from sfumato.commands import exchange, info, train
from sfumato.data.dataset import Dataset
from sfumato.errors import DataError, ModelError, SfumatoError, UsageError
from sfumato.experiment import pretrained_models as donors
from sfumato.experiment.dataset_record import check_dataset
from sfumato.experiment.pretrained import RECORD, resolve_init, start_from
from sfumato.experiment.run import Run
from sfumato.networks.foreign import folder as foreign
from sfumato.networks.foreign.diffusers_unet import described
from sfumato.training.weights import load_bin, write_weights

BROKEN = ("{", "[" * 5000, "3", "[]", "null", '{"a": 1, "a": 2}', "\0", "")


@pytest.fixture
def run(generate_run: Path, tmp_path: Path) -> Run:
    """A copy of a run, whose dataset stays where it is."""
    copy = Run(Path(shutil.copytree(generate_run, tmp_path / "run")))
    record = {**Run(generate_run).record, "dataset": str(Run(generate_run).dataset)}
    (copy.folder / "run.json").write_text(json.dumps(record))
    return copy


@pytest.mark.parametrize("content", [*BROKEN, '{"dataset": 3}', '{"dataset": ""}', '{"sha256": "x"}'])
def test_a_run_that_names_no_dataset_is_told(content: str, run: Run) -> None:
    (run.folder / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"run\.json"):
        train.resume(run.folder, dry_run=True)
    assert info.info(run.folder)["model"]["step"] > 0, "a model needs no dataset"


@pytest.mark.parametrize("content", BROKEN)
def test_a_run_without_a_readable_recipe_is_told(content: str, run: Run) -> None:
    run.recipe_file.write_text(content)
    with pytest.raises(UsageError, match=r"recipe\.yaml"):
        train.resume(run.folder, dry_run=True)


@pytest.mark.parametrize("content", [*BROKEN, '{"cases": 3}', '{"cases": [3]}', '{"cases": {"a": null}}'])
def test_a_run_that_knows_its_cases_in_another_form_is_told(
    content: str, run: Run, dataset: Path, tmp_path: Path
) -> None:
    (run.folder / "cases.json").write_text(content)
    moved = Path(shutil.copytree(dataset, tmp_path / "moved"))
    with pytest.raises(SfumatoError) as refused:
        check_dataset(run, moved)
    assert refused.value.exit_code in (2, 3)


WORDS = {"model": "nowhere/model", "sha256": "0" * 64, "words": {"train": {"learning_rate": 1e-4}}}


@pytest.mark.parametrize(
    "content",
    [*BROKEN, *(json.dumps({**WORDS, **change}) for change in (
        {"model": 3}, {"model": "a\0b"}, {"sha256": None}, {"words": 3}, {"words": {}}, {"words": {"train": {}}},
        {"words": {"train": {"learning_rate": "x"}}}, {"words": {"network": [1], "train": {"learning_rate": 1}}},
    ))],
)  # fmt: skip
def test_a_run_that_started_from_something_unreadable_is_told(content: str, run: Run) -> None:
    (run.folder / RECORD).write_text(content)
    with pytest.raises(ModelError, match=RECORD):
        resolve_init("x", "generate", run, file=None, settings=[])


def test_a_run_of_anyone_asks_nothing_of_the_hub(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def download(name: str, *, local_files_only: bool, **_: Any) -> str:
        asked.append(local_files_only)
        raise OSError("not in the cache")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    (run.folder / RECORD).write_text(json.dumps(WORDS))
    spec = Dataset.open(run.dataset).spec
    with pytest.raises(ModelError, match="nowhere/model"):
        start_from(run, build_parts(run.recipe, spec, device="cpu"), run.recipe, spec)
    with pytest.raises(ModelError, match="nowhere/model"):
        donors.read_donor("nowhere/model")
    assert asked == [True, False], "the person names it on the command line, a folder does not"


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "{", lambda _: "[" * 5000, lambda _: "3", lambda text: text.replace('"format"', '"form"'),
        lambda text: text.replace('"format": ', '"format": 9'), lambda text: text.replace('"size": [', '"size": [-1, '),
        lambda text: text.replace('"channels": 3', '"channels": 1000000000'),
        lambda text: text.replace('"notes": [', '"notes": [3, '), lambda text: text.replace('"low": 0', '"low": NaN'),
        lambda text: text.replace('"readers"', '"writers"'),
    ],
)  # fmt: skip
def test_a_dataset_described_otherwise_is_told(change: Callable[[str], str], dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    text = json.dumps(json.loads((copy / "dataset.json").read_text()))
    assert change(text) != text
    (copy / "dataset.json").write_text(change(text))
    with pytest.raises(DataError):
        Dataset.open(copy)


@pytest.mark.parametrize(("column", "value"), [("height", "x"), ("width", "-3"), ("height", "1" * 12), ("height", "")])
def test_a_dataset_with_images_of_no_size_is_told(column: str, value: str, dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    header, first, *rest = (copy / "manifest.csv").read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index(column)] = value
    (copy / "manifest.csv").write_text("\n".join([header, ",".join(cells), *rest]) + "\n")
    with pytest.raises(DataError, match="no size"):
        Dataset.open(copy)


CONFIG = {
    "_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1,
    "block_out_channels": [4, 4], "norm_num_groups": 2, "attention_head_dim": 4,
    "down_block_types": ["DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D"],
}  # fmt: skip
SCHEDULER = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02, "num_train_timesteps": 10}


@pytest.fixture(scope="module")
def unet() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(tensor.shape) for name, tensor in described(CONFIG).weights.items()}


def written(folder: Path, tensors: Any, config: Any = CONFIG, scheduler: Any = SCHEDULER, index: Any = None) -> Path:
    """A folder as diffusers writes them, or as somebody else does."""
    folder.mkdir(exist_ok=True)
    files = {foreign.MODEL: config, foreign.SCHEDULER: scheduler, foreign.INDEX: index}
    for name, content in files.items():
        if content is not None:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    write_weights(folder / foreign.WEIGHT_FILES[0], tensors, {})
    return folder


def test_a_network_of_diffusers_is_imported(unet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    made = exchange.import_(str(written(tmp_path / "theirs", unet)), out=tmp_path / "ours.safetensors")
    assert made["size"] == (8, 8) and info.info(tmp_path / "ours.safetensors")["parameters"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"layers_per_block": 10**6}, {"layers_per_block": "x"}, {"block_out_channels": [10**9, 10**9]},
        {"block_out_channels": [30_000, 30_000]}, {"block_out_channels": []}, {"block_out_channels": 3},
        {"norm_num_groups": 0}, {"attention_head_dim": 0}, {"act_fn": "os.system"}, {"down_block_types": [[]]},
        {"sample_size": 10**6}, {"sample_size": [8]}, {"sample_size": "x"}, {"in_channels": None},
        {"num_class_embeds": 10**9}, {"_class_name": "os:system"}, {"time_embedding_type": "fourier"},
        {"down_block_types": ["DownBlock2D"] * 5000, "up_block_types": ["UpBlock2D"] * 5000,
         "block_out_channels": [4] * 5000},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_is_not_that_of_its_weights_is_told(
    change: dict[str, Any], unet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = written(tmp_path / "theirs", unet, {**CONFIG, **change})
    with pytest.raises(SfumatoError) as refused:
        exchange.import_(str(folder), out=tmp_path / "ours.safetensors")
    assert refused.value.exit_code in (2, 5) and not (tmp_path / "ours.safetensors").exists()


@pytest.mark.parametrize(
    ("part", "content"),
    [
        *(("config", content) for content in BROKEN),
        *(("scheduler", content) for content in BROKEN if content not in ("null", "[]")),
        ("scheduler", {**SCHEDULER, "num_train_timesteps": 10**9}), ("scheduler", {**SCHEDULER, "beta_end": "x"}),
        ("scheduler", {**SCHEDULER, "trained_betas": 3}), ("scheduler", {**SCHEDULER, "trained_betas": [1e999]}),
        ("scheduler", {**SCHEDULER, "beta_schedule": [1]}), ("scheduler", {**SCHEDULER, "prediction_type": {}}),
        ("index", {"": [1, 2]}), ("index", "[1"), ("index", {"safety": ["evil.module", "Class"]}),
    ],
)  # fmt: skip
def test_other_files_beside_weights_are_told(
    part: str, content: Any, unet: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    folder = written(tmp_path / "theirs", unet, **{part: content})
    with pytest.raises(ModelError):
        donors.read_donor(str(folder))


def test_weights_to_start_from_are_numbers(unet: dict[str, torch.Tensor], tmp_path: Path, run: Run) -> None:
    broken = {name: tensor * float("nan") for name, tensor in unet.items()}
    with pytest.raises(ModelError, match="NaN"):
        donors.read_donor(str(written(tmp_path / "theirs", broken)))


class Evil:
    """A pickle that would run something."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("must not run",))


def test_a_pickle_gives_tensors_of_its_own_size_or_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "weights.bin"
    torch.save({"a": torch.ones(3), "b": torch.ones(4)[::2]}, file)
    assert set(load_bin(file)) == {"a", "b"}
    for content in (
        {"a": torch.ones(1).expand(10**12)}, {"a": 3}, {1: torch.ones(3)}, [torch.ones(3)],
        {"a": torch.ones(3).to_sparse()}, {"a": Evil()},
    ):  # fmt: skip
        torch.save(content, file)
        with pytest.raises(ModelError, match="bare weights"):
            load_bin(file)
    for words in (b"", b"PK\3\4", b"\x80\2.", b"x" * 100, pickle.dumps({"a": Evil()}), pickle.dumps([1])[:-1]):
        file.write_bytes(words)
        with pytest.raises(ModelError, match="bare weights"):
            load_bin(file)
    assert "must not run" not in capsys.readouterr().out


def test_a_packed_archive_is_not_unfolded(tmp_path: Path) -> None:
    file, packed = tmp_path / "weights.bin", tmp_path / "packed.bin"
    torch.save({"a": torch.zeros(1000)}, file)
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in whole.namelist():
            archive.writestr(entry, whole.read(entry))
    with pytest.raises(ModelError, match="compressed"):
        load_bin(packed)
