/* A client on libevent: connects with bufferevent_socket_connect, sends BYTES
 * bytes, checks that the same come back and nothing else, ends its side when
 * all has been sent, and wants the server to end as well. It prints
 * "ok BYTES", or on standard error what was wrong.
 *
 *	client PORT BYTES
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

static size_t total, sent, received;
static int shut;

static void fail(const char *why)
{
	fprintf(stderr, "%s after %zu bytes sent and %zu received of %zu: %s\n", why, sent, received, total,
	    evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
	exit(1);
}

/* The byte at a position: a sequence that does not repeat with any power of
 * two, so that a lost or doubled piece shows. */
static unsigned char byte_at(size_t i)
{
	return (unsigned char)((i * 2654435761u) >> 13 ^ i / 251);
}

/* on_write refills the output: it is called when all of it has been sent, and
 * once to begin with. */
static void on_write(struct bufferevent *bev, void *arg)
{
	unsigned char chunk[16384];
	size_t n = 0;
	(void)arg;
	if (sent == total) {
		if (!shut && shutdown(bufferevent_getfd(bev), SHUT_WR) != 0)
			fail("shutdown");
		shut = 1;
		return;
	}
	while (n < sizeof(chunk) && sent + n < total) {
		chunk[n] = byte_at(sent + n);
		n++;
	}
	sent += n;
	if (bufferevent_write(bev, chunk, n) != 0)
		fail("bufferevent_write");
}

static void on_read(struct bufferevent *bev, void *arg)
{
	unsigned char chunk[16384];
	size_t i, n;
	(void)arg;
	while ((n = bufferevent_read(bev, chunk, sizeof(chunk))) > 0) {
		for (i = 0; i < n; i++, received++) {
			if (received == total)
				fail("more came back than was sent");
			if (chunk[i] != byte_at(received))
				fail("another byte came back than was sent");
		}
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)arg;
	if (what & BEV_EVENT_CONNECTED) {
		on_write(bev, NULL); /* nothing has been written that could be sent */
		return;
	}
	if (!(what & BEV_EVENT_EOF))
		fail("the connection failed");
	if (received != total || !shut)
		fail("the server ended");
	printf("ok %zu\n", received);
	bufferevent_free(bev);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct sockaddr_in sin;

	if (argc != 3) {
		fprintf(stderr, "usage: client PORT BYTES\n");
		return 2;
	}
	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((unsigned short)atoi(argv[1]));
	total = strtoul(argv[2], NULL, 10);
	bufferevent_setcb(bev, on_read, on_write, on_event, NULL);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)) != 0)
		fail("bufferevent_socket_connect");
	return event_base_dispatch(base) < 0; /* 1 means that no event is left */
}
