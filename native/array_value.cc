#include "array_value.h"

#include <bpf/btf.h>

#include <memory>

namespace pilotfish {

namespace {

std::optional<uint32_t> ReadOffset() {
  const std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
  if (kernel == nullptr) return std::nullopt;
  const int32_t id = btf__find_by_name_kind(kernel.get(), "bpf_array", BTF_KIND_STRUCT);
  if (id < 0) return std::nullopt;
  const btf_type* array = btf__type_by_id(kernel.get(), static_cast<uint32_t>(id));
  const uint32_t members = btf_vlen(array);
  // The values are what the struct ends with: a union without a name.
  return members == 0 ? std::nullopt : std::optional(btf_member_bit_offset(array, members - 1) / 8);
}

}  // namespace

std::optional<uint32_t> ArrayValueOffset() {
  // The kernel's BTF is megabytes: to read it takes tens of milliseconds, and it stays as it is.
  static const std::optional<uint32_t> offset = ReadOffset();
  return offset;
}

}  // namespace pilotfish
