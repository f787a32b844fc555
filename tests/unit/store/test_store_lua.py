"""The Lua files as text: headers that are true, no globals, no key built, checks before writes."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

import hotmesh
from hotmesh.core import effects
from hotmesh.store import dead, encode
from hotmesh.store.keys import Keys
from hotmesh.store.scripts import SCRIPTS, Script, assemble, load

HOTMESH = Path(hotmesh.__file__).parent
LUA = HOTMESH / "store" / "lua"
TOP = sorted(p.name for p in LUA.glob("*.lua"))
ALL = sorted(str(p.relative_to(LUA)) for p in LUA.rglob("*.lua"))

WRITES = re.compile(
    r"redis\.call\(\s*'(?:[HLSZ]?(?:SET|INCRBY|INCRBYFLOAT|ADD|REM|DEL|PUSH|POP)|XADD|XACK|XDEL|XCLAIM"
    r"|XAUTOCLAIM|XTRIM|XGROUP|RPUSH|LPUSH|LPOP|RPOP|LREM|PEXPIRE|EXPIRE|UNLINK|DEL|PUBLISH|HINCRBYFLOAT"
    r"|ZADD|ZREM|HSET|HDEL|SET|RENAME|PERSIST)'"
)
KEYLESS = {"TIME", "PUBLISH"}
KEY_NAMES = {"key", "stream", "engine", "outbox"}
"""What functions in `lib` and inside ops call a key that they were given."""


def code_of(name: str) -> str:
    """A file without its comments."""
    return "\n".join(re.sub(r"--.*$", "", line) for line in (LUA / name).read_text().splitlines())


def header_of(name: str) -> dict[str, str]:
    """The named parts of a script's header."""
    lines = []
    for line in (LUA / name).read_text().splitlines():
        if not line.startswith("--"):
            break
        lines.append(line.removeprefix("--").strip())
    found = re.split(r"\b(KEYS|ARGV|RETURNS|CALLER|INCLUDES): ", "\n".join(lines[1:]))
    parts = {found[i]: found[i + 1].strip() for i in range(1, len(found), 2)}
    parts["INCLUDES"] = parts["INCLUDES"].partition("\n")[0]  # a remark may follow
    return parts


