#pragma once

#include <bpf/libbpf.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "fd.h"
#include "wrapped.h"

namespace pilotfish {

// A BPF object file: first open (sizes and constants may be set), then loaded into the kernel.
class Object : public Wrapped<Object> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Open(Napi::Env env, const std::string& path);

  explicit Object(const Napi::CallbackInfo& info);

 private:
  enum class Phase { kOpen, kLoading, kLoaded, kFailed };

  // Shared with a load job: closing meanwhile lets the job end first.
  struct State {
    bpf_object* object = nullptr;
    std::string path;
    std::vector<SharedFd> inner_maps;  // libbpf takes them by number and keeps none open
    std::atomic<Phase> phase = Phase::kOpen;
    ~State() { bpf_object__close(object); }
  };

  Napi::Value Maps(const Napi::CallbackInfo& info);
  Napi::Value Programs(const Napi::CallbackInfo& info);
  Napi::Value SetMaxEntries(const Napi::CallbackInfo& info);
  Napi::Value SetInnerMap(const Napi::CallbackInfo& info);
  Napi::Value Rodata(const Napi::CallbackInfo& info);
  Napi::Value SetRodata(const Napi::CallbackInfo& info);
  Napi::Value Load(const Napi::CallbackInfo& info);
  Napi::Value GetMap(const Napi::CallbackInfo& info);
  Napi::Value GetProgram(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  // All three throw Failure: EBADF when closed, EBUSY when loading or in a phase that does not fit.
  State& Idle(const char* call) const;
  State& BeforeLoad(const char* call) const;
  State& AfterLoad(const char* call) const;
  bpf_map* FindMap(const State& state, const std::string& name, const char* call) const;

  static void LoadNow(State& state);

  std::shared_ptr<State> state_;
};

}  // namespace pilotfish
