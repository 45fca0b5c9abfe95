/* SPDX-License-Identifier: GPL-2.0 */
/* Up to v5.0, debugfs returns NULL for an error too. */
#ifndef COMPAT_DEBUGFS_H
#define COMPAT_DEBUGFS_H

#include <linux/debugfs.h>
#include <linux/err.h>

static inline int compat_debugfs_error(const struct dentry *dentry)
{
	return dentry ? PTR_ERR_OR_ZERO(dentry) : -ENOMEM;
}

#endif /* COMPAT_DEBUGFS_H */
