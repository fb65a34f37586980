"""Which languages an announcement is in, and whether its message is written in all of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields, replace

from outagecast.config import ChannelConfig, Config
from outagecast.document import Place, foremost, nearest
from outagecast.errors import PlanError, Problem, UsageError
from outagecast.language import name
from outagecast.message import UNKNOWN, Message, Translation
from outagecast.model import Variant
from outagecast.text import clean

_FACTS = tuple(item.name for item in fields(Translation) if item.name not in {"components", "workaround"})


def leave_out(config: Config, left_out: Collection[str]) -> Config:
    """``config`` with no channel that carries one of these languages; what is left with none carries the first.

    Raises UsageError for a language that is not promised, and for the first, in which messages are written.
    """
    first, *others = config.organisation.languages
    for language in left_out:
        if language == first:
            hint = "leave out --without, or change the order of organisation.languages"
            raise UsageError(Problem(f"messages are written in {name(first)}, so it cannot be left out", hint))
        if language not in others:
            hint = nearest(language, others) or "the organisation promises no other"
            raise UsageError(Problem(f'the language "{clean(language, most=60)}" is not promised', hint))
    channels = {key: _without(channel, left_out, first) for key, channel in config.channels.items()}
    return replace(config, channels=channels) if left_out else config


def _without(channel: ChannelConfig, left_out: Collection[str], first: str) -> ChannelConfig:
    kept = tuple(language for language in channel.options.languages or () if language not in left_out)
    return replace(channel, options=replace(channel.options, languages=kept or (first,)))


def require(message: Message, source: str, channels: Iterable[ChannelConfig]) -> None:
    """Every language that these channels carry must say what the message says, which is in ``source``.

    Raises PlanError with every text that is missing, or that says more than the message.
    """
    carried = dict.fromkeys(language for channel in channels for language in channel.options.languages or ())
    problems = [problem for language in carried if language != source for problem in _differences(message, language)]
    if source in message.translations:
        text = f"translations.{source}: the message itself is in {name(source)}"
        problems.append(message.problem(("translations", source), text, "take it out", key=True))
    if problems:
        raise PlanError(*foremost(problems))


def _differences(message: Message, language: str) -> Iterator[Problem]:
    """Where a translation says less than the message, or more."""
    its, place = message.translations.get(language, Translation()), f"translations.{language}"
    for fact in _FACTS:
        said, translated = getattr(message, fact), getattr(its, fact)
        if said and said != UNKNOWN and not translated:
            yield _missing(message, language, (fact,))
        elif translated and not said:
            hint = f"say it in {fact} too, or take it out here"
            yield message.problem(("translations", language, fact), f"{place}.{fact}: the message has no {fact}", hint)
        elif translated and translated != said and UNKNOWN in {said, translated}:
            text, hint = f"{place}.{fact}: {fact} is {UNKNOWN}", "take it out: each language has its own words for that"
            if translated == UNKNOWN:
                text, hint = f"{place}.{fact} is {UNKNOWN}, and {fact} is not", f"say it in {name(language)}"
            yield message.problem(("translations", language, fact), text, hint)
    called = list(its.components.values())
    for component in message.components:
        if component not in its.components:
            yield _missing(message, language, ("components", component))
        elif called.count(its.components[component]) > 1:
            text = f"{place}.components.{component}: another component is called so too"
            yield message.problem(("translations", language, "components", component), text, "give each its own name")
    count, translated = len(message.workaround), len(its.workaround)
    if count and not translated:
        yield _missing(message, language, ("workaround",))
    elif count != translated:
        text = f"{place}.workaround: {translated} where the message has {count}"
        yield message.problem(("translations", language, "workaround"), text, "one for each of them, in the same order")


def _missing(message: Message, language: str, fact: Place) -> Problem:
    """What is to be written where: in the file, or on the command line where the fact itself was given there."""
    place = ".".join(("translations", language, *map(str, fact)))
    problem = message.problem(fact, f"{place} is missing", key=True)
    write = f"say it in {name(language)}" if problem.line else f'give it: --set "{place}=…"'
    return problem._replace(hint=f"{write}; or leave {name(language)} out on purpose: --without {language}")


def require_unsaid(frozen: Iterable[Variant], left_out: Collection[str]) -> None:
    """Raises PlanError where a language is left out of an update that is open in it: its words are on their way."""
    for language in dict.fromkeys(left_out):
        if channels := [words.channel for words in frozen if words.language == language]:
            text = f"this update was opened in {name(language)} on {', '.join(channels)}, so it cannot be left out"
            hint = f"finish it without --without {language}; or change what the message says, as the next update"
            raise PlanError(Problem(text, hint))


def remarks(message: Message, config: Config, channels: Collection[str], left_out: Sequence[str]) -> Iterator[str]:
    """What to know of an announcement's languages. ``config`` is still with ``left_out``; ``channels``, by name."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for language in dict.fromkeys(left_out):
        its = tuple(one.name for one in config.usable.values() if one.name in channels and language in _carried(one))
        alike.setdefault(its, []).append(name(language))
    for its, languages in alike.items():
        yield _left_out(languages, [config.usable[channel] for channel in its], config, left_out)
    known = {language for one in config.usable.values() for language in _carried(one)}
    for language in message.translations:
        if language not in known:
            yield f"translations.{language}: no channel carries that language"
    for one in config.usable.values():
        for language in message.variants.get(one.name, {}):
            if language not in _carried(one):
                yield f"variants.{one.name}.{language}: {one.name} does not carry that language"


def _left_out(
    languages: Sequence[str], channels: Sequence[ChannelConfig], config: Config, left_out: Sequence[str]
) -> str:
    """What becomes of some languages, by name, that the same ``channels`` carry."""
    first = name(config.organisation.languages[0])
    be, them, their = ("is", "it", "its") if len(languages) == 1 else ("are", "them", "their")
    public = [one for one in channels if not one.is_bulk]
    silent = [one.name for one in public if {*_carried(one)} - {*left_out}]
    instead = [one.name for one in public if one.name not in silent]
    bulk = [one.name for one in channels if one.is_bulk]
    effects = [f"nothing is said in {them} on {', '.join(silent)}"] if silent else []
    effects += [f"{', '.join(instead)}: in {first} instead"] if instead else []
    effects += [f"{their} readers on {', '.join(bulk)} get {first}"] if bulk else []
    effects = effects or [f"none of these channels carries {them}"]
    return f"{', '.join(languages)} {be} left out: {'; '.join(effects)}"


def _carried(channel: ChannelConfig) -> tuple[str, ...]:
    return channel.options.languages or ()
