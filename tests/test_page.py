"""Outage pages built anew from the ledger, and shown on this machine."""

from __future__ import annotations

import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from outagecast import page
from outagecast.control import Control
from outagecast.errors import ConflictError, TemplateError, UsageError
from outagecast.model import State
from tests.office import ROMANIAN, SLUG, Office

if TYPE_CHECKING:
    from tests.conftest import Bank

SETTINGS: dict[str, Any] = {"kind": "status_page", "path": "status", "public_url": "https://status.example.com/"}


@pytest.fixture
def office(bank: Bank) -> Iterator[Office]:
    """A bank that speaks English and Romanian, with an outage page and an account on X."""
    bank.config["organisation"]["languages"] = ["en", "ro"]
    bank.config["components"] = {"Cards": ["Card payments", "Cash machines"]}
    bank.config["channels"] = {"x": bank.config["channels"]["x"], "page": SETTINGS}
    bank.write(translations={"ro": ROMANIAN})
    office = Office(bank)
    yield office
    office.close()


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_page_that_was_lost_is_built_as_it_was(office: Office) -> None:
    office.announce()
    office.announce(
        status="identified", cause="A fault of ours.", translations={"ro": ROMANIAN | {"cause": "O greșeală."}}
    )
    folder = office.bank.folder / "status"
    before = files(folder)
    shutil.rmtree(folder)

    built = office.app.build_pages()

    assert files(folder) == before
    assert [(one.channel, one.path, one.incidents, one.files) for one in built] == [("page", folder, 1, len(before))]
    assert {"index.html", "ro/index.html", f"ro/incidents/{SLUG}.html"} <= before.keys()


def test_it_is_found_again_by_the_next_update(office: Office) -> None:
    office.announce()
    shutil.rmtree(office.bank.folder / "status")
    office.app.build_pages()

    report = office.announce("page", status="resolved", components={"Card payments": "operational"})

    assert [channel.state for channel in report.channels] == [State.ACCEPTED]
    text = (office.bank.folder / "status" / "incidents" / f"{SLUG}.html").read_text(encoding="utf-8")
    assert (f'id="{SLUG}-1"' in text, f'id="{SLUG}-2"' in text) == (True, True)


def test_what_was_never_published_there_is_not_on_it(office: Office) -> None:
    office.announce("x")

    assert office.app.build_pages()[0].incidents == 0
    assert SLUG not in (office.bank.folder / "status" / "index.html").read_text(encoding="utf-8")


def test_before_anything_was_announced_there_is_a_page_in_every_language(office: Office) -> None:
    built = office.app.build_pages()

    folder = office.bank.folder / "status"
    assert built[0].incidents == 0
    assert "We know of no problem right now." in (folder / "index.html").read_text(encoding="utf-8")
    assert "Nu știm acum de nicio problemă." in (folder / "ro" / "index.html").read_text(encoding="utf-8")
    assert "Cash machines" in (folder / "index.html").read_text(encoding="utf-8")
    assert not office.app.has_ledger  # looking must not create one


def test_what_the_build_shows_is_what_verify_sees(office: Office) -> None:
    office.bank.config["channels"] = {"page": {"kind": "status_page", "path": "status"}}
    office.bank.write()
    office.open()
    office.announce()
    shutil.rmtree(office.bank.folder / "status")
    office.app.build_pages()

    report = office.app.verify(None, Control())

    assert [channel.state for channel in report.channels] == [State.VERIFIED]


def test_it_is_not_built_while_somebody_sends(office: Office) -> None:
    office.announce()
    other = Office(office.bank)

    with other.app.ledger.lock(), pytest.raises(ConflictError):
        office.app.build_pages()
    other.close()


@pytest.mark.parametrize(("name", "words"), [("x", '"x" is no channel'), ("nobody", '"nobody" is no channel')])
def test_a_page_that_is_not_configured_is_named(office: Office, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        office.app.build_pages(name)


def test_words_of_ones_own_that_leave_out_the_page_are_named(office: Office) -> None:
    own = office.bank.folder / "words" / "ro"
    own.mkdir(parents=True)
    (own / "phrases.j2").write_text('{% set looking = "Căutăm cauza." %}', encoding="utf-8")
    office.bank.config["templates"] = "words"
    office.bank.write()
    office.open()

    with pytest.raises(TemplateError, match=r'ro/phrases\.j2: does not set "page"'):
        office.app.build_pages()


def test_the_ledger_tells_all_that_a_public_channel_carries_in_the_order_it_was_said(office: Office) -> None:
    office.announce()
    office.announce("page", status="identified", translations={"ro": ROMANIAN})
    ledger = office.app.ledger

    carried = [(one.incident, one.number, one.language) for one in ledger.carried("page")]

    assert carried == [(SLUG, 1, "en"), (SLUG, 1, "ro"), (SLUG, 2, "en"), (SLUG, 2, "ro")]
    assert {tuple(one.parts) for one in ledger.carried("page")} == {("html", "data")}
    assert list(ledger.carried("nobody")) == []


# --- serving


@pytest.fixture
def server(office: Office) -> Iterator[str]:
    office.announce()
    with page.served(office.bank.folder / "status", "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("ro/", "text/html; charset=utf-8"),
        ("api/v2/summary.json", "application/json"),
        ("history.atom", "application/atom+xml"),
        ("maintenance.ics", "text/calendar; charset=utf-8"),
    ],
)
def test_every_file_is_served_as_what_it_is(server: str, name: str, kind: str) -> None:
    with urllib.request.urlopen(server + name) as answer:
        assert answer.headers["Content-Type"] == kind
        assert answer.read()


@pytest.mark.parametrize("name", [".outagecast/page.db", "api/", "nothing.html", "%2eoutagecast/page.db"])
def test_nothing_else_is_served(server: str, name: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(server + name)

    assert caught.value.code == 404
    caught.value.close()


def test_a_page_that_is_not_built_yet_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outagecast page build"), page.served(tmp_path, "127.0.0.1", 0):
        pass


def test_a_port_that_is_taken_is_named(server: str, office: Office) -> None:
    port = int(server.rstrip("/").rpartition(":")[2])

    with pytest.raises(UsageError, match="--port"), page.served(office.bank.folder / "status", "127.0.0.1", port):
        pass
