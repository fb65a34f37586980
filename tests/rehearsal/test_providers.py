"""All stand-ins together are a configuration that can be sent to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import requests
import yaml

from outagecast.config import load
from outagecast.errors import ConfigError
from outagecast.rehearsal import Providers


def test_every_channel_of_the_config_points_at_this_machine(tmp_path: Path) -> None:
    with Providers() as providers:
        channels = providers.config(tmp_path)

        assert list(channels) == ["x", "facebook", "sms", "email", "banner"]
        assert [one["kind"] for one in channels.values()] == ["x", "facebook", "twilio_sms", "smtp", "banner"]
        for address in (channels[name]["api_url"] for name in ("x", "facebook", "sms")):
            assert address.startswith("http://127.0.0.1:")
        assert channels["email"]["host"] == "127.0.0.1"


def test_the_banner_is_served_from_its_folder(tmp_path: Path) -> None:
    with Providers() as providers:
        banner = providers.config(tmp_path)["banner"]
        Path(banner["path"]).write_text("<p>Down", encoding="utf-8")

        assert requests.get(banner["public_url"], timeout=2).text == "<p>Down"


def test_every_secret_is_made_up_anew_and_in_no_config(tmp_path: Path) -> None:
    with Providers() as one, Providers() as other:
        config = str(one.config(tmp_path))

        assert not set(one.environment.values()) & set(other.environment.values())
        assert not [value for value in one.environment.values() if value in config]
        assert {f"env:{name}" for name in one.environment} == {
            value
            for channel in one.config(tmp_path).values()
            for value in channel.values()
            if str(value).startswith("env:")
        }


def test_the_config_is_one_that_outagecast_loads(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("name,phone,email,language\n", encoding="utf-8")
    with Providers() as providers:
        config = {
            "organisation": {"name": "Example Bank", "timezone": "Australia/Sydney"},
            "audiences": {"customers": {"file": "customers.csv"}},
            "channels": providers.config(tmp_path),
        }
        path = tmp_path / "outagecast.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

        loaded = load(path)

    assert list(loaded.channels) == ["x", "facebook", "sms", "email", "banner"]


def test_one_that_cannot_open_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = Providers()
    monkeypatch.setitem(sys.modules, "aiosmtpd.controller", None)

    with pytest.raises(ConfigError, match="needs the aiosmtpd package"), providers:
        pass

    with pytest.raises(requests.ConnectionError):
        requests.get(providers.x.url, timeout=1)
