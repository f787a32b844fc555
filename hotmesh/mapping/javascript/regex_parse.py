"""Reads a JavaScript regular expression without flags into a tree.

The grammar is that of ECMAScript's non-unicode mode with its tolerances (a lone `{` or `]` is
itself, an unknown escape is the character). What only other engines know (`(?i)`, comments,
possessive quantifiers) is an error, as it is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from hotmesh.mapping.javascript.text import WHITESPACE
from hotmesh.mapping.javascript.values import OutOfRange

LENGTH_MAX: Final = 1_000
NESTING_MAX: Final = 50
REPEAT_MAX: Final = 1_000

Test: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class One:
    """Matches one unit that passes the test. `char` is set when only one unit does."""

    test: Test
    char: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    number: int
    body: Node


@dataclass(frozen=True, slots=True)
class Repeat:
    """`groups` are the numbers of the groups inside: every turn forgets what they held."""

    body: Node
    least: int
    most: int | None
    greedy: bool
    groups: range


@dataclass(frozen=True, slots=True)
class Back:
    """A back reference: to a number, or to a name that is looked up when all names are known."""

    target: int | str


@dataclass(frozen=True, slots=True)
class Assertion:
    """`start`, `end`, `word` or `not word`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Look:
    body: Node
    behind: bool
    negated: bool


Node: TypeAlias = One | Sequence | Choice | Group | Repeat | Back | Assertion | Look

