"""What is wrong with a command line, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from cyclopts import (
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
)
from cyclopts.exceptions import UnusedCliTokensError

from hotmesh.settings import NAMES

GLOBAL_FLAGS = (
    "--json",
    "--set",
    "--show-config",
    *(name.flag for name in NAMES.values() if not name.flag.endswith("=")),
)
"""Options that every command takes; the parser of one command does not know them."""


def usage_of(exc: CycloptsError, commands: Sequence[str]) -> str:
    """The sentence for a refused command line, with the name that was probably meant."""
    words = ["hotmesh", *(exc.command_chain or ())]
    see = f"see {' '.join(words)} --help"
    if isinstance(exc, UnknownCommandError) and exc.unused_tokens:
        known = commands if len(words) == 1 else list(exc.app or ())
        token = exc.unused_tokens[0]
        return f"there is no command {token!r}{_near(token, known)}; {see}"
    if isinstance(exc, UnknownOptionError):
        option = (exc.token.keyword or exc.token.value).partition("=")[0]
        known = [name for argument in exc.argument_collection for name in argument.names]
        return f"there is no option {option!r}{_near(option, [*known, *GLOBAL_FLAGS])}; {see}"
    if isinstance(exc, MissingArgumentError) and exc.argument is not None:
        if exc.keyword is not None:
            return f"{exc.keyword} needs a value; {see}"
        return f"{exc.argument.name} is missing; {see}"
    if isinstance(exc, UnusedCliTokensError) and exc.unused_tokens:
        return f"there is one argument too many, {exc.unused_tokens[0]!r}; {see}"
    return f"{str(exc).rstrip('.')}; {see}"


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, [k for k in known if k], n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""
