// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Stands before programs that also take a frame in several pieces. */
#define WRAPPER_SECTION "xdp.frags"
#include "wrapper.h"
