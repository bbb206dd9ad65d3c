"""What a process can give up for good: its identity, its view of the machine, its rights, most system calls.

Three layers, of which each of the last two contains a program by itself. `identity`: root becomes nobody. `namespaces`:
of users, mounts, network, processes, IPC and host name; the root directory is empty and read-only, no other process and
no network device can be named (unshare(2), user_namespaces(7), pivot_root(2)). `seccomp`: a list of the system calls
that computing needs; everything else fails with EPERM (seccomp(2); x86-64 alone).

Law: what a layer needs is tried in a child first, so that a process is never left with half a layer; a layer that
cannot be had is named with the reason.
"""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Callable
from functools import partial

NOBODY = 65534
LAYERS = IDENTITY, NAMESPACES, SECCOMP = "identity", "namespaces", "seccomp"

NEW_USER = 0x10000000
NEW_OTHERS = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # mount, uts, ipc, pid, net
PRIVATE, MASKED = 0x4000 | 0x40000, 0x1 | 0x2 | 0x4 | 0x8  # MS_REC | MS_PRIVATE; read-only, no suid, devices, programs
DETACH = 2
CAPABILITY_VERSION = 0x20080522
PDEATHSIG, DUMPABLE, SET_SECCOMP, SUBREAPER, NO_NEW_PRIVS = 1, 4, 22, 36, 38  # of prctl(2)

FILTER_MODE = 2
X86_64, X32_BIT = 0xC000003E, 0x40000000
KILL, ALLOW, REFUSE = 0x80000000, 0x7FFF0000, 0x00050000 | 1  # the last: the call fails with EPERM
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # BPF: ld [k], jeq, jge, ret
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
WRITE = 1
CALLS = (  # x86-64 numbers: memory, time, waiting, randomness, asking who one is, ending; no file, process or socket
    *(9, 10, 11, 12, 25, 28),  # mmap mprotect munmap brk mremap madvise
    *(14, 15, 131),  # rt_sigprocmask rt_sigreturn sigaltstack
    *(24, 35, 96, 98, 100, 201, 202, 219, 228, 229, 230),  # sched_yield to clock_nanosleep
    *(39, 63, 102, 104, 107, 108, 110, 186, 204, 309),  # getpid uname getuid … getcpu
    *(60, 231, 318),  # exit exit_group getrandom
)

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    """Call a function of the C library. Raises `OSError` where it returns -1."""
    if getattr(_libc, name)(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, *values: object) -> None:
    _call("prctl", option, *values, *[0] * (4 - len(values)))


def become_nobody() -> None:
    """Root gives its identity up; anybody else keeps the one there is. Raises `OSError`."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def enter_namespaces(user: bool) -> None:
    """Leave the machine's file system, network and processes behind; children are in the new process namespace.

    `user`: with a user namespace, which is how it goes without being root. Raises `OSError`.
    """
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", NEW_OTHERS | (NEW_USER if user else 0))
    if user:
        for name, line in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    here = os.path.dirname(os.path.abspath(__file__))  # any directory that is there for certain
    _call("mount", None, b"/", None, PRIVATE, None)
    _call("mount", b"none", here.encode(), b"tmpfs", MASKED, b"size=4k,mode=555")
    os.chdir(here)
    _call("pivot_root", b".", b".")  # the root directory is an empty one now, which cannot be written to
    _call("umount2", b".", DETACH)
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every capability there is, those over the process's own namespaces included. Raises `OSError`."""
    _call("capset", struct.pack("=Ii", CAPABILITY_VERSION, 0), bytes(6 * 4))


def install_filter(writable: int) -> None:
    """From here on, this process and all it may start have `CALLS`, and write(2) to one file descriptor.

    Raises `OSError`.
    """
    if os.uname().machine != "x86_64":
        raise OSError(f"the list of system calls is for x86_64, this is {os.uname().machine}")
    code = _filter_code(writable)
    instructions = ctypes.create_string_buffer(code, len(code))
    _prctl(NO_NEW_PRIVS, 1)
    _prctl(SET_SECCOMP, FILTER_MODE, struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions)))


