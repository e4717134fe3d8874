"""`--device`: one flag for every verb that runs a network; what is not there is said, and nothing is begun."""

import inspect
from pathlib import Path

import pytest
import torch

import sfumato
from sfumato.cli import COMMANDS, main
from sfumato.commands import generate as generating
from sfumato.errors import ResourceError, UsageError
from sfumato.experiment.run import load_model
from sfumato.training import processes
from sfumato.training.processes import choose_device, own_device
from sfumato.verbs import train as training

WITHOUT = {
    "toy", "check", "prepare", "convert", "evaluate masks", "report", "ema", "import", "export", "info", "doctor",
}  # fmt: skip
"""Verbs that run no network; `doctor` looks at what is there."""


@pytest.fixture(autouse=True)
def _auto_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_device", "auto")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_every_verb_that_runs_a_network_has_it() -> None:
    with_it, notes = set(), set()
    for parent, name, *_ in COMMANDS:
        verb = name if parent.name[0] == "sfumato" else f"{parent.name[0]} {name}"
        for argument in parent[name].assemble_argument_collection(parse_docstring=True):
            if argument.name == "--device":
                with_it.add(verb)
                notes.add((argument.parameter.help, argument.field_info.default))
    assert with_it == {name if p.name[0] == "sfumato" else f"{p.name[0]} {name}" for p, name, *_ in COMMANDS} - WITHOUT
    ((told, default),) = notes
    assert default == "auto" and "cuda:1" in told and "mps" in told


def test_the_word_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)
    assert own_device() == "cpu"
    gpus(monkeypatch, 2)
    assert own_device() == "cuda:0"
    for word, device in (("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("auto", "cuda:0")):
        choose_device(word)
        assert own_device() == device
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    choose_device("cuda")
    assert own_device() == "cuda:1"
    with pytest.raises(UsageError, match="several processes"):
        choose_device("cuda:0")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    choose_device("mps")
    assert own_device() == "mps"


@pytest.mark.parametrize(
    ("word", "count", "told"),
    [
        ("cuda", 0, "CUDA"), ("cuda:0", 0, "CUDA"), ("cuda:2", 2, "cuda:0 to cuda:1"), ("cuda:1", 1, "cuda:0"),
        ("mps", 0, "Metal"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said(word: str, count: int, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourceError, match=told):
        choose_device(word)
    assert processes._device == "auto"


@pytest.mark.parametrize("word", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "", "cuda:0,1", "tpu", "cuda: 1"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        choose_device(word)


@pytest.mark.parametrize(("word", "code"), [("gpu", 2), ("cuda:64", 4)])
@pytest.mark.parametrize(
    "verb",
    [
        "demo", "train segment X", "train generate X", "tune segment X", "tune generate X", "resume X", "segment M X",
        "generate M", "pair M", "reconstruct M X", "interpolate M --seeds 1,2", "audit M", "prove A B",
        "evaluate images A B", "reference A", "bench X",
    ],
)  # fmt: skip
def test_verbs_refuse_before_they_read(
    verb: str, word: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = [] if verb.split()[0] in ("resume", "bench") else ["--out", "out"]
    with pytest.raises(SystemExit) as stop:
        main([*verb.split(), *out, "--device", word])
    assert stop.value.code == code and f"--device {word}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_device_changes_no_file(generate_run: Path, tmp_path: Path) -> None:
    made = generating.generate(generate_run, out=tmp_path / "out", count=2, device="cpu")
    again = generating.generate(generate_run, out=tmp_path / "out", count=2)
    assert made["images"] == again["images"], "the same command, not another one"
    assert load_model(generate_run).device.type == "cpu"


def test_every_verb_says_so_first() -> None:
    """Nothing is read, written or asked before the device is chosen: it is as it was left else."""
    for parent, name, *_ in COMMANDS:
        verb = parent[name].default_command
        if verb is None or "device" not in inspect.signature(verb).parameters:
            continue
        words = inspect.getsource(verb)
        assert any(word in words for word in ("choose_device(device)", "device=device", ", device, dry_run")), name
    names = ("segment", "generate", "pair", "reconstruct", "interpolate", "evaluate_images", "prove")
    of_runs = (training.iter_training, training.plan, training.resume, training.plan_resume)
    for function in (*of_runs, *(getattr(sfumato, name) for name in names)):
        first = inspect.getsource(function).split('"""')[2].strip()
        assert first.startswith("choose_device(device)"), function.__name__
