#include "test_run.h"

#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>

#include <cerrno>
#include <csignal>

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

// A signal that is pending for the thread ends a run of several rounds with EINTR, all its work lost. Blocked, it goes
// to another thread or waits. (The threads of the worker pool take no signals anyhow.)
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
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
  const SignalsBlocked undisturbed;
  Check(bpf_prog_test_run_opts(fd, &options), "bpf_prog_test_run_opts");
  result.retval = options.retval;
  result.duration_ns = options.duration;
  if (!run.live_frames) result.frame.resize(options.data_size_out);
  return result;
}

}  // namespace pilotfish
