"""What an update's HTML may hold on an outage page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast import article
from tests import evening
from tests.told import FUZZ, HOSTILE


@pytest.mark.parametrize("languages", [("en", "ro", "zh-Hant")])
def test_the_shipped_words_can_stand_in_a_page(languages: tuple[str, ...]) -> None:
    assert {article.objection(one.parts["html"]) for one in evening.deliveries(languages, is_over=True)} == {None}


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ("<p>It fails.", "<p> is not closed"),
        ("<p>It fails.</div>", "</div> closes nothing"),
        ("It fails.</article>", "</article> closes nothing"),
        ("<article>It fails.</article>", "<article> has no place in it"),
        ("<script>alert(1)</script>", "<script> has no place in it"),
        ("<img src=x>", "<img> has no place in it"),
        ('<p onclick="alert(1)">It fails.</p>', "onclick= has no place in it"),
        ('<p style="color:red">It fails.</p>', "style= has no place in it"),
        ('<p id="other-1">It fails.</p>', "id= has no place in it"),
        ('<a href="javascript:alert(1)">More</a>', "a link in it leads nowhere"),
        ("<p>It fails.</p><!-- not yet -->", "it holds a comment"),
        ("<!DOCTYPE html><p>It fails.</p>", "it holds a comment"),
        ("<p>It <![CDATA[fails]]></p>", "it holds a comment"),
        ("<p>It fails.</p><p", "it holds a < that begins no tag: write &lt;"),
        ("5 < 7", "it holds a < that begins no tag: write &lt;"),
        ("<p>It\u202e fails.</p>", "it holds an invisible character, U+202E"),
        ("<p>It \ud800 fails.</p>", "it holds an invisible character, U+D800"),
        ("<p/>It fails.", "<p> is not closed"),
    ],
)
def test_what_reaches_out_of_it_or_does_something_is_named(html: str, why: str) -> None:
    assert article.objection(html) == why


@pytest.mark.parametrize(
    "html",
    ["", "It fails.", '<p>It <b>fails</b>.<br>See <a href="https://example.com">here</a>.</p>', "5 &lt; 7 & more"],
)
def test_plain_markup_is_welcome(html: str) -> None:
    assert article.objection(html) is None


@FUZZ
@given(html=HOSTILE | st.builds("<p>{}</p>".format, HOSTILE))
def test_what_is_taken_never_ends_the_article(html: str) -> None:
    if article.objection(html) is None:
        page = f'<article id="cards-1">\n{html}\n</article>\n<article id="cards-2">\nAfter\n</article>'

        assert article.found_in(page) == {("cards", 1): html, ("cards", 2): "After"}
