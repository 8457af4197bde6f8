/* What the C servers have in common: the command line, a listening socket, and
 * saying that it is there.
 *
 *   SERVER [-t THREADS] [-l LIMIT] [-g GROUP] [-a] HOST PORT | unix PATH */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	int threads;	   /* each with a loop and a listening socket of its own */
	long limit, group; /* rate limits, bytes a second; 0 is none */
	int armed;	   /* set timeouts and marks */
	const char *host, *port;
} options = {.threads = 1};

static void fatal(const char *what) {
	perror(what);
	exit(1);
}

static void parse(int argc, char **argv) {
	for (int c; (c = getopt(argc, argv, "t:l:g:a")) != -1;) {
		switch (c) {
		case 't': options.threads = atoi(optarg); break;
		case 'l': options.limit = atol(optarg); break;
		case 'g': options.group = atol(optarg); break;
		case 'a': options.armed = 1; break;
		default: exit(2);
		}
	}
	if (argc - optind != 2) {
		fprintf(stderr, "usage: %s [-t THREADS] [-l LIMIT] [-g GROUP] [-a] HOST PORT | unix PATH\n", argv[0]);
		exit(2);
	}
	options.host = argv[optind];
	options.port = argv[optind + 1];
}

static int listen_here(void) {
	int one = 1, local = strcmp(options.host, "unix") == 0;
	int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fatal("socket");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	int err;
	if (local) {
		strncpy(un.sun_path, options.port, sizeof un.sun_path - 1);
		err = bind(fd, (struct sockaddr *)&un, sizeof un);
	} else {
		in.sin_port = htons(atoi(options.port));
		inet_pton(AF_INET, options.host, &in.sin_addr);
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

/* serve runs loop in each thread, on a socket of its own: the kernel spreads
 * the callers. All listen before any is told to come. */
static int serve(void *(*loop)(void *fd)) {
	int fds[options.threads];
	for (int i = 0; i < options.threads; i++)
		fds[i] = listen_here();
	puts("ready");
	fflush(stdout);
	for (int i = 1; i < options.threads; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, loop, &fds[i]) != 0)
			fatal("pthread_create");
	}
	loop(&fds[0]);
	return 1;
}
