"""The locks of an embedded server's directory, and its keeper, which starts and ends the server.

The kernel gives a lock (`flock`) back whatever way its holder dies, so three of them say all that
must be known:

- `users.lock` is held shared by every user. The keeper asks for it exclusively, and so gets it when
  the last one has gone.
- `keeper.lock` is held by the keeper for as long as it lives. Its text is the path of the socket.
- `server.lock` is held by the server, which inherits it from the keeper. So two servers can never
  write one append-only file, not even when a keeper was killed and left its server behind.

This file is also the keeper's program, run as `python -I -S embedded_lock.py HOME BINARY FD` so
that it needs no package and about 10 MB. It imports only the standard library, and little of that.
"""

from __future__ import annotations

import _thread
import fcntl
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

USERS, KEEPER, SERVER = "users.lock", "keeper.lock", "server.lock"
CONFIG, PID = "server.conf", "server.pid"

# A clean shutdown takes milliseconds, but a slow disk may hold its last fsync. Killing it after
# that loses nothing that was acknowledged: those bytes are in the page cache.
TERMINATE_S = 10.0
KILL_S = 5.0

# A server that was killed (out of memory, an operator, a chaos test) comes back for its users. One
# that is killed again and again has a reason that a restart doesn't mend.
RESTARTS_MAX = 5
RESTARTS_WITHIN_S = 60.0


def open_lock(path: str | os.PathLike[str]) -> int:
    """The lock file at `path`, opened and not yet locked. Programs we start don't inherit it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(lock: int, *, shared: bool = False) -> bool:
    """Take a lock if that needs no waiting."""
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(lock: int) -> None:
    """Give a lock back, also where a fork has left copies of it. Closing alone wouldn't do that."""
    fcntl.flock(lock, fcntl.LOCK_UN)


class Keeper:
    """Runs the server of one directory until nobody uses it."""

    def __init__(self, home: str, binary: str) -> None:
        self.home, self.binary = home, binary
        self.child = 0  # 0 when there is none, or when the server is one that a killed keeper left
        self.is_stopping = False
        self.restarts: list[float] = []

    def run(self) -> int:
        """Start the server, again if it is killed, and return an exit code when it has ended."""
        _thread.start_new_thread(self._stop_after_users, ())
        while True:
            lock = open_lock(os.path.join(self.home, SERVER))
            fcntl.flock(lock, fcntl.LOCK_EX)  # at once, or when the server that holds it has ended
            if self.child and not self._should_restart():
                return 0 if self.is_stopping else 1
            if self.is_stopping:
                return 0
            self._start(lock)
            os.close(lock)

    def _start(self, lock: int) -> None:
        try:
            os.unlink(os.path.join(self.home, PID))  # of a server that had no time to do so
        except FileNotFoundError:
            pass
        os.set_inheritable(lock, True)
        # On standard input, because the server takes the name of a file for a pattern: with a `?`
        # or `[` in it, it would find nothing and start with its defaults, open to the network.
        config = (os.POSIX_SPAWN_OPEN, 0, os.path.join(self.home, CONFIG), os.O_RDONLY, 0)
        self.child = os.posix_spawn(
            self.binary, [self.binary, "-"], os.environ, file_actions=[config]
        )
        if self.is_stopping:  # the other thread may have looked for a child before there was one
            os.kill(self.child, signal.SIGTERM)

    def _should_restart(self) -> bool:
        """Whether the child, which has ended, was killed rather than stopped, and not too often."""
        child, self.child = self.child, 0
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if self.is_stopping:
            return False
        say(f"server {child} ended with code {code} while in use")
        if code >= 0:  # it was told to end, or decided so for a reason that is in its log
            return False
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if now - at < RESTARTS_WITHIN_S] + [now]
        return len(self.restarts) <= RESTARTS_MAX

    def _stop_after_users(self) -> None:
        users = open_lock(os.path.join(self.home, USERS))
        fcntl.flock(users, fcntl.LOCK_EX)
        self._stop()

    def stop_on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """As when the last user leaves; for a machine that shuts down."""
        if not self.is_stopping:
            _thread.start_new_thread(self._stop, ())

    def _stop(self) -> None:
        """End the server; `run` sees it go.

        If it never does, end this process: holding `users.lock` for ever would shut users out.
        """
        self.is_stopping = True
        for number, wait_s in ((signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, KILL_S)):
            pid = self.child or self._pid_left()
            try:
                if pid:
                    os.kill(pid, number)
            except ProcessLookupError:
                pass
            time.sleep(wait_s)
        say("the server did not end")
        os._exit(1)

    def _pid_left(self) -> int:
        """The server that a killed keeper left, or 0. Its file is true while it holds its lock."""
        lock = open_lock(os.path.join(self.home, SERVER))
        try:
            return 0 if try_lock(lock) else read_pid(self.home)
        finally:
            os.close(lock)


def read_pid(home: str | os.PathLike[str]) -> int:
    """What the server has written as its process id; 0 when it hasn't yet."""
    try:
        with open(os.path.join(home, PID)) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def say(message: str) -> None:
    """Add a line to the server's log, which is this process's standard error."""
    os.write(2, f"{os.getpid()}:keeper {message}\n".encode())


def main(home: str, binary: str, keeper_lock: int) -> NoReturn:
    """The keeper's program. The user that runs it has taken `keeper_lock` for it already.

    That user waits for the first process only. The second is nobody's child: no starter has to reap
    it, and killing the starter's process group or closing its terminal doesn't reach it.
    """
    if os.fork():
        os._exit(0)
    os.set_inheritable(keeper_lock, False)  # or a server would seem kept after its keeper's death
    os.umask(0o077)
    keeper = Keeper(home, binary)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, keeper.stop_on_signal)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whatever the starter's thread had blocked
    try:
        code = keeper.run()
    except OSError as exc:
        say(f"failed: {exc}")
        code = 1
    os._exit(code)  # the other thread may be waiting for a lock for ever


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
