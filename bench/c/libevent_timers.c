/* What libevent's timers cost, measured as ../timers measures Go's.
 *
 *   libevent_timers N     prints one line of JSON */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long n, left;
static long passes;          /* how often they are armed, stopped and let expire */
static double start, expire; /* of this pass; of all */
static int put_off;          /* arm each for an earlier time before */
static struct event **timers;
static struct event_base *base;

static double cpu(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static double resident(void) {
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1)
		exit(1);
	fclose(f);
	return pages * (double)sysconf(_SC_PAGESIZE);
}

/* Somewhere in so many microseconds from then on, in no order. */
static struct timeval later(unsigned *x, unsigned from, unsigned span) {
	*x = *x * 1664525 + 1013904223;
	unsigned us = from + (unsigned)((unsigned long long)*x * span >> 32);
	struct timeval after = {us / 1000000, us % 1000000};
	return after;
}

enum { MINUTE = 60 * 1000000 };

/* All for somewhere in the time that begins after as much time, a microsecond
 * for each: all are due when the loop looks. put_off arms each for an earlier
 * time before, so that what was left undone then is done when it expires. */
static void next_pass(void) {
	unsigned x = 1;
	left = n;
	for (long i = 0; i < n; i++) {
		struct timeval after = later(&x, n, n);
		if (put_off) {
			struct timeval before = {(after.tv_sec * 1000000 + after.tv_usec - n / 2) / 1000000,
			                         (after.tv_sec * 1000000 + after.tv_usec - n / 2) % 1000000};
			event_add(timers[i], &before);
		}
		event_add(timers[i], &after);
	}
	usleep(2 * n);
	start = cpu();
}

static void fired(evutil_socket_t fd, short what, void *arg) {
	(void)fd, (void)what, (void)arg;
	if (--left > 0)
		return;
	expire += cpu() - start;
	if (--passes > 0)
		next_pass();
}

/* New ones: what it costs to free them is part of it, as the collector is of
 * Go's. */
static double arm_all(void) {
	static unsigned x = 1;
	double begin = cpu();
	for (long i = 0; i < n; i++) {
		struct timeval after = later(&x, MINUTE, MINUTE);
		if (timers[i] != NULL)
			event_free(timers[i]);
		timers[i] = evtimer_new(base, fired, NULL);
		event_add(timers[i], &after);
	}
	return cpu() - begin;
}

static double stop_all(void) {
	double begin = cpu();
	for (long i = 0; i < n; i++)
		event_del(timers[i]);
	return cpu() - begin;
}

/* Each in its turn to the same time from now, which goes on by a microsecond:
 * what idle timeouts of busy connections do. */
static void rearm(long times) {
	for (long i = 0; i < times; i++) {
		struct timeval after = {60 + i / 1000000, i % 1000000};
		event_add(timers[i % n], &after);
	}
}

/* To an earlier time as often as to a later one. */
static void rearm_any(long times) {
	unsigned x = 1;
	for (long i = 0; i < times; i++) {
		struct timeval after = later(&x, MINUTE, MINUTE);
		event_add(timers[i % n], &after);
	}
}

/* All inside a callback, as programs do it: libevent then has the time. */
static void measure(evutil_socket_t fd, short what, void *arg) {
	(void)fd, (void)what;
	long times = n < 1000000 ? 1000000 : n;
	double arm = 0, memory = 0, cancel = 0;
	for (long pass = 0; pass < passes; pass++) {
		if (pass > 0)
			stop_all();
		arm += arm_all();
		if (pass == 0)
			memory = resident() - *(double *)arg;
	}
	double begin = cpu();
	rearm(times);
	double rearmed = cpu();
	rearm_any(times);
	double any = cpu();
	for (long pass = 0; pass < passes; pass++) {
		rearm(n);
		cancel += stop_all();
	}
	printf("{\"arm_ns\":%.1f,\"rearm_ns\":%.1f,\"rearm_any_ns\":%.1f,\"cancel_ns\":%.1f,\"bytes_per_timer\":%.0f,",
	       arm / n / passes, (rearmed - begin) / times, (any - rearmed) / times, cancel / n / passes, memory / n);
	next_pass();
}

int main(int argc, char **argv) {
	n = argc == 2 ? atol(argv[1]) : 0;
	if (n < 1) {
		fprintf(stderr, "usage: %s N\n", argv[0]);
		return 2;
	}
	passes = n < 200000 ? 200000 / n : 1;
	long all = passes;
	base = event_base_new();
	double before = resident();
	timers = calloc(n, sizeof *timers);
	struct timeval now = {0, 0};
	event_base_once(base, -1, EV_TIMEOUT, measure, &before, &now);
	event_base_loop(base, EVLOOP_ONCE);
	while (passes > 0)
		event_base_loop(base, EVLOOP_ONCE);
	printf("\"expire_ns\":%.1f,", expire / n / all);
	put_off = 1, expire = 0, passes = all;
	next_pass();
	while (passes > 0)
		event_base_loop(base, EVLOOP_ONCE);
	printf("\"put_off_ns\":%.1f}\n", expire / n / all);
	return 0;
}
