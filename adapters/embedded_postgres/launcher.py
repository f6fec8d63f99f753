"""Turn a new process into a PostgreSQL program that holds the server lock. Run as a script, by its path.

The one argument is a JSON object:
    command        the program and its arguments
    folder         the data folder; it becomes the working folder, which fails where the account can't enter
    uid, gid       the account that the program runs as
    namespace_uid  null, or the uid that it sees as its own in a user namespace that maps that uid to uid
    lock           null, or the inherited descriptor of the server lock; the program and all its children hold
                   it while one of them lives, because the kernel ties a flock to the open file
    detach         whether to leave the program running and exit immediately with status 0; its boot id, pid
                   and start time are noted in the lock

It imports nothing beyond the standard library: it runs with -I -S, before any package path is set.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h; os.unshare came with Python 3.12
PR_SET_DUMPABLE = 4  # linux/prctl.h


def enter_user_namespace(uid: int, gid: int, namespace_uid: int) -> None:
    """Show this process `namespace_uid` as its own uid while files are still opened as `uid`.

    PostgreSQL refuses to run where its uid is 0. Nothing outside this process changes. Raises `OSError`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no user namespace: {os.strerror(number)}")
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self belongs to root, where root became the user
    # Linux demands that setgroups is given up before an unprivileged gid_map.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{namespace_uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{namespace_uid} {gid} 1")


def become_account(uid: int, gid: int) -> None:
    """Change from root to an ordinary account, with no way back. Raises `OSError`."""
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def boot_id() -> str:
    """The kernel's random name for the time since this machine was booted. Raises `OSError`."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot. Raises `OSError`.

    With the boot id and the pid it names a process: no other one ever has the same three.
    """
    # The command name in field 2 may hold any character, also a closing parenthesis. Field 22 is the time.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def main(argument: str) -> None:
    """Run the command of `argument`; returns only in the process that detaches. Raises `OSError`."""
    order = json.loads(argument)
    if order["detach"] and os.fork() != 0:
        return
    if os.geteuid() != order["uid"]:
        become_account(order["uid"], order["gid"])
    if order["namespace_uid"] is not None:
        enter_user_namespace(order["uid"], order["gid"], order["namespace_uid"])
    os.chdir(order["folder"])
    if order["detach"]:
        identity = {
            "boot_id": boot_id(),
            "pid": os.getpid(),
            "start_ticks": start_ticks(os.getpid()),
        }
        os.pwrite(order["lock"], json.dumps(identity).encode(), 0)
    os.execve(order["command"][0], order["command"], os.environ)


if __name__ == "__main__":
    os.umask(0o077)
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.exit(f"launcher: {error}")
