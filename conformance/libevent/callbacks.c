/* What libevent tells, and the commands that are run then. */
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out trace;
unsigned long callbacks;
struct object *self;

/* More callbacks than this in one step and they never end. */
enum { SPINNING = 2000 };
static unsigned long step_start;

void command(char *line);

void
add_commands(struct object *o, enum when when, const char *line)
{
	struct script *s = &o->on[when];

	if (s->n == COMMANDS)
		die("too many commands for %s", o->name);
	s->line[s->n++] = strdup(line);
}

void
run_commands(struct object *o, struct script *s)
{
	struct object *outer = self;
	struct script now = *s; /* a command may change them */
	int i;

	self = o;
	for (i = 0; i < now.n; i++) {
		char copy[256];
		snprintf(copy, sizeof copy, "%s", now.line[i]);
		command(copy);
	}
	self = outer;
}

static void
called(void)
{
	if (++callbacks - step_start > SPINNING)
		event_base_loopbreak(base);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct object *o = arg;

	called();
	put(&trace, " %s.r:%zu", o->name,
	    evbuffer_get_length(bufferevent_get_input(bev)));
	run_commands(o, &o->on[READ]);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct object *o = arg;

	called();
	put(&trace, " %s.w:%zu", o->name,
	    evbuffer_get_length(bufferevent_get_output(bev)));
	run_commands(o, &o->on[WRITE]);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct object *o = arg;
	int err = errno;

	(void)bev;
	called();
	put(&trace, " %s.e:%02x", o->name, what & 0xffff);
	if (what & BEV_EVENT_ERROR)
		put(&trace, "/%s", err ? strerrorname_np(err) : "0");
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		o->ended = 1;
	run_commands(o, &o->on[EVENT]);
}

/* listen_for sets the callbacks named by letters: r, w, e, or - for none. */
void
listen_for(struct object *o, const char *which)
{
	bufferevent_setcb(o->bev, strchr(which, 'r') ? on_read : NULL,
	    strchr(which, 'w') ? on_write : NULL,
	    strchr(which, 'e') ? on_event : NULL, o);
}

/* on_accept names the connection after the listener and its number, and gives
 * it the listener's commands. */
void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct object *o = arg, *c;
	char name[32];
	int when, i;

	(void)l, (void)sa, (void)len;
	called();
	snprintf(name, sizeof name, "%s%d", o->name, ++o->accepted);
	c = make(name);
	put(&trace, " %s.a:%s", o->name, c->name);
	adopt(c, fd, 0);
	for (when = READ; when <= EVENT; when++)
		for (i = 0; i < o->on[when].n; i++)
			add_commands(c, when, o->on[when].line[i]);
	run_commands(c, &o->on[ACCEPT]);
}

void
on_accept_error(struct evconnlistener *l, void *arg)
{
	struct object *o = arg;
	int err = errno;

	(void)l;
	called();
	put(&trace, " %s.x:%s", o->name, strerrorname_np(err));
}

/* pass runs the loop once and reports whether something happened. */
static int
pass(uint64_t *last)
{
	uint64_t now;

	event_base_loop(base, EVLOOP_NONBLOCK);
	now = fingerprint() ^ callbacks * 0x9e3779b97f4a7c15u;
	if (now == *last)
		return 0;
	*last = now;
	return 1;
}

/* settle runs the loop until nothing has happened for a while. */
static void
settle(void)
{
	uint64_t last = 0;
	int idle = 0;

	while (idle < 8) {
		idle = pass(&last) ? 0 : idle + 1;
		if (callbacks - step_start > SPINNING) {
			put(&trace, " spin");
			return;
		}
	}
}

/* await runs the loop until the trace has a callback: what other processes and
 * the network do has no fixed time. */
static void
await(const char *what)
{
	char needle[64];
	uint64_t last = 0;
	long i;

	snprintf(needle, sizeof needle, " %s:", what);
	for (i = 0; i < 2000000; i++) {
		if (trace.p && strstr(trace.p, needle))
			return;
		pass(&last);
	}
	put(&trace, " missing:%s", what);
}

/* command runs one command, of the script or of a callback. */
void
command(char *text)
{
	struct parsing outer = parse(text);
	const char *op = word();

	if (strcmp(op, "await") == 0) {
		await(word());
	} else if (strcmp(op, "gulp") == 0) {
		struct object *o = find(word());
		uint64_t before;
		do { /* its peer reads for as long as there is something */
			before = o->peer_got;
			settle();
			read_peer(o, 1 << 30);
		} while (before != o->peer_got);
	} else if (strcmp(op, "advance") == 0) {
		long ms = word_int();
		while (ms-- > 0) {
			clock_advance(1);
			settle();
		}
	} else {
		object_commands(op);
	}
	if (more())
		die("too much: %s", op);
	unparse(outer);
}

int
main(void)
{
	struct event_config *config = event_config_new();

	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	put(&trace, "%s", "");
	signal(SIGPIPE, SIG_IGN);
	while (next_line()) {
		if (line_is("end")) {
			fputs(".\n", stdout);
			fflush(stdout);
			continue;
		}
		if (line_is("new 1") || line_is("new 2")) {
			int priorities = line_is("new 2") ? 2 : 1;
			forget_objects();
			if (base)
				event_base_free(base);
			base = event_base_new_with_config(config);
			event_base_priority_init(base, priorities);
			continue;
		}
		if (line_is("step")) {
			settle();
			put_states();
			put(&trace, "\n");
			fwrite(trace.p, 1, trace.n, stdout);
			reset(&trace);
			step_start = callbacks;
			continue;
		}
		command(current_line());
	}
	return 0;
}
