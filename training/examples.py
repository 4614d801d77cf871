"""Training examples of the language model: prompt streams and the answer that should follow.

Prompts are written by the very builder that serves requests. In an answer's text stream stand

    speech         for each step of 80 ms the piece of phones that begin in it; the audio stream is
                   six steps behind, so that its head sees what comes next
    transcription  the words as people write them
    conversation   between two marks the question as it was understood, typed or heard, so that one
                   circuit answers both; then the answer in writing; then in speech

Axes: B examples, T positions, F adaptor input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from kimi_demo.audio import Audio
from kimi_demo.messages import AudioPart, Message, OutputType, SpokenPart, TextPart
from kimi_demo.model.prompt import Heard, PromptBuilder, PromptStreams
from kimi_demo.model.text_tokenizer import TextTokenizer
from kimi_demo.model.vocabulary import Vocabulary
from kimi_demo.tasks import TaskTable
from training import sizes
from training.alphabet import PieceSpeller
from training.shards import Utterance
from training.text_tokenizer import ECHO_MARKS, piece_token, pieces_of, text_ids_of

IGNORED = -100  # no loss here


@dataclass(frozen=True)
class Sound:
    """What the ears made of a sound. codes: (n,); features: (n, F); pieces: what is said in it."""

    codes: np.ndarray
    features: np.ndarray
    pieces: Sequence[int] = ()


@dataclass(frozen=True)
class Speech:
    """What is to be said: a piece a step, and its codes if it was recorded (else made up)."""

    pieces: Sequence[int]
    codes: Sequence[int]
    recorded: bool


@dataclass(frozen=True)
class Asked:
    """A question as it stands in the prompt: typed words, or a sound."""

    text: str
    sound: Sound | None = None


@dataclass(frozen=True)
class Example:
    """One prompt and its answer; answers are lists of ids, IGNORED where an id is forced anyway."""

    prompt: PromptStreams
    text_answer: list[int]
    audio_answer: list[int]
    text_targets: list[int]
    audio_targets: list[int]
    heard_targets: list[int] = field(default_factory=list)  # the piece said at each heard position


class ExampleWriter:
    """Writes examples of every task in one checkpoint's vocabulary."""

    def __init__(self, tokenizer: TextTokenizer, tasks: TaskTable) -> None:
        self.tokenizer, self._tasks = tokenizer, tasks
        self.text_ids = text_ids_of(tokenizer)
        self.vocabulary = Vocabulary.from_names(
            tokenizer.special_ids, self.text_ids, self.text_ids - 1
        )
        pieces = pieces_of(tokenizer)
        self.spell = PieceSpeller(pieces)
        self.piece_ids = np.array([tokenizer.special_ids[piece_token(p)] for p in pieces])
        self.echo_ids = [tokenizer.special_ids[mark] for mark in ECHO_MARKS]

    def pieces(self, utterance: Utterance) -> list[int]:
        """Text id of the piece said in each step."""
        return self.piece_ids[self.spell(utterance)].tolist()

    def reading(self, text: str, speech: Speech) -> Example:
        """Words in; pieces and speech out."""
        message = Message("user", (TextPart(self._tasks.speech_prompt + text),))
        return self._spoken(self._build([message], "both", {}), [], speech)

    def chat(
        self,
        earlier: Sequence[tuple[Asked, Speech, str]],
        asked: Asked,
        echo: str,
        answer: str,
        speech: Speech,
    ) -> Example:
        """A dialogue up to its last question, and the answer.

        earlier: of each exchange the question, the answer's speech and its text.
        """
        sounds: dict[Audio, Sound] = {}
        messages = []
        for question, said, text in earlier:
            spoken = SpokenPart(tuple(said.codes), text)
            messages += [self._asked(question, sounds), Message("assistant", (spoken,))]
        prompt = self._build([*messages, self._asked(asked, sounds)], "both", sounds)
        begin, end = self.echo_ids
        encode = self.tokenizer.encode
        return self._spoken(prompt, [begin, *encode(echo), end, *encode(answer)], speech)

    def about(self, sound: Sound, question: str, answer: str) -> Example:
        """A sound and words about it in; text out."""
        key = _placeholder()
        message = Message("user", (TextPart(question), AudioPart(key)))
        prompt = self._build([message], "text", {key: sound})
        text = [*self.tokenizer.encode(answer), self.vocabulary.text_eos]
        blanks = [self.vocabulary.text_blank] * len(text)
        silent = [IGNORED] * len(text)
        return Example(prompt, text, blanks, text, silent, list(sound.pieces))

    def _asked(self, asked: Asked, sounds: dict[Audio, Sound]) -> Message:
        if asked.sound is None:
            return Message("user", (TextPart(asked.text),))
        key = _placeholder()
        sounds[key] = asked.sound
        return Message("user", (AudioPart(key),))

    def _spoken(self, prompt: PromptStreams, written: list[int], speech: Speech) -> Example:
        """Text first, if any, then the pieces of the utterance and, six steps later, its codes."""
        ids, delay = self.vocabulary, sizes.AUDIO_DELAY
        codes = [ids.audio_id(int(code)) for code in speech.codes]
        text_targets = [*written, *speech.pieces, ids.text_eos] + [IGNORED] * delay
        waiting = [ids.text_blank] * (len(written) + delay)
        audio = [*waiting, *codes, ids.msg_end]
        said = codes if speech.recorded else [IGNORED] * len(codes)
        audio_targets = [IGNORED] * delay + waiting[delay:] + said + [ids.msg_end]
        text = [ids.text_blank if t == IGNORED else t for t in text_targets]
        return Example(prompt, text, audio, text_targets, audio_targets)

    def _build(
        self, messages: Sequence[Message], output: OutputType, sounds: dict[Audio, Sound]
    ) -> PromptStreams:
        def listen(audio: Audio) -> Heard:
            sound = sounds[audio]
            features = torch.from_numpy(np.asarray(sound.features, np.float32))
            return Heard(sound.codes.tolist(), features)

        builder = PromptBuilder(self.vocabulary, self.tokenizer, listen, sizes.AUDIO_DELAY)
        return builder.build(messages, output)


def _placeholder() -> Audio:
    """Stands for a sound whose codes and features are known."""
    return Audio(np.zeros(1, np.float32), 16_000)


@dataclass(frozen=True)
class ExampleBatch:
    """Padded examples. ids, heard, targets: (B, T); features: (N, F) of all heard positions."""

    text_ids: Tensor
    audio_ids: Tensor
    heard: Tensor
    features: Tensor
    text_targets: Tensor
    audio_targets: Tensor


def collate(examples: Sequence[Example], vocabulary: Vocabulary, device: str) -> ExampleBatch:
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
    return ExampleBatch(text, audio, heard, joined.to(device), text_targets, audio_targets)
