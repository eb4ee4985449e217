/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * OpenSIPS's headers, which know nothing of our warnings: included here alone, as system headers,
 * which what they include is then too. (The tree cannot be in the system's include path: it has
 * names, as error.h, that would hide others.)
 */
#ifndef SRC_OPENSIPS_OPENSIPS_H
#define SRC_OPENSIPS_OPENSIPS_H

#pragma GCC system_header

#include "action.h"
#include "async.h"
#include "dprint.h"
#include "evi/evi_modules.h"
#include "evi/evi_transport.h"
#include "ipc.h"
#include "mem/mem.h"
#include "mem/shm_mem.h"
#include "mi/mi.h"
#include "mod_fix.h"
#include "parser/msg_parser.h"
#include "pt.h"
#include "reactor_proc.h"
#include "route.h"
#include "sr_module.h"
#include "statistics.h"
#include "status_report.h"
#include "usr_avp.h"

#endif
