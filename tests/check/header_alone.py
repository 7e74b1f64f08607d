"""Every header that both sides share compiles alone: freestanding and hosted, gcc and clang.

header_alone.py PROJECT_ROOT
"""
import os
import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOMS = ["pipe", "control", "protocol"]
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"]


def compile_alone(root, header, compiler, mode):
    """The compiler's complaints; empty: none."""
    source = f'#include "{header}"\n#include "{header}"\n'  # the guard holds, too
    command = [compiler, f"-I{root}", *mode, *FLAGS]
    run = subprocess.run(command, input=source, text=True, capture_output=True)
    return f"{header}, {compiler} {' '.join(mode)}:\n{run.stderr}" if run.returncode else ""


def main():
    root = pathlib.Path(sys.argv[1])
    headers = [str(path.relative_to(root)) for room in ROOMS for path in sorted((root / room).glob("**/*.h"))]
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    cases = [(root, header, compiler, mode) for header in headers for compiler in compilers
             for mode in (["-ffreestanding"], [])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [text for text in pool.map(lambda case: compile_alone(*case), cases) if text]
    print("".join(complaints), end="")
    print(f"{len(headers)} headers, {' and '.join(compilers)}: {len(complaints)} complaints")
    return 1 if complaints or not headers or not compilers else 0


if __name__ == "__main__":
    sys.exit(main())
