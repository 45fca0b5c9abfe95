// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a system call that leads to a function of the kernel's own, and says
 * what came of it.
 *
 * probe-targets runs it; see kernel-modules/probe-targets/real.c.  It has no C
 * library, so that it needs nothing of the machine that it is compiled on.
 */
#include "program.h"

#define DRIVEN		"/sys/kernel/debug/jprobe-harness/driven"
#define PANIC_ON_OOPS	"/proc/sys/kernel/panic_on_oops"

/* As in include/uapi/asm-generic/unistd.h. */
enum {
	SYS_ioctl = 29,
	SYS_mkdirat = 34,
	SYS_unlinkat = 35,
	SYS_mount = 40,
	SYS_openat = 56,
	SYS_close = 57,
	SYS_lseek = 62,
	SYS_read = 63,
	SYS_write = 64,
	SYS_fstat = 80,
	SYS_utimensat = 88,
	SYS_exit_group = 94,
	SYS_nanosleep = 101,
	SYS_sched_setaffinity = 122,
	SYS_socket = 198,
	SYS_bind = 200,
	SYS_listen = 201,
	SYS_connect = 203,
	SYS_getsockname = 204,
	SYS_sendto = 206,
	SYS_recvfrom = 207,
	SYS_setsockopt = 208,
	SYS_mmap = 222,
};

#define AT_FDCWD	-100
#define AT_REMOVEDIR	0x200
#define O_RDONLY	0
#define O_WRONLY	1
#define O_CREAT		0100
#define O_NONBLOCK	04000
#define SEEK_SET	0
#define SEEK_END	2
#define AF_INET		2
#define AF_NETLINK	16
#define SOCK_STREAM	1
#define SOCK_DGRAM	2
#define SOL_SOCKET	1
#define SO_RCVTIMEO	20
#define SO_ATTACH_FILTER	26
#define MSG_MORE	0x8000
#define PROT_READ	1
#define PROT_WRITE	2
#define MAP_PRIVATE	2
#define MAP_ANONYMOUS	0x20
#define SIOCGIFFLAGS	0x8913
#define SIOCSIFFLAGS	0x8914
#define IFF_UP		1
#define LOOPBACK	0x0100007f	/* 127.0.0.1 */
#define BPF_RET_K	0x06
#define RTM_NEWLINK	16
#define RTM_GETLINK	18
#define RTM_NEWROUTE	24
#define RTM_GETROUTE	26
#define NLM_F_REQUEST	1
#define RTA_DST		1
#define IFLA_EVENT	44
#define SEQ		0x1234
/* How long what was sent over the loopback may be on its way. */
#define WAIT_SEC	5
/* How often, and how many times, to look for memory that is to be freed. */
#define NAP_NSEC	2000000
#define NAPS		500
#define PAGE		4096

struct address {
	unsigned short family, port;
	unsigned int address, zero[2];
};

struct netlink {
	unsigned int len;
	unsigned short type, flags;
	unsigned int seq, pid;
};

struct attribute {
	unsigned short len, type;
};

struct filter {
	unsigned short code;
	unsigned char jt, jf;
	unsigned int k;
};

struct program {
	unsigned short len;
	const struct filter *filter;
};

static char text[2][1 << 18];
static int driven;

static int begins(const char *string, const char *with)
{
	while (*with && *string == *with) {
		string++;
		with++;
	}
	return !*with;
}

static int open(const char *path, int flags)
{
	return call(SYS_openat, AT_FDCWD, (long)path, flags, 0600, 0, 0);
}

/* What the task does next counts. */
static void begin(void)
{
	CALL(write, driven, ".", 1);
}

static int find(const char *what)
{
	CALL(write, driven, what, length(what));
	return 0;
}

/* Reads from the beginning; returns the bytes, behind which there is a 0. */
static unsigned long read_all(int file, char *to)
{
	unsigned long size = 0;
	long got;

	CALL(lseek, file, 0, SEEK_SET);
	do {
		got = CALL(read, file, to + size, sizeof(text[0]) - size - 1);
		size += got > 0 ? got : 0;
	} while (got > 0);
	to[size] = 0;
	return size;
}

static int count(const char *where, const char *word)
{
	int found = 0;

	for (; *where; where++)
		found += begins(where, word);
	return found;
}

static void bring_up_loopback(void)
{
	int family = CALL(socket, AF_INET, SOCK_DGRAM, 0);
	struct {
		char name[16];
		short flags;
		char rest[22];
	} request = { .name = "lo" };

	CALL(ioctl, family, SIOCGIFFLAGS, &request);
	request.flags |= IFF_UP;
	CALL(ioctl, family, SIOCSIFFLAGS, &request);
}

