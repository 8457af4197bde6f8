/*
 * bufferevent.c makes what a scenario names and does what it says to it, with
 * libevent. After each step it writes what was called back and what there is
 * now; scenario_side_test.go does the same with bev. Nothing here decides
 * whether that is right.
 *
 * The Go side sends the commands of a step one a line, and then "step".
 */
#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct event_base *base;
static struct ev_token_bucket_cfg *rate;
static struct object objects[OBJECTS];
static int count;
static int refusing = -1; /* bound to an address, not listening there */
static int filler = -1; /* waits there for an accept that does not come */

struct object *
find(const char *name)
{
	int i;

	if (strcmp(name, "@") == 0 && self)
		return self;
	for (i = 0; i < count; i++)
		if (strcmp(objects[i].name, name) == 0)
			return &objects[i];
	die("there is no %s", name);
}

struct object *
make(const char *name)
{
	struct object *o;
	int i;

	for (i = 0; i < count; i++)
		if (strcmp(objects[i].name, name) == 0)
			die("there is a %s already", name);
	if (count == OBJECTS)
		die("too many objects");
	o = &objects[count++];
	memset(o, 0, sizeof *o);
	snprintf(o->name, sizeof o->name, "%s", name);
	o->fd = o->peer = -1;
	return o;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
gone(struct object *o)
{
	for (; o; o = o->under) {
		o->bev = NULL;
		o->fd = -1;
	}
}

/* descriptors lets the process have no more than it has now, or as many as
 * before. */
static void
descriptors(int no_more)
{
	static struct rlimit before;
	struct rlimit now;

	if (before.rlim_cur == 0 && getrlimit(RLIMIT_NOFILE, &before) != 0)
		die("getrlimit: %s", strerror(errno));
	now = before;
	if (no_more) {
		int lowest = dup(0);
		close(lowest);
		now.rlim_cur = lowest;
	}
	if (setrlimit(RLIMIT_NOFILE, &now) != 0)
		die("setrlimit: %s", strerror(errno));
}

void
forget_objects(void)
{
	int i, k, when;

	for (i = count; i-- > 0;) {
		struct object *o = &objects[i];
		if (o->bev) {
			bufferevent_free(o->bev);
			gone(o);
		}
		if (o->listener)
			evconnlistener_free(o->listener);
		for (when = 0; when < WHENS; when++)
			for (k = 0; k < o->on[when].n; k++)
				free(o->on[when].line[k]);
		close_fd(&o->peer);
	}
	count = 0;
	close_fd(&refusing);
	close_fd(&filler);
	descriptors(0);
	if (base) /* what was freed goes in the loop */
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* options reads the words that may follow at the end of a command. */
static int
options(void)
{
	int o = BEV_OPT_CLOSE_ON_FREE;

	while (more()) {
		const char *w = word();
		if (strcmp(w, "defer") == 0)
			o |= BEV_OPT_DEFER_CALLBACKS;
		else if (strcmp(w, "limits") == 0)
			continue; /* what bev bounds, libevent does not */
		else
			die("unknown option %s", w);
	}
	return o;
}

static struct bufferevent *
born(struct object *o, struct bufferevent *bev)
{
	if (!bev)
		die("%s cannot be made", o->name);
	o->bev = bev;
	bufferevent_set_max_single_read(bev, 4096);
	bufferevent_set_max_single_write(bev, 4096);
	listen_for(o, "rwe");
	return bev;
}

struct bufferevent *
adopt(struct object *o, int fd, int opts)
{
	o->fd = fd;
	return born(o, bufferevent_socket_new(base, fd,
	    opts | BEV_OPT_CLOSE_ON_FREE));
}

static void
socketpair_of(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0)
		die("socketpair: %s", strerror(errno));
}

/* A loopback TCP connection, for what unix sockets do not do: a reset. */
static void
tcp_of(int fds[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0);

	fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(l, (void *)&a, len) || listen(l, 1) ||
	    getsockname(l, (void *)&a, &len) ||
	    connect(fds[1], (void *)&a, len) ||
	    (fds[0] = accept4(l, NULL, NULL, SOCK_NONBLOCK)) < 0)
		die("tcp: %s", strerror(errno));
	evutil_make_socket_nonblocking(fds[1]);
	close(l);
}

