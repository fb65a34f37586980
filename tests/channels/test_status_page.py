from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import responses

from outagecast import config
from outagecast.channel import Channel, Finds, ReadsBack, Withdraws
from outagecast.channels.status_page import Settings, StatusPage
from outagecast.errors import ChannelError, ConfigError, Rejected, Unavailable, Uncertain
from outagecast.history import Statement
from outagecast.model import Delivery, Published, Receipt
from outagecast.place import Place
from outagecast.secret import Secret
from outagecast.status_folder import StatusFolder
from tests import evening
from tests.evening import NOW, URL

FIRST = evening.first()
SECOND = FIRST._replace(update=2, parts={**FIRST.parts, "html": "<p>We found the cause.</p>"})
HEAVY = ("requests", "jinja2", "boto3", "babel", "icalendar", "sqlite3")
ARCHIVE = Path(".outagecast", "page.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "status"


@pytest.fixture
def page(folder: Path) -> StatusPage:
    return StatusPage(Settings(path=folder))


@pytest.fixture
def public(folder: Path) -> StatusPage:
    return StatusPage(Settings(path=folder, public_url=URL))


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        yield web


def served(web: responses.RequestsMock, folder: Path) -> None:
    """The folder as the public sees it."""
    for path in folder.rglob("*.html"):
        web.get(f"{URL}{path.relative_to(folder).as_posix()}", body=path.read_bytes())


def saying(html: str, delivery: Delivery = FIRST) -> Delivery:
    return delivery._replace(parts={**delivery.parts, "html": html})


def refused(page: StatusPage, delivery: Delivery = FIRST) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        page.send(delivery)
    return caught.value


def shown(folder: Path, name: str = "index.html") -> str:
    return (folder / name).read_text(encoding="utf-8")


# --- what it is


def test_importing_the_adapter_loads_nothing_heavy() -> None:
    shown = f"print([name for name in {HEAVY} if name in sys.modules])"
    code = f"import sys, outagecast.channels.status_page; {shown}"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_it_can_look_up_and_read_back_and_promises_the_newest_text(page: StatusPage) -> None:
    channel: Channel = page

    assert isinstance(channel, Finds)
    assert isinstance(channel, ReadsBack)
    assert not isinstance(channel, Withdraws)
    assert channel.semantics.promise == "Exactly the newest text, replaced as a whole."


def test_it_carries_all_languages_and_no_link_unless_the_config_says_otherwise(tmp_path: Path) -> None:
    assert evening.bank(["en", "ro"]).channels["page"].options.languages == ("en", "ro")
    assert evening.bank(["en"]).channels["page"].options.links == ()
    settings = {
        "organisation": {"name": "A", "timezone": "UTC", "languages": ["en", "ro"]},
        "channels": {
            "page": {"kind": "status_page", "path": "status", "languages": ["ro"]},
            "banner": {"kind": "banner", "path": "banner.html"},
        },
    }
    path = tmp_path / "outagecast.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")
    channels = config.load(path).channels
    assert channels["page"].options.languages == ("ro",)
    assert channels["banner"].options.languages == ("en",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"public_url": "status.example.com"}, "public_url must be a whole address"),
        ({"publish": "https://bucket"}, "publish must be s3://"),
        ({"region": "eu-central-1"}, "region goes with publish"),
        ({"publish": "s3://bucket", "access_key_id": Secret("env:KEY")}, "go together"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(path=Path("status"), **settings)  # type: ignore[arg-type]


# --- sending


def test_a_first_send_makes_the_folder_and_names_the_incidents_page(public: StatusPage, folder: Path) -> None:
    receipt = public.send(FIRST)

    assert receipt.url == f"{URL}incidents/cards.html"
    assert receipt.provider_id.startswith("sha256:")
    assert FIRST.parts["html"] in shown(folder)
    assert FIRST.parts["html"] in shown(folder, "incidents/cards.html")


def test_to_send_the_same_again_changes_no_file(public: StatusPage, folder: Path) -> None:
    first = public.send(FIRST)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix != ".db"}

    assert public.send(FIRST) == first
    assert {path: path.stat().st_mtime_ns for path in before if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }


def test_an_update_of_one_incident_leaves_others_alone(page: StatusPage, folder: Path) -> None:
    page.send(FIRST)
    page.send(FIRST._replace(incident="app"))
    before = (folder / "incidents" / "app.html").read_bytes()

    page.send(SECOND)

    assert (folder / "incidents" / "app.html").read_bytes() == before
    assert "We found the cause." in shown(folder)


