// SPDX-License-Identifier: Apache-2.0
#include "base/process_title.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/unique_fd.h"

namespace corn::base {
namespace {

// The kernel shows at most one page of a title (get_mm_proctitle in fs/proc/base.c, Linux 4.19 and
// later), and a page of any machine has at least 4096 bytes.
constexpr std::size_t kAreaSize = 4096;
static_assert(kLongestProcessTitle == kAreaSize - 2);  // NUL, and the mark in the last byte

// Where the title is written. `size` bytes at `start` are ours.
struct Area {
  char* start = nullptr;
  std::size_t size = 0;
};

// Fields of /proc/self/stat (proc(5)), counted from 1.
enum StatField : std::size_t {
  kStartCode = 26,
  kEndCode = 27,
  kStartStack = 28,
  kStartData = 45,
  kEndData = 46,
  kStartBrk = 47,
  kArgStart = 48,
  kArgEnd = 49,
  kEnvStart = 50,
  kEnvEnd = 51,
  kStatFields = 52,
};
using StatFields = std::array<std::uint64_t, kStatFields + 1>;

Result<StatFields> read_stat() {
  const UniqueFd file(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno("open /proc/self/stat", errno);
  std::array<char, 2048> text;
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size <= 0) return fail_errno("read /proc/self/stat", errno);
  const std::string_view whole(text.data(), static_cast<std::size_t>(size));
  // Field 2, the command name in parentheses, may contain anything.
  const std::size_t name_end = whole.rfind(") ");
  if (name_end == std::string_view::npos) return fail("unexpected format of /proc/self/stat");

  StatFields fields{};
  std::string_view rest = whole.substr(name_end + 2);
  for (std::size_t field = 3; field <= kEnvEnd; ++field) {
    const std::size_t end = rest.find(' ');
    if (end == std::string_view::npos) return fail("unexpected format of /proc/self/stat");
    // Field 3 is a letter and some are negative; none of those is of interest here.
    std::from_chars(rest.data(), rest.data() + end, fields[field]);
    rest.remove_prefix(end + 1);
  }
  return fields;
}

// Moves the command line to a page of its own. The last byte isn't NUL, by which the kernel knows
// that the title is one string, shown up to its NUL, and not a list of arguments.
Result<Area> move_command_line(const StatFields& fields) {
  void* const page =
      ::mmap(nullptr, kAreaSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return fail_errno("map memory for the process title", errno);
  auto* const start = static_cast<char*>(page);
  // From the kernel's view this is where the command line is, from the first moment on.
  std::memset(start, 0, kAreaSize);
  start[kAreaSize - 1] = ' ';

  prctl_mm_map map{};
  map.start_code = fields[kStartCode];
  map.end_code = fields[kEndCode];
  map.start_data = fields[kStartData];
  map.end_data = fields[kEndData];
  map.start_brk = fields[kStartBrk];
  map.brk = reinterpret_cast<std::uintptr_t>(::sbrk(0));
  map.start_stack = fields[kStartStack];
  map.arg_start = reinterpret_cast<std::uintptr_t>(start);
  map.arg_end = map.arg_start + kAreaSize;
  map.env_start = fields[kEnvStart];
  map.env_end = fields[kEnvEnd];
  map.exe_fd = static_cast<std::uint32_t>(-1);
  if (::prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) != 0) {
    const int error = errno;
    ::munmap(page, kAreaSize);
    return fail_errno("set the process title (PR_SET_MM_MAP)", error);
  }
  return Area{start, kAreaSize - 1};
}

Result<Area> find_area() {
  const Result<StatFields> fields = read_stat();
  if (!fields) return tl::unexpected(fields.error());
  Result<Area> moved = move_command_line(*fields);
  if (moved) return moved;
  if ((*fields)[kArgStart] == 0 || (*fields)[kArgEnd] <= (*fields)[kArgStart]) return moved;
  return Area{reinterpret_cast<char*>((*fields)[kArgStart]),
              (*fields)[kArgEnd] - (*fields)[kArgStart]};
}

}  // namespace

Status set_process_title(std::string_view title) {
  static Area area;  // found by the first call; a child by fork inherits it with its memory
  if (area.start == nullptr) {
    const Result<Area> found = find_area();
    if (!found) return tl::unexpected(found.error());
    area = *found;
  }
  const std::size_t length = std::min(title.size(), area.size - 1);
  std::memcpy(area.start, title.data(), length);
  std::memset(area.start + length, 0, area.size - length);
  return {};
}

}  // namespace corn::base
