/* An echo server on libevent: what came, in brackets, at least four bytes and
 * at most sixteen at a time. Who says nothing for too long is told so and left,
 * who does not read is read no further. Its twin on bev is examples/twin.
 *
 *	twin PORT MILLISECONDS
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#define MAX_OUTPUT (256 * 1024)

static struct timeval silence;

static void on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *out = bufferevent_get_output(bev);
	(void)arg;
	evbuffer_add(out, "[", 1);
	evbuffer_add_buffer(out, bufferevent_get_input(bev));
	evbuffer_add(out, "]\n", 2);
	/* Nothing bounds the output but us. */
	if (evbuffer_get_length(out) >= MAX_OUTPUT)
		bufferevent_disable(bev, EV_READ);
}

/* Called when little enough is left to send: see the write mark below. */
static void on_write(struct bufferevent *bev, void *arg)
{
	(void)arg;
	if (!(bufferevent_get_enabled(bev) & EV_READ))
		bufferevent_enable(bev, EV_READ);
}

static void on_last_event(struct bufferevent *bev, short what, void *arg)
{
	(void)what, (void)arg;
	bufferevent_free(bev);
}

static void on_last_write(struct bufferevent *bev, void *arg)
{
	on_last_event(bev, 0, arg);
}

/* bufferevent_free drops what has not been sent, so it waits for that. */
static void free_after_flush(struct bufferevent *bev)
{
	if (evbuffer_get_length(bufferevent_get_output(bev)) == 0) {
		bufferevent_free(bev);
		return;
	}
	bufferevent_disable(bev, EV_READ);
	bufferevent_setwatermark(bev, EV_WRITE, 0, 0);
	bufferevent_setcb(bev, NULL, on_last_write, on_last_event, NULL);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	if (what & BEV_EVENT_EOF) {
		/* Less than the low mark may be left. */
		if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
			on_read(bev, arg);
		free_after_flush(bev);
	} else if (what == (BEV_EVENT_TIMEOUT | BEV_EVENT_READING)) {
		bufferevent_write(bev, "too slow\n", 9);
		free_after_flush(bev);
	} else {
		bufferevent_free(bev);
	}
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
	(void)addr, (void)len, (void)arg;
	bufferevent_setcb(bev, on_read, on_write, on_event, NULL);
	bufferevent_setwatermark(bev, EV_READ, 4, 16);
	bufferevent_setwatermark(bev, EV_WRITE, MAX_OUTPUT / 4, 0);
	bufferevent_set_timeouts(bev, &silence, &silence);
	bufferevent_enable(bev, EV_READ);
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	struct evconnlistener *listener;
	int ms = argc > 2 ? atoi(argv[2]) : 60000;

	silence.tv_sec = ms / 1000;
	silence.tv_usec = ms % 1000 * 1000;
	sin.sin_port = htons(argc > 1 ? atoi(argv[1]) : 5555);
	listener = evconnlistener_new_bind(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, -1,
		(struct sockaddr *)&sin, sizeof(sin));
	if (listener == NULL || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&sin, &len) != 0) {
		perror("cannot listen");
		return 1;
	}
	printf("listening on 127.0.0.1:%d\n", ntohs(sin.sin_port));
	fflush(stdout);
	return event_base_dispatch(base) < 0;
}
