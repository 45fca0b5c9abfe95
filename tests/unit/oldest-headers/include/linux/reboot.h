/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_REBOOT_H
#define OLDEST_LINUX_REBOOT_H

void kernel_power_off(void);

#endif
