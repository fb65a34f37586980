from __future__ import annotations

import pytest

from outagecast.place import Place, identity


@pytest.mark.parametrize("base", ["https://status.example.com/bank", "https://status.example.com/bank/"])
def test_every_address_stands_below_the_pages_own(base: str) -> None:
    place = Place(base, ("en", "ro"))

    assert place.url() == "https://status.example.com/bank/"
    assert place.url(place.incident("cards", "en")) == "https://status.example.com/bank/incidents/cards.html"
    assert place.url(place.incident("cards", "ro")) == "https://status.example.com/bank/ro/incidents/cards.html"
    assert place.url(place.feed("ro")) == "https://status.example.com/bank/ro/history.atom"


@pytest.mark.parametrize(
    ("base", "host"),
    [
        ("https://status.example.com:8443/x", "status.example.com"),
        ("https://störung.example", "xn--strung-xxa.example"),
        ("http://127.0.0.1:8000", "127.0.0.1"),
        ("", "localhost"),
    ],
)
def test_names_are_made_of_the_host_alone(base: str, host: str) -> None:
    assert Place(base, ("en",)).tag("x") == f"tag:{host},2005:x"


def test_an_identity_depends_on_the_kind_and_on_where_the_names_begin() -> None:
    found = [identity("incident", "a", "b"), identity("update", "a", "b"), identity("incident", "ab")]

    assert len(set(found)) == 3
    assert found[0] == identity("incident", "a", "b") == "81bbfd8ad524"
