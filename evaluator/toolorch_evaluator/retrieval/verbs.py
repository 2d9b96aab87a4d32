"""The verbs `index` and `retrieve` of toolorch-evaluator, as their command lines have them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from toolorch_evaluator.exits import StepError, leave, leave_word
from toolorch_evaluator.settings import termination_log

PORT = 8765

Url = Annotated[str, typer.Option("--embeddings", help="OpenAI base URL of an embeddings server; without: BM25.")]
Model = Annotated[str, typer.Option("--embedding-model", help="Its model.")]


def index(
    corpus: Annotated[str, typer.Argument(help="Documents, as JSONL or Parquet: a URI of s3, gs, az, file or hf.")],
    output: Annotated[str, typer.Argument(help="Folder of the index: a URI of s3, gs, az or file.")],
    embeddings: Url = "",
    embedding_model: Model = "",
) -> None:
    """Build a search index of documents; one that is there already stays as it is."""
    from toolorch_evaluator.retrieval.commands import Embeddings, make_index

    _run(make_index(corpus, output, Embeddings(embeddings, embedding_model), os.environ))


def retrieve(
    index: Annotated[str, typer.Argument(help="Folder that `index` filled.")],
    port: Annotated[int, typer.Option(help="Port of POST /retrieve and GET /health.")] = PORT,
    whitelist: Annotated[str, typer.Option(help="JSON file: ids of the documents that each question may see.")] = "",
    embeddings: Url = "",
    embedding_model: Model = "",
    query_prefix: Annotated[str, typer.Option(help="Text before each query, as some embedding models want it.")] = "",
) -> None:
    """Serve an index; /health is 503 until a first query has been answered."""
    from toolorch_evaluator.retrieval.commands import Embeddings, serve_index

    _run(serve_index(index, whitelist, port, Embeddings(embeddings, embedding_model, query_prefix), os.environ))


def _run(work: Coroutine[Any, Any, object]) -> None:
    code = 0
    try:
        asyncio.run(work)
    except StepError as error:
        leave_word(error, termination_log(os.environ))
        code = int(error.code)
    leave(code)
