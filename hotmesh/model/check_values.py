"""Values of one kind: flags, durations, codes, retries, JSON Schemas.

Each function notes what is wrong with one value.
"""

from __future__ import annotations

import re
from typing import Any

from hotmesh.durations import parse as parse_duration
from hotmesh.errors import DurationInvalid
from hotmesh.model.check_refs import Reader, check_rule, is_rule, note_unquoted
from hotmesh.model.findings import Findings
from hotmesh.model.marks import Path
from hotmesh.model.scope import Scope
from hotmesh.model.shape import explain
from hotmesh.model.types import TABLE_RETRIES_MAX, RetryPolicy, is_retry_table

CODE_MIN, CODE_MAX = 100, 999
_SCHEMA_FAULT_MAX = 300

CODE_PATTERN = re.compile(r"(?=.*\*)[1-9*][0-9*]{2}", re.ASCII)


def check_flag(scope: Scope, reader: Reader, value: Any, path: Path) -> None:
    """True, false or a rule; None is absent."""
    if note_unquoted(scope, value, path):
        return
    if value is not None and not isinstance(value, bool) and not is_rule(value):
        scope.findings.error(path, "must be true, false, a reference or a pipe")
    else:
        check_rule(scope, reader, value, path)


def check_text(scope: Scope, reader: Reader, value: Any, path: Path) -> None:
    """A text or a rule; None is absent."""
    if note_unquoted(scope, value, path):
        return
    if value is not None and not isinstance(value, str) and not is_rule(value):
        quote = f"; put it in quotes: '{value}'" if isinstance(value, (int, float)) else ""
        scope.findings.error(path, f"must be text, a reference or a pipe{quote}")
    else:
        check_rule(scope, reader, value, path)


def check_duration(findings: Findings, value: Any, path: Path, *, zero: bool = False) -> None:
    """Seconds or a duration's text, without rules; None is absent."""
    if value is None:
        return
    if is_rule(value):
        findings.error(
            path, "can't be a reference or pipe: write seconds or a duration such as '30s'"
        )
        return
    try:
        ms = parse_duration(value)
    except DurationInvalid as exc:
        findings.error(path, str(exc))
        return
    if ms == 0 and not zero:
        findings.error(path, "must be more than 0; leave the line out for none")


def check_waiting(scope: Scope, reader: Reader, value: Any, path: Path) -> None:
    """Seconds, a duration's text or a rule; None is absent."""
    if is_rule(value):
        check_rule(scope, reader, value, path)
    elif isinstance(value, dict):
        check_text(scope, reader, value, path)
    else:
        check_duration(scope.findings, value, path, zero=True)


def check_expire(scope: Scope, reader: Reader, value: Any, path: Path) -> None:
    """As `check_waiting`, and -1 for ever."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value < 0:
        if value != -1:
            scope.findings.error(
                path,
                f"{value} is no time; write seconds, a duration, or -1 to keep the job for ever",
            )
        return
    check_waiting(scope, reader, value, path)


def check_code(findings: Findings, value: Any, path: Path) -> bool:
    """A literal code, as number or text."""
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3
    if (
        isinstance(value, bool)
        or not (digits or isinstance(value, int))
        or not CODE_MIN <= int(value) <= CODE_MAX
    ):
        findings.error(path, f"a code is a number from {CODE_MIN} to {CODE_MAX}, not {value!r:.60}")
        return False
    return True


def check_code_pattern(findings: Findings, value: Any, path: Path) -> bool:
    """A code of a transition: a literal one, or three characters of which some are `*`: any
    digit.
    """
    if isinstance(value, str) and CODE_PATTERN.fullmatch(value):
        return True
    return check_code(findings, value, path)


def check_retry(findings: Findings, retry: Any, path: Path) -> None:
    """A retry table or policy; None is absent."""
    if retry is None:
        return
    if not isinstance(retry, dict) or not retry:
        findings.error(
            path,
            "must be a table of codes such as {'503': [3]}, or a policy such as "
            "{maximum_attempts: 5}",
        )
    elif is_retry_table(retry):
        for code, times in retry.items():
            if check_code(findings, code, (*path, code)):
                _check_times(findings, times, (*path, code))
    else:
        _check_policy(findings, retry, path)


def _check_times(findings: Findings, times: Any, path: Path) -> None:
    if (
        not isinstance(times, list)
        or not times
        or isinstance(times[0], bool)
        or not isinstance(times[0], int)
    ):
        findings.error(path, "must be a list with the number of repetitions: [3]")
        return
    if not 1 <= times[0] <= TABLE_RETRIES_MAX:
        hint = (
            f"; for {times[0]} use a policy: {{maximum_attempts: {times[0] + 1}}}"
            if times[0] > 1
            else ""
        )
        findings.error(
            (*path, 0), f"a table repeats 1 to {TABLE_RETRIES_MAX} times, not {times[0]}{hint}"
        )
    if len(times) > 2 or times[1:] not in ([], ["x"]):
        findings.error((*path, 1), "beside the number only 'x' (growing delays) can stand")


def _check_policy(findings: Findings, retry: dict[str, Any], path: Path) -> None:
    explain(retry, RetryPolicy, path, findings)
    attempts, factor = retry.get("maximum_attempts", 1), retry.get("backoff_coefficient", 1)
    if isinstance(attempts, int) and attempts < 1:
        findings.error((*path, "maximum_attempts"), "must be at least 1 (the first attempt)")
    if isinstance(factor, (int, float)) and not 1 <= factor <= 1000:
        findings.error((*path, "backoff_coefficient"), "must be from 1 (equal delays) to 1000")
    check_duration(findings, retry.get("initial_interval"), (*path, "initial_interval"), zero=True)
    check_duration(findings, retry.get("maximum_interval"), (*path, "maximum_interval"), zero=True)
    codes = retry.get("codes", [])
    for index, code in enumerate(codes if isinstance(codes, list) else []):
        if isinstance(code, int):
            check_code(findings, code, (*path, "codes", index))


def check_schema(findings: Findings, schema: Any, path: Path, *, used: bool) -> None:
    """A JSON Schema: an error if data is checked against it (`used`), a warning if it is
    documentation. None is absent.

    Nothing is fetched: a reference of a schema to another address is a fault.
    """
    if schema is None:
        return
    note = findings.error if used else findings.warn
    if not isinstance(schema, (dict, bool)):
        note(path, "must be a JSON Schema: a mapping such as {type: object, properties: {…}}")
        return
    # Not at the top: an app without schemas does not pay for it.
    import jsonschema_rs

    try:
        jsonschema_rs.validator_for(schema, offline=True)
    except jsonschema_rs.ValidationError as exc:
        message = (
            exc.message
            if len(exc.message) <= _SCHEMA_FAULT_MAX
            else exc.message[:_SCHEMA_FAULT_MAX] + " …"
        )
        note((*path, *exc.instance_path), f"this is not valid JSON Schema: {message}")
    except (
        ValueError,
        TypeError,
    ) as exc:  # a schema that it can't take at all, such as one nested too deep
        note(path, f"this is not valid JSON Schema: {str(exc)[:_SCHEMA_FAULT_MAX]}")
