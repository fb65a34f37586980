from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outagecast import config, registry
from outagecast.config import EVERY_STATUS, AudienceFile, Config, Price
from outagecast.errors import ConfigError
from outagecast.model import Status

EXAMPLE = Path(__file__).parents[1] / "config.example.yaml"
HEAD = "organisation: {name: Example Bank, timezone: Australia/Sydney, languages: [en, ro]}\n"
AUDIENCE = "audiences: {customers: {file: customers.csv}}\n"
BANNER = "channels:\n  banner: {kind: banner, path: banner.html}\n"
KINDS = {
    "x": "{kind: x, api_key: env:K, api_secret: env:K, access_token: env:K, access_token_secret: env:K}",
    "facebook": '{kind: facebook, page_id: "100", page_token: env:K}',
    "sms": "{kind: twilio_sms, account_sid: env:K, auth_token: env:K, messaging_service_sid: MG0, audience: customers}",
    "email": "{kind: smtp, host: smtp.example.com, from: a@example.com, audience: customers}",
    "banner": "{kind: banner, path: banner.html}",
}
Load = Callable[[str], Config]
Refusal = Callable[[str], list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def read(text: str) -> Config:
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        return config.load(tmp_path / "c.yaml")

    return read


@pytest.fixture
def refusal(load: Load, tmp_path: Path) -> Refusal:
    def refused(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text)
        assert caught.value.exit_code == 78
        assert "canary" not in f"{caught.value!s} {caught.value!r}"
        return [str(problem).removeprefix(f"{tmp_path}/c.yaml:") for problem in caught.value.problems]

    return refused


def one(name: str, **changes: str) -> str:
    """A configuration of one channel, some of its settings changed, added or (where empty) left out."""
    pairs = dict(part.split(": ", 1) for part in KINDS[name].strip("{}").split(", ")) | changes
    lines = "".join(f"    {key}: {value}\n" for key, value in pairs.items() if value)
    return f"{HEAD}{AUDIENCE}channels:\n  {name}:\n{lines}"


@pytest.mark.skipif(not EXAMPLE.exists(), reason="the example is not beside the installed package")
def test_the_example_says_what_its_comments_say() -> None:
    found = config.load(EXAMPLE)
    base = EXAMPLE.parent
    assert list(found.channels) == ["x", "facebook", "sms", "email", "banner"]
    assert (found.organisation.name, found.organisation.timezone.key) == ("Example Bank", "Australia/Sydney")
    assert found.organisation.phone == "13 20 32"
    assert f"sqlite:///{base}/outagecast.db" == found.ledger
    assert (timedelta(minutes=60), timedelta(minutes=30)) == (
        found.promise.first_announcement,
        found.promise.update_every,
    )
    assert {"customers": AudienceFile(file=base / "examples/customers.csv")} == found.audiences
    assert base / "public/banner.html" == found.channels["banner"].settings.path
    sms = found.channels["sms"].options
    assert (100.0, Price(Decimal("0.0515"), "AUD"), "customers") == (sms.rate, sms.price, sms.audience)
    assert found.channels["email"].workers == 8
    assert found.channels["email"].settings.from_ == "Example Bank <status@example.com>"


DESIGNED = """
organisation: {name: Example Bank, timezone: Australia/Sydney, languages: [en, ro], phone: 13 20 32,
  status_page: https://status.example.com, official_domains: [example.com]}
ledger: sqlite:///outagecast.db
promise: {first_announcement: 60m, update_every: 30m, require: []}
components: {Cards: [Card payments, Cash machines], Digital: [Mobile app]}
templates: my-templates/
audiences: {customers: {file: customers.csv}}
channels:
  x:        {kind: x, api_key: env:X_API_KEY, api_secret: env:X_API_SECRET, access_token: env:X_ACCESS_TOKEN,
    access_token_secret: env:X_ACCESS_TOKEN_SECRET, username: ExampleBank, thread: false}
  facebook: {kind: facebook, page_id: "100", page_token: env:FACEBOOK_PAGE_TOKEN, app_secret: env:FACEBOOK_APP_SECRET,
    version: v26.0}
  sms:      {kind: twilio_sms, account_sid: env:TWILIO_ACCOUNT_SID, auth_token: env:TWILIO_AUTH_TOKEN,
    messaging_service_sid: MG00000000000000000000000000000000, audience: customers, rate: 100/s}
  email:    {kind: smtp, host: smtp.example.com, port: 587, tls: starttls, username: outagecast,
    password: env:SMTP_PASSWORD, from: "Example Bank <status@example.com>", audience: customers, connections: 8,
    unsubscribe_url: "https://example.com/out?who={address}"}
  banner:   {kind: banner, path: public/banner.html, public_url: https://www.example.com/banner.html}
"""


def test_every_setting_that_was_promised_is_taken(load: Load, tmp_path: Path) -> None:
    found = load(DESIGNED)
    settings = {name: channel.settings for name, channel in found.channels.items()}
    assert (settings["x"].thread, settings["x"].username) == (False, "ExampleBank")
    assert settings["facebook"].version == "v26.0"
    assert (settings["email"].port, settings["email"].tls, settings["email"].connections) == (587, "starttls", 8)
    assert tmp_path / "public/banner.html" == settings["banner"].path
    assert tmp_path / "my-templates" == found.templates
    assert found.components == {"Cards": ("Card payments", "Cash machines"), "Digital": ("Mobile app",)}


def test_what_is_not_said_has_its_default(load: Load) -> None:
    found = load(HEAD + AUDIENCE + "channels:\n" + "".join(f"  {name}: {entry}\n" for name, entry in KINDS.items()))
    assert {name: channel.options.languages for name, channel in found.channels.items()} == {
        "x": ("en",),
        "facebook": ("en",),
        "banner": ("en",),
        "sms": ("en", "ro"),
        "email": ("en", "ro"),
    }
    personal = ("first", Status.RESOLVED, Status.SCHEDULED, Status.RETRACTED)
    every = ("first", *Status, "follow_up")
    assert {"x": every, "facebook": every, "banner": every, "sms": personal, "email": (*personal, "follow_up")} == {
        name: channel.options.on for name, channel in found.channels.items()
    }
    assert [name for name, channel in found.channels.items() if not channel.options.links] == ["sms"]
    six_hours = timedelta(hours=6)
    assert {"x": None, "facebook": None, "banner": None, "sms": six_hours, "email": six_hours} == {
        name: channel.options.expires for name, channel in found.channels.items()
    }
    assert all(channel.options.enabled and channel.options.required for channel in found.channels.values())


def test_what_is_said_is_taken(load: Load) -> None:
    found = load(
        one("sms", on="[investigating, resolved]", languages="[ro]", links="yes", expires="90m", enabled="NO")
        + "    required: false\n    rate: 600/min\n"
    ).channels["sms"]
    assert (
        found.options.on,
        found.options.languages,
        found.options.links,
    ) == (("investigating", "resolved"), ("ro",), EVERY_STATUS)
    assert (timedelta(minutes=90), False, False, 10.0) == (
        found.options.expires,
        found.options.enabled,
        found.options.required,
        found.options.rate,
    )


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *(("x", key) for key in ("api_key", "api_secret", "access_token", "access_token_secret")),
        *(("facebook", key) for key in ("page_id", "page_token")),
        *(("sms", key) for key in ("account_sid",)),
        *(("email", key) for key in ("host", "from")),
        *(("banner", key) for key in ("path",)),
    ],
)
def test_a_required_setting_that_is_missing_is_named(refusal: Refusal, name: str, setting: str) -> None:
    (problem,) = refusal(one(name, **{setting: ""}))
    assert re.fullmatch(rf'5:5: "{setting}" is missing \(.{{8,}}\)', problem)


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("email", {"username": "me"}, "5:5: username and password belong together: give both, or neither"),
        ("email", {"from": "nobody"}, "from must be exactly one mailbox"),
        ("email", {"port": "70000"}, "port a number from 1 to 65535"),
        ("email", {"port": "many"}, "9:11: expected a whole number"),
        ("email", {"tls": "ssl"}, '9:10: "ssl" is not valid here (expected one of: none, starttls, implicit)'),
        ("email", {"connections": "0"}, "connections must be at least 1"),
        ("sms", {"auth_token": ""}, "give either api_key with api_key_secret, or auth_token"),
        ("sms", {"from": "+61400000000"}, "give either from or messaging_service_sid"),
        ("facebook", {"version": "26"}, "version must be one of the Graph API, such as v26.0"),
        ("facebook", {"page_id": "bank"}, "page_id must be the Page's number"),
        ("x", {"thread": "perhaps"}, "10:13: expected true or false"),
        ("x", {"username": "a b c"}, "username must be the account's name on X"),
        ("banner", {"public_url": "www.example.com"}, "public_url must be a whole address"),
        ("banner", {"path": "[a]"}, "6:11: expected the path of a file, not a list"),
        ("x", {"kind": "facbook"}, '5:11: there is no kind "facbook" (did you mean "facebook"?)'),
        ("x", {"kind": ""}, '5:5: "kind" is missing (one of x, facebook, twilio_sms, smtp, banner'),
        ("x", {"acess_token": "env:K"}, '10:5: unknown key "acess_token" (did you mean "access_token"?)'),
        ("sms", {"audiance": "customers"}, '10:5: unknown key "audiance" (did you mean "audience"?)'),
        ("banner", {"requird": "false"}, '7:5: unknown key "requird" (did you mean "required"?)'),
        ("banner", {"colour": "red"}, '7:5: unknown key "colour" (expected one of: ahead, closing, json, path'),
        ("sms", {"audience": ""}, '"sms" reaches people one by one, so it needs "audience" (one of: customers)'),
        ("sms", {"audience": "custmers"}, 'there is no audience "custmers" (did you mean "customers"?)'),
        ("banner", {"audience": "customers"}, "7:15: banner is public and takes no audience (remove the line)"),
        ("banner", {"on": "[first, resolvd]"}, '7:17: "resolvd" is not a status; did you mean "resolved"?'),
        ("banner", {"on": "first"}, "7:9: expected a list, such as [one, two], not text"),
        ("x", {"links": "perhaps"}, "10:12: expected a list, such as [one, two], not text"),
        ("x", {"links": "[first, resolvd]"}, '10:20: "resolvd" is not a status; did you mean "resolved"?'),
        ("banner", {"on": "[]"}, "7:9: expected at least one"),
        ("banner", {"languages": "[fr]"}, '7:17: "fr" is not promised (the organisation promises en, ro)'),
        ("banner", {"languages": "[en, en]"}, '7:16: "en" stands twice'),
        ("banner", {"languages": "[English]"}, '7:17: "English" is not a language code; write it like en, ro or'),
        ("sms", {"rate": "fast"}, '"fast" is not a rate; write it like 100/s or 600/min'),
        ("sms", {"rate": "0/s"}, '"0/s" is not a rate'),
        ("sms", {"price": "5 cents"}, '"5 cents" is not a price; write it like 0.0515 AUD'),
        ("sms", {"expires": "soon"}, '"soon" is not a duration; write it like 30m, 2h or 1h30m'),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(
    refusal: Refusal, name: str, changes: dict[str, str], problem: str
) -> None:
    found = refusal(one(name, **changes))
    assert len(found) == 1
    assert problem in found[0]
    assert found[0].split(":")[0].isdigit()


