"""Words as a checkpoint reads them: spelled out, within its limits, in the prompts of its table."""

from __future__ import annotations

from collections.abc import Mapping

from kimi_demo.errors import InputError
from kimi_demo.messages import TextPart
from kimi_demo.tasks import ANY_LANGUAGE, SpeechPrompt, TaskTable
from kimi_demo.text import NORMALIZERS


def readable(tasks: TaskTable, text: str) -> str:
    """The text as this checkpoint reads it.

    Raises: InputError if it is empty, too long or has no word that the model could know.
    """
    if not text.strip():
        raise InputError("there is nothing to say yet: type a sentence first")
    if len(text) > tasks.max_text_chars:
        raise InputError(
            f"the text has {len(text)} characters and at most {tasks.max_text_chars} can be "
            "spoken at once: shorten it or send it in parts"
        )
    spoken = said(tasks, text)
    if not any(character.isalnum() for character in spoken):
        raise InputError(
            "nothing in this text can be spoken: use letters or numbers of a language that the "
            "model knows"
        )
    return spoken


def said(tasks: TaskTable, text: str) -> str:
    """The words that will be said for a text. Raises: InputError for letters of other scripts."""
    return NORMALIZERS[tasks.text_normalizer](text)


def aloud(tasks: TaskTable, spoken: str, prompt: str = "") -> TextPart:
    """Readable text as the model is asked to read it. Raises: InputError for an unknown prompt."""
    if prompt and prompt not in tasks.speech_prompts:
        raise unknown("way to ask for speech", prompt, tasks.speech_prompts)
    own_words = SpeechPrompt(tasks.speech_prompt)
    return tasks.speech_prompts.get(prompt or tasks.speech_prompt, own_words).around(spoken)


def in_language(prompts: Mapping[str, str], language: str) -> str:
    """The prompt of a language, or the one that serves any."""
    return prompts.get(language) or prompts[ANY_LANGUAGE]


def unknown(what: str, name: str, known: Mapping[str, object]) -> InputError:
    if not known:
        return InputError(f"there is no {what} {name!r}: this model knows only its own")
    return InputError(f"there is no {what} {name!r}: choose one of {', '.join(known)}")
