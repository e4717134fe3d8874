"""Verbs warn of a sampler that overshoots in the steps that it was given, and say how many are enough."""

from pathlib import Path
from typing import Any

import pytest
from tests.commands.flagged import as_flags

from sfumato.commands import generate as generating


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"sampler": "heun", "steps": 2}, "heun overshoots in 2 steps (3 network calls)"),
        ({"sampler": "dpm_2_ancestral", "steps": 4}, "dpm_2_ancestral overshoots in 4 steps (7 network calls)"),
        ({"sampler": "heun", "steps": 9}, ""),
        ({"sampler": "dpmpp_2m", "steps": 3}, ""),
        ({}, ""),
    ],
)
def test_the_verb_warns(
    words: dict[str, Any], told: str, generate_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generating.generate(generate_run, out=tmp_path / "out", dry_run=True, **as_flags(words))
    said = " ".join(capsys.readouterr().err.split())
    assert ("warning:" in said) == bool(told) and told in said
    if told:
        enough = int(said.partition("as the data; ")[2].partition(" steps")[0])
        generating.generate(generate_run, out=tmp_path / "out", dry_run=True, **as_flags({**words, "steps": enough}))
        assert "warning:" not in capsys.readouterr().err
