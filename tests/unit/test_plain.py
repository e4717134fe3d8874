"""Plain data from anyone: read within bounds, or refused in words; nothing is made of what asks for too much."""

from pathlib import Path
from typing import Any

import pytest

from sfumato.errors import DataError, UsageError
from sfumato.plain import MAX_BYTES, in_form, parse_json, parse_yaml, read_json, read_object
from sfumato.recipe import load_recipe


def fault(finding: str) -> DataError:
    return DataError(f"the file {finding}")


@pytest.mark.parametrize(
    ("text", "content"),
    [('{"a": [1, 2.5, null, "b"]}', {"a": [1, 2.5, None, "b"]}), (b"3", 3), ("[" * 64 + "]" * 64, None)],
)
def test_json_is_read(text: str | bytes, content: Any) -> None:
    assert content in (None, parse_json(text, fault))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ('{"a": 1, "b": {"a": 1, "a": 2}}', "'a' stands twice"),
        ("{", "no JSON"),
        (b"\xff\xfe\xfd", "no JSON"),
        ("9" * 5000, "no JSON"),
        ("[" * 66 + "]" * 66, "nested"),
        ("[" * 100_000, "no JSON"),
        ('{"a": ' * 100_000, "no JSON"),
    ],
)
def test_json_that_is_none_is_told(text: str | bytes, finding: str) -> None:
    with pytest.raises(DataError, match=f"the file .*{finding}"):
        parse_json(text, fault)


def test_only_regular_files_of_a_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    for path, finding in ((file, "No such file"), (tmp_path, "not a file"), (Path("/dev/zero"), "a device")):
        with pytest.raises(DataError, match=finding):
            read_json(path, fault)
    file.write_text('["a"]')
    assert read_json(file, fault) == ["a"] and MAX_BYTES > 2**20
    with pytest.raises(DataError, match="larger than"):
        read_json(file, fault, most=4)
    with pytest.raises(DataError, match="no names"):
        read_object(file, fault)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}),
        ("'2024-01-01'", "2024-01-01"),
        ("", None),
        ("[0x10, 1_000, 1e3, ~, yes, 7]", ["0x10", "1_000", 1000.0, None, True, 7]),
    ],
)
def test_yaml_is_read(text: str, content: Any) -> None:
    assert parse_yaml(text, fault) == content


def bomb(each: str, levels: int = 60) -> str:
    """A few lines that mean 2 to the power of `levels` values."""
    lines = ["l0: &l0 [x]" if "<<" not in each else "l0: &l0 {a: 1}"]
    return "\n".join(lines + [f"l{k}: &l{k} {each.format(f'*l{k - 1}')}" for k in range(1, levels)])


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (bomb("[{0}, {0}]"), "more than 50000 values"),
        (bomb("{{a: {0}, b: {0}}}"), "more than 50000 values"),
        (bomb("{{<<: [{0}, {0}]}}", levels=25), "more than 50000 values"),
        (bomb("[{0}]", levels=200), "nested more than 64"),
        ("[" * 5000, "nested"),
        ("{a: " * 5000, "nested"),
        ("- " * 5000, "nested"),
        ("&a [*a]", "nested"),
        ("&a {b: *a}", "nested"),
        ("1." + "0" * 100_000, "100002 characters"),
        ("9" * 900, None),
        ("9" * 5000, "5000 characters"),
        ("a: 1\nb: 2\na: 3", "'a' stands twice.*line 1"),
        ("2024-13-45", "timestamp"),
        ("2024-01-01", "timestamp"),
        ("!!python/object/apply:os.system [ls]", "no plain value"),
        ("!!python/name:os.system", "no plain value"),
        ("!!binary aGk=", "no plain value"),
        ("!!set {a, b}", "no plain value"),
        ("!own 3", "no plain value"),
        ("!!int ''", "not YAML"),
        ("!!bool maybe", "not YAML"),
        ("!!float x", "not YAML"),
        ("a: [", "not YAML"),
        ("{[1]: 2}", "not YAML"),
        ("*a", "not YAML"),
        ("a\0b", "not YAML"),
        ("--- 1\n--- 2", "not YAML"),
    ],
)
def test_yaml_that_asks_for_more_than_plain_values_is_told(text: str, finding: str | None) -> None:
    if finding is None:
        assert parse_yaml(text, fault) == int(text)
        return
    with pytest.raises(DataError, match=rf"(?s)the file .*{finding}"):
        parse_yaml(text, fault)


def test_yaml_with_too_many_values_is_left_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.plain.MAX_NODES", 10)
    assert parse_yaml(str(list(range(9))), fault) == list(range(9))
    with pytest.raises(DataError, match="more than 10 values"):
        parse_yaml("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, [", fault)


def test_content_of_another_form_is_told_and_our_own_errors_pass() -> None:
    content: Any = {"a": [1]}
    for use in (lambda: content["b"], lambda: content["a"][3], lambda: content.c, lambda: 1 / 0, lambda: int("x")):
        with pytest.raises(DataError, match="the file has not the form"), in_form(fault):
            use()
    with pytest.raises(UsageError), in_form(fault):
        raise UsageError("said already")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("train.steps=1e400k", "train.steps"),
        ("train.steps=10000000000000", "train.steps"),
        ("data.size=[1000000, 1000000]", "8192"),
        ("sample.steps=100000000", "10000"),
        ("sample.samples=1000000", "10000"),
        ("process={kind: gaussian, timesteps: 1000000000}", "100000"),
        ("process={kind: edm, sigma_data: .inf}", "finite"),
        ("process={kind: edm, log_sigma_mean: .nan}", "valid number"),
        (f"network.multipliers={[1] * 17}", "at most 16"),
        ("network.multipliers=[]", "at least 1"),
        (".".join("a" * 100) + "=1", "a.b=c"),
        ("x" * 100_000 + "=1", "unknown key xxx"),
    ],
)
def test_a_recipe_that_nothing_could_mean_is_told_in_few_words(setting: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        load_recipe("generate", settings=[setting])
    assert len(str(refused.value)) < 1000


def test_many_mistakes_are_counted_not_listed(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("\n".join(f"key{k}: 1" for k in range(500)))
    with pytest.raises(UsageError, match="500 mistakes") as refused:
        load_recipe("generate", file)
    assert len(str(refused.value)) < 3000
