"""A real S3 server on a free port of this machine: versitygw over a temporary folder, ended with its block."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from programs import die_with_parent, find_free_ports

ROOT = Path(__file__).resolve().parents[3]
ACCESS, SECRET, REGION = "the-access-key", "the-secret-key", "us-east-1"
START_SECONDS = 120.0
TRIES = 5
"""Starts: others may take the port between its choice and its use."""


@dataclass(frozen=True)
class S3Server:
    """A server, and the folder in which each bucket is one."""

    url: str
    folder: Path

    def make_bucket(self, name: str) -> Path:
        """Make a bucket and return its folder."""
        path = self.folder / name
        path.mkdir()
        return path


def find_program() -> Path:
    """Return the server's executable, built first where this machine has none."""
    cache = Path(os.environ.get("TOOLORCH_CACHE", Path.home() / ".cache/toolorch"))
    program = cache / "kind/bin/versitygw"
    if not program.exists():
        subprocess.run(["bash", str(ROOT / "hack/kind/versitygw.sh")], check=True, cwd=ROOT)
    return program


@contextlib.asynccontextmanager
async def serve_s3(folder: Path) -> AsyncIterator[S3Server]:
    """Serve a folder's subfolders as buckets while the block runs."""
    child, url = await _start(await asyncio.to_thread(find_program), folder)
    try:
        yield S3Server(url, folder)
    finally:
        child.kill()  # it would wait for connections that are kept
        await child.wait()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _start(program: Path, folder: Path) -> tuple[asyncio.subprocess.Process, str]:
    nothing = asyncio.subprocess.DEVNULL
    for _ in range(TRIES):
        port = find_free_ports(1)[0]
        child = await asyncio.create_subprocess_exec(
            program, "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", "posix", str(folder),
            env={"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}, stdout=nothing, stderr=nothing,
            preexec_fn=die_with_parent,
        )  # fmt: skip
        if await _answers(child, port):
            return child, f"http://127.0.0.1:{port}"
    raise RuntimeError(f"{program} ends where it should serve")


async def _answers(child: asyncio.subprocess.Process, port: int) -> bool:
    """Wait until a server can be asked; False where it ended."""
    async with asyncio.timeout(START_SECONDS):
        while child.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return child.returncode is None
            await asyncio.sleep(0.05)
    return False
