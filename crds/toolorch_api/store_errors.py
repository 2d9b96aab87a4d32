"""What the storage library's errors say, as text: the store's own answer is XML within it. PURE.

The operator and a run's pods tell the same error in the same words, and each time in the same ones: how long a request
took and how often it was tried would make every try's text a new one, and a status a new write.
"""

from __future__ import annotations

import re

_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]{1,300})")
_BUCKET = re.compile(r"<BucketName>([^<]{1,100})</BucketName>")
_XML = re.compile(r"<\?xml|<Error>")
_REQUEST = re.compile(r".*Error performing (\w+) (\w+://[^/\s?]+)\S*")
"""The method and the host; what comes before says less, and what comes after is another key each time."""
_TRIES = re.compile(r" in [\d.]+[nµm]?s\b(, after \d+ retries, max_retries: \d+, retry_timeout: \S+)? +- ")
_PREAMBLES = ("Server returned non-2xx status code: ", "HTTP error: ")
_CAUSE = re.compile(r'ConnectError\(.*?(?:message: "([^"\n]{1,100})"|"(dns error)")', re.DOTALL)
"""Why nobody answered, which the first line does not say; how a connection broke later is another way each time."""
_STAGED = re.compile(r"#\d+\b")
"""Of a file that is not in its place yet."""


def say_store_error(text: str) -> str:
    """Return an error in one line: what was asked of whom, and what the store said or why it said nothing.

    Nothing else of the store's XML is told: some stores repeat there what was signed.
    """
    if is_missing_bucket(text):
        bucket = _BUCKET.search(text)
        return f"the bucket {bucket[1]} does not exist" if bucket else "the bucket does not exist"
    first = _XML.split(text.strip().partition("\n")[0])[0].rstrip(": ")
    first = _STAGED.sub("", _TRIES.sub(": ", _REQUEST.sub(r"\1 \2", first)))
    for preamble in _PREAMBLES:
        first = first.replace(preamble, "")
    cause = None if _XML.search(text) or "error sending request" not in first else _CAUSE.search(text)
    told = [found[1] for found in (_CODE.search(text), _MESSAGE.search(text)) if found]
    return ": ".join(part for part in (first, *told, cause and (cause[1] or cause[2])) if part)


def is_missing_bucket(text: str) -> bool:
    """Whether a store says that the whole bucket is not there: of a key it is no answer."""
    code = _CODE.search(text)
    return code is not None and code[1] in ("NoSuchBucket", "ContainerNotFound")


def is_clock_skew(text: str) -> bool:
    """Whether a store refuses since the asking machine's clock is wrong, which heals where clocks are kept."""
    code = _CODE.search(text)
    return code is not None and code[1] == "RequestTimeTooSkewed"