@pytest.mark.parametrize(
    ("name", "setting"),
    [("x", "api_key"), ("facebook", "page_token"), ("sms", "account_sid"), ("sms", "auth_token")],
)
@pytest.mark.parametrize("written", ["canary-literal-secret", '"*canary:x"', "[canary]", "vault:canary", "{a: canary}"])
def test_a_secret_written_literally_is_refused_and_never_repeated(
    refusal: Refusal, name: str, setting: str, written: str
) -> None:
    found = refusal(one(name, **{setting: written}))
    assert len(found) == 1
    assert "a secret must be a reference: env:NAME" in found[0] or "expected text" in found[0]


def test_a_password_in_an_address_is_never_repeated(refusal: Refusal) -> None:
    assert "is not a ledger; write it like" in refusal(HEAD + "ledger: postgresql://me:canary@db/x\n" + BANNER)[0]
    page = "organisation: {name: A, timezone: UTC, status_page: 'https://me:canary@example.com'}\n"
    assert "holds a user name or a password" in refusal(page + BANNER)[0]


def test_a_secret_kept_in_a_file_counts_from_the_configs_folder(load: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("file-canary-config")
    (tmp_path / "token").chmod(0o600)
    settings = load(one("facebook", page_token="file:token")).channels["facebook"].settings
    assert settings.page_token.reveal() == "file-canary-config"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a.db", "{base}/a.db"),
        ("sqlite:///var/a.db", "{base}/var/a.db"),
        ("sqlite:////var/a.db", "/var/a.db"),
        ("sqlite:///../a.db", "{base}/../a.db"),
    ],
)
def test_a_ledgers_path_counts_from_the_configs_folder_unless_it_is_absolute(
    load: Load, tmp_path: Path, url: str, path: str
) -> None:
    assert f"sqlite:///{path.format(base=tmp_path)}" == load(f"{HEAD}ledger: {url}\n{BANNER}").ledger


