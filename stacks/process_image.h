// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

struct Dwfl;

namespace corn::stacks {

// What another process has mapped: programs and libraries with their unwind tables (.eh_frame) and
// symbols, by elfutils' libdwfl. Debug information is never looked for, so that nothing here
// depends on what else is installed, or goes to the network (debuginfod).
class ProcessImage {
 public:
  // Reads /proc/PID; the process goes on running.
  static base::Result<ProcessImage> open(pid_t process);

  struct Stack {
    std::vector<std::uint64_t> addresses;  // innermost first; for name()
    std::string end;                       // why it is not followed further; empty: it is whole
  };
  // Of a thread of the process that stands still (StoppedThread).
  [[nodiscard]] Stack unwind(pid_t thread, std::size_t most_frames) const;

  // Has the unwind tables read that unwind() needs, so that threads don't stand still for that.
  void prepare() const;

  // "clock_nanosleep+0x6f (libc.so.6)"; without a symbol "libc.so.6+0xcd3f", the offset from where
  // the object is loaded.
  [[nodiscard]] std::string name(std::uint64_t address) const;

 private:
  struct End {
    void operator()(Dwfl* dwfl) const;
  };
  explicit ProcessImage(std::unique_ptr<Dwfl, End> dwfl) : dwfl_(std::move(dwfl)) {}

  std::unique_ptr<Dwfl, End> dwfl_;
};

}  // namespace corn::stacks