def functions_of(module: Path) -> set[str]:
    tree = ast.parse(module.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


# Keys of receipts are made by the script itself, as nothing else: their type needs no check.
RECEIPTS = {
    "tell.lua": {"KEYS[op[6]]"},
    "hear.lua": {"KEYS[op[8]]"},
    # What takes a key of any type: it is renamed over, or expires.
    "archive.lua": {"KEYS[op[2]]"},
    "outlive.lua": {"KEYS[op[2]]"},
}

# Their settlement is more than an acknowledgement: the step, the wake-up or the archive.
STREAMS_LUA = HOTMESH / "streams" / "lua"

RUN_GUARDS = {"turn.lua", "input.lua", "start.lua", "step.lua"}


def test_every_script_is_loaded_and_every_loaded_script_is_a_file() -> None:
    assert {f"{name}.lua" for name in SCRIPTS} == set(TOP)


@pytest.mark.parametrize("name", TOP)
def test_a_script_begins_with_its_name_and_says_what_it_takes_and_gives(name: str) -> None:
    first = (LUA / name).read_text().splitlines()[0]

    assert first.startswith(f"-- {name}: ")
    assert set(header_of(name)) == {"KEYS", "ARGV", "RETURNS", "CALLER", "INCLUDES"}


@pytest.mark.parametrize("name", TOP)
def test_the_caller_that_a_header_names_exists_and_calls_it(name: str) -> None:
    where, _, what = header_of(name)["CALLER"].partition(" ")
    module = HOTMESH / where

    assert module.is_file(), where
    for function in what.split(","):
        assert function.strip() in functions_of(module), f"{function} of {where}"
    assert f'"{name.removesuffix(".lua")}"' in module.read_text()


@pytest.mark.parametrize("name", TOP)
def test_a_script_has_one_caller(name: str) -> None:
    where = header_of(name)["CALLER"].partition(" ")[0]
    quoted = f'"{name.removesuffix(".lua")}"'
    calls = re.compile(rf"(?:scripts\[|\.run\(\s*){quoted}")

    callers = {
        str(path.relative_to(HOTMESH))
        for path in HOTMESH.rglob("*.py")
        if calls.search(path.read_text())
        # Streams have a folder of scripts of their own.
        and not (HOTMESH / "streams" in path.parents and (STREAMS_LUA / name).is_file())
    }

    assert callers == {where}


@pytest.mark.parametrize("name", TOP)
def test_what_a_header_includes_exists_and_is_used(name: str) -> None:
    includes = header_of(name)["INCLUDES"]
    text = assemble(name.removesuffix(".lua"))

    for include in [] if includes == "none" else includes.split(","):
        include = include.strip()
        if include.endswith("/*"):
            assert list((LUA / include[:-2]).glob("*.lua"))
        else:
            assert (LUA / "lib" / f"{include}.lua").is_file()
            assert len(re.findall(rf"\b{include}\b", text)) > 1, f"{include} is not used"


@pytest.mark.parametrize("name", TOP)
def test_a_script_has_what_it_uses(name: str) -> None:
    text = assemble(name.removesuffix(".lua"))

    for lib in (LUA / "lib").glob("*.lua"):
        if re.search(rf"\b{lib.stem}\(", text):
            assert f"local function {lib.stem}(" in text


def test_every_library_is_included_by_some_script() -> None:
    used = {i.strip() for name in TOP for i in header_of(name)["INCLUDES"].split(",")}

    assert {p.stem for p in (LUA / "lib").glob("*.lua")} <= used


@pytest.mark.parametrize("name", TOP)
def test_no_name_is_global(name: str) -> None:
    text = assemble(name.removesuffix(".lua"))
    known = {"KEYS", "ARGV"}
    for names in re.findall(r"\blocal ([\w, ]+?)(?:=|$)", text, re.M):
        known |= {n.strip() for n in names.split(",")}
    known |= set(re.findall(r"\blocal function (\w+)", text))
    for names in re.findall(r"\bfunction ?\w*\(([\w, ]*)\)", text):
        known |= {n.strip() for n in names.split(",")}
    for names in re.findall(r"\bfor ([\w, ]+?) (?:=|in)", text):
        known |= {n.strip() for n in names.split(",")}

    assigned = set(
        re.findall(r"(?:^|;|\bthen\b|\bdo\b)\s*([A-Za-z_]\w*)(?:\[[^\]]*\])*\s*=[^=]", text, re.M)
    )
    assigned |= set(re.findall(r"(?:^|\s)function (\w+)", re.sub("local function", "", text)))

    assert not assigned - known


@pytest.mark.parametrize("name", ALL)
def test_no_key_is_built_in_a_script(name: str) -> None:
    code = code_of(name)

    assert not re.search(r"KEYS\[[^\]]*\]*\s*\.\.|\.\.\s*KEYS", code)
    for command, key in re.findall(r"redis\.call\('(\w+)'(?:,\s*([^,)]+))?", code):
        if command in KEYLESS:
            continue
        place = re.sub(r"^'\w+',\s*", "", key)  # XGROUP DELCONSUMER key
        if command in ("XGROUP", "XINFO"):
            continue
        assert place.startswith("KEYS[") or place in KEY_NAMES, f"{command} {key}"


@pytest.mark.parametrize("name", ALL)
def test_no_script_decodes_what_a_user_sent_or_draws_a_number(name: str) -> None:
    code = code_of(name)

    assert "cjson" not in code
    assert "math.random" not in code
    assert code.count("cmsgpack.unpack") == (1 if name == "apply.lua" else 0)


@pytest.mark.parametrize("name", ALL)
def test_no_error_is_caught_after_a_write(name: str) -> None:
    code = code_of(name)
    first = WRITES.search(code)

    assert "pcall" not in (code[first.start() :] if first else "")


def sections_of(name: str) -> dict[str, str]:
    """The sections of a guard or op, by the names in their `--@` lines."""
    parts = (LUA / name).read_text().split("--@ ")[1:]
    return {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in parts}


@pytest.mark.parametrize("name", sorted(p.name for p in (LUA / "guards").glob("*.lua")))
def test_a_guard_only_reads(name: str) -> None:
    sections = sections_of(f"guards/{name}")

    assert "guard" in sections
    assert set(sections) <= {"guard", "settle"}
    assert "return 1" in sections["guard"]
    assert not WRITES.search(sections["guard"])
    assert "acknowledge(" not in sections["guard"]
    if name not in RUN_GUARDS:  # it acknowledges, through the library
        assert not WRITES.search(sections.get("settle", ""))


@pytest.mark.parametrize("name", sorted(RUN_GUARDS))
def test_a_guard_of_runs_reads_what_its_settlement_writes(name: str) -> None:
    """A receipt and an archive may be of any type; the entry's stream is the router's."""
    sections = sections_of(f"guards/{name}")
    positions = re.compile(r"KEYS\[(?:op\[\d+\]|1)\]")
    free = {"input.lua": {"KEYS[op[9]]", "KEYS[op[11]]"}, "start.lua": {"KEYS[op[5]]"}}

    written = set(positions.findall(sections["settle"]))

    assert written - set(positions.findall(sections["guard"])) <= free.get(name, set())


@pytest.mark.parametrize("name", sorted(p.name for p in (LUA / "ops").glob("*.lua")))
def test_the_check_of_an_op_only_reads(name: str) -> None:
    sections = sections_of(f"ops/{name}")

    assert "run" in sections
    assert set(sections) <= {"check", "run"}
    assert not WRITES.search(sections.get("check", ""))


@pytest.mark.parametrize("name", sorted(p.name for p in (LUA / "ops").glob("*.lua")))
def test_an_op_checks_every_key_that_it_writes(name: str) -> None:
    """The guard has looked at the job. A receipt of any type is a receipt."""
    sections = sections_of(f"ops/{name}")
    positions = re.compile(r"KEYS\[op\[\d+\](?:\[i\])?\]")

    written = set(positions.findall(sections["run"]))
    checked = set(positions.findall(sections.get("check", "")))

    assert written - checked <= RECEIPTS.get(name, set())


def test_apply_decides_and_checks_before_it_writes() -> None:
    code = code_of("apply.lua")
    places = [code.index(what) for what in ("guard(", "check(", "settle(", "run(")]

    assert places == sorted(places)
    assert not WRITES.search(code)


@pytest.mark.parametrize("name", ["due.lua", "redrive.lua", "retire.lua"])
def test_a_small_script_reads_every_key_that_it_writes_before_the_first_write(name: str) -> None:
    code = code_of(name)
    first = WRITES.search(code)
    assert first is not None

    written = set(re.findall(r"KEYS\[\d\]", code[first.start() :]))
    read = set(re.findall(r"KEYS\[\d\]", code[: first.start()]))

    assert written <= read


# -- ops and effects

EXAMPLES: dict[str, effects.Effect] = {
    "FieldsSet": effects.FieldsSet({"r": b"1"}),
    "FieldsDrop": effects.FieldsDrop(("a",)),
    "Append": effects.Append("engine", "", b"x"),
    "TimerSet": effects.TimerSet(b"x", 1),
    "TimerDrop": effects.TimerDrop(b"x"),
    "Publish": effects.Publish("caller", "c", b"x"),
    "Expire": effects.Expire(1),
    "Hear": effects.Hear("t", "k", b"0:x"),
    "Unhear": effects.Unhear("t", "k", b"0:x"),
    "Tell": effects.Tell("t", "k", b"x", True, "r", 1),
    "Count": effects.Count("n", "j", {"count": 1}, {"a": 1}, ("f",), 0),
}
if hasattr(effects, "Delete"):
    EXAMPLES["Delete"] = effects.Delete()
OTHERS: dict[str, list[effects.Effect]] = {
    "forward": [effects.Append("outbox", "1", b"x")],
    "once": [effects.Append("engine", "", b"x", "r")],
}


def ops_of(ordered: list[effects.Effect]) -> list[str]:
    keys = Keys("hm", "app")
    command = encode.Command("j")
    command.add(keys, keys.partitions[0], ordered)
    return [op[0] for op in command.ops]


def test_every_effect_has_an_op_and_every_op_is_somebodys() -> None:
    union = {kind.__name__ for kind in get_args(effects.Effect)}
    assert union == set(EXAMPLES), "give the new effect an example here"

    made = {op for example in EXAMPLES.values() for op in ops_of([example])}
    made |= {op for more in OTHERS.values() for op in ops_of(more)}
    made.add(dead.bury_op(3, b"", reason="", stream="", job="", deliveries=1)[0])
    for place in ("store/runs.py", "store/run_ops.py", "durable/commit.py"):
        made |= set(re.findall(r'\[\s*"([a-z]+)",', (HOTMESH / place).read_text()))

    made.add("first")  # of a start that asks for a receipt, `store.New.once`

    assert made & ALL_OPS == ALL_OPS


ALL_OPS = {p.stem for p in (LUA / "ops").glob("*.lua")}


@pytest.mark.parametrize("name", sorted(ALL_OPS))
def test_an_op_says_what_it_is_given(name: str) -> None:
    text = (LUA / "ops" / f"{name}.lua").read_text()

    assert text.startswith(f"-- {name}: ")
    assert f"{{'{name}'" in text
    assert f"if name == '{name}' then" in assemble("apply")


def test_every_guard_is_used() -> None:
    places = ("store/jobs.py", "store/runs.py", "engine/runs.py", "durable/calls.py")
    source = "".join((HOTMESH / place).read_text() for place in places)

    assert all(f'["{p.stem}"' in source for p in (LUA / "guards").glob("*.lua"))


def test_verdicts_are_those_of_the_header() -> None:
    from hotmesh.store import Verdict

    told = dict(re.findall(r"(\d) ([A-Z]+)", header_of("apply.lua")["RETURNS"]))

    assert {int(number): name for number, name in told.items()} == {
        v.value: v.name for v in Verdict
    }


def test_redis_6_gets_the_same_text_without_the_first_line() -> None:
    new, old = load(shebang=True), load(shebang=False)

    for name in SCRIPTS:
        assert new[name].text == f"#!lua\n{old[name].text}"
        assert new[name].sha != old[name].sha
    assert Script("due").sha == new["due"].sha


# -- the packed argument


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65_535, 65_536, 100_000])
def test_bytes_are_spliced_in_as_text_of_any_size(size: int) -> None:
    import msgspec

    packed = msgspec.msgpack.encode([encode.text(b"\xff" * size), 7])

    decoded = msgspec.msgpack.decode(packed, type=list[msgspec.Raw])
    head = bytes(decoded[0])[: len(bytes(decoded[0])) - size]
    assert bytes(decoded[0]) == head + b"\xff" * size
    assert head == (bytes([0xA0 | size]) if size < 32 else b"\xdb" + size.to_bytes(4, "big"))


