"""The served app and the stock clients: Python's `openai`; of npm `openai`, as in a browser, and
`@openai/agents-realtime`, which checks schemas. Nothing that is sent may be dropped by any.
"""

from __future__ import annotations

import base64
import time
from contextlib import closing, contextmanager
from itertools import pairwise

import numpy as np
import openai
import pytest
import soundfile

from kimi_demo.api import Service
from kimi_demo.api.keys import Keys
from kimi_demo.api.secrets import Secrets
from kimi_demo.api.service import Rooms
from kimi_demo.api.serving import serving
from kimi_demo.intents import Transcribe
from kimi_demo.messages import CODES_PER_S, AudioPart, SpokenPart, TextPart
from tests.realtime.conftest import (
    CODE_SAMPLES,
    HEARD,
    LONG,
    SLOW,
    WHOLE,
    scripted,
    site_of,
    text_of,
    wait_for,
)
from tests.realtime.talkers import RATE, NodeTalker, PythonTalker, Talker, clip_of
from tests.voice import silence

KINDS = ("python", "openai", "agents")
KEY = "a-long-secret"
LISTENING = {"turnDetection": {"type": "server_vad", "interruptResponse": True}}
HEARD_MS = 400  # of a whole answer, as its listener says
SLACK_S = 0.5  # between what client and server call the same moment
TELEPHONE = {"type": "audio/pcmu"}


@pytest.fixture
def client_of(request):
    """A client of a kind, as it is after its own greetings."""

    def opened(kind: str, url: str, key: str = "none") -> Talker:
        if kind == "python":
            return PythonTalker(url, key)
        bridge = request.getfixturevalue("bridge")
        return NodeTalker(bridge, kind, url, key, audio={"input": LISTENING})

    return opened


@pytest.fixture
def talker_to(client_of):
    """The same for a block, told to transcribe what is said; in the end all that came was known."""

    @contextmanager
    def opened(kind: str, url: str, key: str = "none"):
        talker = client_of(kind, url, key)
        talker.wait("session.created")
        if kind == "agents":
            wait_for(lambda: len(talker.all("session.updated")) == 2)  # its own settings
        else:
            updated(talker, audio={"input": {"transcription": {"model": "whisper-1"}}})
        with closing(talker):
            yield talker
        talker.check_nothing_dropped()

    return opened


def updated(talker: Talker, **session):
    since = len(talker.events)
    talker.send("session.update", session={"type": "realtime", **session})
    return talker.wait("session.updated", since)["session"]


