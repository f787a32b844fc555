"""The methods of an event loop that workflow code must not use: threads, sockets, processes, and
running or stopping the loop itself.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from hotmesh.durable.violation import forbid

__all__ = ["RefusingLoop"]

ACTIVITY = "an activity"
TURN = "nothing: the worker runs the loop"


def _refused(name: str, instead: str) -> Any:  # no type fits all that it replaces
    def refuse(self: RefusingLoop, /, *args: Any, **kwargs: Any) -> NoReturn:
        forbid(f"loop.{name}()", instead)

    refuse.__name__ = name
    refuse.__qualname__ = f"RefusingLoop.{name}"
    return refuse


class RefusingLoop(asyncio.AbstractEventLoop):
    """An event loop whose methods below raise `WorkflowForbiddenError` when called, also those that
    are coroutine functions elsewhere.
    """

    run_in_executor = _refused("run_in_executor", ACTIVITY)
    call_soon_threadsafe = _refused("call_soon_threadsafe", "a signal")
    set_default_executor = _refused("set_default_executor", ACTIVITY)
    shutdown_default_executor = _refused("shutdown_default_executor", TURN)
    shutdown_asyncgens = _refused("shutdown_asyncgens", TURN)
    run_forever = _refused("run_forever", TURN)
    run_until_complete = _refused("run_until_complete", "await")
    stop = _refused("stop", TURN)
    close = _refused("close", TURN)
    set_task_factory = _refused("set_task_factory", "asyncio.create_task()")
    set_debug = _refused("set_debug", TURN)
    add_reader = _refused("add_reader", ACTIVITY)
    remove_reader = _refused("remove_reader", ACTIVITY)
    add_writer = _refused("add_writer", ACTIVITY)
    remove_writer = _refused("remove_writer", ACTIVITY)
    add_signal_handler = _refused("add_signal_handler", "a workflow signal")
    remove_signal_handler = _refused("remove_signal_handler", "a workflow signal")
    create_connection = _refused("create_connection", ACTIVITY)
    create_datagram_endpoint = _refused("create_datagram_endpoint", ACTIVITY)
    create_server = _refused("create_server", ACTIVITY)
    create_unix_connection = _refused("create_unix_connection", ACTIVITY)
    create_unix_server = _refused("create_unix_server", ACTIVITY)
    connect_accepted_socket = _refused("connect_accepted_socket", ACTIVITY)
    connect_read_pipe = _refused("connect_read_pipe", ACTIVITY)
    connect_write_pipe = _refused("connect_write_pipe", ACTIVITY)
    getaddrinfo = _refused("getaddrinfo", ACTIVITY)
    getnameinfo = _refused("getnameinfo", ACTIVITY)
    sendfile = _refused("sendfile", ACTIVITY)
    start_tls = _refused("start_tls", ACTIVITY)
    sock_accept = _refused("sock_accept", ACTIVITY)
    sock_connect = _refused("sock_connect", ACTIVITY)
    sock_recv = _refused("sock_recv", ACTIVITY)
    sock_recv_into = _refused("sock_recv_into", ACTIVITY)
    sock_recvfrom = _refused("sock_recvfrom", ACTIVITY)
    sock_recvfrom_into = _refused("sock_recvfrom_into", ACTIVITY)
    sock_sendall = _refused("sock_sendall", ACTIVITY)
    sock_sendfile = _refused("sock_sendfile", ACTIVITY)
    sock_sendto = _refused("sock_sendto", ACTIVITY)
    subprocess_exec = _refused("subprocess_exec", ACTIVITY)
    subprocess_shell = _refused("subprocess_shell", ACTIVITY)
