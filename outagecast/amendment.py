"""What the command line puts in the place of a message's own facts, and what of the message that makes untrue."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence

from outagecast.document import Document, Node
from outagecast.errors import MessageError, Problem
from outagecast.text import clean, folded, harmful_characters


def amend(doc: Document, status: str | None, facts: Sequence[str]) -> None:
    """Put what the command line gives into a document. Raises MessageError with every problem at once."""
    before = copy.deepcopy(doc.data)
    problems = [] if status is None else _put(doc, "status", status, "--status")
    for fact in facts:
        name, separator, value = fact.partition("=")
        if separator and name.strip():
            problems += _put(doc, name.strip(), value, f"--set {clean(name.strip(), most=60)}")
        else:
            given = f"--set {clean(fact, most=60)}"
            problems.append(Problem("expected NAME=VALUE", 'such as --set cause="A power cut"', given))
    if problems:
        raise MessageError(*problems)
    _drop_outdated(doc.data, before, {fact.partition("=")[0].strip() for fact in facts})


def _drop_outdated(written: dict[str, Node], before: Mapping[str, Node], given: Collection[str]) -> None:
    """Take out the translations of what the command line changed or took out, but those that are ``given`` anew."""
    translations = written.get("translations")
    for language_, translation in translations.items() if isinstance(translations, dict) else ():
        place = f"translations.{language_}"
        if not isinstance(translation, dict):
            continue
        for fact, translated in list(translation.items()):
            old, new = _texts(before, fact), _texts(written, fact)
            changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
            if fact == "components" and isinstance(translated, dict):  # their names alone are translated
                kept = {
                    name: text for name, text in translated.items() if f"{fact}.{name}" not in old.keys() - new.keys()
                }
                translation[fact] = kept
            elif f"{place}.{fact}" not in given and not all(f"{place}.{name}" in given for name in changed):
                del translation[fact]


def _texts(written: Mapping[str, Node], fact: str) -> dict[str, Node]:
    """What a fact says, each text by its dotted name."""
    value = meant(written[fact]) if fact in written else {}
    if fact == "apology" and isinstance(value, str):
        value = {"short": value, "long": value}
    return {f"{fact}.{name}": text for name, text in value.items()} if isinstance(value, dict) else {fact: value}


def _put(doc: Document, name: str, value: str, option: str) -> list[Problem]:
    """Set one fact by its dotted name, as ``--set contact.phone=…`` gives it; an empty value takes the fact away."""
    if harmful := harmful_characters(name + value):
        return [Problem(f"an invisible character, {harmful[0][1]}", "retype this text by hand", option)]
    if value.lstrip().startswith(("[", "{")):
        return [Problem("takes one sentence as it is, not a list", "write several into the file", option)]
    path, components, rest = name.partition("components.")  # the names of components have dots of their own
    place = (*path.rstrip(".").split("."), "components", rest) if components else tuple(name.split("."))
    if not (steps := tuple(step for step in place if step)):
        return [Problem("names no fact", 'such as --set cause="A power cut"', option)]
    try:
        doc.put(steps, value, option)
    except ValueError as error:
        return [Problem(str(error), "", option)]
    return []


def meant(node: Node) -> Node:
    """The same facts, however they were quoted and folded; an empty list says no more than none."""
    if isinstance(node, str):
        return folded(node)
    if isinstance(node, list):
        return [meant(item) for item in node]
    return {key: meant(value) for key, value in node.items() if value}
