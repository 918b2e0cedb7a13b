#include <bpf/bpf.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "failure.h"
#include "kernel_errno.h"
#include "map_io.h"

namespace pilotfish {

namespace {

constexpr uint64_t kBatchBytes = 256 * 1024;
constexpr uint32_t kBatchEntries = 64;

void Append(std::vector<uint8_t>& to, const std::vector<uint8_t>& from, size_t bytes) {
  to.insert(to.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(bytes));
}

// Where a batch is exact: hash maps go bucket by bucket, each read under its lock, and the keys of an array stay. For
// other types (LPM tries) the kernel's batch is built on get_next_key, which starts again when its key is gone; and for
// arrays of maps it fails on an empty slot before 6.15.
bool BatchIsExact(uint32_t type) {
  switch (type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
      return true;
    default:
      return false;
  }
}

// Nothing when the kernel has no batch operation for this map.
std::optional<Entries> ReadByBatch(int fd, const MapShape& shape) {
  const uint64_t value_bytes = shape.ValueBytes();
  uint64_t room = std::max<uint64_t>(kBatchEntries, kBatchBytes / (shape.key_size + value_bytes));
  room = std::min<uint64_t>(room, shape.max_entries);
  // The token is a bucket number for hash maps and a key for arrays.
  std::vector<uint8_t> from(std::max<size_t>(shape.key_size, sizeof(uint32_t)));
  std::vector<uint8_t> next(from.size());
  bool first = true;
  bpf_map_batch_opts options{};
  options.sz = sizeof options;
  std::vector<uint8_t> keys, values;
  Entries entries;
  for (;;) {
    keys.resize(room * shape.key_size);
    values.resize(room * value_bytes);
    uint32_t count = static_cast<uint32_t>(room);
    void* start = first ? nullptr : from.data();
    const int result = bpf_map_lookup_batch(fd, start, next.data(), keys.data(), values.data(), &count, &options);
    if (result == -ENOSPC) {  // one bucket alone holds more than there is room for
      room *= 2;
      continue;
    }
    if (first && (result == -kKernelNotSupported || result == -EINVAL)) return std::nullopt;
    if (result < 0 && result != -ENOENT) Check(result, "bpf_map_lookup_batch");
    Append(entries.keys, keys, count * shape.key_size);
    Append(entries.values, values, count * value_bytes);
    entries.count += count;
    if (result == -ENOENT) return entries;
    std::swap(from, next);
    first = false;
  }
}

// When the key that it continues from has been deleted, the kernel starts again at the first one: keys already met are
// passed over, and a map that changes so fast that the end is never reached is given up.
Entries ReadByIteration(int fd, const MapShape& shape) {
  std::vector<uint8_t> key(shape.key_size), next(shape.key_size), value(shape.ValueBytes());
  std::unordered_set<std::string> met;
  Entries entries;
  const uint64_t most_steps = 8 * static_cast<uint64_t>(shape.max_entries) + 64;
  for (uint64_t step = 0; step < most_steps; step++) {
    const int result = bpf_map_get_next_key(fd, step == 0 ? nullptr : key.data(), next.data());
    if (result == -ENOENT) return entries;
    Check(result, "bpf_map_get_next_key");
    std::swap(key, next);
    if (!met.emplace(reinterpret_cast<const char*>(key.data()), key.size()).second) continue;
    const int found = bpf_map_lookup_elem(fd, key.data(), value.data());
    if (found == -ENOENT) continue;  // deleted since, or an empty slot of an array of maps
    Check(found, "bpf_map_lookup_elem");
    Append(entries.keys, key, key.size());
    Append(entries.values, value, value.size());
    entries.count++;
  }
  throw Failure(EAGAIN, "bpf_map_get_next_key");
}

}  // namespace

Entries ReadEntries(int fd, const MapShape& shape) {
  if (BatchIsExact(shape.type)) {
    std::optional<Entries> entries = ReadByBatch(fd, shape);
    if (entries) return *std::move(entries);
  }
  return ReadByIteration(fd, shape);
}

}  // namespace pilotfish
