"""What a reply says of an answer, streamed or whole."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

from kimi_demo.api.chat_request import Wanted
from kimi_demo.api.history import AnswerStore, KeptAnswer, new_id
from kimi_demo.audio import OUTPUT_SAMPLE_RATE, Audio
from kimi_demo.encoding import encoded
from kimi_demo.events import Answer, Finished
from kimi_demo.messages import SpokenPart
from kimi_demo.wire.chat import (
    ChatCompletion,
    ChatRequest,
    ChatUsage,
    CompletionTokenDetails,
    PromptTokenDetails,
    ReplyAudio,
    ReplyChoice,
    ReplyMessage,
)


@dataclass(frozen=True)
class ChatReply:
    """To one request. owner: of its spoken answer, by the name of a key."""

    chat: ChatRequest
    wanted: Wanted
    answers: AnswerStore
    owner: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(16)}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def speaks(self) -> bool:
        return self.wanted.speaks

    def finish_reason(self, finished: Finished) -> Literal["stop", "length"]:
        """OpenAI knows no loop; such an answer is one that had to be ended."""
        return "stop" if finished.reason == "stop" else "length"

    def kept(self, finished: Finished, text: str, id_: str) -> KeptAnswer:
        part = SpokenPart(finished.audio_codes, text, finished.audio_id)
        return self.answers.keep(part, self.owner, id_)

    def completion(self, answer: Answer) -> ChatCompletion:
        """The whole answer; a spoken one is encoded and kept."""
        audio = self._audio(answer) if self.speaks else None
        content = None if audio else answer.text
        message = ReplyMessage(content=content, audio=audio, heard=answer.heard or None)
        reason = self.finish_reason(answer.finished)
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.chat.model,
            choices=[ReplyChoice(message=message, finish_reason=reason)],
            usage=usage_of(answer.finished),
            choice_probabilities=list(answer.probabilities) or None,
        )

    def _audio(self, answer: Answer) -> ReplyAudio:
        assert self.chat.audio is not None
        sound = Audio(answer.waveform, answer.sample_rate or OUTPUT_SAMPLE_RATE)
        form = self.chat.audio.format
        data = encoded(sound, "pcm" if form == "pcm16" else form)
        kept = self.kept(answer.finished, answer.text, new_id())
        return ReplyAudio(
            id=kept.id,
            data=base64.b64encode(data).decode(),
            expires_at=kept.expires_at,
            transcript=answer.text,
        )


def usage_of(finished: Finished) -> ChatUsage:
    """Tokens of a request and its answer. A position of the prompt counts as audio where it holds a
    code, heard or said before, and as text elsewhere.
    """
    made = finished.text_tokens + finished.audio_tokens
    heard = min(finished.heard_tokens, finished.prompt_tokens)
    return ChatUsage(
        prompt_tokens=finished.prompt_tokens,
        completion_tokens=made,
        total_tokens=finished.prompt_tokens + made,
        prompt_tokens_details=PromptTokenDetails(
            audio_tokens=heard, text_tokens=finished.prompt_tokens - heard, cached_tokens=0
        ),
        completion_tokens_details=CompletionTokenDetails(
            audio_tokens=finished.audio_tokens,
            text_tokens=finished.text_tokens,
            reasoning_tokens=0,
        ),
    )
