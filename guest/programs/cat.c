/* cat: files of mounts to the console, byte for byte. */
#include <stdio.h>
#include <string.h>

#include "guest/ferrule.h"
#include "guest/programs/remedy.h"

static int print(
	void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len)
{
	(void)argument, (void)attributes;
	return fwrite(bytes, 1, len, stdout) == len ? 0 : -EIO;
}

static const char usage[] =
	"usage: cat PATH...\n"
	"Prints files. Grants: --mount HOSTDIR:GUESTDIR, with each PATH below a GUESTDIR.\n"
	"  ferrule run --mount .:/here cat.elf /here/README.md\n";

int main(int argc, char **argv)
{
	int status = 0;

	if (help_asked(argc, argv, usage))
		return 0;
	if (argc < 2) {
		fputs(usage, stderr);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		int error = file_read_whole(argv[i], 0, UINT64_MAX, print, NULL, FOREVER);

		fflush(stdout);
		if (error)
			status = cannot_file("cat", "read", argv[i], error);
	}
	return status;
}
