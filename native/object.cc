#include "object.h"

#include <cerrno>

#include "addon.h"
#include "job.h"
#include "libbpf_print.h"
#include "map.h"
#include "program.h"

namespace pilotfish {

namespace {

// The most that every kernel accepts. Pages that the verifier does not write are never touched.
constexpr size_t kLogSize = UINT32_MAX >> 8;

bool HasData(const bpf_map* map) {
  size_t size = 0;
  return bpf_map__initial_value(const_cast<bpf_map*>(map), &size) != nullptr;
}

}  // namespace

Napi::Function Object::Define(Napi::Env env) {
  return DefineClass(env, "Object",
                     {
                         Method<&Object::Maps>("maps"),
                         Method<&Object::Programs>("programs"),
                         Method<&Object::SetMaxEntries>("setMaxEntries"),
                         Method<&Object::SetInnerMap>("setInnerMap"),
                         Method<&Object::Rodata>("rodata"),
                         Method<&Object::SetRodata>("setRodata"),
                         Method<&Object::Load>("load"),
                         Method<&Object::GetMap>("map"),
                         Method<&Object::GetProgram>("program"),
                         Method<&Object::Close>("close"),
                     });
}

Napi::Value Object::Open(Napi::Env env, const std::string& path) {
  TakeWarnings();
  auto state = std::make_shared<State>();
  state->path = path;
  state->object = bpf_object__open_file(path.c_str(), nullptr);
  if (state->object == nullptr) throw Failure(errno, "bpf_object__open_file").On(path);
  return Addon::Of(env).object.New({Napi::External<std::shared_ptr<State>>::New(env, &state)});
}

Object::Object(const Napi::CallbackInfo& info) : Wrapped<Object>(info) {
  state_ = *info[0].As<Napi::External<std::shared_ptr<State>>>().Data();
}

Object::State& Object::Idle(const char* call) const {
  if (!state_) throw Failure(EBADF, call).Note("it has been closed");
  if (state_->phase == Phase::kLoading) throw Failure(EBUSY, call).On(state_->path).Note("it is being loaded");
  return *state_;
}

Object::State& Object::BeforeLoad(const char* call) const {
  State& state = Idle(call);
  if (state.phase != Phase::kOpen) {
    throw Failure(EBUSY, call).On(state.path).Note("this is possible only before it is loaded");
  }
  return state;
}

Object::State& Object::AfterLoad(const char* call) const {
  State& state = Idle(call);
  if (state.phase != Phase::kLoaded) {
    throw Failure(EBUSY, call).On(state.path).Note("this is possible only once it is loaded");
  }
  return state;
}

bpf_map* Object::FindMap(const State& state, const std::string& name, const char* call) const {
  bpf_map* map = bpf_object__find_map_by_name(state.object, name.c_str());
  if (map == nullptr) throw Failure(ENOENT, call).On(name).Note("it has no map '" + name + "'");
  return map;
}

Napi::Value Object::Maps(const Napi::CallbackInfo& info) {
  const State& state = Idle("bpf_object__next_map");
  Napi::Array out = Napi::Array::New(info.Env());
  bpf_map* map;
  bpf_object__for_each_map(map, state.object) {
    MapShape shape;
    shape.name = bpf_map__name(map);
    shape.type = bpf_map__type(map);
    shape.key_size = bpf_map__key_size(map);
    shape.value_size = bpf_map__value_size(map);
    shape.max_entries = bpf_map__max_entries(map);
    shape.flags = bpf_map__map_flags(map);
    out.Set(out.Length(), Map::Describe(info.Env(), shape));
  }
  return out;
}

Napi::Value Object::Programs(const Napi::CallbackInfo& info) {
  const State& state = Idle("bpf_object__next_program");
  Napi::Array out = Napi::Array::New(info.Env());
  bpf_program* program;
  bpf_object__for_each_program(program, state.object) out.Set(out.Length(), bpf_program__name(program));
  return out;
}

Napi::Value Object::SetMaxEntries(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map__set_max_entries";
  const State& state = BeforeLoad(call);
  const std::string name = StringArgument(info, 0);
  const int result = bpf_map__set_max_entries(FindMap(state, name, call), Uint32Argument(info, 1));
  if (result < 0) throw Failure(-result, call).On(name);
  return info.Env().Undefined();
}

// (map, descriptor of a map). The inner map that libbpf 1.1 has from the file lacks its object: bpf_map__set_max_entries
// on it would end the process.
Napi::Value Object::SetInnerMap(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map__set_inner_map_fd";
  State& state = BeforeLoad(call);
  const std::string name = StringArgument(info, 0);
  bpf_map* map = FindMap(state, name, call);
  const SharedFd inner = Naming(name, [&] { return Duplicate(static_cast<int>(Uint32Argument(info, 1))); });
  const int result = bpf_map__set_inner_map_fd(map, inner->Number());
  if (result < 0) throw Failure(-result, call).On(name);
  state.inner_maps.push_back(inner);
  return info.Env().Undefined();
}

Napi::Value Object::Rodata(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map__initial_value";
  const State& state = Idle(call);
  const std::string name = StringArgument(info, 0);
  size_t size = 0;
  const void* value = bpf_map__initial_value(FindMap(state, name, call), &size);
  if (value == nullptr) throw Failure(EINVAL, call).On(name).Note("map '" + name + "' has no initial value");
  return CopyOut(info.Env(), {static_cast<const uint8_t*>(value), size});
}

Napi::Value Object::SetRodata(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_map__set_initial_value";
  const State& state = BeforeLoad(call);
  const std::string name = StringArgument(info, 0);
  const auto bytes = BytesArgument(info, 1);
  bpf_map* map = FindMap(state, name, call);
  if (!HasData(map)) throw Failure(EINVAL, call).On(name).Note("map '" + name + "' has no initial value");
  ExpectLength(bytes, bpf_map__value_size(map), "value", call, name);
  const int result = bpf_map__set_initial_value(map, bytes.data(), bytes.size());
  if (result < 0) throw Failure(-result, call).On(name);
  return info.Env().Undefined();
}

void Object::LoadNow(State& state) {
  TakeWarnings();
  // By program and not for the whole object, where the log would also hold what the kernel says about BTF.
  const std::unique_ptr<char[]> log(new char[kLogSize]);
  log[0] = '\0';
  bpf_program* program;
  bpf_object__for_each_program(program, state.object) bpf_program__set_log_buf(program, log.get(), kLogSize);
  const int result = bpf_object__load(state.object);
  bpf_object__for_each_program(program, state.object) bpf_program__set_log_buf(program, nullptr, 0);
  state.inner_maps.clear();
  if (result < 0) throw Failure(-result, "bpf_object__load").On(state.path).VerifierLog(log.get());
}

Napi::Value Object::Load(const Napi::CallbackInfo& info) {
  BeforeLoad("bpf_object__load").phase = Phase::kLoading;
  return Job<bool>::Start(
      info.Env(), "bpf_object__load",
      [state = state_] {
        try {
          LoadNow(*state);
          state->phase = Phase::kLoaded;
        } catch (...) {
          state->phase = Phase::kFailed;
          throw;
        }
        return true;
      },
      [](Napi::Env env, const bool&) { return env.Undefined(); });
}

Napi::Value Object::GetMap(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_object__find_map_by_name";
  const State& state = AfterLoad(call);
  const std::string name = StringArgument(info, 0);
  return Map::New(info.Env(), Duplicate(bpf_map__fd(FindMap(state, name, call))), name);
}

Napi::Value Object::GetProgram(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_object__find_program_by_name";
  const State& state = AfterLoad(call);
  const std::string name = StringArgument(info, 0);
  const bpf_program* program = bpf_object__find_program_by_name(state.object, name.c_str());
  if (program == nullptr) throw Failure(ENOENT, call).On(name).Note("it has no program '" + name + "'");
  return Program::New(info.Env(), Duplicate(bpf_program__fd(program)), name);
}

Napi::Value Object::Close(const Napi::CallbackInfo& info) {
  state_.reset();
  return info.Env().Undefined();
}

}  // namespace pilotfish
