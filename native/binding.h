#pragma once

// Into a worker that is terminated during a call no exception can be thrown any more: that must not end the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <cstdint>
#include <span>
#include <string>

#include "failure.h"

namespace pilotfish {

// An Error with `errno`, `code`, `syscall`, and where they are known `subject`, `note`, `log`, `warnings`, `part`,
// `expected`, `actual` and `done`.
Napi::Error ToError(Napi::Env env, const Failure& failure);

// Runs `body`, turning a Failure into a JavaScript exception.
template <typename Body>
auto Guard(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Failure& failure) {
    throw ToError(env, failure);
  }
}

// Arguments. These throw TypeError: TypeScript has checked the types, so a mismatch is a bug of the caller.
std::span<const uint8_t> BytesArgument(const Napi::CallbackInfo& info, size_t index);
uint32_t Uint32Argument(const Napi::CallbackInfo& info, size_t index);
bool BooleanArgument(const Napi::CallbackInfo& info, size_t index);
// Without NUL, which would end a path or name early for the kernel.
std::string StringArgument(const Napi::CallbackInfo& info, size_t index);

// Throws Failure unless `bytes` has exactly `expected` of them.
void ExpectLength(std::span<const uint8_t> bytes, uint64_t expected, const char* part, const char* call,
                  const std::string& name);

Napi::Uint8Array CopyOut(Napi::Env env, std::span<const uint8_t> bytes);

}  // namespace pilotfish
