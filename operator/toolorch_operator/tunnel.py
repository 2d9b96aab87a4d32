"""Reaches model servers through the API server, for an operator that runs outside the cluster. EDGE."""

from __future__ import annotations

import json

import httpx

from toolorch_operator.cluster import REQUEST_TIMEOUT, Cluster
from toolorch_operator.errors import ClusterError

# The server's log names requests by it; all other headers are between this program and the API server.
_PASSED_ON = ("X-Request-Id",)


class TunnelTransport(httpx.AsyncBaseTransport):
    """Carries requests to the API server, with the operator's own credentials; a stream arrives whole."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer of the server behind the proxy."""
        sent = await request.aread()
        try:
            code, body = await self._cluster.proxy(
                request.method,
                request.url.path,
                body=json.loads(sent) if sent else None,
                more={name: request.headers[name] for name in _PASSED_ON if name in request.headers},
                seconds=request.extensions.get("timeout", {}).get("read") or REQUEST_TIMEOUT,
            )
        except ClusterError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return httpx.Response(code, content=body, request=request)
