"""A banner on one's own website: a small HTML file that the site includes, replaced as a whole; in JSON beside it.

It holds one section per open incident and language, so that two incidents at once both show; with none it is empty.
Included by https://nginx.org/en/docs/http/ngx_http_ssi_module.html, https://www.w3.org/TR/esi-lang/ or a script.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from outagecast import atomic, fragment, public_file
from outagecast.about import about
from outagecast.channel import Carries, Limit, Semantics
from outagecast.errors import Rejected, Unavailable, Uncertain
from outagecast.fragment import Sections
from outagecast.model import Delivery, Impact, Published, Receipt, Status

LONGEST_PART = 8192  # bytes; our own limit: it comes with every page of the site
EACH = "{language}"  # in the name of a file: one for each language

_LANGUAGE = "[a-z]{2,3}(?:-[A-Za-z]{2,4})*"
_SEVERITY = {  # where the message says no impact
    Status.INVESTIGATING: Impact.MAJOR,
    Status.IDENTIFIED: Impact.MAJOR,
    Status.MONITORING: Impact.MINOR,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the files are, where the public sees them, and for how long it shows what."""

    path: Path = about("the file that your pages include, such as public/banner.html")
    json: Path | None = about("the same for front ends, such as public/banner.json", default=None)
    public_url: str | None = about("where the public sees it, for looking up and reading back", default=None)
    closing: timedelta | None = about("how long it tells that something is over, such as 24h", default=None)
    ahead: timedelta | None = about("how long before planned work it shows, such as 48h", default=None)
    stale_after: timedelta = about(
        "how long after the last time it promised it hides itself", default=timedelta(hours=24)
    )

    def __post_init__(self) -> None:
        public_file.require_address(self.public_url, "https://www.example.com/banner.html")
        if EACH in str(self.path.parent) or self.path.name.count(EACH) > 1 or EACH in str(self.json):
            raise ValueError(f"{EACH} may stand once, in the name of the file that `path` is")
        if self.public_url is not None and (EACH in self.public_url) != (EACH in self.path.name):
            raise ValueError(f"`public_url` and the name of the file in `path` must both hold {EACH}, or neither")
        if self.json == self.path:
            raise ValueError("`json` and `path` must be two files")


def _denied(incident: str, said: str, delivery: Delivery) -> bool:
    """Whether a section still sounds the alarm that ``delivery`` ends, in a language that was left out of the end."""
    return delivery.status.is_closing and incident == delivery.incident and fragment.is_alarm(said)


