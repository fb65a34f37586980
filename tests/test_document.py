from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from outagecast import document
from outagecast.document import nearest
from outagecast.errors import MessageError


def parse(text: str) -> document.Document:
    return document.parse("m.yaml", text, MessageError)


def problems(text: str) -> list[str]:
    with pytest.raises(MessageError) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "value",
    ["14:30", "NO", "yes", "0441632960000", "+447911123456", "1_000", "0x1f", "1e3", "2026-11-22", "true", ".5"],
)
def test_what_looks_like_a_number_a_date_or_a_truth_stays_text(value: str) -> None:
    assert {"a": value} == parse(f"a: {value}").data


def test_a_key_without_a_value_is_a_key_that_was_not_given() -> None:
    assert parse("a:\nb: ~\nc: null\nd: ''\ne: 'null'\n").data == {"d": "", "e": "null"}
    assert parse("a: [x, ~]").data == {"a": ["x"]}


@pytest.mark.parametrize("text", ["", "# nothing said\n", "---\n", "null", "{}"])
def test_a_file_that_says_nothing_holds_nothing(text: str) -> None:
    assert parse(text).data == {}


def test_json_is_yaml() -> None:
    text = '{\n\t"a": "x\\/y \\u00e9 \\ud83d\\ude00",\t"b": [1, true, null],\n\t"\\ud83d\\ude00": {"c":"d"}\n}\n'
    assert parse(text).data == {"a": "x/y é 😀", "b": ["1", "true"], "😀": {"c": "d"}}


def test_every_problem_is_named_at_once_with_its_line_and_column() -> None:
    assert problems(
        "a: 1\nb: &x 1\nc: *x\nd: !!python/object/apply:os.system [ls]\na: 2\ne: x\u202ey\nf\u200b: 1\n"
    ) == [
        "m.yaml:2:4: an anchor (write the value out, in quotes if it begins with &)",
        "m.yaml:3:4: an alias (write the value out, in quotes if it begins with *)",
        "m.yaml:4:4: a tag (write plain text, in quotes if it begins with !)",
        'm.yaml:5:1: "a" stands twice (the first is on line 1)',
        "m.yaml:6:4: an invisible character, U+202E (retype this text by hand)",
        "m.yaml:7:1: an invisible character, U+200B (retype this text by hand)",
    ]


def test_a_repeated_key_is_named_at_every_depth() -> None:
    assert problems("x: 1\na: [{b: 1, b: 2}]\n") == ['m.yaml:2:12: "b" stands twice (the first is on line 2)']


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c", "m.yaml:1:5: not valid YAML: mapping values are not allowed here (put quotes around a text that"),
        ("a: @b", "m.yaml:1:4: not valid YAML: found character '@' that cannot start any token (put quotes around"),
        ("a:\n\tb: c", "m.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token (indent with sp"),
        ('a: "b\n', "(is a quote or a bracket left open?)"),
        ('a: "b" c\n', "m.yaml:1:8: not valid YAML: expected <block end>, but found '<scalar>' (put quotes around"),
        ("a: 1\nb\n", "m.yaml:3:1: not valid YAML: could not find expected ':' (write `key: value`"),
        ("- a", "m.yaml:1:1: expected `key: value` lines"),
        ("text", "m.yaml:1:1: expected `key: value` lines"),
        ("a: 1\n---\nb: 2\n", "m.yaml:2:1: a second document (keep one document a file)"),
        ("? [a]\n: b\n", "m.yaml:1:3: a key must be plain text"),
        ("a: 1\nb: x\x00y", "m.yaml:2:5: a character that no text has, U+0000 (save it as UTF-8 text)"),
        ("a: 1\r\nb: x\x1by", "m.yaml:2:5: a character that no text has, U+001B (retype this text by hand)"),
        ('a: "\\0"', "m.yaml:1:4: an invisible character, U+0000"),
        ('a: "\\ud800"', "m.yaml:1:4: an invisible character, U+D800"),
        ('a: "\\UFFFFFFFF"', "not valid YAML"),
        ("%YAML " + "9" * 5000 + ".1\n---\na: 1\n", "not valid YAML"),
        ("[" * 20_000, "nested too deeply"),
        ("{a: " * 20_000, "nested too deeply"),
        ("- " * 20_000, "nested too deeply"),
        ("a: " + "[" * 20_000 + "]" * 20_000, "m.yaml:1:24: nested too deeply"),
        ("a: [" + "x," * 100_000 + "]", "more than 5000 values"),
    ],
    ids=range(21),
)
def test_what_cannot_be_read_is_named_where_it_stands(text: str, problem: str) -> None:
    began = time.process_time()
    found = problems(text)
    assert len(found) == 1
    assert problem in found[0]
    assert time.process_time() - began < 1


