/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_CPU_H
#define OLDEST_LINUX_CPU_H

/* With CONFIG_HOTPLUG_CPU; macros that do nothing without. */
void get_online_cpus(void);
void put_online_cpus(void);

#endif
