"""The program of a ProxyCommand, as a socket: it has its own session, and is gone when the
connection is closed."""

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress

from kafka_rolling_restart.text import clean

TAIL = 1000  # bytes that are kept of what it says
KIND_S = 0.5  # from SIGTERM to SIGKILL


class ProxyProcess:
    """Runs a command whose standard input and output lead to a host."""

    def __init__(self, command: str, shell: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._said = b""
        try:
            with theirs:
                # In a session of its own, because Ctrl-C is not to cut the connection while a
                # broker is down.
                self._child = subprocess.Popen(
                    [shell, "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
        except OSError:
            self.socket.close()
            raise
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    @property
    def said(self) -> str:
        """The end of what it said on stderr, as one printable line."""
        lines = self._said.decode("utf-8", "replace").splitlines()
        line = " | ".join(filter(None, map(str.strip, lines)))
        return clean(line)

    def close(self) -> None:
        """End it and whatever it started."""
        self.socket.close()
        # before it is waited for: until then nobody else can have its pid
        self._signal(signal.SIGTERM)
        try:
            self._child.wait(KIND_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(KIND_S)

    def _signal(self, number: signal.Signals) -> None:
        if self._child.returncode is None:
            # it has ended; or it is another user's, as under sudo
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)

    def _listen(self) -> None:
        stream = self._child.stderr
        if stream is None:
            return
        with suppress(ValueError, OSError), stream:
            while some := os.read(stream.fileno(), TAIL):
                self._said = (self._said + some)[-TAIL:]
