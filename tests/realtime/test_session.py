"""The machine of a live conversation: a few plays by hand, then random walks over everything."""

import base64
import itertools
import json
import random

import numpy as np
import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from kimi_demo.errors import EngineError, InputError
from kimi_demo.events import AudioDelta, Finished, HeardDelta, Queued, TextDelta
from kimi_demo.messages import AudioPart, SpokenPart, TextPart
from kimi_demo.realtime.items import Recording, Speech, Words
from kimi_demo.realtime.session import Abandon, Begin, Play, Session
from kimi_demo.realtime.transcripts import Write
from kimi_demo.realtime.turns import Paused, Resumed, SpeechStarted, SpeechStopped
from kimi_demo.tasks import TaskTable
from kimi_demo.wire.realtime import SessionConfig, client_event

STOCK = TypeAdapter(RealtimeServerEvent)
SECOND = np.full(16_000, 0.1, np.float32)


def event(type_, **fields):
    return client_event(json.dumps({"type": type_, **fields}))


class Client:
    """Drives a session, and keeps what it tells and does."""

    def __init__(self, **config):
        numbers = itertools.count(1)
        self.session = Session(
            SessionConfig().updated(config), TaskTable(), lambda kind: f"{kind}_{next(numbers)}"
        )
        self.now_ms = 0.0
        self.told, self.done = [], []

    def take(self, outputs):
        for output in outputs:
            (self.told if isinstance(output, dict) else self.done).append(output)
        return outputs

    def send(self, type_, **fields):
        return self.take(self.session.receive(event(type_, **fields), self.now_ms))

    def detect(self, found):
        return self.take(self.session.detect(found, self.now_ms))

    def engine(self, generation, *events):
        for one in events:
            self.take(self.session.take(generation, one, self.now_ms))

    def says(self, seconds=1):
        """A whole turn of the user; gives the generation of the answer."""
        for _ in range(seconds):
            self.take(self.session.append(SECOND))
        end_ms = self.session.heard_ms
        self.detect(SpeechStarted(end_ms - 1000 * seconds))
        self.detect(Paused(end_ms))
        self.detect(SpeechStopped(end_ms))
        return [d for d in self.done if isinstance(d, Begin)][-1].generation

    def types(self):
        return [told["type"] for told in self.told]

    def last(self, type_):
        return next(told for told in reversed(self.told) if told["type"] == type_)


def sound(codes, samples=1920):
    return AudioDelta(np.full(samples * len(codes), 0.1, np.float32), 24_000, tuple(codes))


def finished(codes=(), reason="stop"):
    return Finished(reason, 20, 5, len(codes), audio_codes=tuple(codes), heard_tokens=12)


def test_a_spoken_turn_is_answered_in_the_order_that_clients_expect():
    client = Client(audio={"input": {"transcription": {"model": "any"}}})
    generation = client.says()
    client.engine(
        generation, HeardDelta("Hi"), TextDelta("Hello."), sound(range(12)), finished(range(12))
    )
    assert client.types() == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    done = client.last("response.done")["response"]
    assert done["status"] == "completed"
    assert done["usage"]["input_token_details"]["audio_tokens"] == 12
    assert [type(output) for output in client.done] == [Begin, Play]


def test_the_next_question_is_asked_with_all_that_was_said():
    client = Client(instructions="Be kind.")
    client.engine(client.says(), TextDelta("Hello."), sound((1, 2)), finished((1, 2)))
    client.send(
        "conversation.item.create",
        item={
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "And?"}],
        },
    )
    client.send("response.create")
    intent = client.done[-1].intent
    assert intent.instructions == "Be kind."
    assert [message.role for message in intent.messages] == ["user", "assistant", "user"]
    assert [type(message.parts[0]) for message in intent.messages] == [
        AudioPart,
        SpokenPart,
        TextPart,
    ]
    assert intent.messages[1].parts == (SpokenPart((1, 2), "Hello."),)


