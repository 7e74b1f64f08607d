/* udp_echo ADDR:PORT: sends each datagram back to who sent it, from the address that it was sent
 * to. */
#include <stdio.h>

#include "guest/ferrule.h"

int main(int argc, char **argv)
{
	static unsigned char bytes[65535];
	struct udp_datagram datagram;
	struct endpoint local;
	struct udp *udp;
	char text[ENDPOINT_TEXT_LEN];
	long len;
	int error;

	if (argc != 2 || endpoint_parse(argv[1], &local))
		return 2;
	error = udp_bind(&local, &udp, FOREVER);
	if (error)
		return -error;
	printf("udp_echo: listening on %s\n", endpoint_format(udp_local(udp), text));
	while ((len = udp_receive(udp, bytes, sizeof(bytes), &datagram, FOREVER)) >= 0)
		udp_send_from(udp, &datagram.local, &datagram.peer, bytes, (size_t)len, FOREVER);
	return (int)-len;
}
