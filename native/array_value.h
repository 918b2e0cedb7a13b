#pragma once

#include <cstdint>
#include <optional>

namespace pilotfish {

// Bytes from the start of an array map, as this kernel lays it out, to its first value; nothing if the kernel does not say (no BTF).
std::optional<uint32_t> ArrayValueOffset();

}  // namespace pilotfish
