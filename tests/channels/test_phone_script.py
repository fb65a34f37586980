from __future__ import annotations

import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
import responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outagecast.channel import Channel, Finds, ReadsBack
from outagecast.channels.phone_script import PhoneScript, Settings
from outagecast.errors import Rejected, Unavailable
from outagecast.model import Delivery, Published, Status

URL = "https://www.example.com/phone.xml"
SAID = "We're sorry. Our cards are being declined. Next update by seven thirty this evening."
AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DELIVERY = Delivery(
    key="k1",
    incident="cards-2026-11-22",
    update=1,
    status=Status.INVESTIGATING,
    target="",
    language="en",
    parts={"text": SAID},
    opened_at=AT,
    expires_at=AT + timedelta(hours=1),
)
ROMANIAN = DELIVERY._replace(language="ro", parts={"text": "Ne pare rău. Cardurile sunt respinse."})
OTHER = DELIVERY._replace(incident="app-2026-11-22", parts={"text": "The app is slow."})
OVER = DELIVERY._replace(update=2, status=Status.RESOLVED, parts={"text": "Our cards work again."}, expires_at=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    return folder / "phone.xml"


@pytest.fixture
def phone(path: Path) -> PhoneScript:
    return PhoneScript(Settings(path=path))


def twiml(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_bytes())  # noqa: S314 - our own


def says(path: Path) -> list[str]:
    """What a phone system would say, in order."""
    return [say.text or "" for say in twiml(path).iter("Say")]


def test_it_can_look_up_and_read_back_and_promises_the_newest_text(phone: PhoneScript) -> None:
    channel: Channel = phone

    assert isinstance(channel, Finds)
    assert isinstance(channel, ReadsBack)
    assert channel.semantics.promise == "Exactly the newest text, replaced as a whole."


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": Path("phone.txt")}, "path must end in .xml"),
        ({"public_url": "www.example.com"}, "public_url must be a whole address"),
        ({"continue_url": "menu.xml"}, "continue_url must be a whole address"),
        ({"voices": {"en": 'x" loop="9'}}, "is no voice"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**{"path": Path("phone.xml"), **given})  # type: ignore[arg-type]


def test_the_words_are_said_in_twiml_and_stand_in_a_text_and_in_json(phone: PhoneScript, path: Path) -> None:
    phone.send(DELIVERY)

    say = twiml(path).find("Say")
    assert say is not None
    assert (say.text, say.attrib) == (SAID, {"language": "en-GB"})
    assert path.with_suffix(".txt").read_text(encoding="utf-8") == f"{SAID}\n"
    notice = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["notices"][0]
    assert notice["parts"] == {"text": SAID}
    assert notice["valid_until"] == "2026-11-22T09:00:00+00:00"


def test_the_files_say_until_when_they_are_right(phone: PhoneScript, path: Path) -> None:
    phone.send(DELIVERY)

    assert "<!-- valid until 2026-11-22T09:00:00+00:00 -->" in path.read_text(encoding="utf-8")


def test_closing_words_take_the_place_of_the_others_and_hold_for_a_day(phone: PhoneScript, path: Path) -> None:
    phone.send(DELIVERY)
    phone.send(OVER)

    assert says(path) == ["Our cards work again."]
    notices = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["notices"]
    assert [notice["valid_until"] for notice in notices] == ["2026-11-23T08:00:00+00:00"]

    phone.send(OTHER._replace(opened_at=AT + timedelta(hours=25)))

    assert says(path) == ["The app is slow."]


def test_two_incidents_are_said_one_after_the_other_with_a_pause(phone: PhoneScript, path: Path) -> None:
    phone.send(DELIVERY)
    phone.send(OTHER)
    phone.send(DELIVERY._replace(update=2, parts={"text": "We found the cause."}))

    assert says(path) == ["We found the cause.", "The app is slow."]
    assert [element.tag for element in twiml(path)] == ["Say", "Pause", "Say"]


def test_several_languages_follow_each_other_each_in_its_voice(path: Path) -> None:
    phone = PhoneScript(Settings(path=path, voices={"en": "en-AU", "ro": "Google.ro-RO-Wavenet-A"}))
    phone.send(DELIVERY)
    phone.send(ROMANIAN)

    assert [say.attrib for say in twiml(path).iter("Say")] == [
        {"language": "en-AU"},
        {"voice": "Google.ro-RO-Wavenet-A"},
    ]


def test_a_language_that_is_left_out_of_the_end_does_not_go_on_about_the_beginning(path: Path) -> None:
    phone = PhoneScript(Settings(path=path))
    for delivery in (DELIVERY, ROMANIAN, OTHER, OVER):
        phone.send(delivery)

    assert says(path) == ["Our cards work again.", "The app is slow."]

    phone.send(OVER._replace(language="ro", parts={"text": "Cardurile merg din nou."}))
    assert says(path) == ["Our cards work again.", "The app is slow.", "Cardurile merg din nou."]


def test_with_a_place_for_the_language_each_has_a_file_of_its_own(path: Path) -> None:
    phone = PhoneScript(Settings(path=path.with_name("phone.{language}.xml")))
    phone.send(DELIVERY)
    phone.send(ROMANIAN)

    assert says(path.with_name("phone.en.xml")) == [SAID]
    assert says(path.with_name("phone.ro.xml")) == [ROMANIAN.parts["text"]]
    assert phone.find(ROMANIAN) is not None
    phone.send(OVER._replace(parts={"text": ""}))
    assert says(path.with_name("phone.en.xml")) == says(path.with_name("phone.ro.xml")) == []


def test_an_empty_text_takes_the_incident_off_and_lets_the_call_go_on(path: Path) -> None:
    phone = PhoneScript(Settings(path=path, continue_url="https://www.example.com/menu.xml?a=1&b=2"))
    phone.send(DELIVERY)
    gone = OVER._replace(parts={"text": ""})
    phone.send(gone)

    assert says(path) == []
    assert twiml(path).findtext("Redirect") == "https://www.example.com/menu.xml?a=1&b=2"
    assert phone.find(gone) is not None
    assert phone.find(DELIVERY) is None


def test_to_say_it_again_changes_nothing(phone: PhoneScript, path: Path) -> None:
    phone.send(DELIVERY)
    once = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    phone.send(DELIVERY)

    assert once == {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert sorted(once) == ["phone.json", "phone.txt", "phone.xml"]


def test_what_was_changed_by_hand_is_not_found(phone: PhoneScript, path: Path) -> None:
    phone.send(DELIVERY)
    receipt = phone.find(DELIVERY)
    assert receipt is not None
    path.write_text("<Response/>", encoding="utf-8")

    assert phone.find(DELIVERY) is None
    assert phone.read_back(DELIVERY, receipt) is None


@pytest.mark.parametrize("name", ["phone.xml", "phone.txt", "phone.json"])
def test_a_file_of_somebody_else_is_left_alone(phone: PhoneScript, path: Path, name: str) -> None:
    theirs = path.with_name(name)
    theirs.write_text('{"theirs": 1}', encoding="utf-8")

    for ask in (phone.check, lambda: phone.send(DELIVERY)):
        with pytest.raises(Rejected, match="not ours") as caught:
            ask()
        assert caught.value.account
    assert theirs.read_text(encoding="utf-8") == '{"theirs": 1}'


def test_a_link_in_the_place_of_a_file_is_not_written_through(phone: PhoneScript, path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_text("mine", encoding="utf-8")
    path.symlink_to(outside)

    with pytest.raises(Rejected):
        phone.send(DELIVERY)
    assert outside.read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_missing_is_made_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    PhoneScript(Settings(path=tmp_path / "new" / "phone.xml")).send(DELIVERY)
    assert stat.S_IMODE((tmp_path / "new" / "phone.xml").stat().st_mode) == 0o644

    with pytest.raises(Rejected, match="No such file") as caught:
        PhoneScript(Settings(path=tmp_path / "a" / "b" / "phone.xml")).check()
    assert "mkdir -p" in caught.value.hint


def test_one_who_writes_at_the_same_time_makes_us_wait(phone: PhoneScript, path: Path) -> None:
    import fcntl

    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(Unavailable, match="another outagecast") as caught:
            phone.send(DELIVERY)
    finally:
        os.close(folder)
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize("text", ["a\x0bb", "\ufffe", "\ud800", "a" * 3001])
def test_what_no_voice_can_say_is_refused(phone: PhoneScript, path: Path, text: str) -> None:
    with pytest.raises(Rejected):
        phone.send(DELIVERY._replace(parts={"text": text}))
    assert list(path.parent.iterdir()) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.sampled_from("a <>&\"'/]-!;#x\u202e\u2066ș你😀"), min_size=1, max_size=40).map(
        lambda text: f"{text}</Say><Dial>+1</Dial><![CDATA[ ]]><!-- --> &amp; &lt;"
    )
)
def test_a_hostile_text_is_said_and_never_run(path: Path, text: str) -> None:
    PhoneScript(Settings(path=path)).send(DELIVERY._replace(parts={"text": text}))

    assert says(path) == [text]
    assert {element.tag for element in twiml(path).iter()} == {"Response", "Say"}
    assert path.with_suffix(".txt").read_text(encoding="utf-8") == f"{text}\n"


@responses.activate
def test_it_is_read_back_where_the_phone_system_fetches_it(path: Path) -> None:
    phone = PhoneScript(Settings(path=path, public_url=URL))
    receipt = phone.send(DELIVERY)
    answer = responses.get(URL, body=path.read_bytes())

    assert phone.read_back(DELIVERY, receipt) == Published({"text": SAID}, URL)
    responses.replace(responses.GET, URL, body="<Response><Say>Old words.</Say></Response>")
    assert phone.read_back(DELIVERY, receipt) == Published({"text": "Old words."}, URL)
    responses.replace(responses.GET, URL, status=404)
    assert phone.read_back(DELIVERY, receipt) is None
    responses.replace(responses.GET, URL, body='<!DOCTYPE a [<!ENTITY b "c">]><Response><Say>&b;</Say></Response>')
    assert phone.read_back(DELIVERY, receipt) is None
    assert answer.call_count == 1


def test_who_reads_while_it_is_written_never_sees_a_part(phone: PhoneScript, path: Path) -> None:
    texts = [f"Update {number}. " + "All is said. " * (number % 7) for number in range(100)]
    phone.send(DELIVERY._replace(parts={"text": texts[0]}))
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.update(says(path))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for text in texts:
            phone.send(DELIVERY._replace(parts={"text": text}))
    finally:
        done.set()
        reader.join()

    assert seen <= set(texts)
    assert not [file for file in path.parent.iterdir() if file.name.endswith(".tmp")]
