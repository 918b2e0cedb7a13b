#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <string>
#include <utility>

#include "fd.h"
#include "wrapped.h"

namespace pilotfish {

// What maps, programs and links have in common: a name for messages and a descriptor that can be closed early.
template <typename Self>
class Handle : public Wrapped<Self> {
 public:
  using Wrapped<Self>::Wrapped;

  Napi::Value GetFd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), Open("fd")->Number()); }

  Napi::Value Pin(const Napi::CallbackInfo& info) {
    const SharedFd& fd = Open("bpf_obj_pin");
    const std::string path = StringArgument(info, 0);
    Run(bpf_obj_pin(fd->Number(), path.c_str()), "bpf_obj_pin");
    return info.Env().Undefined();
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    fd_.reset();
    return info.Env().Undefined();
  }

 protected:
  void Hold(SharedFd fd, std::string name) {
    fd_ = std::move(fd);
    name_ = std::move(name);
  }

  const SharedFd& Open(const char* call) const {
    if (!fd_) throw Failure(EBADF, call).On(name_).Note("it has been closed");
    return fd_;
  }

  // Check, with this handle's name.
  int Run(int result, const char* call) const {
    if (result < 0) throw Failure(-result, call).On(name_);
    return result;
  }

  const std::string& Name() const { return name_; }

 private:
  SharedFd fd_;
  std::string name_;
};

}  // namespace pilotfish
