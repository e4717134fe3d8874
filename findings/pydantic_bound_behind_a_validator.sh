#!/usr/bin/env bash
# pydantic 2.14.4: a bound behind a BeforeValidator is checked, but lost from the JSON Schema; errors hold addresses.
#
# One would expect: the order of what stands in Annotated decides when something is checked, not what a bound is called:
# Field(le=8) is "maximum": 8 in model_json_schema(), which forms, servers and language models are given.
# What happens: behind a BeforeValidator the schema says "le": 8. That is no keyword of JSON Schema, and validators pass
# over keywords that they do not know: 1000 is valid by the schema and refused by the model. Before the validator it is
# "maximum". Within a union the place of an error (`loc`) then holds the function with its address in memory, so the
# same mistake has another place in every process. Nothing is said.
#
# Why it matters: configurations of trainings take numbers such as "20k" by a BeforeValidator, and have bounds behind
# it; what checks them against the published schema lets every size pass.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic==2.14.4 jsonschema==4.26.0
cat > "$folder/program.py" <<'PROGRAM'
import sys
from typing import Annotated, Literal

import jsonschema
import pydantic
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

short = BeforeValidator(lambda value: 20_000 if value == "20k" else value)


class Training(BaseModel):
    behind: tuple[Annotated[int, short, Field(le=8)], ...] | Literal["auto"] = "auto"
    before: tuple[Annotated[int, Field(le=8), short], ...] | Literal["auto"] = "auto"


def passes(sizes: dict[str, list[int]]) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(sizes)


def place(sizes: dict[str, list[int]]) -> str:
    try:
        Training(**sizes)
    except ValidationError as error:
        return str(error.errors()[0]["loc"][1])
    return "accepted"


schema = Training.model_json_schema()
bounds = {name: schema["properties"][name]["anyOf"][0]["items"] for name in ("behind", "before")}
print(f"pydantic {pydantic.VERSION}")
for name, bound in bounds.items():
    print(f"{name}: schema {bound}; 1000 by the schema: {'valid' if passes({name: [1000]}) else 'refused'}")
    print(f"    by the model: an error at {place({name: [1000]})}")
as_described = bounds == {"behind": {"le": 8, "type": "integer"}, "before": {"maximum": 8, "type": "integer"}}
silent = passes({"behind": [1000]}) and not passes({"before": [1000]})
addressed = " at 0x" in place({"behind": [1000]}) and " at 0x" not in place({"before": [1000]})
sys.exit(0 if as_described and silent and addressed else 1)
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
