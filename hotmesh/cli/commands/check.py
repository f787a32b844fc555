"""`hotmesh check`."""

from __future__ import annotations

from hotmesh.cli.arguments import model_source
from hotmesh.cli.context import Cli
from hotmesh.cli.models import compiled
from hotmesh.cli.output import finding_facts, one_line
from hotmesh.errors import Finding, ModelInvalid
from hotmesh.lifecycle import EXIT_DONE, EXIT_FAILED


def check(file: str, /, *, strict: bool = False, cli: Cli) -> int:
    """Find what is wrong in a model. Needs no server.

    Args:
        file: The model, a YAML file; - for stdin.
        strict: Warnings are faults too.
    """
    source = model_source(file)
    findings: tuple[Finding, ...]
    try:
        findings = compiled(cli, source).warnings
    except ModelInvalid as exc:
        findings = exc.findings
    errors = [f for f in findings if f.severity == "error"]
    is_ok = not (findings if strict else errors)
    if cli.output.json:
        facts = [finding_facts(f) for f in findings]
        cli.output.result({"ok": is_ok, "findings": facts})
    else:
        for finding in findings:
            mark = "" if finding.severity == "error" else "warning: "
            cli.output.line(one_line(f"{mark}{finding}"))
        cli.output.line(_summary(len(errors), len(findings) - len(errors)))
    return EXIT_DONE if is_ok else EXIT_FAILED


def _summary(errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return "no faults"
    return f"{_counted(errors, 'fault')}, {_counted(warnings, 'warning')}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
