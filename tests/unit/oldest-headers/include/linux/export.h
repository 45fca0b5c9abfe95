/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_LINUX_EXPORT_H
#define OLDEST_LINUX_EXPORT_H

#define EXPORT_SYMBOL_GPL(name)

#endif
