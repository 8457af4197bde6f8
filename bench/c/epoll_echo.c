/* The limit: an echo server on bare epoll, level-triggered, one read and one
 * write an event. No buffers, no bounds. See listen.h for its command line. */
#define _GNU_SOURCE
#include "listen.h"
#include <sys/epoll.h>

static void watch(int poller, int fd) {
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0)
		close(fd);
}

static void echo(int fd, char *memory, size_t size) {
	ssize_t n = read(fd, memory, size);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			close(fd);
		return;
	}
	for (ssize_t sent = 0; sent < n;) {
		ssize_t m = write(fd, memory + sent, n - sent);
		if (m > 0)
			sent += m;
		else if (errno != EAGAIN) {
			close(fd);
			return;
		}
	}
}

static void *loop(void *fd) {
	int listener = *(int *)fd, poller = epoll_create1(EPOLL_CLOEXEC);
	static __thread char memory[65536];
	struct epoll_event events[256];
	watch(poller, listener);
	for (;;) {
		int n = epoll_wait(poller, events, 256, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd, memory, sizeof memory);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd >= 0)
				watch(poller, fd);
		}
	}
	return NULL;
}

int main(int argc, char **argv) {
	parse(argc, argv);
	return serve(loop);
}
