from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from lxml import etree

from outagecast import atom_feed
from outagecast.history import History
from outagecast.inert import words
from tests.told import BASE, FUZZ, HOSTILE, WINDOW, history, inert, line, said

ATOM = {"a": "http://www.w3.org/2005/Atom"}
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
NIGHT = (said(), said("cards", 2, "19:30", "identified"), said("cards", 3, "21:40", "resolved"))
WORK = said("work", 1, "09:00", "scheduled", title="The app moves", **WINDOW)


def feed(told: History, path: str = "history.atom", base: str = BASE) -> Any:
    return etree.fromstring(atom_feed.files(told, base)[path], etree.XMLParser(resolve_entities=False))


def texts(node: Any, path: str) -> list[str]:
    return [str(found) for found in node.xpath(path, namespaces=ATOM)]


@pytest.fixture
def grammar(reference_data: Callable[[str], Path]) -> Any:
    return etree.RelaxNG(etree.parse(reference_data("atom/atom.rng")))


@pytest.mark.parametrize(
    "told",
    [history(), history(*NIGHT), history(*NIGHT, WORK), history(said(), said(language="ro"), languages=("en", "ro"))],
)
def test_every_feed_is_valid(told: History, grammar: Any) -> None:
    for path in atom_feed.files(told, BASE):
        grammar.assertValid(feed(told, path))


@pytest.mark.parametrize("told", [history(), history(*NIGHT, WORK)])
def test_a_feed_has_what_the_grammar_cannot_ask_for(told: History) -> None:
    node = feed(told)

    assert all(texts(node, "a:author/a:name/text()"))
    assert texts(node, "a:link[@rel='self']/@href") == [f"{BASE}/history.atom"]
    for entry in node.xpath("a:entry", namespaces=ATOM):
        assert len(texts(entry, "a:link[@rel='alternate']/@href")) == 1
    ids = texts(node, "//a:id/text()")
    assert len(set(ids)) == len(ids)


def test_an_update_is_seen_since_the_time_changes_and_the_id_does_not() -> None:
    feeds = [feed(history(*NIGHT[:count])) for count in (1, 2, 3)]

    assert len({tuple(texts(node, "//a:id/text()")) for node in feeds}) == 1
    assert [texts(node, "//a:updated/text()") for node in feeds] == [
        ["2026-11-22T18:50:00+11:00"] * 2,
        ["2026-11-22T19:30:00+11:00"] * 2,
        ["2026-11-22T21:40:00+11:00"] * 2,
    ]
    assert {texts(node, "//a:published/text()")[0] for node in feeds} == {"2026-11-22T18:50:00+11:00"}


def test_an_entry_is_marked_up_so_that_bots_find_the_status() -> None:
    (content,) = texts(feed(history(*NIGHT[:2])), "//a:content/text()")

    assert content == (
        "<p><small>Sunday, 19:30 · Sydney time</small><br><strong>Cause found</strong> - "
        "Card payments are failing<br>Our cards are being declined.</p>"
        "<p><small>Sunday, 18:50 · Sydney time</small><br><strong>Looking for the cause</strong> - "
        "Card payments are failing<br>Our cards are being declined.</p>"
    )


def test_each_language_has_a_feed_of_its_own_with_ids_of_its_own() -> None:
    told = history(said(), said(language="ro", title="Plățile cu cardul nu merg"), languages=("en", "ro"))

    own, other = feed(told), feed(told, "ro/history.atom")

    assert (own.get(LANG), other.get(LANG)) == ("en", "ro")
    assert texts(other, "a:entry/a:title/text()") == ["Plățile cu cardul nu merg"]
    assert texts(other, "a:entry/a:link[@rel='alternate']/@href") == [f"{BASE}/ro/incidents/cards.html"]
    assert not set(texts(own, "//a:id/text()")) & set(texts(other, "//a:id/text()"))


def test_what_was_not_said_in_a_language_stands_there_in_the_first_and_says_so() -> None:
    told = history(said(), languages=("en", "ro"))

    (entry,) = feed(told, "ro/history.atom").xpath("a:entry", namespaces=ATOM)

    assert entry.get(LANG) == "en"


def test_the_ids_do_not_change_with_the_port_or_a_slash() -> None:
    one, other = (feed(history(*NIGHT), base=base) for base in (f"{BASE}/", "https://status.example.com:8443"))

    assert texts(one, "//a:id/text()") == texts(other, "//a:id/text()")
    assert all(name.startswith("tag:status.example.com,2005:") for name in texts(one, "//a:id/text()"))


def test_a_feed_lists_the_newest_and_all_that_is_open() -> None:
    past = [
        said(f"i{number}", update, f"{number // 2:02}:{number % 2 * 30 + update:02}", status, day="2026-02-01")
        for number in range(40)
        for update, status in ((1, "investigating"), (2, "resolved"))
    ]
    told = history(said("forgotten", 1, "00:01", day="2026-01-01"), *past)

    entries = texts(feed(told), "a:entry/a:link[@rel='alternate']/@href")

    assert entries[0].endswith("/i39.html")
    assert entries[-2:] == [f"{BASE}/incidents/i15.html", f"{BASE}/incidents/forgotten.html"]


@FUZZ
@given(text=HOSTILE)
def test_hostile_words_come_back_as_words(text: str) -> None:
    node = feed(history(said(title=text, summary=text, organisation=text)))

    (content,) = texts(node, "//a:content/text()")
    assert "".join(texts(node, "a:author/a:name/text()")) == inert(text)
    assert "".join(texts(node, "a:entry/a:title/text()")) == inert(text)
    seen = words(content).partition("Looking for the cause - ")[2]
    assert seen.split() == " ".join([line(text)] * 2).split()
    assert {node.tag for node in etree.HTML(content).iterdescendants()} == {"body", "p", "small", "br", "strong"}
