/* The filters that scenarios use; scenario_filter_test.go has the same. */
#include "scenario.h"

#include <stdlib.h>
#include <string.h>

/* A kind of filter: at most 4096 bytes a call. in and out transform n bytes in
 * place or between two arrays, and return how many came of them. */
enum { CHUNK = 4096 };

/* What a filter remembers: how many bytes it has let through, and itself. */
struct memory {
	long in;
	struct bufferevent *self;
};

static size_t
room(ev_ssize_t limit, size_t have)
{
	size_t n = have < CHUNK ? have : CHUNK;

	if (limit >= 0 && (size_t)limit < n)
		n = limit;
	return n;
}

static enum bufferevent_filter_result
rotate(struct evbuffer *src, struct evbuffer *dst, ev_ssize_t limit, int by)
{
	char p[CHUNK];
	size_t i, n = room(limit, evbuffer_get_length(src));

	if (n == 0)
		return BEV_NEED_MORE;
	evbuffer_remove(src, p, n);
	for (i = 0; i < n; i++)
		p[i] += by;
	evbuffer_add(dst, p, n);
	return BEV_OK;
}

#define FILTER(name) \
	static enum bufferevent_filter_result \
	name(struct evbuffer *src, struct evbuffer *dst, ev_ssize_t limit, \
	    enum bufferevent_flush_mode mode, void *arg)

/* rot adds one to each byte. */
FILTER(rot_in)
{
	(void)mode, (void)arg;
	return rotate(src, dst, limit, -1);
}

FILTER(rot_out)
{
	(void)mode, (void)arg;
	return rotate(src, dst, limit, 1);
}

/* double sends each byte twice. */
FILTER(double_in)
{
	char p[CHUNK];
	size_t i, n;

	(void)mode, (void)arg;
	n = room(limit, evbuffer_get_length(src) / 2);
	if (n > CHUNK / 2)
		n = CHUNK / 2;
	if (n == 0)
		return BEV_NEED_MORE;
	evbuffer_remove(src, p, 2 * n);
	for (i = 0; i < n; i++)
		p[i] = p[2 * i];
	evbuffer_add(dst, p, n);
	return BEV_OK;
}

FILTER(double_out)
{
	char p[CHUNK];
	size_t i, n;

	(void)mode, (void)arg;
	n = room(limit < 0 ? limit : limit / 2, evbuffer_get_length(src));
	if (n > CHUNK / 2)
		n = CHUNK / 2;
	if (n == 0)
		return BEV_NEED_MORE;
	evbuffer_remove(src, p, n);
	for (i = n; i-- > 0;)
		p[2 * i] = p[2 * i + 1] = p[i];
	evbuffer_add(dst, p, 2 * n);
	return BEV_OK;
}

/* block passes on whole blocks of four bytes, and what is left when it is
 * flushed. */
FILTER(block)
{
	char p[CHUNK];
	size_t n = room(limit, evbuffer_get_length(src));

	(void)arg;
	if (mode == BEV_NORMAL)
		n -= n % 4;
	if (n == 0)
		return BEV_NEED_MORE;
	evbuffer_remove(src, p, n);
	evbuffer_add(dst, p, n);
	return BEV_OK;
}

/* quad is block that keeps the rest for ever. */
FILTER(quad)
{
	(void)mode;
	return block(src, dst, limit, BEV_NORMAL, arg);
}

/* slow takes at most eight bytes a call. */
FILTER(slow)
{
	(void)mode, (void)arg;
	return rotate(src, dst, limit < 0 || limit > 8 ? 8 : limit, 0);
}

/* header puts 20 bytes before each piece that it sends, and takes them for
 * what they are not on the other side: a filter that only adds. */
FILTER(header_out)
{
	size_t n = room(-1, evbuffer_get_length(src));
	char p[CHUNK + 20];

	(void)limit, (void)mode, (void)arg;
	if (n == 0)
		return BEV_NEED_MORE;
	memset(p, 'H', 20);
	evbuffer_remove(src, p + 20, n);
	evbuffer_add(dst, p, n + 20);
	return BEV_OK;
}

/* fail lets ten bytes come in, then it fails. */
FILTER(fail_in)
{
	struct memory *m = arg;
	char p[10];
	size_t n = room(limit, evbuffer_get_length(src));

	(void)mode;
	if (m->in == 10)
		return BEV_ERROR;
	if (n > (size_t)(10 - m->in))
		n = 10 - m->in;
	if (n == 0)
		return BEV_NEED_MORE;
	evbuffer_remove(src, p, n);
	evbuffer_add(dst, p, n);
	m->in += n;
	return BEV_OK;
}

FILTER(fail_out)
{
	(void)src, (void)dst, (void)limit, (void)mode, (void)arg;
	return BEV_ERROR;
}

/* reenter writes to its own connection while it runs, once. */
FILTER(reenter_out)
{
	struct memory *m = arg;
	enum bufferevent_filter_result r = rot_out(src, dst, limit, mode, arg);

	if (m->self) {
		struct bufferevent *bev = m->self;
		m->self = NULL;
		bufferevent_write(bev, "-", 1);
	}
	return r;
}

static const struct {
	const char *name;
	bufferevent_filter_cb in, out;
} kinds[] = {
	{"null", NULL, NULL},
	{"rot", rot_in, rot_out},
	{"double", double_in, double_out},
	{"block", block, block},
	{"quad", quad, quad},
	{"slow", slow, slow},
	{"header", NULL, header_out},
	{"reenter", rot_in, reenter_out},
	{"failin", fail_in, NULL},
	{"failout", NULL, fail_out},
};

struct bufferevent *
filter_over(struct bufferevent *under, const char *kind, int options)
{
	struct memory *m = calloc(1, sizeof *m);
	size_t i;

	for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].name, kind) == 0)
			return m->self = bufferevent_filter_new(under,
			    kinds[i].in, kinds[i].out, options, free, m);
	die("no filter of kind %s", kind);
}
