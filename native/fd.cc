#include "fd.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "failure.h"

namespace pilotfish {

namespace {

std::string KindOf(int number) {
  const std::string entry = "/proc/self/fd/" + std::to_string(number);
  char target[64] = {};
  if (readlink(entry.c_str(), target, sizeof target - 1) < 0) throw Failure(errno, "readlink").On(entry);
  std::string kind = target;
  std::replace(kind.begin(), kind.end(), '_', '-');  // the kernel calls links by both spellings
  const std::string prefix = "anon-inode:";
  return kind.starts_with(prefix) ? kind.substr(prefix.size()) : kind;
}

}  // namespace

Fd::~Fd() { close(number_); }

SharedFd Adopt(int result, const char* call) { return std::make_shared<const Fd>(Check(result, call)); }

SharedFd Duplicate(int number) {
  const int copy = fcntl(number, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw Failure(errno, "fcntl");
  return std::make_shared<const Fd>(copy);
}

SharedFd OpenPin(const char* path, const char* kind) {
  const int result = bpf_obj_get(path);
  if (result == -ENOENT) return nullptr;
  SharedFd fd = Adopt(result, "bpf_obj_get");
  const std::string found = KindOf(fd->Number());
  if (found != kind) throw Failure(EINVAL, "bpf_obj_get").Note("this pin is a " + found + ", not a " + kind);
  return fd;
}

}  // namespace pilotfish
