"""The functions of the mapping language, one module per family.

A function takes its arguments in order; a parameter without a default must be given, surplus
arguments are cut off by the compiler, and absent ones are UNDEFINED. One whose first parameter is
called `env` gets the pass's `Env` there. Faults are raised as `WrongType` or `OutOfRange`; the
caller adds the row and the name.
"""

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.functions import (
    array,
    bitwise,
    conditional,
    cron,
    date,
    json,
    logical,
    math,
    number,
    object,
    string,
    symbol,
    unary,
)

FAMILIES: Final[dict[str, dict[str, Callable[..., Any]]]] = {
    "array": array.FUNCTIONS,
    "bitwise": bitwise.FUNCTIONS,
    "conditional": conditional.FUNCTIONS,
    "cron": cron.FUNCTIONS,
    "date": date.FUNCTIONS,
    "json": json.FUNCTIONS,
    "logical": logical.FUNCTIONS,
    "math": math.FUNCTIONS,
    "number": number.FUNCTIONS,
    "object": object.FUNCTIONS,
    "string": string.FUNCTIONS,
    "symbol": symbol.FUNCTIONS,
    "unary": unary.FUNCTIONS,
}

__all__ = ["FAMILIES"]
