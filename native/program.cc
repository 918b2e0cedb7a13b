#include "program.h"

#include <bpf/bpf.h>

#include "addon.h"
#include "job.h"
#include "link.h"
#include "test_run.h"

namespace pilotfish {

namespace {

struct NewProgram {
  SharedFd fd;
  std::string name;
};

bpf_prog_info DescribeProgram(int fd) {
  bpf_prog_info info{};
  uint32_t length = sizeof info;
  Check(bpf_obj_get_info_by_fd(fd, &info, &length), "bpf_obj_get_info_by_fd");
  return info;
}

// (frame, repeat, outSize, cpu or null, ingressIfindex, liveFrames, batchSize)
TestRun ReadTestRun(const Napi::CallbackInfo& info) {
  TestRun run;
  const auto frame = BytesArgument(info, 0);
  run.frame.assign(frame.begin(), frame.end());
  run.repeat = Uint32Argument(info, 1);
  run.out_size = Uint32Argument(info, 2);
  if (!info[3].IsNull()) run.cpu = Uint32Argument(info, 3);
  run.ingress_ifindex = Uint32Argument(info, 4);
  run.live_frames = BooleanArgument(info, 5);
  run.batch_size = Uint32Argument(info, 6);
  return run;
}

Napi::Value Deliver(Napi::Env env, const TestRunResult& result) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("retval", result.retval);
  out.Set("durationNs", result.duration_ns);
  out.Set("data", CopyOut(env, result.frame));
  return out;
}

}  // namespace

Napi::Function Program::Define(Napi::Env env) {
  return DefineClass(env, "Program",
                     {
                         Method<&Program::Info>("info"),
                         Method<&Program::GetFd>("fd"),
                         Method<&Program::AttachXdp>("attachXdp"),
                         Method<&Program::TestRunHere>("testRun"),
                         Method<&Program::TestRunOnPool>("testRunAsync"),
                         Method<&Program::Pin>("pin"),
                         Method<&Program::Close>("close"),
                     });
}

Napi::Value Program::New(Napi::Env env, SharedFd fd, const std::string& name) {
  NewProgram parts{std::move(fd), name};
  return Addon::Of(env).program.New({Napi::External<NewProgram>::New(env, &parts)});
}

Program::Program(const Napi::CallbackInfo& info) : Handle<Program>(info) {
  NewProgram& parts = *info[0].As<Napi::External<NewProgram>>().Data();
  if (parts.name.empty()) parts.name = Guard(info.Env(), [&] { return DescribeProgram(parts.fd->Number()); }).name;
  Hold(std::move(parts.fd), parts.name);
}

Napi::Value Program::Info(const Napi::CallbackInfo& info) {
  const bpf_prog_info known = DescribeProgram(Open("bpf_obj_get_info_by_fd")->Number());
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("id", known.id);
  out.Set("name", Name());
  out.Set("verifiedInstructions", known.verified_insns);
  out.Set("xlatedBytes", known.xlated_prog_len);
  out.Set("jitedBytes", known.jited_prog_len);
  return out;
}

Napi::Value Program::AttachXdp(const Napi::CallbackInfo& info) {
  const SharedFd& fd = Open("bpf_link_create");
  const uint32_t ifindex = Uint32Argument(info, 0);
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.flags = Uint32Argument(info, 1);
  const int link = bpf_link_create(fd->Number(), static_cast<int>(ifindex), BPF_XDP, &options);
  return Link::New(info.Env(), std::make_shared<const Fd>(Run(link, "bpf_link_create")));
}

Napi::Value Program::TestRunHere(const Napi::CallbackInfo& info) {
  const SharedFd& fd = Open("bpf_prog_test_run_opts");
  const TestRun run = ReadTestRun(info);
  const auto run_program = run.repeat > 1 ? RunProgramAside : RunProgram;
  return Deliver(info.Env(), Naming(Name(), [&] { return run_program(fd->Number(), run); }));
}

Napi::Value Program::TestRunOnPool(const Napi::CallbackInfo& info) {
  constexpr const char* call = "bpf_prog_test_run_opts";
  const SharedFd& fd = Open(call);
  return Job<TestRunResult>::Start(
      info.Env(), call,
      [fd, name = Name(), run = ReadTestRun(info)] {
        return Naming(name, [&] { return RunProgram(fd->Number(), run); });
      },
      Deliver);
}

}  // namespace pilotfish
