from __future__ import annotations

import hashlib
import html
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from outagecast.channel import Channel, Finds, ReadsBack
from outagecast.channels.banner import Banner, Settings
from outagecast.errors import ChannelError, Rejected, Unavailable
from outagecast.fragment import Shown
from outagecast.model import Delivery, Published, Receipt, Status
from tests.stories import STORIES, told_in
from tests.test_fragment import Tags

if TYPE_CHECKING:
    from tests.conftest import Newsroom

URL = "https://www.example.com/banner.html"
HTML = '<p role="alert">Card payments are failing. <a href="https://status.example.com">What we know</a></p>'
DELIVERY = Delivery(
    key="k1",
    incident="cards-2026-11-22",
    update=1,
    status=Status.INVESTIGATING,
    target="",
    language="en",
    parts={"html": HTML},
    opened_at=datetime(2026, 11, 22, 8, 0, tzinfo=UTC),
)
OTHER = DELIVERY._replace(incident="app-2026-11-22", parts={"html": "<p>The app is slow.</p>"})

SHORT_OF_SPACE = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from outagecast.channels.banner import Banner, Settings
from outagecast.errors import ChannelError
from outagecast.model import Delivery, Status
resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
path, length, *twin = sys.argv[1:]
parts = {"html": "x" * int(length)}
delivery = Delivery("k", "cards-2026-11-22", 2, Status.MONITORING, "", "en", parts, datetime.now(UTC))
try:
    Banner(Settings(path=Path(path), json=Path(twin[0]) if twin else None)).send(delivery)
except ChannelError as error:
    print(type(error).__name__, error.code or error)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    return folder / "banner.html"


@pytest.fixture
def banner(path: Path) -> Banner:
    return Banner(Settings(path=path))


def saying(text: str, delivery: Delivery = DELIVERY) -> Delivery:
    return delivery._replace(parts={"html": text})


def section(delivery: Delivery) -> str:
    name = f"{delivery.incident} {delivery.language}"
    return f"<!-- outagecast:begin {name} -->\n{delivery.parts['html']}\n<!-- outagecast:end {name} -->\n"


def refused(banner: Banner, delivery: Delivery = DELIVERY) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        banner.send(delivery)
    return caught.value


def test_importing_the_adapter_does_not_load_requests() -> None:
    heavy = "print([name for name in ('requests', 'urllib3', 'email') if name in sys.modules])"
    code = f"import sys, outagecast.channels.banner; {heavy}"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown == "[]\n"


@pytest.mark.parametrize(
    "url",
    [
        *("www.example.com/banner.html", "ftp://example.com", "https://", "file:///etc/passwd"),
        "https://ana:secret@example.com/banner.html",
    ],
)
def test_a_public_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="public_url must be a whole address"):
        Settings(path=Path("banner.html"), public_url=url)


def test_it_can_look_up_and_read_back_and_promises_the_newest_text(banner: Banner) -> None:
    channel: Channel = banner

    assert isinstance(channel, Finds)
    assert isinstance(channel, ReadsBack)
    assert channel.semantics.promise == "Exactly the newest text, replaced as a whole."


def test_the_length_is_counted_in_bytes(banner: Banner) -> None:
    assert banner.parts["html"].count("ș€") == 5


def test_a_first_send_makes_the_file_with_one_section(path: Path) -> None:
    receipt = Banner(Settings(path=path, public_url=URL)).send(DELIVERY)

    assert path.read_text(encoding="utf-8") == section(DELIVERY)
    assert receipt == Receipt(f"sha256:{hashlib.sha256(HTML.encode()).hexdigest()}", URL)


def test_the_web_server_can_read_the_file_whatever_the_umask(banner: Banner, path: Path) -> None:
    before = os.umask(0o077)
    try:
        banner.send(DELIVERY)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_two_incidents_at_once_both_show_and_an_update_replaces_only_its_own(banner: Banner, path: Path) -> None:
    newer = saying("<p>Cards work again.</p>")

    banner.send(DELIVERY)
    banner.send(OTHER)
    banner.send(newer)

    assert path.read_text(encoding="utf-8") == section(newer) + section(OTHER)


