// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches BPF programs to functions, and says what they read.
 *
 *	trace HOW READS MODULE FUNCTION:SLOTS...
 *	trace read
 *
 * HOW is fentry, fexit, fmod-ret or kprobe-multi, and READS helper or context.
 * A FUNCTION is a number in the BTF of MODULE or, for kprobe-multi, a name.  A
 * program keeps so many SLOTS of its function's arguments, of the last CALLS
 * calls.  For each function there is a line: "ok", or the step that was
 * refused, the error, and the kernel's own words.  "trace read" has a line for
 * each call, the oldest of a function first: the position of the function in
 * the arguments, from 0, the time in nanoseconds, the CPU, the process, and the
 * slots in hexadecimal.  All ends when the files in FOLDER are removed.
 */
#include "../drive/program.h"

#define FOLDER		"/sys/fs/bpf/jp/"
#define MAP		FOLDER "map"

enum {
	SYS_close = 57,
	SYS_write = 64,
	SYS_exit_group = 94,
	SYS_bpf = 280,
};

/* As in include/uapi/linux/bpf.h. */
enum {
	BPF_MAP_CREATE = 0,
	BPF_MAP_LOOKUP_ELEM = 1,
	BPF_PROG_LOAD = 5,
	BPF_OBJ_PIN = 6,
	BPF_OBJ_GET = 7,
	BPF_OBJ_GET_INFO_BY_FD = 15,
	BPF_RAW_TRACEPOINT_OPEN = 17,
	BPF_BTF_GET_FD_BY_ID = 19,
	BPF_BTF_GET_NEXT_ID = 23,
	BPF_LINK_CREATE = 28,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_PROG_TYPE_KPROBE = 2,
	BPF_PROG_TYPE_TRACING = 26,
	BPF_TRACE_FENTRY = 24,
	BPF_TRACE_FEXIT = 25,
	BPF_MODIFY_RETURN = 26,
	BPF_TRACE_KPROBE_MULTI = 42,
	BPF_LOG_STATS = 4,
	BPF_ADD_FETCH = 1,
	BPF_FUNC_map_lookup_elem = 1,
	BPF_FUNC_ktime_get_ns = 5,
	BPF_FUNC_get_smp_processor_id = 8,
	BPF_FUNC_get_current_pid_tgid = 14,
	BPF_FUNC_get_func_arg = 183,
};

#define NAME_SIZE	64
#define SLOTS_MAX	24
/* A power of two. */
#define CALLS		256
#define LOG_SIZE	65536
#define WORD		8

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

struct traced {
	u64 time, cpu, task;
	u64 slots[SLOTS_MAX];
};

/* What is kept of a function. */
struct kept {
	u64 runs;
	struct traced calls[CALLS];
};

struct insn {
	u8 code;
	u8 registers;
	short offset;
	int value;
};

struct btf_info {
	u64 btf;
	u32 size, id;
	u64 name;
	u32 name_size, kernel;
};

union attr {
	struct {
		u32 type, key_size, value_size, entries;
	} map;
	struct {
		u32 fd, unused;
		u64 key, value, flags;
	} element;
	struct {
		u64 path;
		u32 fd, flags;
	} object;
	struct {
		u32 start, next, flags;
	} id;
	struct {
		u32 fd, size;
		u64 info;
	} of;
	struct {
		u32 type, count;
		u64 instructions, license;
		u32 log_level, log_size;
		u64 log;
		u32 version, flags;
		char name[16];
		u32 device, attach_type, btf_fd, func_size;
		u64 funcs;
		u32 func_count, line_size;
		u64 lines;
		u32 line_count, attach_id, attach_btf_fd;
	} load;
	struct {
		u64 name;
		u32 program;
	} open;
	struct {
		u32 program, target, attach_type, flags;
		u32 multi_flags, count;
		u64 symbols, addresses, cookies;
	} link;
	char room[152];
};

