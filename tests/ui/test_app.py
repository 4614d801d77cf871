"""The page as a whole: its tabs and their addresses, its endpoints, how it is started."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from playwright.sync_api import expect

import app
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.settings import Settings
from kimi_demo.ui import build_ui, launch_options
from kimi_demo.ui.about import readable_card
from kimi_demo.ui.app import page_words
from kimi_demo.ui.endpoints import (
    ADDRESS,
    SOUND_FILE,
    Endpoint,
    curl_snippet,
    endpoints,
    python_snippet,
)
from kimi_demo.ui.examples import EXAMPLES, KINDS, labelled, questions, sentences, sounds, worded

HEARD = "the cat sleeps under the green tree"
TABS = ["speech", "conversation", "transcribe", "caption", "understand", "about"]
ENDPOINTS = ["/speak", "/chat", "/transcribe", "/caption", "/ask", "/choose"]


@pytest.fixture(scope="module")
def documented(site: Any) -> dict[str, Endpoint]:
    return {endpoint.name: endpoint for endpoint in endpoints(build_ui(site.engine))}


def test_each_tab_has_a_documented_endpoint_and_nothing_else_is_public(client: Client):
    public = client.view_api(return_format="dict")["named_endpoints"]
    assert list(public) == ENDPOINTS
    for name, endpoint in public.items():
        assert len(endpoint["description"]) > 20, name
        typed = [parameter["python_type"]["type"] for parameter in endpoint["parameters"]]
        assert "Any" not in typed, name


def test_the_page_documents_what_is_public(documented: dict[str, Endpoint]):
    assert list(documented) == ENDPOINTS
    assert all(endpoint.summary and endpoint.parameters for endpoint in documented.values())
    assert documented["/choose"].takes == ("audio", "task")
    assert dict(documented["/ask"].parameters)["question"].startswith("For example")


@pytest.mark.parametrize(
    ("name", "printed"), [("/speak", ".wav"), ("/caption", HEARD), ("/ask", HEARD)]
)
def test_the_python_snippet_runs(
    documented: dict[str, Endpoint],
    site: Any,
    speech_wav: Path,
    name: str,
    printed: str,
    capsys: pytest.CaptureFixture[str],
):
    program = python_snippet(documented[name]).replace(ADDRESS, site.url)
    exec(program.replace(SOUND_FILE, str(speech_wav)), {})
    assert printed in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("name", ["/caption", "/speak"])
def test_the_curl_snippet_runs(
    documented: dict[str, Endpoint], site: Any, speech_wav: Path, name: str
):
    program = curl_snippet(documented[name]).replace(ADDRESS, site.url)
    shell = subprocess.run(
        ["sh", "-c", program.replace(SOUND_FILE, str(speech_wav))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "event: complete" in shell.stdout, shell.stderr
    assert (HEARD if name == "/caption" else ".wav") in shell.stdout


def test_a_card_loses_title_and_links_into_the_repository():
    card = "# nano\n\nSee [words](../words.txt) and [home](https://example.org).\n"
    assert readable_card(card) == "See words and [home](https://example.org).\n"


@pytest.mark.parametrize(("name", "told"), [("nano", True), ("another", False)])
def test_only_the_embedded_checkpoint_is_said_to_be_made_of_its_teachers(
    site: Any, name: str, told: bool
):
    named = dataclasses.replace(site.engine.capabilities, model=name)
    page = build_ui(ScriptedEngine([], named))
    (shown,) = [b for b in page.blocks.values() if b.elem_id == "about-origin"] or [None]
    assert bool(shown) == told
    for words in page_words(named).values():
        for maker, licence in [("Whisper", "MIT"), ("Kokoro", "Apache-2.0"), ("WordNet", "jieba")]:
            assert re.search(f"{maker}.*{licence}", words["about_nano"])


def test_examples_are_short_and_there_for_every_kind():
    for kind in KINDS:
        found = sounds(kind)
        assert found, kind
        assert all(Path(path).stat().st_size < 120_000 for path in found)
    known = {path for kind in KINDS for path in sounds(kind)}
    assert known == {str(path) for path in (EXAMPLES / "audio").glob("*.wav")}
    assert labelled("x/sound-phone-ring.wav") == "sound: phone ring"
    assert labelled("x/emotion-angry-zh.wav") == "emotion: angry 中文"


def test_a_spoken_example_is_named_by_its_words(tmp_path: Path):
    (tmp_path / "question-en.txt").write_text("What is it?\n", encoding="utf-8")
    assert worded(str(tmp_path / "question-en.wav")) == "What is it?"
    assert worded(str(tmp_path / "voice-man-en.wav")) == "voice: man English"
    assert all(path.with_suffix(".txt").exists() for path in map(Path, sounds("question")))
    assert all(path.with_suffix(".txt").exists() for path in map(Path, sounds("speech")))


def test_texts_are_those_of_the_languages_that_a_checkpoint_speaks(tmp_path: Path):
    (tmp_path / "speech.en.txt").write_text("One.\n\nTwo.\n", encoding="utf-8")
    (tmp_path / "speech.zh.txt").write_text("三。\n", encoding="utf-8")
    assert sentences(["en", "zh", "fr"], tmp_path) == ["One.", "Two.", "三。"]
    assert sentences(["zh"], tmp_path) == ["三。"]
    assert questions(["en"], tmp_path) == []


def test_switches_reach_the_launch(site: Any):
    settings = Settings.from_command_line(["--no-pwa"], {"GRADIO_MCP_SERVER": "true"})
    assert (settings.mcp, settings.pwa) == (True, False)
    options = launch_options(site.engine.capabilities, settings)
    assert (options["mcp_server"], options["pwa"]) == (True, False)
    assert (Settings().mcp, Settings().pwa) == (False, True)


def test_mcp_without_its_package_is_one_clear_line(monkeypatch: Any, capsys: Any):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert app.main(["--mcp"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gradio[mcp]" in line


def test_tabs_have_addresses(visit: Callable[..., Any], site: Any):
    page = visit(site.url).page
    shown = page.get_by_role("tab")
    assert [tab.get_attribute("id") for tab in shown.all()] == [f"tab-{n}-button" for n in TABS]
    page.goto(site.url + "#caption")
    page.reload()
    expect(page.locator("#caption-start")).to_be_visible()
    page.locator("#tab-about-button").click()
    expect(page.locator("#about-facts")).to_contain_text("scripted")
    assert page.url.endswith("#about")
    expect(page.locator("#about-api code").filter(has_text=site.url).first).to_be_attached()
    manifest = page.request.get(site.url + "manifest.json")
    assert manifest.ok


def test_a_preset_with_own_options_is_charted_on_a_phone(visit: Callable[..., Any], site: Any):
    visitor = visit(site.url, viewport={"width": 390, "height": 844})
    page = visitor.page
    page.locator("#tab-understand-button").click()
    page.get_by_role("button", name="emotion: happy English").last.click()
    options = page.locator("#understand-options textarea")
    expect(options).to_have_value("neutral, joy, sadness, anger, surprise, fear, disgust")
    options.fill("calm, wild")
    page.locator("#understand-start").click()
    expect(page.locator("#understand-report .figures")).to_be_visible()
    assert [option.label for option in site.engine.turns[-1].options] == ["calm", "wild"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#understand-stop")).to_be_disabled()
    page.locator("#understand-clear").click()
    expect(page.locator("#understand-answer textarea")).to_have_value("")
    page.locator("#understand-start").click()
    expect(visitor.toast()).to_contain_text("nothing to listen to")
