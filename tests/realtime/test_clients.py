"""The served app and the stock clients: Python's `openai`; of npm `openai`, as in a browser, and
`@openai/agents-realtime`, which checks schemas. Nothing that is sent may be dropped by any.
"""

from __future__ import annotations

import base64
import time
from contextlib import closing, contextmanager
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from kimi_demo.api.keys import Keys
from kimi_demo.api.secrets import Secrets
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
def talker_to(request):
    """Opens a client of a kind, told to transcribe what is said."""

    @contextmanager
    def opened(kind, url, key="none", **settings):
        if kind == "python":
            talker = PythonTalker(url, key)
        else:
            bridge = request.getfixturevalue("bridge")
            talker = NodeTalker(bridge, kind, url, key, audio={"input": LISTENING}, **settings)
        talker.wait("session.created")
        if kind == "agents":
            talker.wait("session.updated")  # it sends its own settings
        else:
            updated(talker, audio={"input": {"transcription": {"model": "whisper-1"}}})
        yield talker
        talker.close()
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
