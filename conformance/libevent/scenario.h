/* What the files of the program bufferevent share. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "lines.h"

enum { OBJECTS = 64, COMMANDS = 16 };

/* What a callback does: commands, in order. */
struct script {
	char *line[COMMANDS];
	int n;
};

/* When the commands of an object run. */
enum when { READ, WRITE, EVENT, ACCEPT, WHENS };

/* A thing that a scenario has given a name. */
struct object {
	char name[16];
	struct bufferevent *bev;	/* NULL: none, or freed */
	struct evconnlistener *listener;
	struct object *under;		/* of a filter */
	int fd;				/* of bev or listener, -1: none */
	int peer;			/* the other end, -1: none */
	char peer_ended;		/* what reading it met: 0, E or R */
	struct script on[WHENS];
	int accepted;			/* by a listener, so far */
	unsigned written, peer_written;	/* bytes, for the next one's value */
	uint64_t got, got_hash;		/* what was taken from the input */
	uint64_t peer_got, peer_hash;
	int ended;			/* reading it has come to its end */
};

extern struct event_base *base;

/* bufferevent.c */
void object_commands(const char *op);
void forget_objects(void);
void put_states(void);
uint64_t fingerprint(void);
void read_peer(struct object *o, long max);

/* callbacks.c */
extern struct out trace; /* of the step under way */
extern unsigned long callbacks; /* run so far */
void listen_for(struct object *o, const char *which);
void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg);
void on_accept_error(struct evconnlistener *l, void *arg);
void add_commands(struct object *o, enum when when, const char *line);
void run_commands(struct object *self, struct script *s);
extern struct object *self; /* whose callback runs, for "@" */

/* filters.c */
struct bufferevent *filter_over(struct bufferevent *under, const char *kind, int options);

/* clock.c */
void clock_advance(long ms);

/* objects */
struct object *find(const char *name);
struct object *make(const char *name);
struct bufferevent *adopt(struct object *o, int fd, int options);

#endif