def test_the_web_server_can_read_all_of_it_whatever_the_umask(page: StatusPage, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        page.send(FIRST)
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.html")} == {0o644}
    assert stat.S_IMODE((folder / "incidents").stat().st_mode) == 0o755


def test_machine_forms_stand_beside_it_where_the_public_address_is_known(
    public: StatusPage, folder: Path, tmp_path: Path
) -> None:
    public.send(FIRST)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert {"api/v2/summary.json", "history.atom", "maintenance.ics", "cap/cards.cap.xml"} <= names
    assert json.loads(shown(folder, "api/v2/summary.json"))["incidents"][0]["name"] == "Card payments are failing"
    assert 'href="history.atom"' in shown(folder)

    StatusPage(Settings(path=tmp_path / "unknown")).send(FIRST)
    assert {path.suffix for path in (tmp_path / "unknown").rglob("*") if path.is_file()} == {".html", ".db"}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"html": "<p>It fails.</p><!-- -->"}, "it holds a comment"),
        ({"html": "</article><script>alert(1)</script>"}, "</article> closes nothing"),
        ({"data": "It fails."}, "its data is no JSON object"),
        ({"data": "[]"}, "its data is no JSON object"),
        ({"data": "{}"}, "its data has no at"),
    ],
)
def test_what_cannot_stand_on_the_page_is_refused_before_anything_is_written(
    page: StatusPage, folder: Path, parts: dict[str, str], words: str
) -> None:
    error = refused(page, FIRST._replace(parts={**FIRST.parts, **parts}))

    assert isinstance(error, Rejected)
    assert words in str(error)
    assert not error.account
    assert not folder.exists()


# --- what the disk says


def test_pages_of_somebody_elses_are_left_alone(page: StatusPage, folder: Path) -> None:
    folder.mkdir()
    (folder / "index.html").write_text("Welcome", encoding="utf-8")

    error = refused(page)

    assert isinstance(error, Rejected)
    assert error.account
    assert "not ours" in str(error)
    assert shown(folder) == "Welcome"
    with pytest.raises(Rejected, match="not ours"):
        page.check()


def test_a_page_whose_archive_was_lost_is_not_written_over_with_an_empty_past(page: StatusPage, folder: Path) -> None:
    page.send(FIRST)
    (folder / ARCHIVE).unlink()

    assert "outagecast page build" in str(refused(page, SECOND))
    assert FIRST.parts["html"] in shown(folder)


def test_a_broken_archive_is_named_with_what_mends_it(page: StatusPage, folder: Path) -> None:
    page.send(FIRST)
    (folder / ARCHIVE).write_bytes(b"not a database at all" * 100)

    error = refused(page, SECOND)

    assert isinstance(error, Rejected)
    assert "outagecast page build" in str(error)


