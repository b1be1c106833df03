"""The legacy side of a face that cannot begin: whoever asked hears of it, and the next one gets a new try."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from gateway.call import Principal
from gateway.mcp_face.sessions import Sessions

ADA = Principal("ada", "t")


@dataclass
class Face:
    """A face's legacy side that may fail to begin; counts whom it served."""

    failure: Exception | None
    served: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        self.served += 1


@dataclass
class Making:
    """Makes the faces it is given, or raises what stands in their place."""

    script: list[Face | Exception]
    made: list[str | None] = field(default_factory=list)

    def __call__(self, module: ModuleType, server: str | None) -> Any:
        self.made.append(server)
        face = self.script.pop(0)
        if isinstance(face, Exception):
            raise face
        return face


async def unused(*_: Any) -> Any:
    raise AssertionError("the faces of these tests read and write nothing")


async def serve(sessions: Sessions) -> None:
    async with asyncio.timeout(5):
        await sessions.serve({}, unused, unused, ADA, "shop")


@pytest.mark.parametrize("first", [Face(OSError("cannot begin")), OSError("cannot be made")])
async def test_a_face_that_cannot_begin_tells_its_first_caller_and_the_next_one_is_served(
    first: Face | Exception,
) -> None:
    whole = Face(None)
    sessions = Sessions(Making([first, whole]))
    with pytest.raises(OSError, match="cannot be"):
        await serve(sessions)
    await serve(sessions)
    assert whole.served == 1
    await sessions.close()


async def test_of_callers_that_come_at_once_only_the_first_suffers() -> None:
    whole = Face(None)
    making = Making([Face(OSError("cannot begin")), whole])
    sessions = Sessions(making)
    ended = await asyncio.gather(*(serve(sessions) for _ in range(5)), return_exceptions=True)
    assert [type(end) for end in ended] == [OSError] + [type(None)] * 4
    assert whole.served == 4 and making.made == ["shop", "shop"]
    await sessions.close()
