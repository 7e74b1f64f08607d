"""The folder law: who may include whom. Reads the #include lines, compiles nothing.

folder_law.py PROJECT_ROOT
"""
import pathlib
import re
import sys
import tempfile

ALLOWED = {
    "pipe": {"pipe"},
    "control": {"pipe", "control"},
    "protocol": {"pipe", "control", "protocol"},
    "guest": {"pipe", "control", "protocol", "guest"},
    "monitor": {"pipe", "control", "protocol", "monitor"},
}

# Rooms that both sides compile, freestanding: headers that come with the compiler, and
# string.h for the memory functions that every compiler expects to find anyway.
FREESTANDING = {"pipe", "control", "protocol"}
COMPILER_HEADERS = {"float.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h",
                    "stdbool.h", "stddef.h", "stdint.h", "stdnoreturn.h", "string.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def offence(room, quote, path):
    """What is wrong with this line in a file of this room; None: nothing."""
    if quote == "<":
        if room in FREESTANDING and path not in COMPILER_HEADERS:
            return "only compiler headers here"
        return None
    folder, slash, _ = path.partition("/")
    if not slash or ".." in path:
        return "paths start at the project root"
    if folder not in ALLOWED[room]:
        return f"{room} may not include {folder}"
    return None


def offences(root):
    """The number of files read and every line that breaks the law."""
    files, found = 0, []
    for room in ALLOWED:
        for path in sorted((root / room).rglob("*")):
            if path.suffix not in {".c", ".h", ".S"}:
                continue
            files += 1
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                wrong = match and offence(room, match[1], match[2])
                if wrong:
                    found.append(f"{path.relative_to(root)}:{number}: {line.strip()}  ({wrong})")
    return files, found


def can_fail():
    """Finds planted offences, one of each kind, and lets good lines pass?"""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        for room, line in [("pipe", '#include "control/boot.h"'), ("pipe", "#include <stdio.h>"),
                           ("control", '#include "protocol/open.h"'), ("guest", '# include "monitor/arena.h"'),
                           ("monitor", '#include "guest/stream.h"'), ("monitor", '#include "arena.h"')]:
            (root / room / "below").mkdir(parents=True, exist_ok=True)
            with open(root / room / "below" / "bad.c", "a") as file:
                file.write(line + '\n#include "pipe/ring.h"\n#include <stdint.h>\n')
        return offences(root)[0] == 4 and len(offences(root)[1]) == 6


def main():
    if not can_fail():
        sys.exit("the check itself does not find planted offences")
    files, found = offences(pathlib.Path(sys.argv[1]))
    for line in found:
        print(line)
    print(f"{files} files, {len(found)} offences")
    return 1 if found or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
