/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_JIFFIES_H
#define OLDEST_LINUX_JIFFIES_H

unsigned long msecs_to_jiffies(const unsigned int milliseconds);

#endif
