"""The wall of a rehearsal: what the stand-ins hold, once everything is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from outagecast.plan import Plan
from outagecast.rehearsal import Providers
from outagecast.rehearsal.smtp import Mail as TakenMail
from outagecast.wall import NETWORKS, Banner, Feed, Inbox, Mail, Phone, Post, Site, Stamp, Text, View, Wall, length

T = TypeVar("T", Text, Mail)


def of_rehearsal(
    plan: Plan, providers: Providers, banners: Sequence[Banner], *, at: datetime, warnings: Sequence[str] = ()
) -> Wall:
    """What the stand-ins show. ``plan`` is the newest update's, ``banners`` what the website showed, oldest first."""
    author = plan.organisation.name
    x = [
        Post(post.text, length("x", post.text), post.created_at, number, post.in_reply_to is not None)
        for number, post in enumerate(providers.x.posts, 1)
    ]
    facebook = [
        Post(post.text, length("facebook", post.text), post.created_at, number)
        for number, post in enumerate(providers.facebook.posts, 1)
    ]
    view = View(
        feeds=(
            Feed(NETWORKS["x"], author, tuple(x), providers.x.username),
            Feed(NETWORKS["facebook"], author, tuple(facebook)),
        ),
        phones=tuple(_phones(providers)),
        inboxes=tuple(_inboxes(providers)),
        sites=(Site(tuple(reversed(banners))),),
    )
    return replace(Wall.bare(Stamp.REHEARSAL, plan, at), views=(view,), warnings=tuple(warnings))


def _phones(providers: Providers) -> list[Phone]:
    """One phone for all who got the same texts."""
    threads: dict[str, list[Text]] = {}
    for item in providers.twilio.messages:
        threads.setdefault(item.to, []).append(Text(item.text, item.created_at))
    alike: dict[tuple[str, ...], list[list[Text]]] = {}
    for thread in threads.values():
        alike.setdefault(tuple(item.text for item in thread), []).append(thread)
    return [Phone(len(group), tuple(group[0])) for group in _commonest_first(alike.values())]


def _inboxes(providers: Providers) -> list[Inbox]:
    """One inbox for all who got the same mails."""
    inboxes: dict[tuple[str, ...], list[Mail]] = {}
    for item in providers.smtp.mails:
        inboxes.setdefault(item.to, []).insert(0, _mail(item))
    alike: dict[tuple[str, ...], list[list[Mail]]] = {}
    for inbox in inboxes.values():
        alike.setdefault(tuple(f"{item.subject}\n{item.text}" for item in inbox), []).append(inbox)
    return [Inbox(len(group), tuple(group[0])) for group in _commonest_first(alike.values())]


def _commonest_first(groups: Iterable[list[list[T]]]) -> list[list[list[T]]]:
    """What most people got, and where as many got more, that first."""
    return sorted(groups, key=lambda group: (-len(group), -len(group[0])))


def _mail(item: TakenMail) -> Mail:
    body = item.message.get_body(("html",))
    sender = str(item.message["From"])
    return Mail(sender, item.subject, item.text, str(body.get_content()) if body else "", item.received_at)
