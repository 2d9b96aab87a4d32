#!/usr/bin/env python3
"""Puts local images into the nodes of a kind cluster, sending only what a node lacks.

`kind load` sends every layer of an image to every node each time. A node's containerd keeps its layers by digest, so an
archive may leave out those that are there: after a change of code, one megabyte travels instead of one gigabyte.
usage: load.py NODE[,NODE…] IMAGE…
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from typing import IO, Any

CTR = ("ctr", "--namespace", "k8s.io")
GZIP = b"\x1f\x8b"
OCI = "application/vnd.oci.image"
# Where a node keeps the ids of what was loaded: containerd's own digest of an image is not Docker's.
MARK = "/kind/loaded.json"


@dataclass(frozen=True, slots=True)
class Blob:
    """One piece of content: either bytes, or a member of the archive that Docker wrote."""

    digest: str
    size: int
    content: bytes | tarfile.TarInfo

    def describe(self, kind: str, **more: Any) -> dict[str, Any]:
        """Return an OCI descriptor of this blob."""
        return {"mediaType": f"{OCI}.{kind}", "digest": self.digest, "size": self.size, **more}


def literal(content: bytes) -> Blob:
    """Return bytes as a blob."""
    return Blob(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), content)


def on_node(node: str, *command: str, given: bytes | None = None) -> bytes:
    """Run a command in a node and return what it prints."""
    interactive = ["--interactive"] if given is not None else []
    done = subprocess.run(
        ["docker", "exec", *interactive, node, *command], input=given, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{node}: {' '.join(command)}: {done.stderr.decode().strip()}")
    return done.stdout


def image_ids(images: list[str]) -> dict[str, str]:
    """Return the id of each image here."""
    command = ["docker", "image", "inspect", "--format", "{{.Id}}", *images]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return dict(zip(images, done.stdout.split(), strict=True))


def loaded(node: str) -> dict[str, str]:
    """Return the ids of what was loaded into a node, by name."""
    told: dict[str, str] = json.loads(on_node(node, "sh", "-c", f"cat {MARK} 2>/dev/null || echo '{{}}'"))
    return told


def lacking(node: str, wanted: dict[str, str]) -> dict[str, str]:
    """Return those images that the node has not, or not in this state; a node made anew remembers nothing."""
    known = loaded(node)
    there = on_node(node, *CTR, "images", "ls", "--quiet").decode().split()
    return {name: id_ for name, id_ in wanted.items() if known.get(name) != id_ or f"docker.io/{name}" not in there}


def read_archive(archive: tarfile.TarFile) -> list[tuple[str, list[Blob]]]:
    """Return per image its name and its blobs: the layers in order, the config, and last the manifest."""
    members = {member.name: member for member in archive.getmembers()}

    def read(name: str) -> bytes:
        stream = archive.extractfile(members[name])
        assert stream is not None
        return stream.read()

    images = []
    for entry in json.loads(read("manifest.json")):
        config = literal(read(entry["Config"]))
        diff_ids = json.loads(read(entry["Config"]))["rootfs"]["diff_ids"]
        layers = [
            parse_layer(archive, diff_id, path, resolve(members, path))
            for diff_id, path in zip(diff_ids, entry["Layers"], strict=True)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": config.describe("config.v1+json"),
            "layers": [layer.describe(kind) for layer, kind in layers],
        }
        blobs = [*(layer for layer, _ in layers), config, literal(json.dumps(manifest).encode())]
        images.append((entry["RepoTags"][0], blobs))
    return images


def parse_layer(archive: tarfile.TarFile, diff_id: str, path: str, file: tarfile.TarInfo) -> tuple[Blob, str]:
    """Return a layer and its media type: containerd's store saves it compressed, under that digest, Docker's as is."""
    folder, _, name = path.rpartition("/")
    stream = archive.extractfile(file)
    assert stream is not None
    kind = "layer.v1.tar+gzip" if stream.read(2) == GZIP else "layer.v1.tar"
    return Blob(f"sha256:{name}" if folder == "blobs/sha256" else diff_id, file.size, file), kind


def resolve(members: dict[str, tarfile.TarInfo], path: str) -> tarfile.TarInfo:
    """Follow a link inside the archive to the file that it stands for."""
    member = members[path]
    if not member.issym() and not member.islnk():
        return member
    target = member.linkname.removeprefix("../")
    return resolve(members, target)


def write_layout(
    source: tarfile.TarFile, images: list[tuple[str, list[Blob]]], there: set[str], out: IO[bytes]
) -> None:
    """Write an OCI archive of the images without the blobs that are there."""
    index = [
        blobs[-1].describe("manifest.v1+json", annotations={"io.containerd.image.name": f"docker.io/{name}"})
        for name, blobs in images
    ]
    head = {"schemaVersion": 2, "manifests": index}
    files: dict[str, Blob] = {f"blobs/sha256/{b.digest.split(':')[1]}": b for _, blobs in images for b in blobs}
    with tarfile.open(fileobj=out, mode="w") as layout:
        for name, text in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", head)):
            add(layout, name, literal(json.dumps(text).encode()), source)
        for name, blob in files.items():
            if blob.digest not in there:
                add(layout, name, blob, source)


def add(layout: tarfile.TarFile, name: str, blob: Blob, source: tarfile.TarFile) -> None:
    """Append one blob to the archive."""
    entry = tarfile.TarInfo(name)
    entry.size = blob.size
    stream = io.BytesIO(blob.content) if isinstance(blob.content, bytes) else source.extractfile(blob.content)
    layout.addfile(entry, stream)


def load(node: str, saved: str, wanted: dict[str, str]) -> str:
    """Bring one node up to date from a saved archive; return what was done, in words."""
    missing = lacking(node, wanted)
    there = set(on_node(node, *CTR, "content", "ls", "--quiet").decode().split())
    with tarfile.open(saved) as source, tempfile.TemporaryFile() as delta:
        write_layout(source, [image for image in read_archive(source) if image[0] in missing], there, delta)
        size = delta.tell()
        delta.seek(0)
        command = ["docker", "exec", "--interactive", node, *CTR, "images", "import", "--all-platforms", "-"]
        done = subprocess.run(command, stdin=delta, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{node}: {done.stderr.decode().strip()}")
    on_node(node, "sh", "-c", f"cat >{MARK}", given=json.dumps(loaded(node) | wanted).encode())
    return f"{node}: {', '.join(missing)} ({size / 1e6:.0f} MB)"


def main(nodes: list[str], images: list[str]) -> None:
    """Load into every node what it lacks."""
    wanted = image_ids(images)
    behind = {node: missing for node in nodes if (missing := lacking(node, wanted))}
    if not behind:
        return
    names = sorted({name for missing in behind.values() for name in missing})
    with tempfile.NamedTemporaryFile(suffix=".tar") as saved, concurrent.futures.ThreadPoolExecutor() as pool:
        subprocess.run(["docker", "save", *names], stdout=saved, check=True)
        for line in pool.map(lambda node: load(node, saved.name, wanted), behind):
            print(line, file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1].split(","), sys.argv[2:])
