"""Questions that the user brings, as JSONL or Parquet: parsed and checked, with a sentence for what is wrong."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api.foreign_json import parse_json

# Names under which published copies of the two datasets keep the same things.
ID_FIELDS = ("id", "_id", "qid")
QUESTION_FIELDS = ("question", "problem", "Prompt")
ANSWER_FIELDS = ("answer", "Answer")
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what is expected."""

    id: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """All questions by id, in the file's order."""

    questions: Mapping[str, Question]
    with_image: int
    """Questions left out because they come with an image."""
    sha256: str


def parse_dataset(body: bytes) -> Dataset:
    """Parse a file; raises ValueError with the row and what it lacks."""
    questions: dict[str, Question] = {}
    with_image = 0
    for number, row in enumerate(_rows(body), 1):
        if row.get("image"):
            with_image += 1
            continue
        question = _parse_row(row, number)
        if question.id in questions:
            raise ValueError(f"row {number}: the id {question.id!r} is there twice")
        questions[question.id] = question
    if not questions:
        raise ValueError("it holds no question without an image")
    return Dataset(questions, with_image, hashlib.sha256(body).hexdigest())


def _rows(body: bytes) -> Iterator[Mapping[str, Any]]:
    if body[:4] == PARQUET_MAGIC:
        return iter(_parquet_rows(body))
    return _json_rows(body.decode("utf-8", "replace").splitlines())


def _json_rows(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object but {type(row).__name__}")
        yield row


def _parquet_rows(body: bytes) -> list[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        # Images are megabytes each, and only whether there is one matters.
        rows: list[Mapping[str, Any]] = parquet.read_table(io.BytesIO(body)).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"it cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    return rows


def _parse_row(row: Mapping[str, Any], number: int) -> Question:
    text, answer = _field(row, QUESTION_FIELDS, number), _field(row, ANSWER_FIELDS, number)
    known = next((row[name] for name in ID_FIELDS if row.get(name) not in (None, "")), None)
    return Question(str(number - 1 if known is None else known), text, answer)


def _field(row: Mapping[str, Any], names: tuple[str, ...], number: int) -> str:
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if value is None or not str(value).strip():
        raise ValueError(f"row {number} has no {names[0]}; its fields are {', '.join(sorted(row)) or 'none'}")
    return str(value)
