"""`sfumato report`: one self-contained HTML page about any folders."""

from pathlib import Path
from typing import Any

from sfumato.progress import say
from sfumato.verbs import report as verb


def report(*folders: Path, out: Path = Path("report.html"), overwrite: bool = False) -> dict[str, Any]:
    """Curves, pictures, cases and tables of runs, predictions, scores, samples and datasets.

    Args:
        folders: Folders that sfumato wrote.
        out: The HTML file to write.
        overwrite: Replace an existing file.
    """
    page = verb.report(*folders, out=out, overwrite=overwrite)
    say(f"report: {page}")
    return {"report": str(page)}
