#include "binding.h"

#include <cmath>
#include <cstring>

namespace pilotfish {

namespace {

Napi::Value Argument(const Napi::CallbackInfo& info, size_t index, bool fits, const char* wanted) {
  if (fits) return info[index];
  throw Napi::TypeError::New(info.Env(), "argument " + std::to_string(index + 1) + " must be " + wanted);
}

}  // namespace

Napi::Error ToError(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.what());
  Napi::Object value = error.Value();
  value.Set("errno", failure.error);
  value.Set("code", ErrnoName(failure.error));
  value.Set("syscall", failure.call);
  if (!failure.name.empty()) value.Set("subject", failure.name);
  if (!failure.note.empty()) value.Set("note", failure.note);
  if (!failure.log.empty()) value.Set("log", failure.log);
  if (!failure.warnings.empty()) value.Set("warnings", failure.warnings);
  if (failure.length) {
    value.Set("part", failure.length->part);
    value.Set("expected", static_cast<double>(failure.length->expected));
    value.Set("actual", static_cast<double>(failure.length->actual));
  }
  if (failure.done) value.Set("done", *failure.done);
  return error;
}

std::span<const uint8_t> BytesArgument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  const bool fits = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  const auto array = Argument(info, index, fits, "a Uint8Array").As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

uint32_t Uint32Argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  const bool fits = number >= 0 && number <= UINT32_MAX && std::trunc(number) == number;
  Argument(info, index, fits, "a whole number from 0 to 4294967295");
  return static_cast<uint32_t>(number);
}

bool BooleanArgument(const Napi::CallbackInfo& info, size_t index) {
  return Argument(info, index, info[index].IsBoolean(), "a boolean").As<Napi::Boolean>().Value();
}

std::string StringArgument(const Napi::CallbackInfo& info, size_t index) {
  const std::string text = Argument(info, index, info[index].IsString(), "a string").As<Napi::String>().Utf8Value();
  Argument(info, index, text.find('\0') == std::string::npos, "without NUL characters");
  return text;
}

void ExpectLength(std::span<const uint8_t> bytes, uint64_t expected, const char* part, const char* call,
                  const std::string& name) {
  if (bytes.size() != expected) throw Failure::WrongLength(call, part, expected, bytes.size()).On(name);
}

Napi::Uint8Array CopyOut(Napi::Env env, std::span<const uint8_t> bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (!bytes.empty()) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

}  // namespace pilotfish
