"""The tab that answers questions about a sound, open or closed; endpoints `/ask` and `/choose`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import gradio as gr

from kimi_demo.audio import Audio
from kimi_demo.choices import ChoiceTask
from kimi_demo.engine.base import Capabilities
from kimi_demo.events import Answer, collect
from kimi_demo.intents import Ask, Choose
from kimi_demo.ui.examples import labelled, sounds
from kimi_demo.ui.i18n import EN, ZH, tr, words_for
from kimi_demo.ui.listening import AnswerBox, answer_changes, heard, sound_input
from kimi_demo.ui.tab import (
    QUIET,
    Actions,
    TaskTab,
    Updates,
    aside,
    changed,
    readable_errors,
)

NAME = "understand"
ASK = "ask"  # an open question, as a value beside the names of the closed ones
_SEPARATORS = re.compile(r"[,，、;；\n]+")
# Kind of example -> the closed question it belongs to, or an open one.
_EXAMPLE_TASKS = {"emotion": "emotion", "sound": "sound", "scene": "scene"}
_EXAMPLE_QUESTIONS = {
    "beeps": "How many beeps are there?",
    "sequence": "Which sound comes first?",
    "voice": "Which language is it?",
}


def split_options(text: str) -> list[str]:
    """ "dog, cat" -> ["dog", "cat"]; Mandarin commas and lines separate too."""
    return [option for part in _SEPARATORS.split(text or "") if (option := part.strip())]


def preset_words(capabilities: Capabilities) -> dict[str, tuple[str, str]]:
    """Names of the checkpoint's closed questions for both dictionaries, (English, Mandarin).

    "sound-nonspeech7k" is named like "sound", with what follows the hyphen behind it.
    """
    named = {}
    for task in capabilities.tasks.choices:
        base, _, variant = task.partition("-")
        suffix = f" ({variant})" if variant else ""
        key = f"understand_task_{base}"
        english, mandarin = EN.get(key, base.capitalize()), ZH.get(key, base)
        named[f"understand_preset_{task}"] = (english + suffix, mandarin + suffix)
    return named


def question_of(sound: Audio, task: str, question: str, options: str) -> Ask | Choose:
    """What was chosen on the page or sent to an endpoint."""
    if task == ASK:
        return Ask.about(sound, question)
    return Choose.about(sound, task, tuple(split_options(options)), question)


def chances(answer: Answer) -> dict[str, float]:
    """Probability of each option; empty where a server does not tell them."""
    found = zip(answer.options, answer.probabilities, strict=True)
    return {option: round(chance, 4) for option, chance in found}


class UnderstandTab(TaskTab):
    """A sound and a question on the left; the answer, and how likely each option was, right."""

    @property
    def _choices(self) -> Mapping[str, ChoiceTask]:
        return self._engine.capabilities.tasks.choices

    def _build_inputs(self) -> None:
        self.audio = sound_input(f"{NAME}-audio")
        presets = [(tr(f"understand_preset_{task}"), task) for task in self._choices]
        self.task = gr.Radio(
            [(tr("understand_ask"), ASK), *presets],
            value=ASK,
            label=tr("understand_task"),
            elem_id=f"{NAME}-task",
        )
        self.question = gr.Textbox(
            label=tr("understand_question"),
            placeholder=tr("understand_question_placeholder"),
            lines=1,
            max_lines=5,
            elem_id=f"{NAME}-question",
        )
        self.options = gr.Textbox(
            label=tr("understand_options"),
            info=tr("understand_options_info"),
            lines=2,
            max_lines=8,
            visible=False,
            elem_id=f"{NAME}-options",
        )
        self.actions = Actions(NAME, tr("understand_start"))
        with aside():
            self._build_examples()
            gr.HTML(tr("understand_note"), elem_classes="note")

    def _build_examples(self) -> None:
        chosen = [
            (kind, task, self._choices[task].question)
            for kind, task in _EXAMPLE_TASKS.items()
            if task in self._choices
        ]
        asked = [(kind, ASK, question) for kind, question in _EXAMPLE_QUESTIONS.items()]
        rows, labels = [], []
        for kind, task, question in (*chosen, *asked):
            for path in sounds(kind):
                rows.append([path, task, question])
                labels.append(labelled(path) + (f" – {question}" if task == ASK else ""))
        if rows:
            gr.Examples(
                rows,
                [self.audio, self.task, self.question],
                label=tr("examples"),
                example_labels=labels,
                examples_per_page=len(rows),
                api_visibility="private",
            )

    def _build_outputs(self) -> None:
        box = AnswerBox(NAME, tr("understand_answer"), tr("understand_answer_placeholder"))
        self.answer, self.report = box.text, box.report
        self.chart = gr.Label(
            label=tr("understand_chart"),
            show_heading=False,
            visible=False,
            elem_id=f"{NAME}-chart",
        )

    def _connect(self) -> None:
        shown = [self.answer, self.chart, self.report]
        running = self._on_start(
            [self.actions.start.click, self.question.submit],
            self._run,
            [self.audio, self.task, self.question, self.options],
            shown,
        )
        self._on_end(self.actions.stop, running, self._idle, [], [])
        self._on_end(self.actions.clear, running, self._cleared, [], [self.audio, *shown])
        self.task.change(
            self._preset, [self.task, self.question], [self.question, self.options], **QUIET
        )

    def _connect_api(self) -> None:
        with gr.Row(visible=False):
            question = gr.Textbox("", label="question")
            options = gr.Textbox("", label="options")
            task = gr.Dropdown(list(self._choices), label="task")
            text, result = gr.Textbox(label="answer"), gr.JSON(label="result")
        gr.on(
            [],
            self.ask,
            inputs=[self.audio, self.question],
            outputs=[text],
            api_name="ask",
        )
        gr.on(
            [],
            self.choose,
            inputs=[self.audio, task, options, question],
            outputs=[result],
            api_name="choose",
        )

    def ask(self, audio: str, question: str) -> str:
        """Answers any question about a sound file.

        Args:
            audio: A wav, flac, ogg, opus or mp3 file.
            question: For example "How many beeps are there?"
        """
        english = self._words["en"]
        with readable_errors(english):
            return collect(self._engine.stream(Ask.about(heard(audio, english), question))).text

    def choose(
        self, audio: str, task: str, options: str = "", question: str = ""
    ) -> dict[str, object]:
        """Decides which of several options fits a sound file, and how sure that is.

        Args:
            audio: A wav, flac, ogg, opus or mp3 file.
            task: A closed question by its name, such as emotion, sound or scene.
            options: Own options, separated by commas; empty takes the task's.
            question: Own wording of the question; empty takes the task's.

        Returns:
            text, the likeliest option, and options, the probability of each where it is known.
        """
        english = self._words["en"]
        with readable_errors(english):
            sound = heard(audio, english)
            chosen = Choose.about(sound, task, tuple(split_options(options)), question)
            answer = collect(self._engine.stream(chosen))
        return {"text": answer.text, "options": chances(answer)}

    def _run(
        self, path: str | None, task: str, question: str, options: str, visitor: gr.Request
    ) -> Iterator[Updates]:
        words = words_for(self._words, visitor)
        yield from self._tidied(self._answered(path, task, question, options, words), words)

    def _answered(
        self, path: str | None, task: str, question: str, options: str, words: Mapping[str, str]
    ) -> Iterator[Updates]:
        sound = heard(path, words)
        asked = question_of(sound, task, question, options)
        changes = answer_changes(self._engine, asked, words)
        yield self._emptied() | self.actions.busy()
        for change in changes:
            chart = change.chances and gr.Label(dict(change.chances), visible=True)
            yield changed({self.answer: change.text, self.chart: chart, self.report: change.report})

    def _preset(self, task: str, question: str) -> tuple[object, object]:
        """Question and options of a preset; an open question stays as the visitor wrote it."""
        if task in self._choices:
            chosen = self._choices[task]
            return chosen.question, gr.Textbox(", ".join(chosen.options), visible=True)
        known = {choice.question for choice in self._choices.values()}
        return "" if question in known else gr.skip(), gr.Textbox(visible=False)

    def _emptied(self) -> Updates:
        return {self.answer: "", self.chart: gr.Label(None, visible=False), self.report: ""}

    def _cleared(self) -> Updates:
        return self._idle() | self._emptied() | {self.audio: None}
