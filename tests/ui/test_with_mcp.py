"""The page's endpoints as tools of the Model Context Protocol, called by its own client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

from kimi_demo.settings import Settings
from tests.ui.conftest import scripted_engine

TOOLS = ["speak", "chat", "transcribe", "caption", "ask", "choose"]


def test_a_client_of_mcp_lists_and_calls_the_tools(serve: Callable[..., Any]):
    async def visit(url: str) -> tuple[list[str], dict[str, Any]]:
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as client,
        ):
            await client.initialize()
            names = [tool.name for tool in (await client.list_tools()).tools]
            calls = {"speak": {"text": "Hello."}, "chat": {"text": "Hello?", "history": []}}
            return names, {name: await client.call_tool(name, call) for name, call in calls.items()}

    # In a thread of its own: the browser's driver has a loop in this one.
    with serve(scripted_engine(), Settings(mcp=True)) as site, ThreadPoolExecutor() as thread:
        names, results = thread.submit(asyncio.run, visit(site.url)).result()
    assert names == TOOLS
    for result in results.values():
        assert not result.isError, result.content
        assert ".wav" in result.content[0].text
