from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outagecast import registry
from outagecast.channel import Briefs, Channel, Finds, ReadsBack
from outagecast.channels.briefing import Briefing, Settings
from outagecast.errors import Rejected
from outagecast.model import Delivery, Published, Status

if TYPE_CHECKING:
    from tests.conftest import Bank, Newsroom

AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def sheet(heading: str, text: str = "For staff only.") -> dict[str, str]:
    html = f"<article><header><h1>{heading}</h1></header><div><p>{text}</p></div></article>"
    return {"heading": heading, "text": text, "html": html}


DELIVERY = Delivery(
    key="k1",
    incident="cards-2026-11-22",
    update=1,
    status=Status.INVESTIGATING,
    target="",
    language="en",
    parts=sheet("Briefing 1"),
    opened_at=AT,
)
OTHER = DELIVERY._replace(incident="app", parts=sheet("Briefing on the app"), opened_at=AT + timedelta(minutes=5))
OVER = DELIVERY._replace(update=2, status=Status.RESOLVED, parts=sheet("Briefing 2", "Stand down."))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "internal" / "briefing.html"


@pytest.fixture
def briefing(path: Path) -> Briefing:
    return Briefing(Settings(path=path))


class Page(HTMLParser):
    """The tags and the words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_it_is_for_the_own_people_and_can_be_looked_up(briefing: Briefing) -> None:
    channel: Channel = briefing

    assert isinstance(channel, Briefs)
    assert isinstance(channel, Finds)
    assert isinstance(channel, ReadsBack)


def test_a_page_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"path must end in \.html"):
        Settings(path=Path("briefing"))


def test_a_sheet_stands_on_a_page_and_in_a_text_that_strangers_cannot_read(briefing: Briefing, path: Path) -> None:
    receipt = briefing.send(DELIVERY)

    assert path.with_suffix(".txt").read_text(encoding="utf-8") == "Briefing 1\n\nFor staff only.\n"
    assert DELIVERY.parts["html"] in path.read_text(encoding="utf-8")
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o640}
    assert briefing.find(DELIVERY) == receipt
    assert briefing.read_back(DELIVERY, receipt) == Published(DELIVERY.parts)


def test_each_incident_has_one_sheet_the_newest_first(briefing: Briefing, path: Path) -> None:
    briefing.send(DELIVERY)
    briefing.send(OTHER)
    briefing.send(OVER)

    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert text == "Briefing on the app\n\nFor staff only.\n\n\nBriefing 2\n\nStand down.\n"


def test_a_closed_sheet_stays_for_a_week(briefing: Briefing, path: Path) -> None:
    briefing.send(OVER)
    briefing.send(OTHER._replace(opened_at=AT + timedelta(days=6)))
    assert "Stand down." in path.read_text(encoding="utf-8")

    briefing.send(OTHER._replace(update=2, opened_at=AT + timedelta(days=8)))
    assert "Stand down." not in path.read_text(encoding="utf-8")


def test_a_page_of_somebody_else_is_left_alone(briefing: Briefing, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("my page", encoding="utf-8")

    with pytest.raises(Rejected, match="not ours"):
        briefing.send(DELIVERY)
    assert path.read_text(encoding="utf-8") == "my page"


def test_the_heading_is_repeated_on_each_page_of_paper(briefing: Briefing, path: Path) -> None:
    briefing.send(DELIVERY)

    page = path.read_text(encoding="utf-8")
    assert "header { display: table-header-group; break-inside: avoid; }" in page.partition("@media print")[2]
    assert page.count("<header>") == 1


# --- its words

BRIEFING = {
    "say": ["Cash machines work."],
    "do_not_say": ["That it was the new payments team."],
    "faq": [{"q": "Is it an attack?", "a": "We have seen no sign of one in the core ledger."}],
    "escalation": "Duty manager, extension 4410",
}
SECRETS = ("new payments team", "Is it an attack", "no sign of one in the core ledger", "extension 4410")


def with_staff(newsroom: Newsroom) -> Newsroom:
    from tests.conftest import BESIDE

    newsroom.settings["channels"] |= {kind: {"kind": kind, **given} for kind, given in BESIDE.items()}
    return newsroom


def test_the_sheet_says_what_to_say_and_what_not_whom_to_ask_and_when_the_next_word_comes(newsroom: Newsroom) -> None:
    text = with_staff(newsroom).texts("briefing", briefing=BRIEFING, next_update_at="30m")["briefing.text"]

    paragraphs = text.split("\n\n")
    assert "Next update: by 7:20pm (Sydney time)" in paragraphs[0]
    for label, words in (
        ("Say first:", "- Cash machines work."),
        ("Do not say:", "- That it was the new payments team."),
        ("If asked:", "- Is it an attack? “We have seen no sign of one in the core ledger.”"),
        ("Pass on to:", "- Duty manager, extension 4410."),
    ):
        assert words in paragraphs[paragraphs.index(label) + 1].splitlines()


def test_the_closing_sheet_stands_down_and_says_none_of_the_old_answers(newsroom: Newsroom) -> None:
    newsroom.said(newsroom.now, briefing=BRIEFING)
    text = with_staff(newsroom).texts("briefing", status="resolved", briefing=BRIEFING)["briefing.text"]

    assert "Stand down" in text
    assert "Is it an attack?" not in text
    assert "extension 4410" in text


@pytest.mark.parametrize("kind", registry.BUILTIN)
@pytest.mark.parametrize("status", [status.value for status in Status])
def test_no_internal_word_is_in_a_public_text(newsroom: Newsroom, kind: str, status: str) -> None:
    channel = with_staff(newsroom).settings["channels"].get(kind)
    if channel is None:
        pytest.skip("the newsroom has no such channel")
    channel["on"] = ["first", *Status, "follow_up"]
    window = {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}
    planned: dict[str, Any] = {"window": window} if Status(status).is_maintenance else {}

    texts = newsroom.texts(kind, status=status, briefing=BRIEFING, **planned)

    said = "\n".join(texts.values())
    is_internal = issubclass(registry.channel_class(kind), Briefs)
    assert [words in said for words in SECRETS] == [is_internal] * len(SECRETS)


@pytest.mark.parametrize("kind", registry.BUILTIN)
def test_a_public_template_cannot_name_the_briefing(newsroom: Newsroom, kind: str) -> None:
    from outagecast.errors import TemplateError

    if kind not in with_staff(newsroom).settings["channels"]:
        pytest.skip("the newsroom has no such channel")
    part = next(iter(registry.channel_class(kind).parts))
    newsroom.template(f"en/{kind}.{part}.j2", "{% block investigating %}{{ briefing.escalation }}{% endblock %}")

    if issubclass(registry.channel_class(kind), Briefs):
        assert "4410" in newsroom.texts(kind, briefing=BRIEFING)[f"{kind}.{part}"]
    else:
        with pytest.raises(TemplateError, match="'briefing' is undefined"):
            newsroom.texts(kind, briefing=BRIEFING)


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        ("Please call the duty manager, Extension  4410.", "briefing.escalation"),
        ("We have seen no sign of one in the core ledger!", "briefing.faq"),
        ("We won't say that it was the new payments team.", "briefing.do_not_say"),
    ],
)
def test_a_text_by_hand_that_repeats_an_internal_sentence_is_refused(newsroom: Newsroom, words: str, fact: str) -> None:
    from outagecast.errors import TemplateError

    summary = "Our debit and credit cards are being declined in shops and online."
    written = {"x": {"en": {"text": f"{summary} {words} Next update by 7:20pm."}}}

    with pytest.raises(TemplateError, match=f"for staff only: {fact}") as caught:
        newsroom.texts("x", briefing=BRIEFING, variants=written)
    assert caught.value.problems[0].message.startswith("variants.x.en.text: says ")


def test_a_text_by_hand_may_say_what_is_to_be_said(newsroom: Newsroom) -> None:
    summary = "Our debit and credit cards are being declined in shops and online."
    written = {"x": {"en": {"text": f"{summary} Cash machines work. Next update by 7:20pm."}}}

    assert "Cash machines work." in newsroom.texts("x", briefing=BRIEFING, variants=written)["x.text"]


def test_the_wall_which_is_passed_around_does_not_show_it(bank: Bank) -> None:
    bank.config["channels"]["sheet"] = {"kind": "briefing", "path": "internal/briefing.html"}
    bank.write(briefing=BRIEFING)

    assert bank.run("preview", "incident.yaml", "--html", "wall.html").returncode == 0

    page = (bank.folder / "wall.html").read_text(encoding="utf-8")
    assert "it is for your own people" in page
    assert not [words for words in SECRETS if words in page]


def test_a_briefing_that_changed_alone_is_said_to_wait_for_the_next_update(bank: Bank) -> None:
    bank.config["channels"] = {"sheet": {"kind": "briefing", "path": "internal/briefing.html"}}
    bank.write(briefing={"escalation": "Duty manager, extension 4410"})
    assert bank.json("announce", "incident.yaml", "--yes")["warnings"] == []
    bank.write(briefing={"escalation": "Ana, extension 4411"})

    found = bank.json("announce", "incident.yaml", "--yes")

    words = "sheet: the changed briefing goes out with the next update, which a public fact makes"
    assert found["warnings"] == [words]
    assert found["update"] == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(st.sampled_from("ab <>&\"'/]-!;#={}%ș你😀"), min_size=1, max_size=30))
def test_a_hostile_briefing_is_inert_on_the_page(newsroom: Newsroom, tmp_path: Path, words: str) -> None:
    hostile = f"x {words}<script>alert(1)</script><img src=x onerror=alert(1)>]]>{{{{ 7*7 }}}}</style></title>"
    parts = next(
        item.parts
        for item in with_staff(newsroom).variants("briefing", title=hostile, briefing={"escalation": hostile})
    )
    path = tmp_path / "internal" / "briefing.html"
    Briefing(Settings(path=path)).send(DELIVERY._replace(parts=parts))

    page = Page(path)
    assert set(page.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "main", "article", "header"),
        *("h1", "h2", "div", "p", "ul", "li"),
    }
    assert "alert(1)" in " ".join(page.words)
    assert "49" not in page.words