static struct sockaddr_in
address_of(const char *name)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd;

	if (strcmp(name, "none") == 0) {
		close_fd(&refusing);
		fd = refusing = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(fd, (void *)&a, len) != 0)
			die("bind: %s", strerror(errno));
	} else if (strcmp(name, "nowhere") == 0) {
		a.sin_addr.s_addr = htonl(INADDR_ALLHOSTS_GROUP);
		a.sin_port = htons(9);
		return a; /* multicast: connect(2) says ENETUNREACH */
	} else if (strcmp(name, "full") == 0) {
		/* One caller fills the queue, and the next is not answered. */
		close_fd(&refusing);
		close_fd(&filler);
		fd = refusing = socket(AF_INET, SOCK_STREAM, 0);
		filler = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(fd, (void *)&a, len) || listen(fd, 0) ||
		    getsockname(fd, (void *)&a, &len) ||
		    connect(filler, (void *)&a, len))
			die("full: %s", strerror(errno));
	} else {
		fd = evconnlistener_get_fd(find(name)->listener);
	}
	if (getsockname(fd, (void *)&a, &len) != 0)
		die("getsockname: %s", strerror(errno));
	return a;
}

static void
make_listener(struct object *o)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE;

	if (more()) {
		if (strcmp(word(), "paused") != 0)
			die("a listener may be paused");
		flags |= LEV_OPT_DISABLED;
	}
	o->listener = evconnlistener_new_bind(base, on_accept, o, flags, 16,
	    (void *)&a, sizeof a);
	if (!o->listener)
		die("listen: %s", strerror(errno));
	evconnlistener_set_error_cb(o->listener, on_accept_error);
}

static void
caller(struct object *o, const char *listener)
{
	struct sockaddr_in a = address_of(listener);

	o->peer = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(o->peer, (void *)&a, sizeof a) != 0)
		die("connect: %s", strerror(errno));
	evutil_make_socket_nonblocking(o->peer);
}

/* dial connects to a listener, to "none", where nobody listens, to "nowhere",
 * which connect(2) refuses at once, or to "full", which does not answer. With
 * "within 50" that may take 50 milliseconds. */
static void
dial(struct object *o, const char *to)
{
	struct sockaddr_in a = address_of(to);
	struct timeval within = {0, 0};
	int opts = 0;

	while (more()) {
		if (strcmp(word(), "defer") == 0) {
			opts |= BEV_OPT_DEFER_CALLBACKS;
		} else {
			long ms = word_int();
			within.tv_sec = ms / 1000;
			within.tv_usec = ms % 1000 * 1000;
		}
	}
	adopt(o, -1, opts);
	if (evutil_timerisset(&within))
		bufferevent_set_timeouts(o->bev, NULL, &within);
	if (bufferevent_socket_connect(o->bev, (void *)&a, sizeof a) != 0)
		put(&trace, " %s.returns:-1", o->name);
}

/* creation does the commands that make objects; 0 if op is not one. */
static int
creation(const char *op)
{
	struct bufferevent *pair[2];
	struct object *o, *p;
	int fds[2], opts;

	if (strcmp(op, "socket") == 0 || strcmp(op, "tcp") == 0) {
		o = make(word());
		(op[0] == 's' ? socketpair_of : tcp_of)(fds);
		o->peer = fds[1];
		adopt(o, fds[0], options());
	} else if (strcmp(op, "linked") == 0) {
		o = make(word());
		p = make(word());
		opts = options();
		socketpair_of(fds);
		adopt(o, fds[0], opts);
		adopt(p, fds[1], opts);
	} else if (strcmp(op, "nofd") == 0) {
		o = make(word());
		adopt(o, -1, options());
	} else if (strcmp(op, "pair") == 0) {
		o = make(word());
		p = make(word());
		if (bufferevent_pair_new(base, options(), pair) != 0)
			die("no pair");
		born(o, pair[0]);
		born(p, pair[1]);
	} else if (strcmp(op, "filter") == 0) {
		const char *kind;
		o = make(word());
		p = find(word());
		kind = word();
		o->under = p;
		born(o, filter_over(p->bev, kind, options()));
	} else if (strcmp(op, "listen") == 0) {
		o = make(word());
		make_listener(o);
	} else if (strcmp(op, "call") == 0) {
		o = make(word());
		caller(o, word());
	} else if (strcmp(op, "dial") == 0) {
		o = make(word());
		dial(o, word());
	} else {
		return 0;
	}
	return 1;
}

