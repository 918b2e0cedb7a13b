#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "failure.h"
#include "map_io.h"

namespace pilotfish {

namespace {

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

}  // namespace

uint64_t MapShape::ValueBytes() const {
  if (!IsPerCpu(type)) return value_size;
  const uint64_t rounded = (static_cast<uint64_t>(value_size) + 7) / 8 * 8;
  return rounded * static_cast<uint64_t>(Check(libbpf_num_possible_cpus(), "libbpf_num_possible_cpus"));
}

MapShape DescribeMap(int fd) {
  bpf_map_info info{};
  uint32_t length = sizeof info;
  Check(bpf_obj_get_info_by_fd(fd, &info, &length), "bpf_obj_get_info_by_fd");
  MapShape shape;
  shape.name = info.name;
  shape.type = info.type;
  shape.id = info.id;
  shape.key_size = info.key_size;
  shape.value_size = info.value_size;
  shape.max_entries = info.max_entries;
  shape.flags = info.map_flags;
  return shape;
}

}  // namespace pilotfish
