"""The stand-in of Twilio answers as it does, to its SDK and to plain requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from outagecast.rehearsal import TwilioStandIn

SID = "AC" + "1" * 32
SERVICE = "MG" + "a" * 32
STOPPED = "+61400000009"
MESSAGE = {"To": "+61400000001", "Body": "Cards are failing", "From": "+61400000000"}


@pytest.fixture
def twilio() -> Iterator[TwilioStandIn]:
    with TwilioStandIn(SID, auth_token="token", unsubscribed=frozenset({STOPPED})) as twilio:
        yield twilio


@pytest.fixture
def client(twilio: TwilioStandIn) -> Any:
    client = Client(SID, "token", http_client=TwilioHttpClient(timeout=2, pool_connections=False))
    client.api.base_url = twilio.url
    return client


def create(twilio: TwilioStandIn, **form: str | None) -> requests.Response:
    url = f"{twilio.url}/2010-04-01/Accounts/{SID}/Messages.json"
    given = {name: value for name, value in {**MESSAGE, **form}.items() if value is not None}
    return requests.post(url, data=given, auth=(SID, "token"), timeout=2)


def test_the_sdk_can_send_list_and_fetch(twilio: TwilioStandIn, client: Any) -> None:
    sent = client.messages.create(to="+61400000001", from_="+61400000000", body="hello", validity_period=3600)

    assert [message.text for message in twilio.messages] == ["hello"]
    assert (sent.status, sent.num_segments) == ("queued", "1")
    assert client.messages(sent.sid).fetch().body == "hello"
    assert [sent.sid] == [message.sid for message in client.messages.list(to="+61400000001")]
    assert client.messages.list(to="+61400000002") == []
    assert client.api.accounts(SID).fetch().status == "active"


def test_the_sdk_pages_through_a_long_list(twilio: TwilioStandIn, client: Any) -> None:
    ids = [create(twilio, Body=f"{number}").json()["sid"] for number in range(5)]

    assert ids[::-1] == [message.sid for message in client.messages.stream(page_size=2)]


def test_a_messaging_service_has_accepted_and_not_yet_counted(twilio: TwilioStandIn) -> None:
    answer = create(twilio, From=None, MessagingServiceSid=SERVICE)

    message = answer.json()
    assert answer.status_code == 201
    assert tuple(message[name] for name in ("status", "num_segments", "from", "date_sent")) == (
        "accepted",
        "0",
        None,
        None,
    )
    assert parsedate_to_datetime(message["date_created"]) <= datetime.now(UTC)
    assert message["date_created"].endswith("+0000")


def test_what_was_delivered_has_a_date_and_segments(twilio: TwilioStandIn, client: Any) -> None:
    sid = create(twilio, From=None, MessagingServiceSid=SERVICE, Body="ș" * 71).json()["sid"]
    today = datetime.now(UTC).date()

    assert client.messages.list(date_sent_after=today - timedelta(days=1)) == []
    twilio.deliver()

    message = client.messages(sid).fetch()
    assert (message.status, message.num_segments) == ("delivered", "2")
    assert [sid] == [one.sid for one in client.messages.list(date_sent_after=today - timedelta(days=1))]
    assert client.messages.list(date_sent_before=today - timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"To": None}, 21604),
        ({"Body": None}, 21602),
        ({"From": None}, 21603),
        ({"From": "Example Bank plc"}, 21212),
        ({"From": None, "MessagingServiceSid": "MG1"}, 21705),
        ({"To": "0400 000 001"}, 21211),
        ({"To": STOPPED}, 21610),
        ({"Body": "x" * 1601}, 21617),
        ({"ValidityPeriod": "0"}, 20001),
        ({"ValidityPeriod": "36001"}, 20001),
    ],
)
def test_what_twilio_refuses_is_refused(twilio: TwilioStandIn, form: dict[str, str | None], code: int) -> None:
    answer = create(twilio, **form)

    assert (400, code) == (answer.status_code, answer.json()["code"])
    assert {"code", "message", "more_info", "status"} == set(answer.json())
    assert twilio.messages == ()


def test_a_name_may_be_the_sender(twilio: TwilioStandIn) -> None:
    assert create(twilio, From="ExampleBank").status_code == 201


def test_a_wrong_login_is_error_20003(twilio: TwilioStandIn) -> None:
    url = f"{twilio.url}/2010-04-01/Accounts/{SID}/Messages.json"

    answers = [requests.post(url, data=MESSAGE, auth=auth, timeout=2) for auth in (None, (SID, "other"))]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(401, 20003)] * 2
    assert twilio.messages == ()


def test_the_sdk_reads_the_errors(twilio: TwilioStandIn, client: Any) -> None:
    twilio.behave("rate_limited")

    with pytest.raises(TwilioRestException) as caught:
        client.messages.create(to="+61400000001", from_="+61400000000", body="hello")

    assert (caught.value.status, caught.value.code) == (429, 20429)
    assert twilio.messages == ()
    with pytest.raises(TwilioRestException) as caught:
        client.messages("SM" + "9" * 32).fetch()
    assert caught.value.code == 20404
