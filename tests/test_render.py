from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from outagecast import render
from outagecast.errors import TemplateError
from outagecast.measure import x_length
from outagecast.model import Variant

if TYPE_CHECKING:
    from tests.conftest import Newsroom

FACTS: dict[str, Any] = {
    "started_at": "2026-11-22T18:30+11:00",
    "cause": "unknown",
    "workaround": ["Cash machines work.", "Transfers in our app work."],
    "apology": "We're sorry. We know you rely on your card.",
    "next_update_at": "2026-11-22T19:30+11:00",
}
GOOD = "{% block investigating %}{{ summary }} {{ started }} {{ apology.brief }} {{ next_update }}{% endblock %}"


@pytest.fixture
def refused(newsroom: Newsroom) -> Callable[..., str]:
    """A function that renders what must not go out, and returns all that is said to be wrong with it."""

    def render_it(*kinds: str, **facts: Any) -> str:
        with pytest.raises(TemplateError) as caught:
            newsroom.variants(*kinds, **facts)
        return str(caught.value)

    return render_it


# --- the gate


def test_a_template_of_ones_own_replaces_one_file(newsroom: Newsroom) -> None:
    newsroom.template("en/x.text.j2", GOOD)

    texts = newsroom.texts(**FACTS)

    assert texts["x.text"] == (
        "Our debit and credit cards are being declined in shops and online. 6:30pm We're sorry. 7:30pm"
    )
    assert texts["facebook.text"].startswith("Card payments are failing. Here is what we know.")


@pytest.mark.parametrize(
    ("drop", "put", "lost"),
    [
        ("{{ next_update }}", "", "next_update_at"),
        ("{{ next_update }}", "8:30pm", "next_update_at"),
        ("{{ started }}", "{{ next_update }}", "started_at"),
        ("{{ apology.brief }}", "", "apology"),
        ("{{ summary }}", "{{ title }}", "summary"),
        ("{{ summary }}", "{{ summary|replace('declined', 'accepted') }}", "summary"),
    ],
)
def test_a_template_that_drops_or_changes_a_fact_stops_the_run(
    newsroom: Newsroom, refused: Callable[..., str], drop: str, put: str, lost: str
) -> None:
    newsroom.template("en/x.text.j2", GOOD.replace(drop, put))

    assert refused("x", **FACTS).startswith(f"en/x.text.j2:1: does not state {lost} (it must say: ")


def test_a_long_form_states_everything_and_a_short_one_what_matters(
    newsroom: Newsroom, refused: Callable[..., str]
) -> None:
    newsroom.template("en/facebook.text.j2", GOOD)

    said = refused("facebook", **FACTS)

    lost = ["status", "eta", "cause", "workaround", "contact.phone", "contact.url"]
    assert re.findall(r"does not state (\S+)", said) == lost


def test_every_problem_of_every_channel_is_said_at_once(newsroom: Newsroom, refused: Callable[..., str]) -> None:
    newsroom.template("en/x.text.j2", GOOD.replace("{{ started }}", ""))
    newsroom.template("en/banner.html.j2", "{% block investigating %}{{ oops }}{% endblock %}")

    said = refused("x", "banner", **FACTS)

    assert "en/x.text.j2:1: does not state started_at" in said
    assert "en/banner.html.j2:1: 'oops' is undefined" in said


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% block resolved %}{% endblock %}", "en/x.text.j2: has no block for investigating"),
        ("\n{% block investigating %}\n{{ etta }}{% endblock %}", "en/x.text.j2:3: 'etta' is undefined"),
        ("{% block investigating %}{{ started.clok }}{% endblock %}", "has no attribute 'clok'"),
        ("{% block investigating %}{{ say.nothing }}{% endblock %}", "has no attribute 'nothing'"),
        ("{% block investigating %}\n\n{% if %}{% endblock %}", "en/x.text.j2:3: Expected an expression"),
        ("{% block investigating %}{{ 1 // 0 }}{% endblock %}", "en/x.text.j2:1: "),
        ("{% block investigating %}{{ workaround[7] }}{% endblock %}", "en/x.text.j2:1: "),
        ("{% block investigating %}{{ none|sentence }}{% endblock %}", "en/x.text.j2:1: "),
        ("{% block investigating %}{% include 'footer.j2' %}{% endblock %}", "en/footer.j2: there is no such template"),
        ("{% block investigating %}{{ self.investigating() }}{% endblock %}", "recursion"),
    ],
)
def test_a_broken_template_is_named_with_its_line(
    newsroom: Newsroom, refused: Callable[..., str], template: str, said: str
) -> None:
    newsroom.template("en/x.text.j2", template)

    assert said in refused("x", **FACTS)