def test_an_answer_begins_in_the_pause_and_is_dropped_if_the_speech_goes_on():
    client = Client()
    client.take(client.session.append(SECOND))
    client.detect(SpeechStarted(0))
    client.detect(Paused(800))
    (begun,) = (d for d in client.done if isinstance(d, Begin))
    client.engine(begun.generation, TextDelta("Too early."), sound((1,)))
    client.detect(Resumed())
    assert client.done[-1] == Abandon(begun.generation)
    client.engine(begun.generation, sound((2,)), finished((1, 2)))
    assert client.types() == ["input_audio_buffer.speech_started"]
    client.detect(Paused(1000))
    client.detect(SpeechStopped(1000))
    again = [d for d in client.done if isinstance(d, Begin)][-1]
    assert again.generation > begun.generation
    assert again.intent.messages[-1].parts[0].audio.duration_s == 1.0


def test_an_answer_begun_in_a_pause_ends_with_a_wish_that_is_refused():
    client = Client()
    client.take(client.session.append(SECOND))
    client.detect(SpeechStarted(0))
    client.detect(Paused(800))
    client.send("response.create")  # there is nothing to answer yet
    assert client.told[-1]["error"]["code"] == "nothing_to_answer"
    assert client.done[-1] == Abandon(1)


def test_what_was_made_in_the_pause_is_told_once_the_turn_is_over():
    client = Client()
    client.take(client.session.append(SECOND))
    client.detect(SpeechStarted(0))
    client.detect(Paused(800))
    client.engine(1, TextDelta("Hello."), sound((1,)))
    assert not [d for d in client.done if isinstance(d, Play)]
    client.detect(SpeechStopped(800))
    assert len([d for d in client.done if isinstance(d, Play)]) == 1
    assert client.session.phase == "speaking"


def test_talking_over_an_answer_cuts_it_and_only_what_was_heard_is_kept():
    client = Client()
    generation = client.says()
    client.now_ms = 1000.0
    client.engine(generation, TextDelta("One two three four five."), sound(range(25)))
    item = client.last("conversation.item.added")["item"]["id"]
    client.now_ms = 2000.0
    client.take(client.session.append(SECOND))
    client.detect(SpeechStarted(client.session.heard_ms - 500))
    assert client.last("response.done")["response"]["status_details"] == {
        "type": "cancelled",
        "reason": "turn_detected",
    }
    assert Abandon(generation) in client.done
    plays = len([d for d in client.done if isinstance(d, Play)])
    client.engine(generation, sound(range(25, 40)), finished(range(40)))
    assert len([d for d in client.done if isinstance(d, Play)]) == plays
    speech = client.session.items.find(item).parts[0]
    assert speech.codes == tuple(range(12))  # a second's worth: nobody can have heard more
    client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=400)
    speech = client.session.items.find(item).parts[0]
    assert speech.codes == tuple(range(5))
    assert speech.transcript == "One"


def test_words_that_were_written_ahead_of_the_sound_are_not_told_again():
    client = Client()
    generation = client.says()
    client.now_ms = 1000.0
    client.engine(generation, TextDelta("One two three four five six."), sound(range(12)))
    item = client.last("conversation.item.added")["item"]["id"]
    client.now_ms = 3000.0  # all that was made was heard
    client.send("response.cancel")
    speech = client.session.items.find(item).parts[0]
    assert speech.codes == tuple(range(12))
    assert speech.transcript == "One two three"


