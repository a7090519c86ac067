"""A script: becomes COMMAND after tying itself to its parent and, for PostgreSQL as root, changing user.

    python -I -S spawn.py PARENT_PID DEATH_SIGNAL direct|namespace|nobody COMMAND...

It is a program of its own because a preexec function is unsafe in a parent with threads.
The kernel ties the death signal to the parent's *thread*: whoever starts this must be a thread that stays.
"""

import ctypes
import os
import pwd
import sys

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
ORDINARY_ID = 1000


def enter_user_namespace() -> None:
    """Map root to an ordinary uid in a new user namespace; the files keep their owner outside.

    Raises OSError where the kernel or a container's policy refuses.
    """
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) refused")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{ORDINARY_ID} {uid} 1"),
        ("gid_map", f"{ORDINARY_ID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123  # quick to start: no pathlib
            file.write(text)


def die_with(parent: int, death_signal: int) -> None:
    """Ask the kernel for `death_signal` when the parent dies; elsewhere than on Linux do nothing."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Replace this process by the command."""
    parent, death_signal, identity, *command = arguments
    if identity == "namespace":
        enter_user_namespace()
    elif identity == "nobody":
        nobody = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    die_with(int(parent), int(death_signal))  # last: a change of user clears it
    os.execv(command[0], command)  # noqa: S606  # becomes the command


if __name__ == "__main__":
    main(sys.argv[1:])
