// SPDX-License-Identifier: Apache-2.0
// Checks the scenario files named on the command line: exit status 1 and the differences if one does
// not hold. mutate.py builds it against a decision core with one rule broken.
#include <cstdio>

#include "tests/scenarios/interpreter.h"

int main(int argc, char** argv) {
  int status = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string difference = corn::scenarios::check_file(argv[i], false);
    if (difference.empty()) continue;
    std::printf("%s\n%s", argv[i], difference.c_str());
    status = 1;
  }
  return status;
}
