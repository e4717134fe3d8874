"""`sfumato doctor`: it says what is there, misses what is not, and knows releases that nobody should have."""

import importlib.metadata
import json
import subprocess
import sys

import pytest
import torch

from sfumato.commands import doctor as doctoring
from sfumato.commands.doctor import doctor


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctoring, "SIDES", {"cpu": 64})
    monkeypatch.setattr(doctoring, "SECONDS", 0.0)


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Pretend that packages are installed in these versions, or not."""
    real = importlib.metadata.version

    def version(package: str) -> str:
        if package not in versions:
            return real(package)
        if (found := versions[package]) is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    report = doctor()
    assert report["versions"]["torch"] == torch.__version__ and report["optional"]["tune"]["optuna"]
    assert report["hardware"]["device"] == "cpu" and report["hardware"]["cores"] >= 1
    assert report["free"]["disk of this folder"] > 0 and 0 < report["free"]["memory"] < report["hardware"]["memory"]
    assert set(report["teraflops"]) == {"fp32", report["precision"]}
    assert all(rate > 0 for rate in report["teraflops"].values())
    assert report["problems"] == [] and "none known" in capsys.readouterr().err


def test_json_is_all_that_goes_to_stdout() -> None:
    done = subprocess.run([sys.executable, "-m", "sfumato", "doctor", "--json"], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["versions"]["torch"] == torch.__version__
    assert "works on" in done.stderr


@pytest.mark.parametrize(
    ("package", "version"),
    [("lightning", "2.6.2"), ("lightning", "2.6.3"), ("litellm", "1.82.7"), ("litellm", "1.82.8")],
)
def test_releases_that_steal_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str, version: str
) -> None:
    installed(monkeypatch, **{package: version})
    (problem,) = doctor()["problems"]
    assert problem.startswith(f"{package} {version} is a release that stole passwords")
    assert problem in capsys.readouterr().err


def test_a_good_release_of_a_bad_package_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, lightning="2.6.1", litellm="1.83.0")
    assert doctor()["problems"] == []


@pytest.mark.parametrize(("version", "old"), [("2.10.1+cu128", True), ("2.11.0", False), ("3.0.0", False)])
def test_an_old_torch_is_named(monkeypatch: pytest.MonkeyPatch, version: str, old: bool) -> None:
    monkeypatch.setattr(torch, "__version__", version)
    assert doctor()["problems"] == [f"torch {version} is older than 2.11: pip install 'torch>=2.11'"] * old


def test_what_is_not_installed_comes_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed(monkeypatch, wandb=None)
    assert doctor()["optional"]["wandb"] == {"wandb": None}
    assert "pip install 'sfumato[wandb]'" in capsys.readouterr().err


def test_the_launcher_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_JOB_USER", "somebody")
    launcher = doctor()["launcher"]
    assert launcher["SLURM_PROCID"] == "3" and "somebody" not in launcher.values()
