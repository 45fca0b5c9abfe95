/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_CPUMASK_H
#define OLDEST_LINUX_CPUMASK_H

#include <linux/types.h>

struct cpumask {
	unsigned long bits[1];
};

extern int nr_cpu_ids;
extern const struct cpumask *const cpu_online_mask;
extern const struct cpumask *const cpu_possible_mask;

#define cpu_online(cpu)		(cpu_online_mask->bits[0] >> (cpu) & 1)
#define cpumask_test_cpu(cpu, mask)	((mask)->bits[0] >> (cpu) & 1)
#define cpu_possible(cpu)	(cpu_possible_mask->bits[0] >> (cpu) & 1)

/* These are in lib/cpumask.c; the functions that they and others call are in lib/find_bit.c. */
int cpumask_next_and(int n, const struct cpumask *one, const struct cpumask *other);
int cpumask_any_but(const struct cpumask *mask, unsigned int cpu);
unsigned long find_first_bit(const unsigned long *at, unsigned long size);
unsigned long find_next_bit(const unsigned long *at, unsigned long size, unsigned long from);

static inline unsigned int cpumask_first(const struct cpumask *mask)
{
	return find_first_bit(mask->bits, nr_cpu_ids);
}

static inline unsigned int cpumask_next(int n, const struct cpumask *mask)
{
	return find_next_bit(mask->bits, nr_cpu_ids, n + 1);
}

#define for_each_online_cpu(cpu) \
	for (cpu = -1; cpu = cpumask_next(cpu, cpu_online_mask), cpu < nr_cpu_ids;)

#endif
