/* SPDX-License-Identifier: GPL-2.0 */
#ifndef OLDEST_GENERATED_JPROBE_POLICY_H
#define OLDEST_GENERATED_JPROBE_POLICY_H

/* Chosen at run time. */

#endif
