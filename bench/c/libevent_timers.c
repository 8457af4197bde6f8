/* What libevent's timers cost, measured as ../timers measures Go's.
 *
 *   libevent_timers N     prints one line of JSON */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long n, left;
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

static void fired(evutil_socket_t fd, short what, void *arg) {
	(void)fd, (void)what, (void)arg;
	left--;
}

/* Somewhere in so many seconds from then on, to the microsecond, in no order. */
static void arm_all(int from, int seconds) {
	unsigned x = 1;
	for (long i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		struct timeval after = {from + (x >> 8) % seconds, (x >> 4) % 1000000};
		event_add(timers[i], &after);
	}
}

/* Each in its turn to the same time from now, which goes on by a microsecond:
 * what idle timeouts of busy connections do. */
static void rearm(long times) {
	for (long i = 0; i < times; i++) {
		struct timeval after = {60 + i / 1000000, i % 1000000};
		event_add(timers[i % n], &after);
	}
}

/* All inside a callback, as programs do it: libevent then has the time. */
static void measure(evutil_socket_t fd, short what, void *arg) {
	(void)fd, (void)what, (void)arg;
	long times = n < 1000000 ? 1000000 : n;
	double start = cpu();
	arm_all(60, 60);
	double armed = cpu();
	double memory = resident() - *(double *)arg;
	rearm(times);
	double rearmed = cpu();
	for (long i = 0; i < n; i++)
		event_del(timers[i]);
	double cancelled = cpu();
	printf("{\"arm_ns\":%.1f,\"rearm_ns\":%.1f,\"cancel_ns\":%.1f,\"bytes_per_timer\":%.0f,", (armed - start) / n,
	       (rearmed - armed) / times, (cancelled - rearmed) / n, memory / n);
	left = n;
	arm_all(0, 1);
	sleep(1); /* all are due when the loop looks */
}

int main(int argc, char **argv) {
	n = argc == 2 ? atol(argv[1]) : 0;
	if (n < 1) {
		fprintf(stderr, "usage: %s N\n", argv[0]);
		return 2;
	}
	base = event_base_new();
	double before = resident();
	timers = calloc(n, sizeof *timers);
	for (long i = 0; i < n; i++)
		timers[i] = evtimer_new(base, fired, NULL);
	struct timeval now = {0, 0};
	event_base_once(base, -1, EV_TIMEOUT, measure, &before, &now);
	event_base_loop(base, EVLOOP_ONCE);
	double start = cpu();
	while (left > 0)
		event_base_loop(base, EVLOOP_ONCE);
	printf("\"expire_ns\":%.1f}\n", (cpu() - start) / n);
	return 0;
}
