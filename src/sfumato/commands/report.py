"""`sfumato report`: one self-contained HTML page about any folders."""

from pathlib import Path
from typing import Any

from sfumato.errors import UsageError
from sfumato.experiment.output_folder import output_file
from sfumato.progress import say
from sfumato.report.page import write_report


def report(*folders: Path, out: Path = Path("report.html"), overwrite: bool = False) -> dict[str, Any]:
    """Curves, pictures, cases and tables of runs, predictions, scores, samples and datasets.

    Args:
        folders: Folders that sfumato wrote.
        out: The HTML file to write.
        overwrite: Replace an existing file.
    """
    if not folders:
        raise UsageError("nothing to report on", expected="sfumato report FOLDER...")
    with output_file(out, overwrite=overwrite) as draft:
        write_report(folders, draft)
    say(f"report: {out.resolve()}")
    return {"report": str(out.resolve())}
