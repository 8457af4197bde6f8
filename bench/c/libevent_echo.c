/* An echo server as libevent's documentation writes it: a bufferevent for each
 * connection, input moved to output. See listen.h for its command line. */
#define _GNU_SOURCE
#include "listen.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static struct ev_token_bucket_cfg *limit; /* of each connection */
static __thread struct bufferevent_rate_limit_group *group;

/* Ten ticks a second, and a second's worth to save up, as bev has it. */
static struct ev_token_bucket_cfg *bucket(long rate) {
	static const struct timeval tick = {0, 100000};
	return ev_token_bucket_cfg_new(rate / 10, rate, EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX, &tick);
}

static void on_read(struct bufferevent *bev, void *arg) {
	(void)arg;
	bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
	(void)arg;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT))
		bufferevent_free(bev);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n, void *arg) {
	(void)a, (void)n, (void)arg;
	struct bufferevent *bev = bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(bev, on_read, NULL, on_event, NULL);
	if (options.armed) {
		struct timeval hour = {3600, 0};
		bufferevent_set_timeouts(bev, &hour, &hour);
		bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 0, 1 << 20);
	}
	if (limit)
		bufferevent_set_rate_limit(bev, limit);
	if (group)
		bufferevent_add_to_rate_limit_group(bev, group);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void *loop(void *fd) {
	struct event_base *base = event_base_new();
	if (options.group)
		group = bufferevent_rate_limit_group_new(base, bucket(options.group));
	evconnlistener_new(base, on_accept, NULL, LEV_OPT_CLOSE_ON_FREE, 0, *(int *)fd);
	event_base_dispatch(base);
	return NULL;
}

int main(int argc, char **argv) {
	parse(argc, argv);
	if (options.limit)
		limit = bucket(options.limit);
	return serve(loop);
}
