#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "addon.h"
#include "job.h"

namespace pilotfish {

namespace {

struct NewMap {
  SharedFd fd;
  std::string name;
};

std::vector<uint8_t> Copy(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

Napi::Function Map::Define(Napi::Env env) {
  return DefineClass(env, "Map",
                     {
                         Method<&Map::Info>("info"),
                         Method<&Map::Id>("id"),
                         Method<&Map::GetFd>("fd"),
                         Method<&Map::Put>("put"),
                         Method<&Map::Get>("get"),
                         Method<&Map::Delete>("delete"),
                         Method<&Map::GetEntries>("entries"),
                         Method<&Map::PutBatch>("putBatch"),
                         Method<&Map::DeleteBatch>("deleteBatch"),
                         Method<&Map::Mmap>("mmap"),
                         Method<&Map::Pin>("pin"),
                         Method<&Map::Close>("close"),
                     });
}

Napi::Value Map::New(Napi::Env env, SharedFd fd, const std::string& name) {
  NewMap parts{std::move(fd), name};
  return Addon::Of(env).map.New({Napi::External<NewMap>::New(env, &parts)});
}

Map::Map(const Napi::CallbackInfo& info) : Handle<Map>(info) {
  NewMap& parts = *info[0].As<Napi::External<NewMap>>().Data();
  shape_ = Guard(info.Env(), [&] { return DescribeMap(parts.fd->Number()); });
  if (!parts.name.empty()) shape_.name = parts.name;
  Hold(std::move(parts.fd), shape_.name);
}

Napi::Object Map::Describe(Napi::Env env, const MapShape& shape) {
  const char* type = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(shape.type));
  Napi::Object out = Napi::Object::New(env);
  out.Set("name", shape.name);
  out.Set("type", type == nullptr ? std::to_string(shape.type) : type);
  out.Set("keySize", shape.key_size);
  out.Set("valueSize", shape.value_size);
  out.Set("valueBytes", static_cast<double>(shape.ValueBytes()));
  out.Set("maxEntries", shape.max_entries);
  out.Set("flags", shape.flags);
  return out;
}

Napi::Value Map::Info(const Napi::CallbackInfo& info) { return Describe(info.Env(), shape_); }

Napi::Value Map::Id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), shape_.id); }

std::span<const uint8_t> Map::Key(const Napi::CallbackInfo& info, const char* call) const {
  const auto key = BytesArgument(info, 0);
  ExpectLength(key, shape_.key_size, "key", call, Name());
  return key;
}

Napi::Value Map::Put(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map_update_elem";
  const SharedFd& fd = Open(call);
  const auto key = Key(info, call);
  const auto value = BytesArgument(info, 1);
  ExpectLength(value, shape_.ValueBytes(), "value", call, Name());
  Run(bpf_map_update_elem(fd->Number(), key.data(), value.data(), BPF_ANY), call);
  return info.Env().Undefined();
}

Napi::Value Map::Get(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map_lookup_elem";
  const SharedFd& fd = Open(call);
  const auto key = Key(info, call);
  Napi::Uint8Array value = Napi::Uint8Array::New(info.Env(), shape_.ValueBytes());
  const int result = bpf_map_lookup_elem(fd->Number(), key.data(), value.Data());
  if (result == -ENOENT) return info.Env().Null();
  Run(result, call);
  return value;
}

Napi::Value Map::Delete(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map_delete_elem";
  const SharedFd& fd = Open(call);
  const auto key = Key(info, call);
  const int result = bpf_map_delete_elem(fd->Number(), key.data());
  if (result != -ENOENT) Run(result, call);
  return Napi::Boolean::New(info.Env(), result == 0);
}

Napi::Value Map::GetEntries(const Napi::CallbackInfo& info) {
  const SharedFd& fd = Open("bpf_map_lookup_batch");
  const Entries entries = Naming(Name(), [&] { return ReadEntries(fd->Number(), shape_); });
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("keys", CopyOut(info.Env(), entries.keys));
  out.Set("values", CopyOut(info.Env(), entries.values));
  out.Set("count", entries.count);
  return out;
}

Napi::Value Map::PutBatch(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map_update_batch";
  const SharedFd& fd = Open(call);
  const auto keys = BytesArgument(info, 0);
  const auto values = BytesArgument(info, 1);
  const uint32_t count = Uint32Argument(info, 2);
  ExpectLength(keys, static_cast<uint64_t>(count) * shape_.key_size, "keys", call, Name());
  ExpectLength(values, count * shape_.ValueBytes(), "values", call, Name());
  return Job<bool>::Start(
      info.Env(), call,
      [fd, shape = shape_, keys = Copy(keys), values = Copy(values), count] {
        return Naming(shape.name, [&] {
          UpdateEntries(fd->Number(), shape, keys, values, count);
          return true;
        });
      },
      [](Napi::Env env, const bool&) { return env.Undefined(); });
}

Napi::Value Map::DeleteBatch(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map_delete_batch";
  const SharedFd& fd = Open(call);
  const auto keys = BytesArgument(info, 0);
  const uint32_t count = Uint32Argument(info, 1);
  ExpectLength(keys, static_cast<uint64_t>(count) * shape_.key_size, "keys", call, Name());
  return Job<uint32_t>::Start(
      info.Env(), call,
      [fd, shape = shape_, keys = Copy(keys), count] {
        return Naming(shape.name, [&] { return DeleteEntries(fd->Number(), shape, keys, count); });
      },
      [](Napi::Env env, const uint32_t& deleted) { return Napi::Number::New(env, deleted); });
}

Napi::Value Map::Mmap(const Napi::CallbackInfo& info) {
  const SharedFd& fd = Open("mmap");
  // Elements stand 8 bytes aligned; the last one without its padding, so that one entry is exactly one value.
  const uint64_t stride = (static_cast<uint64_t>(shape_.value_size) + 7) / 8 * 8;
  const uint64_t length = stride * (shape_.max_entries - 1) + shape_.value_size;
  return Naming(Name(), [&] { return Addon::Of(info.Env()).mappings.Map(info.Env(), fd->Number(), length); });
}

uint32_t MapTypeOf(const std::string& name) {
  for (uint32_t type = 1;; type++) {
    const char* known = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(type));
    if (known == nullptr) throw Failure(EINVAL, "bpf_map_create").Note("there is no map type '" + name + "'");
    if (name == known) return type;
  }
}

}  // namespace pilotfish
