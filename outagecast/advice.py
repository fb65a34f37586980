"""What is better said otherwise before customers read it: each rule looks at the message as it is written. Pure.

Advice stops nothing, but where the config's ``promise.require`` names its rule.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import NamedTuple

from outagecast import facts, links, rules, wordlist
from outagecast.config import Config
from outagecast.document import Node, Place
from outagecast.errors import PlanError, Problem
from outagecast.ledger import Past
from outagecast.message import UNKNOWN, Message, Translation
from outagecast.model import Status
from outagecast.rules import Rule
from outagecast.text import clean, folded

MOST_WORDS = 30  # of a sentence; a reader of average skill loses the thread of a longer one
MOST_POINTS = 3
_SPOKEN = frozenset(item.name for item in fields(Translation))
_BEFORE_THE_END = frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.IN_PROGRESS})
_LOUD = re.compile("[!！][!?！？]+|[?？][!！]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_BULLET = re.compile(r"^[^\S\n]*(?:[-*•–·]|\d{1,2}[.)])\s", re.MULTILINE)
_IDEOGRAPH = re.compile("[\u3400-\u9fff]")
_LOOKALIKES = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})


class _Wanted(NamedTuple):
    """A fact that readers of some statuses wait for."""

    rule: Rule
    fact: str
    by: frozenset[Status]
    what: str
    example: str


_WANTED = (
    _Wanted(
        rules.WORKAROUND,
        "workaround",
        frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.SCHEDULED, Status.IN_PROGRESS}),
        "say what still works, or that nothing does",
        "workaround: Cash machines still work.",
    ),
    _Wanted(
        rules.APOLOGY,
        "apology",
        frozenset({Status.INVESTIGATING, Status.IDENTIFIED, Status.MONITORING, Status.RESOLVED, Status.RETRACTED}),
        "say that you are sorry, and for what",
        "apology: We're sorry that you cannot pay.",
    ),
    _Wanted(
        rules.ESTIMATE,
        "eta",
        frozenset({Status.IDENTIFIED}),
        "say when it will be over; until then the texts say that you don't know yet",
        "eta: 2026-11-22T21:30+11:00",
    ),
    _Wanted(rules.CAUSE, "cause", frozenset({Status.IDENTIFIED}), "say what was found", "cause: A power cut."),
)


class Advice(NamedTuple):
    """One thing that is better said otherwise."""

    rule: Rule
    text: str
    place: Place = ()  # where the message says it; empty where it does not say it
    example: str = ""  # what to write, where something is missing

    def said(self) -> str:
        """The advice with its lesson and its rule, which is how the config names it."""
        return f"{self.text} (lesson {self.rule.lesson}) [{self.rule.name}]"

    def problem(self, message: Message, hint: str = "") -> Problem:
        """The same with the place in the file."""
        if not self.place:
            return Problem(self.said(), hint)
        return message.problem(self.place, self.said(), hint)


def give(message: Message, config: Config, past: Past, now: datetime) -> list[Advice]:
    """Everything to advise on ``message``, the most important first."""
    found = [
        *_missing(message),
        *_at_odds(message, past, now),
        *(advice for text in _texts(message, config) for advice in _on_text(text, message, config)),
    ]
    if (address := message.contact.url) and (where := _unlisted(address, config)):
        found.append(Advice(rules.OWN_LINKS, f"contact.url {where}", ("contact", "url")))
    kept = dict.fromkeys(advice for advice in found if advice.rule.name not in config.advice.ignore)
    return sorted(kept, key=lambda advice: rules.RULES.index(advice.rule))


def insist(given: Sequence[Advice], message: Message, config: Config) -> None:
    """Raises PlanError with all of the advice that the config requires to be taken."""
    asks = "promise.require in the config asks for it"
    if problems := [
        advice.problem(message, f'write "{advice.example}"; {asks}' if advice.example else f"change it; {asks}")
        for advice in given
        if advice.rule.name in config.promise.require
    ]:
        raise PlanError(*problems)


# -- facts ---------------------------------------------------------------------------------------------------------


def _missing(message: Message) -> Iterator[Advice]:
    """The facts that readers of this status wait for."""
    for wanted in _WANTED:
        if message.status in wanted.by and not getattr(message, wanted.fact):
            yield Advice(wanted.rule, f"no {wanted.rule.name}: {wanted.what}", (), wanted.example)


def _at_odds(message: Message, past: Past, now: datetime) -> Iterator[Advice]:
    """Facts that the status, the clock or an earlier update contradicts."""
    status = message.status
    if status is Status.IDENTIFIED and message.cause == UNKNOWN:
        text = "the status is identified, yet the cause is unknown: no text says that it was found"
        yield Advice(rules.CAUSE, text, ("cause",))
    if status in {Status.INVESTIGATING, Status.IDENTIFIED} and message.ended_at:
        yield Advice(rules.CONSISTENT, f"ended_at is left unsaid while the status is {status}", ("ended_at",))
    if message.window and not status.is_maintenance and status is not Status.RETRACTED:
        yield Advice(rules.CONSISTENT, f"window is left unsaid: {status} is not planned work", ("window",))
    if status in _BEFORE_THE_END and message.started_at and message.started_at > now:
        text = "started_at is still to come: check its date and offset"
        yield Advice(rules.CONSISTENT, text, ("started_at",))
    if _says_the_old(message, past):
        text = f'the summary still says "{clean(message.summary)}": it is quoted as past; better say what is true now'
        yield Advice(rules.CONSISTENT, text, ("summary",))
    yield from _passed(message, now)


def _passed(message: Message, now: datetime) -> Iterator[Advice]:
    """Times that were promised, and are over."""
    status, spoken = message.status, message.next_update_at
    if isinstance(spoken, datetime) and spoken <= now and not status.is_closing:
        text = "next_update_at has passed: say when you will really speak next"
        yield Advice(rules.NEXT_UPDATE, text, ("next_update_at",))
    if message.eta and message.eta <= now and status in _BEFORE_THE_END:
        yield Advice(rules.ESTIMATE, "eta has passed: give a new one, or take it out", ("eta",))
    if message.window and status is Status.SCHEDULED and message.window.start <= now:
        text = "the window has begun: say in_progress, or when the work will really begin"
        yield Advice(rules.ESTIMATE, text, ("window", "start"))
    if message.window and status is Status.IN_PROGRESS and message.window.end <= now:
        text = "the window is over: say completed, or when the work will really end"
        yield Advice(rules.ESTIMATE, text, ("window", "end"))


def _says_the_old(message: Message, past: Past) -> bool:
    """Whether what was said while it lasted stands as the last word."""
    if not message.status.is_closing or not past.updates or past.updates[-1].status.is_closing:
        return False
    return folded(json.loads(past.updates[-1].written).get("summary", "")) == message.summary


# -- words ---------------------------------------------------------------------------------------------------------


class _Text(NamedTuple):
    """One text that customers read."""

    place: Place
    language: str
    words: str

    @property
    def name(self) -> str:
        """The way to it, such as ``translations.ro.cause``."""
        return ".".join(step for step in self.place if isinstance(step, str))


def _texts(message: Message, config: Config) -> Iterator[_Text]:
    """Every text that customers read, in every language, as it was written."""
    written = json.loads(message.as_written())
    yield from _spoken(written, config.organisation.languages[0], ())
    for language, translation in written.get("translations", {}).items():
        yield from _spoken(translation, language, ("translations", language))
    for channel, languages in message.variants.items():
        escapes = config.channels[channel].adapter.escapes if channel in config.channels else ()
        for language, parts in languages.items():
            for part, text in parts.items():
                shown = facts.visible(text) if part in escapes else text
                yield _Text(("variants", channel, language, part), language, shown)


def _spoken(written: Mapping[str, Node], language: str, around: Place) -> Iterator[_Text]:
    """The texts of the facts in one language, of components their names."""
    for name, node in written.items():
        if name == "components" and isinstance(node, dict) and not around:
            node = {component: component for component in node}  # noqa: PLW2901 - each stands for its state
        if name in _SPOKEN:
            yield from (_Text(place, language, folded(words)) for place, words in _leaves(node, (*around, name)))


def _leaves(node: Node, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(node, str):
        yield place, node
        return
    for step, inner in enumerate(node) if isinstance(node, list) else node.items():
        yield from _leaves(inner, (*place, step))


def _on_text(text: _Text, message: Message, config: Config) -> Iterator[Advice]:
    for rule, what in (*_on_words(text, message, config), *_on_letters(text, config), *_on_length(text)):
        yield Advice(rule, f"{text.name} {what}", text.place)
    if text.place[-1:] == (MOST_POINTS,):  # the first item too many
        yield Advice(rules.THREE_POINTS, f"{text.name} has more than {MOST_POINTS} points: keep the best", text.place)


def _on_words(text: _Text, message: Message, config: Config) -> Iterator[tuple[Rule, str]]:
    """The phrases that customers should not have to read."""
    its = config.advice
    planned = message.status.is_maintenance or message.window is not None
    silent = {*its.ignore, *([rules.NO_FALSE_LABEL.name] if planned else [])}
    phrases = (*wordlist.own(rules.NO_JARGON.name, its.words.get(text.language, {})), *wordlist.shipped(text.language))
    for found in wordlist.find(text.words, [phrase for phrase in phrases if phrase.rule not in silent]):
        if not wordlist.is_among(found.words, its.allow):
            yield rules.BY_NAME[found.rule], f'says "{clean(found.words, most=60)}": {found.instead}'


def _on_letters(text: _Text, config: Config) -> Iterator[tuple[Rule, str]]:
    """What is written so that it alarms or deceives."""
    if loud := "".join(_LOUD.findall(text.words)[:1]) or _shouted(text.words, config.organisation.name):
        yield rules.NO_SHOUTING, f'shouts "{clean(loud, most=60)}": say it quietly'
    if not text.words.isascii():
        for word in re.findall(r"\w+", text.words):
            if odd := _odd_letter(word):
                what = f'U+{ord(odd):04X} in "{clean(word, most=60)}", {unicodedata.name(odd, "?").lower()}'
                yield rules.ONE_ALPHABET, f"holds a letter of another alphabet, {what}: type the word anew"
    if "." in text.words:
        for where in dict.fromkeys(_unlisted(address, config) for address in links.addresses(text.words)):
            if where:
                yield rules.OWN_LINKS, where


def _shouted(words: str, organisation: str) -> str:
    """Words in capitals that are more than abbreviations; empty where there are none."""
    own = organisation.split()
    for loud, run in itertools.groupby(_WORD.findall(words), lambda word: word.isupper() and word not in own):
        said = list(run)
        longest = max(map(len, said))
        if loud and (longest >= 6 or (len(said) >= 3 and longest >= 4)):
            return " ".join(said)
    return ""


def _odd_letter(word: str) -> str:
    """The letter of the alphabet that has least of them in ``word``; empty where all are of one."""
    alphabets: dict[str, str] = {}
    for letter in word:
        name = unicodedata.name(letter, "").partition(" ")[0]
        if name in _LOOKALIKES:
            alphabets[name] = alphabets.get(name, "") + letter
    return min(alphabets.values(), key=len)[0] if len(alphabets) > 1 else ""


def _unlisted(address: str, config: Config) -> str:
    """What is wrong with a link that the config does not know; where it lists domains, any other is refused."""
    organisation = config.organisation
    if organisation.official_domains:
        return ""
    own = links.domain(organisation.status_page) if organisation.status_page else ""
    its = links.domain(address)
    return "" if its == own else f"leads to {clean(its)}: list your own domains in the config, under official_domains"


def _on_length(text: _Text) -> Iterator[tuple[Rule, str]]:
    """What nobody reads to its end."""
    sentences = wordlist.sentences(text.words)
    for sentence in sentences:
        if (count := _count(sentence)) > MOST_WORDS:
            begins = clean(sentence, most=30)
            yield rules.SHORT_SENTENCES, f'has a sentence of {count} words, "{begins}": make two of it'
    by_hand = text.place[0] == "variants"
    points = len(_BULLET.findall(text.words)) if by_hand else len(sentences)
    if points > MOST_POINTS:
        what = "points" if by_hand else "sentences"
        yield rules.THREE_POINTS, f"has {points} {what}: keep the best {MOST_POINTS}"


def _count(sentence: str) -> int:
    """How many words; two Chinese characters count as one."""
    spaced = _IDEOGRAPH.sub(" ", sentence)
    return sum(any(map(str.isalnum, word)) for word in spaced.split()) + len(_IDEOGRAPH.findall(sentence)) // 2
