"""Labelled sounds that the embedded model learns to understand, drawn one by one.

Single sounds and scenes are synthesised; voices are those of the speech shards.
"""

from training.sounds.items import (
    EVENTS,
    KINDS,
    SCENES,
    LabelledSound,
    draw,
    held_out,
)
from training.sounds.moods import EMOTIONS
from training.sounds.voices import Voices
from training.sounds.words import Task

__all__ = [
    "EMOTIONS",
    "EVENTS",
    "KINDS",
    "SCENES",
    "LabelledSound",
    "Task",
    "Voices",
    "draw",
    "held_out",
]
