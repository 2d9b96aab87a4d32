"""Reads a model server's output: how far its start has come, and the sentence that explains its end.

It stands beside launcher.py in a pod: standard library, Python 3.8 and newer. The texts are those of vLLM 0.6 to 0.33.
MAMBA has the exit code 82, since smaller batches help; EXT and CPU have 83, since a larger share of the memory does.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, NamedTuple

# A pipe's capacity, beyond which lines are judged in pieces; the longest text, in narrow lines with a prefix each.
CHUNK_BYTES, TAIL_BYTES = 1 << 16, 2048
LEAD_BYTES, MESSAGE_BYTES = 200, 4096  # of a message: before its cause, and in all
WHITE = b" \t\r\n"

# Class, exit code, phase where the class implies one, text. The more specific first: a general error often precedes the
# sentence that explains it. Without white space, since terminals and collectors cut lines even inside a word.
SIGNATURES = tuple((name, code, at, re.compile(text.replace(b" ", b"").replace(b"NUM", rb"\d+\.?\d*")))
                   for name, code, at, text in (
    ("SHM", 88, None, rb"Error while creating shared memory segment|failed to extend /dev/shm/"
                      rb"|/dev/shm/.{0,60}?No space left on device|No space left on device[:'\"]{0,3}/dev/shm/"),
    ("FREE_LT", 80, 0, rb"(?:Free|Available) memory on (?:device|node)[^(]{0,40}\((?P<free>NUM)/(?P<total>NUM)"
                       rb" GiB\) on startup is less than [^(]{10,90}\((?P<gmu>NUM), (?P<want>NUM) GiB\)"),
    ("EXT", 83, 0, rb"Externally held weights on device[^(]{0,40}\(NUM/(?P<total>NUM) GiB\) exceed the desired"
                   rb"(?: GPU memory utilization \((?P<gmu>NUM), (?P<want>NUM) GiB\))?"),
    ("KV_NONE", 83, 2, rb"No available memory for the cache blocks"),
    ("KV_SMALL", 84, 2, rb"max seq len \((?P<mml>\d+)\), \((?P<need>NUM) GiB KV cache is needed[^(]{1,90}"
                        rb"\((?P<avail>NUM) GiB\)(?:.{0,90}?estimated maximum model length is (?P<est>\d+)\.)?"),
    ("KV_SMALL_V0", 84, 2, rb"max seq len \((?P<mml>\d+)\) is larger than [^(]{1,90} KV cache \((?P<est>\d+)\)"),
    ("AUTOFIT", 83, 2, rb"Cannot auto-fit max_model_len"),
    ("MAMBA", 82, 3, rb"max_num_seqs \(\d+\) exceeds available Mamba cache blocks \((?P<seqs>\d+)\)"),
    ("RACE", 87, 2, rb"Error in memory profiling\.(?: Initial free(?: \w{3})? memory (?P<free>NUM)(?: GiB)?,"
                    rb" current free(?: \w{3})? memory (?P<avail>NUM)[GT.])?"),
    ("CPU", 83, None, rb"The worker already uses NUM GiB(?:.{0,400}?to more than (?P<need>[01]?\.\d+))?"
                      rb"|Available memory on node[^(]{1,9}\((?P<free>NUM)/(?P<total>NUM) GiB\) on kv cache alloc"
                      rb"|[Ii]ncrease (?:the )?(?:environment variable )?[`']?VLLM_CPU_KVCACHE_SPACE"),
    ("LOAD_OOM", 81, 1, rb"Failed to load model - not enough GPU memory"),
    ("SAMPLER_OOM", 82, None, rb"out of memory occurred when warming up (?:sampler|pooler \(task=[^)]{1,40}\))"
                              rb"(?: with (?P<seqs>\d+) dummy)?"),
    ("CUDA_OOM", 90, None, rb"(?:torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory|CUDA [Ee]rror: out of memory"
                           rb"|CUBLAS_STATUS_ALLOC_FAILED|Cuda failure.{0,8}out of memory)"
                           rb"(?:.{0,120}?total capacity of (?P<total>NUM) GiB)?"),
    ("HOST_OOM", 89, None, rb"died unexpectedly \(exit code: -9\)|died, exit code: -9(?!\d)"
                           rb"|Failed core proc\(s\): \{[^}]{0,400}: -9[,}]"),
    ("SHM", 88, None, rb"died unexpectedly \(exit code: -7\)|Failed core proc\(s\): \{[^}]{0,400}: -7[,}]"),
))  # fmt: skip
BY_PHASE = {1: ("LOAD_OOM", 81), 2: ("PROFILE_OOM", 82), 3: ("CAPTURE_OOM", 85), 4: ("RUN_OOM", 86)}
PHASELESS = ("CUDA_OOM", "SAMPLER_OOM")  # they occur in several phases: without a sign of one, none is named

# A start's phases: 1 weights are loaded, 2 memory is profiled, 3 KV cache and graphs are made, 4 it serves.
DEATHS = (b"EngineCoreencounteredafatalerror", b"MQEngineDeadError", b"MQLLMEngineisalreadydead")
MARKERS = tuple((phase, text.replace(b" ", b"")) for phase, texts in (
    (1, (b"Starting to load model", b"Loading model from scratch")),
    (2, (b"Model loading took", b"Loading model weights took", b"Encoder cache will be", b"Profiling CUDA graph mem")),
    (3, (b"Available KV cache memory:", b"Memory profiling takes", b"KV cache size:", b"# GPU blocks:",
         b"Capturing the model for CUDA graphs", b"GiB for KV cache on node")),
    (4, (b"init engine (profile, create kv cache, warmup model) took", b"Application startup complete", *DEATHS)),
) for text in texts)  # fmt: skip
# Where no marker was seen, the innermost of these functions in the traceback tells the phase.
FRAME = re.compile(
    rb",in(?:(load_model)|(profile_run|profile_cudagraph|determine_available_memory|determine_num_available_blocks)"
    rb"|(capture_model|_warm_up_model|compile_or_warm_up|_allocate_kv_cache|_init_cache_engine|initialize_kv_cache))"
)
FATAL = b"Gotfatalsignalfromworker"  # after it vLLM kills itself: the kernel had no hand in it
# Every text that matters holds one of these, most of them two: to look for a few words is fast.
CAUSE_WORDS = b"outofm OfMemory emoryon emoryprofil GPUmemory cacheblocks seqlen( ALLOC_FAILED /dev/shm".split()
CAUSE_WORDS += b"auto-fit coreproc( exitcode:- heldweights alreadyuses KVCACHE_SPACE fatalsignal".split()
START_WORDS = b"loadmodel oadingmodel oadingtook KVcache GPUblocks apturing Encoderc initengine startupcom".split()
START_WORDS += b'graphmem encounteredaf MQEngine MQLLM File"'.split()

COLOUR = re.compile(rb"\x1b?\[\d+(?:;\d+)*m")
# What workers, compose, kubectl, CRI, journald and vLLM's own logger put before a line.
PREFIX = re.compile(
    rb"(?:\s*(?:\([^()]{0,60}pid=\d+[^()]{0,60}\)|[\w.-]+ +\||\[[\w.-]{1,60}(?:/[\w.-]{1,90}){1,3}\]"
    rb"|\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-][\d:]+)?(?: std(?:out|err) [FP])?"
    rb"|[A-Z][a-z]{2} +\d+ [\d:]{8} \S+ [\w@./-]+\[\d+\]:"
    rb"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)(?: \d\d-\d\d [\d:]{8})? \[?[\w./-]+:\d+\]))*"
)
LABEL = re.compile(rb"pid=\d+|[\w@.-]+\[\d+\]:|[\w.-]+ +\||/[\w./-]+\]")


class Piece(NamedTuple):
    """A line: its number, its text without prefix and white space, the line as it came, the length of its prefix."""

    number: int
    text: bytes
    line: bytes
    prefix: int


def split_sources(lines: list[bytes]) -> list[list[Piece]]:
    """Return all lines as they came and, where several workers speak in turn, each one's lines alone."""
    label, everything = b"", []
    sources: dict[bytes, list[Piece]] = {}
    for number, line in enumerate(lines):
        prefix = PREFIX.match(line).group()  # type: ignore[union-attr]
        label = (LABEL.findall(prefix) or [label])[-1]
        everything.append(Piece(number, line[len(prefix) :].translate(None, WHITE), line, len(prefix)))
        sources.setdefault(label, []).append(everything[-1])
    return [everything, *(sources.values() if len(sources) > 1 else ())]