static short
direction(void)
{
	const char *w = word();
	short d = 0;

	if (strchr(w, 'r'))
		d |= EV_READ;
	if (strchr(w, 'w'))
		d |= EV_WRITE;
	if (!d)
		die("%s is no direction", w);
	return d;
}

/* next makes the bytes of a stream, each the one before plus one. */
static char *
next(unsigned *counter, long n)
{
	static char p[1 << 20];
	long i;

	if (n > (long)sizeof p)
		die("%ld bytes are too many", n);
	for (i = 0; i < n; i++)
		p[i] = (*counter)++ % 251;
	return p;
}

static uint64_t
roll(uint64_t h, const char *p, size_t n)
{
	while (n-- > 0)
		h = h * 0x100000001b3u + (unsigned char)*p++ + 1;
	return h;
}

static void
drain(struct object *o)
{
	struct evbuffer *in = bufferevent_get_input(o->bev);
	const char *w = word();
	size_t n = evbuffer_get_length(in);
	char *p;

	if (strcmp(w, "all") != 0 && (size_t)atol(w) < n)
		n = atol(w);
	if (n == 0)
		return;
	p = malloc(n);
	n = bufferevent_read(o->bev, p, n);
	if (n == (size_t)-1)
		n = 0; /* what a failure is in 2.1 */
	o->got += n;
	o->got_hash = roll(o->got_hash, p, n);
	free(p);
}

static void
set_timeouts(struct object *o)
{
	long r = word_int(), w = word_int();
	struct timeval read = {r / 1000, r % 1000 * 1000};
	struct timeval write = {w / 1000, w % 1000 * 1000};

	bufferevent_set_timeouts(o->bev, r ? &read : NULL, w ? &write : NULL);
}

static void
set_fd(struct object *o)
{
	int fds[2] = {-1, -1}, old = o->fd;

	if (strcmp(word(), "new") == 0)
		socketpair_of(fds);
	o->fd = fds[0];
	bufferevent_setfd(o->bev, fds[0]);
	close_fd(&old);
	close_fd(&o->peer);
	o->peer_ended = 0;
	o->ended = 0;
	o->peer = fds[1];
}

static void
flush_one(struct object *o)
{
	short dir = direction();
	const char *mode = word();

	bufferevent_flush(o->bev, dir, strcmp(mode, "normal") == 0 ? BEV_NORMAL :
	    strcmp(mode, "flush") == 0 ? BEV_FLUSH : BEV_FINISHED);
}

static void
free_one(struct object *o)
{
	if (o->listener) {
		evconnlistener_free(o->listener);
		o->listener = NULL;
		return;
	}
	bufferevent_free(o->bev);
	gone(o);
}

static void
trigger(struct object *o)
{
	short dir = direction();
	int opts = 0;

	while (more()) {
		const char *w = word();
		opts |= strcmp(w, "force") == 0 ? BEV_TRIG_IGNORE_WATERMARKS :
		    BEV_TRIG_DEFER_CALLBACKS;
	}
	bufferevent_trigger(o->bev, dir, opts);
}

/* write_to writes to a connection, in one of the ways that there are. */
static void
write_to(struct object *o, const char *op)
{
	long n = word_int();
	char *p = next(&o->written, n);
	struct evbuffer *b;

	if (strcmp(op, "write") == 0) {
		bufferevent_write(o->bev, p, n);
	} else if (strcmp(op, "output") == 0) {
		evbuffer_add(bufferevent_get_output(o->bev), p, n);
	} else {
		b = evbuffer_new();
		evbuffer_add(b, p, n);
		bufferevent_write_buffer(o->bev, b);
		evbuffer_free(b);
	}
}

/* limit_rate limits writing to n bytes a second. Its configuration has to live
 * as long as the connection does. */
static void
limit_rate(struct object *o, long n)
{
	struct timeval tick = {1, 0};

	ev_token_bucket_cfg_free(rate);
	rate = ev_token_bucket_cfg_new(n, n, n, n, &tick);
	bufferevent_set_rate_limit(o->bev, rate);
}

/* doing does the commands to objects; 0 if op is not one. What is gone is left
 * alone: the command has no object any more. */
