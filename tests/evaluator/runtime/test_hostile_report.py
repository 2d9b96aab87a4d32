"""The report shows what models, servers and whoever writes to storage have written, and runs none of it."""

import asyncio
import csv
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from hostile_report import EVIL, write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


class Page(HTMLParser):
    """The elements of a page with their attributes, as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page, and the folder that it lies in."""
    path = asyncio.run(write_report(tmp_path_factory.mktemp("hostile")))
    return path, path.read_text()


def test_no_text_of_a_stranger_is_markup(report):
    page = Page(report[1])
    named = {tag for tag, _ in page.elements}
    assert not named & {"script", "iframe", "svg", "object", "embed", "form", "a", "base", "link"}
    images = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert images
    assert all(source.startswith("data:image/png;base64,") for source in images)
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("href", "srcdoc", "action")]
    shown = " ".join(page.texts)
    texts = ("message", "termination_reason", "task 1", "domain", "model", "prompt", "death", "endpoint", "version")
    for what in texts:
        assert what + EVIL[:30] in shown, f"{what} is shown as it was written"
    assert "49" not in [text.strip() for text in page.texts], "no template was run"


def test_the_page_forbids_scripts_and_what_lies_elsewhere(report):
    policies = [a["content"] for t, a in Page(report[1]).elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'"
    ]
    assert report[1].index("Content-Security-Policy") < report[1].index("<title>")


def test_no_cell_of_the_results_is_a_formula(report):
    with (report[0].parent / "results.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert EVIL in "".join(cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]


@pytest.mark.cluster  # among the tests that may take seconds
@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium is installed")
def test_a_browser_runs_nothing_of_it(report, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)))

    def title(path):
        command = [browser, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
        return done.stdout.partition("<title>")[2].partition("</title>")[0]

    bare = tmp_path / "bare.html"
    bare.write_text(f"<!doctype html><title>none</title><body>{EVIL}")
    assert title(bare) == "owned", "this browser runs such a page"
    without = tmp_path / "without.html"
    policy = report[1].index("<meta http-equiv")
    without.write_text(report[1][:policy] + report[1][report[1].index("\n", policy) :])
    for path in (without, report[0]):
        assert title(path).startswith("run: 0.500"), "nothing ran, whether or not the page forbids it"
    assert "onerror=" in report[1]