def quote(pieces: list[Piece], offset: int) -> str:
    """Return the lines that a text stretches over, from shortly before it; `offset` counts its first line's letters."""
    first = pieces[0]
    letters = [at for at in range(first.prefix, len(first.line)) if first.line[at] not in WHITE]
    start = max(0, letters[offset] - LEAD_BYTES)
    lines = [first.line[start : start + MESSAGE_BYTES], *(piece.line[piece.prefix :] for piece in pieces[1:])]
    return b" ".join(map(bytes.strip, lines)).decode("utf-8", "replace")


def number(field: str, text: bytes) -> int | float:
    """Return a field's value; memory that came in bytes, as on some platforms, is turned into GiB."""
    value = int(text) if field in ("mml", "est", "seqs") else float(text)
    return round(value / 2**30, 2) if field in ("free", "avail") and value > 1e6 else value


class Story:
    """What the output told so far: the phase, and the best explanation of the server's end."""

    def __init__(self, command: list[str]) -> None:
        self.phase = self.frame = 0
        self.rank, self.name, self.code = len(SIGNATURES), "NONE", 0
        self.is_stopping = self.has_killed_itself = False  # what a server says after it was told to go is no cause
        self.rest: dict[int, bytes] = {}  # by stream, as is the next
        self.tails: dict[int, bytes] = {}
        told = re.search(r"--gpu[-_]memory[-_]utilization[ =](\d*\.?\d+)", " ".join(command))
        self.told: dict[str, Any] = {"gmu": float(told.group(1))} if told else {}
        self.found: dict[str, Any] = {}  # numbers of the best explanation
        self.fields = dict(self.told)

    def feed(self, stream: int, chunk: bytes) -> None:
        """Read on in one of the streams; a line may come in several chunks, and an empty chunk ends the last one."""
        block = self.rest.get(stream, b"") + chunk
        whole = len(block) if not chunk or len(block) > CHUNK_BYTES else block.rfind(b"\n") + 1
        self.rest[stream] = block[whole:]
        if whole:
            text = self.tails.get(stream, b"") + block[:whole]
            self.tails[stream] = text[-TAIL_BYTES:]
            self._scan(text)

    def report(self) -> dict[str, Any]:
        """Return what is known of the end; what is not known is absent."""
        phase = {} if self.name in PHASELESS else {"phase": f"P{self.phase}"}
        return {"v": 1, "class": self.name, **phase, **self.fields}

    def _scan(self, text: bytes) -> None:
        squeezed, words = text.translate(None, WHITE), CAUSE_WORDS + START_WORDS * (self.phase < 4)
        if any(word in squeezed for word in words):
            events = chain.from_iterable(map(self._events, split_sources(COLOUR.sub(b"", text).split(b"\n"))))
            for _, offset, judge, *findings in sorted(events, key=itemgetter(0, 1)):
                judge(offset, *findings)

    def _events(self, pieces: list[Piece]) -> Iterator[tuple[Any, ...]]:
        """Yield (line, offset, method, arguments) for everything in a source that bears on its end."""
        text = b"".join(piece.text for piece in pieces)
        starts = [0, *accumulate(len(piece.text) for piece in pieces)]

        def event(at: int, *judgement: Any) -> tuple[Any, ...]:
            index = bisect(starts, at) - 1
            return (pieces[index].number, at - starts[index], *judgement)

        self.has_killed_itself |= FATAL in text
        yield from (event(text.find(t), self._advance, phase, t) for phase, t in MARKERS if t in text)
        yield from (event(m.start(), self._enter, m.lastindex) for m in FRAME.finditer(text))
        for rank, (*_, pattern) in enumerate(SIGNATURES[: 0 if self.is_stopping else self.rank + 1]):
            for match in pattern.finditer(text):
                lines = pieces[bisect(starts, match.start()) - 1 : bisect(starts, match.end() - 1)]
                yield (*event(match.start(), self._note), rank, match, lines)

    def _advance(self, _offset: int, phase: int, text: bytes) -> None:
        self.phase = max(self.phase, phase)
        if self.name == "CUDA_OOM" and text in DEATHS:
            (self.name, self.code), self.fields["phase"] = BY_PHASE[4], "P4"

    def _enter(self, _offset: int, phase: int) -> None:
        self.frame = phase

    def _note(self, offset: int, rank: int, match: re.Match[bytes], lines: list[Piece]) -> None:
        found = {key: number(key, value) for key, value in match.groupdict().items() if value}
        if rank < self.rank:
            self._settle(rank)
        elif rank > self.rank or not self.found.items() < found.items():
            return  # the same text once more tells more only where it was cut off before
        self.found = found
        self.fields.update(found, msg=quote(lines, offset))

    def _settle(self, rank: int) -> None:
        self.rank, (self.name, self.code, implied, _) = rank, SIGNATURES[rank]
        phase = implied if implied is not None else self.phase or self.frame
        if self.name == "CUDA_OOM":
            self.name, self.code = BY_PHASE.get(phase, (self.name, self.code))
        elif (self.name, phase) == ("SAMPLER_OOM", 3):
            self.code = BY_PHASE[3][1]
        self.fields = {**self.told, **({"phase": f"P{phase}"} if phase or self.name not in PHASELESS else {})}