@pytest.mark.parametrize("url", ["outagecast.db", "sqlite://a.db", "sqlite:///", "mysql://db/x", "file:a.db"])
def test_what_is_no_ledger_is_refused(refusal: Refusal, url: str) -> None:
    assert refusal(f"{HEAD}ledger: {url}\n{BANNER}") == ["2:9: is not a ledger; write it like sqlite:///outagecast.db"]


def test_an_absolute_path_stays_and_a_home_is_found(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    found = load(
        f"{HEAD}audiences: {{a: {{file: ~/a.csv}}, b: {{file: /b.csv}}, c: {{file: ~nobody-here/c.csv}}}}\n"
        "channels: {banner: {kind: banner, path: ~/b.html}}\n"
    )
    files = {name: listed.file for name, listed in found.audiences.items()}
    assert {"a": Path("/home/ana/a.csv"), "b": Path("/b.csv"), "c": tmp_path / "~nobody-here/c.csv"} == files
    assert Path("/home/ana/b.html") == found.channels["banner"].settings.path


def test_all_problems_are_named_at_once_in_the_order_of_the_file(refusal: Refusal) -> None:
    text = (
        "organisation: {nam: A, timezone: Australia/Sidney, languages: [], phone: [1]}\n"
        "ledgr: x\npromise: {update_every: 30}\naudiences: {c: c.csv}\ncomponents: [a]\n"
        "channels:\n  X: {kind: x}\n  sms: {kind: twilio_sms, account_sid: env:K, auth_token: canary, from: Bank}\n"
        "  fax: {kind: fax}\n  page:\n  b: {kind: banner, path: p, audience: q}\n  t: text\n"
    )
    assert refusal(text) == [
        '1:15: "name" is missing (your name, as customers know you)',
        '1:16: unknown key "nam" (did you mean "name"?)',
        '1:34: "Australia/Sidney" is not a time zone; did you mean "Australia/Sydney"?',
        "1:63: expected at least one",
        "1:74: expected text, not a list",
        '2:1: unknown key "ledgr" (did you mean "ledger"?)',
        '3:25: "30" is not a duration; write it like 30m, 2h or 1h30m',
        "4:16: expected `name: value` lines, not text (such as file, order_by, select)",
        "5:13: expected `name: value` lines, not a list",
        '7:3: "X" is not a channel name (small letters, digits, - and _, such as x or sms-staff)',
        "8:59: a secret must be a reference: env:NAME, file:PATH or keyring:SERVICE/NAME",
        f'9:15: there is no kind "fax" (expected one of: {", ".join(registry.kinds())})',
        '10:3: "page" has no settings (give it a kind)',
        "11:40: banner is public and takes no audience (remove the line)",
        "12:6: expected the channel's settings (such as {kind: x, api_key: env:X_API_KEY})",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", '1:1: "organisation" is missing (who speaks: {name: …, timezone: …})'),
        (HEAD, '1:1: "channels" is missing (at least one channel, such as x: {kind: x, …})'),
        (HEAD + "channels: {}\n", "2:11: no channel is configured (such as x: {kind: x, …})"),
        (HEAD + "channels: [x]\n", "2:11: expected `name: value` lines, not a list"),
        ("organisation: Example Bank\n" + BANNER, "1:15: expected `name: value` lines, not text (such as languages"),
        ("organisation: {name: A, timezone: Nowhere}\n" + BANNER, "is not a time zone; write it like Australia/Sydney"),
        ("organisation: {name: A, timezone: ../x}\n" + BANNER, "is not a time zone"),
    ],
)
def test_a_file_without_its_heart_says_what_it_needs(refusal: Refusal, text: str, problem: str) -> None:
    assert problem in refusal(text)[0]