def test_another_one_who_is_writing_is_waited_for(
    page: StatusPage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outagecast.status_archive.PATIENCE", 0.05)
    page.send(FIRST)
    other = sqlite3.connect(folder / ARCHIVE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    error = refused(page, SECOND)

    assert isinstance(error, Unavailable)
    assert error.retry_after == 1.0
    other.close()
    page.send(SECOND)


def test_a_parent_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = refused(StatusPage(Settings(path=tmp_path / "no" / "status")))

    assert isinstance(error, Rejected)
    assert f"mkdir -p {tmp_path / 'no'}" in str(error)


def test_a_folder_in_the_place_of_a_page_is_named_and_the_index_is_as_it_was(page: StatusPage, folder: Path) -> None:
    page.send(FIRST)
    before = shown(folder)
    (folder / "incidents" / "cards.html").unlink()
    (folder / "incidents" / "cards.html" / "x").mkdir(parents=True)

    error = refused(page, SECOND)

    assert isinstance(error, Rejected)
    assert shown(folder) == before
    assert page.find(SECOND) is None


def test_a_language_that_is_out_while_the_rest_is_not_is_in_doubt(folder: Path) -> None:
    page = StatusPage(Settings(path=folder))
    english, romanian = evening.deliveries(("en", "ro"))[:2]
    page.send(english)
    page.send(romanian)
    (folder / "index.html").unlink()
    (folder / "index.html" / "x").mkdir(parents=True)

    error = refused(page, english._replace(update=2, parts={**english.parts, "html": "<p>We found it.</p>"}))

    assert isinstance(error, Uncertain)
    assert "We found it." in shown(folder, "ro/index.html")


# --- looking


def test_what_was_sent_is_found_and_nothing_else(page: StatusPage) -> None:
    assert page.find(FIRST) is None

    receipt = page.send(FIRST)

    assert page.find(FIRST) == receipt
    assert page.find(SECOND) is None
    assert page.find(saying("<p>Other words.</p>")) is None


def test_what_was_not_wholly_published_is_not_found_and_is_sent_again(folder: Path) -> None:
    page, said = StatusPage(Settings(path=folder)), _statement()
    page.send(FIRST)

    def fail(_: list[str]) -> None:
        raise Unavailable("the storage does not answer")

    with pytest.raises(Unavailable):
        StatusFolder(folder).add(said, fail)
    assert page.find(SECOND) is None

    again: list[str] = []
    StatusFolder(folder).add(said, again.extend)
    assert again[-1] == "index.html"  # though the folder had it already
    assert page.find(SECOND) is not None


def _statement() -> Statement:

    return Statement.of(SECOND.incident, SECOND.update, SECOND.language, SECOND.parts)


def test_a_page_that_somebody_changed_is_not_what_was_sent(page: StatusPage, folder: Path) -> None:
    page.send(FIRST)
    path = folder / "incidents" / "cards.html"
    path.write_text(shown(folder, "incidents/cards.html").replace("declined", "accepted"), encoding="utf-8")

    assert page.find(FIRST) is None


def test_without_a_public_address_the_folder_is_read_back(page: StatusPage, folder: Path) -> None:
    receipt = page.send(FIRST)

    assert page.read_back(FIRST, receipt) == Published({"html": FIRST.parts["html"]})
    (folder / "index.html").unlink()
    assert page.read_back(FIRST, receipt) is None


def test_it_is_read_where_the_public_reads_it_past_caches(
    public: StatusPage, folder: Path, web: responses.RequestsMock
) -> None:
    receipt = public.send(FIRST)
    served(web, folder)

    assert public.read_back(FIRST, receipt) == Published({"html": FIRST.parts["html"]}, URL)
    asked = web.calls[0].request
    assert asked.url is not None
    assert asked.url.startswith(f"{URL}index.html?outagecast=")
    assert asked.headers["Cache-Control"] == "no-cache"


def test_each_language_is_read_back_on_its_own_page(
    public: StatusPage, folder: Path, web: responses.RequestsMock
) -> None:
    sent = [(one, public.send(one)) for one in evening.deliveries(("en", "ro"), is_over=True)]
    served(web, folder)

    for delivery, receipt in sent:
        newest = max(one.update for one, _ in sent if one.incident == delivery.incident)
        seen = public.read_back(delivery, receipt)
        assert seen is not None
        if delivery.update == newest or delivery.incident == NOW:
            assert seen.parts == {"html": delivery.parts["html"]}


def test_an_index_that_stayed_behind_is_told_from_the_newest(
    public: StatusPage, folder: Path, web: responses.RequestsMock
) -> None:
    public.send(FIRST)
    served(web, folder)
    receipt = public.send(SECOND)

    seen = public.read_back(SECOND, receipt)

    assert seen is not None
    assert seen.parts == {"html": FIRST.parts["html"]}


def test_a_page_that_is_gone_or_forged_is_told(public: StatusPage, folder: Path, web: responses.RequestsMock) -> None:
    receipt = public.send(FIRST)
    web.get(f"{URL}index.html", status=404)
    assert public.read_back(FIRST, receipt) is None

    web.replace("GET", f"{URL}index.html", body=shown(folder).replace("declined", "accepted"))
    seen = public.read_back(FIRST, receipt)
    assert seen is not None
    assert "accepted" in seen.parts["html"]

    web.replace("GET", f"{URL}index.html", body="<p>Under construction</p>")
    web.get(f"{URL}incidents/cards.html", status=404)
    assert public.read_back(FIRST, receipt) == Published({"html": ""}, URL)


# --- checking


def test_a_folder_that_can_be_made_is_ready(page: StatusPage, folder: Path) -> None:
    page.check()

    assert not folder.exists()


def test_a_public_address_that_shows_another_folder_is_found_before_it_is_needed(
    public: StatusPage, web: responses.RequestsMock
) -> None:
    public.send(FIRST)
    web.get(f"{URL}index.html", status=404)

    with pytest.raises(Rejected, match="must be the same folder"):
        public.check()


def test_a_folder_that_cannot_be_written_is_found_before_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="mkdir -p"):
        StatusPage(Settings(path=tmp_path / "no" / "status")).check()


def test_a_storage_that_lacks_its_package_or_bucket_is_told_as_such(folder: Path) -> None:
    page = StatusPage(Settings(path=folder, publish="s3://bucket/status", endpoint_url="http://127.0.0.1:9"))

    with pytest.raises((ConfigError, Unavailable)):
        page.send(FIRST)

    assert page.find(FIRST) is None
    page.close()


def test_the_receipt_names_the_page_in_its_language(public: StatusPage) -> None:
    english, romanian = evening.deliveries(("en", "ro"))[:2]
    place = Place(URL, ("en", "ro"))

    receipts: list[Receipt] = [public.send(english), public.send(romanian)]

    assert [one.url for one in receipts] == [place.url(place.incident(english.incident, code)) for code in ("en", "ro")]
