"""YAML text → plain values, each with line and column, within limits that hold before anything is
built.

The text is read as events (`ruamel.yaml`'s pure parser) and composed here, because a model is data
of a simpler kind than YAML: no anchors, no tags of other languages, keys are text, and only the
plain scalars of YAML 1.2's core schema mean something else than text. So `on`, `off`, `yes` and
`no` are text, and so is a date.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model.marks import Mark, Spot

BYTES_MAX = 8 * 1024 * 1024  # of one file; 10,000 activities take about 2.5 MB
DEPTH_MAX = 64  # a model nests about 12 deep, a pipe in it some more
NODES_MAX = (
    1_000_000  # of one model, what $ref brings in included: about 400 MB and 20 s at the worst
)
_FAULTS_MAX = 50

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_NOT_TEXT = frozenset("0123456789+-.~nNtTfF")  # what a plain scalar that is not text may begin with
_TAGGED: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "bool": bool,
    "null": type(None),
}
_TAG = "tag:yaml.org,2002:"

# What ruamel says, and what a person can do about it. The first that occurs in its words applies.
_SAYINGS = (
    ("'\\t' that cannot start", "a tab stands where YAML wants spaces; indent with spaces"),
    ("found character '@'", "a text that begins with @ needs quotes: '@pipe'"),
    ("found character '`'", "a text that begins with ` needs quotes"),
    ("found character '%'", "a text that begins with % needs quotes"),
    (
        "mapping values are not allowed",
        "a ':' stands where no key can be; put the text in quotes, or check the indentation above",
    ),
    (
        "could not find expected ':'",
        "a key without its ':'; write 'key: value' and check the indentation",
    ),
    (
        "sequence entries are not allowed",
        "a '- ' stands where no list can begin; check the indentation",
    ),
    (
        "did not find expected key",
        "the indentation fits nothing above; line it up with its siblings",
    ),
    ("expected <block end>", "the indentation fits nothing above; line it up with its siblings"),
    ("found unexpected end of stream", "a quoted text is never closed; add the closing quote"),
    (
        "expected ',' or '}'",
        "a { is not closed, or a comma is missing; a reference needs quotes: '{a.output.data.x}'",
    ),
    ("expected ',' or ']'", "a [ is not closed, or a comma is missing"),
    (
        "duplicate anchor",
        "anchors are not supported; repeat the value, or put it into a file and use $ref",
    ),
    (
        "found unknown escape",
        "a '\\' in double quotes begins an escape; use single quotes for plain text",
    ),
)


class Composed:
    """One file as values and marks.

    Attributes:
        value, mark: The document and its positions. `mark` belongs to a mapping or list; for a lone
            scalar it has no children.
        texts: The source text of plain scalars that are numbers or the like, for keys in
            `KEEP_TEXT`: a version `1.10` must not become `1.1`.
        has_refs: Whether any mapping has a key `$ref`.
    """

    __slots__ = ("has_refs", "mark", "texts", "value")

    def __init__(self, value: Any, mark: Mark, texts: dict[Spot, str], has_refs: bool) -> None:
        self.value, self.mark, self.texts, self.has_refs = value, mark, texts, has_refs


KEEP_TEXT = frozenset(("id", "version"))


def compose(text: str, file: str, *, nodes_max: int = NODES_MAX) -> tuple[Composed, int]:
    """The value of a YAML text, and how many nodes it has.

    Raises:
        ModelInvalid: It is not YAML 1.2, is empty, has several documents, uses what models may not
            use, or is over a limit. Repeated keys, anchors, tags and odd numbers are all reported
            at once.
    """
    composer = _Composer(file, nodes_max)
    yaml = YAML(typ="safe", pure=True)
    try:
        composer.run(yaml.parse(text))
    except ModelInvalid:
        raise
    except ReaderError as exc:
        raise ModelInvalid([*composer.faults, _unprintable(exc, text, file)]) from exc
    except MarkedYAMLError as exc:
        raise ModelInvalid([*composer.faults, _said(exc, file)]) from exc
    except (
        YAMLError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as exc:
        # ruamel meets some texts with an error of its own making (found by the property test); the
        # text is at fault.
        line, column = composer.last
        message = "this is not YAML 1.2 that can be read; check the text after this place"
        raise ModelInvalid(
            [*composer.faults, Finding(message, file=file, line=line + 1, column=column + 1)]
        ) from exc
    return composer.result(), composer.nodes


class _Composer:
    """Builds the value from events.

    One list per open mapping or list: the container, its mark, the pending key.
    """

    def __init__(self, file: str, nodes_max: int) -> None:
        self.file, self.nodes_max, self.nodes = file, nodes_max, 0
        self.faults: list[Finding] = []
        self.texts: dict[Spot, str] = {}
        self.has_refs = False
        self.last: Spot = (0, 0)
        self._documents = 0
        self._root: tuple[Any, Mark] | None = None
        self._stack: list[tuple[Any, Mark]] = []
        self._container: Any = None
        self._mark = Mark(file, (0, 0))
        self._key: str | None = None
        self._open: dict[type, Callable[[Any, Spot], None]] = {
            ScalarEvent: self._scalar,
            MappingStartEvent: self._start,
            SequenceStartEvent: self._start,
            MappingEndEvent: self._end,
            SequenceEndEvent: self._end,
            AliasEvent: self._alias,
            DocumentStartEvent: self._document,
        }

    def run(self, events: Iterator[Any]) -> None:
        """Take every event."""
        handlers = self._open
        for event in events:
            handle = handlers.get(event.__class__)
            if handle is not None:
                start = event.start_mark
                self.last = spot = (start.line, start.column)
                handle(event, spot)

    def result(self) -> Composed:
        """What the events gave.

        Raises:
            ModelInvalid: With every fault on the way.
        """
        if self._root is None or (self._root[0] is None and not self.texts and self.nodes == 1):
            self._fault((0, 0), "the document is empty; a model begins with 'app:'")
        if self.faults:
            raise ModelInvalid(self.faults)
        assert self._root is not None  # an empty document was a fault
        return Composed(*self._root, self.texts, self.has_refs)

    # -- one method per kind of event

    def _document(self, event: Any, spot: Spot) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(
                spot,
                "a second document begins here; a model is one document: remove the '---', or "
                "split the file",
            )
        if event.version and tuple(event.version) != (1, 2):
            self._stop((0, 0), "models are YAML 1.2; remove the %YAML line")

    def _scalar(self, event: Any, spot: Spot) -> None:
        if event.anchor is not None:
            self._anchor(spot)
        text: str = event.value
        if not text.isascii() and _is_broken(text):
            self._fault(
                spot,
                "a text holds half of a surrogate pair (\\ud800 to \\udfff); write the character "
                "itself",
            )
        if self._container.__class__ is dict and self._key is None:
            self._take_key(text, spot)
            return
        if not text and self._key is not None and event.implicit[0]:
            spot = self._mark.keys[self._key]  # nothing is there: ruamel points behind it
        value: Any = text
        if event.ctag is not None:
            value = self._tagged(str(event.ctag), text, event.implicit[0], spot)
        elif event.implicit[0] and (not text or text[0] in _NOT_TEXT):
            value = self._plain(text, spot)
            if self._key in KEEP_TEXT and value.__class__ is not str:
                self.texts[spot] = text
        self._put(value, spot)

    def _start(self, event: Any, spot: Spot) -> None:
        if event.anchor is not None:
            self._anchor(spot)
        if event.ctag is not None and str(event.ctag) not in (f"{_TAG}map", f"{_TAG}seq", "!"):
            self._tag(str(event.ctag), spot)
        if len(self._stack) >= DEPTH_MAX:
            self._stop(spot, f"nested deeper than {DEPTH_MAX} levels; flatten the model")
        if self._container.__class__ is dict and self._key is None:
            self._stop(
                spot,
                "a key must be text, not a list or mapping; a text that begins with { or [ needs "
                "quotes",
            )
        value: Any = {} if event.__class__ is MappingStartEvent else []
        mark = Mark(self.file, spot)
        self._put(value, mark)
        self._stack.append((self._container, self._mark))
        self._container, self._mark = value, mark

    def _end(self, event: Any, spot: Spot) -> None:
        self._container, self._mark = self._stack.pop()

    def _alias(self, event: Any, spot: Spot) -> None:
        self._fault(
            spot,
            f"aliases (*{event.anchor}) are not supported; repeat the value, or put it into a "
            "file and use $ref",
        )
        if self._container.__class__ is dict and self._key is None:
            self._take_key(f"*{event.anchor}", spot)
        else:
            self._put(None, spot)

    # -- what they share

    def _take_key(self, text: str, spot: Spot) -> None:
        if text in self._container:
            line, column = self._mark.keys[text]
            self._fault(
                spot, f"{text!r:.100} is here twice (first at {line + 1}:{column + 1}); keep one"
            )
        else:
            self._mark.keys[text] = spot
        if text == "$ref":
            self.has_refs = True
        self._key = text

    def _put(self, value: Any, mark: Mark | Spot) -> None:
        self.nodes += 1
        if self.nodes > self.nodes_max:
            self._stop(self.last, f"more than {NODES_MAX:,} values; split the app into several")
        container = self._container
        if container.__class__ is dict:
            assert self._key is not None  # a value without a key never gets here
            container[self._key] = value
            self._mark.children[self._key] = mark
            self._key = None
        elif container.__class__ is list:
            self._mark.children[len(container)] = mark
            container.append(value)
        else:
            self._root = value, mark if isinstance(mark, Mark) else Mark(self.file, mark)

    def _plain(self, text: str, spot: Spot) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return self._integer(text, spot)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _INFINITY.fullmatch(text):
            return -math.inf if text[0] == "-" else math.inf
        return text

    def _integer(self, text: str, spot: Spot) -> int:
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        value = int(text, base) if len(text) <= 40 else 1 << 64
        if not -(1 << 63) <= value < 1 << 64:
            self._fault(
                spot, "an integer over 64 bits can't be stored; put it in quotes to keep it as text"
            )
            return 0
        return value

    def _tagged(self, tag: str, text: str, plain: bool, spot: Spot) -> Any:
        if tag in ("!", f"{_TAG}str"):
            return text
        value = self._plain(text, spot)
        kind = _TAGGED.get(tag.removeprefix(_TAG))
        if kind is None:
            self._tag(tag, spot)
        elif not isinstance(value, kind):
            self._fault(
                spot,
                f"{text!r:.100} is no {tag.removeprefix(_TAG)}; remove the !! tag or correct the "
                "value",
            )
        return value

    def _tag(self, tag: str, spot: Spot) -> None:
        shown = tag.replace(_TAG, "!!")
        self._fault(
            spot, f"the tag {shown!r:.100} is not supported; models are plain data: remove it"
        )

    def _anchor(self, spot: Spot) -> None:
        self._fault(
            spot,
            "anchors (&) are not supported; repeat the value, or put it into a file and use $ref",
        )

    def _fault(self, spot: Spot, message: str) -> None:
        self.faults.append(Finding(message, file=self.file, line=spot[0] + 1, column=spot[1] + 1))
        if len(self.faults) >= _FAULTS_MAX:
            raise ModelInvalid(self.faults)

    def _stop(self, spot: Spot, message: str) -> None:
        self._fault(spot, message)
        raise ModelInvalid(self.faults)


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _said(exc: MarkedYAMLError, file: str) -> Finding:
    words = f"{exc.context or ''} {exc.problem or ''}"
    mark = exc.problem_mark or exc.context_mark
    advice = next((told for said, told in _SAYINGS if said in words), None)
    message = (
        advice or f"this is not YAML 1.2 ({' '.join(words.split())[:200]}); correct the text here"
    )
    return Finding(
        message,
        file=file,
        line=(mark.line if mark else 0) + 1,
        column=(mark.column if mark else 0) + 1,
    )


def _unprintable(exc: ReaderError, text: str, file: str) -> Finding:
    position = exc.position if isinstance(exc.position, int) else 0
    line = text.count("\n", 0, position)
    column = position - (text.rfind("\n", 0, position) + 1)
    code = ord(text[position]) if position < len(text) else 0
    message = (
        f"the character U+{code:04X} can't stand in YAML; write it as an escape in double quotes, "
        "or remove it"
    )
    return Finding(message, file=file, line=line + 1, column=column + 1)
