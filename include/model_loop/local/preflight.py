"""Checks before anything is started; each failure names its remedy."""

from __future__ import annotations

import shutil
import socket

from model_loop.errors import ModelLoopError
from model_loop.local.stack import HOST, LocalStack
from model_loop.settings import ENVIRONMENT_PREFIX

_GIGABYTE = 1024**3
NEEDED_DISK = 2 * _GIGABYTE


class LocalStackError(ModelLoopError):
    """The local stack cannot be started, or something in it failed."""


def check_machine(stack: LocalStack) -> None:
    """Check disk and ports.

    Raises
    ------
    LocalStackError
        If there is too little disk, or a port is taken.
    """
    _check_disk(stack)
    _check_ports(stack)


def _check_disk(stack: LocalStack) -> None:
    stack.make_state()
    free = shutil.disk_usage(stack.state).free
    if free < NEEDED_DISK:
        raise LocalStackError(
            f"The disk of {stack.state}",
            f"has {free / _GIGABYTE:.1f} GB free, and {NEEDED_DISK / _GIGABYTE:.0f} GB are needed",
            f"Make room, or set {ENVIRONMENT_PREFIX}STATE to a folder on another disk.",
        )


def _check_ports(stack: LocalStack) -> None:
    for setting, port in stack.ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise LocalStackError(
                    f"Port {port}",
                    f"is in use ({error.strerror})",
                    f"Stop the program that uses it, or set "
                    f"{ENVIRONMENT_PREFIX}{setting.upper()} to a free port.",
                ) from error