def test_the_config_is_looked_for_where_it_was_said_then_here_then_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.delenv("OUTAGECAST_CONFIG", raising=False)
    with pytest.raises(ConfigError, match=r"there is no outagecast\.yaml here .*--config FILE"):
        config.locate(None)
    (home / "outagecast").mkdir(parents=True)
    (home / "outagecast/outagecast.yaml").touch()
    assert home / "outagecast/outagecast.yaml" == config.locate(None)
    Path("outagecast.yaml").touch()
    assert Path("outagecast.yaml") == config.locate(None)
    monkeypatch.setenv("OUTAGECAST_CONFIG", "/etc/said.yaml")
    assert Path("/etc/said.yaml") == config.locate(None)
    assert Path("given.yaml") == config.locate("given.yaml")


PIECES = st.sampled_from(
    [
        *(
            "organisation:",
            "  name: A",
            "  timezone: UTC",
            "  timezone: ~x",
            "channels:",
            "  x:",
            "  b: {kind: banner}",
        ),
        *(
            "  sms:",
            "    kind: twilio_sms",
            "    kind: smtp",
            "    from: a",
            "    from_: b",
            "    on: [x]",
            "ledger: /",
        ),
        *("    rate: 9/s", "    price: 1 A", "audiences: {a: {file: '~~'}}", "{", "]", "- x", " ", "'", "\u202e"),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=30).map(lambda found: "\n".join(found).encode()))
