"""Questions as users bring them, and the search service as a client meets it."""

import io
import json

import httpx
import pyarrow
import pytest
from pyarrow import parquet

from toolorch_evaluator.benchmarks.questions.dataset import parse_dataset
from toolorch_evaluator.benchmarks.questions.notes import Budget, Notes
from toolorch_evaluator.benchmarks.questions.search import TRIES, SearchService


def lines(*rows):
    return "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows).encode()


def test_published_spellings_of_the_same_fields_are_read_alike():
    body = lines(
        {"id": "a", "question": "x?", "answer": "1"},
        "",
        {"_id": "b", "problem": "y?", "Answer": 2},
        {"Prompt": "z?", "Answer": "3"},
    )
    assert [(q.id, q.text, q.answer) for q in parse_dataset(body).questions.values()] == [
        ("a", "x?", "1"), ("b", "y?", "2"), ("2", "z?", "3"),
    ]  # fmt: skip


def test_parquet_holds_the_same_as_json_lines():
    rows = [
        {"id": "a", "question": "x?", "answer": "1", "image": None},
        {"id": "b", "question": "y?", "answer": "2", "image": "png"},
    ]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    read = parse_dataset(file.getvalue())
    assert (list(read.questions), read.with_image) == (["a"], 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lines({"id": "a", "question": "x?"}), "row 1 has no answer; its fields are id, question"),
        (lines({"id": "a", "question": " ", "answer": "1"}), "row 1 has no question"),
        (
            lines({"id": "a", "question": "x", "answer": "1"}, {"id": "a", "question": "y", "answer": "1"}),
            "the id 'a' is there twice",
        ),
        (lines("{"), "line 1 is no JSON"),
        (lines("[1]"), "line 1 is no JSON object but list"),
        (b"", "no question without an image"),
        (b"PAR1 and nothing else", "cannot be read as Parquet"),
    ],
    ids=[
        "no answer",
        "an empty question",
        "one id twice",
        "no JSON",
        "a list",
        "an empty file",
        "a broken Parquet file",
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence(body, words):
    with pytest.raises(ValueError, match=words):
        parse_dataset(body)


def test_notes_keep_to_their_budget_and_to_their_end():
    notes = Notes()
    notes.add_documents([f"d{n} " + "x" * 100 for n in range(50)])
    notes.programs += [("print(1)", f"p{n}") for n in range(20)]
    shown = notes.show(Budget(500, 100, 50), "problem")
    assert len(shown) <= 500 * 4 + 100
    assert ["d0 " in shown, "d49 " in shown] == [True, False], "the best document, which comes last, is kept"
    assert ["p19" in shown, "p0\n" in shown] == [True, False]
    assert notes.show(Budget(1, 1, 1), "a problem that fills the budget") == ""


def service(*answers):
    asked = []

    def answer(request):
        asked.append(request)
        given = answers[min(len(asked), len(answers)) - 1]
        if isinstance(given, Exception):
            raise given
        return given

    return SearchService("http://docs/", httpx.AsyncClient(transport=httpx.MockTransport(answer)), pause=0), asked


HITS = [
    [{"document": {"id": "1", "contents": "one"}, "score": 2}, {"document": {"id": "2", "content": "two"}, "score": 1}]
]


async def test_documents_come_in_the_services_order():
    docs, asked = service(httpx.Response(200, json=HITS))
    assert (await docs.search("a query", "q1", 50)).documents == ("one", "two")
    sent = json.loads(asked[0].content)
    assert (asked[0].url.path, sent["queries"], sent["topk"], sent["eid"]) == ("/retrieve", ["a query"], 50, "q1")


@pytest.mark.parametrize(
    ("answers", "tries", "why"),
    [
        ((httpx.Response(503), httpx.Response(200, json=HITS)), 2, ""),
        ((httpx.ConnectError("refused"),), TRIES, "refused"),
        ((httpx.Response(200, text="<html>"),), TRIES, "JSON"),
        ((httpx.Response(200, json={"x": 1}),), TRIES, "ValueError"),
        ((httpx.Response(400),), 1, "HTTP 400"),
    ],
    ids=["away once", "never there", "no JSON", "another form", "refused for good"],
)
async def test_a_service_is_asked_a_bounded_number_of_times(answers, tries, why):
    docs, asked = service(*answers)
    found = await docs.search("a query", "q1", 50)
    assert len(asked) == tries
    assert why in found.failed if why else found.documents == ("one", "two")


async def test_health_is_what_the_service_says():
    for answer, healthy in (
        (httpx.Response(200), True),
        (httpx.Response(503), False),
        (httpx.ConnectError("x"), False),
    ):
        docs, _ = service(answer)
        assert await docs.is_healthy() is healthy