def test_a_truncation_beyond_the_end_is_refused_and_changes_nothing():
    client = Client()
    client.engine(client.says(), TextDelta("Hello."), sound(range(12)), finished(range(12)))
    item = client.last("conversation.item.done")["item"]["id"]
    client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=961)
    assert client.last("error")["error"]["param"] == "audio_end_ms"
    client.send("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=960)
    assert client.session.items.find(item).parts[0].codes == tuple(range(12))


def test_a_transcript_is_made_where_no_answer_tells_what_was_heard():
    client = Client(audio={"input": {"transcription": {"model": "any", "language": "en"}}})
    client.engine(client.says(), TextDelta("Hello."))
    (write,) = (d for d in client.done if isinstance(d, Write))
    assert write.intent.language == "en"
    client.take(client.session.take_transcript(write.item_id, TextDelta("What?")))
    client.take(client.session.take_transcript(write.item_id, finished()))
    told = client.last("conversation.item.input_audio_transcription.completed")
    assert told["transcript"] == "What?"
    assert client.session.items.find(write.item_id).parts[0].transcript == "What?"


def test_without_detection_the_client_commits_by_hand():
    client = Client(audio={"input": {"turn_detection": None}})
    client.send("input_audio_buffer.commit")
    assert client.last("error")["error"]["code"] == "input_audio_buffer_commit_empty"
    client.take(client.session.append(SECOND))
    client.send("input_audio_buffer.commit")
    assert not client.done  # no answer before it is asked for
    client.send("response.create")
    assert [type(d) for d in client.done] == [Begin]


def test_an_answer_out_of_band_leaves_no_trace_in_the_conversation():
    client = Client()
    client.says()
    words = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hm?"}]}
    client.send(
        "response.create",
        response={
            "conversation": "none",
            "input": [words],
            "output_modalities": ["text"],
            "metadata": {"topic": "aside"},
        },
    )
    aside = client.done[-1]
    before = [item.id for item in client.session.items]
    client.engine(aside.generation, TextDelta("Aside."), finished())
    assert [item.id for item in client.session.items] == before
    done = client.last("response.done")["response"]
    assert done["metadata"] == {"topic": "aside"}
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "Aside."}]
    assert client.session.phase == "thinking"  # the first answer goes on


def test_few_answers_are_in_work_at_once():
    client = Client(instructions="Say something.")
    for _ in range(5):
        client.send("response.create", response={"conversation": "none"})
    assert client.told[-1]["error"]["code"] == "too_many_responses"
    client.engine(1, TextDelta("One."), finished())
    client.send("response.create", response={"conversation": "none"})
    assert client.types()[-1] == "response.created"


def test_the_oldest_recordings_are_forgotten_with_their_items():
    client = Client(audio={"input": {"turn_detection": None}})
    minutes = 10
    for _ in range(minutes + 1):
        for _ in range(60):
            client.take(client.session.append(SECOND))
        client.send("input_audio_buffer.commit")
    assert len(client.session.items) == minutes
    first = client.told[0]["item_id"]
    assert client.last("conversation.item.deleted")["item_id"] == first
    assert not client.session.items.has(first)


def test_a_long_silence_is_answered_where_that_is_wanted():
    client = Client(audio={"input": {"turn_detection": {"idle_timeout_ms": 5000}}})
    client.engine(client.says(), TextDelta("Hello."), sound(range(25)), finished(range(25)))
    client.take(client.session.append(SECOND))
    client.take(client.session.tick(6900.0))
    assert "input_audio_buffer.timeout_triggered" not in client.types()
    client.take(client.session.tick(7000.0))  # two seconds of sound, then five of nothing
    assert "input_audio_buffer.timeout_triggered" in client.types()
    assert client.session.phase == "thinking"


def test_a_failure_of_the_engine_ends_that_answer_alone():
    client = Client()
    generation = client.says()
    client.take(client.session.fail(generation, EngineError("no memory"), 0.0))
    details = client.last("response.done")["response"]["status_details"]
    assert details["error"]["message"] == "no memory"
    assert client.session.phase == "listening"
    client.engine(client.says(), TextDelta("Yes."), finished())
    assert client.last("response.done")["response"]["status"] == "completed"


