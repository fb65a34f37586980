from __future__ import annotations

import base64
import html
import json
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from outagecast import secret
from outagecast.errors import ConfigError
from outagecast.secret import Secret, redact, remember, withheld


def refusal(given: Secret) -> str:
    with pytest.raises(ConfigError) as caught:
        given.reveal()
    return str(caught.value)


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[bytes, int], Path]:
    def keep(content: bytes, mode: int) -> Path:
        path = tmp_path / "token"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return keep


@pytest.mark.parametrize("written", ["hunter2-canary", "env:", "file:", "vault:hunter2-canary", "", "ENV:X", "env"])
def test_what_is_no_reference_is_refused_and_never_repeated(written: str) -> None:
    with pytest.raises(ValueError, match="must be a reference: env:NAME, file:PATH or keyring:SERVICE/NAME") as caught:
        Secret(written)
    assert "hunter2" not in str(caught.value)


def test_a_keyring_reference_names_a_service_and_a_user() -> None:
    with pytest.raises(ValueError, match="keyring:SERVICE/NAME"):
        Secret("keyring:service")


def test_an_environment_variable_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = Secret("env:OUTAGECAST_TEST_TOKEN")
    monkeypatch.setenv("OUTAGECAST_TEST_TOKEN", "late-canary-77")
    assert reference.reveal() == "late-canary-77"


def test_an_environment_variable_that_is_unset_or_empty_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = Secret("env:OUTAGECAST_TEST_TOKEN")
    monkeypatch.delenv("OUTAGECAST_TEST_TOKEN", raising=False)
    assert (
        refusal(reference)
        == "the environment variable OUTAGECAST_TEST_TOKEN is not set (export OUTAGECAST_TEST_TOKEN=… and run again)"
    )
    monkeypatch.setenv("OUTAGECAST_TEST_TOKEN", "")
    assert "env:OUTAGECAST_TEST_TOKEN is empty" in refusal(reference)


def test_a_file_counts_from_the_folder_it_was_given_and_loses_its_last_newline(
    kept: Callable[[bytes, int], Path],
) -> None:
    path = kept(b"file-canary-88\n", 0o600)
    assert Secret("file:token").relative_to(path.parent).reveal() == "file-canary-88"
    assert Secret(f"file:{path}").relative_to(Path("/elsewhere")).reveal() == "file-canary-88"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_touch_is_refused_with_the_command_that_closes_it(
    kept: Callable[[bytes, int], Path], mode: int
) -> None:
    path = kept(b"open-canary", mode)
    assert f"{path} can be read by others (chmod 600 {path})" == refusal(Secret(f"file:{path}"))


def test_a_file_that_cannot_be_read_says_why(kept: Callable[[bytes, int], Path], tmp_path: Path) -> None:
    assert "No such file or directory" in refusal(Secret(f"file:{tmp_path}/none"))
    empty, latin = "is empty", "it is not UTF-8 text"
    assert empty in refusal(Secret(f"file:{kept(b' ', 0o600)}"))
    path = kept(b"\xff\xfe", 0o600)
    assert latin in refusal(Secret(f"file:{path}"))
    assert "cannot read the secret" in refusal(Secret("file:~nobody-of-this-name/token"))


class _Refused(Exception):
    pass


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """A keyring in the place of the optional package, as that package answers."""
    held: dict[tuple[str, str], str] = {}

    def get_password(service: str, user: str) -> str | None:
        if service == "locked":
            raise _Refused("canary in the backend's words")
        return held.get((service, user))

    module = types.ModuleType("keyring")
    vars(module).update(get_password=get_password, errors=types.SimpleNamespace(KeyringError=_Refused))
    monkeypatch.setitem(sys.modules, "keyring", module)
    return held


def test_a_keyring_is_asked_by_service_and_name(keyring: dict[tuple[str, str], str]) -> None:
    keyring["bank", "x/token"] = "keyring-canary-99"
    assert Secret("keyring:bank/x/token").reveal() == "keyring-canary-99"
    assert refusal(Secret("keyring:bank/other")) == "the keyring has no bank/other (keyring set bank other)"
    assert refusal(Secret("keyring:locked/a")) == "the keyring refused keyring:locked/a: _Refused"


def test_a_missing_keyring_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "pip install 'outagecast[keyring]'" in refusal(Secret("keyring:bank/x"))


def test_a_secret_shows_its_reference_however_it_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTAGECAST_TEST_TOKEN", "shown-canary-55")
    reference = Secret("env:OUTAGECAST_TEST_TOKEN")
    reference.reveal()
    assert "env:OUTAGECAST_TEST_TOKEN" == str(reference) == f"{reference}"
    assert repr(reference) == "Secret('env:OUTAGECAST_TEST_TOKEN')"
    assert b"shown-canary-55" not in pickle.dumps(reference)
    assert reference == pickle.loads(pickle.dumps(reference))  # noqa: S301 - our own bytes
    assert reference == Secret("env:OUTAGECAST_TEST_TOKEN") != Secret("env:OTHER")
    assert len({reference, Secret("env:OUTAGECAST_TEST_TOKEN")}) == 1


def test_a_revealed_secret_is_hidden_in_every_form_that_travels() -> None:
    value = "a b/c+canary&42"
    remember(value)
    for form in (value, quote(value, safe=""), quote_plus(value), base64.b64encode(value.encode()).decode()):
        assert redact(f"x {form} y") == "x *** y"


def test_the_longest_secret_is_hidden_first_and_the_shortest_are_not_words_to_hide() -> None:
    remember("canary-long")
    remember("canary-long-er")
    remember("the")
    assert redact("canary-long-er and the") == "*** and the"


def test_a_secret_is_hidden_inside_other_text_that_was_encoded() -> None:
    value = "quote'\"<&%+/canary~ two  blanks"
    remember(value)
    for before in ("", "a", "ab"):
        coded = base64.b64encode(f"{before}{value}:rest".encode()).decode()
        assert base64.b64encode(value.encode()).decode()[4:-4] not in redact(f"Basic {coded}")
        assert "***" in redact(f"Basic {coded}")
    for form in (repr(value), repr([value]), json.dumps(value), html.escape(value), quote(quote(value, safe=""))):
        assert "canary" not in redact(f"x {form} y")
    assert redact("two words") == "two words"


def test_a_variable_that_is_no_text_is_an_error_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTAGECAST_TEST_TOKEN", "canary-\udcff-66")
    assert "env:OUTAGECAST_TEST_TOKEN is not UTF-8 text" in refusal(Secret("env:OUTAGECAST_TEST_TOKEN"))


def test_another_program_is_given_the_variables_with_nothing_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTAGECAST_TEST_TOKEN", "child-canary-77")
    Secret("env:OUTAGECAST_TEST_TOKEN")
    assert withheld()["OUTAGECAST_TEST_TOKEN"] == ""
    assert "HOME" not in withheld()


def test_a_signature_is_hidden_while_its_call_lasts_and_does_not_pile_up() -> None:
    remember("first-signature", is_passing=True)
    assert "first-signature" not in redact("it said first-signature")
    for number in range(100):
        remember(f"later-signature-{number}", is_passing=True)
    assert "later-signature-99" not in redact("it said later-signature-99")
    assert len(secret._passing) == 32
