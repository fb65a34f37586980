from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from responses import matchers

from outagecast.channel import Channel, Finds, ReadsBack
from outagecast.channels.twilio_sms import Settings, TwilioSms
from outagecast.errors import ChannelError, ConfigError, Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt, Status
from outagecast.secret import Secret

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TO = "+61491570006"
TEXT = "Example Bank: cards fail since 6:30pm. Cash machines work. We're sorry."
SERVICE = "MG" + "1" * 32
SID = "SM" + "a" * 32
DELIVERY = Delivery(
    key="k1",
    incident="cards",
    update=1,
    status=Status.INVESTIGATING,
    target=TO,
    language="en",
    parts={"text": TEXT},
    opened_at=NOW,
    attempted_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = {
        "SMS_ACCOUNT": "AC" + secrets.token_hex(16),
        "SMS_TOKEN": "token" + secrets.token_hex(16),
        "SMS_KEY": "SK" + secrets.token_hex(16),
        "SMS_KEY_SECRET": "ключ" + secrets.token_hex(16),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def net() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def settings(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "account_sid": Secret("env:SMS_ACCOUNT"),
        "auth_token": Secret("env:SMS_TOKEN"),
        "messaging_service_sid": SERVICE,
    }
    return Settings(**given | changes)


def sms(**changes: Any) -> TwilioSms:
    return TwilioSms(settings(**changes), now=lambda: NOW)


def address(canaries: dict[str, str], tail: str = "Messages.json") -> str:
    return f"https://api.twilio.com/2010-04-01/Accounts/{canaries['SMS_ACCOUNT']}/{tail}"


def message(**changes: Any) -> dict[str, Any]:
    return {
        "sid": SID,
        "body": TEXT,
        "status": "accepted",
        "num_segments": "0",
        "date_created": "Sun, 22 Nov 2026 08:00:01 +0000",
        "date_sent": None,
        "error_code": None,
        "error_message": None,
        "to": TO,
        "from": None,
        "messaging_service_sid": SERVICE,
    } | changes


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def refused(channel: TwilioSms, delivery: Delivery = DELIVERY) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        channel.send(delivery)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"auth_token": None}, "either api_key with api_key_secret, or auth_token"),
        ({"api_key": Secret("env:K"), "api_key_secret": Secret("env:S")}, "either api_key"),
        ({"auth_token": None, "api_key": Secret("env:K")}, "belong together"),
        ({"messaging_service_sid": None}, "either from or messaging_service_sid"),
        ({"from_": "+61400000000"}, "either from or messaging_service_sid"),
        ({"messaging_service_sid": "AC1"}, "begin with MG"),
        ({"messaging_service_sid": None, "from_": "0400 000 000"}, "from must be"),
        ({"messaging_service_sid": None, "from_": "ExampleBank1"}, "from must be"),
        ({"validity": 0}, "1 to 36000"),
        ({"validity": 36_001}, "1 to 36000"),
        ({"api_url": "api.twilio.com"}, "api_url"),
        ({"api_url": "https://ana:secret@api.twilio.com"}, "api_url"),
    ],
)
def test_a_wrong_combination_of_settings_is_refused_with_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings(**changes)


@pytest.mark.parametrize("sender", ["+61400000000", "ExampleBank", "A&B Co-op_1+", "72345"])
def test_a_number_a_name_and_a_short_code_can_send(sender: str) -> None:
    assert settings(messaging_service_sid=None, from_=sender[:11]).from_ == sender[:11]


def test_importing_the_adapter_loads_neither_the_sdk_nor_requests() -> None:
    heavy = "print([name for name in ('requests', 'twilio', 'urllib3') if name in sys.modules])"
    code = f"import sys, outagecast.channels.twilio_sms; {heavy}"

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert shown == "[]\n"


