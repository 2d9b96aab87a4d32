"""What model servers answer: those in pods that serve, and one that somebody else runs."""

import json
from contextlib import asynccontextmanager

from aiohttp import web
from doors import opened

AWAY = (503, b'{"error": "no endpoints available"}')
NOT_FOUND = (404, b'{"error": "not found"}')
EXTERNAL_MODEL = "m/outside"


class ModelServers:
    """The servers of one namespace, by the names of their Services."""

    def __init__(self, story):
        self._story = story

    async def __call__(self, asked):
        """Answer what a Service's pod would."""
        pod = self._find_pod(asked.call.name.partition(":")[0])
        if pod is None:
            return AWAY
        command = pod["spec"]["containers"][0]["command"]
        return answer(asked.call.rest, command[command.index("--served-model-name") + 1])

    def _find_pod(self, instance):
        for pod in self._story.all("Pod"):
            meta, status = pod["metadata"], pod.get("status", {})
            is_its = meta["labels"].get("toolorch.dev/instance") == instance and not meta.get("deletionTimestamp")
            if is_its and any(c.get("ready") for c in status.get("containerStatuses", ())):
                return pod
        return None


def answer(path, model):
    """Return status and body of a server that works."""
    said = {"role": "assistant", "content": "ready"}
    known = {
        "/health": {},
        "/version": {"version": "0.33.0"},
        "/v1/models": {"object": "list", "data": [{"id": model, "object": "model", "max_model_len": 8192}]},
        "/v1/chat/completions": {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]},
    }
    # It tells nothing of its progress, so that no one calls it stalled.
    return (200, json.dumps(known[path]).encode()) if path in known else NOT_FOUND


@asynccontextmanager
async def external_server():
    """Give the base URL of a server that is no pod."""

    async def handle(request):
        status, body = answer(request.path, EXTERNAL_MODEL)
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with opened(app) as url:
        yield f"{url}/v1"
