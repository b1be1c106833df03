"""The fixture's tools that ask nothing: content, errors, progress, logging, streams, headers."""

from __future__ import annotations

from typing import Any

import anyio
from samples import audio, embedded, image, said, text
from tool import Request, Tools, tool

PLAIN: Tools = {}
STEP = 0.05
"""Seconds between two notifications, so that a client receives them one by one."""

DIALECT_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
MIRRORED = {
    "type": "object",
    "properties": {"region": {"type": "string", "description": "Where to run.", "x-mcp-header": "Region"}},
    "required": ["region"],
}


@tool(PLAIN)
async def test_simple_text(request: Request) -> dict[str, Any]:
    """Answers with one line of text."""
    return said("This is a simple text response for testing.")


@tool(PLAIN)
async def test_image_content(request: Request) -> dict[str, Any]:
    """Answers with an image."""
    return {"content": [image()]}


@tool(PLAIN)
async def test_audio_content(request: Request) -> dict[str, Any]:
    """Answers with a sound."""
    return {"content": [audio()]}


@tool(PLAIN)
async def test_embedded_resource(request: Request) -> dict[str, Any]:
    """Answers with a resource inside the result."""
    words = "This is an embedded resource content."
    return {"content": [embedded("test://embedded-resource", "text/plain", words)]}


@tool(PLAIN)
async def test_multiple_content_types(request: Request) -> dict[str, Any]:
    """Answers with text, an image and a resource."""
    resource = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return {"content": [text("Multiple content types test:"), image(), resource]}


@tool(PLAIN)
async def test_error_handling(request: Request) -> dict[str, Any]:
    """Always fails."""
    return {**said("This tool intentionally returns an error for testing"), "isError": True}


@tool(PLAIN)
async def test_tool_with_progress(request: Request) -> dict[str, Any]:
    """Reports progress three times."""
    for done in (0, 50, 100):
        await request.ctx.session.report_progress(done, 100)
        await anyio.sleep(STEP)
    return said("Progress was reported.")


@tool(PLAIN)
async def test_tool_with_logging(request: Request) -> dict[str, Any]:
    """Logs three times at level info."""
    await _log(request, "Tool execution started", "Tool processing data", "Tool execution completed")
    return said("Tool with logging executed successfully.")


@tool(PLAIN)
async def test_logging_tool(request: Request) -> dict[str, Any]:
    """Logs once at level info, where the client wants logs."""
    await _log(request, "Tool execution started")
    return said("Logging tool executed successfully.")


@tool(PLAIN)
async def test_reconnection(request: Request) -> dict[str, Any]:
    """Closes the stream of its own request, then answers: the client has to come back for it."""
    if request.ctx.close_sse_stream is not None:
        await anyio.sleep(STEP)  # the SDK sends the event that makes it resumable from a task of its own
        await request.ctx.close_sse_stream()
        await anyio.sleep(2 * STEP)
    return said("The answer came after the stream was closed.")


@tool(PLAIN, DIALECT_2020_12)
async def json_schema_2020_12_tool(request: Request) -> dict[str, Any]:
    """Tool with JSON Schema 2020-12 features"""
    return said(f"Arguments: {dict(request.arguments)}")


@tool(PLAIN, MIRRORED)
async def test_mirrored_argument(request: Request) -> dict[str, Any]:
    """Has an argument that clients repeat in a header."""
    return said(f"Region: {request.arguments['region']}")


async def _log(request: Request, *messages: str) -> None:
    for message in messages:
        await request.ctx.session.send_log_message(
            "info", message, logger="fixture", related_request_id=request.ctx.request_id
        )
        await anyio.sleep(STEP)