@pytest.mark.parametrize(
    ("type_", "fields", "code"),
    [
        ("response.cancel", {}, "response_cancel_not_active"),
        ("response.create", {}, "nothing_to_answer"),
        ("conversation.item.delete", {"item_id": "none"}, "item_not_found"),
        ("session.update", {"session": {"tools": [{"type": "function"}]}}, "unsupported"),
        ("session.update", {"session": {"voice": "echo"}}, "unsupported"),
        (
            "session.update",
            {"session": {"audio": {"input": {"turn_detection": {"threshold": 3}}}}},
            "invalid_value",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_the_session_goes_on(type_, fields, code):
    client = Client()
    before = client.session.config
    client.send(type_, **fields, event_id="mine")
    assert client.told[-1]["type"] == "error"
    assert client.told[-1]["error"]["code"] == code
    assert client.told[-1]["error"]["event_id"] == "mine"
    assert client.session.config == before
    client.says()
    assert client.session.phase == "thinking"


@pytest.mark.parametrize("frame", ["", "x", "[]", "{}", '{"type":"no"}', '{"type":1}', "null"])
def test_frames_that_are_no_event_are_refused(frame):
    with pytest.raises(InputError):
        client_event(frame)


class Walk:
    """Everything that can happen, in any order; after each step what must hold."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.client = Client(
            audio={
                "input": {
                    "transcription": self.rng.choice([None, {"model": "any"}]),
                    "turn_detection": self.rng.choice(
                        [
                            {"type": "server_vad", "idle_timeout_ms": 5000},
                            {"type": "server_vad", "interrupt_response": False},
                            {"type": "server_vad", "create_response": False},
                            {"type": "semantic_vad"},
                        ]
                    ),
                }
            }
        )
        self.state = "silent"  # of the user
        self.gone, self.open, self.ended = set(), set(), set()
        self.played = {}  # codes sent, by item
        self.writes = set()
        self.order = []

    def step(self):
        (move,) = self.rng.choices([*MOVES], [*MOVES.values()])
        self.client.now_ms += self.rng.choice([0.0, 20.0, 300.0, 2000.0])
        first_told, first_done = len(self.client.told), len(self.client.done)
        getattr(self, move)()
        for output in self.client.done[first_done:]:
            self.check_done(output)
        for told in self.client.told[first_told:]:
            self.check_told(told)
        self.check_history()

    def check_done(self, output):
        match output:
            case Abandon(generation):
                self.gone.add(generation)
                self.open.discard(generation)
            case Begin(generation):
                assert generation not in self.gone
                self.open.add(generation)
            case Play(generation):
                assert generation not in self.gone, "sound after the cut"
                item = output.ids["item_id"]
                self.played[item] = self.played.get(item, 0) + len(output.waveform)
            case Write(item_id):
                self.writes.add(item_id)

    def check_told(self, told):
        STOCK.validate_python({"event_id": "e", **told} | self.described(told))
        if told["type"] == "response.created":
            assert told["response"]["id"] not in self.ended
        if told["type"] == "response.done":
            assert told["response"]["id"] not in self.ended, "an answer ended twice"
            self.ended.add(told["response"]["id"])
        if told["type"] == "conversation.item.added":
            before = told["previous_item_id"]
            self.order.insert(self.order.index(before) + 1 if before else 0, told["item"]["id"])
        if told["type"] == "conversation.item.deleted":
            self.order.remove(told["item_id"])

    @staticmethod
    def described(told):
        return {"session": {"type": "realtime"}} if told["type"] == "session.updated" else {}

    def check_history(self):
        items = list(self.client.session.items)
        assert [item.id for item in items] == self.order, "items out of order"
        for item in items:
            for part in item.parts:
                if isinstance(part, Speech):
                    assert len(part.codes) * 1920 <= self.played.get(item.id, 0)
                    assert part.made_ms * 24 <= self.played.get(item.id, 0)

    # Moves.

    def silence(self):
        self.client.take(self.client.session.append(SECOND[:3200]))

    def speech_begins(self):
        if self.state == "silent":
            self.state = "speaking"
            self.client.take(self.client.session.append(SECOND[:8000]))
            self.client.detect(SpeechStarted(max(0, self.client.session.heard_ms - 200)))

    def speech_pauses(self):
        if self.state == "speaking":
            self.state = "paused"
            self.end_ms = self.client.session.heard_ms
            self.client.detect(Paused(self.end_ms))

    def speech_resumes(self):
        if self.state == "paused":
            self.state = "speaking"
            self.client.detect(Resumed())

    def speech_ends(self):
        if self.state == "paused":
            self.state = "silent"
            self.client.detect(SpeechStopped(self.end_ms))

    def engine_goes_on(self):
        for generation in self.rng.sample(range(1, 4000), 20) + sorted(self.open):
            kind = self.rng.choice(["heard", "text", "sound", "queued", "end", "fail", "nothing"])
            if kind == "fail":
                outputs = self.client.session.fail(generation, EngineError("x"), self.client.now_ms)
                self.client.take(outputs)
            elif kind != "nothing":
                made = {
                    "heard": HeardDelta("what "),
                    "text": TextDelta("word "),
                    "sound": sound(range(self.rng.randint(1, 9))),
                    "queued": Queued(1),
                    "end": finished(reason=self.rng.choice(["stop", "length"])),
                }[kind]
                self.client.engine(generation, made)
            if kind in ("fail", "end"):
                self.open.discard(generation)

    def transcripts_go_on(self):
        for item_id in sorted(self.writes):
            made = self.rng.choice([TextDelta("so "), finished()])
            self.client.take(self.client.session.take_transcript(item_id, made))
            if isinstance(made, Finished):
                self.writes.discard(item_id)

    def time_passes(self):
        self.client.take(self.client.session.tick(self.client.now_ms))

    def client_speaks(self):
        ids = [item.id for item in self.client.session.items] or ["none"]
        recording = base64.b64encode(np.zeros(2400, "<i2").tobytes()).decode()
        content = self.rng.choice(
            [{"type": "input_text", "text": "Hm"}, {"type": "input_audio", "audio": recording}]
        )
        message = {"type": "message", "role": "user", "content": [content]}
        type_, fields = self.rng.choice(
            [
                ("input_audio_buffer.commit", {}),
                ("input_audio_buffer.clear", {}),
                ("conversation.item.create", {"item": message}),
                (
                    "conversation.item.create",
                    {"item": message, "previous_item_id": self.rng.choice([*ids, "root"])},
                ),
                ("conversation.item.delete", {"item_id": self.rng.choice(ids)}),
                ("conversation.item.retrieve", {"item_id": self.rng.choice(ids)}),
                (
                    "conversation.item.truncate",
                    {
                        "item_id": self.rng.choice(ids),
                        "content_index": 0,
                        "audio_end_ms": self.rng.randint(0, 900),
                    },
                ),
                ("response.create", {}),
                ("response.create", {"response": {"conversation": "none", "input": [message]}}),
                ("response.create", {"response": {"output_modalities": ["text"]}}),
                ("response.cancel", {}),
                ("session.update", {"session": {"instructions": "Be kind."}}),
            ]
        )
        self.client.send(type_, **fields)
        if type_ in ("input_audio_buffer.commit", "input_audio_buffer.clear"):
            self.state = "silent" if self.state == "silent" else self.state


MOVES = {
    "silence": 2,
    "speech_begins": 3,
    "speech_pauses": 3,
    "speech_resumes": 1,
    "speech_ends": 3,
    "engine_goes_on": 6,
    "transcripts_go_on": 2,
    "time_passes": 1,
    "client_speaks": 3,
}


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_session_holds_its_promises(seed):
    walk = Walk(seed)
    for _ in range(10_000):
        walk.step()
    created = [t["response"]["id"] for t in walk.client.told if t["type"] == "response.created"]
    running = set(created) - walk.ended
    assert len(running) <= 1 + len(walk.open)
    walk.client.take(walk.client.session.close())
    for generation in range(1, 9000):
        assert not walk.client.session.take(generation, TextDelta("late"), 1e9)


def test_items_say_what_they_are():
    client = Client()
    made = [
        ("user", {"type": "input_text", "text": "a"}, Words),
        ("assistant", {"type": "output_text", "text": "b"}, Words),
        ("system", {"type": "input_text", "text": "c"}, Words),
        ("user", {"type": "input_audio", "audio": "AAAAAAAA"}, Recording),
    ]
    for role, content, _ in made:
        client.send(
            "conversation.item.create",
            item={"type": "message", "role": role, "content": [content]},
        )
    assert [type(item.parts[0]) for item in client.session.items] == [kind for *_, kind in made]
    for content in ("####", "AAA", "AA=="):
        client.send(
            "conversation.item.create",
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": content}],
            },
        )
        assert client.told[-1]["type"] == "error"