class Banner:
    """Replaces its own incident's section at each send, and leaves the others alone."""

    kind: ClassVar[str] = "banner"
    parts: ClassVar[Mapping[str, Limit]] = {
        "html": Limit(LONGEST_PART, "bytes", public_file.length, Carries.ESSENTIALS)
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset({"html"})
    semantics: ClassVar[Semantics] = public_file.SEMANTICS
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._folder = settings.path.parent
        self._now = now

    @staticmethod
    def given(settings: Settings, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """How much it takes away, from when and until when it is shown (ISO 8601), and whether it tells of the end."""
        status, window = Status(facts["status"]), facts["window"]
        severity = facts["impact"] or _SEVERITY.get(status, Impact.NONE)
        shown: tuple[datetime | None, datetime | None] = (None, None)
        if status.is_closing:
            severity = Impact.NONE
            shown = (None, _time(facts["now"]) + settings.closing if settings.closing else None)
        elif status is Status.SCHEDULED:
            severity = Impact.MAINTENANCE
            shown = (_time(window.start) - settings.ahead if settings.ahead else None, _time(window.end))
        else:
            severity = Impact.MAINTENANCE if status.is_maintenance else severity
            promised = [facts["next_update"], facts["eta"], window and window.end]
            last = max((_time(moment) for moment in promised if moment), default=None)
            shown = (None, last + settings.stale_after if last else None)
        starts, ends = (time.isoformat(timespec="minutes") if time else None for time in shown)
        return {
            "severity": Impact(severity).value,
            "shown_from": starts,
            "shown_until": ends,
            "closing": settings.closing is not None,
        }

    def check(self) -> None:
        """Whether the files are ours and can be replaced, and whether the public address shows them."""
        with self._judged():
            paths = dict(self._paths())
            if self._folder.exists():
                with self._alone():
                    for path in paths:
                        self._read(path)
                    self._require_twin()
            for folder in self._folders:
                public_file.require_writable(folder if folder.exists() else folder.parent)  # where `send` will make it
        for path, language in paths.items():
            url = self._url(language)
            if url and public_file.fetch(url) is None and path.exists():
                hint = "`path` and `public_url` must be the same file: correct one of them"
                raise Rejected(f"{url} is not found, though {path} exists", hint=hint, account=True)

    def send(self, delivery: Delivery) -> Receipt:
        """Put the part in the place of the incident's section; an empty part takes the incident off."""
        html = delivery.parts["html"]
        if not fragment.can_name(delivery.incident, delivery.language):
            raise Rejected("the incident's slug or the language has characters that cannot stand in the banner")
        if "<!--" in html:
            # It could end our section early, or be a command to the including server: `<!--#exec`, `<!--esi`.
            hint = "take the comment out of the template, or out of `variants`"
            raise Rejected("the banner's text holds an HTML comment, so it was not published", hint=hint)
        with self._judged():
            for folder in self._folders:
                public_file.make_folder(folder)
            with self._alone():
                self._write(self._changed(delivery))
        return self._receipt(delivery)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt, if the files carry exactly what sending would put there."""
        with self._judged():
            if not self._path(delivery.language).exists():
                return None
            is_carried = all(self._text(path) == text for path, text in self._changed(delivery).items())
        return self._receipt(delivery) if is_carried else None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002
        """The incident's section as the public sees it: "" where the page has none, None where there is no page."""
        url = self._url(delivery.language)
        if url is None:
            with self._judged():
                page = self._text(self._path(delivery.language))
        else:
            page = public_file.fetch(url)
        if page is None:
            return None
        html = fragment.sections(page).get((delivery.incident, delivery.language), "")
        if not html and fragment.is_over(delivery.parts["html"], self._now()):
            raise Rejected("the end of its time has passed, and another announcement has taken it off")
        return Published({"html": html}, url)

    def close(self) -> None:
        """Nothing is kept open."""

    @property
    def _folders(self) -> set[Path]:
        return {path.parent for path in (self._settings.path, self._settings.json) if path}

    def _receipt(self, delivery: Delivery) -> Receipt:
        digest = hashlib.sha256(delivery.parts["html"].encode()).hexdigest()
        return Receipt(f"sha256:{digest}", self._url(delivery.language))

    def _url(self, language: str) -> str | None:
        url = self._settings.public_url
        return url and url.replace(EACH, language)

    def _path(self, language: str) -> Path:
        return self._folder / self._settings.path.name.replace(EACH, language)

    def _paths(self) -> Iterator[tuple[Path, str]]:
        """The file, or those that there are, each with its language."""
        before, each, after = self._settings.path.name.partition(EACH)
        if not each:
            yield self._settings.path, ""
            return
        for path in sorted(self._folder.iterdir()) if self._folder.exists() else ():
            found = re.fullmatch(f"{re.escape(before)}({_LANGUAGE}){re.escape(after)}", path.name)
            if found and not path.is_symlink():  # such as another name for the first language's
                yield path, found[1]

    def _changed(self, delivery: Delivery) -> dict[Path, str]:
        """What to write so that the files say what ``delivery`` does; the end of an incident in every language.

        One that has left the config would otherwise stay up for ever, and so would what nobody comes back to.
        """
        html, key = delivery.parts["html"], (delivery.incident, delivery.language)
        own = self._path(delivery.language)
        files = {own: self._read(own)}
        for path, _ in self._paths():
            with suppress(Rejected):  # somebody else's, which is left alone
                files.setdefault(path, self._read(path))
        files[own][key] = html
        texts, shown = {}, Sections()
        for path, its in sorted(files.items()):
            kept = {
                at: said
                for at, said in its.items()
                if (html or at[0] != delivery.incident)
                and (at == key or not fragment.is_over(said, delivery.opened_at))
                and (at == key or not _denied(at[0], said, delivery))
            }
            shown |= kept
            if path == own or kept != its:
                texts[path] = fragment.composed(kept)
        if self._settings.json:
            self._require_twin()
            texts[self._settings.json] = fragment.twin(shown)
        return texts

    def _write(self, texts: Mapping[Path, str]) -> None:
        """Replace each file as a whole. Raises Uncertain where only some of them say the new."""
        written: list[Path] = []
        for path, text in texts.items():
            try:
                with public_file.judged(path, path.parent):
                    atomic.write(path, text.encode(), mode=public_file.MODE)
            except (Rejected, Unavailable) as error:
                if not written:
                    raise
                raise Uncertain(f"{written[0]} shows the new text; {error}") from None
            written.append(path)

    def _text(self, path: Path) -> str | None:
        """What a file holds, "\\0" where it can be none of ours; None where there is none."""
        try:
            content = public_file.read(path)
        except FileNotFoundError:
            return None
        return "\0" if content is None else content.decode("utf-8", "replace")

    def _read(self, path: Path) -> Sections:
        """A file's sections, none where there is no file. Raises Rejected for one that is not ours."""
        text = self._text(path) or ""
        sections = fragment.sections(text)
        _require_ours(path, is_ours=fragment.composed(sections) == text)
        return sections

    def _require_twin(self) -> None:
        if path := self._settings.json:
            _require_ours(path, is_ours=fragment.is_twin(self._text(path) or ""))

    def _alone(self) -> AbstractContextManager[None]:
        return public_file.alone(self._settings.path)

    def _judged(self) -> AbstractContextManager[None]:
        return public_file.judged(self._settings.path, self._folder)


def _time(moment: Any) -> datetime:
    return datetime.fromisoformat(moment.iso)


def _require_ours(path: Path, *, is_ours: bool) -> None:
    if not is_ours:
        hint = "name a file of its own in the config, which the site includes; or empty this one"
        raise Rejected(f"{path} has content that is not ours, so it was left alone", hint=hint, account=True)