def test_it_can_look_up_and_read_back_and_promises_no_more_than_twilio_allows() -> None:
    channel: Channel = sms()

    assert isinstance(channel, Finds)
    assert isinstance(channel, ReadsBack)
    assert (
        channel.semantics.promise == "At most once; what is in doubt is looked up, and if not found waits for a person."
    )


def test_a_text_goes_out_once_with_its_remaining_life(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    form = {"To": TO, "Body": TEXT, "MessagingServiceSid": SERVICE, "ValidityPeriod": "3600"}
    login = {"Authorization": basic(canaries["SMS_ACCOUNT"], canaries["SMS_TOKEN"])}
    net.post(
        address(canaries),
        match=[matchers.urlencoded_params_matcher(form), matchers.header_matcher(login)],
        json=message(),
        status=201,
    )

    assert sms().send(DELIVERY) == Receipt(SID)


def test_an_api_key_signs_in_even_if_its_secret_is_not_latin(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    login = {"Authorization": basic(canaries["SMS_KEY"], canaries["SMS_KEY_SECRET"])}
    form = {"To": TO, "Body": TEXT, "From": "ExampleBank", "ValidityPeriod": "3600"}
    net.post(
        address(canaries),
        match=[matchers.header_matcher(login), matchers.urlencoded_params_matcher(form)],
        json=message(),
        status=201,
    )
    channel = sms(
        auth_token=None,
        api_key=Secret("env:SMS_KEY"),
        api_key_secret=Secret("env:SMS_KEY_SECRET"),
        messaging_service_sid=None,
        from_="ExampleBank",
    )

    assert channel.send(DELIVERY) == Receipt(SID)


@pytest.mark.parametrize(
    ("expires_at", "validity", "sent"),
    [
        (None, 36_000, "36000"),
        (NOW + timedelta(days=2), 36_000, "36000"),
        (NOW + timedelta(days=2), 7200, "7200"),
        (NOW + timedelta(seconds=90.9), 7200, "90"),
        (NOW + timedelta(seconds=1), 7200, "1"),
    ],
)
def test_the_queue_drops_a_text_when_it_expires(
    net: responses.RequestsMock, canaries: dict[str, str], expires_at: datetime | None, validity: int, sent: str
) -> None:
    net.post(address(canaries), json=message(), status=201)

    sms(validity=validity).send(DELIVERY._replace(expires_at=expires_at))

    body = net.calls[0].request.body
    assert isinstance(body, str)
    assert parse_qs(body)["ValidityPeriod"] == [sent]


def test_an_expired_text_is_not_sent(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    error = refused(sms(), DELIVERY._replace(expires_at=NOW + timedelta(seconds=0.9)))

    assert isinstance(error, Rejected)
    assert error.code == "expired"


def test_twilio_regions_in_the_environment_do_not_change_the_host(
    net: responses.RequestsMock, canaries: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    monkeypatch.setenv("TWILIO_REGION", "au1")
    net.post(address(canaries), json=message(), status=201)

    assert sms().send(DELIVERY) == Receipt(SID)


def test_a_text_that_failed_at_once_is_no_receipt(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    failed = message(status="failed", error_code=30002, error_message="Account suspended")
    net.post(address(canaries), json=failed, status=201)

    error = refused(sms())

    assert isinstance(error, Rejected)
    assert (error.code, error.account) == ("30002", True)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"sid": ""}',
        '{"sid": 7}',
        '{"sid": "SM1/../x"}',
        "<html>Welcome</html>",
    ],
)
@pytest.mark.parametrize("status", [200, 201])
def test_a_success_that_cannot_be_read_is_doubt(
    net: responses.RequestsMock, canaries: dict[str, str], body: str, status: int
) -> None:
    net.post(address(canaries), body=body, status=status, content_type="application/json")

    error = refused(sms())

    assert isinstance(error, Uncertain)
    assert "may be out" in str(error)


def test_what_is_sent_is_in_twilios_specification(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    folder = os.environ.get("OUTAGECAST_DATA")
    if not folder:
        pytest.skip("OUTAGECAST_DATA is not set: no copy of Twilio's specification")
    spec = json.loads((Path(folder) / "twilio" / "twilio_messages_calls.subset.json").read_text(encoding="utf-8"))
    path = spec["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]
    schema = path["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    asked = {parameter["name"] for parameter in path["get"]["parameters"]}
    net.post(address(canaries), json=message(), status=201)
    net.get(address(canaries), json={"messages": [], "next_page_uri": None})

    for sender in ({"messaging_service_sid": None, "from_": "ExampleBank"}, {}):
        channel = sms(**sender)
        channel.send(DELIVERY)
        channel.find(DELIVERY)
        channel.check()

    forms = [call.request.body for call in net.calls if call.request.method == "POST"]
    queries = [urlsplit(str(call.request.url)).query for call in net.calls if call.request.method == "GET"]
    sent = {key for form in forms if isinstance(form, str) for key in parse_qs(form)}
    assert sent - schema["properties"].keys() == set()
    assert sent == {"To", "Body", "From", "MessagingServiceSid", "ValidityPeriod"}
    assert {key for query in queries for key in parse_qs(query)} - asked == set()


@pytest.mark.parametrize("code", [21211, 21217, 21265, 21268, 21408, 21610, 21612, 21614])
@pytest.mark.parametrize("status", [400, 403])
def test_a_recipients_own_reason_does_not_stop_the_channel(
    net: responses.RequestsMock, canaries: dict[str, str], code: int, status: int
) -> None:
    net.post(address(canaries), json={"code": code, "message": "no", "status": status}, status=status)

    error = refused(sms())

    assert isinstance(error, Rejected)
    assert (error.recipient, error.account, error.code) == (True, False, str(code))


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 20003), (403, 20003), (404, 20404), (400, 21606), (400, 21659), (400, 21703), (400, 21705), (400, 90010)],
)
def test_a_reason_of_the_account_or_the_sender_stops_the_channel(
    net: responses.RequestsMock, canaries: dict[str, str], status: int, code: int
) -> None:
    net.post(address(canaries), json={"code": code, "message": "no", "status": status}, status=status)

    error = refused(sms())

    assert isinstance(error, Rejected)
    assert (error.recipient, error.account, error.code) == (False, True, str(code))
    assert "`messaging_service_sid`" in error.hint or "`api_key`" in error.hint


def test_a_login_refused_without_a_code_names_the_settings(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    net.post(address(canaries), body="<html>Authenticate", status=401)

    error = refused(sms())

    assert isinstance(error, Rejected)
    assert (error.account, error.code) == (True, "HTTP 401")
    assert "`auth_token`" in error.hint


def test_a_country_that_is_not_allowed_tells_where_to_allow_it(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    net.post(address(canaries), json={"code": 21408, "message": "Permission to send"}, status=400)

    assert "Geo permissions" in refused(sms()).hint


@pytest.mark.parametrize("code", [21617, 21608, 21602])
def test_any_other_refusal_is_of_this_request(net: responses.RequestsMock, canaries: dict[str, str], code: int) -> None:
    net.post(address(canaries), json={"code": code, "message": "no"}, status=400)

    error = refused(sms())

    assert isinstance(error, Rejected)
    assert (error.recipient, error.account) == (False, False)


def test_a_refusal_in_the_problem_details_format_is_understood(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    problem = {"type": "https://x", "title": "Bad", "status": 400, "code": 21610, "detail": "They said STOP"}
    net.post(address(canaries), json=problem, status=400, content_type="application/problem+json")

    error = refused(sms())

    assert isinstance(error, Rejected)
    assert error.recipient
    assert "They said STOP" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "wait"),
    [
        (429, '{"code": 20429, "message": "Too Many Requests"}', 7.0),
        (429, "slow down", 7.0),
        (400, '{"code": 21611, "message": "queue"}', 7.0),
        (400, '{"code": 14107, "message": "rate"}', 7.0),
    ],
)
def test_too_much_at_once_was_not_processed_and_waits_as_told(
    net: responses.RequestsMock, canaries: dict[str, str], status: int, body: str, wait: float
) -> None:
    net.post(address(canaries), body=body, status=status, headers={"Retry-After": "7"})

    error = refused(sms())

    assert isinstance(error, Unavailable)
    assert error.retry_after == wait


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"code": 20500, "message": "Internal Server Error"}'),
        (503, '{"code": 20429, "message": "busy"}'),
        (502, "<html>Bad gateway"),
        (302, ""),
    ],
)
def test_an_answer_after_which_the_text_may_be_out_is_doubt(
    net: responses.RequestsMock, canaries: dict[str, str], status: int, body: str
) -> None:
    net.post(address(canaries), body=body, status=status)

    assert isinstance(refused(sms()), Uncertain)
    assert len(net.calls) == 1


