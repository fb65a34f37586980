"""What only the organisation's own people may read, and the proof that no public text repeats it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from outagecast.channel import Briefs, Channel
from outagecast.facts import Said, strings
from outagecast.message import Briefing, Message
from outagecast.text import folded

_FEWEST = 3  # words: fewer stand in a public text by chance


def facts(adapter: type[Channel], message: Message, earlier: Sequence[Said]) -> dict[str, Briefing]:
    """What a kind's templates may name beyond the public facts: nothing, unless only the organisation's people read it.

    ``earlier`` are the statements that ``message`` outdates, and with them what was to be said and answered then.
    """
    if not issubclass(adapter, Briefs):
        return {}
    briefing = message.briefing or Briefing()
    if any(not is_changed(message, said.written) for said in earlier):
        briefing = replace(briefing, say=(), faq=())
    return {"briefing": briefing}


def is_changed(message: Message, written: Mapping[str, Any]) -> bool:
    """Whether its briefing is another than that of a message as ``written``."""
    return bool(json.loads(message.as_written()).get("briefing") != written.get("briefing"))


def repeated(text: str, message: Message) -> Iterator[tuple[str, str]]:
    """What a public text, written by hand, says of the briefing alone: the fact's name, and its words.

    What is to be said to customers may stand in it, and so may what the message's public facts say too.
    """
    facts = {name: fact for name, fact in json.loads(message.canonical).items() if name != "variants"}
    hay, public = folded(text).casefold(), folded("\n".join(strings(facts))).casefold()
    for name, words in _secrets(message.briefing) if message.briefing else ():
        needle = folded(words).casefold().rstrip(".!?")
        if len(needle.split()) >= _FEWEST and needle in hay and needle not in public:
            yield name, words


def _secrets(briefing: Briefing) -> Iterator[tuple[str, str]]:
    yield from (("briefing.do_not_say", words) for words in briefing.do_not_say)
    yield from (("briefing.faq", item.a) for item in briefing.faq)
    if briefing.escalation:
        yield "briefing.escalation", briefing.escalation
