"""The OpenAPI document: complete for people, and true for a machine that takes it at its word."""

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error

from kimi_demo.api import Service, create_api
from kimi_demo.engine.base import Capabilities
from kimi_demo.engine.scripted import ScriptedEngine
from kimi_demo.events import (
    AudioDelta,
    Finished,
    Started,
    Stepped,
    TextDelta,
    Weighed,
)

PATHS = {
    "/audio/speech": "post",
    "/audio/transcriptions": "post",
    "/audio/translations": "post",
    "/audio/voices": "get",
    "/chat/completions": "post",
    "/realtime/client_secrets": "post",
    "/models": "get",
    "/models/{model}": "get",
}
PATIENCE_S = 20.0
TONE = np.sin(np.arange(4800) / 10).astype(np.float32) / 2


def script(request):
    """Some of everything that was asked for."""
    yield from (Started(3), Stepped(1, 0))
    if request.options:
        yield Weighed((1.0, *[0.0] * (len(request.options) - 1)))
    yield TextDelta("fine")
    if request.output == "both":
        yield AudioDelta(TONE, 24_000)
    yield Finished("stop", 3, 1, 2, audio_codes=(1, 2))


def create():
    engine = ScriptedEngine(script, Capabilities("scripted", "", "cpu", 1, 24_000, ("en", "zh")))
    return create_api(Service(engine))


API = create()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", API)


def test_every_route_is_in_it_with_a_summary():
    document = API.openapi()
    assert {path: next(iter(found)) for path, found in document["paths"].items()} == PATHS
    for path, method in PATHS.items():
        operation = document["paths"][path][method]
        assert operation["summary"]
        assert len(operation["description"]) > 40, path
        told = {"200", "400", "401", "404", "413", "500", "503"}
        assert set(operation["responses"]) == told
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_every_parameter_is_described():
    document = API.openapi()
    schemas = document["components"]["schemas"]
    asked = [name for name in schemas if name.endswith(("Request", "Form"))]
    assert len(asked) == 5
    for name in asked:
        for field, found in schemas[name]["properties"].items():
            assert found.get("description"), f"{name}.{field}"
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), parameter["name"]


def test_the_page_of_it_needs_no_other_server(nano_site):
    page = httpx.get(nano_site.url + "/v1/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    sources = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    assert sources
    for source in sources:
        assert httpx.get(nano_site.url + source).status_code == 200


@pytest.mark.filterwarnings("ignore")
@SCHEMA.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_nothing_that_it_allows_or_forbids_breaks_the_server(case):
    reply = case.call(timeout=PATIENCE_S)
    case.validate_response(reply, checks=[not_a_server_error])
    if reply.status_code >= 400:
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
