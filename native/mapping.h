#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

#include "binding.h"

namespace pilotfish {

// The mmapped value areas of one environment, each seen by JavaScript as an external ArrayBuffer. A mapping keeps its
// map alive by itself, and ends by Unmap or with its ArrayBuffer, whichever comes first.
class Mappings {
 public:
  // Throws Failure when the map was not made with BPF_F_MMAPABLE.
  Napi::Uint8Array Map(Napi::Env env, int fd, size_t length);

  // Detaches the buffer, so that no script can touch the memory any more, and unmaps it. False when it is not one of
  // these, or not any more.
  bool Unmap(Napi::ArrayBuffer buffer);

 private:
  struct Area {
    void* address;
    size_t length;
    bool mapped;
    void Release();
  };
  using ByAddress = std::unordered_map<void*, Area*>;

  // Shared with the finalizers, which may run after the environment's data are gone.
  std::shared_ptr<ByAddress> live_ = std::make_shared<ByAddress>();
};

}  // namespace pilotfish
