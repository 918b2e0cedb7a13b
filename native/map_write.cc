#include <bpf/bpf.h>

#include "failure.h"
#include "kernel_errno.h"
#include "map_io.h"

namespace pilotfish {

namespace {

bpf_map_batch_opts BatchOptions() {
  bpf_map_batch_opts options{};
  options.sz = sizeof options;
  return options;
}

// No batch for this map type or kernel. EINVAL can also mean a bad entry: the single calls then meet it again and
// report it exactly.
bool BatchRefused(int result) { return result == -kKernelNotSupported || result == -EINVAL; }

}  // namespace

void UpdateEntries(int fd, const MapShape& shape, std::span<const uint8_t> keys, std::span<const uint8_t> values,
                   uint32_t count) {
  if (count == 0) return;
  const bpf_map_batch_opts options = BatchOptions();
  uint32_t done = count;
  const int result = bpf_map_update_batch(fd, keys.data(), values.data(), &done, &options);
  if (result == 0) return;
  if (done >= count) done = 0;  // the kernel left the count as it was
  if (!BatchRefused(result)) throw Failure(-result, "bpf_map_update_batch").Done(done);
  const uint64_t value_bytes = shape.ValueBytes();
  for (uint32_t i = done; i < count; i++) {
    const uint8_t* key = &keys[static_cast<uint64_t>(i) * shape.key_size];
    const int single = bpf_map_update_elem(fd, key, &values[i * value_bytes], BPF_ANY);
    if (single < 0) throw Failure(-single, "bpf_map_update_elem").Done(i);
  }
}

uint32_t DeleteEntries(int fd, const MapShape& shape, std::span<const uint8_t> keys, uint32_t count) {
  const bpf_map_batch_opts options = BatchOptions();
  const auto key = [&](uint32_t i) { return &keys[static_cast<uint64_t>(i) * shape.key_size]; };
  uint32_t deleted = 0;
  uint32_t i = 0;
  while (i < count) {
    const uint32_t wanted = count - i;
    uint32_t done = wanted;
    const int result = bpf_map_delete_batch(fd, key(i), &done, &options);
    if (result == 0) return deleted + wanted;
    if (BatchRefused(result)) break;
    if (done >= wanted) done = 0;
    deleted += done;
    i += done;
    if (result != -ENOENT) throw Failure(-result, "bpf_map_delete_batch").Done(i);
    i++;  // the batch stops at a key that is not there
  }
  for (; i < count; i++) {
    const int single = bpf_map_delete_elem(fd, key(i));
    if (single == 0) deleted++;
    if (single < 0 && single != -ENOENT) throw Failure(-single, "bpf_map_delete_elem").Done(i);
  }
  return deleted;
}

}  // namespace pilotfish
