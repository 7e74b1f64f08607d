"""What the kernel tells of processes and of the machine: CPU time, memory, who is whose child."""
import os
import pathlib
import re
import resource
import time

KVM_RUN = 0xAE80
SYSCALL_IOCTL = 16  # x86-64


def read_text(path):
    """The text of a file of /proc; empty when its process is gone."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def entries_of(directory):
    """The same for a directory of it."""
    try:
        return [pathlib.Path(directory, name) for name in os.listdir(directory)]
    except OSError:
        return []


def tasks_of(pid):
    return entries_of(f"/proc/{pid}/task")


def children_of(pid):
    found = []
    for task in tasks_of(pid):
        found += [int(word) for word in read_text(task / "children").split()]
    return found


def tree_of(pid):
    """The process and all below it."""
    found = [pid]
    for each in found:
        found += children_of(each)
    return found


def task_ns(pid):
    """CPU time of each thread so far, in ns: {thread id: ns}."""
    times = {}
    for task in tasks_of(pid):
        words = read_text(task / "schedstat").split()
        if words:
            times[int(task.name)] = int(words[0])
    return times


def waited_ns(pid):
    """CPU time of those children of a process that have ended, counted in clock ticks."""
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * 10**9 // os.sysconf("SC_CLK_TCK") if fields else 0


def cpu_ns(pids):
    return sum(sum(task_ns(pid).values()) + waited_ns(pid) for pid in pids)


def vcpu_thread(pid):
    """The thread that is in KVM_RUN now, as every idle vCPU is; None: it is not seen."""
    for task in tasks_of(pid):
        words = read_text(task / "syscall").split()
        if len(words) > 3 and words[0] == str(SYSCALL_IOCTL) and int(words[2], 16) == KVM_RUN:
            return int(task.name)
    return None


def pss_bytes(pids):
    """Memory of processes, shared pages divided among those who share them."""
    total = 0
    for pid in pids:
        match = re.search(r"^Pss:\s+(\d+) kB", read_text(f"/proc/{pid}/smaps_rollup"), re.M)
        total += int(match[1]) * 1024 if match else 0
    return total


def memfd_bytes(pid):
    """What a process's memfds hold, mapped or not."""
    seen = {}
    for fd in entries_of(f"/proc/{pid}/fd"):
        try:
            if os.readlink(fd).startswith("/memfd:"):
                status = os.stat(fd)
                seen[status.st_ino] = status.st_blocks * 512
        except OSError:
            pass
    return sum(seen.values())


def busy_seconds():
    """CPU time that anybody has used since the machine started, and that was stolen from it."""
    words = [int(word) for word in read_text("/proc/stat").split("\n")[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, steal = words[:8]
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def own_seconds():
    """CPU time of this process and of those of its children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in
               (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)))


class Others:
    """How much of one CPU others have used since it was made. Children count once they are waited for."""

    def __init__(self):
        self.start, self.busy, self.own = time.monotonic(), busy_seconds(), own_seconds()

    def share(self):
        """The others' share, and what the machine below us has stolen."""
        seconds, (busy, stolen) = time.monotonic() - self.start, busy_seconds()
        others = busy - self.busy[0] - (own_seconds() - self.own)
        return max(0, others) / seconds, (stolen - self.busy[1]) / seconds


def raise_limits():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def describe():
    model = re.search(r"^model name\s*:\s*(.*)", read_text("/proc/cpuinfo"), re.M)
    return {
        "kernel": os.uname().release,
        "cpu": model[1] if model else "unknown",
        "cpus": len(os.sched_getaffinity(0)),
        "congestion_control": read_text("/proc/sys/net/ipv4/tcp_congestion_control").strip(),
        "load": read_text("/proc/loadavg").split()[:3],
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }
