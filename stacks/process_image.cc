// SPDX-License-Identifier: Apache-2.0
#include "stacks/process_image.h"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <fmt/core.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace corn::stacks {
namespace {

std::string dwfl_error() {
  const char* const message = ::dwfl_errmsg(-1);
  return message != nullptr ? message : "unknown error";
}

int find_no_debuginfo(Dwfl_Module* /*module*/, void** /*user_data*/, const char* /*name*/,
                      Dwarf_Addr /*base*/, const char* /*file*/, const char* /*debuglink*/,
                      GElf_Word /*checksum*/, char** /*found*/) {
  return -1;
}

const Dwfl_Callbacks kCallbacks = {.find_elf = ::dwfl_linux_proc_find_elf,
                                   .find_debuginfo = &find_no_debuginfo,
                                   .section_address = nullptr,
                                   .debuginfo_path = nullptr};

struct Unwinding {
  ProcessImage::Stack stack;
  std::size_t most_frames;
};

int add_frame(Dwfl_Frame* frame, void* argument) {
  auto& unwinding = *static_cast<Unwinding*>(argument);
  Dwarf_Addr address = 0;
  bool interrupted = false;
  if (!::dwfl_frame_pc(frame, &address, &interrupted)) return -1;
  if (unwinding.stack.addresses.size() >= unwinding.most_frames) {
    unwinding.stack.end = "further frames are not shown";
    return DWARF_CB_ABORT;
  }
  // A return address may lie behind the function that doesn't return.
  unwinding.stack.addresses.push_back(interrupted ? address : address - 1);
  return DWARF_CB_OK;
}

int read_tables(Dwfl_Module* module, void** /*user_data*/, const char* /*name*/,
                Dwarf_Addr /*base*/, void* /*argument*/) {
  Dwarf_Addr bias = 0;
  std::ignore = ::dwfl_module_eh_cfi(module, &bias);
  return DWARF_CB_OK;
}

struct Free {
  void operator()(char* text) const { std::free(text); }
};

std::string demangle(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, Free> plain(abi::__cxa_demangle(symbol, nullptr, nullptr, &status));
  return plain ? plain.get() : symbol;
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

void ProcessImage::End::operator()(Dwfl* dwfl) const { ::dwfl_end(dwfl); }

base::Result<ProcessImage> ProcessImage::open(pid_t process) {
  std::unique_ptr<Dwfl, End> dwfl(::dwfl_begin(&kCallbacks));
  if (!dwfl) return base::fail("libdwfl: " + dwfl_error());
  if (const int error = ::dwfl_linux_proc_report(dwfl.get(), process); error != 0) {
    return error > 0 ? base::fail_errno("its memory map can't be read", error)
                     : base::fail("its memory map can't be read: " + dwfl_error());
  }
  if (::dwfl_report_end(dwfl.get(), nullptr, nullptr) != 0) {
    return base::fail("its memory map can't be read: " + dwfl_error());
  }
  if (const int error = ::dwfl_linux_proc_attach(dwfl.get(), process, true); error != 0) {
    return error > 0 ? base::fail_errno("its stacks can't be read", error)
                     : base::fail("its stacks can't be read: " + dwfl_error());
  }
  return ProcessImage(std::move(dwfl));
}

void ProcessImage::prepare() const { ::dwfl_getmodules(dwfl_.get(), &read_tables, nullptr, 0); }

ProcessImage::Stack ProcessImage::unwind(pid_t thread, std::size_t most_frames) const {
  Unwinding unwinding{{}, most_frames};
  const int result = ::dwfl_getthread_frames(dwfl_.get(), thread, &add_frame, &unwinding);
  if (result < 0) unwinding.stack.end = "cannot be followed further: " + dwfl_error();
  return std::move(unwinding.stack);
}

std::string ProcessImage::name(std::uint64_t address) const {
  Dwfl_Module* const module = ::dwfl_addrmodule(dwfl_.get(), address);
  if (module == nullptr) return fmt::format("{:#x}", address);
  Dwarf_Addr start = 0;
  const char* const path =
      ::dwfl_module_info(module, nullptr, &start, nullptr, nullptr, nullptr, nullptr, nullptr);
  const std::string_view object = path != nullptr ? file_name(path) : "?";
  GElf_Off offset = 0;
  GElf_Sym symbol{};
  const char* const found =
      ::dwfl_module_addrinfo(module, address, &offset, &symbol, nullptr, nullptr, nullptr);
  if (found == nullptr || *found == '\0') return fmt::format("{}+{:#x}", object, address - start);
  return fmt::format("{}+{:#x} ({})", demangle(found), offset, object);
}

}  // namespace corn::stacks
