"""Training examples of the language model: prompt streams and the answer that should follow.

Prompts are written by the very builder that serves requests. The text stream also carries phones:
ordinary text ids that the tokenizer never displays. They have three uses:

    speech         the phone that is being spoken, one a step; the audio head, six steps behind,
                   thus sees what comes next
    transcription  word by word, first the phones that were heard, then the letters, which are easy
                   to find behind sounds that have just been named
    conversation   the phones of the question first, typed or heard, so that one circuit answers
                   both; then the answer in writing, then in speech

Axes: B examples, T positions, F adaptor input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kimi_demo.audio import Audio
from kimi_demo.messages import (
    AudioPart,
    Message,
    OutputType,
    SpokenPart,
    TextPart,
)
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptStreams
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import TaskTable
from training import shapes
from training.features import FRAMES_PER_POSITION, Entry, FeatureCache
from training.phones import PHONES
from training.pronunciation import Pronouncer, Spelled
from training.train_text_tokenizer import phone_token

IGNORED = -100  # no loss here


@dataclass(frozen=True)
class Example:
    """One prompt and its answer; answers are lists of ids, IGNORED where an id is forced anyway."""

    prompt: PromptStreams
    text_answer: list[int]
    audio_answer: list[int]
    text_targets: list[int]
    audio_targets: list[int]
    heard_targets: list[int] = field(default_factory=list)  # what each heard position should name


@dataclass(frozen=True)
class SpokenTurn:
    """One exchange of a dialogue. heard: the recorded question, None if it is typed."""

    question: str
    heard: Entry | None
    answer: Entry


class ExampleWriter:
    """Writes utterances of a cache as examples of every task."""

    def __init__(
        self,
        cache: FeatureCache,
        tokenizer: TextTokenizer,
        tasks: TaskTable,
        pronouncer: Pronouncer | None = None,
    ) -> None:
        self._cache = cache
        self._tokenizer = tokenizer
        self._tasks = tasks
        self._pronouncer = pronouncer or Pronouncer()
        self.vocabulary = Vocabulary.from_names(
            tokenizer.special_ids, shapes.TEXT_VOCABULARY, shapes.TEXT_VOCABULARY - 1
        )
        self._phone_ids = {name: tokenizer.special_ids[phone_token(name)] for name in PHONES}
        self._ids_by_place = np.array([self._phone_ids[name] for name in PHONES])

    def reading(self, entry: Entry) -> Example:
        """Text in; phones and speech out."""
        message = Message("user", (TextPart(self._tasks.speech_prompt + entry.text),))
        return self._spoken(self._build([message], "both", {}), [], entry)

    def chat(self, turns: Sequence[SpokenTurn]) -> Example:
        """A dialogue up to its last question; its answer in writing, then in speech."""
        *earlier, last = turns
        sounds: dict[Audio, Entry] = {}
        messages = []
        for turn in earlier:
            spoken = SpokenPart(self._codes(turn.answer), turn.answer.text)
            messages += [self._asked(turn, sounds), Message("assistant", (spoken,))]
        prompt = self._build([*messages, self._asked(last, sounds)], "both", sounds)
        named = [self._phone_ids[p] for p in self._pronouncer.phones(last.question)]
        return self._spoken(
            prompt, [*named, *self._tokenizer.encode(last.answer.text)], last.answer
        )

    def typed(self, question: str) -> PromptStreams:
        """The prompt of a question that is typed first in a conversation."""
        return self._build([Message("user", (TextPart(question),))], "both", {})

    def transcription(self, entry: Entry, name_heard: bool = False) -> Example:
        """Speech in; phones and letters out. name_heard: name heard positions on the way, too."""
        text = [token for word in self._pronouncer(entry.text) for token in self._written(word)]
        example = self.about(entry, self._tasks.transcription_prompts[""], text)
        named = self._phones(entry) if name_heard else []
        return Example(**{**example.__dict__, "heard_targets": named})

    def task(self, entry: Entry, task: tuple[str, str, str]) -> Example:
        """A labelled sound in; an answer of a few words out."""
        name, question, answer = task
        if name == "caption":
            question = self._tasks.caption_prompts[""]
        elif name != "ask":
            question = self._tasks.choices["sound" if name == "event" else name].question
            answer = f"{answer}."
        return self.about(entry, question, self._tokenizer.encode(answer))

    def about(self, entry: Entry, question: str, text: list[int]) -> Example:
        """A sound and words about it in; text out."""
        sound = _placeholder()
        message = Message("user", (TextPart(question), AudioPart(sound)))
        prompt = self._build([message], "text", {sound: entry})
        text = [*text, self.vocabulary.text_eos]
        blanks = [self.vocabulary.text_blank] * len(text)
        return Example(prompt, text, blanks, text, [IGNORED] * len(text))

    def _asked(self, turn: SpokenTurn, sounds: dict[Audio, Entry]) -> Message:
        if turn.heard is None:
            return Message("user", (TextPart(turn.question),))
        sound = _placeholder()
        sounds[sound] = turn.heard
        return Message("user", (AudioPart(sound),))

    def _spoken(self, prompt: PromptStreams, written: list[int], entry: Entry) -> Example:
        """Text first, if any, then the phones of the utterance and, six steps later, its codes."""
        ids, delay = self.vocabulary, shapes.AUDIO_DELAY
        codes = [ids.audio_id(code) for code in self._codes(entry)]
        text_targets = [*written, *self._phones(entry), ids.text_eos] + [IGNORED] * delay
        waiting = [ids.text_blank] * (len(written) + delay)
        audio = [*waiting, *codes, ids.msg_end]
        audio_targets = [IGNORED] * delay + audio[delay:]
        text = [ids.text_blank if t == IGNORED else t for t in text_targets]
        return Example(prompt, text, audio, text_targets, audio_targets)

    def _written(self, word: Spelled) -> list[int]:
        """The phones of a word, then its characters, one id each."""
        phones = [self._phone_ids[name] for name in word.phones]
        letters = (self._tokenizer.encode(character) for character in word.written)
        return [*phones, *(token for tokens in letters for token in tokens)]

    def _build(
        self, messages: Sequence[Message], output: OutputType, sounds: dict[Audio, Entry]
    ) -> PromptStreams:
        def listen(audio: Audio) -> Heard:
            rows = sounds[audio].rows(1)
            features = torch.from_numpy(np.asarray(self._cache.acoustic[rows], np.float32))
            return Heard(self._codes(sounds[audio]), features)

        builder = PromptBuilder(self.vocabulary, self._tokenizer, listen, shapes.AUDIO_DELAY)
        return builder.build(messages, output)

    def _codes(self, entry: Entry) -> tuple[int, ...]:
        return tuple(self._cache.codes[entry.rows(1)].tolist())

    def _phones(self, entry: Entry) -> list[int]:
        """The phone in the middle of each code's 80 ms."""
        frames = self._cache.phones[entry.rows(FRAMES_PER_POSITION)]
        middle = frames[FRAMES_PER_POSITION // 2 :: FRAMES_PER_POSITION]
        return self._ids_by_place[middle].tolist()


def _placeholder() -> Audio:
    """Stands for a sound whose codes and features lie in the cache."""
    return Audio(np.zeros(1, np.float32), 16_000)


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
