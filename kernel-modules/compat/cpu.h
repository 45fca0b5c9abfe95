/* SPDX-License-Identifier: GPL-2.0 */
/* Before v4.13. */
#include <linux/cpu.h>
#include <linux/cpumask.h>

#define cpus_read_lock()	get_online_cpus()
#define cpus_read_unlock()	put_online_cpus()

/*
 * for_each_online_cpu() calls this.  In old kernels, what it calls lies in an
 * archive (lib-y), from which only what the kernel itself calls is linked.
 */
static inline unsigned int compat_cpumask_next(int cpu,
					       const struct cpumask *mask)
{
	do {
		cpu++;
	} while (cpu < nr_cpu_ids && !cpumask_test_cpu(cpu, mask));
	return cpu;
}

#define cpumask_next		compat_cpumask_next
