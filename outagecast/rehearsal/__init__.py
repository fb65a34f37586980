"""Stand-ins of the providers that ship with outagecast, over real sockets on this machine, for tests and drills."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from outagecast.rehearsal.facebook import FacebookPost, FacebookStandIn
from outagecast.rehearsal.oauth import Secrets
from outagecast.rehearsal.server import Fault, Files, Reply, Request, StandIn
from outagecast.rehearsal.smtp import Mail, MailFault, SmtpStandIn
from outagecast.rehearsal.twilio import TwilioMessage, TwilioStandIn
from outagecast.rehearsal.x import XPost, XStandIn

__all__ = [
    "FacebookPost",
    "FacebookStandIn",
    "Fault",
    "Files",
    "Mail",
    "MailFault",
    "Providers",
    "Reply",
    "Request",
    "Secrets",
    "SmtpStandIn",
    "StandIn",
    "TwilioMessage",
    "TwilioStandIn",
    "XPost",
    "XStandIn",
]

BANNER = "banner.html"


class Providers:
    """All of them together, with credentials made up anew each time, so that a live one can never fit."""

    def __init__(self) -> None:
        user_id = str(10**9 + secrets.randbelow(9 * 10**9))
        login = Secrets(_made_up(), _made_up(), f"{user_id}-{_made_up()}", _made_up())
        page_token, app_secret, auth_token, password = (_made_up() for _ in range(4))
        self.x = XStandIn(login)
        self.facebook = FacebookStandIn(page_token=page_token, app_secret=app_secret)
        self.twilio = TwilioStandIn(f"AC{secrets.token_hex(16)}", auth_token=auth_token)
        self.smtp = SmtpStandIn(login=("rehearsal", password))
        self.website = Files()
        # Names of their own: those of the live credentials may be set in the same shell.
        self.environment = {
            "REHEARSAL_X_API_KEY": login.api_key,
            "REHEARSAL_X_API_SECRET": login.api_secret,
            "REHEARSAL_X_ACCESS_TOKEN": login.access_token,
            "REHEARSAL_X_ACCESS_TOKEN_SECRET": login.access_token_secret,
            "REHEARSAL_FACEBOOK_PAGE_TOKEN": page_token,
            "REHEARSAL_FACEBOOK_APP_SECRET": app_secret,
            "REHEARSAL_TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "REHEARSAL_TWILIO_AUTH_TOKEN": auth_token,
            "REHEARSAL_SMTP_PASSWORD": password,
        }
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # one that cannot open leaves none open
            for provider in (self.x, self.facebook, self.twilio, self.smtp, self.website):
                stack.enter_context(provider)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def config(self, folder: Path, *, audience: str = "customers") -> dict[str, Any]:
        """The ``channels:`` of a config that points here, the banner in ``folder``; set ``environment`` beside it."""
        banner = folder / BANNER
        self.website.files[BANNER] = banner
        return {
            "x": {
                "kind": "x",
                "api_key": "env:REHEARSAL_X_API_KEY",
                "api_secret": "env:REHEARSAL_X_API_SECRET",
                "access_token": "env:REHEARSAL_X_ACCESS_TOKEN",
                "access_token_secret": "env:REHEARSAL_X_ACCESS_TOKEN_SECRET",
                "api_url": self.x.url,
            },
            "facebook": {
                "kind": "facebook",
                "page_id": self.facebook.page_id,
                "page_token": "env:REHEARSAL_FACEBOOK_PAGE_TOKEN",
                "app_secret": "env:REHEARSAL_FACEBOOK_APP_SECRET",
                "api_url": self.facebook.url,
            },
            "sms": {
                "kind": "twilio_sms",
                "account_sid": "env:REHEARSAL_TWILIO_ACCOUNT_SID",
                "auth_token": "env:REHEARSAL_TWILIO_AUTH_TOKEN",
                "messaging_service_sid": f"MG{'0' * 32}",
                "audience": audience,
                "api_url": self.twilio.url,
            },
            "email": {
                "kind": "smtp",
                "host": self.smtp.host,
                "port": self.smtp.port,
                "tls": "none",
                "username": "rehearsal",
                "password": "env:REHEARSAL_SMTP_PASSWORD",
                "from": "Example Bank <status@example.com>",
                "audience": audience,
            },
            "banner": {"kind": "banner", "path": str(banner), "public_url": f"{self.website.url}/{BANNER}"},
        }


def _made_up() -> str:
    return secrets.token_urlsafe(24)
