"""Requests in flight, and to whom it goes what an upstream says meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any

from gateway.call import STREAM_CLOSED, Peer, Silent
from gateway.errors import Unbridgeable
from gateway.upstream.link import NOTICES, Signals
from gateway.upstream.wire import METHOD_NOT_FOUND, progress_token

log = logging.getLogger("toolgate.upstream")

Message = Mapping[str, Any]
Reply = Callable[[dict[str, Any]], Awaitable[None]]

_INTERNAL_ERROR = -32603
_WAITING_AT_MOST = 1024
_ASKED_AT_MOST = 64


class Exchange:
    """One request in flight. `take` hands on what belongs to it, in order; `close` ends open questions.

    `inbox` is for links that read for all requests at once (a process): it keeps the order without letting
    one slow client hold up the others. `own` says that the request is the gateway's, not a client's; `agent` is whose.
    """

    def __init__(self, id: int, params: Mapping[str, Any], peer: Peer, signals: Signals, reply: Reply) -> None:
        self.id = id
        self.own = isinstance(peer, Silent)
        self.agent: str = getattr(peer, "agent", "")
        self.inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._token = progress_token(params)
        self._peer = peer
        self._signals = signals
        self._reply = reply
        self._asked: dict[str, asyncio.Task[None]] = {}

    def put(self, message: Message | None) -> None:
        """Leave a message, or None for the end of the connection, in the inbox; a flood is cut short."""
        notification = message is not None and "method" in message and "id" not in message
        if not notification or self.inbox.qsize() < _WAITING_AT_MOST:
            self.inbox.put_nowait(message)

    async def take(self, message: Message) -> None:
        """Handle a notification or a question of the upstream that came while this request runs."""
        method = message["method"]
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        if not isinstance(method, str):
            return
        if "id" in message:
            self._ask(message)
        elif method == "notifications/cancelled":
            asked = self._asked.get(str(params.get("requestId")))
            if asked is not None:
                asked.cancel()
        elif method in NOTICES:
            self._signals.notice(method, params)
        elif method != "notifications/progress":
            await self._tell(method, params)
        elif self._token is not None and params.get("progressToken") == self.id:
            await self._tell(method, {**params, "progressToken": self._token})

    def _ask(self, message: Message) -> None:
        id = str(message["id"])
        if len(self._asked) < _ASKED_AT_MOST and id not in self._asked:
            self._asked[id] = task = asyncio.ensure_future(answer(message, self._peer.ask, self._reply))
            task.add_done_callback(lambda _: self._asked.pop(id, None))

    async def rest(self) -> None:
        """Let the client know that the answer will come later than this stream lasts."""
        await self._tell(STREAM_CLOSED, {})

    async def _tell(self, method: str, params: dict[str, Any]) -> None:
        try:
            await self._peer.notify(method, params)
        except Exception as error:
            log.debug("a client did not take %s (%s)", method, type(error).__name__)

    def close(self) -> None:
        for task in list(self._asked.values()):
            task.cancel()


class Exchanges:
    """All requests in flight on one link, by id, and where a message goes that names none of them."""

    def __init__(self, server: str, signals: Signals, reply: Reply, ids: count[int] | None = None) -> None:
        self.open: dict[int, Exchange] = {}
        self._server = server
        self._signals = signals
        self._reply = reply
        self._ids = ids or count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._agents: set[str] = set()
        """All whose requests this link ever carried. What a tool says late, after its call ended or was given up, must
        not be taken for something about the one call that is in flight by then: that may be another agent's.
        """

    def begin(self, params: Mapping[str, Any], peer: Peer) -> Exchange:
        exchange = Exchange(next(self._ids), params, peer, self._signals, self._reply)
        self.open[exchange.id] = exchange
        if not exchange.own:
            self._agents.add(exchange.agent)
        return exchange

    def end(self, exchange: Exchange) -> None:
        exchange.close()
        self.open.pop(exchange.id, None)

    def find(self, message: Message) -> Exchange | None:
        """The request a message belongs to that came outside any request's own stream.

        What belongs to none (changes, pings, questions nobody can be asked) is dealt with here.
        """
        method, params = message.get("method"), message.get("params")
        params = params if isinstance(params, dict) else {}
        if not isinstance(method, str):
            id = message.get("id")
            if id is None:  # an error of a request whose id the upstream could not read
                return _only(list(self.open.values()))
            return self.open.get(id) if type(id) is int else None
        if method in NOTICES:
            self._signals.notice(method, params)
            return None
        if method == "notifications/progress":
            token = params.get("progressToken")
            return self.open.get(token) if type(token) is int else None
        asks_somebody = method != "ping" and len(self._agents) == 1
        only = _only([one for one in self.open.values() if not one.own]) if asks_somebody else None
        if only is None and "id" in message:
            self._spawn(answer(message, self._nobody, self._reply))
        return only

    async def _nobody(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        raise Unbridgeable("The gateway cannot tell which call asks, or which agent's it was.")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


def _only(exchanges: list[Exchange]) -> Exchange | None:
    return exchanges[0] if len(exchanges) == 1 else None


async def answer(
    message: Message, ask: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]], reply: Reply
) -> None:
    """Put an upstream's question to `ask` and send back what comes of it. Pings are answered here."""
    method, params = message["method"], message.get("params")
    body: dict[str, Any]
    try:
        result = {} if method == "ping" else await ask(method, params if isinstance(params, dict) else {})
        body = {"result": result}
    except Unbridgeable as error:
        body = {"error": {"code": METHOD_NOT_FOUND, "message": str(error)}}
    except Exception as error:
        log.debug("a question was not answered (%s)", type(error).__name__)
        body = {"error": {"code": _INTERNAL_ERROR, "message": "The client did not answer."}}
    try:
        await reply({"jsonrpc": "2.0", "id": message["id"], **body})
    except Exception as error:
        log.debug("an answer could not be delivered (%s)", type(error).__name__)
