"""The assembler of seccomp filters: rules in, bytes of a classic BPF program out. PURE; only the standard library."""

from __future__ import annotations

import struct

# linux/bpf_common.h: load a word at a fixed offset, compare with a constant, and with a constant, return a constant.
_LOAD, _EQUALS, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
# struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6].
_NR, _ARCH, _ARGS = 0, 4, 16
# linux/seccomp.h
ALLOW = 0x7FFF0000
KILL = 0x80000000
_ERRNO = 0x00050000
# The kernel's longest filter (BPF_MAXINSNS).
MAX_INSTRUCTIONS = 4096

Condition = tuple[int, int, int]
"""Argument number, mask, value: holds where the argument's lower 32 bits, masked, are the value.

Every argument that is looked at is an int in the kernel, which ignores the upper half as well.
"""
Rule = tuple[int, tuple[Condition, ...], int]
"""Number of a system call, conditions that must all hold, action."""


def refuse(errno: int) -> int:
    """Return the action that answers with an error number."""
    return _ERRNO | errno


def assemble(architecture: int, foreign_bit: int, rules: list[Rule], otherwise: int) -> bytes:
    """Assemble a filter in which the first rule that holds decides.

    A call of another architecture kills, and so does a number with `foreign_bit` (0: there is no such bit).
    """
    head = [(_LOAD, 0, 0, _ARCH), (_EQUALS, 1, 0, architecture), (_RETURN, 0, 0, KILL), (_LOAD, 0, 0, _NR)]
    if foreign_bit:
        head += [(_AND, 0, 0, foreign_bit), (_EQUALS, 1, 0, 0), (_RETURN, 0, 0, KILL), (_LOAD, 0, 0, _NR)]
    body = [instruction for rule in rules for instruction in _rule(*rule)]
    program = [*head, *body, (_RETURN, 0, 0, otherwise)]
    if len(program) > MAX_INSTRUCTIONS:
        raise ValueError(f"a filter of {len(program)} instructions; the kernel takes {MAX_INSTRUCTIONS}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _rule(number: int, conditions: tuple[Condition, ...], action: int) -> list[tuple[int, int, int, int]]:
    """Assemble one rule; the accumulator holds the call's number before it and after it."""
    tests: list[tuple[int, int, int, int]] = []
    for argument, mask, value in conditions:
        tests += [(_LOAD, 0, 0, _ARGS + 8 * argument), (_AND, 0, 0, mask), (_EQUALS, 0, 0, value)]
    # A comparison that fails jumps past the return, to where the number is loaded again.
    rest = len(tests) + 1
    for place, (code, _, _, constant) in enumerate(tests):
        if code == _EQUALS:
            tests[place] = (code, 0, rest - place - 1, constant)
    program = [(_EQUALS, 0, rest, number), *tests, (_RETURN, 0, 0, action)]
    return [*program, (_LOAD, 0, 0, _NR)] if conditions else program
