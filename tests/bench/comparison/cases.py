"""The cases by which Ferrule is judged, and how one case of one peer is measured."""
import json
import re
from dataclasses import dataclass, field

from comparison import machine
from comparison.peers import NATIVE, RELAYS
from comparison.processes import Failed, run

WARM_MS = 250
TRIES = 3
QUIET = 0.2  # of one CPU is what others may use while one case is measured
CONNECTS_MOST = 80000  # below half the ports of the addresses that the load connects from
RELAYED_MOST = 12000  # a relay connects onward from one address
GIB = 1 << 30


@dataclass(frozen=True)
class Case:
    """One load. 'must' and 'aim' bound Ferrule's ratio to the native server."""
    name: str
    title: str
    job: str
    metric: str  # p50_us, rate or gbps
    must: float
    aim: float
    load: tuple = ()  # of the program load; of wrk: the file
    judged: bool = True
    relays: bool = True
    options: tuple = field(default=())  # of ferrule run

    @property
    def smaller_is_better(self):
        return self.metric == "p50_us"

    @property
    def native(self):
        return NATIVE[self.job]

    def peers(self):
        others = ["nginx"] if self.job == "web" else ["native_epoll", "native_uring"]
        return ["ferrule", *others, *(RELAYS if self.relays else [])]

    def ratio(self, ours, theirs):
        """Ours to theirs, in the metric's own direction."""
        return ours / theirs if theirs else None

    def better(self, ours, theirs):
        """How many times better ours is."""
        return (theirs / ours if self.smaller_is_better else ours / theirs) if ours and theirs else None


CASES = [
    Case("echo-1", "echo 64 B, 1 connection, p50", "echo", "p50_us", 1.6, 1.2, ("echo",)),
    Case("echo-64", "echo 64 B, 64 connections, requests/s", "echo", "rate", 0.7, 1.0,
         ("echo", "--connections", 64)),
    Case("echo-16k", "echo 16 KiB, 16 connections, requests/s", "echo", "rate", 0.8, 1.0,
         ("echo", "--connections", 16, "--size", 16384)),
    Case("discard-1", "discard, 1 connection, GB/s", "discard", "gbps", 0.85, 1.0, ("discard",)),
    Case("discard-8", "discard, 8 connections, GB/s", "discard", "gbps", 0.85, 1.0,
         ("discard", "--connections", 8)),
    Case("chargen-1", "chargen, 1 connection, GB/s", "chargen", "gbps", 0.85, 1.0, ("chargen",)),
    Case("chargen-8", "chargen, 8 connections, GB/s", "chargen", "gbps", 0.85, 1.0,
         ("chargen", "--connections", 8)),
    Case("connect", "connect + 1 byte + close, 16 at once, per second", "echo", "rate", 0.6, 0.9,
         ("connect", "--connections", 16, "--most", CONNECTS_MOST)),
    Case("connect-1", "connect + 1 byte + close, one at a time, per second", "echo", "rate", 0.6, 0.9,
         ("connect", "--connections", 1, "--most", CONNECTS_MOST), judged=False, relays=False),
    Case("web-1k", "web 1 KiB, 64 keep-alive connections, requests/s", "web", "rate", 0.8, 1.2, ("1k",)),
    Case("web-100k", "web 100 KiB, 64 keep-alive connections, requests/s", "web", "rate", 0.7, 1.0,
         ("100k",)),
]
WEB_FILES = {"1k": 1024, "100k": 102400}

PER_REQUEST = ["doorbells", "interrupts", "io_enters", "io_operations", "sleeps", "other_exits"]


def measure_load(bench, address, case, peer, ms):
    """By the program load; its figures."""
    pace = 1000 if peer == "slirp4netns" else 0
    argv = [bench("load"), case.load[0], address, *case.load[1:], "--warm", WARM_MS, "--ms", ms,
            "--pace", pace]
    if case.load[0] == "connect" and peer in RELAYS:
        argv += ["--most", RELAYED_MOST]
    return json.loads(run(argv, 60))


UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def measure_wrk(address, case, ms):
    """By wrk, which counts in whole seconds and has no time to warm up."""
    argv = ["wrk", "-t1", "-c64", f"-d{max(1, round(ms / 1000))}s", "--latency", f"http://{address}/{case.load[0]}"]
    text = run(argv, 60)
    found = {"p50_us": "50%", "p99_us": "99%"}
    figures = {}
    for key, label in found.items():
        match = re.search(rf"^\s+{label}\s+([0-9.]+)(us|ms|s)$", text, re.M)
        figures[key] = float(match[1]) * UNITS[match[2]] if match else None
    figures["rate"] = float(re.search(r"Requests/sec:\s+([0-9.]+)", text)[1])
    figures["all_requests"] = int(re.search(r"(\d+) requests in", text)[1])
    figures["all_bytes"] = figures["all_requests"] * WEB_FILES[case.load[0]]
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    figures["errors"] = sum(int(number) for number in errors.groups()) if errors else 0
    if "Non-2xx" in text or figures["all_requests"] == 0:
        raise Failed("wrk met answers that are not 200, or none")
    return figures


def add_costs(figures, before, after):
    """CPU time for each request and for each GiB, by role."""
    requests, gib = figures["all_requests"], figures["all_bytes"] / GIB
    for role in after:
        ns = after[role] - before.get(role, 0)
        figures[f"cpu_ns_{role}"] = ns
        if requests:
            figures[f"cpu_us_per_request_{role}"] = ns / 1000 / requests
        if gib > 0.01:
            figures[f"cpu_ms_per_gib_{role}"] = ns / 1e6 / gib
    total = sum(after[role] - before.get(role, 0) for role in after)
    figures["cpu_us_per_request"] = total / 1000 / requests if requests else None
    figures["cpu_ms_per_gib"] = total / 1e6 / gib if gib > 0.01 else None


class Retries:
    """How many measurements of a run may still be made again, so that the run ends all the same."""

    def __init__(self, left):
        self.left = left

    def take(self):
        self.left -= 1
        return self.left >= 0


def measure(peers, case, peer, ms, retries):
    """The quietest of a few tries; the first, unless others were at work meanwhile."""
    best = None
    for _ in range(TRIES):
        others = machine.Others()
        figures = measure_once(peers, case, peer, ms)
        figures["others"], figures["stolen"] = others.share()
        if best is None or figures["others"] < best["others"]:
            best = figures
        if best["others"] <= QUIET or not retries.take():
            break
    return best


def measure_once(peers, case, peer, ms):
    """One case of one peer, from its start to its end."""
    with peers.running(peer, case.job, *([case.options] if peer == "ferrule" else [])) as running:
        address = f"127.0.0.1:{running.port}"
        before = running.cpu()
        figures = (measure_wrk(address, case, ms) if case.job == "web"
                   else measure_load(peers.bench, address, case, peer, ms))
        add_costs(figures, before, running.cpu())
    figures["counters"] = running.counters
    requests = figures["all_requests"]
    for name in PER_REQUEST:
        if name in running.counters and requests:
            figures[name + "_per_request"] = running.counters[name] / requests
    for name in ("doorbells", "interrupts", "io_enters"):
        if name + "_per_mib" in running.counters:
            figures[name + "_per_mib"] = running.counters[name + "_per_mib"]
    return figures
