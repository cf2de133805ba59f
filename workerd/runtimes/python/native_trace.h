// SPDX-License-Identifier: Apache-2.0
// The calling thread's native stack, from within a signal handler: everything here is
// async-signal-safe once prepare_native_trace() was called. It takes no lock of the dynamic
// loader's either, which another thread may hold while it waits for one that this thread holds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace corn::python {

struct NativeTrace {
  static constexpr std::size_t kMostFrames = 128;
  std::array<std::uintptr_t, kMostFrames> addresses{};  // innermost first
  std::size_t size = 0;
};

// Has loaded and bound what the others need, so that they needn't. Any thread, outside of handlers.
void prepare_native_trace();

// Fills `trace`, from where the first signal came that is being handled. `trace.size` grows frame
// by frame: should the walk fault, it says how far it came.
void take_native_trace(NativeTrace& trace);

// The function that an address belongs to. Only what an object exports has a name.
struct NativeSymbol {
  std::string_view object;    // its file's name; empty: no object is loaded there
  std::string_view symbol;    // as the linker knows it; empty: none
  std::uintptr_t offset = 0;  // from the symbol, else from where the object is loaded
};
NativeSymbol find_symbol(std::uintptr_t address);

// Room for a signal handler on a thread whose own stack has overflown; used by the thread that
// makes it, for as long as it lives there.
class CrashStack {
 public:
  CrashStack();
  ~CrashStack();
  CrashStack(const CrashStack&) = delete;
  CrashStack& operator=(const CrashStack&) = delete;

 private:
  void* memory_;  // null: there was none to be had
};

}  // namespace corn::python
