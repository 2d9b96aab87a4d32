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

from programs import find_free_ports

ROOT = Path(__file__).resolve().parents[3]
ACCESS, SECRET, REGION = "the-access-key", "the-secret-key", "us-east-1"
START_SECONDS = 60.0


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
    program, port = await asyncio.to_thread(find_program), find_free_ports(1)[0]
    keys = {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
    child = await asyncio.create_subprocess_exec(
        program, "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", "posix", str(folder),
        env=keys, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await _wait_for(port)
        yield S3Server(f"http://127.0.0.1:{port}", folder)
    finally:
        child.terminate()
        await child.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _wait_for(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
