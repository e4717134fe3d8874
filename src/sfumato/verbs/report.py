"""One self-contained HTML page about any folders."""

from pathlib import Path

from sfumato.errors import UsageError
from sfumato.experiment.output_folder import output_file
from sfumato.reporting.page import write_report


def report(*folders: Path | str, out: Path | str = "report.html", overwrite: bool = False) -> Path:
    """Curves, pictures, cases and tables of runs, predictions, scores, samples and datasets.

    Args:
        folders: folders that sfumato wrote.
        out: the HTML file to write.
        overwrite: replace an existing file.

    Returns:
        The file, absolute.

    Raises:
        UsageError: no folder is given, or the file is there.
        DataError: a folder is none that sfumato wrote.
    """
    if not folders:
        raise UsageError("nothing to report on", expected="sfumato report FOLDER...")
    with output_file(Path(out), overwrite=overwrite) as draft:
        write_report([Path(folder) for folder in folders], draft)
    return Path(out).resolve()
