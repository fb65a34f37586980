"""The stand-in of a mail server takes mail, refuses it, and loses its answers when told to."""

from __future__ import annotations

import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from outagecast.rehearsal import SmtpStandIn


def mail(to: str = "ana@example.org") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Example Bank <status@example.com>"
    message["To"] = to
    message["Subject"] = "Plăți cu cardul"
    message["Message-ID"] = "<oc.1@example.com>"
    message["In-Reply-To"] = "<oc.0@example.com>"
    message.set_content("Cardurile nu merg.\nRevenim la 14:30.\n")
    message.add_alternative("<p>Cardurile nu merg.", subtype="html")
    return message


@pytest.fixture
def server() -> Iterator[SmtpStandIn]:
    refuse = {"gone@example.org": "550 5.1.1 No such user", "later@example.org": "451 4.7.1 Wait"}
    with SmtpStandIn(refuse=refuse) as server:
        yield server


def connect(server: SmtpStandIn) -> smtplib.SMTP:
    client = smtplib.SMTP(server.host, server.port, local_hostname="localhost", timeout=2)
    client.ehlo()
    return client


def test_a_mail_is_taken_in_and_parsed(server: SmtpStandIn) -> None:
    with connect(server) as client:
        assert client.send_message(mail()) == {}

    (taken,) = server.mails
    assert (taken.id, taken.sender, taken.to) == ("<oc.1@example.com>", "status@example.com", ("ana@example.org",))
    assert (taken.subject, taken.in_reply_to) == ("Plăți cu cardul", "<oc.0@example.com>")
    assert taken.text == "Cardurile nu merg.\nRevenim la 14:30.\n"
    assert b"Message-ID: <oc.1@example.com>\r\n" in taken.raw


def test_it_takes_several_commands_at_once_and_says_so_unless_told_not_to(server: SmtpStandIn) -> None:
    with connect(server) as client, SmtpStandIn(pipelining=False) as plain, connect(plain) as other:
        assert client.has_extn("pipelining")
        assert not other.has_extn("pipelining")
        client.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<gone@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")

        assert [client.getreply()[0] for _ in range(4)] == [250, 550, 250, 354]


def test_a_refused_recipient_gets_its_own_reply(server: SmtpStandIn) -> None:
    with connect(server) as client:
        client.mail("status@example.com")

        assert client.rcpt("gone@example.org") == (550, b"5.1.1 No such user")
        assert client.rcpt("later@example.org") == (451, b"4.7.1 Wait")
        assert client.rcpt("ana@example.org")[0] == 250


@pytest.mark.parametrize(
    ("fault", "applied"),
    [("drop_before_data", 0), ("drop_after_dot", 0), ("drop_after_dot_applied", 1)],
)
def test_a_dropped_connection_gives_no_answer(server: SmtpStandIn, fault: str, applied: int) -> None:
    server.behave(fault)  # type: ignore[arg-type]
    client = connect(server)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.send_message(mail())

    assert applied == len(server.mails)
    with connect(server) as client:
        client.send_message(mail())
    assert applied + 1 == len(server.mails)


def test_an_answer_can_be_held_back(server: SmtpStandIn) -> None:
    server.behave("hang_after_dot")
    client = smtplib.SMTP(server.host, server.port, local_hostname="localhost", timeout=0.2)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.send_message(mail())

    assert len(server.mails) == 1


def test_closing_ends_what_hangs() -> None:
    began = time.monotonic()
    with SmtpStandIn() as server:
        server.behave("hang_after_dot")
        client = smtplib.SMTP(server.host, server.port, local_hostname="localhost", timeout=0.1)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.send_message(mail())

    assert time.monotonic() - began < 2


def test_a_throttled_mail_is_refused_after_its_body_and_a_recipient_before(server: SmtpStandIn) -> None:
    server.behave("throttled")
    server.behave("reject_rcpt")
    with connect(server) as client:
        with pytest.raises(smtplib.SMTPDataError) as throttled:
            client.send_message(mail())
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.send_message(mail())
        client.send_message(mail())

    assert throttled.value.smtp_code == 454
    assert [code for code, _ in refused.value.recipients.values()] == [550]
    assert len(server.mails) == 1


def test_who_must_log_in_has_to() -> None:
    with SmtpStandIn(login=("rehearsal", "secret")) as server:
        with connect(server) as client:
            assert client.mail("status@example.com")[0] == 530
        with connect(server) as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("rehearsal", "wrong")
        with connect(server) as client:
            client.login("rehearsal", "secret")
            client.send_message(mail())

        assert len(server.mails) == 1


def test_a_mail_can_be_refused_for_good_put_off_or_answered_with_nonsense(server: SmtpStandIn) -> None:
    server.behave("reject_after_dot")
    server.behave("greylisted")
    server.behave("garbage_after_dot_applied")
    with connect(server) as client:
        with pytest.raises(smtplib.SMTPDataError) as rejected:
            client.send_message(mail())
        with pytest.raises(smtplib.SMTPRecipientsRefused) as later:
            client.send_message(mail())
        assert not server.mails
        with pytest.raises(smtplib.SMTPDataError) as garbage:
            client.send_message(mail())

    assert [code for code, _ in later.value.recipients.values()] == [450]
    assert (rejected.value.smtp_code, garbage.value.smtp_code) == (554, -1)
    assert len(server.mails) == 1


def test_a_login_can_be_refused_for_one_session() -> None:
    with SmtpStandIn(login=("rehearsal", "secret")) as server:
        server.behave("login_refused")
        with connect(server) as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("rehearsal", "secret")
        with connect(server) as client:
            client.login("rehearsal", "secret")
            client.send_message(mail())

        assert len(server.mails) == 1


def test_an_unknown_fault_is_refused_and_the_known_ones_are_named(server: SmtpStandIn) -> None:
    with pytest.raises(ValueError, match="as one of ok, drop_before_data"):
        server.behave("explode")  # type: ignore[arg-type]


def test_without_aiosmtpd_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['aiosmtpd.controller'] = None\n"
        "from outagecast.rehearsal import SmtpStandIn\n"
        "try: SmtpStandIn().__enter__()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert shown == "ConfigError rehearsing e-mail needs the aiosmtpd package (pip install 'outagecast[demo]')\n"
