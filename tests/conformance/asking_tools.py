"""The fixture's tools that ask the client for a form, a completion or its roots."""

from __future__ import annotations

import json
from typing import Any

from asking import form, roots, sampling
from samples import said
from tool import Request, Tools, strings, tool

ASKING: Tools = {}
NAME = {"name": {"type": "string"}}
OK = {"ok": {"type": "boolean"}}


@tool(ASKING, strings(prompt="The prompt to send to the model."))
async def test_sampling(request: Request) -> dict[str, Any]:
    """Asks the client's model."""
    answers = await request.ask({"answer": sampling(request.arguments["prompt"], 100)})
    return said(f"LLM response: {answers['answer']['content']['text']}")


@tool(ASKING)
async def test_missing_capability(request: Request) -> dict[str, Any]:
    """Asks the client's model, and so needs a client that declares sampling."""
    answers = await request.ask({"answer": sampling("Say anything.", 10)})
    return said(f"LLM response: {answers['answer']['content']['text']}")


@tool(ASKING, strings(message="The message to show the user."))
async def test_elicitation(request: Request) -> dict[str, Any]:
    """Asks the user for a name and an address."""
    fields = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    answers = await request.ask({"user": form(request.arguments["message"], fields)})
    return said(f"User response: {_outcome(answers['user'])}")


@tool(ASKING)
async def test_streaming_elicitation(request: Request) -> dict[str, Any]:
    """Asks the user to go on."""
    answers = await request.ask({"confirm": form("Go on?", OK)})
    return said(f"User response: {_outcome(answers['confirm'])}")


@tool(ASKING)
async def test_elicitation_sep1034_defaults(request: Request) -> dict[str, Any]:
    """Asks for a form whose fields have defaults."""
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    answers = await request.ask({"form": form("Please check these values.", fields, required=[])})
    return said(f"Elicitation completed: {_outcome(answers['form'])}")


@tool(ASKING)
async def test_elicitation_sep1330_enums(request: Request) -> dict[str, Any]:
    """Asks for a form with every kind of choice."""
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    fields = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    answers = await request.ask({"form": form("Please choose.", fields, required=[])})
    return said(f"Elicitation completed: {_outcome(answers['form'])}")


@tool(ASKING)
async def test_input_required_result_elicitation(request: Request) -> dict[str, Any]:
    """Asks for a name and greets."""
    answers = await request.ask({"user_name": form("What is your name?", NAME)})
    return said(f"Hello, {_field(answers['user_name'], 'name')}!")


@tool(ASKING)
async def test_input_required_result_sampling(request: Request) -> dict[str, Any]:
    """Asks the client's model for a capital."""
    answers = await request.ask({"capital_question": sampling("What is the capital of France?", 100)})
    return said(answers["capital_question"]["content"]["text"])


@tool(ASKING)
async def test_input_required_result_list_roots(request: Request) -> dict[str, Any]:
    """Asks for the client's roots."""
    answers = await request.ask({"client_roots": roots()})
    return said("Roots: " + ", ".join(root["uri"] for root in answers["client_roots"]["roots"]))


@tool(ASKING)
async def test_input_required_result_request_state(request: Request) -> dict[str, Any]:
    """Asks to confirm, and leaves its state with the client."""
    answers = await request.ask({"confirm": form("Please confirm", OK)}, state="confirming")
    return said(f"state-ok: {_outcome(answers['confirm'])}")


@tool(ASKING)
async def test_input_required_result_tampered_state(request: Request) -> dict[str, Any]:
    """Asks to confirm, and leaves a sealed state with the client."""
    answers = await request.ask({"confirm": form("Please confirm", OK)}, state="sealed")
    return said(f"The state came back whole: {_outcome(answers['confirm'])}")


@tool(ASKING)
async def test_input_required_result_multiple_inputs(request: Request) -> dict[str, Any]:
    """Asks the user, the model and for the roots at once."""
    asked = {
        "user_name": form("What is your name?", NAME),
        "greeting": sampling("Generate a greeting", 50),
        "client_roots": roots(),
    }
    answers = await request.ask(asked, state="asked-all")
    return said(f"{answers['greeting']['content']['text']} ({_field(answers['user_name'], 'name')})")


@tool(ASKING)
async def test_input_required_result_multi_round(request: Request) -> dict[str, Any]:
    """Asks for a name, then for a color."""
    named = "named:"
    if (request.ask.state or "").startswith(named):
        name = str(request.ask.state).removeprefix(named)
    else:
        first = await request.ask({"step1": form("Step 1: What is your name?", NAME)}, state="unnamed")
        name = _field(first["step1"], "name")
    color = {"color": {"type": "string"}}
    second = await request.ask({"step2": form("Step 2: What is your favorite color?", color)}, state=named + name)
    return said(f"{name} likes {_field(second['step2'], 'color')}.")


@tool(ASKING)
async def test_input_required_result_capabilities(request: Request) -> dict[str, Any]:
    """Asks whatever this client can answer."""
    wanted = {"greeting": sampling("Generate a greeting", 50), "user_name": form("What is your name?", NAME)}
    asked = {key: ask for key, ask in wanted.items() if request.ask.supports(ask["method"])}
    answers = await request.ask(asked or wanted)
    return said(f"Answered: {', '.join(answers)}")


def _outcome(answer: dict[str, Any]) -> str:
    return f"action={answer['action']}, content={json.dumps(answer.get('content', {}))}"


def _field(answer: dict[str, Any], name: str) -> str:
    """One field of a form, or what the user did instead of filling it in."""
    return str(answer.get("content", {}).get(name, answer["action"]))
