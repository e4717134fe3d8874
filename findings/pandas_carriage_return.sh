#!/usr/bin/env bash
# pandas 3.1.1 (and Python's own csv module, 3.11): a carriage return inside a cell breaks the table that is written.
#
# One would expect: to_csv quotes whatever read_csv would take for the end of a row, so a table comes back as it was.
# What happens: where rows end in a line feed (the default but on Windows), a cell with a lone carriage return is written
# without quotes; read_csv counts it as the end of a row. Three rows come back as four, without an error: the rest of the
# text stands in the column of the ids, and the numbers behind it have moved or are missing. polars writes the quotes.
#
# Why it matters: segments of HL7 messages are parted by carriage returns, and so are lines in old exports of reports:
# a table of cases with such a note has other cases after one round. lineterminator="\r\n" or quoting=csv.QUOTE_ALL cures.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import csv
import sys
from pathlib import Path

import pandas
import polars

folder = Path(sys.argv[1])
columns = {"id": ["a", "b", "c"], "report": ["clear", "PID|1\rOBX|1|nodule", "clear"], "dice": [0.9, 0.8, 0.7]}
table = pandas.DataFrame(columns)

table.to_csv(folder / "plain.csv", index=False, lineterminator="\n")
plain = pandas.read_csv(folder / "plain.csv")
table.to_csv(folder / "windows.csv", index=False, lineterminator="\r\n")
windows = pandas.read_csv(folder / "windows.csv")
table.to_csv(folder / "quoted.csv", index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)
quoted = pandas.read_csv(folder / "quoted.csv")
polars.DataFrame(columns).write_csv(folder / "polars.csv")
other = polars.read_csv(folder / "polars.csv")

print(f"Python {sys.version.split()[0]}, pandas {pandas.__version__}, polars {polars.__version__}")
print("written by pandas:", (folder / "plain.csv").read_bytes())
print(f"rows: {len(table)} written, {len(plain)} read; ids {plain['id'].tolist()}, numbers {plain['dice'].tolist()}")
print(f"rows with CRLF: {len(windows)}; with all cells in quotes: {len(quoted)}; of polars: {len(other)}")
as_described = len(plain) == 4 and plain["id"].tolist()[2] == "OBX|1|nodule" and plain["dice"].isna().sum() == 2
sound = all(len(read) == 3 for read in (windows, quoted, other))
sys.exit(0 if as_described and sound else 1)
PROGRAM
