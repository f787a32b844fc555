"""Finds a JavaScript regular expression in text, in a bounded number of steps.

Python's `re` differs in a dozen small ways and, like every backtracking engine, can take for ever
on a short text. Here a pattern becomes a list of instructions that run on an explicit stack of
alternatives, and every instruction is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from hotmesh.mapping.javascript.regex_parse import (
    WORD,
    Assertion,
    Back,
    Choice,
    Group,
    Look,
    Node,
    One,
    Repeat,
    Sequence,
    parse,
)
from hotmesh.mapping.javascript.values import OutOfRange

PROGRAM_MAX: Final = 20_000

# Instructions are tuples of one of these and its operands. `back` says that the text is read
# towards its start.
_ONE, _SPLIT, _JUMP, _SAVE, _RESET, _MARK, _CHECK, _BACK, _ASSERT, _LOOK, _DONE = range(11)

Slots: TypeAlias = tuple[int, ...]
"""Start and end of every group, -1 where it has not matched, then where each loop began its
turn.
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled pattern: its instructions and the number of its slots."""

    code: list[tuple[Any, ...]]
    slots: int
    first: str | None


@lru_cache(maxsize=256)
def compiled(source: str) -> Program:
    """The program of a pattern that is given in units; raises `OutOfRange` for a bad one."""
    node, groups, names = parse(source)
    writer = _Writer(groups, names)
    writer.write(node, back=False)
    writer.emit(_DONE)
    return Program(writer.code, writer.slots, _first_of(node))


def find(source: str, text: str, steps_max: int) -> tuple[int, int]:
    """Where a pattern first matches, or -1, and how many instructions that took.

    Args:
        source, text: Both in units.
        steps_max: `OutOfRange` is raised after so many instructions.
    """
    program = compiled(source)
    runner = _Runner(text, steps_max)
    empty = (-1,) * program.slots
    for start in range(len(text) + 1):
        if program.first is not None and not text.startswith(program.first, start):
            runner.spend()
            continue
        if runner.run(program.code, start, empty) is not None:
            return start, runner.steps
    return -1, runner.steps


def _first_of(node: Node) -> str | None:
    """The unit that every match begins with, where that is plain."""
    if isinstance(node, One):
        return node.char
    if isinstance(node, Group):
        return _first_of(node.body)
    return _first_of(node.parts[0]) if isinstance(node, Sequence) and node.parts else None


def _may_be_empty(node: Node) -> bool:
    if isinstance(node, One):
        return False
    if isinstance(node, Sequence):
        return all(_may_be_empty(part) for part in node.parts)
    if isinstance(node, Choice):
        return any(_may_be_empty(option) for option in node.options)
    if isinstance(node, Repeat):
        return node.least == 0 or _may_be_empty(node.body)
    return _may_be_empty(node.body) if isinstance(node, Group) else True


class _Writer:
    """Turns a tree into instructions."""

    def __init__(self, groups: int, names: dict[str, int]) -> None:
        self.code: list[tuple[Any, ...]] = []
        self.names = names
        self.groups = groups
        self.slots = 2 * groups + 2

    def emit(self, *instruction: Any) -> int:
        if len(self.code) >= PROGRAM_MAX:
            raise OutOfRange("the pattern is too large once its repeats are written out")
        self.code.append(instruction)
        return len(self.code) - 1

    def write(self, node: Node, *, back: bool) -> None:
        if isinstance(node, One):
            self.emit(_ONE, node.test, back)
        elif isinstance(node, Sequence):
            for part in reversed(node.parts) if back else node.parts:
                self.write(part, back=back)
        elif isinstance(node, Choice):
            self.choice(node, back)
        elif isinstance(node, Group):
            self.emit(_SAVE, 2 * node.number + back)
            self.write(node.body, back=back)
            self.emit(_SAVE, 2 * node.number + (not back))
        elif isinstance(node, Repeat):
            self.repeat(node, back)
        elif isinstance(node, Assertion):
            self.emit(_ASSERT, node.kind)
        elif isinstance(node, Look):
            place = self.emit(_LOOK)
            self.write(node.body, back=node.behind)
            self.emit(_DONE)
            self.code[place] = (_LOOK, node.negated, place + 1, len(self.code))
        else:
            self.emit(_BACK, self.target(node), back)

    def target(self, node: Back) -> int:
        if isinstance(node.target, int):
            return node.target
        if node.target not in self.names:
            raise OutOfRange("the pattern refers to a group name that it does not have")
        return self.names[node.target]

    def choice(self, node: Choice, back: bool) -> None:
        jumps = []
        for option in node.options[:-1]:
            split = self.emit(_SPLIT)
            self.write(option, back=back)
            jumps.append(self.emit(_JUMP))
            self.code[split] = (_SPLIT, split + 1, len(self.code))
        self.write(node.options[-1], back=back)
        for jump in jumps:
            self.code[jump] = (_JUMP, len(self.code))

    def repeat(self, node: Repeat, back: bool) -> None:
        for _ in range(node.least):
            self.turn(node, back, None)
        mark = None
        if _may_be_empty(node.body):
            mark = self.slots
            self.slots += 1
        splits = []
        for _ in range(1 if node.most is None else node.most - node.least):
            splits.append(self.emit(_SPLIT))
            self.turn(node, back, mark)
        if node.most is None:
            self.emit(_JUMP, splits[0])
        end = len(self.code)
        for split in splits:
            self.code[split] = (_SPLIT, split + 1, end) if node.greedy else (_SPLIT, end, split + 1)

    def turn(self, node: Repeat, back: bool, mark: int | None) -> None:
        if node.groups:
            self.emit(_RESET, 2 * node.groups.start, 2 * node.groups.stop)
        if mark is not None:
            self.emit(_MARK, mark)
        self.write(node.body, back=back)
        if mark is not None:
            self.emit(_CHECK, mark)


class _Runner:
    """Runs programs over one text and counts their steps together."""

    def __init__(self, text: str, steps_max: int) -> None:
        self.text = text
        self.steps = 0
        self.steps_max = steps_max

    def spend(self) -> None:
        self.steps += 1
        if self.steps > self.steps_max:
            raise OutOfRange("the regular expression takes too many steps on this text")

    def run(self, code: list[tuple[Any, ...]], at: int, slots: Slots, pc: int = 0) -> Slots | None:
        """Match from a position on; the slots after the first way that succeeds, or None."""
        text, length = self.text, len(self.text)
        ways: list[tuple[int, int, Slots]] = []
        while True:
            self.spend()
            step = code[pc]
            op = step[0]
            pc += 1
            if op == _ONE:
                place = at - 1 if step[2] else at
                if 0 <= place < length and step[1](text[place]):
                    at = place if step[2] else at + 1
                    continue
            elif op == _SPLIT:
                ways.append((step[2], at, slots))
                pc = step[1]
                continue
            elif op == _JUMP:
                pc = step[1]
                continue
            elif op in (_SAVE, _MARK):
                slots = (*slots[: step[1]], at, *slots[step[1] + 1 :])
                continue
            elif op == _DONE:
                return slots
            elif op == _RESET:
                slots = (*slots[: step[1]], *(-1,) * (step[2] - step[1]), *slots[step[2] :])
                continue
            elif op == _LOOK:
                inner = self.run(code, at, slots, step[2])
                if (inner is None) == step[1]:
                    slots = slots if inner is None else inner
                    pc = step[3]
                    continue
            elif op == _CHECK:
                if slots[step[1]] != at:
                    continue
            elif op == _ASSERT:
                if self.holds(step[1], at):
                    continue
            else:
                after = self.past_reference(slots, step[1], at, back=step[2])
                if after is not None:
                    at = after
                    continue
            if not ways:
                return None
            pc, at, slots = ways.pop()

    def holds(self, assertion: str, at: int) -> bool:
        if assertion == "start":
            return at == 0
        if assertion == "end":
            return at == len(self.text)
        before = at > 0 and self.text[at - 1] in WORD
        after = at < len(self.text) and self.text[at] in WORD
        return (before != after) == (assertion == "word")

    def past_reference(self, slots: Slots, group: int, at: int, *, back: bool) -> int | None:
        """Where reading goes on after a back reference; an unset group stands for nothing."""
        start, end = slots[2 * group], slots[2 * group + 1]
        if start < 0 or end < 0:
            return at
        part = self.text[start:end]
        if back:
            return at - len(part) if self.text[:at].endswith(part) else None
        return at + len(part) if self.text.startswith(part, at) else None