def sound_of(talker: Talker, response_id: str) -> int:
    """Samples of an answer that have come so far."""
    deltas = talker.all("response.output_audio.delta")
    mine = [event["delta"] for event in deltas if event["response_id"] == response_id]
    return sum(len(base64.b64decode(delta)) // 2 for delta in mine)


def finished(talker: Talker, since: int):
    return talker.wait("response.done", since)["response"]


def heard_out(talker: Talker, since: int):
    """The same, and all of it was listened to: what is said before that is an interruption."""
    done = finished(talker, since)
    assert done["status"] == "completed"
    time.sleep(sound_of(talker, done["id"]) / RATE + 0.1)
    return done


def spoken_in(turn):
    """What the model was told again of its own: SpokenParts in order."""
    return [part for m in turn.messages for part in m.parts if isinstance(part, SpokenPart)]


def check_silence_after(talker: Talker, done) -> None:
    """An answer that was cut off is heard no more."""
    later = talker.events[talker.place(done) :]
    id_ = done["response"]["id"]
    assert not [e for e in later if e.get("response_id") == id_]


@pytest.mark.parametrize("kind", KINDS)
def test_six_turns_with_two_interruptions(site, talker_to, kind):
    with talker_to(kind, site.url) as talker:
        first = talker.say("question-en")
        heard_out(talker, 0)
        told = talker.wait("conversation.item.input_audio_transcription.completed")
        assert (told["item_id"], told["transcript"]) == (first, HEARD)

        updated(talker, instructions=SLOW)  # interrupted while it is made
        since = len(talker.events)
        talker.say("question-opposite-en")
        begun = talker.wait("response.output_audio.delta", since)
        began, slow = time.monotonic(), begun["item_id"]
        time.sleep(0.6)
        updated(talker, instructions=WHOLE)
        since = len(talker.events)
        talker.say("question-where-zh")
        cut_s = time.monotonic() - began
        cut = talker.wait("response.done", since)
        assert cut["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert talker.place(cut) < talker.place(talker.wait("response.created", since))

        whole = finished(talker, talker.place(cut) + 1)  # interrupted while it sounds
        assert whole["status"] == "completed"
        assert sound_of(talker, whole["id"]) == LONG * CODE_SAMPLES
        heard = whole["output"][0]["id"]
        time.sleep(0.6)
        updated(talker, instructions="")
        since = len(talker.events)
        talker.append(clip_of("question-zh"))
        talker.wait("input_audio_buffer.speech_started", since)
        truncate = {"item_id": heard, "content_index": 0}
        talker.send("conversation.item.truncate", **truncate, audio_end_ms=HEARD_MS)
        talker.wait("conversation.item.truncated", since, audio_end_ms=HEARD_MS)
        talker.append(silence(0.8, RATE))
        heard_out(talker, since)

        since = len(talker.events)
        talker.type("And in writing?")
        heard_out(talker, since)
        since = len(talker.events)
        talker.say("question-unknown-en")
        assert finished(talker, since)["status"] == "completed"
        talker.wait("conversation.item.input_audio_transcription.completed", since)

    check_silence_after(talker, cut)
    check_order(talker)
    check_told_again(site.service.engine.turns[-1], cut_s)
    if kind == "agents":
        check_history(talker, slow)


def check_order(talker):
    """Items follow each other, turn by turn."""
    items = [(e["item"], e["previous_item_id"]) for e in talker.all("conversation.item.added")]
    assert [item["role"] for item, _ in items] == ["user", "assistant"] * 6
    assert items[0][1] is None
    assert all(after[1] == before[0]["id"] for before, after in pairwise(items))


def check_told_again(turn, cut_s):
    """The last question comes with all before, as far as it was heard."""
    assert [m.role for m in turn.messages] == [*["user", "assistant"] * 5, "user"]
    asked = [m.parts[-1] for m in turn.messages if m.role == "user"]
    assert [type(part) for part in asked] == [AudioPart] * 4 + [TextPart, AudioPart]
    for part, clip in zip(asked, ("question-en", "question-opposite-en"), strict=False):
        spoken_s = len(clip_of(clip)) / RATE
        assert abs(part.audio.duration_s - spoken_s) < 0.5
    one, slow, whole, *rest = spoken_in(turn)
    assert (one.codes, one.text) == (tuple(range(100, 104)), text_of(1, 4))
    assert 0 < len(slow.codes) <= (cut_s + SLACK_S) * CODES_PER_S < LONG
    assert slow.codes == tuple(range(200, 200 + len(slow.codes)))
    assert slow.text != text_of(2, LONG)
    assert text_of(2, LONG).startswith(slow.text)
    assert whole.codes == tuple(range(300, 300 + int(HEARD_MS / 1000 * CODES_PER_S)))
    assert whole.text == text_of(3, 4)
    assert [part.codes[0] for part in rest] == [400, 500]


def check_history(talker, slow):
    """The client's own account is the server's."""
    roles = [item["role"] for item in talker.history]
    assert roles == ["user", "assistant"] * 6
    texts = [item["content"][0].get("transcript") for item in talker.history if item["content"]]
    assert texts[0] == HEARD
    cut = next(item for item in talker.history if item["itemId"] == slow)
    assert cut["status"] == "incomplete"
    for response, count in talker.heard_bytes.items():
        assert count == 2 * sound_of(talker, response)


def text_item(text: str, role: str = "user", id_: str | None = None):
    content = [{"type": "output_text" if role == "assistant" else "input_text", "text": text}]
    item = {"type": "message", "role": role, "content": content}
    return item | ({"id": id_} if id_ else {})


@pytest.mark.parametrize("kind", KINDS)
def test_every_other_event_is_understood(site, talker_to, kind):
    engine = site.service.engine
    with talker_to(kind, site.url) as talker:
        updated(talker, audio={"input": {"turn_detection": None}})
        talker.append(clip_of("question-en")[:RATE])
        talker.send("input_audio_buffer.clear")
        talker.wait("input_audio_buffer.cleared")
        talker.append(clip_of("question-en"))
        talker.send("input_audio_buffer.commit")
        item = talker.wait("input_audio_buffer.committed")["item_id"]
        told = talker.wait("conversation.item.input_audio_transcription.completed", item_id=item)
        assert told["transcript"] == HEARD
        assert [type(intent) for intent in engine.intents[1:]] == [Transcribe]  # the first warms

        aside = {
            "conversation": "none",
            "input": [{"type": "item_reference", "id": item}, text_item("What was that?")],
            "output_modalities": ["text"],
            "instructions": "Be brief.",
            "metadata": {"topic": "aside"},
        }
        talker.send("response.create", response=aside)
        done = talker.wait("response.done")["response"]
        assert (done["metadata"], done["conversation_id"]) == ({"topic": "aside"}, None)
        assert done["output"][0]["content"] == [{"type": "output_text", "text": HEARD}]
        assert talker.wait("response.output_text.done")["text"] == HEARD
        assert [m.role for m in engine.turns[-1].messages] == ["user"]

        since = len(talker.events)
        updated(talker, instructions=SLOW)
        talker.send("response.create")
        talker.wait("response.output_audio.delta", since)
        talker.send("response.cancel")
        cut = talker.wait("response.done", since)
        assert cut["response"]["status_details"]["reason"] == "client_cancelled"
        answer = cut["response"]["output"][0]["id"]

        talker.send("conversation.item.create", item=text_item("One more.", id_="mine"))
        talker.send("conversation.item.create", item=text_item("Yes.", "system"))
        talker.wait("conversation.item.done", since, previous_item_id="mine")
        for id_ in (item, answer, "mine"):
            talker.send("conversation.item.retrieve", item_id=id_)
        found = wait_for(lambda: retrieved(talker, since, item, answer, "mine"))
        kept = base64.b64decode(found[item]["content"][0]["audio"])
        assert abs(len(kept) // 2 - len(clip_of("question-en"))) < 0.05 * RATE
        assert found[answer]["status"] == "incomplete"
        assert found["mine"]["content"] == [{"type": "input_text", "text": "One more."}]

        talker.send("conversation.item.delete", item_id="mine")
        talker.wait("conversation.item.deleted", item_id="mine")
        talker.send("conversation.item.retrieve", item_id="mine")
        error = talker.wait("error")["error"]
        assert (error["code"], error["type"]) == ("item_not_found", "invalid_request_error")
    check_silence_after(talker, cut)


def retrieved(talker, since, *ids):
    """Those items by id, once all have come."""
    events = talker.events[since:]
    found = {e["item"]["id"]: e["item"] for e in events if "retrieved" in e["type"]}
    return found if found.keys() >= {*ids} else None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("form", "subtype"), [("audio/pcmu", "ULAW"), ("audio/pcma", "ALAW")])
def test_telephones_talk(site, talker_to, kind, form, subtype, tmp_path):
    path = tmp_path / "telephone.raw"
    spoken = np.concatenate([clip_of("question-en"), silence(0.8, RATE)])[::3]
    soundfile.write(path, spoken, 8000, format="RAW", subtype=subtype)
    with talker_to(kind, site.url) as talker:
        forms = {"input": {"format": {"type": form}}, "output": {"format": {"type": form}}}
        assert updated(talker, audio=forms)["audio"]["output"]["format"] == {"type": form}
        data = path.read_bytes()
        for start in range(0, len(data), 800):
            piece = base64.b64encode(data[start : start + 800]).decode()
            talker.send("input_audio_buffer.append", audio=piece)
        talker.wait("response.done")
        deltas = talker.all("response.output_audio.delta")
        made = b"".join(base64.b64decode(event["delta"]) for event in deltas)
        assert len(made) == 4 * CODE_SAMPLES // 3
        path.write_bytes(made)
        heard, _ = soundfile.read(
            path, samplerate=8000, channels=1, format="RAW", subtype=subtype, dtype="float32"
        )
        assert np.abs(heard[100:-100] - 0.2).max() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_client_secrets_open_a_conversation(client_of, talker_to, kind):
    now = [time.time()]
    with (
        closing(scripted()) as engine,
        site_of(engine, keys=Keys.of(f"bob={KEY}"), secrets=Secrets(lambda: now[0])) as site,
    ):
        client = openai.OpenAI(base_url=f"{site.url}/v1", api_key=KEY)
        session = {"type": "realtime", "instructions": "Be as kind as bob."}
        secret = client.realtime.client_secrets.create(
            session=session, expires_after={"anchor": "created_at", "seconds": 60}
        )
        assert secret.value.startswith("ek_")
        assert secret.expires_at == int(now[0]) + 60
        assert secret.session.instructions == "Be as kind as bob."
        with talker_to(kind, site.url, secret.value) as talker:
            created = talker.wait("session.created")["session"]
            assert created["instructions"] == "Be as kind as bob."
            talker.type("Hello?")
            talker.wait("response.done")
        made_s = site.service.metrics.value(
            "kimi_key_audio_seconds_total", key="bob", direction="out"
        )
        assert made_s == pytest.approx(4 * CODE_SAMPLES / RATE)
        now[0] += 60
        for wrong in (secret.value, "ek_never", "no-key-of-ours"):
            refused = client_of(kind, site.url, wrong)
            assert refused.wait("error")["error"]["code"] == "invalid_api_key"
            code, reason = refused.wait_closed()
            assert code == 1008
            assert "key" in reason or "secret" in reason
            refused.close()


@pytest.mark.parametrize("kind", KINDS)
def test_who_comes_too_late_is_told_to_come_again(client_of, kind):
    with (
        closing(scripted()) as engine,
        site_of(engine, rooms=Rooms(1)) as site,
        closing(PythonTalker(site.url)) as first,
    ):
        first.wait("session.created")
        second = client_of(kind, site.url)
        assert second.wait("error")["error"]["type"] == "server_error"
        code, reason = second.wait_closed()
        assert (code, "try again" in reason) == (1013, True)
        second.close()
        assert not first.closed


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_ends_says_so(client_of, kind):
    with closing(scripted()) as engine:
        service = Service(engine)
        with serving(service) as url:
            talker = client_of(kind, url)
            talker.wait("session.created")
            updated(talker, instructions=SLOW)
            talker.type("Tell me a story.")
            talker.wait("response.output_audio.delta")
        assert talker.wait_closed()[0] in (1001, 1012)
        talker.close()
        assert service.rooms.taken == 0
        wait_for(lambda: not engine._jobs)
        assert engine.endings[-1] == "cancelled"


def test_the_embedded_model_talks(nano, talker_to):
    with site_of(nano) as site, talker_to("python", site.url) as talker:
        question = talker.say("question-en")
        answer = heard_out(talker, 0)
        told = talker.wait("conversation.item.input_audio_transcription.completed")
        assert (told["item_id"], told["transcript"]) == (question, "What is the capital of France?")
        assert "The capital of France" in answer["output"][0]["content"][0]["transcript"]
        assert sound_of(talker, answer["id"]) > RATE / 2
        since = len(talker.events)
        talker.say("question-opposite-en")
        talker.wait("response.output_audio.delta", since)
        talker.append(clip_of("question-zh"))
        cut = talker.wait("response.done", since)
        assert cut["response"]["status_details"]["reason"] == "turn_detected"
        talker.append(silence(0.8, RATE))
        assert finished(talker, talker.place(cut) + 1)["status"] == "completed"
    check_silence_after(talker, cut)
