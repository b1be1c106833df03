"""The fixture's resources, prompts and completions, in wire form."""

from __future__ import annotations

import json
import re
from typing import Any

import mcp.types as t
from asking import Asking, form
from mcp import MCPError
from mcp.server import ServerRequestContext
from samples import embedded, image, png, text

Context = ServerRequestContext[Any, Any]

TEMPLATE = re.compile(r"test://template/([^/]+)/data")
STATIC: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "test://static-text": (
        {"name": "static-text", "description": "A fixed text.", "mimeType": "text/plain"},
        {"text": "This is the content of the static text resource."},
    ),
    "test://static-binary": (
        {"name": "static-binary", "description": "A fixed image.", "mimeType": "image/png"},
        {"blob": png()},
    ),
    "test://watched-resource": (
        {"name": "watched-resource", "description": "One to subscribe to.", "mimeType": "text/plain"},
        {"text": "Watched."},
    ),
}
"""URI -> how it is listed, what it holds."""

PROMPTS: list[dict[str, Any]] = [
    {"name": "test_simple_prompt", "description": "A prompt without arguments."},
    {
        "name": "test_prompt_with_arguments",
        "description": "A prompt with two arguments.",
        "arguments": [
            {"name": "arg1", "description": "First test argument", "required": True},
            {"name": "arg2", "description": "Second test argument", "required": True},
        ],
    },
    {
        "name": "test_prompt_with_embedded_resource",
        "description": "A prompt that embeds a resource.",
        "arguments": [{"name": "resourceUri", "description": "URI of the resource to embed", "required": True}],
    },
    {"name": "test_prompt_with_image", "description": "A prompt that shows an image."},
    {
        "name": "test_input_required_result_prompt",
        "description": "A prompt that asks the user for its context.",
    },
]


async def list_resources(ctx: Context, params: t.PaginatedRequestParams | None) -> dict[str, Any]:
    return {"resources": [{"uri": uri, **listed} for uri, (listed, _) in STATIC.items()]}


async def list_templates(ctx: Context, params: t.PaginatedRequestParams | None) -> dict[str, Any]:
    template = {
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data by id.",
        "mimeType": "application/json",
    }
    return {"resourceTemplates": [template]}


async def read_resource(ctx: Context, params: t.ReadResourceRequestParams) -> dict[str, Any]:
    uri = params.uri
    if uri in STATIC:
        listed, held = STATIC[uri]
        return {"contents": [{"uri": uri, "mimeType": listed["mimeType"], **held}]}
    if match := TEMPLATE.fullmatch(uri):
        found = match.group(1)
        body = json.dumps({"id": found, "templateTest": True, "data": f"Data for ID: {found}"})
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": body}]}
    raise MCPError(t.INVALID_PARAMS, "Resource not found", {"uri": uri})


async def accept(ctx: Context, params: Any) -> dict[str, Any]:
    """Takes a subscription or a log level; no resource ever changes, and all logs are of one level."""
    return {}


async def complete(ctx: Context, params: t.CompleteRequestParams) -> dict[str, Any]:
    words = ["paris", "park", "party", "testing"]
    values = [word for word in words if word.startswith(params.argument.value)]
    return {"completion": {"values": values, "total": len(values), "hasMore": False}}


async def get_prompt(ctx: Context, params: t.GetPromptRequestParams) -> dict[str, Any]:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            content = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            words = f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
            content = [text(words)]
        case "test_prompt_with_embedded_resource":
            uri = given.get("resourceUri", "")
            words = "Please process the embedded resource above."
            resource = embedded(uri, "text/plain", "Embedded resource content for testing.")
            content = [resource, text(words)]
        case "test_prompt_with_image":
            content = [image(), text("Please analyze the image above.")]
        case "test_input_required_result_prompt":
            fields = {"context": {"type": "string"}}
            asked = {"user_context": form("What context should the prompt use?", fields)}
            answers = await Asking.of(ctx, params)(asked)
            content = [text(f"Context: {answers['user_context'].get('content')}")]
        case _:
            raise MCPError(t.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return {"messages": [{"role": "user", "content": block} for block in content]}
