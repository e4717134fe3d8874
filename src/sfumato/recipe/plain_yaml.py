"""YAML whose numbers are plain decimal ones.

YAML 1.1 reads 0x10 as 16, 010 as 8, 1:30 as 90 and 1_000 as 1000. Here such words stay texts, and no field of a recipe
that wants a number takes them.
"""

import re
from typing import Any

import yaml

INTEGER, REAL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers of JSON, and `.inf`."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - so PyYAML keeps them
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INTEGER, REAL)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


PlainLoader.add_implicit_resolver(INTEGER, re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
PlainLoader.add_implicit_resolver(
    REAL,
    re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|\.inf)$"),
    list("-+.0123456789"),
)


def load_plain(text: str) -> Any:
    """The content of a YAML document.

    Raises:
        YAMLError: the text is no YAML.
    """
    return yaml.load(text, Loader=PlainLoader)
