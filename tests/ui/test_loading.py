"""The page while its model is loaded, and when it cannot be."""

import threading

from playwright.sync_api import expect

from kimi_demo.engine.late import LateEngine
from kimi_demo.errors import CheckpointError
from tests.ui.conftest import scripted_engine


def test_it_says_that_the_model_loads_why_it_failed_and_tries_again(serve, window):
    gate, tries = threading.Event(), []

    def create():
        gate.wait(30)
        tries.append(1)
        if len(tries) == 1:
            raise CheckpointError("a file is missing: fetch it again")
        return scripted_engine()

    engine = LateEngine(scripted_engine().capabilities, create)
    with serve(engine) as site:
        page = window.new_page()
        page.goto(site.url)
        note = page.locator("#loading-note")
        expect(note).to_contain_text("The model is loading")
        expect(page.locator("#load-again")).not_to_be_visible()
        engine.load()
        gate.set()
        expect(note).to_contain_text("could not be loaded: a file is missing: fetch it again")
        page.locator("#load-again").click()
        expect(note).not_to_be_visible()
        page.locator("#speech-text textarea").fill("hello")
        page.locator("#speech-start").click()
        expect(page.locator("#speech-report")).to_contain_text("RTF")
        page.close()
