"""What the tests of transcripts send, and what nano hears in it."""

from dataclasses import dataclass

from kimi_demo.audio import INPUT_SAMPLE_RATE, read
from kimi_demo.events import Finished, TextDelta, Timings, Transcript
from kimi_demo.intents import Transcribe
from kimi_demo.ui.examples import sounds

END = Finished("stop", 40, 3, 0, Timings(0.1, None, 0.5, 0.0))


def clip(name):
    """An example as the model hears it."""
    paths = [path for kind in ("question", "speech") for path in sounds(kind) if name in path]
    return read(paths[0], sample_rate=INPUT_SAMPLE_RATE)


@dataclass(frozen=True)
class Heard:
    """What nano writes down without a server. pieces: its words as they came."""

    transcript: Transcript
    finished: Finished
    pieces: tuple[str, ...]

    @classmethod
    def by(cls, engine, sound, **options):
        *events, transcript, finished = engine.stream(Transcribe(sound, **options))
        pieces = tuple(event.text for event in events if isinstance(event, TextDelta))
        return cls(transcript, finished, pieces)

    @property
    def text(self):
        return self.transcript.text


def wav(sound, name="sound.wav"):
    return (name, sound.wav())
