"""What comes from outside is data: facts, providers' words, names and paths; docs/security.md lists the threats."""

from __future__ import annotations

import hashlib
import html
import re
import signal
import subprocess
import time
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outagecast
from outagecast import audience, template
from outagecast.channels.smtp import Settings, Smtp
from outagecast.cli import run
from outagecast.errors import AudienceError, ExitCode, OutagecastError, TemplateError
from outagecast.inert import inert
from outagecast.model import Delivery, Status
from outagecast.rehearsal import Reply, SmtpStandIn

if TYPE_CHECKING:
    from tests.conftest import Bank, Newsroom

SOURCES = Path(outagecast.__file__).parent

# Of https://owasp.org/www-project-web-security-testing-guide and https://github.com/swisskyrepo/PayloadsAllTheThings
INJECTED = (
    "{{7*7}}",
    "{{ 7*'7' }}",
    "{{config}}",
    "{{ config.items() }}",
    "{{self}}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{''.__class__.__mro__[2].__subclasses__()[40]('/etc/passwd').read()}}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ request|attr('application')|attr('\\x5f\\x5fglobals\\x5f\\x5f') }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{% if ''.__class__ %}yes{% endif %}",
    "{% include '/etc/passwd' %}",
    "{% import 'phrases.j2' as p %}{{ p }}",
    "{% extends 'x.text.j2' %}",
    "{% set x = 1 %}{{ x }}",
    "{% raw %}{{ 1 }}{% endraw %}",
    "{% block investigating %}mine{% endblock %}",
    "{# a comment #}",
    "{{ 'a'|safe }}",
    "{{ [].append(1) }}",
    "{{ '%c'|format(97) }}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{7*7}",
    "*{7*7}",
    "@(1+2)",
    "%(title)s {title} {0.__class__}",
    "$(id) `id` ;id |id",
    "<!--#exec cmd='id'-->",
    "<esi:include src=http://evil.example/>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</p></div><iframe src=javascript:alert(1)>",
    '"\'><a href="javascript:alert(1)">x</a>',
    "&lt;b&gt; &amp;amp; &#x3C;i&#x3E;",
    "]]><![CDATA[x",
    "<style>*{display:none}</style>",
    "</title><base href=//evil.example>",
)


