"""An SSH server that takes a password: OpenSSH's own would need one in /etc/shadow."""

from __future__ import annotations

import socket
import subprocess
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.server import InteractiveQuery

from .ssh_files import SSH_PORT

PASSWORD = "correct horse"


class PasswordServer:
    """Runs commands for whoever knows the password, for as long as the `with` block.

    With ``keyboard`` it asks for it by keyboard-interactive, as OpenSSH with PAM often does.
    """

    def __init__(self, address: str, keyboard: bool = False) -> None:
        self._key = paramiko.RSAKey.generate(2048)
        self._keyboard = keyboard
        self.seen: list[str] = []  # the passwords that were sent to it
        self._listener = socket.create_server((address, SSH_PORT))

    @property
    def host_key(self) -> str:
        """The public key as `type base64`."""
        return f"{self._key.get_name()} {self._key.get_base64()}"

    def __enter__(self) -> PasswordServer:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # closing alone does not wake who waits for a connection
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                transport = paramiko.Transport(connection)
                transport.add_server_key(self._key)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Door(self._keyboard, self.seen))


class _Door(paramiko.ServerInterface):
    def __init__(self, keyboard: bool, seen: list[str]) -> None:
        self._way = "keyboard-interactive" if keyboard else "password"
        self._seen = seen

    def get_allowed_auths(self, username: str) -> str:
        return self._way

    def check_auth_password(self, username: str, password: str) -> int:
        self._seen.append(password)
        return _result(self._way == "password" and password == PASSWORD)

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        return InteractiveQuery("", "", ("Password: ", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        self._seen += responses
        return _result(responses == [PASSWORD])

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=_run, args=(channel, command.decode()), daemon=True).start()
        return True


def _result(is_right: bool) -> int:
    return AUTH_SUCCESSFUL if is_right else AUTH_FAILED


def _run(channel: paramiko.Channel, command: str) -> None:
    # its end comes after our answer to the request, which a quick command would overtake
    while channel.recv(1024):
        pass
    ended = subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    channel.sendall(ended.stdout)
    channel.send_exit_status(ended.returncode)
    channel.close()
