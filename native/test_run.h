#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace pilotfish {

struct TestRun {
  std::vector<uint8_t> frame;
  uint32_t repeat = 1;
  uint32_t out_size = 0;        // bytes of room for the frame that comes out; unused by live frames
  std::optional<uint32_t> cpu;  // the calling thread is moved there for the run
  uint32_t ingress_ifindex = 0;
  bool live_frames = false;  // verdicts take effect: TX and REDIRECT really send
  uint32_t batch_size = 0;
};

struct TestRunResult {
  uint32_t retval = 0;
  uint32_t duration_ns = 0;  // mean of one round
  std::vector<uint8_t> frame;
};

// BPF_PROG_TEST_RUN of an XDP program, in the network namespace of the calling thread. Several rounds end with EINTR,
// all their work lost, when the thread has a signal or task work of io_uring to see to.
TestRunResult RunProgram(int fd, const TestRun& run);

// The same on a thread of its own, which nothing interrupts, while the caller waits. For the main thread: libuv runs
// io_uring on it, whose task work cannot be blocked. (The threads of the worker pool have neither that nor signals.)
TestRunResult RunProgramAside(int fd, const TestRun& run);

}  // namespace pilotfish
