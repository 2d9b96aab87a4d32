"""Quantities mean what the API server takes them for."""

import pytest

from toolorch_api.quantity import parse_bytes, parse_milli


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("8", 8),
        ("32Gi", 32 << 30),
        ("1.5Gi", 3 << 29),
        ("16381900Ki", 16381900 << 10),
        ("2Ei", 2 << 60),
        ("128974848", 128974848),
        ("129e6", 129_000_000),
        ("129E6", 129_000_000),
        ("1E", 10**18),
        ("129M", 129_000_000),
        ("128974848000m", 128974848),
        ("100m", 1),
        ("0.1", 1),
        (".5k", 500),
        ("-1Ki", -1024),
    ],
)
def test_an_amount_of_memory_or_pieces_rounds_up(text, amount):
    assert parse_bytes(text) == amount


@pytest.mark.parametrize(("text", "amount"), [("4", 4000), ("0.1", 100), ("250m", 250), ("1u", 1), ("1.5", 1500)])
def test_an_amount_of_cpu_is_in_millicores(text, amount):
    assert parse_milli(text) == amount


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1e", "1KiB", "1e1000", "nan", "1,5"])
def test_what_is_no_quantity_says_so(text):
    with pytest.raises(ValueError, match="is no quantity"):
        parse_bytes(text)
