#include "lines.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *input; /* the last line read */
static size_t input_cap;
static char *line; /* the one whose words are taken */
static char *rest; /* its words that were not taken yet */
static unsigned long number;

unsigned script_bufs;

void
die(const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "line %lu: ", number);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void
reset(struct out *o)
{
	o->n = 0;
	if (o->p)
		o->p[0] = 0;
}

static void
room(struct out *o, size_t n)
{
	if (o->cap - o->n > n)
		return;
	o->cap = 2 * o->cap + n + 1024;
	if (!(o->p = realloc(o->p, o->cap)))
		die("out of memory");
}

void
put(struct out *o, const char *format, ...)
{
	va_list ap;
	int n;

	room(o, 256);
	va_start(ap, format);
	n = vsnprintf(o->p + o->n, o->cap - o->n, format, ap);
	va_end(ap);
	if ((size_t)n >= o->cap - o->n) {
		room(o, n);
		va_start(ap, format);
		vsnprintf(o->p + o->n, o->cap - o->n, format, ap);
		va_end(ap);
	}
	o->n += n;
}

void
put_quoted(struct out *o, const char *p, size_t n)
{
	size_t i;

	put(o, "\"");
	for (i = 0; i < n; i++) {
		unsigned char c = p[i];
		if (c == '\\' || c == '"')
			put(o, "\\%c", c);
		else if (c == '\n')
			put(o, "\\n");
		else if (c == '\r')
			put(o, "\\r");
		else if (c < ' ' || c > '~')
			put(o, "\\x%02x", c);
		else
			put(o, "%c", c);
	}
	put(o, "\"");
}

void
flush(struct out *o)
{
	if (fwrite(o->p, 1, o->n, stdout) != o->n || fflush(stdout) != 0)
		die("standard output is gone");
	reset(o);
}

int
next_line(void)
{
	ssize_t n;

	do {
		n = getline(&input, &input_cap, stdin);
		if (n <= 0)
			return 0;
		number++;
		if (input[n - 1] == '\n')
			input[n - 1] = 0;
		line = rest = input;
	} while (!more() || *rest == '#');
	return 1;
}

int
line_is(const char *s)
{
	return strcmp(line, s) == 0;
}

char *
current_line(void)
{
	return line;
}

struct parsing
parse(char *text)
{
	struct parsing outer = {line, rest};

	line = rest = text;
	return outer;
}

void
unparse(struct parsing outer)
{
	line = outer.line;
	rest = outer.rest;
}

int
more(void)
{
	while (*rest == ' ' || *rest == '\t')
		rest++;
	return *rest != 0;
}

const char *
word(void)
{
	char *w;

	if (!more())
		die("the line ends too soon: %s", line);
	w = rest;
	while (*rest && *rest != ' ' && *rest != '\t')
		rest++;
	if (*rest)
		*rest++ = 0;
	return w;
}

long
word_int(void)
{
	const char *w = word();
	char *end;
	long n = strtol(w, &end, 10);

	if (*end || end == w)
		die("%s is not a number", w);
	return n;
}

int
word_buf(void)
{
	const char *w = word();

	if (w[0] < 'a' || w[0] > 'd' || w[1])
		die("%s is not a buffer", w);
	script_bufs |= 1u << (w[0] - 'a');
	return w[0] - 'a';
}

static int
hex(int c)
{
	return isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* unquote reads a quoted string at rest. */
static size_t
unquote(char *to, size_t room)
{
	size_t n = 0;
	char c;

	for (rest++; (c = *rest) != '"'; rest++) {
		if (c == 0 || n == room)
			die("a string does not end, or is too long");
		if (c == '\\') {
			switch (c = *++rest) {
			case 'n':
				c = '\n';
				break;
			case 'r':
				c = '\r';
				break;
			case 'x':
				c = hex(rest[1]) << 4 | hex(rest[2]);
				rest += 2;
				break;
			}
		}
		to[n++] = c;
	}
	rest++;
	return n;
}

size_t
word_data(char *to, size_t room)
{
	unsigned long n, seed;
	const char *w;

	if (more() && *rest == '"')
		return unquote(to, room);
	w = word();
	if (sscanf(w, "%lu@%lu", &n, &seed) != 2 || n > room)
		die("%s is not data: N@SEED or \"text\"", w);
	pattern(to, n, seed);
	return n;
}

/* pattern fills in bytes of one of four kinds, with few different values, so
 * that searches and lines find something to do. */
void
pattern(char *to, size_t n, uint32_t seed)
{
	static const char *kinds[] = {
		"abababcdabcabca\n", "aaaaaaaaaaaaaab\r", "ab\r\n\r\n\r\nab\n\n\r\rc",
	};
	uint32_t x = seed * 2654435761u + 1;
	size_t i;

	for (i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		to[i] = seed % 4 == 3 ? (char)(x >> 8) : kinds[seed % 4][x >> 8 & 15];
	}
}

uint64_t
hash(const char *p, size_t n)
{
	uint64_t h = n * 0x9e3779b97f4a7c15u, w;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	w = 0;
	memcpy(&w, p, n);
	h = (h ^ w) * 0xff51afd7ed558ccdu;
	return h ^ h >> 29;
}
