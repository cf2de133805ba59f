// SPDX-License-Identifier: Apache-2.0
// Which files this process's Python code comes from, for whoever wants to know when they change.
// Modules that fail while they are imported and files that don't compile are among them, because
// those are the ones that will be mended.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace corn::python {

class CodeFiles {
 public:
  static constexpr std::size_t kMaxFiles = 20'000;
  // Files that are loaded together are told together.
  static constexpr std::chrono::milliseconds kGatherTime{100};

  // Absolute paths, each told once; any thread, one call at a time.
  using Report = std::function<void(std::vector<std::string> paths)>;

  // Begins to note files, for the rest of the process's life and that of processes forked from it.
  // Before the interpreter is started, or without its lock. Main thread; once is enough.
  static void record();
  // Null before record().
  static CodeFiles* current();

  CodeFiles(const CodeFiles&) = delete;
  CodeFiles& operator=(const CodeFiles&) = delete;

  // Tells what has been noted so far, and not told.
  void tell_now(const Report& report);

  // From now on what is loaded later is told by itself, from a thread of its own.
  void tell_always(Report report);
  // Until now.
  void stop();

  // For the interpreter's hook: some code is to be run, or compiled, that comes from `name`.
  void note(const char* name);

 private:
  CodeFiles() = default;
  void run(const Report& report);

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::set<std::string> seen_;  // as the interpreter names them
  std::set<std::string> known_;
  std::vector<std::string> waiting_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace corn::python