/* Returns a socket that is bound to a port of the loopback, and the address. */
static int bound(int type, struct address *address)
{
	static const long wait[] = { WAIT_SEC, 0 };
	int bound = CALL(socket, AF_INET, type, 0);
	int size = sizeof(*address);

	bring_up_loopback();
	*address = (struct address){ .family = AF_INET, .address = LOOPBACK };
	CALL(bind, bound, address, size);
	CALL(getsockname, bound, address, &size);
	call(SYS_setsockopt, bound, SOL_SOCKET, SO_RCVTIMEO, (long)wait,
	     sizeof(wait), 0);
	return bound;
}

static long receive(int from, void *to, unsigned long size)
{
	return call(SYS_recvfrom, from, (long)to, size, 0, 0, 0);
}

static void send(int from, const char *what, int flags, struct address *to)
{
	call(SYS_sendto, from, (long)what, length(what), flags, (long)to,
	     sizeof(*to));
}

static int udp(void)
{
	struct address address;
	int to = bound(SOCK_DGRAM, &address);
	int from = CALL(socket, AF_INET, SOCK_DGRAM, 0);

	begin();
	send(from, "0123", 0, &address);
	/* What was sent later comes later. */
	send(from, "later", 0, &address);
	return find(receive(to, text[0], 8) == 4 ? "arrived" : "lost");
}

static int udp_oops(void)
{
	int file = open(PANIC_ON_OOPS, O_WRONLY);
	int status;

	CALL(write, file, "0", 1);
	status = udp();
	CALL(write, file, "1", 1);
	return status;
}

static int udp_more(void)
{
	struct address address;
	int to = bound(SOCK_DGRAM, &address);
	int from = CALL(socket, AF_INET, SOCK_DGRAM, 0);

	begin();
	send(from, "01", MSG_MORE, &address);
	send(from, "23", 0, &address);
	return find(receive(to, text[0], 8) == 4 ? "whole" : "half");
}

static int tcp(void)
{
	struct address address;
	int to = bound(SOCK_STREAM, &address);
	int from = CALL(socket, AF_INET, SOCK_STREAM, 0);

	CALL(listen, to, 1, 0);
	begin();
	return find(CALL(connect, from, &address, sizeof(address)) ?
		    "refused" : "connected");
}

/* Reads a file of which each read is the same. */
static int read_twice(const char *path)
{
	int file = open(path, O_RDONLY);
	unsigned long size = read_all(file, text[0]), at;

	CALL(lseek, file, 0, SEEK_SET);
	begin();
	if (!size || CALL(read, file, text[1], PAGE) != (long)size)
		return find("another");
	for (at = 0; at < size; at++)
		if (text[0][at] != text[1][at])
			return find("another");
	return find("the same");
}

/* Has the kernel print its log level. */
static int sysrq(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	int trigger = open("/proc/sysrq-trigger", O_WRONLY);
	char level[] = "Loglevel set to ?\n";

	read_all(open("/proc/sys/kernel/printk", O_RDONLY), text[0]);
	level[sizeof(level) - 3] = text[0][0];
	CALL(lseek, log, 0, SEEK_END);
	begin();
	CALL(write, trigger, text[0], 1);
	find("garbled");
	while (CALL(read, log, memset(text[1], 0, PAGE), PAGE - 1) > 0)
		if (count(text[1], level))
			find("logged");
	return 0;
}

/*
 * Returns how many areas have no name for who asked for them, as that is no
 * address of the kernel's.  What is at one may have been freed, as a module's
 * init is.  A read may miss some where others are freed meanwhile.
 */
static int nameless(int file)
{
	int tries, found, most = 0;

	for (tries = 0; tries < 3; tries++) {
		read_all(file, text[0]);
		found = count(text[0], " 0x") - count(text[0], " 0xffff");
		most = found > most ? found : most;
	}
	return most;
}

/*
 * Waits until there are none: that of a task which has ended is freed some time
 * later, and at once the next one may have its address.
 */
static int settled(int file)
{
	static const long nap[] = { 0, NAP_NSEC };
	int found = nameless(file), naps;

	for (naps = 0; found && naps < NAPS; naps++) {
		CALL(nanosleep, nap, 0, 0);
		found = nameless(file);
	}
	return found;
}

/* Has the kernel allocate memory of which it notes who asked for it. */
static int filter(void)
{
	static const struct filter pass = { .code = BPF_RET_K, .k = -1 };
	static const struct program program = { 1, &pass };
	int file = open("/proc/vmallocinfo", O_RDONLY);
	int to = CALL(socket, AF_INET, SOCK_DGRAM, 0);
	int before = settled(file);
	long err;

	begin();
	err = call(SYS_setsockopt, to, SOL_SOCKET, SO_ATTACH_FILTER,
		   (long)&program, sizeof(program), 0);
	find("nothing");
	if (nameless(file) > before)
		return find("nameless");
	return find(err ? "nothing" : "named");
}

