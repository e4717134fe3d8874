"""NIfTI volumes: read whole or refused, and written with nothing but voxels and geometry."""

from pathlib import Path

from sfumato.data.volume import Header, Volume
from sfumato.errors import DataError


def read_header(path: Path) -> Header:
    """See `sfumato.data.volume.read_header`."""
    raise DataError(f"{path}: not written yet")


def read_volume(path: Path) -> Volume:
    """See `sfumato.data.volume.read_volume`."""
    raise DataError(f"{path}: not written yet")
