// SPDX-License-Identifier: GPL-2.0
/*
 * Plays a case that comes as data: a caller's frame and registers, which
 * calls.S sets up, and what the handler writes.  No compiler decides where
 * an argument lies.
 */
#include <linux/errno.h>
#include <linux/hex.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "probe_targets.h"
#include "record.h"

#define FRAME_MAX	4096
#define ITEMS_MAX	128
#define REGISTERS	8
#define FRAME_RECORD	16

/* Where the handler finds an address, or a byte to write to. */
struct place {
	bool slot;		/* at SP + number, not in x[number] */
	unsigned int number;
};

/* An address in the frame that the caller passes. */
struct reference {
	struct place place;
	unsigned int offset;
};

/* Bytes that the handler inverts. */
struct flip {
	struct place place;
	bool follow;		/* through the address in @place */
	unsigned int size;
};

static struct {
	u64 registers[REGISTERS + 1];	/* x0-x7, x29 */
	u8 frame[FRAME_MAX];
	size_t size;
	int record;			/* offset of the frame record, or -1 */
	struct reference references[ITEMS_MAX];
	unsigned int reference_count;
	struct flip flips[ITEMS_MAX];
	unsigned int flip_count;
	struct stack_part signature[ITEMS_MAX + 1];
	unsigned int part_count;
	unsigned int object, object_size;
	enum probe_agent writer;
} image;

/* What was seen. */
static u8 frames[LOOKS][FRAME_MAX];
static u64 registers[LOOKS][REGISTERS];
static bool looked[LOOKS];
static u8 *object_at;

static void look(enum look when, const u64 *regs, const u8 *sp)
{
	stack_copy(frames[when], sp, image.size);
	memcpy(registers[when], regs, sizeof(registers[when]));
	looked[when] = true;
}

/* Fills the caller's frame; returns the registers to call with. */
const u64 *probe_assembled_place(u8 *sp)
{
	unsigned int i;
	u64 word;

	stack_copy(sp, image.frame, image.size);
	image.registers[REGISTERS] = 16;
	if (image.record >= 0) {
		/* probe_assembled_call()'s record lies above its frame. */
		word = (u64)(sp + image.size);
		memcpy(sp + image.record, &word, sizeof(word));
		word = (u64)probe_assembled_call;
		memcpy(sp + image.record + 8, &word, sizeof(word));
		image.registers[REGISTERS] = (u64)(sp + image.record);
	}
	for (i = 0; i < image.reference_count; i++) {
		const struct reference *reference = &image.references[i];
		unsigned int number = reference->place.number;

		word = (u64)(sp + reference->offset);
		if (reference->place.slot)
			memcpy(sp + number, &word, sizeof(word));
		else
			image.registers[number] = word;
	}
	return image.registers;
}

void probe_assembled_seen(const u64 *regs, const u8 *sp)
{
	probe_target_enter();
	look(LOOK_SEEN, regs, sp);
}

static u8 *follow(const struct place *place, const u64 *regs, const u8 *sp)
{
	u64 address;

	if (!place->slot)
		return (u8 *)regs[place->number];
	memcpy(&address, sp + place->number, sizeof(address));
	return (u8 *)address;
}

static void write_object(void)
{
	probe_flip(object_at, image.object_size, 0xff);
}

void probe_assembled_handle(const u64 *regs, u8 *sp)
{
	unsigned int i;

	probe_handler_enter();
	look(LOOK_BEFORE, regs, sp);
	for (i = 0; i < image.flip_count; i++) {
		const struct flip *flip = &image.flips[i];
		u8 *at = sp + flip->place.number;

		if (flip->follow)
			at = follow(&flip->place, regs, sp);
		/* A wrong address shows as bytes that are not written. */
		if (at >= sp && at + flip->size <= sp + image.size)
			probe_flip(at, flip->size, 0xff);
	}
	object_at = sp + image.object;
	if (image.object_size)
		probe_keep_error(probe_by_agent(image.writer, write_object));
	look(LOOK_AFTER, regs, sp);
	probe_handler_leave();
	jprobe_return();
}

static void call(void)
{
	probe_assembled_call(image.size);
}

struct probe_case probe_assembled = {
	.name = "=",
	.call = call,
	.jp.addr = probe_assembled_target,
	.jp.entry = probe_assembled_handler,
	.jp.signature = image.signature,
};

static bool in_frame(unsigned int offset, unsigned int size)
{
	return offset <= image.size && size <= image.size - offset;
}

static bool valid(const struct place *place)
{
	return place->slot ? in_frame(place->number, sizeof(u64)) :
			     place->number < REGISTERS;
}

static int parse_reference(const char *word)
{
	struct reference *reference = &image.references[image.reference_count];
	char where;

	if (image.reference_count == ITEMS_MAX)
		return -E2BIG;
	if (sscanf(word, "%c%u>%u", &where, &reference->place.number,
		   &reference->offset) != 3)
		return -EINVAL;
	reference->place.slot = where == 's';
	if (!valid(&reference->place) || !in_frame(reference->offset, 0))
		return -EINVAL;
	image.reference_count++;
	return 0;
}

