#pragma once

#include "binding.h"
#include "mapping.h"

namespace pilotfish {

// One for each environment that loads the addon: a worker thread has its own.
struct Addon {
  Napi::FunctionReference object;
  Napi::FunctionReference map;
  Napi::FunctionReference program;
  Napi::FunctionReference link;
  Mappings mappings;

  static Addon& Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }
};

}  // namespace pilotfish
