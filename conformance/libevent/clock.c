/*
 * A clock that goes only when it is told to, in place of the system's: libevent
 * asks for the time by these functions, and finds those of the program first.
 * So a scenario's timeouts take no time and come when they should.
 */
#include "scenario.h"

#include <sys/time.h>
#include <time.h>

static long long now_ms = 1000000;

void
clock_advance(long ms)
{
	now_ms += ms;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	ts->tv_sec = now_ms / 1000;
	ts->tv_nsec = now_ms % 1000 * 1000000;
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	(void)tz;
	tv->tv_sec = now_ms / 1000;
	tv->tv_usec = now_ms % 1000 * 1000;
	return 0;
}