class _Tree(HTMLParser):
    """A page's elements with their attributes, in order, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Any] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(tag)

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.elements.append(("declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.elements.append(("declaration", data))

    def handle_pi(self, data: str) -> None:
        self.elements.append(("instruction", data))

    def handle_data(self, data: str) -> None:
        self.words += data


def _saying(words: str) -> dict[str, Any]:
    """A message that says ``words`` in every place where a text may stand."""
    return {
        "title": f"Cards {words} fail",
        "summary": f"They {words} are declined.",
        "workaround": [f"Use {words} cash."],
        "apology": f"We are {words} sorry.",
        "cause": f"A {words} cut.",
        "contact": {"phone": "13 20 32", "url": "https://status.example.com/?a=1&b='2'"},
        "next_update_at": "30m",
    }


# --- templates: facts are never templates, and templates come to an end


@pytest.mark.parametrize("payload", INJECTED)
def test_a_fact_that_looks_like_a_template_or_markup_goes_out_as_it_was_written(
    newsroom: Newsroom, payload: str
) -> None:
    plain, texts = newsroom.texts(**_saying("PAYLOAD")), newsroom.texts(**_saying(payload))

    assert payload in texts["x.text"]  # and less beside it, the longer it is
    for name in ("facebook.text", "smtp.text", "smtp.subject"):
        assert texts[name] == plain[name].replace("PAYLOAD", payload)
    for name in ("banner.html", "smtp.html"):
        before, after = _Tree(plain[name]), _Tree(texts[name])
        assert after.elements == before.elements
        assert after.words == before.words.replace("PAYLOAD", payload)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zs", "Zl", "Zp"]), min_size=1, max_size=40))
def test_no_words_can_add_an_element_to_the_wall(words: str) -> None:
    plain, other = _Tree(inert("<p>PAYLOAD</p>")), _Tree(inert(f"<p>{html.escape(words)}</p>"))

    assert (other.elements, other.words) == (plain.elements, words)
    shown = {element[0] for element in _Tree(inert(f"<p>{words}</p>")).elements if isinstance(element, tuple)}
    assert shown <= {"p", "strong", "em", "b", "i", "ul", "ol", "li", "span", "br"}


def test_no_text_from_outside_is_ever_made_a_template() -> None:
    sources = "\n".join(path.read_text() for path in SOURCES.rglob("*.py"))

    assert "from_string(" not in sources
    assert "jinja2.Template(" not in sources
    assert not re.search(r"\|\s*safe\b", "".join(path.read_text() for path in SOURCES.rglob("*.j2")))


ENDLESS = {
    "a product": "{{ 'a' * 10000000000 }}",
    "a product of a list": "{{ [1] * 1000000000 }}",
    "a product the other way round": "{{ 1000000000 * 'a' }}",
    "a tower of powers": "{{ 10**9**9 }}",
    "a loop": "{% for i in range(10**9) %}x{% endfor %}",
    "a long loop": "{% for i in range(99999) %}{% endfor %}",
    "loops within loops": "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a macro that calls itself twice": (
        "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(40) }}"
    ),
    "a block that shows itself": "{{ self.investigating() }}",
    "much padding": "{{ 'a'.ljust(1000000000) }}",
    "a width": "{{ '{:>1000000000}'.format('a') }}",
    "a width as C writes it": "{{ '%1000000000d' % 1 }}",
    "a filter that pads": "{{ 'a'|center(1000000000) }}",
    "a filter that fills up": "{{ [1]|batch(1000000000, 'x')|list }}",
    "a template that includes itself": "{% include 'x.text.j2' %}",
}


_REASONS = (r"no \*\*", "no %", "not with format", "too large", "too much", "not come to", "recursion", "No filter")
_BROKEN_OFF = rf"^en/x\.text\.j2:.*({'|'.join(_REASONS)})"


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS)
def test_a_template_that_would_not_end_is_an_error_of_the_template_at_once(newsroom: Newsroom, endless: str) -> None:
    newsroom.template("en/x.text.j2", f"{{% block investigating %}}{{{{ summary }}}} {endless}{{% endblock %}}")
    began = time.monotonic()

    with pytest.raises(TemplateError) as caught:
        newsroom.texts("x")

    assert re.search(_BROKEN_OFF, str(caught.value))
    assert time.monotonic() - began < 3


def test_a_text_that_grows_without_end_is_cut_off(newsroom: Newsroom) -> None:
    doubled = "{% set x = 'aaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 17
    newsroom.template("en/x.text.j2", f"{{% block investigating %}}{doubled}{{{{ x }}}}{{% endblock %}}")

    with pytest.raises(TemplateError, match=f"longer than {template.MOST_CHARACTERS:,} characters"):
        newsroom.texts("x")


# --- links: none that looks like another


DECEPTIVE = {
    "https://b\u0430nk.example.com": "mixes the letters of several scripts",
    "www.exampl\u0435.com": "mixes the letters of several scripts",
    "https://xn--bnk-5cd.example.com": "nobody can read its name",
    "https://status.example.com@evil.example.net/": "holds a user name",
    "https://status.example.com:443@evil.example.net": "holds a user name",
}
FOREIGN = (
    "https://example.com.evil.net",
    "example.com.evil.net",
    "https://notexample.com",
    "http://[::1]/",
    "bit.ly/a",
)
OWN = (
    "https://example.com",
    "https://status.EXAMPLE.com./a?b=c",
    "help.example.com",
    "https://b\u00fccher.example.com/x",
)


def refused(newsroom: Newsroom, place: str, link: str) -> str:
    if place == "contact":
        facts: dict[str, Any] = {"contact": {"url": link}}
    elif place == "variants":
        facts = {"variants": {"facebook": {"en": {"text": f"See {link} now."}}}}
    else:
        facts = {place: f"See {link} now."}
    try:
        newsroom.plan(**facts)
    except OutagecastError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("place", "link"),
    [
        (place, link)
        for place in ("summary", "cause", "apology", "contact", "variants")
        for link in DECEPTIVE
        if place != "contact" or "://" in link  # a contact's address always has a scheme
    ],
)
def test_a_link_that_is_made_to_deceive_is_refused_wherever_it_stands(
    newsroom: Newsroom, link: str, place: str
) -> None:
    assert re.search(f"{DECEPTIVE[link]}|user name or a password", refused(newsroom, place, link))


@pytest.mark.parametrize("link", FOREIGN)
def test_a_link_elsewhere_is_refused_where_the_official_domains_are_listed(newsroom: Newsroom, link: str) -> None:
    assert refused(newsroom, "summary", link) == ""
    newsroom.settings["organisation"]["official_domains"] = ["example.com"]

    assert "not among the official domains" in refused(newsroom, "summary", link)


@pytest.mark.parametrize("link", OWN)
def test_a_link_to_ones_own_is_none_of_them(newsroom: Newsroom, link: str) -> None:
    newsroom.settings["organisation"]["official_domains"] = ["Example.com"]

    for written in (link, f"({link})", f"[{link}].", f"“{link}”", f"{link}!"):
        assert refused(newsroom, "summary", written) == ""


@pytest.mark.parametrize("word", ["\u202egnp", "\u2066x", "a\u200bb", "x\u2028y"])
def test_letters_that_hide_or_turn_others_are_refused_in_a_message(bank: Bank, word: str) -> None:
    bank.write(summary=f"See https://example.com/{word} now.")

    assert bank.json("preview", "incident.yaml")["exit_code"] == ExitCode.BAD_INPUT


# --- e-mail: one body is one mail


@pytest.mark.parametrize("end", [f"{one}.{other}" for one in ("\n", "\r", "\r\n") for other in ("\n", "\r", "\r\n")])
def test_a_body_cannot_end_its_mail_and_begin_another(end: str) -> None:
    # https://sec-consult.com/blog/detail/smtp-smuggling-spoofing-e-mails-worldwide/
    smuggled = f"MAIL FROM:<boss@example.com>{end[0]}RCPT TO:<x@example.com>{end[0]}DATA{end[0]}Subject: Pay me"
    now = datetime.now(UTC)
    text = f"Cards fail.{end}{smuggled}{end}QUIT"
    parts = {"subject": "Cards fail", "text": text, "html": f"<p>{text}</p>"}
    delivery = Delivery(
        key="cards/1/email",
        incident="cards",
        update=1,
        status=Status.INVESTIGATING,
        target="ana@example.com",
        language="en",
        parts=parts,
        opened_at=now,
    )
    with SmtpStandIn() as server:
        channel = Smtp(Settings(host=server.host, port=server.port, tls="none", from_="status@example.com"))
        channel.send(delivery)
        channel.send(delivery._replace(target="ben@example.com"))
        channel.close()

        assert [(mail.sender, mail.to) for mail in server.mails] == [
            ("status@example.com", ("ana@example.com",)),
            ("status@example.com", ("ben@example.com",)),
        ]
        lines = "\n".join(text.splitlines())
        assert [mail.text.rstrip("\n") for mail in server.mails] == [lines, lines]


# --- names are no paths

CLIMBING = (
    *("../../outside", "..", "/etc/passwd", "a/../../outside", "..\\..\\outside", "%2e%2e%2foutside", "....//outside"),
    *("~/outside", "~root/outside", "file:///etc/passwd", "en/../../outside", "$HOME/outside", "..%00/outside"),
)


def _tree(folder: Path) -> dict[str, str]:
    """Every file below a folder, and what is in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bank in a folder of a folder, so that what climbs out of it can be seen."""
    from contextlib import closing

    from outagecast.rehearsal import Providers
    from tests.conftest import Bank

    home = tmp_path / "home"
    for folder in (home, tmp_path / "bank"):
        folder.mkdir()
    for name, value in {"HOME": home, "XDG_CACHE_HOME": home / "cache", "XDG_CONFIG_HOME": home / "config"}.items():
        monkeypatch.setenv(name, str(value))
    with Providers() as providers, closing(Bank(tmp_path / "bank", providers)) as bank:
        for name, secret in providers.environment.items():
            monkeypatch.setenv(name, secret)
        monkeypatch.chdir(bank.folder)
        (tmp_path / "outside").write_text("victim")
        (tmp_path / "outside.j2").write_text("victim")
        yield bank


def test_no_name_in_a_message_is_a_way_to_a_file(inside: Bank, tmp_path: Path) -> None:
    def around() -> dict[str, str]:
        ours = ("bank/", "home/cache")
        return {name: digest for name, digest in _tree(tmp_path).items() if not name.startswith(ours)}

    before, kept = around(), set(_tree(inside.folder))
    for name in CLIMBING:
        for facts in (
            {"incident": name},
            {"status": name},
            {"impact": name},
            {"translations": {name: {"title": "x"}}},
            {"variants": {name: {"en": {"text": "x"}}}},
            {"variants": {"x": {name: {"text": "x"}}}},
            {"variants": {"x": {"en": {name: "x"}}}},
            {"components": {name: "major_outage"}, "title": name, "cause": name},
        ):
            original = dict(inside.message)
            inside.write(**facts)
            code = run(["announce", "incident.yaml", "--dry-run", "--json"])
            assert code in ({0} if "components" in facts else {ExitCode.BAD_INPUT, 0}), facts
            inside.message = original
    assert around() == before
    assert set(_tree(inside.folder)) == kept


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize(
    "place", [("organisation", "languages"), ("audiences",), ("channels",), ("channels", "x", "kind")]
)
def test_no_name_in_a_config_is_a_way_to_a_file(inside: Bank, place: tuple[str, ...], name: str) -> None:
    around: Any = inside.config
    for step in place[:-1]:
        around = around[step]
    last = place[-1]
    around[last] = [name] if last == "languages" else name if last == "kind" else {**around[last], name: {"file": "x"}}
    inside.write()

    assert run(["preview", "incident.yaml", "--json"]) == ExitCode.CONFIG


@pytest.mark.parametrize("name", CLIMBING)
def test_no_name_on_the_command_line_is_a_way_to_a_file(inside: Bank, tmp_path: Path, name: str) -> None:
    before = {path: digest for path, digest in _tree(tmp_path).items() if not path.startswith("home/cache")}

    for arguments in (("status", name), ("resume", name), ("settle", name, "x", "--resend")):
        assert run(list(arguments)) == ExitCode.BAD_INPUT
    assert run(["preview", "incident.yaml", "--channel", name]) == ExitCode.USAGE
    assert run(["preview", "incident.yaml", "--set", f"incident={name}"]) == ExitCode.BAD_INPUT
    after = {path: digest for path, digest in _tree(tmp_path).items() if not path.startswith("home/cache")}
    assert after.keys() - before.keys() <= {"bank/outagecast.db", "bank/outagecast.db.lock"}
    assert {path: after[path] for path in before} == before


def test_a_link_in_the_place_of_the_lock_is_not_written_through(inside: Bank, tmp_path: Path) -> None:
    (inside.folder / "outagecast.db.lock").symlink_to(tmp_path / "outside")

    assert run(["announce", "incident.yaml", "--yes", "--channel", "banner"]) == ExitCode.LEDGER
    assert (tmp_path / "outside").read_text() == "victim"
    assert inside.sent["banner"] == 0


def test_a_link_in_the_place_of_the_banner_is_not_written_through(inside: Bank, tmp_path: Path) -> None:
    (inside.folder / "banner.html").symlink_to(tmp_path / "outside")

    assert run(["announce", "incident.yaml", "--yes", "--channel", "banner"]) == ExitCode.NOTHING_PUBLISHED
    assert (tmp_path / "outside").read_text() == "victim"


# --- files are nobody else's to write, and the ledger nobody else's to read


def test_no_command_makes_a_file_that_others_may_write_or_people_s_addresses_that_others_may_read(
    bank: Bank, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    known = set(tmp_path.rglob("*"))
    environment = {
        **bank.environment,
        **{name: str(home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")},
    }
    for arguments in (
        ("init", "first", "--templates"),
        ("check",),
        ("preview", "incident.yaml", "--html", "wall.html"),
        ("announce", "incident.yaml", "--yes"),
        ("resume", "card-payments"),
        ("status",),
        ("demo", "--yes", "--folder", "rehearsal"),
    ):
        done = subprocess.run(
            ["bash", "-c", 'umask 000; exec "$@"', "bash", *bank.command(*arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in {0, 78}, done.stderr

    made = {path.relative_to(tmp_path): path.stat().st_mode & 0o777 for path in set(tmp_path.rglob("*")) - known}
    assert {name: oct(mode) for name, mode in made.items() if mode & 0o022} == {}
    private = {name: oct(mode) for name, mode in made.items() if re.search(r"\.db|customers\.csv", name.name)}
    assert len(private) >= 4
    assert {name: mode for name, mode in private.items() if mode != "0o600" and "rehearsal" not in name.parts} == {}


# --- the terminal: what others wrote neither colours it nor crashes it

NASTY = (
    "\x1b[31mred \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b2J [/x] [bold]b[/bold] \u202egnp.exe "
    "\r\n\x07\x00 {{7*7}}"
)


def _is_tame(shown: str) -> bool:
    """Whether all that steers the terminal is ours: colours, and the drawing of the live screen."""
    rest = re.sub(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AK]|2K|1G)", "", shown)
    return re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", rest) is None


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_a_provider_cannot_steer_the_officer_s_terminal(bank: Bank, status: int) -> None:
    said = {"title": NASTY, "detail": NASTY, "type": NASTY, "message": NASTY, "code": 20404}
    error = {"message": NASTY, "code": 100, "fbtrace_id": NASTY, "type": NASTY}
    for server in (bank.providers.x, bank.providers.facebook, bank.providers.twilio):
        for method in ("GET", "POST"):
            server.behave(Reply(status, {**said, "error": error}), times=40, method=method)

    shown = bank.terminal("-v", "announce", "incident.yaml", "--yes", "--max-time", "1")

    assert shown.wait() in {10, 12, 13}
    assert "[/x]" in shown.text
    assert _is_tame(shown.raw), shown.raw


def test_a_list_of_people_cannot_steer_it(bank: Bank, tmp_path: Path) -> None:
    bank.customers(("Ana", NASTY.replace("\r\n", " ").replace("\x00", ""), "ana@example.com"))

    shown = bank.terminal("preview", "incident.yaml")

    assert shown.wait() == ExitCode.BAD_INPUT
    assert _is_tame(shown.raw), shown.raw
    with pytest.raises(AudienceError):
        audience.load(tmp_path / "customers.csv", "phone", ("en",))


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "\x1b[31mx"),
        ("preview", "\x1b[31mx.yaml"),
        ("--config", "\x1b]0;x\x07.yaml", "preview", "incident.yaml"),
        ("preview", "incident.yaml", "--channel", "\x1b[31mx"),
        ("preview", "incident.yaml", "--set", "\x1b[31mx=1"),
        ("preview", "incident.yaml", "--set", "title=\x1b[31mx"),
        ("preview", "incident.yaml", "--status", "\x1b[31mx"),
        ("settle", "\x1b[31mx", "\x1b[31my", "--published", "\x1b[31mz"),
        ("explain", "\x1b[31mx"),
        ("init", "\x1b[31mx"),
        ("preview", "incident.yaml", "--send-to", "\x1b[31mx"),
        ("\x1b[31mx",),
        ("preview", "--\x1b[31mx"),
        ("announce", "incident.yaml", "--max-time", "\x1b[31mx"),
    ],
)
def test_no_argument_steers_it(bank: Bank, arguments: tuple[str, ...]) -> None:
    done = bank.run(*arguments)

    assert "Traceback" not in done.stderr
    assert _is_tame(done.stdout + done.stderr), done.stdout + done.stderr


# --- a run that is asleep keeps its lock


def test_resume_gives_way_to_a_run_that_was_put_to_sleep_and_names_it(bank: Bank) -> None:
    def posted() -> int:
        return sum(request.method == "POST" for request in bank.providers.x.requests)

    bank.providers.x.hang_seconds = 30
    bank.providers.x.behave("hang_applied")
    sleeper = bank.start("announce", "incident.yaml", "--yes", "--channel", "x")
    until = time.monotonic() + 20
    while not posted() and time.monotonic() < until:
        time.sleep(0.02)
    sleeper.send_signal(signal.SIGSTOP)
    try:
        refused = bank.json("resume", "card-payments")

        assert refused["exit_code"] == ExitCode.CONFLICT
        assert f"(process {sleeper.pid}, since" in refused["errors"][0]["message"]
        assert posted() == 1
    finally:
        sleeper.send_signal(signal.SIGCONT)
        sleeper.kill()
        sleeper.wait()
