/* What the C servers have in common: a listening socket, and saying so. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void fatal(const char *what) {
	perror(what);
	exit(1);
}

static int listen_on(int argc, char **argv) {
	if (argc != 3) {
		fprintf(stderr, "usage: %s HOST PORT | unix PATH\n", argv[0]);
		exit(2);
	}
	int one = 1, local = strcmp(argv[1], "unix") == 0;
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fatal("socket");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	int err;
	if (local) {
		strncpy(un.sun_path, argv[2], sizeof un.sun_path - 1);
		err = bind(fd, (struct sockaddr *)&un, sizeof un);
	} else {
		in.sin_port = htons(atoi(argv[2]));
		inet_pton(AF_INET, argv[1], &in.sin_addr);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
		/* accepted sockets inherit it */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		err = bind(fd, (struct sockaddr *)&in, sizeof in);
	}
	if (err < 0)
		fatal("bind");
	if (listen(fd, 1024) < 0)
		fatal("listen");
	return fd;
}

static void ready(void) {
	puts("ready");
	fflush(stdout);
}
