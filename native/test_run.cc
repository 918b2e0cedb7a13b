#include "test_run.h"

#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>

#include <cerrno>
#include <csignal>
#include <future>

#include "failure.h"

namespace pilotfish {

namespace {

// The kernel has no CPU choice for XDP test runs, so the thread goes where it shall run, and back afterwards.
class OnCpu {
 public:
  explicit OnCpu(uint32_t cpu) {
    if (cpu >= CPU_SETSIZE) throw Failure(EINVAL, "sched_setaffinity");
    if (sched_getaffinity(0, sizeof before_, &before_) < 0) throw Failure(errno, "sched_getaffinity");
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0) throw Failure(errno, "sched_setaffinity");
  }
  ~OnCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace

TestRunResult RunProgram(int fd, const TestRun& run) {
  TestRunResult result;
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.data_in = run.frame.data();
  options.data_size_in = static_cast<uint32_t>(run.frame.size());
  options.repeat = static_cast<int>(run.repeat);

  xdp_md context{};
  context.data_end = options.data_size_in;
  context.ingress_ifindex = run.ingress_ifindex;
  if (run.live_frames || run.ingress_ifindex != 0) {
    options.ctx_in = &context;
    options.ctx_size_in = sizeof context;
  }
  if (run.live_frames) {
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = run.batch_size;
  } else {
    result.frame.resize(run.out_size);
    options.data_out = result.frame.data();
    options.data_size_out = run.out_size;
  }

  std::optional<OnCpu> pinned;
  if (run.cpu) pinned.emplace(*run.cpu);
  Check(bpf_prog_test_run_opts(fd, &options), "bpf_prog_test_run_opts");
  result.retval = options.retval;
  result.duration_ns = options.duration;
  if (!run.live_frames) result.frame.resize(options.data_size_out);
  return result;
}

TestRunResult RunProgramAside(int fd, const TestRun& run) {
  const auto undisturbed = [&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    return RunProgram(fd, run);
  };
  return std::async(std::launch::async, undisturbed).get();
}

}  // namespace pilotfish
