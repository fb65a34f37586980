"""What one post of a short text cannot hold, as a second one that replies to it. Pure.

The first post is what would be said alone: it has the essentials, and stands in a screenshot without the second. That
one has the sentences of a fuller text that the first leaves out, each of them whole.
"""

from __future__ import annotations

import re

from outagecast.text import folded
from outagecast.wording import closed_up, sentences

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


def rest(full: str, first: str) -> str:
    """What ``full`` says beyond ``first``: its other sentences, in their order; empty where they are links alone."""
    said = {folded(sentence) for sentence in sentences(first)}
    left = [sentence for sentence in sentences(full) if folded(sentence) not in said]
    text = closed_up(" ".join(left))
    return text if _LINK.sub("", text).strip() else ""
