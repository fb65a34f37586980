from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outagecast import audience
from outagecast.audience import Choice, Listing
from outagecast.errors import AudienceError, Problem

LANGUAGES = ("en", "ro", "zh-Hant")
Load = Callable[..., Listing]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.fixture
def load(path: Path) -> Load:
    def read(content: str | bytes, column: Literal["phone", "email"] = "email", **options: Any) -> Listing:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return audience.load(path, column, LANGUAGES, **options)

    return read


@pytest.fixture
def refusal(load: Load, path: Path) -> Callable[..., list[str]]:
    def refused(content: str | bytes, column: Literal["phone", "email"] = "email") -> list[str]:
        with pytest.raises(AudienceError) as caught:
            load(content, column)
        assert caught.value.exit_code == 65
        return [str(problem).replace(str(path), "people.csv") for problem in caught.value.problems]

    return refused


def who(found: Listing) -> list[tuple[str, str]]:
    """Each one's address and language, in the order in which they are told."""
    language = {group.name: group.language for group in found.roll.groups}
    return [(person.address, language[person.group]) for person in found.roll.people()]


def test_each_person_is_listed_once_in_the_order_of_the_file(load: Load) -> None:
    found = load("name,phone,email,language,branch\nAna,+61491570156,ana@example.com,ro,7\nChi,,chi@example.com,en,8\n")
    assert who(found) == [("ana@example.com", "ro"), ("chi@example.com", "en")]
    assert (found.rows.without, found.rows.duplicates, found.rows.bad) == (0, 0, 0)


def test_rows_without_an_address_for_this_channel_are_counted_and_are_not_bad(load: Load) -> None:
    found = load("phone,email\n+61491570156,\n,chi@example.com\n  ,dan@example.com\n\n,\n", "phone")
    assert (found.roll.count, found.rows.without) == (1, 2)


def test_a_byte_order_mark_capitals_and_spaces_in_the_header_do_no_harm(load: Load) -> None:
    assert who(load(b"\xef\xbb\xbfEmail , LANGUAGE\r\nana@example.com,ro\r\n")) == [("ana@example.com", "ro")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *(("ro", "ro"), (" RO ", "ro"), ("ro-MD", "ro"), ("ro_RO", "ro"), ("ron", "ro"), ("en_AU", "en")),
        *(("zh-hant", "zh-Hant"), ("zh-HK", "zh-Hant"), ("zh_Hant_HK", "zh-Hant"), ("zh", "zh-Hant")),
        *(("fr", "en"), ("", "en"), ("Romanian", "en"), ("-", "en"), ("zz!", "en"), ("123", "en")),
    ],
)
def test_a_reader_gets_the_nearest_language_that_is_promised_else_the_first(
    load: Load, written: str, read: str
) -> None:
    assert who(load(f"email,language\nana@example.com,{written}\n")) == [("ana@example.com", read)]


def test_one_person_twice_is_told_once_in_the_first_rows_language(load: Load) -> None:
    found = load("email,language\nAna@Example.COM,ro\nAna@example.com,en\nana@example.com,en\n")
    assert who(found) == [("Ana@example.com", "ro")]
    assert found.rows.duplicates == 2


def test_one_number_in_several_spellings_is_told_once(load: Load) -> None:
    found = load("phone\n+61 491 570 156\n+61-491-570-156\n(+61) 491.570.156\n+61\u00a0491570156\n", "phone")
    assert (who(found), found.rows.duplicates) == ([("+61491570156", "en")], 3)


@pytest.mark.parametrize(
    ("phone", "hint"),
    [
        ("6.1492E+10", "a spreadsheet changed it; format the column as text"),
        ('"6,1492E+10"', "a spreadsheet changed it; format the column as text"),
        ("61491570156", "+, the country's code"),
        ("0491 570 156", "+, the country's code"),
        ("+0491570156", "+, the country's code"),
        ("+44 (0)7911 123456", "leave out the (0)"),
        ("+6149157015612345", "+, the country's code"),
        ("+61491570156\u202c", "+, the country's code"),
        ("+٦١٤٩١٥٧٠١٥٦", "+, the country's code"),
        ("+61491570156 ext 4", "+, the country's code"),
        ("'+61491570156", "+, the country's code"),
    ],
)
def test_a_phone_number_that_is_none_is_named_with_its_line(
    refusal: Callable[..., list[str]], phone: str, hint: str
) -> None:
    shown = phone.strip('"').rstrip("\u202c")
    problems = refusal(f"name,phone\nAna,+61491570156\nBen,{phone}\n", "phone")
    assert problems[0].startswith(f'people.csv:3: "{shown}" is not a valid phone ({hint}')
    assert len(problems) == 2


