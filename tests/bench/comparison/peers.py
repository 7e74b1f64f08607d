"""The peers: how each is started for a job (echo, discard, chargen or web), fairly configured.

A relay stands in front of the native server of the job: native_epoll, or nginx for web.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import time

from comparison import machine
from comparison.processes import Failed, Process

LISTENING = re.compile(r"(?:[0-9.]+|\[::\]):(\d+)/?\n")
NATIVE = {"echo": "native_epoll", "discard": "native_epoll", "chargen": "native_epoll", "web": "nginx"}
RELAYS = ["haproxy", "socat", "pasta", "slirp4netns"]

NOTES = {
    "native_epoll": "one thread, level-triggered epoll, pieces of 128 KiB",
    "native_uring": "one thread, single issuer, deferred task work, one operation a connection",
    "haproxy": "mode tcp, nbthread 1, splice-auto, buffers of 64 KiB",
    "socat": "-b 65536, nodelay on both sides, fork",
    "pasta": "-t ADDR/PORT, spliced over loopback; chargen's client speaks first (it hangs otherwise)",
    "slirp4netns": "MTU 65520, add_hostfwd; its backlog is 1, so connections are opened 1 ms apart",
    "nginx": "one worker, access_log off, sendfile, tcp_nopush, keepalive_requests without limit",
}

HAPROXY = """
global
    nbthread 1
    maxconn 4000
    tune.bufsize 65536
defaults
    mode tcp
    option splice-auto
    timeout connect 10s
    timeout client 10m
    timeout server 10m
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server native 127.0.0.1:{native}
"""

NGINX = """
daemon off;
master_process {master};
{user}
worker_processes 1;
pid {scratch}/nginx-{port}.pid;
error_log stderr warn;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path {scratch}/nginx-body;
    proxy_temp_path {scratch}/nginx-proxy;
    fastcgi_temp_path {scratch}/nginx-fastcgi;
    uwsgi_temp_path {scratch}/nginx-uwsgi;
    scgi_temp_path {scratch}/nginx-scgi;
    server {{ listen {host}:{port} backlog=4096; root {site}; }}
}}
"""


def find(name):
    """The path of a program; Debian keeps some of them where users do not look."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def missing(name):
    """Why a peer cannot be had; None: it can."""
    if name in ("haproxy", "socat", "pasta", "slirp4netns", "nginx") and not find(name):
        return f"{name} is not installed: scripts/setup bench"
    if name in ("pasta", "slirp4netns") and not find("unshare"):
        return "unshare is not installed"
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    for _ in range(1000):
        process.check()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise Failed(f"{process.name} does not listen")


class Running:
    """A peer at work: where it listens, and the processes that are it."""

    def __init__(self):
        self.port = None
        self.stack = contextlib.ExitStack()
        self.processes = {}  # by role: "peer", and "native" behind a relay
        self.vcpu = None
        self.counters = {}

    def add(self, role, process):
        self.processes[role] = process
        self.stack.callback(process.stop)
        return process

    def pids(self, role):
        return machine.tree_of(self.processes[role].pid) if role in self.processes else []

    def cpu(self):
        """CPU time so far by role, in ns; the guest's apart from the monitor's."""
        times = {role: machine.cpu_ns(self.pids(role)) for role in self.processes}
        if self.vcpu is not None:
            times["guest"] = machine.task_ns(self.processes["peer"].pid).get(self.vcpu, 0)
            times["peer"] -= times["guest"]
        return times

    def stop(self):
        self.stack.close()


