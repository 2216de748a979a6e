"""What a cell in a real container can and cannot do, each line of the hardening probed from inside."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from remote_runtime.engines import hardening
from tests.containers import engine
from tests.containers.conftest import MEMORY_BYTES, PIDS, container_of, remote
from tests.kernels import LiveKernel

STATUS = "status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)"


def tried(kernel: LiveKernel, statement: str) -> str:
    """Run a statement that must be refused and return the refusal's name, "" where it was done."""
    return remote(
        kernel,
        "import errno, os, socket, subprocess, ctypes",
        "try:",
        f"    {statement}",
        "except OSError as error:",
        "    print(errno.errorcode.get(error.errno, error.errno), end='')",
    )


def test_a_worker_is_not_root_and_has_no_capability(kernel: LiveKernel) -> None:
    found = remote(kernel, STATUS, "for key in ('Uid', 'CapEff', 'CapPrm', 'CapBnd', 'CapAmb'): print(status[key].split()[0])")
    uid, *capabilities = found.split()
    assert int(uid) == hardening.user() != 0
    assert {int(text, 16) for text in capabilities} == {0}


def test_no_program_gives_new_privileges_and_system_calls_are_filtered(kernel: LiveKernel) -> None:
    assert remote(kernel, STATUS, "print(status['NoNewPrivs'], status['Seccomp'])").split() == ["1", "2"]
    found = remote(kernel, "import ctypes", "libc = ctypes.CDLL(None, use_errno=True)", "print(libc.unshare(0x10000000), ctypes.get_errno())")
    assert found.split() == ["-1", "1"]


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("open('/etc/hosts2', 'w')", "EROFS"),
        ("open('/opt/warmcell/remote_runtime/worker/x.py', 'w')", "EROFS"),
        ("open('/opt/python/x', 'w')", "EROFS"),
        ("open('/session/x', 'w')", "EACCES"),
        ("os.mkdir('/proc/sys/x')", "ENOENT"),
        ("open('/proc/sys/kernel/core_pattern', 'w')", "EROFS"),
        ("open('/proc/sys/kernel/hostname', 'w')", "EROFS"),
        ("open('/dev/mem', 'rb')", "ENOENT"),
        ("os.setuid(0)", "EPERM"),
        ("os.chroot('/tmp')", "EPERM"),
        ("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", "EPERM"),
        ("os.listdir('/root')", "EACCES"),
    ],
)
def test_what_is_not_the_worker_s_is_refused(kernel: LiveKernel, statement: str, refusal: str) -> None:
    assert tried(kernel, statement) == refusal


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/session/home", "."])
def test_a_worker_writes_where_it_may(kernel: LiveKernel, place: str) -> None:
    assert remote(kernel, f"open('{place}/mine', 'w').write('1')", f"print(open('{place}/mine').read())") == "1\n"


def test_memory_file_systems_are_of_their_size(kernel: LiveKernel) -> None:
    for place, size in (("/tmp", 32 << 20), ("/dev/shm", 64 << 20)):
        assert remote(kernel, "import os", f"s = os.statvfs('{place}')", "print(s.f_blocks * s.f_frsize)") == f"{size}\n"
    assert tried(kernel, "open('/tmp/big', 'wb').write(bytes(40 << 20))") == "ENOSPC"
    remote(kernel, "import os", "os.unlink('/tmp/big')")


def test_no_socket_of_the_engine_and_no_file_of_the_host_is_there(kernel: LiveKernel, home: Path) -> None:
    for path in ("/var/run/docker.sock", "/run/docker.sock", str(home), str(home / "store.db"), str(home / "token")):
        assert remote(kernel, "import os", f"print(os.path.exists({path!r}))") == "False\n", path
    mounted = remote(kernel, "for line in open('/proc/self/mountinfo'):", "    print(line.split()[4])").split()
    assert {m for m in mounted if m.startswith(("/run", "/session", "/opt"))} == {"/run/warmcell", "/session", "/opt/warmcell"}


def test_a_worker_sees_its_own_processes_and_shared_memory_alone(kernel: LiveKernel) -> None:
    found = remote(kernel, "import os", "for pid in filter(str.isdigit, os.listdir('/proc')):", "    print(open(f'/proc/{pid}/cmdline').read()[:7])")
    assert set(found.split()) == {"python3"} and len(found.split()) <= 4
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0warmcell-of-the-host")
        listener.listen()
        assert tried(kernel, "socket.socket(socket.AF_UNIX).connect('\\0warmcell-of-the-host')") == "ECONNREFUSED"


def test_no_variable_and_no_argument_holds_a_secret_of_the_gateway(kernel: LiveKernel, home: Path) -> None:
    shown = engine.inspect(container_of(home))
    told = remote(kernel, "import os", "print(dict(os.environ), open('/proc/1/cmdline').read(), open('/proc/1/environ').read())")
    for secret in ((home / "token").read_text().strip(), "WARMCELL_"):
        assert secret not in told
        assert secret not in str(shown["Config"]["Env"]) + str(shown["Args"])


def test_processes_are_counted(kernel: LiveKernel) -> None:
    found = remote(
        kernel,
        "import subprocess",
        "born = []",
        "try:",
        "    while len(born) < 500: born.append(subprocess.Popen(['sleep', '100']))",
        "except OSError as error:",
        "    print(len(born), type(error).__name__)",
        "for one in born: one.kill()",
        "for one in born: one.wait()",
    )
    count, name = found.split()
    assert int(count) < PIDS
    assert name == "BlockingIOError"


def test_the_engine_was_given_every_limit(kernel: LiveKernel, home: Path) -> None:
    remote(kernel, "pass")
    limits = engine.inspect(container_of(home))["HostConfig"]
    assert (limits["Memory"], limits["MemorySwap"], limits["PidsLimit"]) == (MEMORY_BYTES, MEMORY_BYTES, PIDS)
    assert (limits["NanoCpus"], limits["ReadonlyRootfs"], limits["Privileged"]) == (1_500_000_000, True, False)
    assert limits["CapDrop"] == ["ALL"] and not limits["CapAdd"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]  # no seccomp=unconfined: the default profile holds


def test_memory_that_runs_out_is_told_with_limit_and_peak_and_the_session_goes_on(kernel: LiveKernel) -> None:
    remote(kernel, "kept = 1")
    shown = kernel.run("%%gpu\nhog = b''.join(bytes(16 << 20) for _ in range(100))", 60)
    assert "passed the memory limit of 512 MiB (peak " in shown.traceback
    assert "kept" in shown.traceback
    assert remote(kernel, "print('alive')") == "alive\n"


def test_what_a_worker_puts_in_place_of_its_files_is_not_followed(home: Path) -> None:
    from remote_runtime.engines.rooms import Rooms

    rooms = Rooms(home / "trial", hardening.user())
    directory = home / "trial-session" / "files"
    directory.mkdir(parents=True)
    rooms.make("w")
    rooms.enter("w", directory)
    room = rooms.path("w")
    (room / "files").rename(room / "moved")
    (room / "files").symlink_to("/etc")
    rooms.leave("w", directory)
    assert not directory.is_symlink()
    rooms.remove("w")
    assert Path("/etc/hosts").exists() and not room.exists()
