#pragma once

#include <string>

namespace pilotfish {

// Sends libbpf's messages into a buffer of the thread that caused them, instead of stderr. The callback is global to
// the process and may be set again by every environment that loads the addon.
void CapturePrints();

// The last warnings of this thread, newest last, and forgets them.
std::string TakeWarnings();

}  // namespace pilotfish
