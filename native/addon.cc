#include "addon.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <functional>
#include <memory>

#include "array_value.h"
#include "libbpf_print.h"
#include "link.h"
#include "map.h"
#include "object.h"
#include "program.h"

namespace pilotfish {

namespace {

Napi::Value OpenObject(const Napi::CallbackInfo& info) { return Object::Open(info.Env(), StringArgument(info, 0)); }

// (type, name, keySize, valueSize, maxEntries, flags)
Napi::Value CreateMap(const Napi::CallbackInfo& info) {
  const auto type = static_cast<bpf_map_type>(MapTypeOf(StringArgument(info, 0)));
  const std::string name = StringArgument(info, 1);
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = Uint32Argument(info, 5);
  const uint32_t key_size = Uint32Argument(info, 2);
  const uint32_t value_size = Uint32Argument(info, 3);
  const uint32_t max_entries = Uint32Argument(info, 4);
  const int fd = bpf_map_create(type, name.c_str(), key_size, value_size, max_entries, &options);
  if (fd < 0) throw Failure(-fd, "bpf_map_create").On(name);
  return Map::New(info.Env(), std::make_shared<const Fd>(fd), name);
}

template <typename Wrap>
Napi::Value OpenPinned(const Napi::CallbackInfo& info, const char* kind, Wrap wrap) {
  const std::string path = StringArgument(info, 0);
  SharedFd fd = Naming(path, [&] { return OpenPin(path.c_str(), kind); });
  return fd ? wrap(info.Env(), std::move(fd)) : info.Env().Null();
}

Napi::Value OpenPinnedMap(const Napi::CallbackInfo& info) {
  return OpenPinned(info, "bpf-map", [](Napi::Env env, SharedFd fd) { return Map::New(env, std::move(fd)); });
}

Napi::Value OpenPinnedProgram(const Napi::CallbackInfo& info) {
  return OpenPinned(info, "bpf-prog", [](Napi::Env env, SharedFd fd) { return Program::New(env, std::move(fd)); });
}

Napi::Value OpenPinnedLink(const Napi::CallbackInfo& info) {
  return OpenPinned(info, "bpf-link", [](Napi::Env env, SharedFd fd) { return Link::New(env, std::move(fd)); });
}

Napi::Value Unmap(const Napi::CallbackInfo& info) {
  if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(info.Env(), "argument 1 must be an ArrayBuffer");
  return Napi::Boolean::New(info.Env(), Addon::Of(info.Env()).mappings.Unmap(info[0].As<Napi::ArrayBuffer>()));
}

Napi::Value PossibleCpus(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Check(libbpf_num_possible_cpus(), "libbpf_num_possible_cpus"));
}

Napi::Value ArrayValues(const Napi::CallbackInfo& info) {
  const auto offset = ArrayValueOffset();
  return offset ? Napi::Value(Napi::Number::New(info.Env(), *offset)) : info.Env().Null();
}

Napi::Value LibbpfVersion(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), libbpf_version_string());
}

Napi::Value InterfaceIndex(const Napi::CallbackInfo& info) {
  const std::string name = StringArgument(info, 0);
  const uint32_t index = if_nametoindex(name.c_str());
  if (index == 0 && errno != ENODEV && errno != ENXIO) throw Failure(errno, "if_nametoindex").On(name);
  return index == 0 ? info.Env().Null() : Napi::Value(Napi::Number::New(info.Env(), index));
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value Guarded(const Napi::CallbackInfo& info) {
  return Guard(info.Env(), [&] { return function(info); });
}

Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  CapturePrints();
  auto addon = std::make_unique<Addon>();
  addon->object = Napi::Persistent(Object::Define(env));
  addon->map = Napi::Persistent(Map::Define(env));
  addon->program = Napi::Persistent(Program::Define(env));
  addon->link = Napi::Persistent(Link::Define(env));
  env.SetInstanceData(addon.release());

  const auto add = [&](const char* name, auto function) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("openObject", Guarded<OpenObject>);
  add("createMap", Guarded<CreateMap>);
  add("openPinnedMap", Guarded<OpenPinnedMap>);
  add("openPinnedProgram", Guarded<OpenPinnedProgram>);
  add("openPinnedLink", Guarded<OpenPinnedLink>);
  add("unmap", Guarded<Unmap>);
  add("possibleCpus", Guarded<PossibleCpus>);
  add("arrayValueOffset", Guarded<ArrayValues>);
  add("libbpfVersion", Guarded<LibbpfVersion>);
  add("interfaceIndex", Guarded<InterfaceIndex>);
  return exports;
}

}  // namespace

NODE_API_MODULE(pilotfish, Initialise)

}  // namespace pilotfish