def test_a_template_that_is_not_utf_8_is_named(newsroom: Newsroom, refused: Callable[..., str]) -> None:
    newsroom.template("en/x.text.j2", GOOD)
    (newsroom.templates / "en" / "x.text.j2").write_bytes(b"\xff\xfe")

    assert refused("x") == "en/x.text.j2: is not UTF-8 (save it as UTF-8)"


# --- length


def test_the_richest_text_that_fits_is_taken_and_the_least_needed_goes_first(newsroom: Newsroom) -> None:
    """What leaves the post as the summary grows, in the order in which it does."""
    order: list[str] = []
    for length in range(10, 206, 5):
        (variant,) = newsroom.variants(
            "x",
            **FACTS | {"summary": "a" * length, "scope": "Everyone everywhere.", "eta": "2026-11-22T21:00+11:00"},
        )
        text = variant.parts["text"]
        said = {
            "scope": "Everyone" in text,
            "cause": "we don't yet know the cause" in text,
            "apology": "You rely" in text or "you rely" in text,
            "link": "https://status.example.com" in text,
            "second way": "Transfers" in text,
            "first way": "Cash machines" in text,
            "estimate": "9pm" in text,
        }
        order += [name for name, there in said.items() if not there and name not in order]
        assert x_length(text) <= 280
        assert {"summary", "started_at", "next_update_at", "apology"} <= {*variant.carried}

    assert order == ["scope", "cause", "apology", "link", "second way", "estimate", "first way"]


def test_what_is_left_out_is_said(newsroom: Newsroom) -> None:
    (variant,) = newsroom.variants("x", **FACTS | {"summary": "a" * 150})

    assert "cause" in variant.left_out
    assert set(variant.carried) & set(variant.left_out) == set()


@pytest.mark.parametrize(("kind", "length"), [("x", 260), ("twilio_sms", 1000), ("banner", 9000), ("facebook", 64000)])
def test_a_text_too_long_is_refused_with_the_characters_to_lose_and_where(
    newsroom: Newsroom, refused: Callable[..., str], kind: str, length: int
) -> None:
    summary = "a" * length

    said = refused(kind, **FACTS | {"summary": summary})

    excess = int(re.search(r": (\d+) characters too long for", said)[1])  # type: ignore[index]
    assert f"shorten summary ({length} characters)" in said
    newsroom.variants(kind, **FACTS | {"summary": summary[:-excess]})
    with pytest.raises(TemplateError):
        newsroom.variants(kind, **FACTS | {"summary": summary[: 1 - excess]})


def test_what_to_shorten_is_named_as_the_message_names_it(newsroom: Newsroom, refused: Callable[..., str]) -> None:
    said = refused("x", **FACTS | {"summary": "a" * 260, "apology": "We're sorry. We know."})
    assert "shorten summary (260 characters) or apology (12 characters)" in said


def test_an_sms_that_cannot_be_cheap_holds_as_much_as_its_parts_do(newsroom: Newsroom) -> None:
    long = FACTS | {"summary": "b" * 300, "workaround": ["Cash machines work."]}

    (variant,) = newsroom.variants("twilio_sms", **long)
    measured = render.measures("twilio_sms", variant.parts)["text"]

    assert (measured.length, measured.limit, measured.unit) == (3, 6, "segments")
    assert "Cash machines work." in variant.parts["text"]


# --- facts are data


