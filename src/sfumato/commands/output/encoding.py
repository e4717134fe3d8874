r"""Output on terminals, pipes and files that are not Unicode: signs that they have not become the nearest in ASCII.

A sign of ours becomes a plain one (`GED^2`, `0.58 +- 0.05`, a hyphen for a dash); a letter of somebody's name is spelt,
`caf\xe9.png`, since another letter would name another file. So nothing that is printed can end a command.
"""

import codecs
import io

NEAREST = {
    "\u2013": "-",
    "\u2026": "...",
    "\u201c": '"',
    "\u201d": '"',
    "\u2018": "'",
    "\u2019": "'",
    "\xb7": "-",
    "\xb1": "+-",
    "\xb2": "^2",
    "\xb3": "^3",
    "\xd7": "x",
    "\u2022": "*",
}
"""Signs that sfumato and the packages that print for it write."""

_ERRORS = "sfumato-nearest"
"""The name of this rule among those of `codecs`."""


def _nearest(error: UnicodeError) -> tuple[str, int]:
    """What stands for the letters that cannot be written, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(NEAREST.get(letter) or _spelt(letter) for letter in letters), error.end


def _spelt(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(_ERRORS, _nearest)


def write_anything(stream: object) -> None:
    """From now on every text can be written to a text stream, whatever its encoding."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ERRORS)
