"""The app is told to end while somebody talks with it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.documents import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def app():
    """`python app.py` on a free port, with its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout:
        if re.search(r"http://\S+", line):
            break
    yield process, f"ws://127.0.0.1:{port}/v1/realtime"
    process.kill()
    process.wait()


def test_talkers_are_told_to_come_back_and_the_app_ends_in_order(app):
    process, address = app
    with connect(address, open_timeout=60) as talk:
        assert json.loads(talk.recv(timeout=120))["type"] == "session.created"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            talk.recv(timeout=60)
    assert closed.value.rcvd.code in (1001, 1012)
    assert process.wait(60) == 0
