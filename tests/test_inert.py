from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outagecast.inert import words
from tests.told import FUZZ, inert, line

ARTICLE = """
<p>Cards are <strong>being</strong>
declined.</p>
<dl>
<div><dt>What you can do</dt>
<dd>Pay &amp; smile.</dd>
<dd>Use <a href="https://x.example/?a=b">cash</a>.</dd></div>
<div><dt>Cause</dt><dd>Unknown.</dd></div>
</dl>
<ul><li>one<br>more</li><li>two</li></ul>
<!-- <p>no</p> --><script>let no = "<p>no</p>"</script><style>no</style>
"""


def test_the_words_of_an_article_stand_in_lines_as_its_blocks_do() -> None:
    assert words(ARTICLE).splitlines() == [
        "Cards are being declined.",
        "What you can do: Pay & smile.",
        "Use cash.",
        "Cause: Unknown.",
        *("one", "more", "two"),
    ]


def test_a_label_ends_as_its_language_has_it() -> None:
    assert words("<dl><dt>原因</dt>\n<dd>不明</dd></dl>", "：") == "原因：不明"
    assert words("<dl><dt>Cause</dt>\n<dd>X</dd></dl>", "\N{NO-BREAK SPACE}: ") == "Cause\N{NO-BREAK SPACE}: X"


@pytest.mark.parametrize("attribute", ['title="a > b"', "title='a > b'", 'data-x="<p>"'])
def test_an_attribute_is_no_word(attribute: str) -> None:
    assert words(f"<p {attribute}>shown</p>") == "shown"


@FUZZ
@given(text=st.text("<>&;\"'/!- pdiv\n\t\x85]ăß😀", max_size=40))
def test_what_was_escaped_comes_back(text: str) -> None:
    assert inert(words(f"<p>{html.escape(text)}</p>")) == line(text)
