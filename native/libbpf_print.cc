#include "libbpf_print.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <utility>

namespace pilotfish {

namespace {

constexpr size_t kKept = 4096;

thread_local std::string warnings;

// libbpf calls this through C, so nothing may be thrown out of it.
int Capture(enum libbpf_print_level level, const char* format, va_list args) noexcept {
  if (level != LIBBPF_WARN) return 0;
  char line[1024];
  const int length = vsnprintf(line, sizeof line, format, args);
  if (length <= 0) return 0;
  try {
    warnings.append(line, std::min(static_cast<size_t>(length), sizeof line - 1));
    if (warnings.size() > kKept) warnings.erase(0, warnings.size() - kKept);
  } catch (...) {
    warnings.clear();
  }
  return length;
}

}  // namespace

void CapturePrints() { libbpf_set_print(Capture); }

std::string TakeWarnings() { return std::exchange(warnings, {}); }

}  // namespace pilotfish