def _filter_code(writable: int) -> bytes:
    """BPF instructions (code, jump if true, jump if false, constant), 8 bytes each."""
    start = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, X86_64), (RETURN, 0, 0, KILL)]
    start += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, KILL)]
    calls = [(EQUAL, len(CALLS) - at + 3, 0, number) for at, number in enumerate(CALLS)]
    end = [(EQUAL, 0, 2, WRITE), (LOAD, 0, 0, FIRST_ARGUMENT), (EQUAL, 1, 0, writable)]
    end += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in (*start, *calls, *end))


def tie_to_parent() -> None:
    """Be killed when the parent dies, and never gain rights by starting another program.

    Orphans of children come here; no process of the same user may look inside.
    """
    for option, value in ((PDEATHSIG, signal.SIGKILL), (SUBREAPER, 1), (DUMPABLE, 0), (NO_NEW_PRIVS, 1)):
        _prctl(option, value)


def limit(seconds: int, address_space: int) -> None:
    """Processor seconds, bytes of address space; no file of any size, no new file descriptor or process, no core."""
    none = ("RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE")
    most = {"RLIMIT_CPU": seconds, "RLIMIT_AS": address_space, "RLIMIT_STACK": 8 << 20} | dict.fromkeys(none, 0)
    for name, soft in most.items():
        kind = getattr(resource, name)
        hard, highest = soft + (name == "RLIMIT_CPU"), resource.getrlimit(kind)[1]  # SIGXCPU, a second later SIGKILL
        top = hard if highest == resource.RLIM_INFINITY else min(hard, highest)
        resource.setrlimit(kind, (min(soft, top), top))


def refusal(attempt: Callable[[], None]) -> str:
    """Why something cannot be done, tried in a child; empty where it can."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            attempt()
            os._exit(0)
        except Exception as error:
            os.write(write, (str(error) or type(error).__name__).encode()[:500])
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        reason = said.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if code == 0 else reason or f"ended with {code}"


def _try_namespaces(user: bool) -> None:
    enter_namespaces(user)
    drop_capabilities()
    inner = os.fork()  # the first process of the new namespace must be able to start
    if not inner:
        os._exit(0 if os.getpid() == 1 and not os.listdir("/") else 1)
    if os.waitpid(inner, 0)[1]:
        raise OSError("the namespaces do not hold")


def _try_filter() -> None:
    install_filter(1)
    try:
        os.open("/", os.O_RDONLY)
    except PermissionError:
        return
    raise OSError("the filter does not hold")


def enclose(wanted: tuple[str, ...]) -> dict[str, str]:
    """Enter `wanted` layers, in this process and a child that goes on in its place; layer → why not, empty: it holds.

    Files and modules must have been opened before. The filter is only tried: `install_filter` is each program's own.
    """
    refusals = dict.fromkeys(LAYERS, "left out")
    root = os.geteuid() == 0
    if SECCOMP in wanted:
        refusals[SECCOMP] = refusal(_try_filter)
    users = (False, True) if root else (True,)
    reasons = {user: refusal(partial(_try_namespaces, user)) for user in users if NAMESPACES in wanted}
    user = next((user for user, reason in reasons.items() if not reason), None)
    if reasons:
        refusals[NAMESPACES] = "" if user is not None else "; ".join(dict.fromkeys(reasons.values()))
    if IDENTITY in wanted:
        refusals[IDENTITY] = "root, without rights, in a user namespace" if root and user else refusal(become_nobody)
    if user is not None:
        enter_namespaces(user)
    if not refusals[IDENTITY]:
        become_nobody()
    if user is not None:
        drop_capabilities()
        if child := os.fork():  # the namespace's first process, which goes on; this one ends as that does
            os.closerange(0, 3)
            os._exit(os.waitpid(child, 0)[1] & 0xFF)
    return refusals
