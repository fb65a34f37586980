"""What a language is called, which way it is written, and which other one its readers read best."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache


@cache
def name(code: str) -> str:
    """A language's English name, such as ``Chinese (Traditional)`` for ``zh-Hant``; the code where nobody knows one."""
    if code == "en":  # most previews have no other, and importing Babel takes longer than all the rest of them
        return "English"
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(code, sep="-").english_name or code
    except (UnknownLocaleError, ValueError):
        return code


@cache
def direction(code: str) -> str:
    """``ltr`` or ``rtl``, as HTML's ``dir`` takes it."""
    if code == "en":
        return "ltr"
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(code, sep="-").text_direction
    except (UnknownLocaleError, ValueError):
        return "ltr"


def nearest(code: str, promised: Sequence[str]) -> str | None:
    """The one of ``promised`` that who asks for ``code`` reads best: ``zh-Hant`` for ``zh-HK``; None where none is.

    Of several of the same language the one of the same script, then of the same country, then the first.
    """
    base = code.partition("-")[0].casefold()
    same = [one for one in promised if one.partition("-")[0] == base]
    if len(same) == 1:
        return same[0]
    from babel.core import get_global

    if not same and (newer := get_global("language_aliases").get(base)):  # deu is de, iw is he
        return nearest(newer.replace("_", "-") + code[len(base) :], promised)
    script, country = _script_and_country(code)
    order = {one: _script_and_country(one) for one in same}
    return max(same, key=lambda one: (order[one][0] == script, order[one][1] == country), default=None)


def _script_and_country(code: str) -> tuple[str | None, str | None]:
    """The script that a code names or implies, and the country that it names."""
    from babel.core import get_global, parse_locale

    try:
        base, country, script, *_ = parse_locale(code, sep="-")
    except ValueError:
        return None, None
    likely = get_global("likely_subtags")
    whole = likely.get(f"{base}_{country}") or likely.get(base) or ""
    return script or (whole.split("_")[1] if whole else None), country


def regional(code: str) -> str:
    """``ro-RO`` for ``ro``: with the country where most of its readers live, unless the code is more exact itself."""
    from babel.core import get_global

    likely = get_global("likely_subtags").get(code, "")  # ro_Latn_RO
    return f"{code}-{likely.rpartition('_')[2]}" if likely and "-" not in code else code
