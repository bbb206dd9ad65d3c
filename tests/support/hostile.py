"""Programs that try to do harm, for `test_sandbox`: name → text. One that succeeds returns [[7]].

`{secret}`: a solutions file; `{folder}`: where it lies; `{host}`: the caller's process id; `{port}`, `{name}`: where
the caller listens on TCP and on an abstract Unix socket. `{folder}` also holds a module `escape`. Programs in
`FILTERED` are harmless in namespaces, but only the system-call filter forbids them.
"""

from __future__ import annotations

WON = "    return [[7]]\n"

PROGRAMS = {
    # ---- time
    "endless loop": "def transform(grid):\n    while True:\n        pass\n",
    "endless loop while loading": "while True:\n    pass\n",
    "endless loop in C, power": "def transform(grid):\n    return [[9 ** 9 ** 9 % 10]]\n",
    "endless loop in C, expression": "import re\ndef transform(grid):\n    re.match('(a+)+$', 'a' * 60 + 'b')\n",
    "endless loop in C, numpy": """
import numpy as np
def transform(grid):
    a = np.ones((1500, 1500))
    while True:
        a = np.linalg.svd(a)[0]
""",
    "endless loop that catches everything": """
def transform(grid):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
    "sleep": "import time\ndef transform(grid):\n    time.sleep(1000)\n",
    "ignored signals": """
import signal
def transform(grid):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass
""",
    "endless generator": "def transform(grid):\n    return list(iter(int, 1))\n",
    "endless answer": """
class Rows(list):
    def __iter__(self):
        while True:
            yield [1]
    def __len__(self):
        return 1 << 60
def transform(grid):
    return Rows()
""",
    "evil length and equality": """
class Cell(int):
    def __eq__(self, *others):
        while True: pass
    __lt__ = __le__ = __gt__ = __ge__ = __index__ = __int__ = __array__ = __len__ = __hash__ = __eq__
def transform(grid):
    return [[Cell(7)]]
""",
    "message without end": """
class Trouble(Exception):
    def __str__(self):
        while True: pass
def transform(grid):
    raise Trouble
""",
    # ---- memory and output
    "memory bomb, list": "def transform(grid):\n    a = [0]\n    while True:\n        a = a * 2\n",
    "memory bomb, numpy": "import numpy as np\ndef transform(grid):\n    np.ones(1 << 37, dtype=np.uint8).sum()\n"
    + WON,
    "memory bomb, text": "def transform(grid):\n    a = 'x' * (1 << 40)\n" + WON,
    "memory bomb, mapping": "import mmap\ndef transform(grid):\n    m = mmap.mmap(-1, 1 << 36)\n" + WON,
    "huge integer": "def transform(grid):\n    return [[1 << 10 ** 8]]\n",
    "deep recursion": "def transform(grid):\n    return transform(grid)\n",
    "deep recursion without a limit": """
import sys
sys.setrecursionlimit(1 << 30)
def transform(grid):
    return transform(grid)
""",
    "deep recursion in C": """
import sys
sys.setrecursionlimit(1 << 30)
def transform(grid):
    a = []
    for _ in range(1000000):
        a = [a]
    return repr(a)
""",
    "giant answer": "import numpy as np\ndef transform(grid):\n    return np.ones((20000, 20000), dtype=np.uint8)\n",
    "flood of standard output": "def transform(grid):\n    while True:\n        print('x' * 10000, flush=True)\n",
    "flood of the streams themselves": """
import os
def transform(grid):
    for stream in (0, 1, 2):
        os.write(stream, b'x' * 1000000)
""",
    "flood of the answer": "import os\ndef transform(grid):\n    while True:\n        os.write(3, b'9' * 65536)\n",
    # ---- ending
    "os._exit": "import os\ndef transform(grid):\n    os._exit(0)\n",
    "sys.exit": "import sys\ndef transform(grid):\n    sys.exit('bye')\n",
    "SystemExit in a handler": """
def transform(grid):
    try:
        1 / 0
    except ZeroDivisionError:
        raise SystemExit(0)
    finally:
        raise KeyboardInterrupt
""",
    "exit handlers": """
import atexit
class Last:
    def __del__(self):
        while True: pass
last = Last()
atexit.register(Last().__del__)
def transform(grid):
    return None
""",
    "odd signal": """
import os, signal
def transform(grid):
    signal.pthread_kill(__import__('threading').get_ident(), 40)
    os.kill(os.getpid(), 40)
""",
    "alarm": "import signal\ndef transform(grid):\n    signal.setitimer(0, 0.001, 0.001)\n    while True: pass\n",
    "abort": "import os\ndef transform(grid):\n    os.abort()\n",
    "segmentation fault": "import ctypes\ndef transform(grid):\n    ctypes.string_at(0)\n",
    "broken interpreter": """
import ctypes, sys
def transform(grid):
    ctypes.memset(id(sys), 255, 4096)
    ctypes.memset(id(grid), 255, 4096)
    return grid
""",
    # ---- processes and signals
    "fork bomb": """
import os
def transform(grid):
    pids = 0
    while True:
        pids += os.fork() == 0
        if pids > 50:
            return [[7]]
""",
    "threads": """
import threading
def transform(grid):
    while True:
        threading.Thread(target=threading.Event().wait).start()
""",
    "daemon": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
def transform(grid):
    return [[7]]
""",
    "background process": "import subprocess\nsubprocess.Popen(['/bin/sleep', '1000'])\ndef transform(grid):\n" + WON,
    "shell": "import os\ndef transform(grid):\n    if os.system('true') == 0:\n        return [[7]]\n",
    "exec": "import os\ndef transform(grid):\n    os.execv('/bin/sh', ['sh', '-c', 'true'])\n",
    "spawn": "import os\ndef transform(grid):\n    os.posix_spawn('/bin/true', ['true'], {{}})\n" + WON,
    "multiprocessing": """
import multiprocessing
def transform(grid):
    with multiprocessing.Pool(4) as pool:
        pool.map(abs, range(10))
    return [[7]]
""",
    "signal to the host": "import os\ndef transform(grid):\n    os.kill({host}, 9)\n" + WON,
    "signal to the parent": "import os\ndef transform(grid):\n    os.kill(os.getppid() or 1, 9)\n    os.kill(1, 9)\n",
    "signal to the group": "import os\ndef transform(grid):\n    os.killpg(os.getpgid(os.getppid() or 1), 9)\n",
    "signal to everybody": "import os\ndef transform(grid):\n    os.kill(-1, 9)\n",
    "ptrace": """
import ctypes, os
def transform(grid):
    libc = ctypes.CDLL(None, use_errno=True)
    for target in ({host}, os.getppid() or 1):
        if libc.ptrace(16, target, 0, 0) == 0:
            return [[7]]
""",
    "memory of another process": """
import os
def transform(grid):
    for target in ({host}, os.getppid() or 1):
        try:
            open(f'/proc/{{target}}/mem', 'r+b')
            return [[7]]
        except OSError:
            pass
""",
    "process_vm_readv": """
import ctypes, os
def transform(grid):
    libc = ctypes.CDLL(None)
    here = ctypes.create_string_buffer(8)
    class Part(ctypes.Structure):
        _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
    part = Part(ctypes.addressof(here), 8)
    for target in ({host}, os.getppid() or 1):
        if libc.process_vm_readv(target, ctypes.byref(part), 1, ctypes.byref(part), 1, 0) == 8:
            return [[7]]
""",
    # ---- files
    "reading the solutions": "def transform(grid):\n    open({secret!r}).read()\n" + WON,
    "reading the solutions with numpy": "import numpy as np\ndef transform(grid):\n    np.fromfile({secret!r})\n" + WON,
    "reading the solutions with ctypes": """
import ctypes
def transform(grid):
    libc = ctypes.CDLL(None)
    for path in ({secret!r}, '/proc/1/root' + {secret!r}, '../../../..' + {secret!r}):
        if libc.open(path.encode(), 0) >= 0:
            return [[7]]
""",
    "reading its own memory": "def transform(grid):\n    open('/proc/self/mem', 'r+b')\n" + WON,
    "listing directories": """
import os
def transform(grid):
    for folder in ('/', '/etc', '/proc', '/tmp', '/work', '/kaggle', {folder!r}):
        try:
            if os.listdir(folder):
                return [[7]]
        except OSError:
            pass
""",
    "writing to /dev/shm": "def transform(grid):\n    open('/dev/shm/arc-escape', 'w').write('x')\n" + WON,
    "writing to /tmp": "def transform(grid):\n    open('/tmp/arc-escape', 'w').write('x')\n" + WON,
    "writing where it is": "def transform(grid):\n    open('arc-escape', 'w').write('x')\n" + WON,
    "writing beside the solutions": "def transform(grid):\n    open({folder!r} + '/arc-escape', 'w')\n" + WON,
    "temporary file": "import tempfile\ndef transform(grid):\n    tempfile.NamedTemporaryFile()\n" + WON,
    "shared memory": """
from multiprocessing import shared_memory
def transform(grid):
    shared_memory.SharedMemory('arc-escape', create=True, size=4096)
    return [[7]]
""",
    "memory file": "import os\ndef transform(grid):\n    os.write(os.memfd_create('x'), b'x')\n" + WON,
    "chmod": "import os\ndef transform(grid):\n    os.chmod({secret!r}, 0o777)\n" + WON,
    "symbolic link": "import os\ndef transform(grid):\n    os.symlink({secret!r}, '/tmp/arc-escape')\n" + WON,
    "removing the solutions": "import os, shutil\ndef transform(grid):\n    shutil.rmtree({folder!r})\n" + WON,
    "mounting": """
import ctypes
def transform(grid):
    if ctypes.CDLL(None).mount(b'proc', b'/', b'proc', 0, None) == 0:
        return [[7]]
""",
    "namespaces of its own": """
import ctypes
def transform(grid):
    if ctypes.CDLL(None).unshare(0x10000000 | 0x00020000) == 0:
        return [[7]]
""",
    "pickle": """
import pickle
class Bomb:
    def __reduce__(self):
        import os
        return os.system, ('touch /tmp/arc-escape',)
def transform(grid):
    import os
    os.write(3, pickle.dumps(Bomb()) + b'\\n')
    if pickle.loads(pickle.dumps(Bomb())) == 0:
        return [[7]]
    return Bomb()
""",
    "importing the solver": "from solver.data import tasks\ndef transform(grid):\n    tasks.load_split('dry-run')\n"
    + WON,
    "importing from elsewhere": """
import importlib, sys
sys.path[:] = [{folder!r}]
def transform(grid):
    importlib.invalidate_caches()
    importlib.import_module('escape')
    return [[7]]
""",
    # ---- network and inherited things
    "TCP": "import socket\ndef transform(grid):\n    socket.create_connection(('127.0.0.1', {port}), 1)\n" + WON,
    "UDP": "import socket\ndef transform(grid):\n    socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port}))\n" + WON,
    "Unix socket": "import socket\ndef transform(grid):\n    socket.socket(socket.AF_UNIX).connect('\\0{name}')\n"
    + WON,
    "inherited file descriptors": """
import os
def transform(grid):
    won = False
    for fd in range(4, 2000):
        try:
            os.write(fd, b'x')
            won = True
        except OSError:
            pass
    return [[7]] if won else None
""",
    "closing every file descriptor": "import os\ndef transform(grid):\n    os.closerange(0, 2000)\n",
    "environment": """
import os
def transform(grid):
    text = str(dict(os.environ))
    try:
        text += open('/proc/self/environ').read() + open('/proc/1/environ').read()
    except OSError:
        pass
    if 'ARC_SECRET' in text:
        return [[7]]
""",
    # ---- rights
    "raising its limits": """
import resource
def transform(grid):
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):
        try:
            resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return [[7]]
        except (OSError, ValueError):
            pass
""",
    "becoming root": "import os\ndef transform(grid):\n    os.setuid(0)\n    os.setgroups([0])\n" + WON,
    "prctl": """
import ctypes
def transform(grid):
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 0, 0, 0, 0) == 0:
        return [[7]]
    libc.prctl(1, 0, 0, 0, 0)
""",
    "other system calls": """
import ctypes
def transform(grid):
    libc = ctypes.CDLL(None)
    for number in (101, 250, 272, 298, 304, 321, 323, 425, 435, 440, 0x40000000 + 2):
        if number < 0x40000000 and libc.syscall(number, 0, 0, 0, 0, 0) == 0:
            return [[7]]
    libc.syscall(0x40000002, b'/', 0, 0)
""",
    # ---- lies
    "patched json, numpy and builtins": """
import builtins, json, os
import numpy as np
json.dumps = lambda *a, **k: '{{"grid": [[7]]}}'
np.asarray = np.array = lambda *a, **k: 7
builtins.len = builtins.isinstance = builtins.all = lambda *a: True
builtins.open = builtins.print = None
os.write = os._exit = lambda *a: 7
def transform(grid):
    return 'no grid'
""",
    "patched runner": """
import sys
def transform(grid):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_globals.values()):
            if isinstance(value, dict):
                value.clear()
        frame.f_globals.update(plain=None, run=None, end=None, collect=None)
        frame = frame.f_back
    return [[8]]
""",
    "wrong types": "def transform(grid):\n    return {{'grid': [[7]]}}\n",
    "no grid at all": "def transform(grid):\n    return None\n",
    "no function": "answer = [[7]]\n",
    "text": "def transform(grid):\n    return 'red green blue'\n",
    "not a number": "def transform(grid):\n    return [[float('nan'), 1.0]]\n",
    "fractions": "def transform(grid):\n    return [[1.5, 2.0]]\n",
    "colours there are not": "def transform(grid):\n    return [[10, -1, 255]]\n",
    "ragged rows": "def transform(grid):\n    return [[1, 2], [3]]\n",
    "empty grid": "def transform(grid):\n    return []\n",
    "three dimensions": "def transform(grid):\n    return [[[1]]]\n",
    "objects": "import numpy as np\ndef transform(grid):\n    return np.array([[object()]])\n",
    "no Python": "def transform(grid:\n",
    "null bytes": "def transform(grid):\n    return [[7]]\n\0",
    "odd text": "def transform(grid):\n    raise ValueError('\\x1b[2J\\n\\u202e' + chr(0xd800) * 500)\n",
    "forged lines": """
import os
def transform(grid):
    os.write(3, b'{{"grid": [[1, 2], [3]]}}\\n' + b'[' * 50000 + b'\\n')
    os.write(3, b'{{"grid": ' + b'9' * 5000 + b'}}\\n\\xff\\n')
""",
}

FILTERED = {"namespaces of its own", "other system calls"}
