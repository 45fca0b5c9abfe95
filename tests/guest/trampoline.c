// SPDX-License-Identifier: GPL-2.0-only
/*
 * Attaches an empty BPF program to a function of a module, at its entry or exit:
 *
 *	trampoline entry|exit MODULE ID
 *
 * The ID is that of the function in the module's BTF.  Prints "attached", or at
 * which step it was refused and the error, and then waits to be killed.
 */
enum {
	SYS_write = 64,
	SYS_exit_group = 94,
	SYS_ppoll = 73,
	SYS_bpf = 280,
};

/* As in include/uapi/linux/bpf.h. */
enum {
	BPF_PROG_LOAD = 5,
	BPF_OBJ_GET_INFO_BY_FD = 15,
	BPF_RAW_TRACEPOINT_OPEN = 17,
	BPF_BTF_GET_FD_BY_ID = 19,
	BPF_BTF_GET_NEXT_ID = 23,
	BPF_PROG_TYPE_TRACING = 26,
	BPF_TRACE_FENTRY = 24,
	BPF_TRACE_FEXIT = 25,
};

#define NAME_SIZE	64

typedef unsigned int u32;
typedef unsigned long u64;

struct info {
	u64 btf;
	u32 size, id;
	u64 name;
	u32 name_size, kernel;
};

union attr {
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
	char room[128];
};

void *memset(void *to, int byte, u64 size)
{
	char *at = to;

	while (size--)
		*at++ = byte;
	return to;
}

static long call(long number, long a, long b, long c, long d, long e)
{
	register long x8 asm("x8") = number;
	register long x0 asm("x0") = a;
	register long x1 asm("x1") = b;
	register long x2 asm("x2") = c;
	register long x3 asm("x3") = d;
	register long x4 asm("x4") = e;

	asm volatile("svc	#0"
		     : "+r" (x0)
		     : "r" (x8), "r" (x1), "r" (x2), "r" (x3), "r" (x4)
		     : "memory");
	return x0;
}

static long bpf(int command, union attr *attr)
{
	return call(SYS_bpf, command, (long)attr, sizeof(*attr), 0, 0);
}

static void say(const char *text)
{
	u64 size = 0;

	while (text[size])
		size++;
	call(SYS_write, 1, (long)text, size, 0, 0);
}

static void say_number(long number)
{
	char text[24], *at = text + sizeof(text);

	*--at = 0;
	do
		*--at = '0' + number % 10;
	while (number /= 10);
	say(at);
}

static long refused(const char *step, long err)
{
	say(step);
	say(" ");
	say_number(-err);
	say("\n");
	return 0;
}

static int same(const char *one, const char *other)
{
	while (*one && *one == *other) {
		one++;
		other++;
	}
	return *one == *other;
}

static long number(const char *text)
{
	long found = 0;

	while (*text)
		found = 10 * found + *text++ - '0';
	return found;
}

/* Returns the BTF of a module, or an error. */
static long find(const char *module)
{
	char name[NAME_SIZE];
	u32 id = 0;

	for (;;) {
		struct info info = { .name = (u64)name, .name_size = NAME_SIZE };
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

static long attach(const char *where, const char *module, const char *id)
{
	/* r0 = 0; exit */
	static const u64 instructions[] = { 0xb7, 0x95 };
	long btf = find(module), program, link;
	union attr attr = { .load = {
		.type = BPF_PROG_TYPE_TRACING,
		.count = 2,
		.instructions = (u64)instructions,
		.license = (u64)"GPL",
		.attach_type = same(where, "exit") ? BPF_TRACE_FEXIT :
						     BPF_TRACE_FENTRY,
		.attach_id = number(id),
		.attach_btf_fd = btf,
	} };

	if (btf < 0)
		return refused("find", btf);
	program = bpf(BPF_PROG_LOAD, &attr);
	if (program < 0)
		return refused("load", program);
	attr = (union attr){ .open.program = program };
	link = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
	if (link < 0)
		return refused("attach", link);
	say("attached\n");
	return call(SYS_ppoll, 0, 0, 0, 0, 0);
}

/* The stack has the number of arguments, and then these. */
void begin_at(long *stack)
{
	if (stack[0] == 4)
		attach((char *)stack[2], (char *)stack[3], (char *)stack[4]);
	call(SYS_exit_group, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

asm(".globl	_start\n"
	"_start:	mov	x0, sp\n"
	"	b	begin_at");