DIGITS: Final = frozenset("0123456789")
WORD: Final = DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
SPACES: Final = frozenset(WHITESPACE)
LINE_ENDS: Final = frozenset("\n\r\u2028\u2029")
_CLASSES: Final = {"d": DIGITS, "w": WORD, "s": SPACES}
_CONTROLS: Final = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BRACES: Final = re.compile(r"\{(\d+)(?:(,)(\d*))?\}", re.ASCII)
_NAME: Final = re.compile(r"<([A-Za-z_$][A-Za-z0-9_$]*)>")
_GROUP: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]?|\((?!\?)|\(\?<(?![=!])", re.DOTALL)


def parse(source: str) -> tuple[Node, int, dict[str, int]]:
    """The tree of a pattern given in units, its number of groups, and the named ones."""
    if len(source) > LENGTH_MAX:
        raise OutOfRange(f"the pattern has more than {LENGTH_MAX:,} characters")
    parser = _Parser(source)
    node = parser.choice(0)
    if parser.at < len(source):
        raise OutOfRange("the pattern has a ) without its (")
    return node, parser.opened, parser.names


def _one(char: str) -> One:
    return One(lambda unit: unit == char, char)


def _member(members: frozenset[str], negated: bool) -> Test:
    if negated:
        return lambda unit: unit not in members
    return lambda unit: unit in members


def _between(low: str, high: str) -> Test:
    return lambda unit: low <= unit <= high


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0
        self.opened = 0
        self.names: dict[str, int] = {}
        groups = [found for found in _GROUP.findall(source) if found.startswith("(")]
        self.groups = len(groups)
        self.named = "(?<" in groups

    def peek(self, text: str) -> bool:
        return self.source.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if not self.peek(text):
            return False
        self.at += len(text)
        return True

    def choice(self, depth: int) -> Node:
        if depth > NESTING_MAX:
            raise OutOfRange(f"the pattern has more than {NESTING_MAX} groups in one another")
        options = [self.sequence(depth)]
        while self.take("|"):
            options.append(self.sequence(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.source) and self.source[self.at] not in "|)":
            before = self.opened
            part, repeatable = self.term(depth)
            parts.append(self.repeated(part, range(before + 1, self.opened + 1), repeatable))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def term(self, depth: int) -> tuple[Node, bool]:
        """The next atom or assertion, and whether it may be repeated."""
        if self.take("^"):
            return Assertion("start"), False
        if self.take("$"):
            return Assertion("end"), False
        if self.take("\\b"):
            return Assertion("word"), False
        if self.take("\\B"):
            return Assertion("not word"), False
        for opening, behind, negated in (
            ("(?=", False, False),
            ("(?!", False, True),
            ("(?<=", True, False),
            ("(?<!", True, True),
        ):
            if self.take(opening):
                return Look(self.closed(depth), behind, negated), not behind
        return self.atom(depth), True

    def closed(self, depth: int) -> Node:
        node = self.choice(depth + 1)
        if not self.take(")"):
            raise OutOfRange("the pattern has a ( without its )")
        return node

    def atom(self, depth: int) -> Node:
        if self.take("(?:"):
            return self.closed(depth)
        if self.peek("(?<"):
            return self.named_group(depth)
        if self.peek("(?"):
            raise OutOfRange("the pattern has a group of a kind that does not exist")
        if self.take("("):
            self.opened += 1
            number = self.opened
            return Group(number, self.closed(depth))
        if self.take("["):
            return self.char_class()
        if self.take("."):
            return One(_member(LINE_ENDS, True))
        if self.take("\\"):
            return self.escape()
        if self.source[self.at] in "*+?" or _BRACES.match(self.source, self.at):
            raise OutOfRange("the pattern repeats nothing")
        self.at += 1
        return _one(self.source[self.at - 1])

    def named_group(self, depth: int) -> Node:
        found = _NAME.match(self.source, self.at + 2)
        if not found or found[1] in self.names:
            raise OutOfRange("the pattern has a group name that is invalid or used twice")
        self.at = found.end()
        self.opened += 1
        number = self.names[found[1]] = self.opened
        return Group(number, self.closed(depth))

    def repeated(self, part: Node, groups: range, repeatable: bool) -> Node:
        least, most = 1, 1
        braces = _BRACES.match(self.source, self.at)
        if self.take("*"):
            least, unbounded = 0, True
        elif self.take("+"):
            unbounded = True
        elif self.take("?"):
            least, unbounded = 0, False
        elif braces:
            self.at = braces.end()
            least = int(braces[1][:9])
            unbounded = bool(braces[2]) and not braces[3]
            most = int(braces[3][:9]) if braces[3] else least
        else:
            return part
        if not repeatable:
            raise OutOfRange("the pattern repeats nothing")
        if max(least, most) > REPEAT_MAX:
            raise OutOfRange(f"the pattern repeats a part more than {REPEAT_MAX:,} times")
        if not unbounded and most < least:
            raise OutOfRange("the pattern has a repeat whose numbers are out of order")
        return Repeat(part, least, None if unbounded else most, not self.take("?"), groups)

    def escape(self) -> Node:
        if self.at >= len(self.source):
            raise OutOfRange("the pattern ends in a backslash")
        digits = re.match(r"[1-9][0-9]*", self.source[self.at : self.at + 4])
        if digits and int(digits[0]) <= self.groups:
            self.at += digits.end()
            return Back(int(digits[0]))
        if self.named and self.take("k"):
            found = _NAME.match(self.source, self.at)
            if not found:
                raise OutOfRange("the pattern has a \\k without a name")
            self.at = found.end()
            return Back(found[1])
        test = self.class_escape()
        return One(test) if test else _one(self.char_escape())

    def class_escape(self) -> Test | None:
        letter = self.source[self.at]
        members = _CLASSES.get(letter.lower())
        if members is None or not letter.isascii():
            return None
        self.at += 1
        return _member(members, letter.isupper())

    def char_escape(self) -> str:
        """The unit that an escape stands for; an unknown one stands for itself."""
        letter = self.source[self.at]
        self.at += 1
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "c":
            following = self.source[self.at : self.at + 1]
            if following.isascii() and following.isalpha():
                self.at += 1
                return chr(ord(following) % 32)
            self.at -= 1
            return "\\"
        width = {"x": 2, "u": 4}.get(letter)
        if width:
            digits = self.source[self.at : self.at + width]
            if re.fullmatch(rf"[0-9a-fA-F]{{{width}}}", digits):
                self.at += width
                return chr(int(digits, 16))
        octal = re.match(r"[0-3][0-7]{0,2}|[4-7][0-7]?", self.source[self.at - 1 : self.at + 2])
        if octal:
            self.at += octal.end() - 1
            return chr(int(octal[0], 8))
        return letter

    def char_class(self) -> Node:
        negated = self.take("^")
        tests: list[Test] = []
        while not self.take("]"):
            low, test = self.class_atom()
            if self.peek("-") and not self.source.startswith("]", self.at + 1):
                self.at += 1
                high, second = self.class_atom()
                if low is not None and high is not None:
                    if high < low:
                        raise OutOfRange(
                            "the pattern has a range of characters that is out of order"
                        )
                    tests.append(_between(low, high))
                    continue
                tests += [test, _between("-", "-"), second]
            else:
                tests.append(test)
        if negated:
            return One(lambda unit: not any(test(unit) for test in tests))
        return One(lambda unit: any(test(unit) for test in tests))

    def class_atom(self) -> tuple[str | None, Test]:
        """One member of a class: its unit (None for a class such as `\\d`) and its test."""
        if self.at >= len(self.source):
            raise OutOfRange("the pattern has a [ without its ]")
        if not self.take("\\"):
            self.at += 1
            char = self.source[self.at - 1]
            return char, _between(char, char)
        if self.at >= len(self.source):
            raise OutOfRange("the pattern ends in a backslash")
        test = None if self.peek("b") else self.class_escape()
        if test:
            return None, test
        char = "\b" if self.take("b") else self.char_escape()
        return char, _between(char, char)
