"""What the tabs are made of: two columns, one run at a time, and an end that is always tidy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import Dependency
from gradio.i18n import I18nData

from kimi_demo.engine.base import Engine
from kimi_demo.text.languages import DETECT
from kimi_demo.ui.failures import readable, toast
from kimi_demo.ui.i18n import tr
from kimi_demo.ui.view import LANGUAGE_NAMES

Updates = dict[Block, Any]
Words = Mapping[str, dict[str, str]]
# For events that no visitor waits for and no program calls. Private events have names, too: without
# one of its own, a handler called `ask` would take that of an endpoint.
QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "api_name": "quiet",
}

# The same through the queue, without which no toast reaches the visitor.
ALWAYS: dict[str, Any] = {
    "show_progress": "hidden",
    "api_visibility": "private",
    "api_name": "conversation",  # else it would take the name of its function, and of an endpoint
}


def language_choices(codes: Iterable[str]) -> list[tuple[I18nData | str, str]]:
    """For a radio: Detect, then each language by its own name."""
    return [(tr("language_auto"), DETECT), *((LANGUAGE_NAMES.get(c, c), c) for c in codes)]


def changed(values: Mapping[Component, Any]) -> Updates:
    """The updates among these values; None leaves a component as it is."""
    return {component: value for component, value in values.items() if value is not None}


@contextmanager
def readable_errors(words: Mapping[str, str]) -> Iterator[None]:
    """Whatever fails inside reaches an endpoint's caller as one sentence."""
    try:
        yield
    except Exception as exc:
        raise readable(exc, words) from exc


def aside() -> gr.Column:
    """What a tab merely offers: on a phone it stands below the answer."""
    return gr.Column(elem_classes="aside", min_width=0)


class Actions:
    """Start and Stop in a row, and Clear where there is something to clear."""

    def __init__(self, name: str, start_label: str | I18nData, clear: bool = True) -> None:
        with gr.Row(elem_classes="actions"):
            self.start = gr.Button(
                start_label, variant="primary", scale=2, min_width=120, elem_id=f"{name}-start"
            )
            self.stop = gr.Button(
                tr("stop"),
                interactive=False,
                min_width=90,
                elem_id=f"{name}-stop",
                elem_classes="stop",
            )
            if clear:
                self.clear = gr.Button(tr("clear"), min_width=90, elem_id=f"{name}-clear")

    def busy(self) -> Updates:
        return {self.start: gr.Button(interactive=False), self.stop: gr.Button(interactive=True)}

    def idle(self) -> Updates:
        return {self.start: gr.Button(interactive=True), self.stop: gr.Button(interactive=False)}


class TaskTab(ABC):
    """A tab inside the current Blocks context: what is given on the left, what comes on the right.

    A subclass builds both columns, `actions` and `report` among them, and connects them.
    """

    actions: Actions
    report: gr.HTML

    def __init__(self, engine: Engine, words: Words) -> None:
        self._engine = engine
        self._words = words
        with gr.Row(elem_classes="task"):
            with gr.Column(scale=5, min_width=300):
                self._build_inputs()
            with gr.Column(scale=6, min_width=300):
                self._build_outputs()
        self._connect()
        self._connect_api()

    @abstractmethod
    def _build_inputs(self) -> None: ...

    @abstractmethod
    def _build_outputs(self) -> None: ...

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    def _connect_api(self) -> None: ...

    def _idle(self) -> Updates:
        """The page once a run is over, however it ended."""
        return self.actions.idle()

    def _on_start(
        self,
        triggers: list[Callable[..., Any]],
        run: Callable[..., Iterator[Updates]],
        inputs: list[Component],
        outputs: list[Component],
        js: str | None = None,
    ) -> Dependency:
        return gr.on(
            triggers,
            run,
            inputs=inputs,
            outputs=[*outputs, self.actions.start, self.actions.stop],
            js=js,
            show_progress="minimal",
            show_progress_on=self.report,
            api_visibility="private",
        )

    def _on_end(
        self,
        button: gr.Button,
        running: Dependency,
        end: Callable[..., Updates],
        inputs: list[Component],
        outputs: list[Component],
        js: str | None = None,
    ) -> None:
        """Stop or Clear: ends the run, and only then shows what comes after it.

        Both in one event would race with the last update of the run.
        """
        ended = button.click(None, js=js, cancels=[running], **QUIET)
        buttons = [self.actions.start, self.actions.stop]
        ended.then(end, inputs, [*outputs, *buttons], **QUIET)

    def _tidied(self, updates: Iterator[Updates], words: Mapping[str, str]) -> Iterator[Updates]:
        """A run, then the idle page; a failure comes last, since an event shows nothing after it.

        Closing it (Stop, or a visitor who leaves) closes the run.
        """
        failure = None
        try:
            with closing(updates):  # type: ignore[type-var]
                yield from updates
        except Exception as exc:
            failure = toast(exc, words)
        yield self._idle()
        if failure:
            raise failure
