"""JavaScript's values and conversions: what the functions of the mapping language lean on.

Nothing in here knows of rules, pipes or functions. One file per subject: `values` (undefined,
kinds, equality), `text` (UTF-16), `numbers`, `dates` with `zones`, `date_parse` and `date_format`,
`convert` (from one kind to another), `objects` (own properties), `sequences` (what text and arrays
share), `collation`, `json` and `regex`.
"""

from hotmesh.mapping.javascript.convert import (
    add,
    less,
    loose_equal,
    property_key,
    to_number,
    to_primitive,
    to_string,
)
from hotmesh.mapping.javascript.dates import Date
from hotmesh.mapping.javascript.values import (
    UNDEFINED,
    OutOfRange,
    Undefined,
    WrongType,
    copied,
    is_date,
    is_nullish,
    is_number,
    is_object,
    kind,
    strict_equal,
    truthy,
)

__all__ = [
    "UNDEFINED",
    "Date",
    "OutOfRange",
    "Undefined",
    "WrongType",
    "add",
    "copied",
    "is_date",
    "is_nullish",
    "is_number",
    "is_object",
    "kind",
    "less",
    "loose_equal",
    "property_key",
    "strict_equal",
    "to_number",
    "to_primitive",
    "to_string",
    "truthy",
]
