/* hold_vm: a virtual machine until this program is ended, for `nested`; why, tests/lib/hold_vm.h says. */
#include "tests/lib/hold_vm.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	int error = hold_vm();

	if (error) {
		fprintf(stderr, "hold_vm: no virtual machine: %s\n", strerror(-error));
		return 1;
	}
	for (;;)
		pause();
}
