"""Documents that the user brings, as JSONL or Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_evaluator.benchmarks.questions.dataset import PARQUET_MAGIC

ID_FIELDS = ("id", "_id", "docid", "doc_id")
TEXT_FIELDS = ("contents", "content", "text", "body")


@dataclass(frozen=True, slots=True)
class Document:
    """One document; its title, where it has one, stands before its text."""

    id: str
    text: str


def parse_corpus(body: bytes) -> list[Document]:
    """Parse a file of documents; raises ValueError with the row and what is wrong with it."""
    documents, known = list[Document](), set[str]()
    for number, row in enumerate(_rows(body), 1):
        document = _parse_row(row, number)
        if document.id in known:
            raise ValueError(f"row {number}: the id {document.id!r} is there twice")
        known.add(document.id)
        documents.append(document)
    if not documents:
        raise ValueError("it holds no document")
    return documents


def dump_corpus(documents: Iterable[Document]) -> bytes:
    """Return documents as JSON lines, in the form that parse_corpus reads."""
    return "".join(json.dumps({"id": d.id, "text": d.text}, ensure_ascii=False) + "\n" for d in documents).encode()


def parse_whitelist(body: bytes) -> dict[str, frozenset[str]]:
    """Parse a JSON object from question ids to lists of document ids; raises ValueError."""
    try:
        found = json.loads(body)
        return {str(question): frozenset(map(str, ids)) for question, ids in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"a whitelist is a JSON object from question ids to lists of document ids: {error}") from error


def _rows(body: bytes) -> Iterator[Mapping[str, Any]]:
    if body[:4] == PARQUET_MAGIC:
        from pyarrow import parquet

        yield from parquet.read_table(io.BytesIO(body)).to_pylist()
        return
    for number, line in enumerate(body.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object but {type(row).__name__}")
        yield row


def _parse_row(row: Mapping[str, Any], number: int) -> Document:
    text = next((str(row[name]) for name in TEXT_FIELDS if row.get(name)), "")
    if not text.strip():
        raise ValueError(f"row {number} has no text; its fields are {', '.join(sorted(row)) or 'none'}")
    title = str(row.get("title") or "")
    known = next((row[name] for name in ID_FIELDS if row.get(name) not in (None, "")), number - 1)
    return Document(str(known), f"{title}\n{text}" if title else text)
