// SPDX-License-Identifier: Apache-2.0
#include "arbiterd/driver/stack_text.h"

#include <algorithm>
#include <string_view>

namespace corn::driver {
namespace {

std::string indented(std::string_view text) {
  std::string lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    lines += "\n  ";
    lines += line;
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return lines;
}

}  // namespace

std::string stack_text(const WorkerDump& dump, std::uint32_t thread) {
  const auto found = std::ranges::find(dump.threads, thread, &ThreadDump::thread_id);
  std::string stack;
  if (found != dump.threads.end()) {
    stack = indented(found->python_stack);
    if (!found->native_stack.empty()) stack += "\n  native:" + indented(found->native_stack);
  }
  if (stack.empty()) return "\n  (no stack)" + indented(dump.text);
  return stack;
}

}  // namespace corn::driver
