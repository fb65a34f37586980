"""The rules that an announcement is advised by: each with its name, and the lesson that it comes from.

A name says what is wanted, so that it reads well in the config: ``require: [apology, no_jargon]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Rule(NamedTuple):
    """One thing that a good announcement does."""

    name: str  # what people write in the config; it never changes its meaning
    lesson: int  # of docs/advice.md, what real outages taught
    wants: str  # in a clause


NO_LOGIN = Rule("no_login", 4, "nobody is asked to log in, to click, or for a PIN: that is how thieves write")
OWN_LINKS = Rule("own_links", 11, "links lead to the organisation's own domains")
ONE_ALPHABET = Rule("one_alphabet", 11, "no word mixes the letters of two alphabets, as a forged one does")
NEXT_UPDATE = Rule("next_update", 12, "the time of the next word is still to come")
WORKAROUND = Rule("workaround", 20, "while it lasts, it says what still works or what to do meanwhile")
APOLOGY = Rule("apology", 17, "an incident is apologised for")
ESTIMATE = Rule("estimate", 19, "once the cause is found it says when it will be over, at a time still to come")
CAUSE = Rule("cause", 20, "a cause that was found is told")
CONSISTENT = Rule("consistent", 20, "no fact contradicts the status or the clock")
NO_FALSE_LABEL = Rule("no_false_label", 20, "an outage is not called maintenance, an upgrade or a display problem")
NO_GUARANTEE = Rule("no_guarantee", 20, "nothing is promised that nobody can know")
NO_BLAME = Rule("no_blame", 17, "no supplier, customer, colleague or higher power is made the guilty one")
NO_VAGUENESS = Rule("no_vagueness", 19, "how many, where and when are said, or that they are not known")
NO_JARGON = Rule("no_jargon", 13, "words that customers use")
NO_HOLLOW_WORDS = Rule("no_hollow_words", 17, "no phrase that says nothing, such as an apology for any inconvenience")
NO_SHOUTING = Rule("no_shouting", 9, "no words in capitals, no two exclamation marks in a row")
SHORT_SENTENCES = Rule("short_sentences", 3, "no sentence has more than 30 words")
THREE_POINTS = Rule("three_points", 3, "no fact makes more than three points")

# The most important first: a screen shows the first lines.
RULES: tuple[Rule, ...] = (
    *(NO_LOGIN, OWN_LINKS, ONE_ALPHABET),
    *(NEXT_UPDATE, WORKAROUND, APOLOGY, ESTIMATE, CAUSE, CONSISTENT),
    *(NO_FALSE_LABEL, NO_GUARANTEE, NO_BLAME, NO_VAGUENESS, NO_JARGON, NO_HOLLOW_WORDS),
    *(NO_SHOUTING, SHORT_SENTENCES, THREE_POINTS),
)
BY_NAME: Mapping[str, Rule] = {rule.name: rule for rule in RULES}
