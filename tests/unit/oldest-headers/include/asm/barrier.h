/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_BARRIER_H
#define OLDEST_ASM_BARRIER_H

#define isb()	asm volatile("isb" : : : "memory")

/* For words only: for smaller types, those of v4.1 do nothing. */
#define __check_word(p) \
	_Static_assert(sizeof(*(p)) == 4 || sizeof(*(p)) == 8, "not a word")
#define smp_store_release(p, v) do {	\
	__check_word(p);		\
	*(volatile typeof(*(p)) *)(p) = (v);	\
} while (0)
#define smp_load_acquire(p) ({		\
	__check_word(p);		\
	*(volatile typeof(*(p)) *)(p);	\
})

#endif
