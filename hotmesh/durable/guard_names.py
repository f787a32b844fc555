"""What workflow code must not name, and what it uses instead."""

from __future__ import annotations

import ast

__all__ = ["forbidden"]

ACTIVITY = "an activity"
NOW, RANDOM, UUID = "workflow.now()", "workflow.random()", "workflow.uuid4()"
ARGUMENT = "an argument of the workflow, workflow.once() or an activity"
TASK = "asyncio.create_task() or an activity"

_CLOCKS = "time monotonic perf_counter process_time thread_time localtime gmtime ctime"

# Dotted names.
_NAMES: dict[str, str] = {
    **{f"time.{name}": NOW for name in _CLOCKS.split()},
    **{f"time.{name}_ns": NOW for name in _CLOCKS.split()[:5]},
    "time.sleep": "workflow.sleep_for()",
    "datetime.datetime.now": NOW,
    "datetime.datetime.today": NOW,
    "datetime.datetime.utcnow": NOW,
    "datetime.date.today": f"{NOW}.date()",
    "os.environ": ARGUMENT,
    "os.getenv": ARGUMENT,
    "os.urandom": "workflow.random().randbytes()",
    "os.getpid": ARGUMENT,
    "os.system": ACTIVITY,
    "os.popen": ACTIVITY,
    "os.open": ACTIVITY,
    "os.stat": ACTIVITY,
    "os.listdir": ACTIVITY,
    "os.scandir": ACTIVITY,
    "os.walk": ACTIVITY,
    "os.remove": ACTIVITY,
    "os.path.exists": ACTIVITY,
    "os.path.isfile": ACTIVITY,
    "os.path.isdir": ACTIVITY,
    "os.path.getsize": ACTIVITY,
    "os.path.getmtime": ACTIVITY,
    "uuid.uuid1": UUID,
    "uuid.uuid4": UUID,
    "uuid.uuid6": UUID,
    "uuid.uuid7": UUID,
    "builtins.open": ACTIVITY,
    "builtins.input": "a workflow signal",
    "builtins.hash": "hashlib: the hash of a text differs from process to process",
    "builtins.id": "a name or a counter: addresses differ from process to process",
    "asyncio.run": "await",
    "asyncio.Runner": "await",
    "asyncio.new_event_loop": ACTIVITY,
    "asyncio.to_thread": ACTIVITY,
    "asyncio.run_coroutine_threadsafe": "asyncio.create_task()",
    "asyncio.open_connection": ACTIVITY,
    "asyncio.start_server": ACTIVITY,
    "asyncio.open_unix_connection": ACTIVITY,
    "asyncio.start_unix_server": ACTIVITY,
    "asyncio.create_subprocess_exec": ACTIVITY,
    "asyncio.create_subprocess_shell": ACTIVITY,
    # Fine as types, so only their calls are meant; see `forbidden`.
    "asyncio.Future()": "asyncio.get_running_loop().create_future()",
    "asyncio.Task()": "asyncio.create_task()",
}

# Modules, all of whose functions are meant.
_MODULES: dict[str, str] = {
    "random": RANDOM,
    "secrets": RANDOM,
    **dict.fromkeys(("threading", "_thread", "concurrent.futures", "multiprocessing"), TASK),
    **dict.fromkeys(
        [
            *("subprocess", "socket", "ssl", "select", "selectors", "shutil", "tempfile", "glob"),
            *("urllib.request", "http.client", "ftplib", "smtplib", "imaplib", "poplib", "xmlrpc"),
            *("sqlite3", "dbm", "requests", "httpx", "aiohttp", "urllib3", "websockets", "grpc"),
            *("redis", "valkey", "psycopg", "psycopg2", "asyncpg", "pymysql", "aiosqlite"),
            *("sqlalchemy", "pymongo", "motor", "boto3", "botocore", "aioboto3", "google.cloud"),
        ],
        ACTIVITY,
    ),
}

# Wrapped by the loop: by these names, but not by those that a module bound earlier.
_BY_MODULE = frozenset({"asyncio.as_completed", "asyncio.all_tasks"})
# Of those modules, what does no I/O of its own.
_ALLOWED = frozenset({"secrets.compare_digest", "concurrent.futures.Future"})
# Fine when told what to start from.
_FINE_WITH_ARGUMENTS = frozenset({"random.Random", "time.localtime", "time.gmtime", "time.ctime"})


def forbidden(node: ast.AST, origin: str, call: ast.Call | None) -> tuple[str, str] | None:
    """What is wrong with naming `origin`, and what to use instead.

    Args:
        node: The name or attribute.
        origin: A dotted name, as it would be imported.
        call: The call whose function it is, if there is one. Classes matter only when called: in
            annotations and `except` clauses they do nothing.
    """
    if origin in _BY_MODULE and isinstance(node, ast.Name):
        return f"{node.id}, bound by an import of its own,", f"{origin}()"
    if origin in _ALLOWED or (origin in _FINE_WITH_ARGUMENTS and call is not None and call.args):
        return None
    if call is not None and f"{origin}()" in _NAMES:
        return f"{origin}()", _NAMES[f"{origin}()"]
    if origin in _NAMES:
        return origin.removeprefix("builtins.") + ("()" if call else ""), _NAMES[origin]
    if call is None and origin.rpartition(".")[2][:1].isupper():
        return None
    root = origin
    while root := root.rpartition(".")[0]:
        if root in _MODULES:
            return origin + ("()" if call else ""), _MODULES[root]
    return None
