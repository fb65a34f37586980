"""What a bank says in Chinese and in Arabic: facts, and templates of the tests' own, one sentence after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "zh-Hant", "ar")
TRANSLATIONS: Mapping[str, Mapping[str, Any]] = {
    "zh-Hant": {
        "title": "信用卡付款失敗",
        "summary": (
            "我們的扣賬卡及信用卡在商店及網上付款時被拒，自動櫃員機（ATM）及應用程式轉賬服務不受影響，"
            "請留意我們的最新公布。"
        ),
        "apology": "很抱歉，為你帶來不便。",
        "components": {"Card payments": "信用卡付款"},
    },
    "ar": {
        "title": "تعذّر الدفع بالبطاقات",
        "summary": "تُرفض بطاقات الخصم والائتمان لدينا في المتاجر وعلى الإنترنت، ولا تزال أجهزة الصراف الآلي تعمل.",
        "apology": "نعتذر عن ذلك.",
        "components": {"Card payments": "الدفع بالبطاقات"},
    },
}
_PHRASES = {
    "zh-Hant": ("正在調查原因", "暫時未能估計何時修復", "未能使用"),
    "ar": ("نبحث عن السبب", "لا نعرف بعد متى سيُصلح", "لا يعمل"),
}
_SHORT = "{{ summary }} {{ started }} {{ apology.short }} {{ next_update }} {% if url %}{{ url }}{% endif %}"
_LONG = (
    "{{ summary }} {{ say.status_said.investigating[0] }} {{ say.no_estimate }}\n\n"
    "{% for name, state in components %}- {{ name }}: {{ say.component_states[state] }}\n{% endfor %}\n\n"
    f"{_SHORT}\n\n{{{{ phone }}}}"
)
_PARTS = {
    "x.text": _SHORT,
    "facebook.text": _LONG,
    "twilio_sms.text": _SHORT,
    "banner.html": f"<p><strong>{_SHORT}</strong></p>",
    "smtp.subject": "{{ title }}",
    "smtp.text": _LONG,
}


def write_templates(folder: Path) -> None:
    """Templates that say an incident is being looked into, in whatever language the facts have."""
    for language, (looking, no_estimate, down) in _PHRASES.items():
        (folder / language).mkdir(parents=True)
        words = {part: f"{{% block investigating %}}{words}{{% endblock %}}" for part, words in _PARTS.items()}
        words["phrases"] = (
            f'{{% set status_said = {{"investigating": ["{looking}"]}} %}}{{% set no_estimate = "{no_estimate}" %}}'
            f'{{% set component_states = {{"major_outage": "{down}"}} %}}'
        )
        for part, text in words.items():
            (folder / language / f"{part}.j2").write_text(text, encoding="utf-8")
