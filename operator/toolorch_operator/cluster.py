"""The API server, as plain JSON in and out: the only importer of the Kubernetes client. EDGE.

Reads are fresh (no resourceVersion), so that no decision rests on a stale cache; children are written by server-side
apply, so that a repeated write changes nothing.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from toolorch_api.meta import FIELD_MANAGER
from toolorch_operator.answers import name_answer, parse_error
from toolorch_operator.credentials import Credentials
from toolorch_operator.errors import Conflict, NotFound, Unavailable
from toolorch_operator.metrics import Metrics
from toolorch_operator.plan import Ref
from toolorch_operator.pod_logs import read_end
from toolorch_operator.quick_json import loads
from toolorch_operator.resources import BY_KIND, PODS, Objects, Resource
from toolorch_operator.thrift import HEADERS, PAGE, spare

REQUEST_TIMEOUT = 20.0
"""Seconds for one request; a healthy API server answers in milliseconds, a LIST of thousands in seconds."""
T = TypeVar("T")
View = Callable[[dict[str, Any]], T]
JSON_TYPE, MERGE_TYPE, APPLY_TYPE = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"


async def connect(kubeconfig: str, *, in_cluster: bool) -> Configuration:
    """Return the client configuration: an explicit kubeconfig wins over the service account, that over the home's."""
    configuration = Configuration()
    spare(configuration, in_cluster=in_cluster)
    if kubeconfig or not in_cluster:
        await config.load_kube_config(config_file=kubeconfig or None, client_configuration=configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)
    return configuration


class Cluster:
    """Typed requests to one API server; raises ClusterError, and nothing else, where one fails.

    `check` is asked before each write, and raises where it must not be done.
    """

    def __init__(
        self, configuration: Configuration, metrics: Metrics, check: Callable[[], None] = lambda: None
    ) -> None:
        self._api = ApiClient(configuration)
        self._api.user_agent = FIELD_MANAGER
        self._metrics = metrics
        self._check = check

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def credentials(self) -> Credentials:
        """Return the credentials of the moment, for those who speak to the API server by themselves."""
        held = self._api.configuration
        bearer = await held.get_api_key_with_prefix("BearerToken", alias="authorization")
        return Credentials(
            server=held.host,
            ca_path=held.ssl_ca_cert,
            insecure=not held.verify_ssl,
            token=bearer.partition(" ")[2] if bearer else None,
            certificate_path=held.cert_file,
            private_key_path=held.key_file,
        )

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None where there is none."""
        try:
            return await self._request("get", "GET", resource, resource.path(namespace, name))
        except NotFound:
            return None

    async def list(self, resource: Resource, namespace: str = "", selector: str = "", fields: str = "") -> Objects:
        """Return all objects of a namespace (empty: of all) that a label selector and a field selector select."""
        return await self.collect(resource, dict, namespace, labelSelector=selector, fieldSelector=fields)

    async def collect(self, resource: Resource, view: View[T], namespace: str = "", **select: str) -> builtins.list[T]:
        """Return a view of each object; `select` as in the API. Of the objects themselves only a page is ever held."""
        query = {"limit": str(PAGE), **{name: text for name, text in select.items() if text}}
        found: builtins.list[T] = []
        while True:
            page = await self._request("list", "GET", resource, resource.path(namespace), query=query)
            found += [view(item) for item in page.get("items") or ()]
            query["continue"] = (page.get("metadata") or {}).get("continue") or ""
            if not query["continue"]:
                return found

    async def apply(self, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object hold a manifest, by server-side apply."""
        resource, query = BY_KIND[manifest["kind"]], {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = resource.path(namespace, manifest["metadata"]["name"])
        return await self._request("patch", "PATCH", resource, path, query=query, body=manifest, type_=APPLY_TYPE)

    async def create(self, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create an object and return it; None where its name is taken, by whomever."""
        resource, query = BY_KIND[manifest["kind"]], {"fieldManager": FIELD_MANAGER}
        try:
            return await self._request("create", "POST", resource, resource.path(namespace), query=query, body=manifest)
        except Conflict:
            return None

    async def delete(self, namespace: str, ref: Ref) -> None:
        """Delete the object that was observed, its own children later; that it is gone already is success."""
        resource, only = BY_KIND[ref.kind], {"preconditions": {"uid": ref.uid}} if ref.uid else {}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", **only}
        with suppress(NotFound):
            await self._request("delete", "DELETE", resource, resource.path(namespace, ref.name), body=body)

    async def replace(self, manifest: Mapping[str, Any], subresource: str = "") -> dict[str, Any]:
        """Replace an object as it was read; raise Conflict where it has changed since."""
        meta, resource = manifest["metadata"], BY_KIND[manifest["kind"]]
        path = resource.path(meta["namespace"], meta["name"], subresource)
        return await self._request("update", "PUT", resource, path, body=manifest, subresource=subresource)

    async def write_status(self, manifest: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the status of an object as it was read; raise Conflict where it has changed since."""
        return await self.replace({**manifest, "status": status}, "status")

    async def merge(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change fields of an object by a JSON merge patch."""
        path = resource.path(namespace, name)
        return await self._request("patch", "PATCH", resource, path, body=body, type_=MERGE_TYPE)

    async def read_log(self, namespace: str, pod: str, tail_lines: int, most: int) -> str:
        """Return the last lines that a pod printed, of these the last bytes; Invalid where its container has no log."""
        path, query = PODS.path(namespace, pod, "log"), {"tailLines": str(tail_lines)}
        code, headers, body = await self._send("get", "pods/log", "GET", path, query=query, most=most)
        if code >= 300:
            raise parse_error(code, headers, body, "get pods/log")
        return body.decode("utf-8", "replace")

    async def proxy(self, method: str, path: str, **sent: Any) -> tuple[int, bytes]:
        """Return status and whole body of a request that the API server passes on to a Service; `sent` as in _send."""
        code, _, body = await self._send(method.lower(), "services/proxy", method, path, **sent)
        return code, body

    async def _request(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        type_: str = JSON_TYPE,
        subresource: str = "",
    ) -> dict[str, Any]:
        if method != "GET":
            self._check()
        more, label = {"Content-Type": type_}, f"{resource.plural}/{subresource}" if subresource else resource.plural
        code, headers, text = await self._send(verb, label, method, path, query=query, body=body, more=more)
        if code >= 300:
            raise parse_error(code, headers, text, f"{verb} {label}")
        return loads(text)  # type: ignore[no-any-return]

    async def _send(
        self,
        verb: str,
        label: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        more: Mapping[str, str] | None = None,
        seconds: float = REQUEST_TIMEOUT,
        most: int = 0,
    ) -> tuple[int, Mapping[str, str], bytes]:
        method, url, headers, sent, _ = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={**HEADERS, **(more or {})},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            async with asyncio.timeout(seconds):
                response = await self._api.call_api(method, url, headers, sent, _request_timeout=seconds)
                text = await (read_end(response.response.content, most) if most else response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._metrics.count_api(verb, label, type(error).__name__)
            raise Unavailable(f"{verb} {label}: {type(error).__name__}: {error}") from error
        self._metrics.count_api(verb, label, name_answer(response.status, text))
        return response.status, response.headers, text
