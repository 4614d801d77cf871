"""What tasks make of an intent, looked at from both sides."""

from kimi_demo.engine import tasks
from kimi_demo.engine.base import Capabilities
from kimi_demo.events import Finished, Queued, TextDelta
from kimi_demo.tasks import TaskTable


def turns_of(intent, table=None, languages=("en", "zh")):
    """The turns of the model that an intent takes, if all of them end well."""
    made = []

    def run_turn(turn):
        made.append(turn)
        yield TextDelta("word")
        yield Finished("stop", 1, 1, 0)

    capabilities = Capabilities("m", "", "cpu", 0, 24_000, languages, table or TaskTable())
    list(tasks.answer(intent, capabilities, run_turn))
    return made


def turn_of(intent, table=None):
    """The only one of them."""
    (turn,) = turns_of(intent, table)
    return turn


def served(engine, intent):
    """The events of a job once its turn has come."""
    return [event for event in engine.stream(intent) if not isinstance(event, Queued)]
