"""Pictures are for the eye: what fails while one is drawn is a warning, and the work that it shows goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sfumato.progress import say


@contextmanager
def spared_picture(what: str, *, tell: Callable[[str], object] = say) -> Iterator[None]:
    """While a picture is drawn: an exception ends the block, not the work, and is told.

    Args:
        what: the picture, in words: "the preview grid".
        tell: told of the failure.
    """
    try:
        yield
    except Exception as error:  # of drawing libraries, disks and networks anything is possible
        reason = str(error).partition("\n")[0] or "no reason was given"
        tell(f"warning: {what} could not be drawn ({type(error).__name__}: {reason}); all else goes on")
