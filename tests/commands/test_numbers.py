"""Every flag of every verb that is a number: plain digits, within bounds, refused in words and with exit code 2."""

from collections.abc import Iterator
from typing import Any

import pytest

from sfumato.cli import COMMANDS, main
from sfumato.commands.evaluate import parse_metrics
from sfumato.commands.flags.numbers import SampleRequest
from sfumato.commands.flags.sampling import parse_interval
from sfumato.commands.flags.words import parse_size
from sfumato.errors import UsageError
from sfumato.experiment.sample_requests import parse_seeds, plan_images
from sfumato.numerals import decimal, whole

NO_WHOLE = ("2.6", "3.0", "0x10", "0b11", "0o17", "1e3", "1_000", "True", "nan", "inf", "", "1,5", "\u00b2", "\u0663")
NO_NUMBER = ("0x10", "1_000", "True", "nan", "-nan", "inf", "-inf", "1e999", "", "1,5", "\u0663.5")


def numbers() -> Iterator[tuple[list[str], str, SampleRequest]]:
    """The words of each verb, each of its flags that is a number, and what that takes."""
    for parent, name, *_ in COMMANDS:
        words = [*([] if parent.name[0] == "sfumato" else [parent.name[0]]), name]
        for argument in parent[name].assemble_argument_collection(parse_docstring=False):
            wanted = SampleRequest.of(argument.field_info.annotation)
            if wanted is not None and argument.parse:
                yield words, argument.name, wanted


NUMBERS = [pytest.param(*each, id=" ".join([*each[0], each[1]])) for each in numbers()]


def refused(words: list[str], flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said about a flag with a value; it must be a usage error."""
    with pytest.raises(SystemExit) as stop:
        main([*words, f"{flag}={value}"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and f"error: {flag} {value}" in said and "Traceback" not in said
    return said


def test_there_are_many() -> None:
    assert len(NUMBERS) > 80


@pytest.mark.parametrize(("words", "flag", "wanted"), NUMBERS)
def test_what_is_no_number_is_refused(
    words: list[str], flag: str, wanted: SampleRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    none = NO_WHOLE if wanted.kind is int else NO_NUMBER
    assert not any(map(wanted.takes, none))
    assert str(wanted) in refused(words, flag, none[0], capsys)


def test_nothing_is_counted_below_nought() -> None:
    whole_ones = {" ".join([*words, flag]): wanted for words, flag, wanted in numbers() if wanted.kind is int}
    assert [name for name, wanted in whole_ones.items() if wanted.takes("-1")] == []
    from_nought = {name.rpartition(" ")[2] for name, wanted in whole_ones.items() if wanted.takes("0")}
    assert from_nought == {"--seed", "--folds", "--fold", "--class-level", "--component", "--neighbours"}


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["generate"], "--count"), (["segment"], "--samples"), (["segment"], "--batch"), (["pair"], "--count"),
        (["evaluate", "masks"], "--workers"), (["prove"], "--seeds"), (["reconstruct"], "--count"),
        (["train", "segment"], "--steps"), (["toy"], "--cases"), (["tune", "generate"], "--trials"),
    ],
)  # fmt: skip
def test_none_of_something_is_refused(words: list[str], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "from 1" in refused(words, flag, "0", capsys)


def test_words_in_place_of_a_number_stay(capsys: pytest.CaptureFixture[str]) -> None:
    assert "or auto" in refused(["segment"], "--steps", "automatic", capsys)
    assert SampleRequest(int, (), ("auto",)).takes("auto") and not SampleRequest(int).takes("auto")


def test_plain_numbers() -> None:
    assert [whole(text) for text in ("0", "64", "-3", "+5", "007")] == [0, 64, -3, 5, 7]
    assert [decimal(text) for text in ("0.5", "-1", "1e-3", ".5", "2.", "1E3")] == [0.5, -1, 0.001, 0.5, 2, 1000]
    assert {whole(text) for text in NO_WHOLE} == {decimal(text) for text in NO_NUMBER} == {None}


@pytest.mark.parametrize("text", [text for text in NO_WHOLE if text != "1,5"])
def test_numbers_within_texts_are_as_plain(text: str) -> None:
    readers: list[Any] = [parse_seeds, parse_size, lambda text: plan_images(["a"], per_class=f"a={text}")]
    for read in readers:
        with pytest.raises(UsageError):
            read(text)
    for word in (f"0.1,{text}", text):
        if text not in ("2.6", "3.0", "1e3", "inf"):
            with pytest.raises(UsageError):
                parse_interval(word)
    if decimal(text) is None:
        with pytest.raises(UsageError):
            parse_metrics(f"nsd:{text}")
