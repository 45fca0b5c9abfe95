// SPDX-License-Identifier: GPL-2.0
/*
 * Writes records, which harness/guest/protocol.py reads.
 *
 * A record has a head and lines.  A line has a byte that says which one it is,
 * numbers of 8 bytes, and strings, each with its length in 4 bytes before it.
 * All numbers are little-endian.
 */
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/hex.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>
#include <asm/byteorder.h>

#include "inspected.h"
#include "record.h"

#define RECORD_SIZE	SZ_128K
/* The last byte is the format's version; no text has the first one. */
#define RECORD_MAGIC	"\x8aJP\x01"

struct record_head {
	u8 magic[4];
	__le32 size;		/* of the lines, in bytes */
	__le32 crc;		/* of the lines: CRC-32 */
};

static bool hex;
module_param(hex, bool, 0400);
MODULE_PARM_DESC(hex, "records are lines of hexadecimal, for a line that others share");

/* What is written, and what is read: the same, or its hexadecimal. */
static u8 *record, *record_out;
static size_t record_len, record_out_len;
static loff_t record_read;

int probe_record_alloc(void)
{
	record = vmalloc(RECORD_SIZE);
	record_out = hex ? vmalloc(2 * RECORD_SIZE + 1) : record;
	if (record && record_out)
		return 0;
	probe_record_free();
	return -ENOMEM;
}

void probe_record_free(void)
{
	if (record_out != record)
		vfree(record_out);
	vfree(record);
}

void probe_record_begin(void)
{
	record_len = sizeof(struct record_head);
	record_out_len = 0;
	record_read = 0;
}

bool probe_record_is_read(void)
{
	return record_read == record_out_len;
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
	return simple_read_from_buffer(buf, size, &record_read, record_out,
				       record_out_len);
}

static void put(const void *bytes, size_t size)
{
	/* The limits of what a case has keep a record smaller. */
	if (WARN_ON_ONCE(size > RECORD_SIZE - record_len))
		return;
	memcpy(record + record_len, bytes, size);
	record_len += size;
}

/**
 * probe_put_line - begin a line of the record
 * @line: which one
 * @numbers: its numbers
 * @count: how many there are
 */
void probe_put_line(enum record_line line, const s64 *numbers,
		    unsigned int count)
{
	u8 tag = line;

	put(&tag, sizeof(tag));
	for (; count--; numbers++) {
		__le64 number = cpu_to_le64(*numbers);

		put(&number, sizeof(number));
	}
}

/**
 * probe_put_bytes - add a string to the line that was begun
 * @bytes: the string, NULL for bytes that were not seen
 * @size: the number of bytes
 */
void probe_put_bytes(const void *bytes, size_t size)
{
	__le32 length = cpu_to_le32(bytes ? size : 0);

	put(&length, sizeof(length));
	if (bytes)
		put(bytes, size);
}

void probe_put_text(const char *text)
{
	probe_put_bytes(text, strlen(text));
}

void probe_put_stack(const struct stack_hit *stack, enum probe_context context)
{
	probe_put(RECORD_STACK, stack->sp, stack->fp, stack->top, stack->irq,
		  context);
}

/**
 * probe_put_counts - begin a line of the record with what a probe's hits did
 * @line: which line
 * @stat: what the engine counted
 * @handler: runs of the handler
 * @target: runs of the probed function
 */
void probe_put_counts(enum record_line line, const struct jprobe_stat *stat,
		      unsigned int handler, unsigned int target)
{
	long hits = atomic_long_read(&stat->hits);
	long missed = atomic_long_read(&stat->missed);
	/* Without a count of skipped hits, the rest has reached no handler. */
	long skipped = stat->known ? atomic_long_read(&stat->skipped) :
				     hits - missed - handler;

	probe_put(line, hits, handler, target, missed, skipped);
}

/* Not inlined, as a debugger stops here. */
noinline void probe_put_end(void)
{
	struct record_head *head = (struct record_head *)record;
	size_t size = record_len - sizeof(*head);

	memcpy(head->magic, RECORD_MAGIC, sizeof(head->magic));
	head->size = cpu_to_le32(size);
	head->crc = cpu_to_le32(~crc32_le(~0, record + sizeof(*head), size));
	record_out_len = record_len;
	if (hex) {
		bin2hex(record_out, record, record_len);
		record_out[2 * record_len] = '\n';
		record_out_len = 2 * record_len + 1;
	}
}
