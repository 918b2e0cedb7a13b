#pragma once

#include "handle.h"
#include "map_io.h"

namespace pilotfish {

class Map : public Handle<Map> {
 public:
  static Napi::Function Define(Napi::Env env);
  // `name` overrides the kernel's, which it cuts to 15 characters.
  static Napi::Value New(Napi::Env env, SharedFd fd, const std::string& name = "");
  static Napi::Object Describe(Napi::Env env, const MapShape& shape);

  explicit Map(const Napi::CallbackInfo& info);

 private:
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value Id(const Napi::CallbackInfo& info);
  Napi::Value Put(const Napi::CallbackInfo& info);
  Napi::Value Get(const Napi::CallbackInfo& info);
  Napi::Value Delete(const Napi::CallbackInfo& info);
  Napi::Value GetEntries(const Napi::CallbackInfo& info);
  Napi::Value PutBatch(const Napi::CallbackInfo& info);
  Napi::Value DeleteBatch(const Napi::CallbackInfo& info);
  Napi::Value Mmap(const Napi::CallbackInfo& info);

  std::span<const uint8_t> Key(const Napi::CallbackInfo& info, const char* call) const;

  MapShape shape_;
};

// The type's number by libbpf's name for it; throws Failure for an unknown one.
uint32_t MapTypeOf(const std::string& name);

}  // namespace pilotfish