def test_a_resolved_incident_goes_and_leaves_the_other_alone(banner: Banner, path: Path) -> None:
    banner.send(DELIVERY)
    banner.send(OTHER)

    banner.send(saying(""))

    assert path.read_text(encoding="utf-8") == section(OTHER)


def test_with_no_incident_left_the_file_is_there_and_empty(banner: Banner, path: Path) -> None:
    banner.send(DELIVERY)

    banner.send(saying(""))

    assert path.read_bytes() == b""


def test_an_empty_part_makes_an_empty_file_so_that_an_include_finds_one(banner: Banner, path: Path) -> None:
    banner.send(saying(""))

    assert path.read_bytes() == b""


def test_each_language_has_its_own_section_and_an_empty_part_takes_off_all(banner: Banner, path: Path) -> None:
    romanian = saying("<p>Plățile cu cardul eșuează.</p>")._replace(language="ro")

    banner.send(DELIVERY)
    banner.send(romanian)
    both = path.read_text(encoding="utf-8")
    banner.send(saying(""))

    assert both == section(DELIVERY) + section(romanian)
    assert path.read_bytes() == b""


def test_the_end_in_one_language_ends_the_alarm_in_all(banner: Banner, path: Path) -> None:
    alarm = saying('<p role="alert">Plățile cu cardul eșuează.</p>')._replace(language="ro")
    over = saying('<p role="status">Cards work again.</p>')._replace(update=2, status=Status.RESOLVED)
    theirs = over._replace(language="ro", parts={"html": '<p role="status">Cardurile merg din nou.</p>'})

    banner.send(alarm)
    banner.send(over)
    alone = path.read_text(encoding="utf-8")
    banner.send(theirs)

    assert alone == section(over)
    assert path.read_text(encoding="utf-8") == section(over) + section(theirs)
    assert banner.find(over) is not None


def test_sending_again_changes_nothing(banner: Banner, path: Path) -> None:
    first = banner.send(DELIVERY)
    before = path.read_bytes()

    assert (banner.send(DELIVERY), path.read_bytes()) == (first, before)


@pytest.mark.parametrize(
    "text",
    [
        "</p><script>alert(1)</script>",
        "<!-- outagecast:end cards-2026-11-22 en -->",
        "<!--#exec cmd='id' -->",
        "--> \r\n <!--",
        "\\1 \\g<0> \u2028 țș 🚧",
        "\n\n",
    ],
)
def test_hostile_words_are_only_words_once_escaped(banner: Banner, text: str) -> None:
    delivery = saying(f"<p>{html.escape(text)}</p>")

    banner.send(OTHER)
    receipt = banner.send(delivery)

    assert banner.read_back(delivery, receipt) == Published({"html": delivery.parts["html"]})
    assert banner.read_back(OTHER, receipt) == Published({"html": OTHER.parts["html"]})


@pytest.mark.parametrize(
    "text",
    [
        "<!-- outagecast:end other -->",
        "a\n<!-- outagecast:end cards-2026-11-22 en -->\n",
        "<!-- outagecast:begin x en -->",
        "<!-- never closed",
        '<!--#exec cmd="id" -->',
        "<!--esi <p>x</p> -->",
    ],
)
def test_a_part_with_a_comment_is_refused(banner: Banner, path: Path, text: str) -> None:
    banner.send(OTHER)

    error = refused(banner, saying(text))

    assert isinstance(error, Rejected)
    assert not error.account
    assert path.read_text(encoding="utf-8") == section(OTHER)


@pytest.mark.parametrize(
    "changes", [{"incident": "a -->"}, {"incident": "a b"}, {"incident": ""}, {"language": "en\n"}, {"language": "--"}]
)
def test_a_slug_or_language_that_would_break_the_markers_is_refused(
    banner: Banner, path: Path, changes: dict[str, Any]
) -> None:
    assert isinstance(refused(banner, DELIVERY._replace(**changes)), Rejected)
    assert not path.exists()


