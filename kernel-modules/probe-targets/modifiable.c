// SPDX-License-Identifier: GPL-2.0
/*
 * Lets BPF programs change what the cases' functions return (fmod_ret).
 */
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "probe_targets.h"

#if defined(CONFIG_DEBUG_INFO_BTF_MODULES) && !defined(COMPAT_NO_FMODRET)
static int compare_ids(const void *a, const void *b)
{
	return *(const u32 *)a - *(const u32 *)b;
}

/**
 * probe_modifiable_register - register all functions that are in the module's BTF
 *
 * Return: 0, or an error.
 */
int probe_modifiable_register(void)
{
	struct btf_kfunc_id_set registered = { .owner = THIS_MODULE };
	struct btf_id_set8 *set;
	unsigned int i;
	int err = 0;

	set = kzalloc(struct_size(set, pairs, probe_case_count), GFP_KERNEL);
	if (!set)
		return -ENOMEM;
	for (i = 0; i < probe_case_count; i++)
		if (probe_modifiable[i])
			set->pairs[set->cnt++].id = probe_modifiable[i];
	sort(set->pairs, set->cnt, sizeof(set->pairs[0]), compare_ids, NULL);
	registered.set = set;
	/* It keeps a copy. */
	if (set->cnt)
		err = register_btf_fmodret_id_set(&registered);
	kfree(set);
	return err;
}
#else
int probe_modifiable_register(void)
{
	return 0;
}
#endif