def test_a_bomb_of_aliases_is_refused_and_never_unfolded() -> None:
    began = time.process_time()
    bomb = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert problems(bomb)[0] == "m.yaml:1:4: an anchor (write the value out, in quotes if it begins with &)"
    assert len(problems(bomb)) == 25
    assert time.process_time() - began < 1


def test_more_problems_than_anybody_reads_are_counted() -> None:
    found = problems("a: 1\n" * 60)
    assert len(found) == 51
    assert found[-1] == "m.yaml: and 9 more"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"\xff\xfea\x00", "m.yaml:1:1: not UTF-8 but UTF-16 (save it as UTF-8)"),
        (b"\xfe\xff\x00a", "m.yaml:1:1: not UTF-8 but UTF-16 (save it as UTF-8)"),
        ("a: é\nb: caf".encode() + b"\xe9", "m.yaml:2:7: not UTF-8 but another encoding, perhaps Windows-1252"),
        (b"a" * (256 * 1024 + 1), "m.yaml: longer than 256 KiB"),
    ],
)
def test_a_file_that_is_no_text_says_what_it_is(tmp_path: Path, raw: bytes, problem: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(raw)
    with pytest.raises(MessageError) as caught:
        document.read(path, None, MessageError)
    assert problem in str(caught.value).replace(str(path), "m.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert (str(path), "a: 1") == document.read(path, None, MessageError)


def test_a_dash_is_what_comes_in_on_standard_input() -> None:
    assert document.read("-", io.BytesIO(b"a: 1"), MessageError) == ("<stdin>", "a: 1")
    assert document.read("-", None, MessageError) == ("<stdin>", "")


def test_a_file_that_is_not_there_or_is_a_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(MessageError, match=r"none: cannot be read: No such file or directory"):
        document.read(tmp_path / "none", None, MessageError)
    with pytest.raises(MessageError, match="Is a directory"):
        document.read(tmp_path, None, MessageError)


def test_a_problem_stands_at_the_nearest_thing_that_was_written() -> None:
    doc = parse("a:\n  b: 1\n")
    assert str(doc.problem(("a", "b"), "x")) == "m.yaml:2:6: x"
    assert str(doc.problem(("a", "b"), "x", key=True)) == "m.yaml:2:3: x"
    assert str(doc.problem(("a", "c", "d"), "x", "y")) == "m.yaml:2:3: x (y)"


def test_what_an_option_put_in_is_named_by_the_option() -> None:
    doc = parse("a:\n  b: 1\n")
    doc.put(("a", "b"), "2", "--set a.b")
    assert str(doc.problem(("a", "b"), "x")) == "--set a.b: x"
    assert doc.data == {"a": {"b": "2"}}
    doc.put(("a", "b"), "", "--set a.b")
    doc.put(("c", "d"), "", "--set c.d")
    assert doc.data == {}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("sumary", 'did you mean "summary"?'),
        ("STATUS", 'did you mean "status"?'),
        ("started-at", 'did you mean "started_at"?'),
        ("zzz", "expected one of: status, summary, started_at"),
        ("x" * 100_000, "expected one of: status, summary, started_at"),
    ],
    ids=range(5),
)
def test_the_nearest_word_is_proposed_or_all_of_them(word: str, hint: str) -> None:
    assert hint == nearest(word, ["status", "summary", "started_at"])
