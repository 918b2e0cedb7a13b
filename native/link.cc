#include "link.h"

#include <bpf/bpf.h>

#include "addon.h"

namespace pilotfish {

Napi::Function Link::Define(Napi::Env env) {
  return DefineClass(env, "Link",
                     {
                         Method<&Link::Info>("info"),
                         Method<&Link::GetFd>("fd"),
                         Method<&Link::Update>("update"),
                         Method<&Link::Detach>("detach"),
                         Method<&Link::Pin>("pin"),
                         Method<&Link::Close>("close"),
                     });
}

Napi::Value Link::New(Napi::Env env, SharedFd fd) {
  return Addon::Of(env).link.New({Napi::External<SharedFd>::New(env, &fd)});
}

Link::Link(const Napi::CallbackInfo& info) : Handle<Link>(info) {
  Hold(std::move(*info[0].As<Napi::External<SharedFd>>().Data()), "link");
}

Napi::Value Link::Info(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_obj_get_info_by_fd";
  bpf_link_info known{};
  uint32_t length = sizeof known;
  Run(bpf_obj_get_info_by_fd(Open(call)->Number(), &known, &length), call);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("id", known.id);
  out.Set("progId", known.prog_id);
  out.Set("ifindex", known.type == BPF_LINK_TYPE_XDP ? known.xdp.ifindex : 0);
  return out;
}

Napi::Value Link::Update(const Napi::CallbackInfo& info) {
  const SharedFd& fd = Open("bpf_link_update");
  const uint32_t program = Uint32Argument(info, 0);
  Run(bpf_link_update(fd->Number(), static_cast<int>(program), nullptr), "bpf_link_update");
  return info.Env().Undefined();
}

Napi::Value Link::Detach(const Napi::CallbackInfo& info) {
  Run(bpf_link_detach(Open("bpf_link_detach")->Number()), "bpf_link_detach");
  return info.Env().Undefined();
}

}  // namespace pilotfish
