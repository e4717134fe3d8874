"""What the colours of masks mean, where a table beside them says it (`sfumato.data.formats.colours`)."""

from collections.abc import Sequence

from sfumato.data.formats.colours import TABLE, find_colours
from sfumato.data.formats.image import is_image_name, is_in_colours
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.errors import DataError
from sfumato.escape import visible


def colour_names(cases: Sequence[Case]) -> tuple[dict[int, str], list[str]]:
    """Names of the classes by index, and what is said of them; the first mask stands for all."""
    mask = next((Locator.parse(case.masks[0]) for case in cases if case.masks), None)
    if mask is None or mask.member or not is_image_name(mask.path.name):
        return {}, []
    try:
        table = find_colours(mask.path)
        if table is None:
            return {}, []
        if not is_in_colours(mask.path):
            return {}, [f"{TABLE} is not used: the masks are not in colours"]
    except DataError:  # told when the masks are read
        return {}, []
    names = dict(enumerate(table.names))
    return names, [f"the masks are read by the colours of {TABLE}: {', '.join(map(visible, table.names))}"]
