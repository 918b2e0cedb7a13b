#pragma once

#include "handle.h"

namespace pilotfish {

// An attachment of a program to an interface. The kernel ends it when its last descriptor and pin are gone.
class Link : public Handle<Link> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value New(Napi::Env env, SharedFd fd);

  explicit Link(const Napi::CallbackInfo& info);

 private:
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Detach(const Napi::CallbackInfo& info);
};

}  // namespace pilotfish
