"""Names of others' models and voices: here they mean the one that there is."""

from __future__ import annotations

from kimi_demo.errors import InputError
from kimi_demo.wire.speech import VoiceId

ALIASES = (
    "tts-1",
    "tts-1-hd",
    "gpt-4o-mini-tts",
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-audio-preview",
    "gpt-4o-mini-audio-preview",
    "gpt-audio",
    "gpt-audio-mini",
    "gpt-realtime",
    "gpt-realtime-mini",
    "gpt-realtime-2.1",  # what the stock client for agents asks for unless told otherwise
    "gpt-4o-realtime-preview",
)
VOICE = "kimi"  # the architecture has one speaker
VOICE_ALIASES = (
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
)
VOICES = (VOICE, *VOICE_ALIASES)


def check_voice(voice: str | VoiceId, param: str = "voice") -> None:
    """Raises: InputError for a voice that is not in the table."""
    name = voice if isinstance(voice, str) else voice.id
    if name not in VOICES:
        raise InputError(
            f"there is no voice {name!r}: this model has one, called {VOICE!r}", param=param
        )
