/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_ASM_PROCESSOR_H
#define OLDEST_ASM_PROCESSOR_H

static inline void cpu_relax(void)
{
	asm volatile("yield" : : : "memory");
}

#endif
