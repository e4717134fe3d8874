"""Words that fit their number, values as one types them, beginnings of files."""

from sfumato.wording import as_setting, beginning, counted, told_size


def test_a_number_has_the_word_that_fits_it() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert counted(1, "image has", "images have") == "1 image has"
    assert counted(3, "image has", "images have") == "3 images have"


def test_values_are_written_as_behind_set() -> None:
    value = {"mirror": 0.5, "shift": None, "size": (64, 96), "kind": "unet", "twin": True, "nested": {"a": [1]}}
    assert as_setting(value) == "{mirror: 0.5, shift: null, size: [64, 96], kind: unet, twin: true, nested: {a: [1]}}"
    assert as_setting(0.00010817418772233075) == "0.000108174" and as_setting(-3.9120230054) == "-3.91202"


def test_a_beginning_is_text_or_bytes() -> None:
    assert beginning(b"Page not found") == '"Page not fou"'
    assert beginning(b"\x89PNG\r\n\x1a\n") == "the bytes 89 50 4e 47"
    assert beginning(b"a\nb") == "the bytes 61 0a 62" and beginning(b"") == '""'


def test_sizes_have_the_unit_that_suits_them() -> None:
    assert list(map(told_size, (0, 999, 38_000, 27_946_000, 1.2e9, 139e9))) == [
        "0 bytes", "999 bytes", "38 kB", "27.9 MB", "1.2 GB", "139 GB",
    ]  # fmt: skip
