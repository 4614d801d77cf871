"""What the embedded checkpoint says of itself: its prompts, limits and label."""

from __future__ import annotations

from kimi_demo.choices import ChoiceTask
from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.tasks import Memory, TaskTable, TextLimit
from training.sounds import EMOTIONS, EVENTS, SCENES

ABOUT = {
    "name": "nano",
    "label": (
        "nano: a tiny Kimi-Audio with the ears of Whisper base and a voice learned from Kokoro. It "
        "knows a small everyday world in English and Mandarin and says so when asked for more. It "
        "is still being trained and errs often; the released 7B model is far better."
    ),
    "languages": ["en", "zh"],
}


def task_table() -> TaskTable:
    """Short prompts: every word of a prompt costs this small model a step of training."""
    greedy = Sampling(StreamSampling(), StreamSampling())
    return TaskTable(
        speech_prompts={},
        speech_prompt="say: ",
        transcription_prompts={
            "": "transcribe:",
            "en": "transcribe english:",
            "zh": "transcribe mandarin:",
        },
        wordings={},
        caption_prompts={"": "describe:", "zh": "请描述这段音频中的声音。"},
        choices={
            "emotion": ChoiceTask("which emotion?", EMOTIONS, lettered=False),
            "sound": ChoiceTask("which sound?", EVENTS, lettered=False),
            "scene": ChoiceTask("which scene?", SCENES, lettered=False),
        },
        text_normalizer="spoken",
        max_text_chars=240,
        max_audio_s=60.0,
        max_segment_s=26.0,  # windows of training last up to 30 s
        memory=Memory(turns=4),
        reply_outputs=("both",),  # answers are always spoken
        translation_prompt="",  # it has not learned to translate
        follows_instructions=False,
        speech_sampling=greedy,
        chat_sampling=greedy,
        listening_sampling=greedy,
        transcript_limit=TextLimit(ids_per_s=14.0, extra_ids=32),
        answer_limit=TextLimit(ids_per_s=0.0, extra_ids=64),
    )
