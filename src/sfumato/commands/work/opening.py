"""A data set to compare with: opened where it is prepared, else prepared into a folder that goes away again."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfumato.commands.flags.source import find_to_read
from sfumato.experiment.dataset import prepare_into
from sfumato.data.manifest import is_prepared
from sfumato.data.pack import Pack
from sfumato.recipe import load_recipe


@contextmanager
def opened(source: Path, *, size: tuple[int, int] | None = None) -> Iterator[Pack]:
    """The data set of a folder or file.

    Args:
        source: a prepared data set, or any source that `prepare` reads.
        size: height and width to prepare a source at; by default the median of its images, within reason.
    """
    if is_prepared(source):
        yield Pack.open(source)
        return
    recipe = load_recipe("segment", settings=_settings(size))
    with tempfile.TemporaryDirectory(prefix="sfumato-") as folder:
        out = Path(folder) / "dataset"
        out.mkdir()
        prepare_into(out, recipe, find_to_read(source, recipe), source=source, spool=Path(folder) / "spool")
        yield Pack.open(out)


def _settings(size: tuple[int, int] | None) -> Sequence[str]:
    return [] if size is None else [f"data.size={json.dumps(list(size))}"]
