"""The last step between the supervisor and a role's process: `python supervisor_exec.py FD PARENT
PROGRAM`, run in the new process itself.

Only the process knows its own pid, which LISTEN_PID must hold; only it can ask the kernel to die
with its parent; and the listening socket must become descriptor 3. It imports nothing of evctl, so
that it starts quickly.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
FIRST_LISTEN_FD = 3


def main() -> None:
    descriptor, parent, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # SIGKILL: a role that drained on would keep the address that the next supervisor must bind.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    if descriptor != FIRST_LISTEN_FD:
        os.dup2(descriptor, FIRST_LISTEN_FD)
        os.close(descriptor)
    os.set_inheritable(FIRST_LISTEN_FD, True)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execv(program, [program])  # noqa: S606 - no shell is wanted: the process becomes the program


if __name__ == "__main__":
    main()
