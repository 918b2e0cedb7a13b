#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "binding.h"

namespace pilotfish {

// Runs `work` on libuv's worker pool and settles a promise with what `deliver` makes of its result. `work` must not
// touch anything of JavaScript, and must own (or share) all that it uses.
template <typename Result>
class Job : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Deliver = std::function<Napi::Value(Napi::Env, const Result&)>;

  static Napi::Promise Start(Napi::Env env, const char* name, Work work, Deliver deliver) {
    Job* job = new Job(env, name, std::move(work), std::move(deliver));  // deletes itself when it has settled
    const Napi::Promise promise = job->deferred_.Promise();
    job->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      result_ = work_();
    } catch (const Failure& failure) {
      failure_ = failure;
    }
  }

  void OnOK() override {
    if (failure_) {
      deferred_.Reject(ToError(Env(), *failure_).Value());
    } else {
      deferred_.Resolve(deliver_(Env(), *result_));
    }
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Job(Napi::Env env, const char* name, Work work, Deliver deliver)
      : Napi::AsyncWorker(env, name), deferred_(env), work_(std::move(work)), deliver_(std::move(deliver)) {}

  Napi::Promise::Deferred deferred_;
  Work work_;
  Deliver deliver_;
  std::optional<Result> result_;
  std::optional<Failure> failure_;
};

}  // namespace pilotfish
