"""Everything that is wrong with a folder, at once, before an hour is spent on it; as words, and as a page."""

import tempfile
from pathlib import Path

from sfumato import check
from sfumato.data.toys.toy import make_toy

with tempfile.TemporaryDirectory() as name:
    scans = Path(name) / "scans"
    make_toy(scans, cases=12, size=24)  # images/ and masks/; take a folder of yours
    assert not check(scans).errors

    image, other, *_ = sorted((scans / "images").iterdir())
    image.write_bytes(image.read_bytes()[:-40])  # a copy that was cut off
    other.unlink()  # and one that its table names, but is gone

    checked = check(scans, report="check.html")
    for finding in checked.errors:
        print(finding.code, finding.text)
    assert {finding.code for finding in checked.errors} == {"DATA-001", "DATA-006"}
    assert checked.report is not None and checked.report.is_file()