static int
doing(const char *op)
{
	struct object *o = find(word());

	if (!o->bev && !o->listener) {
		while (more())
			word();
		return 1;
	}
#define IS(name) (strcmp(op, name) == 0)
	if (IS("enable")) {
		bufferevent_enable(o->bev, direction());
	} else if (IS("disable")) {
		bufferevent_disable(o->bev, direction());
	} else if (IS("marks")) {
		short d = direction();
		long low = word_int(), high = word_int();
		bufferevent_setwatermark(o->bev, d, low, high);
	} else if (IS("timeouts")) {
		set_timeouts(o);
	} else if (IS("priority")) {
		bufferevent_priority_set(o->bev, word_int());
	} else if (IS("max")) {
		long n = word_int();
		bufferevent_set_max_single_read(o->bev, n);
		bufferevent_set_max_single_write(o->bev, n);
	} else if (IS("cbs")) {
		listen_for(o, word());
	} else if (IS("write") || IS("output") || IS("writebuf")) {
		write_to(o, op);
	} else if (IS("echo")) {
		struct object *from = more() ? find(word()) : o;
		if (from->bev)
			bufferevent_write_buffer(o->bev,
			    bufferevent_get_input(from->bev));
	} else if (IS("drain")) {
		drain(o);
	} else if (IS("trigger")) {
		trigger(o);
	} else if (IS("event")) {
		short what = strtol(word(), NULL, 16);
		errno = 0;
		bufferevent_trigger_event(o->bev, what,
		    more() && word() ? BEV_TRIG_DEFER_CALLBACKS : 0);
	} else if (IS("flush")) {
		flush_one(o);
	} else if (IS("free")) {
		free_one(o);
	} else if (IS("setfd")) {
		set_fd(o);
	} else if (IS("finish")) {
		bufferevent_free(o->bev); /* the nearest that there is */
		gone(o);
	} else if (IS("input")) {
		long n = word_int();
		evbuffer_add(bufferevent_get_input(o->bev), next(&o->written, n), n);
	} else if (IS("cut")) {
		evbuffer_drain(bufferevent_get_output(o->bev), word_int());
	} else if (IS("freeze")) {
		evbuffer_freeze(bufferevent_get_input(o->bev), 1);
	} else if (IS("rate")) {
		limit_rate(o, word_int());
	} else if (IS("nodelay")) {
		int on = 0;
		socklen_t len = sizeof on;
		getsockopt(o->fd, IPPROTO_TCP, TCP_NODELAY, &on, &len);
		put(&trace, " %s.nodelay:%d", o->name, on);
	} else if (IS("pause")) {
		evconnlistener_disable(o->listener);
	} else if (IS("resume")) {
		evconnlistener_enable(o->listener);
	} else {
		return 0;
	}
#undef IS
	return 1;
}

void
read_peer(struct object *o, long max)
{
	char p[4096];

	while (max > 0) {
		ssize_t n = read(o->peer, p, max < 4096 ? max : 4096);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			o->peer_ended = n == 0 ? 'E' : 'R';
			return;
		}
		o->peer_got += n;
		o->peer_hash = roll(o->peer_hash, p, n);
		max -= n;
	}
}

static void
peer_write(struct object *o)
{
	long n = word_int();
	char *p = next(&o->peer_written, n);

	if (send(o->peer, p, n, MSG_NOSIGNAL) != n && errno != EPIPE &&
	    errno != ECONNRESET)
		die("peer of %s: %s", o->name, strerror(errno));
}

