"""Training examples of the language model: prompt streams and the answer that should follow.

Prompts are written by the very builder that serves requests. In speech the text stream carries the
phone that is being spoken: ordinary text ids that the tokenizer never displays. The audio head, six
steps behind, thus sees what comes next. In transcription the phones that were heard come first,
then the letters, which are easier to find behind sounds that have already been named.
Axes: B examples, T positions, F adaptor input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from kimi_demo.audio import Audio
from kimi_demo.messages import AudioPart, Message, OutputType, TextPart
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptStreams
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.nano import shapes
from kimi_demo.nano.features import FRAMES_PER_POSITION, Entry, FeatureCache
from kimi_demo.nano.phones import PAUSE, PHONES
from kimi_demo.nano.train_text_tokenizer import phone_token
from kimi_demo.tasks import TaskTable

IGNORED = -100  # no loss here
PAUSE_ID = PHONES.index(PAUSE)


@dataclass(frozen=True)
class Example:
    """One prompt and its answer; answers are lists of ids, IGNORED where an id is forced anyway."""

    prompt: PromptStreams
    text_answer: list[int]
    audio_answer: list[int]
    text_targets: list[int]
    audio_targets: list[int]
    heard_targets: list[int] = field(default_factory=list)  # what each heard position should name


class ExampleWriter:
    """Writes utterances of a cache as reading aloud or as transcription."""

    def __init__(self, cache: FeatureCache, tokenizer: TextTokenizer, tasks: TaskTable) -> None:
        self._cache = cache
        self._tokenizer = tokenizer
        self._tasks = tasks
        self.vocabulary = Vocabulary.from_names(
            tokenizer.special_ids, shapes.TEXT_VOCABULARY, shapes.TEXT_VOCABULARY - 1
        )
        self._phone_ids = np.array([tokenizer.special_ids[phone_token(p)] for p in PHONES])

    def reading(self, entry: Entry) -> Example:
        """Text in; phones and speech out."""
        ids = self.vocabulary
        prompt = self._build(self.reading_message(entry.text), "both", entry)
        phones = self._phones(entry)
        codes = [ids.audio_id(int(code)) for code in self._cache.codes[entry.rows(1)]]
        delay = shapes.AUDIO_DELAY
        text = [*phones, ids.text_eos] + [ids.text_blank] * delay
        audio = [ids.text_blank] * delay + [*codes, ids.msg_end]
        text_targets = [*phones, ids.text_eos] + [IGNORED] * delay
        audio_targets = [IGNORED] * delay + [*codes, ids.msg_end]
        return Example(prompt, text, audio, text_targets, audio_targets)

    def transcription(self, entry: Entry, name_heard: bool = False) -> Example:
        """Speech in; phones, then words out. name_heard: name heard positions on the way, too."""
        ids = self.vocabulary
        sound = Audio(np.zeros(1, np.float32), 16_000)  # stands for the entry, see _build
        prompt_text = self._tasks.transcription_prompts["en"]
        message = Message("user", (TextPart(prompt_text), AudioPart(sound)))
        prompt = self._build(message, "text", entry)
        phones = self._phones(entry)
        text = [*self._spoken(phones), *self._spelled(entry.text), ids.text_eos]
        blanks = [ids.text_blank] * len(text)
        named = phones if name_heard else []
        return Example(prompt, text, blanks, text, [IGNORED] * len(text), named)

    def _spelled(self, text: str) -> list[int]:
        """Letter by letter: almost one for each phone, learned sooner than whole pieces."""
        return [token for letter in text for token in self._tokenizer.encode(letter)]

    def _spoken(self, phones: list[int]) -> list[int]:
        """One id a phone, however long it lasts; pauses say nothing."""
        return [phone for phone, _ in groupby(phones) if phone != self._phone_ids[PAUSE_ID]]

    def reading_message(self, text: str) -> Message:
        return Message("user", (TextPart(self._tasks.speech_prompt + text),))

    def _build(self, message: Message, output: OutputType, entry: Entry) -> PromptStreams:
        def listen(_: Audio) -> Heard:
            rows = entry.rows(1)
            features = torch.from_numpy(np.asarray(self._cache.acoustic[rows], np.float32))
            return Heard(self._cache.codes[rows].tolist(), features)

        builder = PromptBuilder(self.vocabulary, self._tokenizer, listen, shapes.AUDIO_DELAY)
        return builder.build([message], output)

    def _phones(self, entry: Entry) -> list[int]:
        """The phone in the middle of each code's 80 ms."""
        frames = self._cache.phones[entry.rows(FRAMES_PER_POSITION)]
        middle = frames[FRAMES_PER_POSITION // 2 :: FRAMES_PER_POSITION]
        return self._phone_ids[middle].tolist()


@dataclass(frozen=True)
class TurnBatch:
    """Padded examples. ids, heard, targets: (B, T); features: (N, F) of all heard positions."""

    text_ids: Tensor
    audio_ids: Tensor
    heard: Tensor
    features: Tensor
    text_targets: Tensor
    audio_targets: Tensor


def collate(examples: Sequence[Example], vocabulary: Vocabulary, device: str) -> TurnBatch:
    """Inputs: prompt and answer without its last step; targets stand one step earlier."""
    lengths = [len(e.prompt) + len(e.text_answer) - 1 for e in examples]
    shape = (len(examples), max(lengths))
    text = np.full(shape, vocabulary.text_blank)
    audio = np.full(shape, vocabulary.text_blank)
    heard = np.zeros(shape, bool)
    text_targets, audio_targets = np.full(shape, IGNORED), np.full(shape, IGNORED)
    for row, (example, length) in enumerate(zip(examples, lengths, strict=True)):
        prompt = example.prompt
        text[row, :length] = prompt.text_ids + example.text_answer[:-1]
        audio[row, :length] = prompt.audio_ids + example.audio_answer[:-1]
        heard[row, : len(prompt)] = prompt.heard
        if example.heard_targets:
            text_targets[row, : len(prompt)][heard[row, : len(prompt)]] = example.heard_targets
        text_targets[row, len(prompt) - 1 : length] = example.text_targets
        audio_targets[row, len(prompt) - 1 : length] = example.audio_targets
    features = [e.prompt.matched_features() for e in examples if e.prompt.features]
    joined = torch.cat(features) if features else torch.zeros(0)
    arrays = (text, audio, heard, text_targets, audio_targets)
    text, audio, heard, text_targets, audio_targets = (
        torch.from_numpy(a).to(device) for a in arrays
    )
    return TurnBatch(text, audio, heard, joined.to(device), text_targets, audio_targets)
