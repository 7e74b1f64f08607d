"""Processes that the run starts. Each is ended and waited for by its id, whatever happens."""
import ctypes
import os
import shutil
import signal
import subprocess
import time

from comparison import machine

START_SECONDS = 20
STOP_SECONDS = 8


class Failed(Exception):
    """A peer could not be started or measured; the text is the reason in the table."""


PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """What a child leaves behind becomes this process's to wait for."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_with_parent():
    """What goes before a command so that it does not outlive this process."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


class Process:
    """One started program; what it says goes to files in the scratch directory."""

    count = 0

    def __init__(self, scratch, argv):
        Process.count += 1
        self.name = os.path.basename(argv[0])
        base = os.path.join(scratch, f"{Process.count}-{self.name}")
        self.out, self.err = base + ".out", base + ".err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.popen = subprocess.Popen(kill_with_parent() + [str(word) for word in argv], stdout=out,
                                          stderr=err, stdin=subprocess.DEVNULL, start_new_session=True)
        self.pid = self.popen.pid

    def tail(self):
        text = (machine.read_text(self.err) or machine.read_text(self.out)).strip()
        return text.split("\n")[-1][:200] if text else "it said nothing"

    def wait_for(self, pattern):
        """Waits for what it prints on stdout; the match."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            ended = self.popen.poll() is not None
            match = pattern.search(machine.read_text(self.out))
            if match:
                return match
            if ended:
                break
            time.sleep(0.005)
        raise Failed(f"{self.name}: {self.tail()}")

    def check(self):
        if self.popen.poll() is not None:
            raise Failed(f"{self.name} has ended: {self.tail()}")

    def stop(self, sig=signal.SIGTERM):
        """Ends it and all that it started; True: it went by itself when it was asked."""
        family = machine.tree_of(self.pid) if self.popen.poll() is None else []
        went = True
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(STOP_SECONDS if sig != signal.SIGKILL else None)
            except subprocess.TimeoutExpired:
                went = False
                self.popen.kill()
                self.popen.wait()
        for pid in family[1:]:
            end_orphan(pid, self.pid)
        return went


def end_orphan(pid, session):
    """A descendant of a process that is gone; its number may be somebody else's by now."""
    fields = machine.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) > 3 and int(fields[3]) == session:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def run(argv, seconds):
    """A program to its end; its stdout. Failed, with its last words, when it does not end well."""
    try:
        done = subprocess.run(kill_with_parent() + [str(word) for word in argv], capture_output=True,
                              text=True, timeout=seconds, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(argv[0])} has not ended after {seconds} s") from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise Failed(words[:200] or f"{argv[0]}: status {done.returncode}")
    return done.stdout
