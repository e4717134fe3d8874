"""The page: self-contained, escaped, complete; damage and strangers are named."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import DataError, UsageError
from sfumato.reporting.page import write_report

EVIL = '<img src=x onerror="alert(1)">'
UNSEEN, SPELT = "\x1b[31m\u202e", r"\x1b[31m\u202e"


class Page(HTMLParser):
    """Tags, addresses, headings and text of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.source = page.read_text(encoding="utf-8")
        self.feed(self.source)
        self.headings = [heading.strip() for heading in self.headings]
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]
        if tag in {"h1", "h2", "h3", "h4"}:
            self.headings.append("")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.headings and self.tags[-1] in {"h1", "h2", "h3", "h4", "span"}:
            self.headings[-1] += data


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Page]:
    return lambda *folders: Page(write_report(folders, tmp_path / "out" / "report.html"))


def rewrite(table: Path, change: Callable[[list[dict[str, str]]], object]) -> None:
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)


def test_everything_is_there_and_inside(folders: list[Path], report: Callable[..., Page]) -> None:
    page = report(*folders)
    assert page.addresses and all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert not re.search(r"@import|url\(|https?://", page.source)
    for heading in (
        "What was asked", "The answer", "Limits",
        "diffusion beside deterministic twin", "Worst cases", "Best cases", "Most uncertain cases",
        "Learning curves", "Samples during training", "The denoising process", "Automatic choices",
        "Members, side by side",
        "Look at these first", "One sheet for each class", "Cases of each class and split", "Examples",
    ):  # fmt: skip
        assert any(heading in found for found in page.headings), heading
    for file in ("recipe.yaml", "provenance.json", "summary.json", "dataset.json"):
        assert file in page.text
    assert "<dl" in page.source and "cannot be shown" not in page.text and "nan" not in page.text.split()


def test_question_answer_and_limits_come_first(scores: Path, samples: Path, report: Callable[..., Page]) -> None:
    summary = json.loads((scores / "summary.json").read_text()) | {"reading": ["The two cannot be told apart."]}
    (scores / "summary.json").write_text(json.dumps(summary))
    provenance = {
        "command": "sfumato evaluate masks predictions ../dataset --out .",
        "inputs": {
            "reference": {"path": "../dataset"},
            "predictions": {"path": "/ward/7/jane"},  # as sfumato 0.1 wrote it
            "second": None,
        },
        "time": "2026-11-21T10:00:00+00:00",
    }
    (scores / "provenance.json").write_text(json.dumps(provenance))
    page = report(scores, samples)
    asked, answer, limits, details = (page.text.index(text) for text in (
        "Scored from reference “dataset”, predictions on 21 November 2026, by sfumato evaluate masks.",
        "The two cannot be told apart.", "Not a medical device", "Worst cases",
    ))  # fmt: skip
    assert asked < answer < limits < details and "jane" not in page.text
    anchors = {address for address in page.addresses if address.startswith("#")}
    assert {"#asked", "#answer", "#limits", "#folder-1", "#folder-2"} == anchors
    assert all(f'id="{anchor[1:]}"' in page.source for anchor in anchors)


def test_the_twin_stands_beside_the_diffusion_model(scores: Path, report: Callable[..., Page]) -> None:
    page = report(scores)
    row = re.search(
        r"Dice ([\d.]+) \[([\d.]+), ([\d.]+)\] ([\d.]+) \[[^\]]*\] \+([\d.]+) \[\+([\d.]+), \+([\d.]+)\]", page.text
    )
    assert row is not None
    diffusion, low, high, twin, difference, worst, best = map(float, row.groups())
    with (scores / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    mean = {arm: np.mean([float(row["dice"]) for row in rows if row["arm"] == arm]) for arm in {r["arm"] for r in rows}}
    assert (diffusion, twin) == pytest.approx((mean["diffusion"], mean["deterministic twin"]), abs=6e-4)
    assert low < diffusion < high and 0 < worst < difference < best
    assert best - worst < 0.2 * (high - low)
    assert "Overlap of prediction and reference" in page.text
    assert "(29/30)" in page.text, "a case without a finite value is counted"
    assert "sensitivity 0.97 0.93" in page.text, "numbers of the whole arm come from summary.json"


def test_a_case_that_one_arm_lacks_is_named(scores: Path, report: Callable[..., Page]) -> None:
    rewrite(scores / "scores.csv", lambda rows: rows.pop(0))
    assert "deterministic twin has no score for 1 case," in report(scores).text
    assert "differences: ISIC_0000000" in report(scores).text


def test_worst_and_best_are_what_they_say(scores: Path, report: Callable[..., Page]) -> None:
    page = report(scores)
    shown = [float(value) for value in re.findall(r"· Dice ([\d.]+)", page.text)]
    with (scores / "scores.csv").open() as file:
        values = sorted(float(row["dice"]) for row in csv.DictReader(file) if row["arm"] == "diffusion")
    assert shown == pytest.approx([*values[:4], *values[::-1][:4], *values[:4]], abs=6e-4)


def test_classes_are_averaged_within_a_case_and_listed_apart(tmp_path: Path, report: Callable[..., Page]) -> None:
    folder = tmp_path / "two-classes"
    folder.mkdir()
    cells = [("a", "core", 1.0), ("a", "rim", 0.5), ("b", "core", 0.0), ("b", "rim", 0.25)]
    (folder / "scores.csv").write_text("id,class,dice\n" + "".join(f"{i},{c},{d}\n" for i, c, d in cells))
    page = report(folder)
    assert "Each class" in page.headings and "Worst cases" not in page.headings
    assert "Dice 0.438 [" in page.text
    assert "core 0.500" in page.text and "rim 0.375" in page.text


def test_triples_are_drawn_when_the_scores_name_the_files(scores: Path, report: Callable[..., Page]) -> None:
    before = report(scores).source.count("<img")
    mask = np.zeros((20, 20), np.uint8)
    mask[5:9, 5:9] = 255
    for name in ("image", "reference", "prediction"):
        Image.fromarray(mask).save(scores / f"{name}.png")
    rewrite(
        scores / "scores.csv",
        lambda rows: [
            row.update(image="image.png", reference="reference.png", prediction="prediction.png") for row in rows
        ],
    )
    page = report(scores)
    assert "in the middle the reference (yellow)" in page.text and page.source.count("<img") == before
    assert 'width="62" height="20"' in page.source


@pytest.mark.parametrize("kind", ["run", "predictions", "samples", "scores", "dataset"])
def test_names_are_escaped(kind: str, request: pytest.FixtureRequest, report: Callable[..., Page]) -> None:
    folder: Path = request.getfixturevalue(kind)
    folder = folder.rename(folder.with_name(f"<img src=x onerror=alert(2)>{UNSEEN}"))
    name = f"{EVIL}{UNSEEN}"
    if kind == "run":
        (folder / "recipe.yaml").write_text(name)
        (folder / "plan.json").write_text(json.dumps([{"choice": name, "value": name, "reason": name}]))
        record = {"kind": "validate", "step": 9, "seconds": 1.0, name: 0.5}
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
    else:
        table = folder / ("scores.csv" if kind == "scores" else "manifest.csv")
        names = {"predictions": "id", "samples": "label", "scores": "id", "dataset": "label"}
        rewrite(table, lambda rows: [row.update({names[kind]: name}) for row in rows])
    page = report(folder)
    assert EVIL not in page.source and "onerror" not in page.attributes
    assert f"{EVIL}{SPELT}" in page.text and f"<img src=x onerror=alert(2)>{SPELT}" in page.text
    assert not set(UNSEEN[:1] + UNSEEN[-1:]) & set(page.source)


def test_a_long_table_says_how_many_rows_it_leaves_out(samples: Path, report: Callable[..., Page]) -> None:
    assert "The first 50 rows; 20 more are left out." in report(samples).text


def test_a_picture_that_is_missing_or_broken_is_said(predictions: Path, report: Callable[..., Page]) -> None:
    (predictions / "overlay" / "ISIC_0000000.png").unlink()
    (predictions / "probability" / "ISIC_0000001.png").write_bytes(b"no picture")
    page = report(predictions)
    assert "ISIC_0000000 · prediction (ISIC_0000000.png cannot be shown)" in page.text
    assert "ISIC_0000001 · probability (ISIC_0000001.png cannot be shown)" in page.text


def test_the_most_uncertain_cases_come_first(predictions: Path, report: Callable[..., Page]) -> None:
    shown = re.findall(r"(ISIC_\d+) · prediction", report(predictions).text)
    assert shown == [f"ISIC_{case:07d}" for case in range(6)]


def test_the_size_of_a_class_is_read_in_one_cell(predictions: Path, report: Callable[..., Page]) -> None:
    sizes = {"presence_probability": 0.75, "expected_size": 52345.6, "size_low": 0.0, "size_high": 61234.5}
    rewrite(predictions / "manifest.csv", lambda rows: [row.update(sizes, size_unit="mm3") for row in rows])
    page = report(predictions)
    assert "52350 (0 to 61230) mm\xb3" in page.text
    columns = page.text[page.text.index("All cases, those to look at first") :].split()
    assert columns.index("id") < columns.index("presence_probability") < columns.index("area"), "in front"
    assert "size_low" not in page.text and "size_unit" not in page.text.replace("unit of size_unit", "")
    assert "the central 80 % of the members in brackets" in page.text


def test_the_sizes_of_several_classes_are_told_apart(predictions: Path, report: Callable[..., Page]) -> None:
    sizes: dict[str, object] = {"size_unit": "pixels"}
    for name, size in (("liver", 10), ("a_b", 20)):
        sizes |= {f"expected_size_{name}": size, f"size_low_{name}": size - 5, f"size_high_{name}": size + 5}
    rewrite(predictions / "manifest.csv", lambda rows: [row.update(sizes) for row in rows])
    page = report(predictions)
    assert "10 (5 to 15) pixels" in page.text and "20 (15 to 25) pixels" in page.text
    assert "expected_size_liver" in page.text and "expected_size_a_b" in page.text


def test_predictions_without_sizes_are_shown_as_before(predictions: Path, report: Callable[..., Page]) -> None:
    assert "expected_size" not in report(predictions).text


def test_sixteen_bit_maps_are_not_cut_to_white(predictions: Path, report: Callable[..., Page]) -> None:
    from sfumato.reporting.reading import read_pixels

    pixels = read_pixels(predictions / "uncertainty" / "ISIC_0000001.png")
    assert pixels.dtype == np.uint8 and pixels.max() >= 254 and 20 < pixels[pixels > 0].min() < 250


def test_pixels_stay_sharp_when_small_and_large_pictures_are_reduced(
    tmp_path: Path, report: Callable[..., Page]
) -> None:
    for side in (28, 2000):
        folder = tmp_path / f"of-{side}"
        folder.mkdir()
        Image.fromarray(np.zeros((side, side), np.uint8)).save(folder / "a.png")
        (folder / "manifest.csv").write_text("id,image,label,split\na,a.png,,\n")
    small, large = (report(tmp_path / f"of-{side}").source for side in (28, 2000))
    assert 'width="28" height="28" class="pixelated"' in small
    assert 'width="768" height="768">' in large


def test_an_unfinished_run_has_a_page_too(tmp_path: Path, report: Callable[..., Page]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("task: segment\n")
    assert "nothing trained yet" in report(tmp_path / "run").text


def test_strangers_are_refused_by_name(tmp_path: Path, run: Path) -> None:
    (tmp_path / "holiday").mkdir()
    with pytest.raises(UsageError, match="holiday is no folder that sfumato wrote"):
        write_report([run, tmp_path / "holiday"], tmp_path / "report.html")
    with pytest.raises(UsageError, match="absent is no folder"):
        write_report([tmp_path / "absent"], tmp_path / "report.html")
    with pytest.raises(UsageError, match="nothing to report"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(UsageError, match="is a folder"):
        write_report([run], tmp_path)


def test_damage_is_named_and_the_older_page_survives(tmp_path: Path, scores: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("older")
    with (scores / "scores.csv").open("a") as file:
        file.write("one,two\n")
    with pytest.raises(DataError, match=r"scores\.csv, row 62: 2 fields"):
        write_report([scores], out)
    (scores / "scores.csv").write_text("id,class,dice\na,x,0.5\n")
    (scores / "summary.json").write_text("{")
    with pytest.raises(DataError, match=r"summary\.json is damaged"):
        write_report([scores], out)
    assert out.read_text() == "older" and not list(tmp_path.glob(".*"))


def test_a_full_disk_leaves_the_older_page(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "report.html"
    out.write_text("older")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr("os.fsync", full)
        write_report([dataset], out)
    assert out.read_text() == "older" and not list(tmp_path.glob(".*"))


def test_the_report_needs_no_torch() -> None:
    modules = "sfumato.reporting.page, sfumato.metrics.ensemble, sfumato.metrics.interval"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to look through")
def test_nothing_sticks_out_in_a_browser(folders: list[Path], tmp_path: Path) -> None:
    """On a phone (a frame of 390 pixels) and a desk the page itself never scrolls sideways, every picture loads."""
    page = write_report(folders, tmp_path / "report.html")
    probe = """
    <script>for (const frame of document.querySelectorAll('iframe')) frame.onload = () => {
      const page = frame.contentDocument, pictures = [...page.images];
      const broken = pictures.filter(image => image.complete && !image.naturalWidth).length;
      const titles = [...page.querySelectorAll('h1,h2,h3,h4')];
      const cut = titles.filter(title => title.scrollWidth > title.clientWidth).length;
      const whole = [...page.querySelectorAll('.gallery:not(.strip) img')];
      const cropped = whole.filter(image => image.clientWidth > image.closest('.frame').clientWidth).length;
      const over = page.documentElement.scrollWidth - page.documentElement.clientWidth;
      document.body.dataset['w' + frame.width] = [pictures.length > 9, broken, cut, cropped, over].join(' ');
    }</script>"""
    frames = "".join(
        f'<iframe src="{page.name}" width="{width}" height="900" frameborder="0"></iframe>' for width in (390, 1200)
    )
    (tmp_path / "probe.html").write_text(f"<body>{frames}{probe}</body>")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000", "--dump-dom"]
    done = subprocess.run([*command, (tmp_path / "probe.html").as_uri()], capture_output=True, timeout=120, check=True)
    found = done.stdout.decode()
    assert re.findall(r'data-w\d+="([^"]*)"', found) == ["true 0 0 0 0"] * 2


@pytest.mark.parametrize(
    ("spearman", "first", "limit"),
    [
        (0.61, "Look first at", "rank correlation 0.61 (1 is perfect): it holds for images like those"),
        (0.0, "than a random one on the validation", "0.00 (1 is perfect): no better than a random order there"),
        (
            -0.92,
            "than a random one on the validation",
            "-0.92 (1 is perfect): no better than a random order",
        ),
        (None, "Look first at", "14 validation cases: whether it finds the worst is not known"),
    ],
)
def test_an_order_of_review_says_no_more_than_its_correlation(
    predictions: Path, report: Callable[..., Page], spearman: float | None, first: str, limit: str
) -> None:
    review = {"by": "expected_error", "validation_cases": 14, "spearman": spearman, "why": "..."}
    (predictions / "summary.json").write_text(json.dumps({"cases": 9, "samples": 8, "review": review}))
    page = report(predictions)
    assert first in page.text and limit in page.text
    assert ("holds for images like those" in page.text) == (spearman == 0.61)
