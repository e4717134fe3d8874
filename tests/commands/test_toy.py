"""`sfumato toy`: every kind of toy data is a source, and `check` finds what is planted."""

import json
from pathlib import Path

import pytest

from sfumato.commands.check import check
from sfumato.commands.toy import toy
from sfumato.data.source import find_cases
from sfumato.errors import DataError, UsageError


def test_check_reports_every_planted_defect(tmp_path: Path) -> None:
    toy(tmp_path / "messy", messy=True, size=48)
    with pytest.raises(DataError) as caught:
        check(tmp_path / "messy")
    findings = caught.value.result["findings"]  # type: ignore[index]
    reported = {(finding["code"], Path(file).name) for finding in findings for file in finding["files"]}
    for planted in json.loads((tmp_path / "messy/defects.json").read_text()):
        if planted["code"]:
            assert (planted["code"], Path(planted["file"]).name) in reported, planted


def test_volumes_are_a_source(tmp_path: Path) -> None:
    result = toy(tmp_path / "scans", volumes=True, cases=2, size=24)
    found = find_cases(tmp_path / "scans")
    assert result["kind"] == "volumes" and found.has_masks
    assert {case.volume for case in found.cases} == {"scan_000", "scan_001"} == {case.patient for case in found.cases}


def test_settings_that_do_not_apply_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--volumes has no --readers, --channels"):
        toy(tmp_path / "x", volumes=True, readers=2, channels="grey")
    with pytest.raises(UsageError, match="exclude"):
        toy(tmp_path / "x", volumes=True, messy=True)
    assert not (tmp_path / "x").exists()


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    assert toy(tmp_path / "x", dry_run=True)["cases"] == 200
    assert not list(tmp_path.iterdir())
