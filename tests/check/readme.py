"""What README.md shows is true: its table of options is that of --help, and its example builds,
runs and answers as it says.

readme.py PROJECT_ROOT BUILD_ROOT
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

PORT = "7000"  # of the example
DEADLINE_S = 20


def options_of_help(ferrule):
    """Each option as --help writes it: '-m, --memory SIZE'."""
    text = subprocess.run([ferrule, "run", "--help"], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ +((?:-\w, )?--\S+(?: \S+)?)(?:  .*)?$", text, re.MULTILINE)
    return {option.strip() for option in found}


def options_of_readme(text):
    rows = re.findall(r"^\| (`-.*?) \| ", text, re.MULTILINE)
    return {row.replace("`", "").replace("\\|", "|") for row in rows}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def build_example(text, root, build, directory):
    """Both forms of the example, on a port of its own; the hosted one's path and the port."""
    source = re.search(r"^```c\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    port = free_port()
    path = directory / "shout.c"
    path.write_text(source.replace(PORT, port))
    for output in ("shout.elf", "shout"):
        subprocess.run([root / "guest" / "ferrule-cc", "-Wall", "-Wextra", "-Werror", "-o", directory / output, path],
                       check=True, env={**os.environ, "FERRULE_BUILD": str(build)})
    return directory / "shout", port


def ask(port):
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", int(port)), timeout=DEADLINE_S) as connection:
                connection.sendall(b"hello\n")
                return connection.recv(100)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def run_example(ferrule, program, port):
    """What it answers, and the status that Ctrl-C leads to. A shell's background job ignores SIGINT, and
    so would its children and the monitor."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen([ferrule, "run", "--listen", f"127.0.0.1:{port}", program]) as monitor:
        try:
            answer = ask(port)
        finally:
            monitor.send_signal(signal.SIGINT)
        return answer, monitor.wait(DEADLINE_S)


def main():
    root, build = map(pathlib.Path, sys.argv[1:3])
    ferrule = build / "monitor" / "ferrule"
    text = (root / "README.md").read_text(encoding="utf-8")
    in_help, in_readme = options_of_help(ferrule), options_of_readme(text)
    assert len(in_help) > 8, f"--help was not understood: {in_help}"
    assert in_help == in_readme, f"--help and README.md differ in {in_help ^ in_readme}"
    with tempfile.TemporaryDirectory() as directory:
        program, port = build_example(text, root, build, pathlib.Path(directory))
        answer, status = run_example(ferrule, program, port)
    assert answer == b"HELLO\n", f"the example answers {answer}"
    assert status == 128 + signal.SIGINT, f"the example ends with {status}"


main()
