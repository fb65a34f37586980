"""The server's half of OAuth 1.0a with HMAC-SHA1, as https://www.rfc-editor.org/rfc/rfc5849 has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

AGE = 300  # seconds by which the clocks may differ


class Secrets(NamedTuple):
    """What both sides know."""

    api_key: str
    api_secret: str
    access_token: str
    access_token_secret: str


def is_signed(secrets: Secrets | None, header: str, method: str, url: str, query: Mapping[str, str]) -> bool:
    """Whether the Authorization header signs this request; without secrets, whether it holds a signature at all.

    ``url`` has no query. A form in the body would be part of what is signed, JSON is not.
    """
    scheme, _, rest = header.partition(" ")
    given = {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', rest)}
    signature = given.pop("oauth_signature", "")
    if scheme != "OAuth" or not signature:
        return False
    if secrets is None:
        return True
    if (given.get("oauth_consumer_key"), given.get("oauth_token")) != (secrets.api_key, secrets.access_token):
        return False
    timestamp = given.get("oauth_timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > AGE:
        return False
    return hmac.compare_digest(signature, sign(secrets, method, url, {**query, **given}))


def sign(secrets: Secrets, method: str, url: str, parameters: Mapping[str, str]) -> str:
    """The signature over a request's query and ``oauth_`` parameters (section 3.4)."""
    pairs = sorted((_encode(name), _encode(value)) for name, value in parameters.items())
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    base = "&".join(_encode(part) for part in (method.upper(), url, joined))
    key = f"{_encode(secrets.api_secret)}&{_encode(secrets.access_token_secret)}"
    return base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()


def _encode(text: str) -> str:
    return quote(text, safe="~")
