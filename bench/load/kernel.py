"""What the kernel knows of a process."""

import os
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
LISTENS = "0A"


def cpu_s(pid: int) -> float:
    """Return the CPU that a process has used, user and system, in seconds."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Return a process's resident set, in 10^6 bytes."""
    status = (PROC / str(pid) / "status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024 / 1e6


def listening_pid(port: int) -> int | None:
    """Return a process of this machine that listens on a TCP port; none where none can be seen."""
    tables = [(PROC / "net" / name).read_text() for name in ("tcp", "tcp6")]
    wanted = {f"socket:[{inode}]" for inode in listening_inodes(tables, port)}
    for descriptor in PROC.glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) in wanted:
                return int(descriptor.parts[2])
        except OSError:  # it has ended since, or is another user's
            continue
    return None


def listening_inodes(tables: Iterable[str], port: int) -> set[str]:
    """Return the inodes of the sockets that listen on a port, from the text of ``/proc/net/tcp``."""
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return {row[9] for row in rows if row[3] == LISTENS and int(row[1].rpartition(":")[2], 16) == port}