@pytest.mark.parametrize(
    "email",
    [
        *("ana", "ana@", "@example.com", "ana@example", "a b@example.com", "ana@@example.com", "ana@-example.com"),
        *(".ana@example.com", "ana@example..com", "ana@example.com.", "ana@example.com;ben@example.com"),
        *("Ana <ana@example.com>", "ana\u200b@example.com", "x" * 65 + "@example.com", "a@" + "b" * 250 + ".com"),
    ],
)
def test_an_email_address_that_is_none_is_named_with_its_line(refusal: Callable[..., list[str]], email: str) -> None:
    problems = refusal(f"email\nben@example.com\n{email}\n")
    assert problems[0].startswith("people.csv:3: ")
    assert problems[0].endswith("is not a valid email (one address, such as ana@example.com)")


@pytest.mark.parametrize("email", ["a.b+c@sub.example.co.uk", "o'brien@example.com", "ana@plăți.example", "1@2.io"])
def test_unusual_email_addresses_are_addresses(load: Load, email: str) -> None:
    assert who(load(f"email\n{email}\n")) == [(email, "en")]


def test_a_line_is_counted_as_an_editor_counts_it(refusal: Callable[..., list[str]]) -> None:
    problems = refusal('name,email\n"Ana\nB",ana@example.com\n"Ben\nC",ben@\n\nDan\n')
    assert problems[0].startswith('people.csv:4: "ben@" is not')
    assert problems[1] == "people.csv:7: 1 cells, expected 2 (put a cell that holds a comma in quotes)"


def test_a_quote_left_open_is_named_where_it_was_opened(refusal: Callable[..., list[str]]) -> None:
    problems = refusal('name,email\nAna,ana@example.com\n"Ben,ben@example.com\n' + "Chi,chi@example.com\n" * 50)
    assert len(problems) == 1
    assert problems[0].startswith("people.csv:3: not valid CSV")
    assert problems[0].endswith("(is a quote left open?)")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", 'people.csv:1: there is no column "email" (the first line must name the columns, among them email)'),
        ("name,phone\n", 'people.csv:1: there is no column "email"'),
        ("name;email\nAna;ana@example.com\n", "(save it with commas between the cells)"),
        ("email,Email\na@example.com,b@example.com\n", 'people.csv:1: the column "email" stands twice (keep one)'),
        ("email\nana@exa\x00mple.com\n", "people.csv:2: a NUL byte (save it as UTF-8 text)"),
        ("email\nana@example.com\n".encode("utf-16"), "people.csv: not UTF-8 but UTF-16 (save it as CSV in UTF-8"),
        ("email\nana@example.com\n".encode("utf-16-le"), "people.csv:1: a NUL byte"),
        ("email,name\nana@example.com,Zoë\n".encode("latin-1"), "people.csv: not UTF-8 but another encoding"),
    ],
)
def test_a_file_that_is_no_list_of_people_says_what_it_is(
    refusal: Callable[..., list[str]], content: str | bytes, problem: str
) -> None:
    problems = refusal(content)
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(AudienceError, match=r"none\.csv: cannot read the audience: No such file or directory"):
        audience.load(tmp_path / "none.csv", "email", LANGUAGES)


def people(good: int, bad: int) -> str:
    return "".join(["email\n", *(f"p{number}@example.com\n" for number in range(good)), *["oops\n"] * bad])


@pytest.mark.parametrize(("good", "bad"), [(999, 1), (4995, 5), (99_900, 100)])
def test_a_few_bad_rows_among_many_are_left_out_and_named(load: Load, good: int, bad: int) -> None:
    found = load(people(good, bad))
    assert (good, bad) == (found.roll.count, found.rows.bad)
    assert good + 2 == found.rows.problems[0].line


@pytest.mark.parametrize(("good", "bad"), [(3, 1), (998, 1), (4994, 6), (110_000, 101)])
def test_too_many_bad_rows_stop_the_run(refusal: Callable[..., list[str]], good: int, bad: int) -> None:
    problems = refusal(people(good, bad))
    advice = "correct them, or leave them out with --accept-bad-rows; all of them: audience check --bad-rows FILE"
    total = f"{bad} of {good + bad} rows cannot be used ({advice})"
    assert f"people.csv: {total}" == problems[-1]
    assert min(bad, 20) + (bad > 20) + 1 == len(problems)


def test_bad_rows_are_left_out_once_somebody_accepts_them(load: Load) -> None:
    found = load(people(3, 200), accept_bad_rows=True)
    assert (found.roll.count, found.rows.bad) == (3, 200)


