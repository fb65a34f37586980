"""What a phone line says at its entrance: TwiML, plain text for any other phone system, and JSON with an expiry.

https://www.twilio.com/docs/voice/twiml/say. The files are replaced as a whole; any web server can serve them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal
from xml.etree import ElementTree

from outagecast.about import about
from outagecast.channel import Carries, Limit, Semantics
from outagecast.errors import Rejected
from outagecast.measure import whole_seconds
from outagecast.model import Delivery, Published, Receipt
from outagecast.noticeboard import Notice, Noticeboard
from outagecast.public_file import MODE, SEMANTICS, fetch, require_address

LONGEST_SAY = 3000  # characters that every voice takes: https://www.twilio.com/docs/api/errors/13521
CLOSING_FOR = timedelta(hours=24)  # who could not pay calls the next day, too
LANGUAGE = "{language}"

_LOCALE = re.compile(r"[a-z]{2,3}-[A-Z]{2}")
_VOICES = {"en": "en-GB", "ro": "ro-RO", "zh-Hant": "zh-HK", "es": "es-ES", "fr": "fr-FR", "de": "de-DE"}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the files are, in which voices they are read, and where the call goes on."""

    path: Path = about("the TwiML file, such as public/phone.xml; with {language} in it, one for each language")
    public_url: str | None = about("where the phone system fetches it, for reading back", default=None)
    voices: dict[str, str] = about(
        "by language, the accent such as en-AU, or a voice such as Polly.Olivia-Neural", default_factory=dict
    )
    continue_url: str | None = about("the TwiML that the call goes on with; without it, the call ends", default=None)

    def __post_init__(self) -> None:
        require_address(self.public_url, "https://www.example.com/phone.xml")
        require_address(self.continue_url, "https://www.example.com/menu.xml", name="continue_url")
        if self.path.suffix != ".xml":
            raise ValueError("path must end in .xml, such as public/phone.xml: .txt and .json are written beside it")
        if wrong := [voice for voice in self.voices.values() if not re.fullmatch(r"[A-Za-z0-9._-]{2,80}", voice)]:
            raise ValueError(f'"{wrong[0][:40]}" is no voice; write it like en-AU or Polly.Olivia-Neural')


class PhoneScript:
    """Says the newest words on each incident, one after the other, and closing words for a day."""

    kind: ClassVar[str] = "phone_script"
    parts: ClassVar[Mapping[str, Limit]] = {
        "text": Limit(30, "seconds", whole_seconds, Carries.ESSENTIALS, aim=20, spoken=True)
    }
    addresses: ClassVar[Literal["phone", "email"] | None] = None
    escapes: ClassVar[frozenset[str]] = frozenset()
    semantics: ClassVar[Semantics] = SEMANTICS
    imports: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @staticmethod
    def links() -> tuple[str, ...]:
        """On no status: nobody can write down what a voice spells."""
        return ()

    def check(self) -> None:
        """Whether the files are ours and can be replaced, and whether the public address shows one."""
        self._board.check()
        url = self._settings.public_url
        if url and LANGUAGE not in url and fetch(url) is None and self._settings.path.exists():
            hint = "`path` and `public_url` must be the same file: correct one of them"
            raise Rejected(f"{url} is not found, though {self._settings.path} exists", hint=hint, account=True)

    def send(self, delivery: Delivery) -> Receipt:
        """Put the words in the place of the incident's; an empty part takes them off."""
        text = delivery.parts["text"]
        if _NO_XML.search(text) or len(text) > LONGEST_SAY:
            hint = f"take out control characters; at most {LONGEST_SAY} characters"
            raise Rejected("the phone script holds what no voice can say, so it was not published", hint=hint)
        self._board.put(delivery)
        return self._receipt(delivery)

    def find(self, delivery: Delivery) -> Receipt | None:
        """The receipt, if the files say exactly these words."""
        return self._receipt(delivery) if self._board.carries(delivery) else None

    def read_back(self, delivery: Delivery, receipt: Receipt) -> Published | None:  # noqa: ARG002
        """The words as a caller hears them: all that is said, where these are not among it."""
        text, url = delivery.parts["text"], self._url(delivery.language)
        if url is None:
            return Published({"text": text}) if self._board.carries(delivery) else None
        page = fetch(url)
        said = None if page is None else _says(page)
        if said is None or not said:
            return None if text else Published({"text": ""}, url)
        if not text:  # others may still be said
            return Published({"text": ""}, url) if self._board.carries(delivery) else Published({"text": said[0]}, url)
        return Published({"text": text if text in said else " ".join(said)}, url)

    def close(self) -> None:
        """Nothing is kept open."""

    @cached_property
    def _board(self) -> Noticeboard:
        path = self._settings.path
        name = re.sub(r"[._-]?\{language\}", "", path.stem) or "phone"
        return Noticeboard(path.with_name(f"{name}.json"), MODE, CLOSING_FOR, self._files)

    def _files(self, notices: Sequence[Notice], languages: Sequence[str]) -> dict[Path, bytes]:
        """The text and the TwiML of each language's file, or of the one for all."""
        path = self._settings.path
        if LANGUAGE not in path.name:
            shown = {path: list(notices)}
        else:
            named = {language: path.with_name(path.name.replace(LANGUAGE, language)) for language in languages}
            shown = {file: [one for one in notices if one.language == language] for language, file in named.items()}
        files: dict[Path, bytes] = {}
        for file, said in shown.items():
            files[file.with_suffix(".txt")] = "".join(f"{one.parts['text']}\n" for one in said).encode()
            files[file] = self._twiml(said)
        return files

    def _twiml(self, notices: Sequence[Notice]) -> bytes:
        response = ElementTree.Element("Response")
        for number, notice in enumerate(notices):
            if number:
                ElementTree.SubElement(response, "Pause", length="1")
            if notice.valid_until:
                response.append(ElementTree.Comment(f" valid until {notice.valid_until.isoformat('T', 'seconds')} "))
            ElementTree.SubElement(response, "Say", self._voice(notice.language)).text = notice.parts["text"]
        if self._settings.continue_url:
            ElementTree.SubElement(response, "Redirect").text = self._settings.continue_url
        ElementTree.indent(response)
        text = ElementTree.tostring(response, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()

    def _voice(self, language: str) -> dict[str, str]:
        """The attributes that say who reads: a voice of the config's, else an accent."""
        chosen = self._settings.voices.get(language) or _VOICES.get(language) or language
        if _LOCALE.fullmatch(chosen):
            return {"language": chosen}
        return {"voice": chosen} if language in self._settings.voices else {}

    def _url(self, language: str) -> str | None:
        return self._settings.public_url and self._settings.public_url.replace(LANGUAGE, language)

    def _receipt(self, delivery: Delivery) -> Receipt:
        return Receipt(f"{delivery.incident}/{delivery.update}/{delivery.language}", self._url(delivery.language))


def _says(page: str) -> list[str] | None:
    """What a TwiML file says; None for what is none."""
    if "<!DOCTYPE" in page or "<!ENTITY" in page:  # entities could grow without end
        return None
    try:
        response = ElementTree.fromstring(page.encode())  # noqa: S314 - without a document type nothing can be declared
    except ElementTree.ParseError:
        return None
    return [say.text or "" for say in response.iter("Say")]
