#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pilotfish {

// What the kernel says about a map, plus the length of one value in a buffer.
struct MapShape {
  std::string name;
  uint32_t type = 0;
  uint32_t id = 0;  // 0 while the object is not loaded
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t max_entries = 0;
  uint32_t flags = 0;

  // Bytes of one value as the system call copies them: per-CPU maps copy one value, rounded up to 8 bytes, for each
  // possible CPU.
  uint64_t ValueBytes() const;
};

struct Entries {
  std::vector<uint8_t> keys;
  std::vector<uint8_t> values;
  uint32_t count = 0;
};

MapShape DescribeMap(int fd);

// Every entry. An entry that is in the map from start to end is returned once; one that comes or goes meanwhile, once
// or not at all.
Entries ReadEntries(int fd, const MapShape& shape);

// The caller has checked that `keys` and `values` hold `count` entries. A Failure tells how many took effect.
void UpdateEntries(int fd, const MapShape& shape, std::span<const uint8_t> keys, std::span<const uint8_t> values,
                   uint32_t count);

// Returns how many of the keys were there. A Failure tells how many keys were dealt with.
uint32_t DeleteEntries(int fd, const MapShape& shape, std::span<const uint8_t> keys, uint32_t count);

}  // namespace pilotfish
