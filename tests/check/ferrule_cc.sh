#!/bin/sh
# A program from outside the tree, built by guest/ferrule-cc for both platforms and run as a user would.
# usage: ferrule_cc.sh FERRULE-CC BUILD-DIRECTORY FERRULE
set -eu
compiler=$1 FERRULE_BUILD=$2 ferrule=$(realpath "$3")
export FERRULE_BUILD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/a directory" "$scratch/share"
cd "$scratch/a directory"
echo "read by a guest" >"$scratch/share/file"

cat >program.c <<'PROGRAM'
#include <stdio.h>
#include "guest/ferrule.h"

int main(void)
{
	struct fs_attributes attributes;
	char text[64];
	long len = path_read("/share/file", text, sizeof(text) - 1, &attributes, FOREVER);

	if (len < 0)
		return 1;
	text[len] = 0;
	printf("%s", text);
	return 42;
}
PROGRAM

run()
{
	status=0
	"$ferrule" run --engine "$1" --mount "$scratch/share:/share" "./$2" >output || status=$?
	[ $status -eq 42 ] || { echo "$2 ended with status $status" >&2; exit 1; }
	cmp output "$scratch/share/file"
}

"$compiler" -o program program.c
run process program
"$compiler" -o program.elf program.c
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	run kvm program.elf
fi

"$compiler" -oprogram.joined program.c
run process program.joined

# With files in it.
sed 's|/share/file|boot:/file|' program.c >bundled.c
(cd "$scratch/share" && echo file | cpio -o -H newc --quiet) >"bundle file.cpio"
"$compiler" -o bundled bundled.c --bundle "bundle file.cpio"
run process bundled
"$compiler" --bundle="bundle file.cpio" -o bundled.elf bundled.c
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	run kvm bundled.elf
fi

# What is missing is said in one sentence with its remedy.
refused() # words of the sentence, then arguments
{
	words=$1
	shift
	status=0
	"$compiler" "$@" >output 2>message || status=$?
	[ $status -eq 2 ] || { echo "ferrule-cc $* ended with status $status" >&2; exit 1; }
	grep -q -e "$words" message || { cat message >&2; exit 1; }
	[ "$(wc -l <message)" -eq 1 ]
}

refused "no file is given; write"
refused "the program has no name; write -o" program.c
refused "-o has no name behind it; write" program.c -o
refused "is no cpio archive of the form newc; make one" -o program program.c --bundle program.c
refused "bundle has no file behind it; write" -o program program.c --bundle
FERRULE_BUILD=/nowhere refused "there is no build in /nowhere; run" -o program program.c

"$compiler" --help >output
grep -q "^Usage: ferrule-cc -o NAME.elf" output