static const struct how {
	const char *name;
	u32 type, attach_type;
} hows[] = {
	{ "fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY },
	{ "fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT },
	{ "fmod-ret", BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN },
	{ "kprobe-multi", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI },
};

static char words[LOG_SIZE];

static long bpf(int command, union attr *attr)
{
	return call(SYS_bpf, command, (long)attr, sizeof(*attr), 0, 0, 0);
}

static void say(const char *text)
{
	CALL(write, 1, text, length(text));
}

static char *written(u64 number, u32 base, char *end)
{
	static const char digits[] = "0123456789abcdef";

	*--end = 0;
	do {
		end--;
		*end = digits[number % base];
		number /= base;
	} while (number);
	return end;
}

static void say_number(u64 number, u32 base)
{
	char text[24];

	say(written(number, base, text + sizeof(text)));
}

static int same(const char *one, const char *other)
{
	while (*one && *one == *other) {
		one++;
		other++;
	}
	return *one == *other;
}

/* Returns the number before a character or the end. */
static u64 number(const char *text, char until)
{
	u64 found = 0;

	while (*text && *text != until)
		found = 10 * found + *text++ - '0';
	return found;
}

/* Ends the text at a character, and returns what is behind it. */
static char *split(char *text, char at)
{
	while (*text && *text != at)
		text++;
	if (*text)
		*text++ = 0;
	return text;
}

/* Returns the BTF of a module, or an error. */
static long find_btf(const char *module)
{
	char name[NAME_SIZE];
	u32 id = 0;

	for (;;) {
		struct btf_info info = { .name = (u64)name, .name_size = NAME_SIZE };
		union attr attr = { .id.start = id };
		long fd = bpf(BPF_BTF_GET_NEXT_ID, &attr);

		if (fd < 0)
			return fd;
		id = attr.id.next;
		attr = (union attr){ .id.start = id };
		fd = bpf(BPF_BTF_GET_FD_BY_ID, &attr);
		if (fd < 0)
			continue;
		attr = (union attr){
			.of = { fd, sizeof(info), (u64)&info },
		};
		if (!bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) && same(name, module))
			return fd;
	}
}

static struct insn *put(struct insn *at, u8 code, u8 to, u8 from, short offset,
			int value)
{
	*at = (struct insn){ code, to | from << 4, offset, value };
	return at + 1;
}

#define MOVE(to, from)		put(at, 0xbf, to, from, 0, 0)
#define SET(to, value)		put(at, 0xb7, to, 0, 0, value)
#define ADD(to, value)		put(at, 0x07, to, 0, 0, value)
#define LOAD(to, from, offset)	put(at, 0x79, to, from, offset, 0)
#define STORE(to, offset, from)	put(at, 0x7b, to, from, offset, 0)
#define CALL_HELPER(name)	put(at, 0x85, 0, 0, 0, BPF_FUNC_##name)

#define OFFSET(field)		__builtin_offsetof(struct traced, field)

/*
 * Writes a program that keeps the slots in an element of the map.  r6 has the
 * context, r7 the element, and then the place in it.
 */
static u32 write_program(struct insn *first, int map, u32 index, u32 slots,
			 int by_helper)
{
	struct insn *at = first, *without;
	u32 i;

	at = MOVE(6, 1);
	at = put(at, 0x62, 10, 0, -4, index);
	at = MOVE(2, 10);
	at = ADD(2, -4);
	/* Of two words: the address of the map. */
	at = put(at, 0x18, 1, 1, 0, map);
	at = put(at, 0, 0, 0, 0, 0);
	at = CALL_HELPER(map_lookup_elem);
	without = at;
	at = put(at, 0x15, 0, 0, 0, 0);
	at = MOVE(7, 0);
	/* r8 = runs++, which several CPUs may do at once */
	at = SET(8, 1);
	at = put(at, 0xdb, 7, 8, 0, BPF_ADD_FETCH);
	/* r8 &= CALLS - 1; r8 *= size; r7 += sizeof(runs) + r8 */
	at = put(at, 0x57, 8, 0, 0, CALLS - 1);
	at = put(at, 0x27, 8, 0, 0, sizeof(struct traced));
	at = put(at, 0x0f, 7, 8, 0, 0);
	at = ADD(7, WORD);
	at = CALL_HELPER(ktime_get_ns);
	at = STORE(7, OFFSET(time), 0);
	at = CALL_HELPER(get_smp_processor_id);
	at = STORE(7, OFFSET(cpu), 0);
	at = CALL_HELPER(get_current_pid_tgid);
	at = STORE(7, OFFSET(task), 0);
	for (i = 0; i < slots; i++) {
		if (by_helper) {
			at = MOVE(1, 6);
			at = SET(2, i);
			at = MOVE(3, 10);
			at = ADD(3, -16);
			at = CALL_HELPER(get_func_arg);
			at = LOAD(1, 10, -16);
		} else {
			at = LOAD(1, 6, WORD * i);
		}
		at = STORE(7, OFFSET(slots) + WORD * i, 1);
	}
	without->offset = at - without - 1;
	at = SET(0, 0);
	at = put(at, 0x95, 0, 0, 0, 0);
	return at - first;
}

static void refused(const char *step, long err)
{
	say(step);
	say(" ");
	say_number(-err, 10);
	say(" ");
	split(words, '\n');
	say(words);
	say("\n");
}

static long make_map(u32 entries)
{
	union attr attr = { .map = {
		.type = BPF_MAP_TYPE_ARRAY,
		.key_size = sizeof(u32),
		.value_size = sizeof(struct kept),
		.entries = entries,
	} };
	long map = bpf(BPF_MAP_CREATE, &attr);

	if (map < 0)
		return map;
	attr = (union attr){ .object = { (u64)MAP, map, 0 } };
	return bpf(BPF_OBJ_PIN, &attr) ?: map;
}

static long load(const struct how *how, struct insn *program, u32 count,
		 long btf, const char *function)
{
	union attr attr = { .load = {
		.type = how->type,
		.count = count,
		.instructions = (u64)program,
		.license = (u64)"GPL",
		.log_level = BPF_LOG_STATS,
		.log_size = sizeof(words),
		.log = (u64)words,
		.attach_type = how->attach_type,
	} };

	words[0] = 0;
	if (how->type == BPF_PROG_TYPE_TRACING) {
		attr.load.attach_id = number(function, 0);
		attr.load.attach_btf_fd = btf;
	}
	return bpf(BPF_PROG_LOAD, &attr);
}

static long attach(const struct how *how, long program, const char *function)
{
	union attr attr = {};

	words[0] = 0;
	if (how->type == BPF_PROG_TYPE_TRACING) {
		attr.open.program = program;
		return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
	}
	attr.link.program = program;
	attr.link.attach_type = how->attach_type;
	attr.link.count = 1;
	attr.link.symbols = (u64)&function;
	return bpf(BPF_LINK_CREATE, &attr);
}

static long pin(long link, u32 index)
{
	char path[64] = FOLDER, digits[24];
	const char *name = written(index, 10, digits + sizeof(digits));
	union attr attr = { .object = { (u64)path, link, 0 } };

	memcpy(path + length(FOLDER), name, length(name) + 1);
	return bpf(BPF_OBJ_PIN, &attr);
}

static void trace(const struct how *how, int by_helper, long btf, long map,
		  u32 index, char *function)
{
	static struct insn program[48 + 8 * SLOTS_MAX];
	u64 slots = number(split(function, ':'), 0);
	long fd, link, err;
	u32 count;

	if (slots > SLOTS_MAX)
		slots = SLOTS_MAX;
	count = write_program(program, map, index, slots, by_helper);
	fd = load(how, program, count, btf, function);
	if (fd < 0)
		return refused("load", fd);
	link = attach(how, fd, function);
	CALL(close, fd, 0, 0);
	if (link < 0)
		return refused("attach", link);
	err = pin(link, index);
	CALL(close, link, 0, 0);
	if (err)
		return refused("pin", err);
	say("ok\n");
}

static long trace_all(long count, char **arguments)
{
	const struct how *how = hows;
	long btf = 0, map, at;

	while (how < hows + sizeof(hows) / sizeof(*hows) &&
	       !same(how->name, arguments[0]))
		how++;
	if (how == hows + sizeof(hows) / sizeof(*hows))
		return 2;
	map = make_map(count - 3);
	if (map < 0) {
		refused("map", map);
		return 1;
	}
	if (how->type == BPF_PROG_TYPE_TRACING)
		btf = find_btf(arguments[2]);
	for (at = 3; at < count; at++) {
		if (btf < 0)
			refused("btf", btf);
		else
			trace(how, same(arguments[1], "helper"), btf, map,
			      at - 3, arguments[at]);
	}
	return 0;
}

static void say_call(u32 index, const struct traced *traced)
{
	u32 i;

	say_number(index, 10);
	say(" ");
	say_number(traced->time, 10);
	say(" ");
	say_number(traced->cpu, 10);
	say(" ");
	/* The lower half is the thread, which the kernel calls the process. */
	say_number((u32)traced->task, 10);
	for (i = 0; i < SLOTS_MAX; i++) {
		say(" ");
		say_number(traced->slots[i], 16);
	}
	say("\n");
}

static long read_all(void)
{
	union attr attr = { .object.path = (u64)MAP };
	long map = bpf(BPF_OBJ_GET, &attr);
	static struct kept kept;
	u32 index;
	u64 call;

	if (map < 0) {
		refused("map", map);
		return 1;
	}
	for (index = 0;; index++) {
		attr = (union attr){ .element = { map, 0, (u64)&index,
						  (u64)&kept } };
		if (bpf(BPF_MAP_LOOKUP_ELEM, &attr))
			return 0;
		call = kept.runs > CALLS ? kept.runs - CALLS : 0;
		for (; call < kept.runs; call++)
			say_call(index, &kept.calls[call % CALLS]);
	}
}

void begin_at(long *stack)
{
	char **arguments = (char **)(stack + 2);
	long status = 2;

	if (stack[0] == 2 && same(arguments[0], "read"))
		status = read_all();
	else if (stack[0] > 4)
		status = trace_all(stack[0] - 1, arguments);
	CALL(exit_group, status, 0, 0);
	__builtin_unreachable();
}