PAYLOADS = (
    "{{ 7*7 }}",
    "{% for i in range(9) %}x{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{# gone #} ${7*7} <%= 7*7 %>",
    "<script>alert(1)</script><img src=x onerror=alert(1)> & \" '",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_facts_are_data_and_escaped_where_the_text_is_markup(newsroom: Newsroom, payload: str) -> None:
    texts = newsroom.texts(**FACTS | {"title": f"a {payload}", "summary": f"b {payload}", "workaround": [payload]})

    assert f"b {payload}" in texts["facebook.text"]
    for name in ("smtp.html", "banner.html"):
        assert "<script>" not in texts[name]
        assert "<img" not in texts[name]
        assert "&lt;script&gt;" in texts[name] or "script" not in payload
        assert "49" not in texts[name].replace(payload, "")


def test_a_link_cannot_break_out_of_its_attribute(newsroom: Newsroom) -> None:
    url = "https://status.example.com/?a=1&b=c'd"
    banner = newsroom.texts("banner", **FACTS, contact={"url": url})["banner.html"]

    assert '<a href="https://status.example.com/?a=1&amp;b=c&#39;d">' in banner


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ apology.__class__ }}",
        "{{ workaround.append('x') }}",
        "{{ parts.update(a=1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% include '/etc/passwd' %}",
        "{% include '../../outagecast.yaml' %}",
    ],
)
def test_a_template_gets_at_nothing_but_the_facts(newsroom: Newsroom, refused: Callable[..., str], attack: str) -> None:
    newsroom.template("en/x.text.j2", GOOD.replace("{{ summary }}", attack + "{{ summary }}"))

    assert re.search(r"unsafe|not safe|no such template|undefined|has no attribute", refused("x", **FACTS))


# --- by hand

BY_HAND = "Our cards fail in shops and online since 6:30pm. We're sorry; more by 7:30pm."


def by_hand(text: str, kind: str = "x", part: str = "text") -> dict[str, Any]:
    return FACTS | {"variants": {kind: {"en": {part: text}}}}


def test_a_text_by_hand_goes_out_as_it_is(newsroom: Newsroom) -> None:
    (variant,) = newsroom.variants("x", **by_hand(f"{BY_HAND}\n"))

    assert (variant.parts["text"], variant.rung, variant.source) == (BY_HAND, 0, "variants.x.en.text")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            BY_HAND.replace("7:30pm", "8:30pm"),
            "variants.x.en.text: does not state next_update_at (it must say: 7:30pm)",
        ),
        (BY_HAND.replace("6:30pm", "this evening"), "variants.x.en.text: does not state started_at"),
        ("Have a nice day! We're sorry, 6:30pm, 7:30pm.", "variants.x.en.text: does not state summary"),
        (BY_HAND + "!" * 280, "characters too long for x"),
    ],
)
def test_a_text_by_hand_goes_through_the_same_gate(refused: Callable[..., str], text: str, said: str) -> None:
    problems = refused("x", **by_hand(text))

    assert said in problems
    assert problems.startswith("message.yaml:1:")  # where it was written


def test_a_part_by_hand_that_the_channel_does_not_have_is_refused(refused: Callable[..., str]) -> None:
    assert "variants.x.en.subject: x has no such part (it has text)" in refused("x", **by_hand("Hi", part="subject"))


def test_a_subject_by_hand_heads_the_mail_in_one_line_and_the_rest_is_ours(newsroom: Newsroom) -> None:
    texts = newsroom.texts("smtp", **by_hand("Cards fail\nin shops\n", "smtp", "subject"))

    assert texts["smtp.subject"] == "Cards fail in shops"
    assert "<h1>Cards fail in shops</h1>" in texts["smtp.html"]
    assert texts["smtp.text"].startswith("Hello,")


def test_a_mail_by_hand_is_marked_up_in_the_words_it_was_written_in(newsroom: Newsroom) -> None:
    rest = "Cash machines work. We look for the cause; no idea when it is fixed. https://status.example.com, 13 20 32"

    (variant,) = newsroom.variants("smtp", **by_hand(f"{BY_HAND} {rest}", "smtp"))

    assert "Our cards fail in shops and online since 6:30pm." in variant.parts["html"]
    assert variant.source == "variants.smtp.en.text"


def test_a_template_that_all_languages_share_is_named_as_such(newsroom: Newsroom, refused: Callable[..., str]) -> None:
    newsroom.template("shared/smtp.html.j2", "{% block investigating %}<p>Sorry</p>{% endblock %}")

    assert "shared/smtp.html.j2:1: does not state summary" in refused("smtp", **FACTS)


