"""A banner on one's own website: a small HTML file that the site includes, replaced as a whole.

It holds one section per open incident and language, so that two incidents at once both show; with none it is empty.
Included by https://nginx.org/en/docs/http/ngx_http_ssi_module.html, https://www.w3.org/TR/esi-lang/ or a script.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

from outagecast import atomic
from outagecast.channel import Carries, Idempotency, Limit, LookUp, OnDoubt, Semantics
from outagecast.errors import Rejected, Unavailable, Uncertain
from outagecast.model import Delivery, Published, Receipt

LONGEST_PART = 8192  # bytes; our own limit: it comes with every page of the site
LONGEST_FILE = 1 << 20  # bytes; what is longer was not written by us
MODE, FOLDER_MODE = 0o644, 0o755  # the web server is another user

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SECTION = re.compile(
    rf"<!-- outagecast:begin ({_NAME}) ({_NAME}) -->\n(.*?)\n<!-- outagecast:end \1 \2 -->\n", re.DOTALL
)
_HINTS = {  # what only the owner of the machine can mend; any other error may pass
    errno.ENOENT: "mkdir -p {folder}",
    errno.ENOTDIR: "a part of `path` is not a folder: correct it",
    errno.EISDIR: "`path` is a folder: name a file in it",
    errno.ELOOP: "`path` is a symbolic link, which is never written through: set it to the file behind the link",
    errno.EACCES: "let the user who runs outagecast write in {folder}",
    errno.EPERM: "let the user who runs outagecast write in {folder}",
    errno.EROFS: "{folder} is on a read-only disk: choose another `path`",
    errno.ENOSPC: "make room on the disk of {folder}",
    errno.EDQUOT: "make room in the disk quota of the user who runs outagecast",
}

_Sections = dict[tuple[str, str], str]  # (incident, language) -> HTML, in the order in which they were opened


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the file is, and where the public sees it."""

    path: Path
    public_url: str | None = None

    def __post_init__(self) -> None:
        if self.public_url is not None and not re.fullmatch(r"https?://[^/?#@\s]+([/?#]\S*)?", self.public_url):
            raise ValueError("public_url must be a whole address, such as https://www.example.com/banner.html")


