/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a program needs that has no C library.  It begins in begin_at().
 */
#ifndef PROGRAM_H
#define PROGRAM_H

void *memset(void *to, int byte, unsigned long size)
{
	char *at = to;

	while (size--)
		*at++ = byte;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long size)
{
	const char *source = from;
	char *at = to;

	while (size--)
		*at++ = *source++;
	return to;
}

static unsigned long length(const char *string)
{
	unsigned long size = 0;

	while (string[size])
		size++;
	return size;
}

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 asm("x8") = number;
	register long x0 asm("x0") = a;
	register long x1 asm("x1") = b;
	register long x2 asm("x2") = c;
	register long x3 asm("x3") = d;
	register long x4 asm("x4") = e;
	register long x5 asm("x5") = f;

	asm volatile("svc	#0"
		     : "+r" (x0)
		     : "r" (x8), "r" (x1), "r" (x2), "r" (x3), "r" (x4),
		       "r" (x5)
		     : "memory");
	return x0;
}

#define CALL(name, a, b, c) \
	call(SYS_##name, (long)(a), (long)(b), (long)(c), 0, 0, 0)

/* The stack has the number of arguments, and then these. */
void begin_at(long *stack);

asm(".globl	_start\n"
	"_start:	mov	x0, sp\n"
	"	b	begin_at");

#endif /* PROGRAM_H */
