"""What an administrator does at an API server: objects in and out, as plain JSON."""

import json

JSON_TYPE, MERGE_TYPE, APPLY_TYPE = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"


class Answer(Exception):
    """An answer of the API server that is no success."""

    def __init__(self, code, status):
        super().__init__(f"{code}: {status}")
        self.code, self.status = code, status


class Admin:
    """Requests over `session`, which knows the server and the token."""

    session = None

    async def request(self, method, path, body=None, *, type_=JSON_TYPE, **query):
        """Return the JSON that the API server answers an administrator; raise Answer where it is no success."""
        sent = None if body is None else json.dumps(body)
        async with self.session.request(
            method, path, data=sent, params=query, headers={"Content-Type": type_}
        ) as answer:
            text = await answer.text()
        if answer.status >= 300:
            raise Answer(answer.status, text)
        return json.loads(text)

    async def get(self, path, **query):
        """Return an object or a list."""
        return await self.request("GET", path, **query)

    async def find(self, path):
        """Return an object, or None where there is none."""
        try:
            return await self.get(path)
        except Answer as answer:
            if answer.code != 404:
                raise
            return None

    async def create(self, path, body):
        """Create an object in the collection at a path."""
        return await self.request("POST", path, body)

    async def patch(self, path, body):
        """Change fields of an object by a JSON merge patch."""
        return await self.request("PATCH", path, body, type_=MERGE_TYPE)

    async def apply(self, path, body, manager="test"):
        """Make an object hold a manifest, by server-side apply."""
        return await self.request("PATCH", path, body, type_=APPLY_TYPE, fieldManager=manager, force="true")

    async def delete(self, path, propagation="Background"):
        """Delete an object; its children follow, unless the propagation says otherwise."""
        return await self.request("DELETE", path, {"propagationPolicy": propagation})

    async def make_namespace(self, name):
        """Make a namespace."""
        await self.create("/api/v1/namespaces", {"metadata": {"name": name}})

    async def make_node(self, name, gpus=8, labels=None):
        """Make a pretended node that is ready for ever, with room for much and some GPUs."""
        room = {"cpu": "256", "memory": "2Ti", "pods": "1000", "ephemeral-storage": "4Ti"}
        room |= {"nvidia.com/gpu": str(gpus)} if gpus else {}
        await self.create("/api/v1/nodes", {"metadata": {"name": name, "labels": labels or {}}})
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        return await self.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, type_=MERGE_TYPE)