def test_the_digest_changes_with_an_address_or_a_language_and_with_nothing_else(load: Load) -> None:
    first = load("name,email,language\nAna,ana@example.com,ro\n").roll.digest
    assert first == load("email,name,language\nana@EXAMPLE.com,Anne,RO\n").roll.digest
    assert first != load("email,language\nana@example.com,en\n").roll.digest
    assert first != load("email,language\nann@example.com,ro\n").roll.digest


PEOPLE = """email,phone,region,product,priority
ana@example.com,+61491570156,NSW,card,2
ben@example.com,+61491570157, nsw ,loan,10
chi@example.com,+64211234567,VIC,card,1
dan@example.com,+881612345678,ACT,card,
eve@example.com,+61491570158,ACT,card,staff
"""


def names(found: Listing) -> list[str]:
    return [address.partition("@")[0] for address in found.roll.addresses()]


def test_only_those_are_told_whose_cells_the_config_selects(load: Load) -> None:
    found = load(PEOPLE, "email", choice=Choice(select={"Region": ["NSW", "act"], "product": ["card"]}))

    assert names(found) == ["ana", "dan", "eve"]
    assert (found.rows.unselected, found.rows.bad) == (2, 0)


def test_a_row_that_is_not_selected_need_not_have_a_good_address(load: Load) -> None:
    found = load("email,region\nana@example.com,ACT\nnone,NSW\n", choice=Choice(select={"region": ["ACT"]}))

    assert (names(found), found.rows.unselected, found.rows.bad) == (["ana"], 1, 0)


def test_people_are_told_by_numbers_then_words_and_last_those_of_whom_nothing_is_said(load: Load) -> None:
    assert names(load(PEOPLE, "email", choice=Choice(order_by="priority"))) == ["chi", "ana", "ben", "eve", "dan"]


def test_those_of_one_rank_are_told_in_the_order_of_the_file(load: Load) -> None:
    assert names(load(PEOPLE, "email", choice=Choice(order_by="product"))) == ["ana", "chi", "dan", "eve", "ben"]


def test_a_column_that_the_config_names_must_be_there_once(refusal: Callable[..., list[str]], path: Path) -> None:
    path.write_text("email,region,region\nana@example.com,a,b\n")
    with pytest.raises(AudienceError, match='the column "region" stands twice'):
        audience.load(path, "email", LANGUAGES, Choice(select={"region": ["a"]}))
    with pytest.raises(AudienceError, match='there is no column "priority"'):
        audience.load(path, "email", LANGUAGES, Choice(order_by="priority"))


def test_numbers_of_other_countries_are_left_out_and_counted_and_are_not_bad(load: Load) -> None:
    found = load(PEOPLE, "phone", choice=Choice(countries=("AU",)))

    assert (found.roll.count, found.rows.elsewhere, found.rows.bad) == (3, {"NZ": 1, "": 1}, 0)
    assert load(PEOPLE, "phone").roll.count == 5
    assert load(PEOPLE, "email", choice=Choice(countries=("AU",))).roll.count == 5


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(refusal: Callable[..., list[str]]) -> None:
    assert refusal("email\n" + "x" * 3_000_000) == [
        "people.csv:2: a line of more than 1,000,000 characters (is it a CSV file?)"
    ]


def test_whoever_wants_them_is_told_of_every_bad_row(load: Load) -> None:
    every: list[Problem] = []

    found = load(people(3, 200), accept_bad_rows=True, faults=every)

    assert (len(every), every[-1].line, len(found.rows.problems)) == (200, 204, 20)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("email\nZo\u00eb@example.com\n".encode("utf-32"), "UTF-32"),
        ("email\nZo\u00eb@example.com\n".encode("utf-16"), "UTF-16"),
        ("email,name\nana@example.com,\u201cZo\u00eb\u201d\n".encode("cp1252"), "byte 0x93 perhaps Windows-1252"),
        ("email,name\nana@example.com,Zo\u00eb\n".encode("latin-1"), "byte 0xEB perhaps Latin-1"),
    ],
)
def test_another_encoding_is_named(refusal: Callable[..., list[str]], content: bytes, named: str) -> None:
    (problem,) = refusal(content)
    assert named in problem


ALPHABET = st.sampled_from([*"email,phone\n\r\"'+61491@.;\t\x00é\ufeff", "email\n", "phone,email\r\n"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.lists(ALPHABET, max_size=80).map(lambda found: "".join(found).encode()))
def test_any_bytes_are_an_audience_or_an_error_of_ours(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    began = time.monotonic()
    for column in ("phone", "email"):
        with contextlib.suppress(AudienceError):
            audience.load(path, column, LANGUAGES)
    assert time.monotonic() - began < 1