class Peers:
    def __init__(self, build, scratch, site, engine):
        self.build, self.scratch, self.site, self.engine = build, scratch, site, engine

    def bench(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    @contextlib.contextmanager
    def running(self, name, job, options=(), arguments=("127.0.0.1:0",)):
        """Starts it, and ends it in any case. Options and arguments are ferrule's and its guest's; its counters
        are there afterwards."""
        running = Running()
        try:
            getattr(self, "start_" + name)(running, job, *([options, arguments] if name == "ferrule" else []))
            yield running
        finally:
            running.stop()
        if name == "ferrule":
            running.counters = counters_of(running.processes["peer"].err)

    def image(self, job):
        """The guest program of that name, or the one that only tests run."""
        name = job + (".elf" if self.engine == "kvm" else "")
        path = os.path.join(self.build, "guest", name)
        return path if os.path.exists(path) else os.path.join(self.build, "tests", "guests", name)

    def start_ferrule(self, running, job, options, arguments):
        image = self.image(job)
        argv = [os.path.join(self.build, "monitor", "ferrule"), "run", "--engine", self.engine, "--stats",
                "--listen", "127.0.0.1:0", *options]
        if job == "web":
            argv += ["--mount", f"{self.site}:/srv", image, "--listen", "127.0.0.1:0", "/srv"]
        else:
            argv += [image, *arguments]
        process = running.add("peer", Process(self.scratch, argv))
        running.port = int(process.wait_for(LISTENING)[1])
        for _ in range(20):
            running.vcpu = machine.vcpu_thread(process.pid)
            if running.vcpu is not None or self.engine != "kvm":
                break
            time.sleep(0.005)

    def start_native(self, running, job, role, name=None):
        """The native server of a job, which a relay then stands in front of; its port."""
        name = name or NATIVE[job]
        if name == "nginx":
            return self.start_nginx(running, job, role)
        process = running.add(role, Process(self.scratch, [self.bench(name), job]))
        return int(process.wait_for(LISTENING)[1])

    def start_native_epoll(self, running, job):
        running.port = self.start_native(running, job, "peer", "native_epoll")

    def start_native_uring(self, running, job):
        running.port = self.start_native(running, job, "peer", "native_uring")

    def nginx_argv(self, host, port, alone):
        """'alone': without a master, as the one user root of a namespace."""
        path = os.path.join(self.scratch, f"nginx-{port}.conf")
        user = "user root;" if os.getuid() == 0 or alone else ""
        with open(path, "w", encoding="utf-8") as file:
            file.write(NGINX.format(master="off" if alone else "on", user=user, scratch=self.scratch,
                                    host=host, port=port, site=self.site))
        return [find("nginx"), "-e", "stderr", "-c", path, "-p", self.scratch]

    def start_nginx(self, running, job, role="peer"):
        if job != "web":
            raise Failed("nginx has no such job")
        port = free_port()
        process = running.add(role, Process(self.scratch, self.nginx_argv("127.0.0.1", port, False)))
        wait_for_port(port, process)
        if role == "peer":
            running.port = port
        return port

    def start_haproxy(self, running, job):
        native, running.port = self.start_native(running, job, "native"), free_port()
        path = os.path.join(self.scratch, f"haproxy-{running.port}.cfg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(HAPROXY.format(port=running.port, native=native))
        process = running.add("peer", Process(self.scratch, [find("haproxy"), "-db", "-q", "-f", path]))
        wait_for_port(running.port, process)

    def start_socat(self, running, job):
        native, running.port = self.start_native(running, job, "native"), free_port()
        argv = [find("socat"), "-b", "65536",
                f"TCP-LISTEN:{running.port},bind=127.0.0.1,reuseaddr,nodelay,fork,backlog=4096",
                f"TCP:127.0.0.1:{native},nodelay"]
        process = running.add("peer", Process(self.scratch, argv))
        wait_for_port(running.port, process)

    def inner(self, job, host, port):
        """The native server's command inside a namespace."""
        if job == "web":
            return self.nginx_argv(host, port, True)
        return [self.bench("native_epoll"), job, f"{host}:{port}"]

    # A user namespace first: as the machine's root, pasta changes to nobody and then cannot map users.
    def start_pasta(self, running, job):
        running.port = free_port()
        argv = [find("unshare"), "-Ur", "--kill-child", "--", find("pasta"), "-f", "-q", "--config-net",
                "-t", f"127.0.0.1/{running.port}", "-T", "none", "-u", "none", "-U", "none", "--",
                *self.inner(job, "127.0.0.1", running.port)]
        process = Process(self.scratch, argv)
        running.processes["peer"] = process
        running.stack.callback(process.stop, signal.SIGKILL)
        if job == "web":
            time.sleep(0.5)  # pasta accepts before nginx does
        else:
            process.wait_for(LISTENING)
        wait_for_port(running.port, process)

    def start_slirp4netns(self, running, job):
        path, running.port = os.path.join(self.scratch, f"slirp-{free_port()}.sock"), free_port()
        argv = [find("unshare"), "-rn", "--kill-child", "--", *self.inner(job, "0.0.0.0", 7000)]
        space = Process(self.scratch, argv)
        running.processes["native"] = space
        running.stack.callback(space.stop, signal.SIGKILL)
        time.sleep(0.1) if job == "web" else space.wait_for(LISTENING)
        process = running.add("peer", Process(self.scratch, [
            find("slirp4netns"), "--configure", "--mtu=65520", f"--api-socket={path}", space.pid, "tap0"]))
        forward(path, running.port, process)


def forward(path, port, process):
    """Asks slirp4netns to pass a port on; it needs a while to be there."""
    request = {"execute": "add_hostfwd", "arguments": {
        "proto": "tcp", "host_addr": "127.0.0.1", "host_port": port, "guest_port": 7000}}
    for _ in range(300):
        process.check()
        with socket.socket(socket.AF_UNIX) as api:
            if api.connect_ex(path) == 0:
                api.settimeout(5)
                api.sendall(json.dumps(request).encode())
                api.shutdown(socket.SHUT_WR)
                answer = api.recv(4096)
                if b"error" in answer:
                    raise Failed(f"slirp4netns: {answer.decode()[:150]}")
                time.sleep(0.1)  # the guest's end of the tap comes up
                return
        time.sleep(0.01)
    raise Failed("slirp4netns does not listen on its socket")


def counters_of(path):
    """What --stats printed: {name: number}."""
    found = {}
    for line in machine.read_text(path).split("\n"):
        words = line.split()
        if len(words) >= 2 and re.fullmatch(r"[a-z_]+", words[0]) and re.fullmatch(r"[0-9.]+", words[1]):
            found[words[0]] = float(words[1])
    return found