@pytest.mark.parametrize("written", [TO, "+61 491 570 006", "%2B61491570006", "61491570006", "(0491) 570-006"])
def test_no_error_holds_the_recipients_number_or_control_characters(
    net: responses.RequestsMock, canaries: dict[str, str], written: str
) -> None:
    body = {"code": 21211, "message": f"\x1b[31mThe 'To' number {written} is not a valid phone number."}
    net.post(address(canaries), json=body, status=400)

    text = str(refused(sms()))

    assert "The 'To' number" in text
    assert "570" not in text
    assert "\x1b" not in text


def test_no_secret_reaches_an_error_or_a_log(
    net: responses.RequestsMock, canaries: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = " ".join(canaries.values())
    net.post(address(canaries), json={"code": 20003, "message": said}, status=401)
    net.get(address(canaries), json={"code": 20003, "message": said}, status=401)
    channel = sms()

    errors = [str(refused(channel))]
    questions: list[Callable[[], object]] = [channel.check, lambda: channel.find(DELIVERY)]
    for question in questions:
        with pytest.raises(ChannelError) as caught:
            question()
        errors.append(str(caught.value))

    told = " ".join([*errors, caplog.text, repr(settings())])
    assert [name for name in ("SMS_ACCOUNT", "SMS_TOKEN") if canaries[name] in told] == []
    assert "570006" not in caplog.text


def test_an_account_sid_that_would_break_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_ACCOUNT", "AC1/../AC2")
    monkeypatch.setenv("SMS_TOKEN", "x" * 32)

    with pytest.raises(ConfigError, match="env:SMS_ACCOUNT is no account SID"):
        sms().send(DELIVERY)


def test_a_missing_secret_is_told_by_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMS_ACCOUNT", raising=False)

    with pytest.raises(ConfigError, match="SMS_ACCOUNT is not set"):
        sms().send(DELIVERY)


def page(*found: dict[str, Any], after: str | None = None) -> dict[str, Any]:
    return {"messages": list(found), "next_page_uri": after, "page_size": 100}


def test_a_text_is_found_by_number_words_and_time(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    query = {"To": TO, "PageSize": "100"}  # and no DateSent: what is queued has none
    net.get(
        address(canaries),
        match=[matchers.query_param_matcher(query)],
        json=page(
            message(sid="SM1", body="Something else"),
            message(sid="SM2", date_created="Sun, 22 Nov 2026 07:58:59 +0000"),
            message(sid="SM3", date_created=None),
            message(sid="SM4", body=None),
            message(),
        ),
    )

    assert sms().find(DELIVERY) == Receipt(SID)


@pytest.mark.parametrize("status", ["queued", "sent", "delivered", "failed", "undelivered", "canceled"])
def test_also_a_text_that_failed_later_shows_that_our_request_arrived(
    net: responses.RequestsMock, canaries: dict[str, str], status: str
) -> None:
    net.get(address(canaries), json=page(message(status=status, error_code=30003)))

    assert sms().find(DELIVERY) == Receipt(SID)


@pytest.mark.parametrize(
    "body",
    [
        "Pla\u0306t\u0326i  esuate.\r\nNe cerem scuze.",
        "Sent from your Twilio trial account - Plăţi esuate. Ne cerem scuze.".replace("ţ", "t\u0326"),
    ],
)
def test_composition_spaces_and_a_trial_accounts_preface_do_not_hide_a_text(
    net: responses.RequestsMock, canaries: dict[str, str], body: str
) -> None:
    text = "Plăt\u0326i esuate. Ne cerem scuze."
    net.get(address(canaries), json=page(message(body=body)))

    assert sms().find(DELIVERY._replace(parts={"text": text})) == Receipt(SID)


def test_a_look_up_reads_on_but_not_for_ever(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    more = f"/2010-04-01/Accounts/{canaries['SMS_ACCOUNT']}/Messages.json?Page=1&PageToken=PA1"
    net.get(address(canaries), json=page(*[message(body="other")] * 100, after=more))

    assert sms(messaging_service_sid=None, from_="ExampleBank").find(DELIVERY) is None
    assert len(net.calls) == 4
    assert "From=ExampleBank" in str(net.calls[0].request.url)


def test_a_text_on_the_second_page_is_found(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    more = f"/2010-04-01/Accounts/{canaries['SMS_ACCOUNT']}/Messages.json?Page=1&PageToken=PA1"
    net.get(
        address(canaries),
        match=[matchers.query_param_matcher({"To": TO, "PageSize": "100"})],
        json=page(message(body="other"), after=more),
    )
    net.get(
        address(canaries),
        match=[matchers.query_param_matcher({"Page": "1", "PageToken": "PA1"})],
        json=page(message()),
    )

    assert sms().find(DELIVERY) == Receipt(SID)


@pytest.mark.parametrize(("status", "body"), [(500, '{"code": 20500}'), (200, "<html>"), (200, "{}"), (200, "[]")])
def test_a_question_that_is_not_answered_proves_nothing(
    net: responses.RequestsMock, canaries: dict[str, str], status: int, body: str
) -> None:
    net.get(address(canaries), body=body, status=status)
    channel = sms()

    questions: list[Callable[[], object]] = [channel.check, lambda: channel.find(DELIVERY)]
    for question in questions:
        with pytest.raises(Unavailable):
            question()


def test_a_refused_question_is_told_by_its_code_and_not_as_absence(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    net.get(address(canaries), json={"code": 20404, "message": "not found"}, status=404)

    with pytest.raises(Rejected) as caught:
        sms().find(DELIVERY)

    assert caught.value.account


def test_what_twilio_keeps_is_read_back(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    text = "Plăți eșuate – €5"
    raw = json.dumps(message(body=text), ensure_ascii=False).encode()
    net.get(address(canaries, f"Messages/{SID}.json"), body=raw, content_type="application/json")

    assert sms().read_back(DELIVERY, Receipt(SID)) == Published({"text": text}, is_final=False)


def test_a_record_that_was_deleted_says_nothing_about_the_phone(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    net.get(address(canaries, f"Messages/{SID}.json"), json={"code": 20404, "message": "not found"}, status=404)

    with pytest.raises(Rejected, match="no record of this text") as caught:
        sms().read_back(DELIVERY, Receipt(SID))

    assert not caught.value.account


@pytest.mark.parametrize(
    ("status", "is_final"),
    [("accepted", False), ("queued", False), ("sending", False), ("sent", False), ("delivered", True), ("read", True)],
)
def test_a_text_has_arrived_once_the_carrier_says_so(
    net: responses.RequestsMock, canaries: dict[str, str], status: str, is_final: bool
) -> None:
    net.get(address(canaries, f"Messages/{SID}.json"), json=message(status=status))

    assert sms().read_back(DELIVERY, Receipt(SID)) == Published({"text": TEXT}, is_final=is_final)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("undelivered", 30003, "not delivered: the phone is off or out of reach (error 30003)"),
        ("failed", 30007, "not sent: the carrier took it for spam (error 30007)"),
        ("undelivered", 39999, "not delivered: see Twilio's page on the error (error 39999)"),
        ("undelivered", "\x1b[31m", "not delivered: Twilio gives no reason"),
        ("canceled", None, "called off at Twilio: Twilio gives no reason"),
    ],
)
def test_a_text_that_never_arrived_says_why_and_not_to_whom(
    net: responses.RequestsMock, canaries: dict[str, str], status: str, code: object, words: str
) -> None:
    told = message(status=status, error_code=code, error_message=f"{TO} is out of reach", body="")
    net.get(address(canaries, f"Messages/{SID}.json"), json=told)

    seen = sms().read_back(DELIVERY, Receipt(SID))

    assert seen is not None
    assert (seen.lost, seen.code) == (words, str(code) if isinstance(code, int) else "")


def test_a_text_that_twilio_does_not_keep_is_not_taken_for_a_changed_one(
    net: responses.RequestsMock, canaries: dict[str, str]
) -> None:
    net.get(address(canaries, f"Messages/{SID}.json"), json=message(body=""))

    with pytest.raises(Rejected, match="redaction"):
        sms().read_back(DELIVERY, Receipt(SID))


@pytest.mark.parametrize("provider_id", ["", "../Calls/CA1", "https://example.com/1"])
def test_a_receipt_without_a_message_id_asks_nothing(provider_id: str, canaries: dict[str, str]) -> None:
    with pytest.raises(Rejected, match="names no message"):
        sms().read_back(DELIVERY, Receipt(provider_id))


def test_checking_reads_one_message_and_sends_none(net: responses.RequestsMock, canaries: dict[str, str]) -> None:
    net.get(address(canaries), match=[matchers.query_param_matcher({"PageSize": "1"})], json=page())

    sms().check()


class Server:
    """Answers each connection's requests with the next script: bytes to send, or None to hang up."""

    def __init__(self, *answers: bytes | None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self._answers:
            connection = self._listener.accept()[0]
            self.connections += 1
            with connection:
                while self._answers and (request := self._read(connection)):
                    self.requests.append(request)
                    answer = self._answers.pop(0)
                    if answer is None:
                        break
                    connection.sendall(answer)

    def _read(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65_536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._listener.close()


def http(status: str, body: dict[str, Any]) -> bytes:
    raw = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


def test_many_texts_share_a_connection(canaries: dict[str, str]) -> None:
    server = Server(http("201 Created", message(sid="SM1")), http("201 Created", message(sid="SM2")))
    channel = sms(api_url=server.url + "/")

    receipts = [channel.send(DELIVERY), channel.send(DELIVERY)]
    channel.close()
    server.close()

    assert receipts == [Receipt("SM1"), Receipt("SM2")]
    assert server.connections == 1
    path = f"POST /2010-04-01/Accounts/{canaries['SMS_ACCOUNT']}/Messages.json HTTP/1.1"
    assert [request.split(b"\r\n")[0].decode() for request in server.requests] == [path, path]
    assert b"To=%2B61491570006" in server.requests[0]


def test_a_lost_answer_is_doubt_and_is_not_asked_for_twice(canaries: dict[str, str]) -> None:
    server = Server(None)
    channel = sms(api_url=server.url)

    error = refused(channel)
    channel.close()
    server.close()

    assert isinstance(error, Uncertain)
    assert len(server.requests) == 1


def test_nobody_listening_is_certainly_not_sent(canaries: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert isinstance(refused(sms(api_url=f"http://127.0.0.1:{port}")), Unavailable)


def test_closing_what_was_never_used_does_nothing() -> None:
    sms().close()