/* Sends a request to rtnetlink; returns the answer, or NULL for another one. */
static const struct netlink *ask(int type, const void *body, unsigned long size,
				 int answer)
{
	struct {
		struct netlink head;
		char body[64];
	} request = {
		.head.len = sizeof(request.head) + size,
		.head.type = type,
		.head.flags = NLM_F_REQUEST,
		.head.seq = SEQ,
	};
	int to = CALL(socket, AF_NETLINK, SOCK_DGRAM, 0);
	const struct netlink *got = (const void *)text[0];

	memcpy(request.body, body, size);
	bring_up_loopback();
	begin();
	call(SYS_sendto, to, (long)&request, request.head.len, 0, 0, 0);
	if (receive(to, text[0], sizeof(text[0])) < (long)sizeof(*got))
		return 0;
	return got->type == answer ? got : 0;
}

static int route(void)
{
	/* A struct rtmsg, and the address. */
	const struct {
		unsigned char family, dst_len, rest[10];
		struct attribute attribute;
		unsigned int address;
	} body = { AF_INET, 32, { 0 }, { 8, RTA_DST }, LOOPBACK };
	const struct netlink *got = ask(RTM_GETROUTE, &body, sizeof(body),
					RTM_NEWROUTE);

	return find(got && got->seq == SEQ ? "the answer" : "another's");
}

static int link(void)
{
	/* A struct ifinfomsg, of the loopback. */
	const int body[4] = { 0, 1 };
	const struct netlink *got = ask(RTM_GETLINK, body, sizeof(body),
					RTM_NEWLINK);
	const char *at = text[0] + sizeof(*got) + sizeof(body);
	const struct attribute *attribute;

	if (!got)
		return find("nothing");
	for (; at < text[0] + got->len; at += (attribute->len + 3) & ~3) {
		attribute = (const void *)at;
		if (attribute->type == IFLA_EVENT)
			return find("an event");
	}
	return find("the link");
}

static int open_file(void)
{
	begin();
	return find(open("/proc/version", O_RDONLY) < 0 ? "nothing" : "a file");
}

static int make_cgroup(void)
{
	static const char mount[] = "/cgroup", group[] = "/cgroup/driven";
	int err;

	CALL(mkdirat, AT_FDCWD, mount, 0700);
	call(SYS_mount, (long)"none", (long)mount, (long)"cgroup2", 0, 0, 0);
	begin();
	err = CALL(mkdirat, AT_FDCWD, group, 0700);
	CALL(unlinkat, AT_FDCWD, group, AT_REMOVEDIR);
	return find(err ? "nothing" : "a group");
}

static int map(void)
{
	int file = open("/proc/version", O_RDONLY);
	long at;

	begin();
	at = call(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return find(CALL(read, file, at, 1) == 1 ? "memory" : "nothing");
}

/* Gives a file the time of its last access. */
static int set_time(void)
{
	const long times[2][2] = { { 0x1234567, 89 }, { 0x2345678, 90 } };
	/* struct stat, in which the time of the last access is at 72. */
	long found[16];

	CALL(close, open("/time", O_WRONLY | O_CREAT), 0, 0);
	begin();
	call(SYS_utimensat, AT_FDCWD, (long)"/time", (long)times, 0, 0, 0);
	CALL(fstat, open("/time", O_RDONLY), found, 0);
	return find(found[9] == times[0][0] && found[10] == times[0][1] ?
		    "the time" : "another");
}

static const struct {
	const char *name;
	int (*run)(void);
} actions[] = {
	{ "udp", udp },
	{ "udp-oops", udp_oops },
	{ "udp-more", udp_more },
	{ "tcp", tcp },
	{ "sysrq", sysrq },
	{ "filter", filter },
	{ "route", route },
	{ "link", link },
	{ "open", open_file },
	{ "cgroup", make_cgroup },
	{ "mmap", map },
	{ "set-time", set_time },
};

static int drive(const char *action)
{
	static const unsigned long first_cpu = 1;
	unsigned long at;

	/* On two CPUs, what was sent first may arrive last. */
	CALL(sched_setaffinity, 0, sizeof(first_cpu), &first_cpu);
	driven = open(DRIVEN, O_WRONLY);
	if (driven < 0)
		return 1;
	if (begins(action, "read:"))
		return read_twice(action + length("read:"));
	for (at = 0; at < sizeof(actions) / sizeof(*actions); at++)
		if (begins(action, actions[at].name) &&
		    length(action) == length(actions[at].name))
			return actions[at].run();
	return 2;
}

/* The stack has the number of arguments, and then these. */
void begin_at(long *stack)
{
	CALL(exit_group, stack[0] > 1 ? drive((char *)stack[2]) : 2, 0, 0);
	__builtin_unreachable();
}