static int parse_flip(const char *word)
{
	struct flip *flip = &image.flips[image.flip_count];
	char where;

	if (image.flip_count == ITEMS_MAX)
		return -E2BIG;
	flip->follow = *word == '*';
	if (sscanf(word + flip->follow, "%c%u:%u", &where, &flip->place.number,
		   &flip->size) != 3)
		return -EINVAL;
	flip->place.slot = where == 's';
	if (flip->follow ? !valid(&flip->place) :
			   !flip->place.slot ||
			   !in_frame(flip->place.number, flip->size))
		return -EINVAL;
	image.flip_count++;
	return 0;
}

/* The engine follows it blindly, as it does those that are compiled. */
static int parse_part(const char *word)
{
	struct stack_part *part = &image.signature[image.part_count];
	bool follow = *word == '*';
	char where;

	if (image.part_count == ITEMS_MAX)
		return -E2BIG;
	if (sscanf(word + follow, "%c%u:%u", &where, &part->number,
		   &part->size) != 3 || !part->size)
		return -EINVAL;
	if (!follow)
		part->base = STACK_PART_AT_SP;
	else if (where == 's')
		part->base = STACK_PART_BY_SLOT;
	else
		part->base = STACK_PART_BY_REGISTER;
	image.part_count++;
	return 0;
}

static int parse_object(const char *word)
{
	unsigned int writer;

	if (sscanf(word, "o%u:%u:%u", &image.object, &image.object_size,
		   &writer) != 3 || writer > PROBE_BY_CPU)
		return -EINVAL;
	image.writer = writer;
	return in_frame(image.object, image.object_size) ? 0 : -EINVAL;
}

static int parse_item(const char *word)
{
	if (*word == 'o')
		return parse_object(word);
	if (*word == '=')
		return parse_part(word + 1);
	return strchr(word, '>') ? parse_reference(word) : parse_flip(word);
}

/* Takes the registers and the frame. */
static int parse_frame(const char *words, const char *frame)
{
	if (!frame || strlen(words) != 2 * sizeof(u64) * REGISTERS)
		return -EINVAL;
	image.size = strlen(frame) / 2;
	if (image.size > FRAME_MAX)
		return -E2BIG;
	if (image.size % 16 ||
	    hex2bin((u8 *)image.registers, words, sizeof(u64) * REGISTERS) ||
	    hex2bin(image.frame, frame, image.size))
		return -EINVAL;
	if (image.record >= 0 && !in_frame(image.record, FRAME_RECORD))
		return -EINVAL;
	return 0;
}

/**
 * probe_assembled_parse - take a case as data
 * @line: "CONTEXT RECORD REGISTERS FRAME ITEM ...": an enum probe_context,
 *	the offset of the frame record or -1 for an FP that points nowhere,
 *	x0-x7 and the frame from SP as hexadecimal bytes, and items, all offsets
 *	being from SP:
 *	x3>160 or s8>160: x3, or the slot at 8, gets the address of offset 160;
 *	s8:4: the handler inverts 4 bytes at 8;
 *	*x3:24 or *s8:24: it inverts 24 bytes at the address in x3 or the slot;
 *	o64:16:2: an enum probe_agent writes to an object of 16 bytes at 64;
 *	=s8:4, =*x3:24 or =*s8:24: a part of the function's signature
 *
 * Return: 0, -EINVAL for a line that makes no sense, or -E2BIG for a frame or a
 * number of items that there is no room for.
 */
int probe_assembled_parse(char *line)
{
	unsigned int context;
	int used = 0, err;
	char *word;

	memset(&image, 0, sizeof(image));
	memset(looked, 0, sizeof(looked));
	if (sscanf(line, "%u %d %n", &context, &image.record, &used) < 2 ||
	    context >= PROBE_CONTEXTS)
		return -EINVAL;
	line += used;
	word = strsep(&line, " ");
	err = parse_frame(word, strsep(&line, " "));
	while (!err && (word = strsep(&line, " ")))
		err = parse_item(word);
	if (!err)
		probe_assembled.context = context;
	return err;
}

static const void *if_looked(enum look when, const void *at)
{
	return looked[when] ? at : NULL;
}

/**
 * probe_assembled_put - add to the record what was seen of the frame
 */
void probe_assembled_put(void)
{
	enum look when;

	probe_put(RECORD_FRAME);
	probe_put_bytes(if_looked(LOOK_BEFORE, registers[LOOK_BEFORE]),
			sizeof(registers[0]));
	probe_put_bytes(if_looked(LOOK_SEEN, registers[LOOK_SEEN]),
			sizeof(registers[0]));
	for (when = LOOK_BEFORE; when < LOOKS; when++)
		probe_put_bytes(if_looked(when, frames[when]), image.size);
}
