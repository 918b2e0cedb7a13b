// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Stands before programs that take a frame in one piece. */
#define WRAPPER_SECTION "xdp"
#include "wrapper.h"
