/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Up to v5.17, RNDRESEEDCRNG does nothing where the kernel counts little entropy, or
 * does not exist.
 */
#ifndef COMPAT_RANDOM_H
#define COMPAT_RANDOM_H

#include <linux/types.h>

#ifdef COMPAT_NO_RESEED
static inline bool compat_reseed(const char *seed)
{
	return false;
}
#else
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/random.h>
#include <linux/string.h>

/* Returns whether all random numbers from now on depend on @seed, too. */
static inline bool compat_reseed(const char *seed)
{
	struct file *file;
	long err;

	add_device_randomness(seed, strlen(seed));
	file = filp_open("/dev/urandom", O_RDONLY, 0);
	if (IS_ERR(file))
		return false;
	err = file->f_op->unlocked_ioctl(file, RNDRESEEDCRNG, 0);
	filp_close(file, NULL);
	return !err;
}
#endif

#endif /* COMPAT_RANDOM_H */
