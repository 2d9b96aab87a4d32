"""Reaches model servers through the API server, for an operator that runs outside the cluster. EDGE."""

from __future__ import annotations

import httpx

from toolorch_api.modelpool import SERVER_PORT
from toolorch_operator.cluster import Cluster
from toolorch_operator.errors import ClusterError
from toolorch_operator.resources import SERVICES

# Never resolved: the transport below sends every request to the API server.
_HOST = "http://kubernetes"


def tunnel_url(namespace: str, service: str) -> str:
    """Return the OpenAI base URL of a replica's Service as seen through the API server's proxy."""
    return f"{_HOST}{SERVICES.path(namespace, f'{service}:{SERVER_PORT}', 'proxy')}/v1"


class TunnelTransport(httpx.AsyncBaseTransport):
    """Carries GET requests to the API server, with the operator's own credentials."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer of the server behind the proxy."""
        try:
            code, body = await self._cluster.proxy_get(request.url.path)
        except ClusterError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return httpx.Response(code, content=body, request=request)