# --- languages

ROMANIAN = {
    "x.text.j2": "{% block investigating %}{{ summary|sentence }} De la {{ started }}. {{ say.cause_unknown }}. "
    "{{ apology.short }} Revenim până la {{ next_update }}.{% endblock %}",
    "phrases.j2": '{% set cause_unknown = "Încă nu știm cauza" %}',
}
RO = {
    "title": "Plățile cu cardul nu merg",
    "summary": "Cardurile noastre nu funcționează în magazine și online.",
    "workaround": ["Bancomatele merg.", "Transferurile în aplicație merg."],
    "apology": "Ne pare rău.",
}


def test_a_language_of_ones_own_needs_its_templates_and_nothing_else(newsroom: Newsroom) -> None:
    newsroom.settings["organisation"]["languages"] = ["en", "ro"]
    newsroom.settings["channels"]["x"]["languages"] = ["en", "ro"]
    for name, text in ROMANIAN.items():
        newsroom.template(f"ro/{name}", text)

    variants = newsroom.variants("x", **FACTS, translations={"ro": RO})

    assert [variant.language for variant in variants] == ["en", "ro"]
    assert variants[1].parts["text"] == (
        "Cardurile noastre nu funcționează în magazine și online. De la ora 18:30. Încă nu știm cauza. Ne pare rău. "
        "Revenim până la ora 19:30."
    )
    assert "cause" in variants[1].carried


def test_a_language_without_templates_stops_the_run(newsroom: Newsroom, refused: Callable[..., str]) -> None:
    newsroom.settings["organisation"]["languages"] = ["xx"]

    assert "xx/x.text.j2: there is no such template (write it in your templates folder" in refused("x", **FACTS)


def test_an_unknown_cause_needs_words_for_it(newsroom: Newsroom, refused: Callable[..., str]) -> None:
    newsroom.settings["organisation"]["languages"] = ["xx"]
    newsroom.template(
        "xx/facebook.text.j2", "{% block investigating %}{{ summary }} {{ url }} {{ phone }}{% endblock %}"
    )

    said = refused("facebook", cause="unknown", next_update_at=None)

    assert "xx/facebook.text.j2:1: does not state cause (phrases.j2 has no words for it)" in said


def test_a_regional_english_is_served_by_the_shipped_one(newsroom: Newsroom) -> None:
    newsroom.settings["organisation"]["languages"] = ["en-GB"]

    texts = newsroom.texts(**FACTS)

    assert "6:30pm (Sydney time)" in texts["x.text"]
    assert '<html lang="en-GB">' in texts["smtp.html"]


# --- what an approval signs


def test_the_digest_is_of_every_byte_and_of_who_is_told(newsroom: Newsroom) -> None:
    drawn = newsroom.plan("x", **FACTS)
    rendered = render.variants(drawn)
    other: list[Variant] = [replace(rendered[0], parts={"text": rendered[0].parts["text"] + " "})]

    assert render.digest(drawn, rendered) == render.digest(drawn, render.variants(newsroom.plan("x", **FACTS)))
    assert render.digest(drawn, rendered) != render.digest(drawn, other)
    assert render.digest(drawn, rendered) != render.digest(replace(drawn, number=2), rendered)


def test_what_only_programs_read_is_not_signed(newsroom: Newsroom) -> None:
    newsroom.settings["channels"] = {"status_page": {"kind": "status_page", "path": "status"}}
    first = newsroom.plan("status_page", **FACTS)
    later = replace(first, as_of=first.as_of + timedelta(seconds=1))

    assert render.variants(first) != render.variants(later)
    assert render.digest(first, render.variants(first)) == render.digest(later, render.variants(later))


def test_a_fact_that_is_not_stated_is_written_as_nothing(newsroom: Newsroom) -> None:
    newsroom.settings["channels"]["x"]["links"] = False
    newsroom.template("en/x.text.j2", f"{GOOD.removesuffix('{% endblock %}')} More: {{{{ url }}}}.{{% endblock %}}")

    (variant,) = newsroom.variants("x", **FACTS)

    assert "More: ." in variant.parts["text"]
