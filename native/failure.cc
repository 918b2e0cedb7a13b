#include "failure.h"

#include <bpf/libbpf.h>

#include <cstring>
#include <utility>

#include "kernel_errno.h"
#include "libbpf_print.h"

namespace pilotfish {

Failure::Failure(int error, std::string call)
    : error(error), call(std::move(call)), warnings(TakeWarnings()), text_(this->call + ": " + ErrnoName(error)) {
  if (error < __LIBBPF_ERRNO__START) return;
  char text[128];
  libbpf_strerror(error, text, sizeof text);
  note = text;
}

Failure Failure::WrongLength(std::string call, std::string part, uint64_t expected, uint64_t actual) {
  Failure failure(EINVAL, std::move(call));
  failure.length = Length{std::move(part), expected, actual};
  return failure;
}

Failure& Failure::On(std::string subject) {
  name = std::move(subject);
  return *this;
}

Failure& Failure::Note(std::string text) {
  note = std::move(text);
  return *this;
}

Failure& Failure::VerifierLog(std::string text) {
  log = std::move(text);
  return *this;
}

Failure& Failure::Done(uint32_t count) {
  done = count;
  return *this;
}

int Check(int result, const char* call) {
  if (result < 0) throw Failure(-result, call);
  return result;
}

std::string ErrnoName(int error) {
  if (error == kKernelNotSupported) return "ENOTSUPP";
  const char* name = strerrorname_np(error);
  return name == nullptr ? "errno " + std::to_string(error) : name;
}

}  // namespace pilotfish
