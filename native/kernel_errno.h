#pragma once

#include <cerrno>

namespace pilotfish {

// include/linux/errno.h: not meant for user space, yet what bpf(2) answers for an operation that a map type lacks.
inline constexpr int kKernelNotSupported = 524;

}  // namespace pilotfish
