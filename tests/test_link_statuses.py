"""A link is carried where the channel's config, or else its kind, says so: on X it costs thirteen times the post."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from outagecast import config
from outagecast.channel import FIRST
from outagecast.model import State, Status
from tests.office import Office

if TYPE_CHECKING:
    from tests.conftest import Bank, Newsroom

PAGE = "https://status.example.com"
PLANNED = {"window": {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}}


@pytest.fixture
def linked(newsroom: Newsroom) -> Callable[..., set[str]]:
    """A function that tells which kinds' texts of a message hold the link."""

    def render(*, links: object = None, **facts: Any) -> set[str]:
        if links is not None:
            newsroom.settings["channels"]["x"]["links"] = links
        texts = newsroom.texts(**facts)
        return {name.partition(".")[0] for name, text in texts.items() if PAGE in text}

    return render


@pytest.fixture
def office(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    for name, value in bank.providers.environment.items():
        monkeypatch.setenv(name, value)
    desk = Office(bank)
    yield desk
    desk.close()


def said(newsroom: Newsroom, *statuses: str, **facts: Any) -> None:
    """Everybody got an update of each status."""
    for number, status in enumerate(statuses):
        newsroom.said(newsroom.now - timedelta(hours=2 - number / 10), status=status, **facts)
    newsroom.carry = True


def test_the_first_word_has_it_everywhere_but_in_a_text_message(linked: Callable[..., set[str]]) -> None:
    assert linked() == {"x", "facebook", "smtp", "banner"}


@pytest.mark.parametrize("status", ["investigating", "identified", "monitoring"])
def test_an_update_on_x_has_none(newsroom: Newsroom, linked: Callable[..., set[str]], status: str) -> None:
    said(newsroom, "investigating", summary="Cards fail.")

    assert linked(status=status) == {"facebook", "smtp", "banner"}


def test_the_resolution_has_it_again(newsroom: Newsroom, linked: Callable[..., set[str]]) -> None:
    said(newsroom, "investigating", "identified", summary="Cards fail.")

    assert linked(status="resolved") >= {"x", "facebook", "smtp"}


def test_so_has_the_end_of_planned_work_and_not_its_beginning(
    newsroom: Newsroom, linked: Callable[..., set[str]]
) -> None:
    assert "x" in linked(status="scheduled", **PLANNED)
    said(newsroom, "scheduled", summary="Our app will be off.", **PLANNED)
    assert "x" not in linked(status="in_progress", **PLANNED)
    assert "x" in linked(status="completed", **PLANNED)


def test_what_is_back_is_told_as_if_for_the_first_time(newsroom: Newsroom, linked: Callable[..., set[str]]) -> None:
    said(newsroom, "investigating", "resolved", summary="Cards fail.")

    texts = {variant.kind: variant.parts for variant in newsroom.variants("x", reopen=True, status="investigating")}

    assert PAGE in texts["x"]["text"]


def test_more_about_what_is_over_is_no_second_resolution(newsroom: Newsroom, linked: Callable[..., set[str]]) -> None:
    said(newsroom, "investigating", "resolved", summary="Cards fail.")
    more = {"status": "resolved", "cause": "A power cut."}

    assert "x" not in linked(**more)
    assert "x" in linked(links=["follow_up"], **more)


@pytest.mark.parametrize(
    ("links", "on_first", "on_update"),
    [
        ("true", True, True),
        ("yes", True, True),
        ("false", False, False),
        (["first"], True, False),
        (["identified"], False, True),
        ([], False, False),
    ],
)
def test_the_config_has_the_last_word(
    newsroom: Newsroom, linked: Callable[..., set[str]], links: object, on_first: bool, on_update: bool
) -> None:
    assert ("x" in linked(links=links)) is on_first
    said(newsroom, "investigating", summary="Cards fail.")
    assert ("x" in linked(links=links, status="identified")) is on_update


def test_the_defaults_are_those_of_the_kinds(newsroom: Newsroom) -> None:
    every = (FIRST, *Status, "follow_up")

    assert {name: channel.options.links for name, channel in newsroom.config.channels.items()} == {
        "x": (FIRST, Status.RESOLVED, Status.COMPLETED),
        "facebook": every,
        "twilio_sms": (),
        "smtp": every,
        "banner": every,
    }


def test_every_default_is_in_the_vocabulary_of_on(newsroom: Newsroom) -> None:
    for channel in newsroom.config.channels.values():
        assert set(channel.linked) <= set(config.EVERY_STATUS)


def test_words_that_are_there_with_a_link_are_not_posted_again_without(office: Office) -> None:
    office.announce("x")

    report = office.announce("x", components={"Card payments": "partial_outage"})  # which X does not state

    assert [channel.state for channel in report.channels] == [State.UNCHANGED]
    assert [PAGE in post.text for post in office.bank.providers.x.posts] == [True]
