"""What surrounds the routes: models, keys, ids, limits, health, metrics."""

import contextlib
import http.client
import json
import time

import httpx
import openai
import pytest

from kimi_demo.api.aliases import ALIASES, VOICES
from kimi_demo.api.keys import Keys
from kimi_demo.api.middleware import MAX_BODY_BYTES
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.late import LateEngine
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.engine.tasks.words import said
from kimi_demo.tasks import TaskTable

KEY = "a-long-secret"
SAY = {"model": "tts-1", "voice": "alloy", "input": "hello"}


def broken(request):
    raise ValueError("detail of a bug")


@pytest.fixture(scope="module")
def buggy():
    return ScriptedEngine(broken, Capabilities("scripted", "", "cpu", 1, 24_000))


@pytest.fixture(scope="module")
def guarded(serve_api, buggy):
    """A server with a key, whose engine has a bug."""
    with serve_api(buggy, keys=Keys.of(f"bob={KEY}")) as site:
        yield site


def test_models_and_aliases_are_listed(client, nano, nano_site):
    models = list(client.models.list())
    assert [model.id for model in models] == ["nano", *ALIASES]
    for model in models:
        assert (model.object, model.owned_by) == ("model", "kimi-demo")
        assert model.created == nano_site.service.started
    assert [model.root for model in models] == [None, *["nano"] * len(ALIASES)]
    assert client.models.retrieve("whisper-1").root == "nano"


def test_the_model_says_what_it_is(client, nano):
    about = client.models.retrieve("nano").about
    known = nano.capabilities
    assert about["label"] == known.label
    assert (about["parameters"], about["sample_rate"]) == (known.parameters, known.sample_rate)
    tasks = TaskTable.of(about["tasks"])
    assert (tasks.choices, tasks.max_text_chars) == (
        known.tasks.choices,
        known.tasks.max_text_chars,
    )
    assert tasks == known.tasks
    assert said(tasks, "20%") == "Twenty percent"


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as failed:
        client.models.retrieve("owner/other")
    assert (failed.value.param, failed.value.code) == ("model", "model_not_found")
    assert failed.value.request_id.startswith("req_")


def test_voices_are_listed(nano_site):
    voices = httpx.get(f"{nano_site.url}/v1/audio/voices").json()
    assert voices["object"] == "list"
    assert [voice["id"] for voice in voices["data"]] == list(VOICES)
    assert {voice["object"] for voice in voices["data"]} == {"audio.voice"}


@pytest.mark.parametrize("key", ["-", "wrong", KEY[:-1], KEY + "x"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/docs", "/v1/nothing", "/metrics"])
def test_every_route_wants_the_key(guarded, path, key):
    reply = httpx.get(guarded.url + path, headers={"authorization": f"Bearer {key}"})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    error = reply.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")


def test_the_client_says_that_its_key_is_wrong(guarded):
    with pytest.raises(openai.AuthenticationError) as failed:
        guarded.client("wrong-key").models.list()
    assert failed.value.status_code == 401
    assert failed.value.request_id


def test_with_its_key_a_client_is_served_and_counted(guarded):
    before = guarded.service.metrics.value("kimi_key_requests_total", key="bob")
    assert guarded.client(KEY).models.list().data
    assert guarded.service.metrics.value("kimi_key_requests_total", key="bob") == before + 1


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_need_no_key(guarded, path):
    reply = httpx.get(guarded.url + path)
    assert (reply.status_code, reply.json()["status"] in ("ok", "ready")) == (200, True)


def test_a_server_is_not_ready_before_its_model_is(serve_api, nano):
    engine = LateEngine(nano.capabilities, lambda: nano)
    with serve_api(engine) as site:
        ready = httpx.get(site.url + "/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "loading")
        engine.load()
        while engine.status.phase == "loading":
            time.sleep(0.01)
        assert httpx.get(site.url + "/ready").status_code == 200
        assert site.client().audio.speech.create(**SAY).content


def test_a_server_that_cannot_compute_says_why(serve_api, nano):
    with serve_api(nano, away="no GPU outside the page") as site:
        ready = httpx.get(site.url + "/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, "no GPU outside the page")
        with pytest.raises(openai.InternalServerError) as failed:
            site.client(max_retries=2).audio.speech.create(**SAY)
        assert (failed.value.status_code, failed.value.code) == (503, "unavailable")
        assert failed.value.response.headers["x-should-retry"] == "false"
        assert site.client().models.list().data


def test_a_bug_is_a_500_without_details_that_nobody_repeats(guarded, buggy):
    before = len(buggy.turns)
    with pytest.raises(openai.InternalServerError) as failed:
        guarded.client(KEY, max_retries=2).audio.speech.create(**SAY)
    assert failed.value.status_code == 500
    assert "bug" not in str(failed.value.body)
    assert failed.value.code == "internal_error"
    assert failed.value.response.headers["x-request-id"] == failed.value.request_id
    assert len(buggy.turns) == before + 1
    assert guarded.service.metrics.value("kimi_errors_total", error="ValueError") >= 1


def test_a_request_keeps_the_id_that_its_client_gave(nano_site):
    def id_for(given):
        headers = {"x-request-id": given}
        return httpx.get(f"{nano_site.url}/v1/models", headers=headers).headers["x-request-id"]

    assert id_for("my-id.7") == "my-id.7"
    assert id_for("x" * 500).startswith("req_")


def refusals(site):
    series = [
        sample for metric in site.service.metrics._registry.collect() for sample in metric.samples
    ]
    return sum(s.value for s in series if s.labels.get("status") == "413" and "total" in s.name)


def test_a_body_that_says_it_is_too_large_is_not_read(nano_site):
    connection = http.client.HTTPConnection(nano_site.url.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/v1/audio/speech")
    connection.putheader("content-length", str(MAX_BODY_BYTES + 1))
    connection.endheaders()
    reply = connection.getresponse()
    assert reply.status == 413
    assert json.loads(reply.read())["error"]["code"] == "too_large"
    connection.close()


def test_a_body_that_does_not_say_so_is_read_up_to_the_limit(nano_site):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 3 * MAX_BODY_BYTES:
            sent += 2**20
            yield b"x" * 2**20

    before = refusals(nano_site)
    headers = {"content-type": "application/json"}
    with contextlib.suppress(httpx.WriteError):  # the server may hang up while we are sending
        url = f"{nano_site.url}/v1/audio/speech"
        httpx.post(url, content=endless(), headers=headers, timeout=60)
    assert refusals(nano_site) == before + 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("POST", "/v1/models", 405), ("GET", "/v1/audio/speech", 405)],
)
def test_wrong_addresses_are_told_like_everything_else(nano_site, method, path, status):
    reply = httpx.request(method, nano_site.url + path)
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]


def test_metrics_are_what_prometheus_reads(nano_site):
    reply = httpx.get(nano_site.url + "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    for series in (
        "kimi_first_audio_seconds_bucket",
        "kimi_first_text_seconds_bucket",
        "kimi_real_time_factor_bucket",
        "kimi_audio_underruns_total",
        "kimi_queue_depth",
        "kimi_queue_wait_seconds_bucket",
        "kimi_active_streams",
        "kimi_decode_steps_total",
    ):
        assert f"\n{series}" in reply.text, series


@pytest.mark.parametrize("body", ["{", "", "[1]", '"text"', "model=nano"])
@pytest.mark.parametrize("path", ["/v1/audio/speech", "/v1/chat/completions"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_what_is_no_json_object_is_refused_with_what_to_do(nano_site, path, body, kind):
    headers = {"content-type": kind}
    reply = httpx.post(nano_site.url + path, content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.json()["error"]["message"]
