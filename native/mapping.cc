#include "mapping.h"

#include <sys/mman.h>

#include <cerrno>

namespace pilotfish {

void Mappings::Area::Release() {
  if (mapped) munmap(address, length);
  mapped = false;
}

Napi::Uint8Array Mappings::Map(Napi::Env env, int fd, size_t length) {
  void* address = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) throw Failure(errno, "mmap");
  Area* area = new Area{address, length, true};
  (*live_)[address] = area;
  // Runs late, also after Unmap, and the address may have a new owner by then: so it goes by the area, not the address.
  const auto finalize = [area, live = live_](Napi::Env, void*) {
    if (area->mapped) live->erase(area->address);
    area->Release();
    delete area;
  };
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, address, length, finalize);
  return Napi::Uint8Array::New(env, length, buffer, 0);
}

bool Mappings::Unmap(Napi::ArrayBuffer buffer) {
  const auto found = live_->find(buffer.Data());
  if (found == live_->end()) return false;
  Area* area = found->second;
  buffer.Detach();
  live_->erase(found);
  area->Release();
  return true;
}

}  // namespace pilotfish
