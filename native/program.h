#pragma once

#include "handle.h"

namespace pilotfish {

class Program : public Handle<Program> {
 public:
  static Napi::Function Define(Napi::Env env);
  // `name` overrides the kernel's, which it cuts to 15 characters.
  static Napi::Value New(Napi::Env env, SharedFd fd, const std::string& name = "");

  explicit Program(const Napi::CallbackInfo& info);

 private:
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value AttachXdp(const Napi::CallbackInfo& info);
  Napi::Value TestRunHere(const Napi::CallbackInfo& info);
  Napi::Value TestRunOnPool(const Napi::CallbackInfo& info);
};

}  // namespace pilotfish
