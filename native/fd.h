#pragma once

#include <memory>

namespace pilotfish {

// Owns one file descriptor. Shared, because a job on the worker pool keeps its descriptor open although JavaScript has
// closed the handle meanwhile: otherwise the kernel could give the number away, and the job would act on a stranger.
class Fd {
 public:
  explicit Fd(int number) : number_(number) {}
  ~Fd();
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  int Number() const { return number_; }

 private:
  const int number_;
};

using SharedFd = std::shared_ptr<const Fd>;

// Takes over a descriptor that `call` has returned; throws Failure when it is a negative errno.
SharedFd Adopt(int result, const char* call);

// A second descriptor of the same kernel object, closed on exec.
SharedFd Duplicate(int number);

// Opens a pin. Null when nothing is there; throws Failure when it is not of `kind` ("bpf-map", "bpf-prog" or
// "bpf-link", as the kernel names its anonymous inodes), since the info calls would take any of them.
SharedFd OpenPin(const char* path, const char* kind);

}  // namespace pilotfish
