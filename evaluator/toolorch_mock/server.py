"""The HTTP server: health, models, version, metrics, chat completions."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from aiohttp import web

from toolorch_mock.arguments import VERSION, ServeOptions
from toolorch_mock.brains.base import Lookup, Turn
from toolorch_mock.brains.registry import Model
from toolorch_mock.caller import parse_caller
from toolorch_mock.chat_request import ApiError, ChatRequest, bad_request, parse_chat
from toolorch_mock.completion import Completion, complete
from toolorch_mock.counters import render_metrics
from toolorch_mock.dialect import Dialect
from toolorch_mock.engine import Engine
from toolorch_mock.flood import Flood
from toolorch_mock.openai_api import build_chat, build_chunks, build_error, build_models, build_usage

# A conversation with a whole fares table in it is a few hundred KiB.
_MAX_BODY_BYTES = 64 * 2**20


class Server:
    """One model server: its options, its model, its engine."""

    def __init__(
        self,
        options: ServeOptions,
        model: Model,
        engine: Engine,
        lookup: Lookup,
        tool_format: str = "",
        flood: Flood | None = None,
    ) -> None:
        self._options = options
        self._model = model
        self._engine = engine
        self._lookup = lookup
        self._dialect = Dialect(tool_format, options.tool_parser, bool(options.reasoning_parser))
        self._flood = flood or Flood()
        self._created = int(time.time())

    def build_app(self) -> web.Application:
        """Build the application with all routes."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/ping", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.get("/v1/models", self._models),
                web.post("/v1/chat/completions", self._chat),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Turn errors into the API's own form and ask for the key below /v1."""
        try:
            if request.path.startswith("/v1") and not self._is_authorized(request):
                return _json({"error": "Unauthorized"}, 401)
            response: web.StreamResponse = await handler(request)
            return response
        except ApiError as error:
            return _json(build_error(error), error.status)
        except web.HTTPException as error:
            return _json({"detail": error.reason}, error.status)

    def _is_authorized(self, request: web.Request) -> bool:
        keys = self._options.api_keys
        return not keys or request.headers.get("Authorization", "").removeprefix("Bearer ") in keys

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=503 if self._engine.is_dead else 200)

    async def _version(self, _: web.Request) -> web.Response:
        return _json({"version": VERSION})

    async def _metrics(self, _: web.Request) -> web.Response:
        text = render_metrics(self._engine.counters, self._options.served_names[0])
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _models(self, _: web.Request) -> web.Response:
        return _json(build_models(self._options, self._created))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise bad_request(f"JSON decode error: {error}") from None
        parses_tools = self._options.auto_tools or not self._model.needs_parser
        chat = parse_chat(body, len(raw), self._options, parses_tools)
        request_id = request.headers.get("X-Request-Id", "")
        await self._engine.work(request_id)
        turn = self._turn(chat, request_id)
        completion = complete(chat, self._model, self._dialect, turn)
        self._engine.counters.add(chat.prompt_tokens, completion.tokens, completion.finish_reason)
        answer_id = f"chatcmpl-{request_id or uuid.uuid4().hex}"
        if self._flood.falls_on(turn.caller):
            body = build_chat(answer_id, int(time.time()), chat.model, chat.prompt_tokens, completion)
            return await self._flood.answer(request, body)
        return await self._answer(request, chat, completion, answer_id)

    def _turn(self, chat: ChatRequest, request_id: str) -> Turn:
        caller = parse_caller(request_id)
        reference = self._lookup(caller.domain, caller.task_slug) if caller else None
        return Turn(chat.messages, chat.tools, caller, reference)

    async def _answer(
        self, request: web.Request, chat: ChatRequest, completion: Completion, answer_id: str
    ) -> web.StreamResponse:
        created = int(time.time())
        if not chat.stream:
            return _json(build_chat(answer_id, created, chat.model, chat.prompt_tokens, completion))
        usage = build_usage(chat.prompt_tokens, completion.tokens) if chat.include_usage else None
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for chunk in build_chunks(answer_id, created, chat.model, usage, completion):
            await response.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


def _json(body: Any, status: int = 200) -> web.Response:
    content = json.dumps(body, ensure_ascii=False).encode()
    return web.Response(body=content, status=status, content_type="application/json")
