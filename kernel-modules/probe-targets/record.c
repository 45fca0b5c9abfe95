// SPDX-License-Identifier: GPL-2.0
/*
 * Writes records.  They are text, so that they pass any channel;
 * harness/guest/protocol.py reads them.
 */
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "inspected.h"
#include "record.h"

#define RECORD_SIZE	SZ_128K

const char * const probe_context_names[PROBE_CONTEXTS] = {
	[PROBE_PROCESS] = "process",
	[PROBE_DEEP] = "deep",
	[PROBE_KTHREAD_TOP] = "kthread-top",
	[PROBE_SOFTIRQ] = "softirq",
	[PROBE_HARDIRQ] = "hardirq",
};

static char *record;
static size_t record_len;
static loff_t record_read;

int probe_record_alloc(void)
{
	record = vmalloc(RECORD_SIZE);
	return record ? 0 : -ENOMEM;
}

void probe_record_free(void)
{
	vfree(record);
}

void probe_record_begin(void)
{
	record_len = 0;
	record_read = 0;
}

bool probe_record_is_read(void)
{
	return record_read == record_len;
}

/**
 * probe_record_read - give user space the next bytes of the record
 * @buf: where to put them
 * @size: how many it takes
 *
 * Return: the number of bytes, 0 at the record's end, or -EFAULT.
 */
ssize_t probe_record_read(char __user *buf, size_t size)
{
	return simple_read_from_buffer(buf, size, &record_read, record,
				       record_len);
}

void probe_put(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record_len += vscnprintf(record + record_len, RECORD_SIZE - record_len,
				 fmt, args);
	va_end(args);
}

/**
 * probe_put_bytes - add bytes to a line of the record
 * @name: the name of the field
 * @bytes: its value, NULL for bytes that were not seen
 * @size: the number of bytes
 */
void probe_put_bytes(const char *name, const void *bytes, size_t size)
{
	probe_put(" %s=", name);
	if (!bytes)
		return;
	/* printk's hexadecimal goes up to 64 bytes. */
	for (; size > 64; size -= 64, bytes += 64)
		probe_put("%64phN", bytes);
	probe_put("%*phN", (int)size, bytes);
}

void probe_put_stack(const struct stack_hit *stack, enum probe_context context)
{
	probe_put("stack sp=%lx fp=%lx top=%lx irq=%d context=%s\n", stack->sp,
		  stack->fp, stack->top, stack->irq,
		  probe_context_names[context]);
}

/**
 * probe_put_counts - add to a line of the record what a probe's hits did
 * @stat: what the engine counted
 * @handler: runs of the handler
 * @target: runs of the probed function
 */
void probe_put_counts(const struct jprobe_stat *stat, unsigned int handler,
		      unsigned int target)
{
	long hits = atomic_long_read(&stat->hits);
	long missed = atomic_long_read(&stat->missed);
	/* Without a count of skipped hits, the rest has reached no handler. */
	long skipped = stat->known ? atomic_long_read(&stat->skipped) :
				     hits - missed - handler;

	probe_put(" hits=%ld handler=%u target=%u missed=%ld skipped=%ld", hits,
		  handler, target, missed, skipped);
}

/*
 * The checksum is of everything in the record so far.  Not inlined, as a debugger
 * stops here.
 */
noinline void probe_put_end(unsigned int seq)
{
	probe_put("end seq=%u crc=%08x\n", seq,
		  ~crc32_le(~0, (const u8 *)record, record_len));
}
