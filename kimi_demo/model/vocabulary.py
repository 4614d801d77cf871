"""Ids with a meaning of their own: control tokens of the two streams, and where audio codes begin.

One id space serves both streams: base text tokens, then special tokens, then, from `token_offset`
on, the semantic codes of speech.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kimi_demo.errors import CheckpointError

BEGIN_OF_TEXT = "[BOS]"
END_OF_TEXT = "[EOS]"

# Attribute of Vocabulary -> published name.
CONTROL_TOKENS: Mapping[str, str] = {
    "msg_end": "<|im_msg_end|>",
    "media_begin": "<|im_media_begin|>",
    "media_end": "<|im_media_end|>",
    "text_blank": "<|im_kimia_text_blank|>",
    "text_eos": "<|im_kimia_text_eos|>",
    "user_start": "<|im_kimia_user_msg_start|>",
    "assistant_start": "<|im_kimia_assistant_msg_start|>",
    "speech_ct": "<|im_kimia_speech_ct_id|>",
    "speech_ctd": "<|im_kimia_speech_ctd_id|>",
}

# Only some checkpoints have these.
ECHO_TOKENS: Mapping[str, str] = {
    "echo_begin": "<|echo_begin|>",
    "echo_end": "<|echo_end|>",
}

# Inherited from the text-only ancestor: named in the release and never written by its prompts.
_UNUSED_TOKENS = {"<|im_user_msg_start|>": 3, "<|im_assistant_msg_start|>": 4, "[EOT]": 9}

# Where the named special tokens lie among the 421 of the release, counted from the first one.
_PUBLISHED_PLACES = {
    BEGIN_OF_TEXT: 0,
    END_OF_TEXT: 1,
    **_UNUSED_TOKENS,
    CONTROL_TOKENS["msg_end"]: 2,
    CONTROL_TOKENS["media_begin"]: 18,
    CONTROL_TOKENS["media_end"]: 20,
    CONTROL_TOKENS["text_blank"]: 23,
    CONTROL_TOKENS["text_eos"]: 24,
    CONTROL_TOKENS["user_start"]: 27,
    CONTROL_TOKENS["assistant_start"]: 28,
    CONTROL_TOKENS["speech_ct"]: 32,
    CONTROL_TOKENS["speech_ctd"]: 33,
}
_PUBLISHED_COUNT = 421


def published_special_tokens() -> tuple[str, ...]:
    """The 421 special tokens of the release in the order of their ids, reserved ones included."""
    names = {place: name for name, place in _PUBLISHED_PLACES.items()}
    unnamed = (place for place in range(_PUBLISHED_COUNT) if place not in names)
    names |= {place: f"<|reserved_token_{n}|>" for n, place in enumerate(unnamed)}
    return tuple(names[place] for place in range(_PUBLISHED_COUNT))


@dataclass(frozen=True)
class Vocabulary:
    """The control ids of one checkpoint.

    user_start, assistant_start, msg_end: begin and end a turn.
    media_begin, media_end: enclose the codes of a sound that the user sent.
    text_blank: fills the stream that is silent. text_eos: ends the answer's text.
    speech_ct, speech_ctd: after a sound, ask for an answer in text, or in text and speech.
    pad: the last text id. token_offset: the id of audio code 0, and the number of text ids.
    echo_begin, echo_end: in the text stream, enclose what the model writes down for itself of a
    sound before it answers; None where it does not.
    """

    user_start: int
    assistant_start: int
    msg_end: int
    media_begin: int
    media_end: int
    text_blank: int
    text_eos: int
    speech_ct: int
    speech_ctd: int
    pad: int
    token_offset: int
    echo_begin: int | None = None
    echo_end: int | None = None

    @classmethod
    def from_names(cls, ids: Mapping[str, int], token_offset: int, pad: int) -> Vocabulary:
        """Picks the control tokens out of a table of special tokens.

        Raises: CheckpointError if a control token is missing or an id is no text id.
        """
        echoes = any(name in ids for name in ECHO_TOKENS.values())
        wanted = {**CONTROL_TOKENS, **ECHO_TOKENS} if echoes else CONTROL_TOKENS
        missing = [name for name in wanted.values() if name not in ids]
        if missing:
            raise CheckpointError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        control = {attribute: ids[name] for attribute, name in wanted.items()}
        beyond = [name for name in wanted.values() if not 0 <= ids[name] < token_offset]
        if beyond or not 0 <= pad < token_offset:
            culprits = ", ".join(beyond) or "pad"
            raise CheckpointError(f"not below the first audio code, {token_offset}: {culprits}")
        return cls(**control, pad=pad, token_offset=token_offset)

    @classmethod
    def from_file(cls, path: Path) -> Vocabulary:
        """Reads JSON with `special_tokens` (name to id), `pad_id` and `kimia_token_offset`.

        Raises: CheckpointError if the file is missing or says something else.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            ids, pad = values["special_tokens"], values["pad_id"]
            offset = values["kimia_token_offset"]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise CheckpointError(f"{path.name} is missing or incomplete: {exc}") from exc
        return cls.from_names(ids, token_offset=offset, pad=pad)

    @classmethod
    def published(cls, base_tokens: int) -> Vocabulary:
        """The layout of the release behind `base_tokens` text tokens (151643 there): 421 special
        tokens, the last of them pad, then the audio codes."""
        ids = {name: base_tokens + place for name, place in _PUBLISHED_PLACES.items()}
        offset = base_tokens + _PUBLISHED_COUNT
        return cls.from_names(ids, token_offset=offset, pad=offset - 1)

    def audio_id(self, code: int) -> int:
        """The id of a semantic code, 0 ..."""
        return code + self.token_offset

    def is_audio(self, token: int) -> bool:
        """Whether an id stands for a semantic code."""
        return token >= self.token_offset

    def audio_code(self, token: int) -> int:
        """The semantic code of an audio id; the inverse of `audio_id`."""
        return token - self.token_offset
