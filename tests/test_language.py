from __future__ import annotations

import pytest

from outagecast import language


@pytest.mark.parametrize(
    ("code", "name", "direction"),
    [
        ("en", "English", "ltr"),
        ("en-GB", "English (United Kingdom)", "ltr"),
        ("ro", "Romanian", "ltr"),
        ("zh-Hant", "Chinese (Traditional)", "ltr"),
        ("ar", "Arabic", "rtl"),
        ("tlh", "tlh", "ltr"),
    ],
)
def test_a_language_has_a_name_and_a_direction(code: str, name: str, direction: str) -> None:
    assert (name, direction) == (language.name(code), language.direction(code))


@pytest.mark.parametrize(
    ("code", "promised", "read"),
    [
        ("zh-HK", "zh-Hans zh-Hant", "zh-Hant"),  # the script that the country implies
        ("zh-SG", "zh-Hant zh-Hans", "zh-Hans"),
        ("zh-Hant-HK", "zh-Hans zh-Hant", "zh-Hant"),
        ("sr-Latn", "sr-Cyrl sr-Latn", "sr-Latn"),
        ("EN-us", "en-GB en-US", "en-US"),
        ("en", "en-GB en-US", "en-GB"),
        ("en-NZ", "en-GB en-US", "en-GB"),
        ("en-!", "en-GB en-US", "en-GB"),
        ("zh-CN", "en zh-Hant", "zh-Hant"),
        ("iw", "en he", "he"),
        ("deu-AT", "fr de", "de"),
        ("fr", "en ro", None),
        ("", "en ro", None),
    ],
)
def test_the_nearest_is_of_the_same_language_then_script_then_country(
    code: str, promised: str, read: str | None
) -> None:
    assert language.nearest(code, promised.split()) == read
