"""The page's words, one module for each part of it; keys are the same in both languages."""

from kimi_demo.ui.words import (
    about,
    caption,
    conversation,
    page,
    speech,
    talk,
    transcribe,
    understand,
)

_PARTS = (page, speech, conversation, talk, transcribe, caption, understand, about)

EN: dict[str, str] = {key: text for part in _PARTS for key, text in part.EN.items()}
ZH: dict[str, str] = {key: text for part in _PARTS for key, text in part.ZH.items()}
