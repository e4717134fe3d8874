"""A pattern of images and one of their masks, told as flags once they were tried on the files."""

from collections.abc import Sequence
from typing import NamedTuple

from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.byhand import by_patterns
from sfumato.data.source.matching.pairing import Matched
from sfumato.errors import DataError, UsageError


class PatternPair(NamedTuple):
    """A pattern of images, and one of their masks."""

    images: str
    masks: str

    def flags(self) -> str:
        """As they are typed."""
        return f"--images '{self.images}' --masks '{self.masks}'"

    def matched(self, among: Sequence[SourceFile]) -> Matched | None:
        """What they find among some files; None where they find nothing, or one id for several images."""
        try:
            return by_patterns(among, None, ReadOptions(images=self.images, masks=self.masks)).matched
        except (DataError, UsageError):
            return None
