"""The recipes of docs/runbooks.md are run as they stand there, against stand-ins of the providers."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from outagecast.errors import ExitCode
from outagecast.explain import EXPLANATIONS
from outagecast.rehearsal import Reply

if TYPE_CHECKING:
    from tests.conftest import Bank

PAGE = (Path(__file__).parents[1] / "docs" / "runbooks.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"<!-- tested: ([\w.-]+) -->\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL))
WAIT = 3  # seconds for which a provider asks


class Shell:
    """A shell of the bank, with the page's recipes in its folder and ``outagecast`` on its way."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        for name, recipe in RECIPES.items():
            (bank.folder / name).write_text(recipe, encoding="utf-8")

    def environment(self, **extra: str) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**self.bank.environment, "PATH": path, **extra}

    def run(
        self, line: str, *, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.bank.folder,
            env=self.environment() if env is None else env,
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def announce(self, options: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return self.run(f"sh announce.sh incident.yaml {options}", env=self.environment(**extra))


@pytest.fixture
def shell(bank: Bank) -> Shell:
    return Shell(bank)


def calls(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("CALL: ")]


def test_every_block_of_the_page_is_one_that_is_run() -> None:
    blocks = re.findall(r"^```\w+$", PAGE, flags=re.MULTILINE)

    assert len(blocks) == len(RECIPES) == 12


# --- announce from a shell


def test_when_all_goes_well_nobody_is_called(shell: Shell, bank: Bank) -> None:
    done = shell.announce()

    assert (done.returncode, done.stdout, calls(done)) == (0, "Everybody is told.\n", [])
    assert bank.sent == {"x": 1, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def test_a_refused_login_is_tried_again_and_then_its_owner_is_called(shell: Shell, bank: Bank) -> None:
    done = shell.announce(REHEARSAL_X_ACCESS_TOKEN="revoked")

    told = "Told on: facebook banner sms email. Not finished: x."
    assert done.returncode == ExitCode.PARTIAL
    assert calls(done) == [f"CALL: {told} Call the owner of these, then: outagecast resume"]
    assert bank.sent == {"x": 0, "facebook": 1, "sms": 2, "email": 2, "banner": 1}


def test_what_was_in_doubt_is_found_and_nobody_is_called(shell: Shell, bank: Bank) -> None:
    bank.providers.facebook.behave("reset_after")
    bank.providers.facebook.behave("error_500", method="GET")

    done = shell.announce()

    assert (done.returncode, calls(done)) == (0, [])
    assert bank.sent["facebook"] == 1
    assert [request.method for request in bank.providers.facebook.requests].count("POST") == 1


def test_what_stays_in_doubt_is_never_posted_again(shell: Shell, bank: Bank) -> None:
    bank.providers.facebook.behave("error_500")

    done = shell.announce()

    assert done.returncode == ExitCode.IN_DOUBT
    assert calls(done) == [
        "CALL: Unknown on: facebook. Do not post by hand. Look there, then: outagecast settle",
    ]
    assert [request.method for request in bank.providers.facebook.requests].count("POST") == 1


def ask_to_wait(bank: Bank) -> None:
    """X is asked once and takes nothing for a while."""
    reset = str(int(time.time()) + WAIT)
    bank.providers.x.behave(Reply(429, {"title": "Too Many Requests"}, {"x-rate-limit-reset": reset}))


def test_what_is_pending_is_sent_when_the_provider_has_said(shell: Shell, bank: Bank) -> None:
    ask_to_wait(bank)
    began = time.monotonic()

    done = shell.announce("--max-time 1 --channel x --channel banner")

    assert (done.returncode, calls(done)) == (0, [])
    assert time.monotonic() - began > WAIT - 1
    assert bank.sent["x"] == 1


def test_when_nobody_can_be_told_the_telephone_is_left(shell: Shell, bank: Bank) -> None:
    done = shell.announce("--channel x", REHEARSAL_X_ACCESS_TOKEN="revoked")

    assert done.returncode == ExitCode.NOTHING_PUBLISHED
    assert [call.split(".")[0] for call in calls(done)] == [
        "CALL: Nobody is told",
        "CALL: No channel carries this",
    ]


def test_a_bad_message_is_not_repeated(shell: Shell, bank: Bank) -> None:
    bank.write(summary=None)

    done = shell.announce()

    assert done.returncode == ExitCode.BAD_INPUT
    assert "incident.yaml" in done.stderr
    assert calls(done)[0].startswith("CALL: The message, the audience or a template is wrong")


def test_a_bad_config_is_not_repeated(shell: Shell, bank: Bank) -> None:
    bank.config["channels"]["x"]["kind"] = "xx"
    bank.write()

    done = shell.announce()

    assert done.returncode == ExitCode.CONFIG
    assert calls(done)[0].startswith("CALL: The configuration is wrong")


def test_a_broken_ledger_is_not_replaced(shell: Shell, bank: Bank) -> None:
    (bank.folder / "outagecast.db").write_bytes(b"no ledger at all " * 100)

    done = shell.announce()

    assert done.returncode == ExitCode.LEDGER
    assert [call.split(".")[0] for call in calls(done)] == ["CALL: The ledger cannot be used"]


def until_it_posts(bank: Bank) -> None:
    until = time.monotonic() + 15
    while not bank.is_posting("x"):
        assert time.monotonic() < until, "it never asked X to publish"
        time.sleep(0.02)


def test_while_somebody_else_announces_they_are_to_be_talked_to(shell: Shell, bank: Bank) -> None:
    with bank.providers.x.holding():
        other = bank.start("announce", "incident.yaml", "--yes", "--channel", "x")
        until_it_posts(bank)

        done = shell.announce("--channel x")

    assert done.returncode == ExitCode.CONFLICT
    assert [call.split(",")[0] for call in calls(done)] == ["CALL: Somebody else is announcing"]
    other.communicate(timeout=20)


def test_when_outagecast_is_stopped_the_rest_is_named(shell: Shell, bank: Bank) -> None:
    with subprocess.Popen(
        ["sh", "announce.sh", "incident.yaml", "--channel", "x"],
        cwd=bank.folder,
        env=shell.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        with bank.providers.x.holding():
            until_it_posts(bank)
            subprocess.run(["pkill", "-TERM", "-P", str(script.pid)], check=True)
        _, said = script.communicate(timeout=20)

    assert (script.returncode, bank.sent["x"]) == (ExitCode.TERMINATED, 1)
    assert "CALL: Stopped before the end." in said


def test_the_runbook_knows_what_to_do_about_every_code_that_announcing_gives() -> None:
    table = RECIPES["announce.sh"].rpartition("case $code in\n  0)")[2].partition("esac")[0]
    known = {
        int(code) for label in re.findall(r"^  ([\d| ]+)\)", table, flags=re.MULTILINE) for code in label.split("|")
    }
    given = {code for code in ExitCode if "Not given yet" not in EXPLANATIONS[code].advice}

    only_looking = {ExitCode.OVERDUE}  # is what status and watch end with
    assert known == (given | {ExitCode.DIFFERS}) - {ExitCode.DONE, ExitCode.BUG, ExitCode.USAGE} - only_looking


# --- check every change


@pytest.fixture
def repository(bank: Bank) -> Bank:
    """What a repository holds: messages, and no credentials."""
    (bank.folder / "messages").mkdir()
    (bank.folder / "messages" / "card-payments.yaml").write_text(yaml.safe_dump(bank.message), encoding="utf-8")
    return bank


def without_credentials(shell: Shell) -> dict[str, str]:
    return {name: value for name, value in shell.environment().items() if not name.startswith("REHEARSAL_")}


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RECIPES["texts.yaml"])["jobs"]["texts"]["steps"]
    return found


def test_good_texts_pass_without_a_credential_and_without_a_provider(shell: Shell, repository: Bank) -> None:
    done = shell.run("sh check-texts.sh", env=without_credentials(shell))

    assert (done.returncode, done.stdout) == (0, "good  messages/card-payments.yaml\n")
    assert repository.providers.x.requests == repository.providers.facebook.requests == ()


def test_a_bad_message_among_good_ones_fails_the_job(shell: Shell, repository: Bank) -> None:
    (repository.folder / "messages" / "bad.yaml").write_text("incident: cards\nstatus: broken\n", encoding="utf-8")

    done = shell.run("sh check-texts.sh", env=without_credentials(shell))

    assert (done.returncode, done.stdout) == (1, "good  messages/card-payments.yaml\n")
    assert "messages/bad.yaml:2" in done.stderr


def test_a_template_that_does_not_fit_fails_the_job_though_no_message_uses_it(shell: Shell, repository: Bank) -> None:
    template = repository.folder / "my-templates" / "en" / "x.text.j2"
    template.parent.mkdir(parents=True)
    template.write_text("{% if status == 'resolved' %}{{ title * 40 }}{% else %}Not this.{% endif %}", encoding="utf-8")
    repository.config["templates"] = "my-templates"
    repository.write()
    (repository.folder / "messages" / "card-payments.yaml").unlink()
    written = {**repository.message, "variants": {"x": {"en": {"text": "Cards are declined."}}}}
    (repository.folder / "messages" / "own-words.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")

    done = shell.run("sh check-texts.sh", env=without_credentials(shell))

    assert done.returncode == 1
    assert "wrong  templates" in done.stdout


def test_the_jobs_steps_do_what_the_shell_does(shell: Shell, repository: Bank) -> None:
    own = [step["run"] for step in steps() if "run" in step and step["name"] != "Install"]

    done = [shell.run(line, env=without_credentials(shell)).returncode for line in own]

    assert done == [0, 0]
    assert (repository.folder / "wall.html").exists()
    assert [step["with"]["path"] for step in steps() if "upload" in step.get("uses", "")] == ["wall.html"]


# --- cron


def crontab() -> list[tuple[str, str]]:
    """When and what."""
    lines = [line.split(maxsplit=5) for line in RECIPES["crontab"].splitlines() if not line.startswith("#")]
    return [(" ".join(fields[:5]), fields[5]) for fields in lines]


@pytest.fixture
def home(shell: Shell, bank: Bank) -> dict[str, str]:
    """All that cron's environment has; the bank's folder is called so."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in bank.providers.environment.items())
    (bank.folder / "credentials").write_text(lines, encoding="utf-8")
    (bank.folder / "outages").symlink_to(bank.folder)
    return {"HOME": str(bank.folder), "PATH": shell.environment()["PATH"], "SHELL": "/bin/sh"}


def test_the_crontab_has_times_that_cron_reads() -> None:
    assert [when for when, _ in crontab()] == ["17 6 * * *", "* * * * *"]
    assert [line for _, line in crontab() if "%" in line] == []  # cron would end the command there


def test_the_daily_check_is_silent_while_all_is_well(shell: Shell, home: dict[str, str]) -> None:
    done = shell.run(crontab()[0][1], env=home)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_daily_check_speaks_up_when_a_login_has_ended(shell: Shell, home: dict[str, str], bank: Bank) -> None:
    with (bank.folder / "credentials").open("a", encoding="utf-8") as file:
        file.write("REHEARSAL_X_ACCESS_TOKEN=revoked\n")

    done = shell.run(crontab()[0][1], env=home)

    assert re.search(r"^WRONG +x ", done.stdout, flags=re.MULTILINE)


def test_every_minute_nothing_happens_while_nothing_is_pending(shell: Shell, home: dict[str, str], bank: Bank) -> None:
    before_any = shell.run(crontab()[1][1], env=home)
    shell.announce("--channel x --channel banner")
    asked = len(bank.providers.x.requests)

    done = shell.run(crontab()[1][1], env=home)

    assert (before_any.returncode, done.returncode) == (0, 0)
    assert (bank.folder / "resume.log").read_text(encoding="utf-8") == ""
    assert len(bank.providers.x.requests) == asked


def test_what_is_pending_goes_out_within_the_minute(shell: Shell, home: dict[str, str], bank: Bank) -> None:
    ask_to_wait(bank)
    waiting = bank.json("announce", "incident.yaml", "--yes", "--max-time", "1", "--channel", "x")

    done = shell.run(crontab()[1][1], env=home)

    assert (waiting["exit_code"], done.returncode) == (ExitCode.PENDING, 0)
    assert '"exit_name": "done"' in (bank.folder / "resume.log").read_text(encoding="utf-8")
    assert bank.sent["x"] == 1


def test_what_somebody_has_paused_stays_so_whatever_cron_does(shell: Shell, home: dict[str, str], bank: Bank) -> None:
    bank.providers.twilio.behave(Reply(429, {"code": 20429}, {"Retry-After": "1"}), times=2)
    bank.run("announce", "incident.yaml", "--yes", "--channel", "sms", "--max-time", "0.5")
    bank.run("pause", "card-payments")

    done = shell.run(crontab()[1][1], env=home)
    again = shell.announce("--channel sms")

    assert (done.returncode, again.returncode, bank.sent["sms"]) == (ExitCode.PENDING, ExitCode.PENDING, 0)
    assert [call.partition(". ")[0] for call in calls(again)] == [
        "CALL: A provider asks to wait, or somebody has paused it",
        "CALL: No channel carries this",
    ]


# --- who must not be sent anything


def test_the_list_is_read_in_every_night(shell: Shell, bank: Bank) -> None:
    (bank.folder / "unsubscribed.csv").write_text("address\nana@example.com\n", encoding="utf-8")

    done = shell.run("sh suppress-new.sh unsubscribed.csv")

    assert (done.returncode, calls(done)) == (0, [])
    assert "ana@example.com" in bank.run("audience", "suppressed").stdout


def test_where_the_list_is_damaged_somebody_is_called(shell: Shell, bank: Bank) -> None:
    (bank.folder / "unsubscribed.csv").write_text("address\nana@example\n", encoding="utf-8")

    done = shell.run("sh suppress-new.sh unsubscribed.csv")

    assert calls(done) == ["CALL: Some of unsubscribed.csv could not be used: its lines stand above."]


# --- tell the team while it goes out


def test_each_channel_s_outcome_is_said_as_it_comes(shell: Shell, bank: Bank) -> None:
    bank.providers.x.behave("unauthorized")

    done = shell.run("sh announce-aloud.sh incident.yaml")

    *told, last = done.stdout.splitlines()
    assert (done.returncode, last) == (ExitCode.PARTIAL, "ended: partial")
    said = {line.split()[0]: line.split()[1] for line in told}
    assert {said.pop(name) for name in ("sms", "email")} <= {"1", "2"}  # of two people, who may be counted together
    assert said == {"x": "failed", "facebook": "accepted", "banner": "accepted"}


def test_a_message_that_cannot_be_announced_is_said_nowhere(shell: Shell, bank: Bank) -> None:
    bank.write(status="unheard-of")

    done = shell.run("sh announce-aloud.sh incident.yaml")

    assert (done.returncode, done.stdout) == (ExitCode.BAD_INPUT, "")


# --- an alarm


def alarm(name: str = "CardDeclineRate", status: str = "firing") -> str:
    """What Alertmanager posts: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config"""
    alert = {
        "status": status,
        "labels": {"alertname": name, "instance": "auth-7.internal:9090", "severity": "page"},
        "annotations": {"summary": "decline rate 83 % on auth-7"},
        "startsAt": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
    }
    return json.dumps({"version": "4", "status": status, "alerts": [alert]})


def test_an_alarm_that_was_agreed_on_is_announced_once_in_words_for_the_public(shell: Shell, bank: Bank) -> None:
    given = alarm()

    first = shell.run("sh on-alert.sh", stdin=given)
    again = shell.run("sh on-alert.sh", stdin=given)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert bank.sent == {"x": 1, "facebook": 0, "sms": 0, "email": 0, "banner": 1}
    post = bank.providers.x.posts[0].text
    assert "Our cards are being declined" in post
    assert "auth-7" not in post


@pytest.mark.parametrize(("name", "status"), [("DiskFull", "firing"), ("CardDeclineRate", "resolved")])
def test_any_other_alarm_is_announced_to_nobody(shell: Shell, bank: Bank, name: str, status: str) -> None:
    done = shell.run("sh on-alert.sh", stdin=alarm(name, status))

    assert (done.returncode, done.stdout) == (0, "")
    assert f"not for the public: {name}, {status}" in done.stderr
    assert bank.sent["x"] == 0


# --- the promises


def test_cron_watches_the_promises_and_the_pager_is_called_once(shell: Shell, bank: Bank, home: dict[str, str]) -> None:
    *_, line = RECIPES["watch-crontab"].split(maxsplit=5)
    (bank.folder / "page-me").chmod(0o755)
    bank.config["watch"] = {"warn_before": "2h", "command": ["./page-me", "communications"]}
    bank.write(started_at=(datetime.now(UTC) - timedelta(minutes=59)).isoformat(timespec="minutes"))
    assert bank.run("announce", "incident.yaml", "--yes", "--except", "facebook").returncode == 0

    looks = [shell.run(line, env=home) for _ in range(2)]

    assert [done.returncode for done in looks] == [0, 0]
    found = json.loads((bank.folder / "watch.json").read_text(encoding="utf-8"))
    assert [one["incident"] for one in found["incidents"]] == ["card-payments"]
    (call,) = (bank.folder / "calls.txt").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"CALL communications: card-payments: first word due .*: facebook", call)
    assert (bank.folder / "watch.log").read_text(encoding="utf-8") == ""
    assert "%" not in line