class Banner:
    """Replaces its own incident's section at each send, and leaves the others alone."""

    kind: ClassVar[str] = "banner"
    parts: ClassVar[Mapping[str, Limit]] = {
        "html": Limit(LONGEST_PART, "bytes", lambda text: len(text.encode()), Carries.ESSENTIALS)
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset({"html"})
    semantics: ClassVar[Semantics] = Semantics(
        idempotency=Idempotency.NATURAL,
        lookup=LookUp.STRONG,
        on_doubt=OnDoubt.REPLAY,
        settle=timedelta(0),
        source="https://pubs.opengroup.org/onlinepubs/9799919799/functions/rename.html",
    )
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._url = settings.public_url

    def check(self) -> None:
        """Whether the file is ours and can be replaced, and whether the public address shows it."""
        folder = self._path.parent
        with self._judged():
            if folder.exists():
                with self._alone():
                    self._read()
            else:
                folder = folder.parent  # where `send` will make it
            if not os.access(folder, os.F_OK):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if self._url and self._fetch(self._url) is None and self._path.exists():
            hint = "`path` and `public_url` must be the same file: correct one of them"
            raise Rejected(f"{self._url} is not found, though {self._path} exists", hint=hint, account=True)

    def send(self, delivery: Delivery) -> Receipt:
        """Put the part in the place of the incident's section; an empty part takes the incident off."""
        html = delivery.parts["html"]
        if not re.fullmatch(f"{_NAME} {_NAME}", f"{delivery.incident} {delivery.language}"):
            raise Rejected("the incident's slug or the language has characters that cannot stand in the banner")
        if "<!--" in html:
            # It could end our section early, or be a command to the including server: `<!--#exec`, `<!--esi`.
            hint = "take the comment out of the template, or out of `variants`"
            raise Rejected("the banner's text holds an HTML comment, so it was not published", hint=hint)
        with self._judged(), self._made_folder(), self._alone():
            sections = self._read()
            sections[delivery.incident, delivery.language] = html
            if not html:
                # In every language: one that has left the config would otherwise stay up for ever.
                sections = {key: text for key, text in sections.items() if key[0] != delivery.incident}
            atomic.write(self._path, _compose(sections).encode(), mode=MODE)
        return self._receipt(html)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt, if the file carries exactly this section; for an empty part, if it carries none."""
        html = delivery.parts["html"]
        return self._receipt(html) if self._carried(delivery) == html else None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002
        """The incident's section as the public sees it: "" where the page has none, None where there is no page."""
        if self._url is None:
            html = self._carried(delivery)
        else:
            page = self._fetch(self._url)
            html = None if page is None else _sections(page).get((delivery.incident, delivery.language), "")
        return None if html is None else Published({"html": html}, self._url)

    def close(self) -> None:
        """Nothing is kept open."""

    def _receipt(self, html: str) -> Receipt:
        return Receipt(f"sha256:{hashlib.sha256(html.encode()).hexdigest()}", self._url)

    def _carried(self, delivery: Delivery) -> str | None:
        with self._judged():
            sections = self._read()
            return sections.get((delivery.incident, delivery.language), "") if self._path.exists() else None

    def _read(self) -> _Sections:
        """The file's sections, none where there is no file. Raises Rejected for a file that is not ours."""
        # Not blocking: a pipe put in its place would hang us.
        flags = os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            with open(self._path, "rb", opener=lambda path, own: os.open(path, own | flags)) as file:
                ours = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
                text = file.read(LONGEST_FILE + 1).decode("utf-8", "replace") if ours else ""
        except FileNotFoundError:
            return {}
        sections = _sections(text)
        if not ours or _compose(sections) != text:
            hint = "set `path` to a file of its own, which the site includes; or empty this one"
            raise Rejected(f"{self._path} has content that is not ours, so it was left alone", hint=hint, account=True)
        return sections

    @contextmanager
    def _made_folder(self) -> Iterator[None]:
        """The last folder of the path, made where it is missing; not those above, which a slip of the pen may name."""
        folder = self._path.parent
        try:
            folder.mkdir()
            folder.chmod(FOLDER_MODE)
        except FileExistsError:
            pass
        yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process or thread reads, changes and writes a banner in the same folder."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with suppress(OSError):  # some network disks have no locks
                try:
                    fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise Unavailable(f"another outagecast is just writing {self._path}", retry_after=1.0) from None
            yield
        finally:
            os.close(folder)

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """What the operating system's no means: until the very replacement, the old file stands."""
        try:
            yield
        except atomic.NotSynced as error:
            raise Uncertain(
                f"{self._path} shows the new text, but the disk did not confirm it: {error.strerror}"
            ) from None
        except OSError as error:
            code = error.errno or 0
            words = f"cannot replace {self._path}: {error.strerror}; it was left as it is"
            if code not in _HINTS:
                raise Unavailable(words, code=errno.errorcode.get(code, "")) from None
            hint = _HINTS[code].format(folder=self._path.parent)
            raise Rejected(words, code=errno.errorcode[code], hint=hint, account=True) from None

    def _fetch(self, url: str) -> str | None:
        """The page as the public gets it, past all caches; None where there is none."""
        from outagecast import transport

        parts = urlsplit(url)
        query = "&".join(filter(None, (parts.query, f"outagecast={os.urandom(4).hex()}")))
        with transport.Session() as session:
            answer = session.get(urlunsplit(parts._replace(query=query)), headers={"Cache-Control": "no-cache"})
        if answer.status_code in {404, 410}:
            return None
        if answer.status_code != 200:
            moved = "set `public_url` to the address it redirects to"
            hint = moved if answer.is_redirect else "look at the web server"
            raise Unavailable(f"{url} answered HTTP {answer.status_code}", code=f"HTTP {answer.status_code}", hint=hint)
        return answer.content.decode("utf-8", "replace")  # without a charset `requests` would take it for Latin-1


def _sections(page: str) -> _Sections:
    return {(incident, language): html for incident, language, html in _SECTION.findall(page)}


def _compose(sections: _Sections) -> str:
    return "".join(
        f"<!-- outagecast:begin {incident} {language} -->\n{html}\n<!-- outagecast:end {incident} {language} -->\n"
        for (incident, language), html in sections.items()
    )
