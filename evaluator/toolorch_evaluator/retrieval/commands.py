"""`toolorch-evaluator index` and `retrieve`: what they are given, and their life."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog
from aiohttp import web

from toolorch_evaluator.exits import BadInputError, StepError
from toolorch_evaluator.reading import read_uri
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.retrieval.corpus import parse_whitelist
from toolorch_evaluator.retrieval.dense import Embedder, EmbeddingError
from toolorch_evaluator.retrieval.index import IndexHead, build_index, open_index
from toolorch_evaluator.retrieval.service import Service, build_loaded

log = structlog.get_logger(__name__)

# Where the embeddings server's key is found; never on the command line, which every process of the node can read.
KEY_VARIABLE = "TOOLORCH_EMBEDDINGS_KEY"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Where embeddings come from; an empty url means that there are none."""

    url: str = ""
    model: str = ""
    query_prefix: str = ""

    def embedder(self, client: httpx.AsyncClient, env: Mapping[str, str]) -> Embedder | None:
        """Return who asks for them; raises BadInputError where only one of url and model is given."""
        if bool(self.url) != bool(self.model):
            raise BadInputError("BadEmbeddings", "--embeddings and --embedding-model belong together")
        if not self.url:
            return None
        return Embedder(self.url.rstrip("/"), self.model, client, env.get(KEY_VARIABLE, ""), self.query_prefix)


async def make_index(corpus: str, output: str, embeddings: Embeddings, env: Mapping[str, str]) -> IndexHead:
    """Build an index of the documents at a URI into a folder of storage; raises StepError."""
    async with httpx.AsyncClient(trust_env=False) as client:
        embedder = embeddings.embedder(client, env)
        try:
            body = await read_uri(corpus, env)
            return await build_index(body, Results(open_store(output, env)), embedder)
        except ValueError as error:
            raise BadInputError("BadCorpus", f"{corpus}: {error}") from error
        except EmbeddingError as error:
            raise StepError("EmbeddingsUnavailable", str(error)) from error


async def serve_index(index: str, whitelist: str, port: int, embeddings: Embeddings, env: Mapping[str, str]) -> None:
    """Serve an index until SIGTERM; raises StepError where it cannot be loaded."""
    service, stop = Service(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(service.app(), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, port).start()
        log.info("listening", port=port)
        async with httpx.AsyncClient(trust_env=False) as client:
            embedder = embeddings.embedder(client, env)
            loading = asyncio.create_task(_load(service, index, whitelist, embedder, env))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([loading, stopping], return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                loading.result()
            await stopping
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
    finally:
        await runner.cleanup()


async def _load(
    service: Service, index: str, whitelist: str, embedder: Embedder | None, env: Mapping[str, str]
) -> None:
    try:
        allowed = parse_whitelist(await read_uri(whitelist, env)) if whitelist else {}
    except ValueError as error:
        raise BadInputError("BadWhitelist", f"{whitelist}: {error}") from error
    with tempfile.TemporaryDirectory() as scratch:
        # Files that are mapped into memory stay readable after the folder is gone.
        _, documents, ranking = await open_index(Results(open_store(index, env)), Path(scratch), embedder)
        try:
            await service.warm_up(build_loaded(documents, ranking, allowed))
        except EmbeddingError as error:
            raise StepError("EmbeddingsUnavailable", str(error)) from error
