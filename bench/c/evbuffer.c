/* The rows of bench/buffer, done by libevent's evbuffer. Reads lines "ROW N"
 * and answers each with the nanoseconds of CPU time that N repetitions took,
 * after a warm-up; "unknown" for a row that it does not have.
 *
 *   evbuffer TEXT     TEXT: a file of at least 1 MiB, for lines and searches */
#define _GNU_SOURCE
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OWNED 8192

static struct evbuffer *a, *b;
static char piece[65536], into[65536], *text;
static size_t text_len;
static volatile size_t sink;

static void released(const void *p, size_t n, void *arg) {
	(void)p, (void)arg;
	sink += n;
}

static void own(struct evbuffer *buf, const void *p, size_t n) {
	evbuffer_add_reference(buf, p, n, released, NULL);
}

static void append64_million(void) {
	for (int i = 0; i < 1000000; i++)
		evbuffer_add(a, piece, 64);
	evbuffer_drain(a, 64000000);
}

static void append64(void) {
	evbuffer_add(a, piece, 64);
	evbuffer_drain(a, 64);
}

static void append4k(void) {
	evbuffer_add(a, piece, 4096);
	evbuffer_drain(a, 4096);
}

static void owned(void) {
	own(a, piece, OWNED);
	evbuffer_drain(a, OWNED);
}

static void move4k(void) {
	evbuffer_add(a, piece, 4096);
	evbuffer_add_buffer(b, a);
	evbuffer_drain(b, 4096);
}

static void move16(void) {
	for (int i = 0; i < 16; i++)
		own(a, piece, OWNED);
	evbuffer_add_buffer(b, a);
	evbuffer_drain(b, 16 * OWNED);
}

static void lines(void) {
	for (size_t at = 0; at < text_len; at += 4096)
		evbuffer_add(a, text + at, text_len - at < 4096 ? text_len - at : 4096);
	char *line;
	while ((line = evbuffer_readln(a, NULL, EVBUFFER_EOL_LF)) != NULL)
		free(line);
	evbuffer_drain(a, evbuffer_get_length(a));
}

/* Searches work on what the set-up put there. */
static void fill(void) {
	for (size_t at = 0; at < text_len; at += 4096)
		own(a, text + at, text_len - at < 4096 ? text_len - at : 4096);
}

static void find_all(const char *what) {
	size_t len = strlen(what);
	struct evbuffer_ptr at;
	evbuffer_ptr_set(a, &at, 0, EVBUFFER_PTR_SET);
	for (;;) {
		at = evbuffer_search(a, what, len, &at);
		if (at.pos < 0)
			return;
		sink++;
		if (evbuffer_ptr_set(a, &at, 1, EVBUFFER_PTR_ADD) < 0)
			return;
	}
}

static void search_rare(void) { find_all("ErrAbortHandler"); }
static void search_frequent(void) { find_all("func "); }
static void search_one(void) { sink += evbuffer_search(a, "~Zanzibar~", 10, NULL).pos; }

static void fill_x(void) {
	for (int i = 0; i < 16; i++)
		own(a, piece, 4096);
}
static void search_absent(void) { sink += evbuffer_search(a, "abcd", 4, NULL).pos; }

static void pullup16(void) {
	for (int i = 0; i < 16; i++)
		own(a, piece, OWNED);
	sink += evbuffer_pullup(a, -1)[0];
	evbuffer_drain(a, 16 * OWNED);
}

static void pullup20(void) {
	own(a, piece, 10);
	own(a, piece, OWNED);
	sink += evbuffer_pullup(a, 20)[0];
	evbuffer_drain(a, 10 + OWNED);
}

static void read1k(void) {
	for (int i = 0; i < 256; i++)
		evbuffer_add(a, piece, 4096);
	while (evbuffer_remove(a, into, 1024) > 0)
		;
}

static struct evbuffer *many[1000];
static void fill_share(void) { evbuffer_add(a, piece, 4096); }
static void share(void) {
	for (int i = 0; i < 1000; i++)
		evbuffer_add_buffer_reference(many[i], a);
	for (int i = 0; i < 1000; i++)
		evbuffer_drain(many[i], 4096);
}

static void peek16(void) {
	struct evbuffer_iovec v[16];
	sink += evbuffer_peek(a, -1, NULL, v, 16);
	sink += v[15].iov_len;
}

static void reserve(void) {
	struct evbuffer_iovec v;
	evbuffer_reserve_space(a, 4096, &v, 1);
	v.iov_len = 100;
	evbuffer_commit_space(a, &v, 1);
	evbuffer_drain(a, 100);
}

static void print(void) {
	evbuffer_add_printf(a, "%d %s", 1234, "hello");
	evbuffer_drain(a, 10);
}

static const struct row {
	const char *name;
	void (*run)(void);
	void (*set_up)(void);
} rows[] = {
	{"append64_million", append64_million, NULL},
	{"append64", append64, NULL},
	{"append4k", append4k, NULL},
	{"owned", owned, NULL},
	{"move4k", move4k, NULL},
	{"move16", move16, NULL},
	{"lines", lines, NULL},
	{"search_rare", search_rare, fill},
	{"search_frequent", search_frequent, fill},
	{"search_one", search_one, fill},
	{"search_absent", search_absent, fill_x},
	{"pullup16", pullup16, NULL},
	{"pullup20", pullup20, NULL},
	{"read1k", read1k, NULL},
	{"share", share, fill_share},
	{"peek16", peek16, fill_x},
	{"reserve", reserve, NULL},
	{"printf", print, NULL},
};

static double cpu(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void measure(const struct row *r, long n) {
	if (r->set_up)
		r->set_up();
	for (long i = 0; i < n / 8 + 1; i++)
		r->run();
	double start = cpu();
	for (long i = 0; i < n; i++)
		r->run();
	printf("%.0f\n", cpu() - start);
	evbuffer_drain(a, evbuffer_get_length(a));
}

int main(int argc, char **argv) {
	FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
	text = malloc(4 << 20);
	if (f == NULL || (text_len = fread(text, 1, 4 << 20, f)) < 1 << 20) {
		fprintf(stderr, "usage: %s TEXT\n", argv[0]);
		return 2;
	}
	memset(piece, 'x', sizeof piece);
	a = evbuffer_new();
	b = evbuffer_new();
	for (int i = 0; i < 1000; i++)
		many[i] = evbuffer_new();
	char name[64];
	long n;
	while (scanf("%63s %ld", name, &n) == 2) {
		const struct row *r = rows, *end = rows + sizeof rows / sizeof *rows;
		while (r < end && strcmp(r->name, name) != 0)
			r++;
		if (r < end)
			measure(r, n);
		else
			puts("unknown");
		fflush(stdout);
	}
	return 0;
}