def test_a_key_gets_one_position_however_often_it_is_used() -> None:
    keys = Keys("hm", "app")
    command = encode.Command("j", "s")
    append = effects.Append("engine", "", b"x")

    command.add(keys, keys.partitions[0], [append, append, effects.TimerDrop(b"x"), append])

    assert command.keys == ["j", "s", keys.partitions[0].engine, keys.partitions[0].timers]
    assert [op[1] for op in command.ops] == [3, 3, 4, 3]


def test_all_keys_of_a_partition_share_its_hash_tag() -> None:
    keys = Keys("hm", "app", 3)
    for partition in keys.partitions:
        made = [partition.engine, partition.timers, partition.dead, partition.outbox]
        made += [partition.version, partition.job("{x}*"), partition.worker("a.b")]
        made += [partition.waiters("t", "{}"), partition.early("t", "}"), partition.receipt("{")]
        made += [partition.stats("n", "s", "}{"), partition.receipt("r" * 999)]
        tag = f"{{app/{partition.number}}}"
        for key in made:
            assert re.search(r"\{(.*?)\}", key).group(0) == tag  # type: ignore[union-attr]
            assert len(key) < 300


def test_a_hint_over_its_limit_is_never_sent() -> None:
    with pytest.raises(AssertionError):
        ops_of([effects.Publish("topic", "x", b"x" * 1_025)])
