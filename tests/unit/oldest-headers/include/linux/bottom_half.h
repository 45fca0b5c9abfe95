/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_BOTTOM_HALF_H
#define OLDEST_LINUX_BOTTOM_HALF_H

void __local_bh_disable_ip(unsigned long ip, unsigned int count);
void __local_bh_enable_ip(unsigned long ip, unsigned int count);

static inline void local_bh_disable(void)
{
	__local_bh_disable_ip(0, 0x200);
}

static inline void local_bh_enable(void)
{
	__local_bh_enable_ip(0, 0x200);
}

#endif
