#pragma once

#include "binding.h"

namespace pilotfish {

// A class that JavaScript sees but cannot construct: its one constructor argument is an External made by the addon.
template <typename Self>
class Wrapped : public Napi::ObjectWrap<Self> {
 public:
  explicit Wrapped(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {
    if (info.Length() != 1 || !info[0].IsExternal()) {
      throw Napi::TypeError::New(info.Env(), "only the addon makes these");
    }
  }

 protected:
  // Describes a method whose Failures become JavaScript exceptions.
  template <auto method>
  static Napi::ClassPropertyDescriptor<Self> Method(const char* name) {
    using Callback = Napi::Value (Self::*)(const Napi::CallbackInfo&);
    return Napi::ObjectWrap<Self>::InstanceMethod(name, static_cast<Callback>(&Wrapped::template Guarded<method>));
  }

 private:
  template <auto method>
  Napi::Value Guarded(const Napi::CallbackInfo& info) {
    return Guard(info.Env(), [&] { return (static_cast<Self*>(this)->*method)(info); });
  }
};

}  // namespace pilotfish
