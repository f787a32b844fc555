"""docs/reference/durable.md is what the code says."""

from __future__ import annotations

from durable_reference import PAGE, page, sections

from hotmesh import durable


def test_the_page_is_up_to_date() -> None:
    """Else run `python tests/docs/durable_reference.py`."""
    assert PAGE.read_text() == page()


def test_every_public_name_is_on_it_with_its_meaning() -> None:
    on_page = {name: value for _, names in sections() for name, value in names}
    assert {n for n in durable.__all__ if n not in ("activity", "workflow")} <= set(on_page)
    for name, value in on_page.items():
        if callable(value) and type(value).__module__ != "typing":
            assert value.__doc__, name
