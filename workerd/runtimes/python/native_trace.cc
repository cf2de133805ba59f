// SPDX-License-Identifier: Apache-2.0
#include "workerd/runtimes/python/native_trace.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unwind.h>

#include <algorithm>
#include <csignal>
#include <tuple>

namespace corn::python {
namespace {

// faulthandler's handler, ours behind it and the walk need about a third of that where the kernel
// saves the largest registers.
constexpr std::size_t kCrashStackSize = 64 * 1024;

// Frames of handlers are the innermost ones; a signal that was being handled before is further out.
constexpr std::size_t kMostHandlerFrames = 24;

struct Walk {
  NativeTrace& trace;
  std::size_t seen = 0;
};

_Unwind_Reason_Code add_frame(_Unwind_Context* context, void* argument) {
  auto& walk = *static_cast<Walk*>(argument);
  int interrupted = 0;
  const std::uintptr_t address = _Unwind_GetIPInfo(context, &interrupted);
  if (address == 0) return _URC_END_OF_STACK;
  // The frame that a signal has interrupted: what was before it belongs to handlers.
  if (interrupted != 0 && walk.seen < kMostHandlerFrames) walk.trace.size = 0;
  ++walk.seen;
  if (walk.trace.size == NativeTrace::kMostFrames) return _URC_END_OF_STACK;
  // A return address may lie behind the function that doesn't return.
  walk.trace.addresses[walk.trace.size++] = interrupted != 0 ? address : address - 1;
  return _URC_NO_REASON;
}

// What an object exports, as the dynamic loader finds it.
struct ExportedSymbols {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  std::size_t count = 0;
};

// The number of symbols isn't written anywhere: the last one is the end of the chain that begins
// last.
std::size_t count_by_gnu_hash(const std::uint32_t* table) {
  const std::uint32_t buckets = table[0];
  const std::uint32_t first_symbol = table[1];
  const std::uint32_t bloom_words = table[2];
  const std::uint32_t* const bucket =
      table + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(std::uint32_t));
  const std::uint32_t* const chain = bucket + buckets;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < buckets; ++i) last = std::max(last, bucket[i]);
  if (last < first_symbol) return 0;
  while ((chain[last - first_symbol] & 1U) == 0) ++last;
  return last + 1;
}

ExportedSymbols exported_by(const link_map& object) {
  ExportedSymbols result;
  // The loader has relocated these addresses in some objects (most architectures) and not in others
  // (the vdso).
  const auto at = [&](ElfW(Addr) value) {
    return reinterpret_cast<const void*>(value < object.l_addr ? value + object.l_addr : value);
  };
  for (const ElfW(Dyn)* entry = object.l_ld; entry != nullptr && entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_SYMTAB) {
      result.symbols = static_cast<const ElfW(Sym)*>(at(entry->d_un.d_ptr));
    } else if (entry->d_tag == DT_STRTAB) {
      result.names = static_cast<const char*>(at(entry->d_un.d_ptr));
    } else if (entry->d_tag == DT_GNU_HASH) {
      result.count = count_by_gnu_hash(static_cast<const std::uint32_t*>(at(entry->d_un.d_ptr)));
    }
  }
  if (result.symbols == nullptr || result.names == nullptr) result.count = 0;
  return result;
}

}  // namespace

void prepare_native_trace() {
  NativeTrace trace;
  take_native_trace(trace);
  for (std::size_t i = 0; i < trace.size; ++i) std::ignore = find_symbol(trace.addresses[i]);
}

void take_native_trace(NativeTrace& trace) {
  trace.size = 0;
  Walk walk{trace};
  _Unwind_Backtrace(&add_frame, &walk);
}

NativeSymbol find_symbol(std::uintptr_t address) {
  dl_find_object found{};
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return {{}, {}, address};
  const link_map& object = *found.dlfo_link_map;
  NativeSymbol result;
  result.object = object.l_name;
  result.object.remove_prefix(result.object.rfind('/') + 1);
  if (result.object.empty()) result.object = "workerd";
  result.offset = address - object.l_addr;
  const ExportedSymbols exported = exported_by(object);
  for (std::size_t i = 0; i < exported.count; ++i) {
    const ElfW(Sym)& symbol = exported.symbols[i];
    if (symbol.st_shndx == SHN_UNDEF || (symbol.st_info & 15U) != STT_FUNC ||
        result.offset < symbol.st_value || result.offset - symbol.st_value >= symbol.st_size) {
      continue;
    }
    result.symbol = exported.names + symbol.st_name;
    result.offset -= symbol.st_value;
    break;
  }
  return result;
}

CrashStack::CrashStack()
    : memory_(::mmap(nullptr, kCrashStackSize, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0)) {
  if (memory_ == MAP_FAILED) {
    memory_ = nullptr;
    return;
  }
  const stack_t stack{.ss_sp = memory_, .ss_flags = 0, .ss_size = kCrashStackSize};
  ::sigaltstack(&stack, nullptr);
}

CrashStack::~CrashStack() {
  if (memory_ == nullptr) return;
  stack_t current{};
  if (::sigaltstack(nullptr, &current) == 0 && current.ss_sp == memory_) {
    const stack_t none{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    ::sigaltstack(&none, nullptr);
  }
  ::munmap(memory_, kCrashStackSize);
}

}  // namespace corn::python
