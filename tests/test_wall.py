"""The wall shows the very words of every channel, says how real it is, and nothing in it can act."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast import plan, wall
from outagecast.errors import UsageError
from outagecast.inert import inert
from outagecast.rehearsal.wall import of_rehearsal
from outagecast.wall import Banner, Inbox, Mail, Other, Phone, Site, Text, Wall
from tests import tongues

if TYPE_CHECKING:
    from tests.conftest import Bank, Newsroom

FACTS: dict[str, Any] = {
    "impact": "major",
    "started_at": "2026-11-22T18:30+11:00",
    "cause": "unknown",
    "workaround": ["Cash machines still work."],
    "apology": "We're sorry.",
}
HOSTILE = '"></iframe><script>document.title="owned"</script><img src=x onerror=alert(1)></p></style></main>'


@dataclass
class Page(HTMLParser):
    """A page as a browser reads it: its elements in order, its words, and the pages inside its frames."""

    source: str
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)  # tag, name, value
    words: str = ""
    frames: list[Page] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.words += "" if tag in {"b", "em", "i", "span", "strong"} else " "
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.frames += [Page(value or "") for name, value in attrs if name == "srcdoc"]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words += data

    def values(self, name: str) -> set[str]:
        """What an attribute is set to anywhere."""
        return {value for _, other, value in self.attributes if other == name}


def preview(newsroom: Newsroom, *kinds: str, **facts: Any) -> Wall:
    drawn = newsroom.plan(*kinds, **{**FACTS, **facts})
    variants = newsroom.variants(*kinds, **{**FACTS, **facts})
    return wall.of_preview(drawn, variants, list(plan.openings(drawn, variants, newsroom.config)))


def shown(seen: Wall, **pictures: Any) -> Wall:
    """The same wall with other pictures in its only language."""
    (view,) = seen.views
    return replace(seen, views=(replace(view, **pictures),))


def flowing(text: str) -> str:
    return " ".join(text.split())


def test_every_channel_is_shown_in_its_very_words(newsroom: Newsroom) -> None:
    page = Page(wall.page(preview(newsroom)))

    texts = newsroom.texts(**FACTS)

    for part in ("x.text", "facebook.text", "twilio_sms.text", "smtp.subject"):
        assert flowing(texts[part]) in page.words
    assert len(page.frames) == 1
    for line in texts["smtp.text"].splitlines():
        assert flowing(line.removeprefix("- ").removesuffix(":")) in page.frames[0].words
    assert flowing(Page(texts["banner.html"]).words) in page.words


def test_it_says_who_what_when_and_that_nothing_has_been_sent(newsroom: Newsroom) -> None:
    page = Page(wall.page(preview(newsroom)))

    assert "Example Bank Card payments are failing Looking for the cause Update 1 6:50pm, Sydney time" in page.words
    assert "PREVIEW — nothing has been sent" in page.words
    assert page.words.count("PREVIEW") == len(("title", "stamp")) + len(
        ("X", "Facebook", "Text messages", "E-mail", "Website")
    )


def test_a_rehearsal_says_that_nobody_was_told(newsroom: Newsroom) -> None:
    page = Page(wall.page(replace(preview(newsroom), stamp=wall.Stamp.REHEARSAL)))

    assert "REHEARSAL — nobody was told" in page.words
    assert "PREVIEW" not in page.words


def test_lengths_are_those_the_networks_count(newsroom: Newsroom) -> None:
    seen = preview(newsroom)

    page = Page(wall.page(shown(seen, phones=(Phone(1, (Text("€" * 81),)), Phone(2, (Text("ș" * 71),))))))

    assert "2 segments · 81 characters · GSM-7" in page.words
    assert "2 segments · 71 characters · UCS-2" in page.words
    assert "This goes to 1 person" in page.words
    assert "This goes to 2 people" in page.words
    assert f"Update 1 · {seen.views[0].feeds[0].posts[0].measure}" in page.words
    assert seen.views[0].feeds[0].posts[0].measure.endswith(" of 280 X characters")


def test_each_language_is_seen_apart_in_its_own_letters_and_direction(newsroom: Newsroom) -> None:
    tongues.write_templates(newsroom.templates)
    newsroom.settings["organisation"]["languages"] = list(tongues.LANGUAGES)
    newsroom.settings["channels"]["x"]["languages"] = ["en", "ar"]

    facts = {"components": {"Card payments": "major_outage"}, "translations": tongues.TRANSLATIONS}
    seen = preview(newsroom, cause=None, workaround=None, **facts)
    page = Page(wall.page(seen))

    assert [(view.language, view.without) for view in seen.views] == [
        ("en", ()),
        ("zh-Hant", ("x", "facebook", "banner")),
        ("ar", ("facebook", "banner")),
    ]
    assert "Languages All 3 English Chinese (Traditional) Arabic English X 1 post" in page.words
    assert "Chinese (Traditional) not on x, facebook, banner Text messages" in page.words
    assert ("html", "lang", "en") in page.attributes
    assert page.values("lang") == set(tongues.LANGUAGES)
    marked = [(name, value) for tag, name, value in page.attributes if tag == "p" and name in {"lang", "dir"}]
    assert marked.count(("lang", "ar")) == marked.count(("dir", "rtl")) == len(("x", "sms"))
    assert marked.count(("lang", "zh-Hant")) == len(("sms",))


def test_a_single_language_has_nothing_to_choose_from(newsroom: Newsroom) -> None:
    page = Page(wall.page(preview(newsroom)))

    assert "input" not in page.tags
    assert "English" not in page.words


def test_a_language_that_is_promised_no_more_is_shown_to_those_who_still_get_it(newsroom: Newsroom) -> None:
    seen = preview(newsroom, "x")
    drawn = newsroom.plan("x", **FACTS)
    (spoken,) = newsroom.variants("x", **FACTS)
    old = replace(spoken, language="ro")
    openings = [item._replace(language="ro") for item in plan.openings(drawn, [spoken], newsroom.config)]

    assert [view.name for view in wall.of_preview(drawn, [old], openings).views] == ["Romanian"]
    assert [view.name for view in seen.views] == ["English"]


def test_a_mail_in_chinese_gets_the_room_that_its_wide_letters_take() -> None:
    assert Mail("a", "信用卡", "信用卡付款失敗。" * 20).height(33) == Mail("a", "abcdef", "ab" * 160).height(33)


def test_hostile_facts_add_nothing_to_the_page(newsroom: Newsroom) -> None:
    harmless = Page(wall.page(preview(newsroom, title="A", summary="B.", cause="C.", apology="D.")))

    hostile = Page(
        wall.page(
            preview(newsroom, title=f"A{HOSTILE}", summary=f"B{HOSTILE}.", cause=f"{HOSTILE}.", apology=f"{HOSTILE}.")
        )
    )

    # the little bars that count segments aside: the hostile text is longer
    assert [tag for tag in harmless.tags if tag != "i"] == [tag for tag in hostile.tags if tag != "i"]
    assert [frame.tags for frame in harmless.frames] == [frame.tags for frame in hostile.frames]
    assert HOSTILE in hostile.words


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("<p>Down <b>now</b></p>", "<p>Down <b>now</b></p>"),
        ("<script>alert(1)</script>Down", "Down"),
        ("<style>*{display:none}</style>Down", "Down"),
        ('<p onclick="alert(1)" style="position:fixed">Down</p>', "<p>Down</p>"),
        ('<img src=x onerror="alert(1)">Down', "Down"),
        ("</div></section></main>Down", "Down"),
        ("<p><strong>Down", "<p><strong>Down</strong></p>"),
        ("<p><em>Down</p>", "<p><em>Down</em></p>"),
        ('<a href="javascript:alert(1)">More</a>', '<span class="link">More</span>'),
        ("<!-- hidden -->Down<br>&lt;b&gt;", "Down<br>&lt;b&gt;"),
        ("<iframe srcdoc='<p>x'></iframe>Down", "Down"),
        ("<svg><script>alert(1)</script></svg>Down", "Down"),
        ("<template>no</template><h2>Down", "<p>Down</p>"),
        ("", ""),
    ],
)
def test_a_banner_keeps_its_words_and_loses_what_could_act(fragment: str, words: str) -> None:
    assert words == inert(fragment)


def test_a_banner_written_by_hand_cannot_break_the_page(newsroom: Newsroom) -> None:
    seen = preview(newsroom, "banner")
    html = f"<p>Down</p></div></main><script>alert(1)</script><img src=//example.com/x>{HOSTILE}"

    page = Page(wall.page(shown(seen, sites=(Site((Banner(html),)),))))

    assert Page(wall.page(shown(seen, sites=(Site((Banner("<p>Down</p>"),)),)))).tags == page.tags


def test_the_page_loads_nothing_and_leads_nowhere(newsroom: Newsroom) -> None:
    source = wall.page(preview(newsroom))
    page = Page(source)

    assert not {"a", "base", "embed", "form", "img", "object", "script", "svg"} & set(page.tags)
    assert page.values("href") == {"data:,"}
    assert page.values("src") == set()
    assert page.values("sandbox") == {""}
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page.values("content")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "url(" not in source
    assert "@import" not in source


def test_links_in_the_mail_ask_for_a_window_that_the_sandbox_never_opens(newsroom: Newsroom) -> None:
    (mail,) = Page(wall.page(preview(newsroom))).frames

    assert ("base", "target", "_blank") in mail.attributes
    assert {("a", "href", "https://status.example.com"), ("a", "rel", "noopener")} <= set(mail.attributes)
    assert ("a", "target") not in {(tag, name) for tag, name, _ in mail.attributes}


def test_a_mail_without_html_is_shown_as_text(newsroom: Newsroom) -> None:
    mail = Mail("Example Bank <status@example.com>", "Cards", "Hello,\n\ncards <fail>.")

    page = Page(wall.page(shown(preview(newsroom, "x"), inboxes=(Inbox(1, (mail,)),))))

    assert page.frames == []
    assert "Hello, cards <fail>." in page.words


def test_a_channel_without_a_picture_is_shown_in_words(newsroom: Newsroom) -> None:
    page = Page(wall.page(shown(preview(newsroom, "x"), others=(Other("radio", "radio", {"script": "<b>Hello</b>"}),))))

    assert "radio radio PREVIEW script <b>Hello</b>" in page.words


def test_a_channel_that_stays_silent_is_named_with_the_reason(newsroom: Newsroom) -> None:
    newsroom.settings["channels"]["x"]["on"] = ["resolved"]

    seen = preview(newsroom, "x", "facebook")

    assert [feed.network for feed in seen.views[0].feeds] == ["Facebook"]
    assert seen.silent == (("x", "this channel does not carry this status"),)
    assert "x stays silent this time: this channel does not carry this status." in Page(wall.page(seen)).words


def test_the_newest_mail_lies_open_on_top_and_an_older_banner_below(newsroom: Newsroom) -> None:
    now = datetime.now(UTC)
    mails = tuple(Mail("a@example.com", subject, "x", "<p>x", now) for subject in ("Fixed", "Down"))
    site = Site((Banner("", now), Banner("<p>Cards fail", now - timedelta(minutes=5))))

    page = Page(wall.page(shown(preview(newsroom, "x"), inboxes=(Inbox(3, mails),), sites=(site,))))

    opened = [index for index, (tag, name, _) in enumerate(page.attributes) if (tag, name) == ("details", "open")]
    titles = [index for index, (tag, name, _) in enumerate(page.attributes) if (tag, name) == ("iframe", "title")]
    assert len(opened) == 1
    assert opened[0] < titles[0]
    assert page.words.index("Fixed") < page.words.index("Down")
    assert "No banner: it has been taken down." in page.words
    assert "What stood there before" in page.words
    assert "Cards fail" in page.words


def test_it_says_where_it_cannot_be_written(newsroom: Newsroom, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*wall\.html: No such file or directory"):
        wall.write(preview(newsroom, "x"), tmp_path / "missing" / "wall.html")


def test_preview_writes_it_and_names_no_customer(bank: Bank) -> None:
    shown = bank.run("preview", "incident.yaml", "--html", "wall.html", env=dict.fromkeys(bank.providers.environment))

    page = (bank.folder / "wall.html").read_text(encoding="utf-8")
    assert shown.returncode == 0
    assert f"what the public would see: {bank.folder / 'wall.html'}" in shown.stderr
    assert "This goes to 2 people" in Page(page).words
    assert "ana@example.com" not in page
    assert "+61491570156" not in page
    assert set(bank.sent.values()) == {0}


def test_a_preview_of_an_update_shows_the_thread_it_joins(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")
    bank.write(status="identified", summary="Cards are still being declined.", cause="A cable was cut.")

    bank.run("preview", "incident.yaml", "--html", "wall.html")

    page = Page((bank.folder / "wall.html").read_text(encoding="utf-8"))
    (first,) = bank.providers.x.posts
    assert "2 posts, one thread" in page.words
    assert page.words.index(flowing(first.text)) < page.words.index("in reply to the post above")
    assert "Cards are still being declined." in page.words
    assert "What stood there before" in page.words


def test_an_update_that_changed_nothing_on_a_channel_is_not_shown_there_twice(bank: Bank) -> None:
    bank.run("announce", "incident.yaml", "--yes")
    bank.write(compensation="We refund your fees.")
    bank.run("announce", "incident.yaml", "--yes")
    assert (bank.sent["x"], bank.sent["facebook"]) == (1, 2)
    bank.write(status="identified", cause="A cable was cut.")

    bank.run("preview", "incident.yaml", "--html", "wall.html")

    page = Page((bank.folder / "wall.html").read_text(encoding="utf-8"))
    assert "X 2 posts, one thread" in page.words
    assert "Facebook 3 posts" in page.words


def test_a_page_that_cannot_be_written_stops_the_preview(bank: Bank) -> None:
    found = bank.json("preview", "incident.yaml", "--html", "missing/wall.html")

    assert found["exit_name"] == "usage"
    assert "cannot write" in found["errors"][0]["message"]


def test_a_rehearsal_shows_what_the_providers_hold_and_how_many_people_got_it(bank: Bank) -> None:
    bank.customers(
        ("Ana", "+61491570156", "ana@example.com"),
        ("Ben", "+61491570157", ""),
        ("Chi", "+61491570158", "chi@example.com"),
    )
    bank.run("announce", "incident.yaml", "--yes")
    bank.customers(("Ana", "+61491570156", "ana@example.com"))
    bank.write(status="resolved", title="Cards work", summary="Cards work again.", components=None, cause="A cable.")
    bank.run("announce", "incident.yaml", "--yes")
    drawn = _plan(bank)

    seen = of_rehearsal(drawn, bank.providers, [Banner("<p>Down"), Banner("")], at=datetime.now(UTC))

    (view,) = seen.views
    assert [post.is_reply for post in view.feeds[0].posts] == [False, True]
    assert [len(feed.posts) for feed in seen.views[0].feeds] == [2, 2]
    assert [(phone.people, len(phone.texts)) for phone in view.phones] == [(2, 1), (1, 2)]
    assert [(inbox.people, len(inbox.mails)) for inbox in view.inboxes] == [(1, 2), (1, 1)]
    assert view.inboxes[0].mails[0].text == bank.providers.smtp.mails[-1].text
    assert [banner.html for banner in view.sites[0].banners] == ["", "<p>Down"]
    assert seen.status_words == "Fixed"
    page = Page(wall.page(seen))
    x, facebook = bank.providers.x.posts, bank.providers.facebook.posts
    for text in [*(post.text for post in x), *(post.text for post in facebook)]:
        assert flowing(text) in page.words


def _plan(bank: Bank) -> plan.Plan:
    from outagecast import config, message

    loaded = config.load(bank.folder / "outagecast.yaml")
    said = message.load(bank.folder / "incident.yaml")
    return plan.draw(said, loaded, audiences={}, now=datetime.now(UTC), only=["x"])
