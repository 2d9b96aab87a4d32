"""An index as a folder in storage: what it was made from, the documents, and the ranking's own files.

`index.json` is written last: an index without it was not finished, and is built anew.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import structlog
from pydantic import Field, ValidationError

from toolorch_api.meta import StatusModel
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.results import Results
from toolorch_evaluator.retrieval import bm25, dense
from toolorch_evaluator.retrieval.bm25 import WordRanking
from toolorch_evaluator.retrieval.corpus import Document, dump_corpus, parse_corpus
from toolorch_evaluator.retrieval.dense import Embedder, MeaningRanking
from toolorch_evaluator.retrieval.ranking import Ranking

log = structlog.get_logger(__name__)

HEAD_KEY = "index.json"
CORPUS_KEY = "documents.jsonl"
FILES_PREFIX = "ranking/"


class IndexHead(StatusModel):
    """index.json: what the index is."""

    v: int = 1
    kind: str
    """bm25 or dense."""
    documents: int
    corpus_sha256: str
    model: str = ""
    """Embedding model of a dense index; queries must be embedded by the same."""
    files: list[str] = Field(default_factory=list)
    """Names of the ranking's files."""


async def build_index(corpus: bytes, store: Results, embedder: Embedder | None) -> IndexHead:
    """Build an index into a folder of storage, dense where an embedder is given; an equal one stays as it is.

    Raises ValueError for a corpus that cannot be read, EmbeddingError, StorageError.
    """
    documents = parse_corpus(corpus)
    head = IndexHead(
        kind=dense.KIND if embedder else bm25.KIND,
        documents=len(documents),
        corpus_sha256=hashlib.sha256(corpus).hexdigest(),
        model=embedder.model if embedder else "",
    )
    there = await _read_head(store)
    if there is not None and there.model_copy(update={"files": []}) == head:
        log.info("index_is_there", documents=head.documents)
        return there
    texts = [document.text for document in documents]
    ranking = WordRanking.build(texts) if embedder is None else await MeaningRanking.build(texts, embedder)
    await store.put(CORPUS_KEY, dump_corpus(documents))
    head = head.model_copy(update={"files": await _upload(ranking, store)})
    await store.put(HEAD_KEY, head.model_dump_json(by_alias=True, indent=1).encode())
    log.info("index_built", kind=head.kind, documents=head.documents)
    return head


async def open_index(
    store: Results, folder: Path, embedder: Embedder | None
) -> tuple[IndexHead, list[Document], Ranking]:
    """Fetch an index into a local folder and open it; raises BadInputError where it, or its embedder, is missing."""
    head = await _read_head(store)
    if head is None:
        raise BadInputError("NoIndex", f"there is no {HEAD_KEY}: build one with toolorch-evaluator index")
    if head.kind == dense.KIND and (embedder is None or embedder.model != head.model):
        raise BadInputError("NoEmbedder", f"the index is of embeddings by {head.model}: name their server and model")
    documents = parse_corpus(await store.get(CORPUS_KEY) or b"")
    for name in head.files:
        (folder / name).write_bytes(await store.get(f"{FILES_PREFIX}{name}") or b"")
    if head.kind == dense.KIND:
        assert embedder is not None
        return head, documents, MeaningRanking.load(folder, embedder)
    return head, documents, WordRanking.load(folder, head.documents)


async def _upload(ranking: WordRanking | MeaningRanking, store: Results) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        bodies = _save(ranking, Path(scratch))
        for name, body in bodies:
            await store.put(f"{FILES_PREFIX}{name}", body)
        return [name for name, _ in bodies]


def _save(ranking: WordRanking | MeaningRanking, scratch: Path) -> list[tuple[str, bytes]]:
    ranking.save(scratch)
    return [(file.name, file.read_bytes()) for file in sorted(scratch.iterdir())]


async def _read_head(store: Results) -> IndexHead | None:
    body = await store.get(HEAD_KEY)
    try:
        return None if body is None else IndexHead.model_validate_json(body)
    except ValidationError as error:
        raise BadInputError("ForeignIndex", f"{HEAD_KEY} is not what toolorch writes there") from error