@pytest.mark.parametrize(
    "content",
    [
        "<!doctype html><title>Example Bank</title>",
        "\n",
        section(DELIVERY) + "<p>added by hand</p>",
        "<p>x</p>" + section(DELIVERY),
        section(DELIVERY) * 2,
        section(DELIVERY)[:-5],
        section(DELIVERY).replace("\n", "\r\n"),
        "\ufeff" + section(DELIVERY),
        section(saying("x" * (1 << 20))),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(banner: Banner, path: Path, content: str) -> None:
    path.write_bytes(content.encode())

    error = refused(banner)
    with pytest.raises(Rejected):
        banner.check()

    assert isinstance(error, Rejected)
    assert error.account
    assert "file of its own" in error.hint
    assert path.read_bytes() == content.encode()


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_refused_and_not_written_through(banner: Banner, path: Path, exists: bool) -> None:
    target = path.with_name("target.html")
    if exists:
        target.write_bytes(b"")
    path.symlink_to(target)

    error = refused(banner)

    assert isinstance(error, Rejected)
    assert "symbolic link" in error.hint
    assert path.is_symlink()
    assert target.exists() == exists
    assert not exists or target.read_bytes() == b""


def test_a_pipe_does_not_hang_the_run(banner: Banner, path: Path) -> None:
    os.mkfifo(path)

    assert isinstance(refused(banner), Rejected)


def test_a_folder_in_its_place_is_told(banner: Banner, path: Path) -> None:
    path.mkdir()

    assert "a folder stands" in refused(banner).hint


def test_a_missing_folder_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    banner = Banner(Settings(path=tmp_path / "www" / "public" / "banner.html"))

    error = refused(banner)
    with pytest.raises(Rejected) as caught:
        banner.check()

    assert isinstance(error, Rejected)
    assert (error.account, error.code, error.hint) == (True, "ENOENT", f"mkdir -p {tmp_path / 'www' / 'public'}")
    assert caught.value.hint == error.hint


def test_the_last_folder_of_the_path_is_made_for_the_web_server_to_read(tmp_path: Path) -> None:
    banner = Banner(Settings(path=tmp_path / "public" / "banner.html"))
    banner.check()
    assert list(tmp_path.iterdir()) == []

    before = os.umask(0o077)
    try:
        banner.send(DELIVERY)
    finally:
        os.umask(before)

    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "public" / "banner.html").read_text() != ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(banner: Banner, path: Path) -> None:
    path.parent.chmod(0o555)
    try:
        errors = [refused(banner)]
        with pytest.raises(Rejected) as caught:
            banner.check()
    finally:
        path.parent.chmod(0o755)

    assert [error.code for error in (*errors, caught.value)] == ["EACCES", "EACCES"]


def test_a_disk_that_takes_no_more_keeps_the_old_banner(banner: Banner, path: Path) -> None:
    banner.send(DELIVERY)

    command = [sys.executable, "-c", SHORT_OF_SPACE, str(path), "5000"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)

    assert shown.stdout == "Unavailable EFBIG\n"
    assert path.read_text(encoding="utf-8") == section(DELIVERY)
    assert list(path.parent.iterdir()) == [path]


def test_incidents_sent_at_the_same_time_all_show(path: Path) -> None:
    deliveries = [DELIVERY._replace(incident=f"incident-{number}") for number in range(8)]

    def announce(delivery: Delivery) -> None:
        while True:  # as the engine does, only at once
            with suppress(Unavailable):
                Banner(Settings(path=path)).send(delivery)
                return

    threads = [threading.Thread(target=announce, args=(delivery,)) for delivery in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    shown = path.read_text(encoding="utf-8")
    assert [delivery.incident for delivery in deliveries if section(delivery) not in shown] == []


def test_it_is_found_only_if_the_file_carries_exactly_it(banner: Banner) -> None:
    before = banner.find(DELIVERY)
    receipt = banner.send(DELIVERY)

    assert before is None
    assert banner.find(DELIVERY) == receipt
    assert banner.find(saying("<p>Older.</p>")) is None
    assert banner.find(saying("")) is None
    assert banner.find(saying("", OTHER)) is not None


def test_without_a_public_address_the_file_is_read_back(banner: Banner) -> None:
    assert banner.read_back(DELIVERY, Receipt("")) is None

    receipt = banner.send(DELIVERY)

    assert banner.read_back(DELIVERY, receipt) == Published({"html": HTML})
    assert banner.read_back(OTHER, receipt) == Published({"html": ""})


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and keeps the requests."""

    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Cache-Control"]))
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def website(path: Path) -> Iterator[str]:
    Quiet.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path.parent)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_public_page_is_read_past_all_caches(path: Path, website: str) -> None:
    address = f"{website}/banner.html?site=main#top"
    banner = Banner(Settings(path=path, public_url=address))
    romanian = saying("<p>Plățile eșuează.</p>")._replace(language="ro")

    receipt = banner.send(romanian)
    shown = [banner.read_back(romanian, receipt), banner.read_back(romanian, receipt)]
    banner.check()

    assert shown == [Published(romanian.parts, address)] * 2
    queries = [parse_qs(urlsplit(target).query) for target, _ in Quiet.seen]
    assert [query["site"] for query in queries] == [["main"]] * 3
    assert len({query["outagecast"][0] for query in queries}) == 3
    assert {control for _, control in Quiet.seen} == {"no-cache"}


def test_a_page_that_includes_the_banner_can_be_read_back_too(path: Path, website: str) -> None:
    banner = Banner(Settings(path=path, public_url=f"{website}/index.html"))
    receipt = banner.send(DELIVERY)
    page = f"<!doctype html><body><!-- a note -->{path.read_text(encoding='utf-8')}<h1>Example Bank</h1>"
    (path.parent / "index.html").write_text(page, encoding="utf-8")

    assert banner.read_back(DELIVERY, receipt) == Published({"html": HTML}, f"{website}/index.html")
    assert banner.read_back(OTHER, receipt) == Published({"html": ""}, f"{website}/index.html")


@responses.activate
def test_a_page_without_a_charset_is_read_as_utf_8(path: Path) -> None:
    delivery = saying("<p>țș €</p>")
    responses.get(URL, body=section(delivery).encode(), content_type="text/html")

    assert Banner(Settings(path=path, public_url=URL)).read_back(delivery, Receipt("")) == Published(
        delivery.parts, URL
    )


@responses.activate
def test_a_page_that_is_not_there_is_missing(path: Path) -> None:
    responses.get(URL, status=404)

    assert Banner(Settings(path=path, public_url=URL)).read_back(DELIVERY, Receipt("")) is None


@responses.activate
@pytest.mark.parametrize(("status", "hint"), [(301, "redirects"), (403, "web server"), (500, "web server")])
def test_a_page_that_cannot_be_read_proves_nothing(path: Path, status: int, hint: str) -> None:
    responses.get(URL, status=status, headers={"Location": "https://example.com/"} if status == 301 else {})

    with pytest.raises(Unavailable) as caught:
        Banner(Settings(path=path, public_url=URL)).read_back(DELIVERY, Receipt(""))

    assert hint in caught.value.hint


@responses.activate
def test_checking_before_the_first_incident_accepts_that_the_page_is_not_there_yet(path: Path) -> None:
    responses.get(URL, status=404)

    Banner(Settings(path=path, public_url=URL)).check()

    assert list(path.parent.iterdir()) == []


@responses.activate
def test_checking_tells_when_the_page_is_another_file(path: Path) -> None:
    path.touch()
    responses.get(URL, status=404)

    with pytest.raises(Rejected, match="is not found, though") as caught:
        Banner(Settings(path=path, public_url=URL)).check()

    assert caught.value.account


def test_closing_does_nothing(banner: Banner) -> None:
    banner.close()


# --- a file for each language


@pytest.fixture
def each(path: Path) -> Banner:
    return Banner(Settings(path=path.with_name("banner.{language}.html")))


ROMANIAN = saying("<p>Plățile cu cardul eșuează.</p>")._replace(language="ro")


def files(path: Path) -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(path.parent.iterdir())}


def test_each_language_can_have_a_file_of_its_own(each: Banner, path: Path) -> None:
    each.send(DELIVERY)
    each.send(ROMANIAN)

    assert files(path) == {"banner.en.html": section(DELIVERY), "banner.ro.html": section(ROMANIAN)}
    assert each.find(ROMANIAN) is not None
    assert each.read_back(ROMANIAN, Receipt("")) == Published(ROMANIAN.parts)


def test_before_the_first_incident_there_is_no_language_to_look_for(tmp_path: Path) -> None:
    Banner(Settings(path=tmp_path / "public" / "banner.{language}.html")).check()

    assert list(tmp_path.iterdir()) == []


def test_the_end_in_one_language_takes_the_incident_off_in_all_files(each: Banner, path: Path) -> None:
    each.send(ROMANIAN)
    each.send(DELIVERY)
    each.send(OTHER)

    each.send(saying(""))

    assert files(path) == {"banner.en.html": section(OTHER), "banner.ro.html": ""}


@pytest.mark.parametrize("name", ["banner.old.html", "banner.min.html", "banner.html", "banner.css"])
def test_what_else_lies_beside_the_files_is_left_alone(each: Banner, path: Path, name: str) -> None:
    path.with_name(name).write_text("<p>of the site</p>", encoding="utf-8")

    each.send(DELIVERY)
    each.send(saying(""))

    assert files(path) == {name: "<p>of the site</p>", "banner.en.html": ""}


def test_one_languages_file_may_be_another_name_of_the_first(each: Banner, path: Path) -> None:
    each.send(DELIVERY)
    path.with_name("banner.fr.html").symlink_to("banner.en.html")

    each.send(saying(""))

    assert path.with_name("banner.fr.html").is_symlink()
    assert files(path) == {"banner.en.html": "", "banner.fr.html": ""}


def test_each_language_is_looked_at_where_its_readers_see_it(path: Path, website: str) -> None:
    named = path.with_name("banner.{language}.html")
    banner = Banner(Settings(path=named, public_url=f"{website}/banner.{{language}}.html"))

    receipt = banner.send(ROMANIAN)
    banner.check()

    assert receipt.url == f"{website}/banner.ro.html"
    assert banner.read_back(ROMANIAN, receipt) == Published(ROMANIAN.parts, receipt.url)


@pytest.mark.parametrize(
    "settings",
    [
        {"path": Path("{language}/banner.html")},
        {"path": Path("{language}.{language}.html")},
        {"path": Path("banner.html"), "json": Path("banner.{language}.json")},
        {"path": Path("banner.html"), "json": Path("banner.html")},
        {"path": Path("banner.{language}.html"), "public_url": URL},
        {"path": Path("banner.html"), "public_url": "https://www.example.com/{language}/banner.html"},
    ],
)
def test_files_that_could_not_be_told_apart_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="file"):
        Settings(**settings)


# --- the same as JSON


@pytest.fixture
def twin(path: Path) -> Path:
    return path.with_name("banner.json")


@pytest.fixture
def both(path: Path, twin: Path) -> Banner:
    return Banner(Settings(path=path, json=twin))


def told(twin: Path) -> dict[tuple[str, str], str]:
    incidents = json.loads(twin.read_text(encoding="utf-8"))["incidents"]
    return {(item["incident"], code): text["html"] for item in incidents for code, text in item["texts"].items()}


def test_json_says_what_the_banner_says(both: Banner, twin: Path) -> None:
    both.send(DELIVERY)
    both.send(OTHER)
    both.send(ROMANIAN)

    assert told(twin) == {
        (delivery.incident, delivery.language): delivery.parts["html"] for delivery in (DELIVERY, ROMANIAN, OTHER)
    }

    both.send(saying(""))

    assert told(twin) == {(OTHER.incident, "en"): OTHER.parts["html"]}


def test_json_has_the_languages_of_all_files(path: Path, twin: Path) -> None:
    banner = Banner(Settings(path=path.with_name("banner.{language}.html"), json=twin))

    banner.send(ROMANIAN)
    banner.send(DELIVERY)

    assert set(told(twin)) == {(DELIVERY.incident, "en"), (DELIVERY.incident, "ro")}


def test_json_that_is_somebody_elses_is_left_alone_and_nothing_is_published(
    both: Banner, path: Path, twin: Path
) -> None:
    twin.write_text('{"name": "shop"}', encoding="utf-8")

    error = refused(both)
    with pytest.raises(Rejected) as caught:
        both.check()

    assert isinstance(error, Rejected)
    assert (error.account, caught.value.account) == (True, True)
    assert files(path) == {"banner.json": '{"name": "shop"}'}


def test_its_folder_is_made_too(path: Path) -> None:
    banner = Banner(Settings(path=path, json=path.parent / "api" / "banner.json"))
    banner.check()

    banner.send(DELIVERY)

    assert set(told(path.parent / "api" / "banner.json")) == {(DELIVERY.incident, "en")}


def test_a_send_that_reached_only_one_of_the_files_is_in_doubt_and_mended_by_the_next(path: Path, twin: Path) -> None:
    command = [sys.executable, "-c", SHORT_OF_SPACE, str(path), "200", str(twin)]
    delivery = saying("x" * 200)._replace(update=2, status=Status.MONITORING)

    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    both = Banner(Settings(path=path, json=twin))
    found = both.find(delivery)
    receipt = both.send(delivery)

    assert shown.startswith(f"Uncertain {path} shows the new text; cannot replace {twin}: File too large")
    assert found is None
    assert both.find(delivery) == receipt


# --- from when and until when it is seen


def until(time: str, delivery: Delivery = DELIVERY) -> Delivery:
    return saying(f'<div class="outagecast-banner" data-until="{time}"><p>Cards.</p></div>', delivery)


def test_what_is_over_goes_with_the_next_announcement_of_anything(both: Banner, path: Path, twin: Path) -> None:
    both.send(until("2026-11-22T07:00+00:00"))
    goes_on = until("2026-11-22T09:00+00:00", DELIVERY._replace(incident="app"))
    both.send(goes_on)

    both.send(OTHER)

    assert path.read_text(encoding="utf-8") == section(goes_on) + section(OTHER)
    assert set(told(twin)) == {("app", "en"), (OTHER.incident, "en")}


def test_what_has_been_over_and_is_gone_cannot_be_told_and_is_not_missed(path: Path) -> None:
    over = until("2026-11-22T07:00+00:00")
    banner = Banner(Settings(path=path), now=lambda: datetime(2026, 11, 22, 10, tzinfo=UTC))
    receipt = banner.send(over)
    before = banner.read_back(over, receipt)

    banner.send(OTHER)

    assert before == Published(over.parts)
    with pytest.raises(Rejected, match="the end of its time") as caught:
        banner.read_back(over, receipt)
    assert (caught.value.code, caught.value.account) == ("", False)
    goes_on = until("2026-11-22T11:00+00:00")
    assert banner.read_back(goes_on, receipt) == Published({"html": ""})


def attributes(newsroom: Newsroom, status: str, settings: dict[str, str], **facts: Any) -> dict[str, str | None]:
    """Those of the banner's element, as announced at 6:50pm."""
    newsroom.settings["channels"]["banner"] |= settings
    text = newsroom.texts("banner", status=status, **facts)["banner.html"]
    return dict(Tags(text).found[0][1]) if text else {}


WINDOW = {"start": "2026-11-29T01:00+11:00", "end": "2026-11-29T05:00+11:00"}


@pytest.mark.parametrize(
    ("status", "settings", "facts", "starts", "ends"),
    [
        ("investigating", {}, {}, None, "2026-11-23T19:20+11:00"),
        ("investigating", {"stale_after": "2h"}, {}, None, "2026-11-22T21:20+11:00"),
        ("identified", {}, {"eta": "2026-11-22T23:00+11:00"}, None, "2026-11-23T23:00+11:00"),
        ("monitoring", {}, {}, None, "2026-11-23T19:20+11:00"),
        ("scheduled", {}, {"window": WINDOW}, None, "2026-11-29T05:00+11:00"),
        ("scheduled", {"ahead": "2d"}, {"window": WINDOW}, "2026-11-27T01:00+11:00", "2026-11-29T05:00+11:00"),
        ("in_progress", {}, {"window": WINDOW}, None, "2026-11-30T05:00+11:00"),
        ("resolved", {"closing": "24h"}, {}, None, "2026-11-23T18:50+11:00"),
        ("completed", {"closing": "1h"}, {"window": WINDOW}, None, "2026-11-22T19:50+11:00"),
        ("retracted", {"closing": "24h"}, {}, None, "2026-11-23T18:50+11:00"),
    ],
)
def test_it_says_from_when_and_until_when_it_is_seen(
    newsroom: Newsroom, status: str, settings: dict[str, str], facts: Any, starts: str | None, ends: str
) -> None:
    found = attributes(newsroom, status, settings, **facts)

    assert (found.get("data-from"), found.get("data-until")) == (starts, ends)


@pytest.mark.parametrize("status", ["resolved", "completed", "retracted"])
def test_without_closing_the_end_takes_it_off(newsroom: Newsroom, status: str) -> None:
    window = WINDOW if status == "completed" else None

    assert newsroom.texts("banner", status=status, window=window) == {"banner.html": ""}


@pytest.mark.parametrize(
    ("status", "impact", "severity", "role"),
    [
        ("investigating", None, "major", "alert"),
        ("identified", "critical", "critical", "alert"),
        ("monitoring", None, "minor", "status"),
        ("monitoring", "none", "none", "status"),
        ("scheduled", "major", "maintenance", "status"),
        ("in_progress", None, "maintenance", "status"),
        ("resolved", "critical", "none", "status"),
        ("retracted", "critical", "none", "status"),
    ],
)
def test_its_class_and_its_role_say_how_bad_it_is(
    newsroom: Newsroom, status: str, impact: str | None, severity: str, role: str
) -> None:
    window = WINDOW if severity == "maintenance" else None
    found = attributes(newsroom, status, {"closing": "24h"}, impact=impact, window=window)

    assert (found["class"], found["role"]) == (f"outagecast-banner outagecast-{severity}", role)


@pytest.mark.parametrize("language", ["en", "ro", "de", "es", "fr", "zh-Hant"])
@pytest.mark.parametrize("story", [name for name in STORIES if name.startswith(("resolved", "completed", "retracted"))])
def test_the_end_can_be_told_in_every_language(newsroom: Newsroom, story: str, language: str) -> None:
    now, earlier, facts = STORIES[story]
    for at, said in earlier:
        newsroom.said(datetime.fromisoformat(at), **told_in(language, said))
    newsroom.now = datetime.fromisoformat(now)
    newsroom.carry = "follow-up" in story
    newsroom.settings["organisation"]["languages"] = [language]
    newsroom.settings["channels"]["banner"]["closing"] = "24h"

    (variant,) = newsroom.variants("banner", **told_in(language, facts))  # which finds each fact that it needs

    assert "summary" in variant.carried
    assert Shown.of(variant.parts["html"]).ends_at == newsroom.now + timedelta(days=1)
    assert {tag for tag, _ in Tags(variant.parts["html"]).found} <= {"div", "p", "strong", "a"}
