#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>

namespace pilotfish {

// A failed call, in a form that may cross threads. The binding makes a JavaScript Error of it (see binding.h); its
// wording for people is the business of TypeScript.
class Failure : public std::exception {
 public:
  struct Length {
    std::string part;  // "key", "value", ...
    uint64_t expected;
    uint64_t actual;
  };

  // `error` is a positive errno, `call` the libbpf function or system call. Takes along what libbpf has printed on this
  // thread since the last Failure or ClearWarnings.
  Failure(int error, std::string call);

  static Failure WrongLength(std::string call, std::string part, uint64_t expected, uint64_t actual);

  Failure& On(std::string name);         // the map, program or path
  Failure& Note(std::string text);       // the cause in words, where the errno says too little
  Failure& VerifierLog(std::string log);
  Failure& Done(uint32_t count);         // entries of a batch that took effect

  const char* what() const noexcept override { return text_.c_str(); }

  int error;
  std::string call;
  std::string name;
  std::string note;
  std::string log;
  std::string warnings;
  std::optional<Length> length;
  std::optional<uint32_t> done;

 private:
  std::string text_;
};

// Throws Failure when `result` is a negative errno, as every libbpf 1.x function returns; passes it on otherwise.
int Check(int result, const char* call);

// Runs `work`; a Failure in it is one about `name`.
template <typename Work>
auto Naming(const std::string& name, Work work) {
  try {
    return work();
  } catch (Failure& failure) {
    failure.On(name);
    throw;
  }
}

// "EPERM" and so on, also for the kernel-internal ENOTSUPP that bpf(2) lets out.
std::string ErrnoName(int error);

}  // namespace pilotfish
