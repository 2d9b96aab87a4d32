"""Files that a user names by URI: datasets, documents, whitelists; in object storage, on this machine, on the hub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from toolorch_evaluator.benchmarks.questions.sample import read_sample
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.results import Results, open_store

SCHEMES = ("s3", "gs", "az", "file", "hf", "sample")
# Questions and documents are read whole; what is larger than this would not fit a pod's memory beside its work.
MOST_BYTES = 1 << 30


async def read_uri(uri: str, env: Mapping[str, str]) -> bytes:
    """Return a file's bytes; raises BadInputError with a sentence where there is none, StorageError where it is away.

    `env` holds the storage's variables, and HF_TOKEN for a gated dataset: hf://datasets/<owner>/<name>/<path>.
    """
    scheme = urlsplit(uri).scheme
    if scheme not in SCHEMES:
        raise BadInputError("BadUri", f"{uri} must start with one of {', '.join(f'{s}://' for s in SCHEMES)}")
    if scheme == "sample":
        return _read_sample(uri)
    body = await asyncio.to_thread(_read_hub, uri, env) if scheme == "hf" else await _read_stored(uri, env)
    if body is None:
        raise BadInputError("NoFile", f"{uri} does not exist")
    if len(body) > MOST_BYTES:
        raise BadInputError("LargeFile", f"{uri} has {len(body) >> 20} MiB, {MOST_BYTES >> 20} are the most")
    return body


async def no_files(uri: str) -> bytes:
    """Refuse to read: for who is given no storage."""
    raise BadInputError("NoFile", f"{uri} cannot be read from here")


def reader(env: Mapping[str, str]) -> Callable[[str], Awaitable[bytes]]:
    """Return read_uri with an environment."""

    async def read(uri: str) -> bytes:
        return await read_uri(uri, env)

    return read


def _read_sample(uri: str) -> bytes:
    try:
        return read_sample(uri.removeprefix("sample://"))
    except ValueError as error:
        raise BadInputError("NoFile", f"{uri}: {error}") from error


async def _read_stored(uri: str, env: Mapping[str, str]) -> bytes | None:
    folder, _, name = uri.rpartition("/")
    if not name:
        raise BadInputError("BadUri", f"{uri} names a folder, not a file")
    if urlsplit(uri).scheme == "file" and not await asyncio.to_thread(Path(unquote(urlsplit(folder).path)).is_dir):
        return None  # a store of files would make the folder
    return await Results(open_store(folder, env)).get(unquote(name) if uri.startswith("file:") else name)


def _read_hub(uri: str, env: Mapping[str, str]) -> bytes | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    kind, _, rest = uri.removeprefix("hf://").partition("/")
    owner, _, rest = rest.partition("/")
    name, _, path = rest.partition("/")
    if kind != "datasets" or not path:
        raise BadInputError("BadUri", f"{uri} must have the form hf://datasets/<owner>/<name>/<path>")
    try:
        file = hf_hub_download(f"{owner}/{name}", path, repo_type="dataset", token=env.get("HF_TOKEN") or False)
    except GatedRepoError as error:
        why = f"{uri} is gated: accept its terms on the hub, and put a token into HF_TOKEN"
        raise BadInputError("GatedDataset", why) from error
    except (EntryNotFoundError, RepositoryNotFoundError):
        return None
    except (HfHubHTTPError, OSError) as error:
        raise StorageError("HubUnreachable", f"{uri}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return Path(file).read_bytes()
