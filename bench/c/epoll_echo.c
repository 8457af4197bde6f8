/* The limit: an echo server on bare epoll, level-triggered, one read and one
 * write an event. No buffers, no bounds.   epoll_echo HOST PORT | unix PATH */
#define _GNU_SOURCE
#include "listen.h"
#include <sys/epoll.h>

static int poller;
static char memory[65536];

static void watch(int fd) {
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) < 0)
		close(fd);
}

static void echo(int fd) {
	ssize_t n = read(fd, memory, sizeof memory);
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

int main(int argc, char **argv) {
	int listener = listen_on(argc, argv);
	poller = epoll_create1(EPOLL_CLOEXEC);
	watch(listener);
	ready();
	struct epoll_event events[256];
	for (;;) {
		int n = epoll_wait(poller, events, 256, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd >= 0)
				watch(fd);
		}
	}
}