def test_any_bytes_are_a_config_or_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    began = time.monotonic()
    with contextlib.suppress(ConfigError):
        config.load(path)
    assert time.monotonic() - began < 1


def test_what_is_for_staff_only_may_not_lie_among_the_pages_of_the_public(refusal: Refusal) -> None:
    said = refusal(
        HEAD + "channels:\n"
        "  page: {kind: status_page, path: public/status}\n"
        "  briefing: {kind: briefing, path: public/status/staff/briefing.html}\n"
        "  other: {kind: briefing, path: internal/briefing.html}\n"
    )

    assert said == [
        "4:36: the public would read it: page publishes what is in that folder (put it into a folder of its own)"
    ]


def test_what_only_texts_have_is_refused_elsewhere(refusal: Refusal) -> None:
    mail = (
        "audiences: {a: {file: a.csv}}\nchannels: {mail: {kind: smtp, host: h, from: a@example.com, audience: a, %s}}\n"
    )

    (found,) = refusal(HEAD + mail % "countries: [AU]")
    assert found.endswith("smtp sends no texts and takes no countries (remove the line)")
    (found,) = refusal(HEAD + mail % "segment_rate: 1/s")
    assert found.endswith("smtp sends no texts and takes no segment_rate (remove the line)")


def test_a_country_is_one_that_has_phone_numbers(refusal: Refusal) -> None:
    text = "audiences: {a: {file: a.csv}}\nchannels: {sms: {kind: twilio_sms, account_sid: env:K, from: A,"

    (found,) = refusal(HEAD + text + " auth_token: env:K, audience: a, countries: [AU, XX]}}\n")
    assert '"XX" is not a country with phone numbers; write it like AU' in found