/* peer does something with the other end of an object, if it is there. */
static void
peer(void)
{
	struct object *o = find(word());
	const char *op = word();

	if (o->peer < 0) {
		while (more())
			word();
		return;
	}
	if (strcmp(op, "write") == 0) {
		peer_write(o);
	} else if (strcmp(op, "read") == 0) {
		const char *w = word();
		read_peer(o, strcmp(w, "all") == 0 ? 1 << 30 : atol(w));
	} else if (strcmp(op, "shut") == 0) {
		shutdown(o->peer, SHUT_WR);
	} else if (strcmp(op, "close") == 0) {
		close_fd(&o->peer);
	} else if (strcmp(op, "abort") == 0) {
		struct linger now = {1, 0};
		setsockopt(o->peer, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		close_fd(&o->peer);
	} else if (strcmp(op, "narrow") == 0) {
		/* So little room that a few kilobytes fill it. */
		int n = 4096;
		setsockopt(o->peer, SOL_SOCKET, SO_RCVBUF, &n, sizeof n);
		setsockopt(o->fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
	} else {
		die("a peer cannot %s", op);
	}
}

/* on remembers what a callback is to do: "on a read drain a 5". */
static void
on(void)
{
	static const char *names[] = {"read", "write", "event", "accept"};
	struct object *o = find(word());
	const char *when = word();
	char line[256] = "";
	int i;

	while (more()) {
		strncat(line, word(), sizeof line - strlen(line) - 2);
		strcat(line, " ");
	}
	for (i = 0; i < WHENS; i++)
		if (strcmp(when, names[i]) == 0) {
			if (strcmp(line, "nothing ") == 0)
				o->on[i].n = 0;
			else
				add_commands(o, i, line);
			return;
		}
	die("nothing happens on %s", when);
}

/* reads reports whether reading goes on as far as the user can tell. */
static int
reads(struct object *o)
{
	size_t high;

	if (!o->bev || o->ended || !(bufferevent_get_enabled(o->bev) & EV_READ))
		return 0;
	bufferevent_getwatermark(o->bev, EV_READ, NULL, &high);
	return high == 0 ||
	    evbuffer_get_length(bufferevent_get_input(o->bev)) < high;
}

/* when does the rest of the command if a condition holds: random scenarios
 * stay away so from what differs on purpose. */
static void
when(void)
{
	const char *condition = word();
	struct object *o = find(word());
	int holds;

	if (strcmp(condition, "reading") == 0)
		holds = reads(o);
	else if (strcmp(condition, "open") == 0)
		holds = o->bev && !o->ended;
	else
		die("unknown condition %s", condition);
	if (holds)
		object_commands(word());
	else
		while (more())
			word();
}

void
object_commands(const char *op)
{
	if (strcmp(op, "when") == 0)
		when();
	else if (strcmp(op, "nofiles") == 0)
		descriptors(1);
	else if (strcmp(op, "files") == 0)
		descriptors(0);
	else if (strcmp(op, "on") == 0)
		on();
	else if (strcmp(op, "peer") == 0)
		peer();
	else if (!creation(op) && !doing(op))
		die("unknown command %s", op);
}

/* pending is how many bytes lie in the kernel for a peer. */
static int
pending(struct object *o)
{
	int n = 0;

	if (o->peer < 0 || ioctl(o->peer, FIONREAD, &n) != 0)
		return -1;
	return n;
}

void
put_states(void)
{
	int i;

	put(&trace, "\t");
	for (i = 0; i < count; i++) {
		struct object *o = &objects[i];
		short e = o->bev ? bufferevent_get_enabled(o->bev) : 0;
		if (o->bev)
			put(&trace, " %s=%zu,%zu,%s%s", o->name,
			    evbuffer_get_length(bufferevent_get_input(o->bev)),
			    evbuffer_get_length(bufferevent_get_output(o->bev)),
			    e & EV_READ ? "r" : "-", e & EV_WRITE ? "w" : "-");
		else if (o->peer < 0 || o->got)
			put(&trace, " %s=gone", o->name);
		if (o->got)
			put(&trace, ",got%llu:%08x", (unsigned long long)o->got,
			    (unsigned)o->got_hash);
		if (o->peer >= 0)
			put(&trace, " %s'=%d", o->name, pending(o));
		if (o->peer_got || o->peer_ended)
			put(&trace, " %s'got%llu:%08x%c", o->name,
			    (unsigned long long)o->peer_got,
			    (unsigned)o->peer_hash,
			    o->peer_ended ? o->peer_ended : '.');
	}
}

/* fingerprint changes when anything happens that can be seen. */
uint64_t
fingerprint(void)
{
	uint64_t h = event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED);
	int i;

	for (i = 0; i < count; i++) {
		struct object *o = &objects[i];
		if (o->bev) {
			h = h * 31 + evbuffer_get_length(bufferevent_get_input(o->bev));
			h = h * 31 + evbuffer_get_length(bufferevent_get_output(o->bev));
			h = h * 31 + bufferevent_get_enabled(o->bev);
		}
		h = h * 31 + pending(o);
	}
	return h + 1;
}
