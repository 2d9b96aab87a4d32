"""docs/sandbox.md tells of every attempt, of what stops it, and of the limits as they are."""

from pathlib import Path

from toolorch_evaluator.sandbox.escapes.suite import ESCAPES
from toolorch_evaluator.sandbox.reach import PACKAGES
from toolorch_evaluator.sandbox.terms import Ending, Layer, Limits

PAGE = (Path(__file__).parents[3] / "docs/sandbox.md").read_text()


def succeeds(escape):
    """Say what must be taken away, as the table does."""
    how = f"without {', '.join(escape.lift)}" if escape.lift else "with larger limits" if escape.loosen else ""
    return how + {"root": ", as root", "yama": ", where Yama is off"}.get(escape.needs, "")


def test_every_attempt_has_its_line():
    lines = [f"| {e.name} | {e.stopped_by} | {succeeds(e)} |".replace("  ", " ") for e in ESCAPES]
    assert [line for line in lines if line not in PAGE] == []


def test_attempts_have_names_of_their_own():
    assert len({escape.name for escape in ESCAPES}) == len(ESCAPES) > 20


def test_there_are_as_many_lines_as_attempts():
    rows = PAGE.partition("## Attempts")[2].splitlines()
    assert len([row for row in rows if row.startswith("| ") and "**" not in row]) == len(ESCAPES) + 1


def test_every_layer_and_every_end_is_told():
    assert [layer for layer in Layer if f"| {layer} |" not in PAGE] == []
    assert [ending for ending in Ending if f"`{ending}`" not in PAGE] == []


def test_the_limits_are_those_of_the_code():
    limits = Limits()
    told = (
        f"| wall clock | {limits.wall_seconds:g} s |",
        f"| processor time, all threads | {limits.cpu_seconds} s |",
        f"| address space | {limits.memory_bytes >> 30} GiB |",
        f"| {limits.output_bytes >> 10} KiB each |",
        f"| one file | {limits.file_bytes >> 20} MiB |",
        f"| {limits.scratch_bytes >> 20} MiB, {limits.scratch_files} files |",
        f"| open descriptors | {limits.open_files} |",
        f"| threads | {limits.threads} |",
    )
    assert [line for line in told if line not in PAGE] == []


def test_the_packages_that_compute_are_named():
    brought_along = {"dateutil", "pytz", "six", "tzdata"}
    assert [name for name in PACKAGES if name not in PAGE and name not in brought_along] == []
